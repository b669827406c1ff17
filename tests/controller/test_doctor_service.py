"""v2g doctor --system: a host as `make install` leaves it is fit; what is missing is named, with the line for it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from controller.doctor.finding import OK, SHORT, UNKNOWN, Host, Mend
from controller.doctor.service import services
from controller.site import Site, load_site
from tests.controller.test_doctor import OF_SERVICES, answers

ROOT = Path(__file__).parents[2]
UNITS = "usr/local/lib/systemd/system"
WANTS = "etc/systemd/system/multi-user.target.wants"
EDIT = "by sudo systemctl edit v2g, below [Service]"


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """The shipped files, laid out by the installer, and what it does on a running system."""
    env = {**os.environ, "DESTDIR": str(tmp_path)}
    subprocess.run([ROOT / "systemd/install", "files"], env=env, check=True, stdout=subprocess.DEVNULL)
    program = tmp_path / "opt/v2g/current/bin/v2g"
    program.parent.mkdir(parents=True)
    program.touch()
    (tmp_path / WANTS).mkdir(parents=True)
    for unit in ("v2g.service", "v2g-telemetry.service"):
        (tmp_path / WANTS / unit).symlink_to(tmp_path / UNITS / unit)
    (tmp_path / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\nv2g:x:997:997::/var/lib/v2g:/usr/sbin/nologin\n")
    (tmp_path / "etc/group").write_text("dialout:x:20:pi,v2g\nv2g:x:997:\n")
    (tmp_path / "etc/v2g/credentials").mkdir(mode=0o700)
    return tmp_path


def site(root: Path, old: str = "", new: str = "") -> Site:
    """The one the installer has put there, changed."""
    path = root / "etc/v2g/site.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    return load_site(path)


def shortfalls(root: Path, of: Site | None = None) -> list[tuple[str, list[tuple[str, str]]]]:
    found = services(Host(root), answers(), of or site(root))
    return [(f.title, [(m.where, m.line) for m in f.mend]) for f in found if f.verdict != OK]


def test_as_installed_it_is_fit(host: Path) -> None:
    assert shortfalls(host) == []


def test_every_check_is_one_of_those_that_are_explained(host: Path) -> None:
    chosen = with_broker(host)
    chosen = replace(chosen, inverter=replace(chosen.inverter, can="can0"))
    assert list(dict.fromkeys(f.name for f in services(Host(host), answers(), chosen))) == list(OF_SERVICES)


def with_broker(root: Path, mqtt: str = "", more: str = "") -> Site:
    """Under TLS, by files of its own. mqtt: the broker's keys; more: of telemetry."""
    tls = "tls: {ca: /etc/v2g/tls/ca.pem, certificate: /etc/v2g/tls/house.pem, key: /etc/v2g/tls/house.key}"
    return site(root, "telemetry:\n", f"telemetry:\n  mqtt: {{{mqtt or f'host: 192.168.1.2, {tls}'}}}\n{more}")


def drop_in(text: str, unit: str = "v2g") -> Callable[[Path], None]:
    def write(root: Path) -> None:
        path = root / f"etc/systemd/system/{unit}.service.d/override.conf"
        path.parent.mkdir(parents=True)
        path.write_text(text)

    return write


def secret(root: Path) -> None:
    (root / "etc/v2g/credentials/mqtt.password").write_text("x")
    (root / "etc/v2g/credentials/mqtt.password").chmod(0o644)


INSTALL = ("as a command, in the folder of the sources", "sudo make install")
COMMAND = "as a command"
# fmt: off
BROKEN = [
    # what is done to the host, what is short, the line
    (lambda r: (r / WANTS / "v2g.service").unlink(), "unit v2g", (COMMAND, "sudo systemctl enable --now v2g")),
    (lambda r: (r / UNITS / "v2g-telemetry.service").unlink(), "unit v2g-telemetry", INSTALL),
    (lambda r: (r / "opt/v2g/current/bin/v2g").unlink(), "program", INSTALL),
    (lambda r: (r / "etc/passwd").write_text("root:x:0:0:\n"), "user", (COMMAND, "sudo systemd-sysusers")),
    (lambda r: (r / "etc/group").write_text("dialout:x:20:pi\n"), "user", (COMMAND, "sudo usermod -aG dialout v2g")),
    (lambda r: (r / "usr/local/lib/udev/rules.d/90-v2g.rules").unlink(), "udev-rules", INSTALL),
    (lambda r: (r / "etc/v2g/credentials").rmdir(), "credentials", (COMMAND, "sudo systemd-tmpfiles --create")),
    (secret, "credentials", (COMMAND, "sudo chmod -R go= /etc/v2g/credentials")),
    (drop_in("[Service]\nLimitRTPRIO=0\n"), "unit-lines v2g", (EDIT, "LimitRTPRIO=90")),
    (drop_in("[Unit]\nStartLimitIntervalSec=10\n"), "unit-lines v2g",
     ("by sudo systemctl edit v2g, below [Unit]", "StartLimitIntervalSec=0")),
]
# fmt: on


@pytest.mark.parametrize(("breaks", "title", "line"), BROKEN, ids=[f"{c[1]}: {c[2][1]}" for c in BROKEN])
def test_what_is_missing_has_its_line(
    host: Path, breaks: Callable[[Path], object], title: str, line: tuple[str, str]
) -> None:
    chosen = site(host)
    breaks(host)
    assert shortfalls(host, chosen) == [(title, [line])]


def test_without_a_site_file(host: Path) -> None:
    (host / "etc/v2g/site.yaml").unlink()
    found = services(Host(host), answers(), None)
    assert [(f.name, f.mend[0].line) for f in found if f.verdict == SHORT] == [
        ("site-file", "sudo cp /etc/v2g/site.example.yaml /etc/v2g/site.yaml")
    ]


# fmt: off
REACHED = [
    # address       drop-in of the owner's                     let through  why
    ("192.168.1.9", "",                                        True,        "a private network"),
    ("127.0.0.1",   "",                                        True,        "this machine"),
    ("203.0.113.7", "",                                        False,       "the internet"),
    ("203.0.113.7", "[Service]\nIPAddressAllow=203.0.113.7\n", True,        "the owner's word"),
    ("203.0.113.7", "[Service]\nIPAddressAllow=any\n",         True,        "the owner lets everything through"),
    ("203.0.113.7", "[Service]\nIPAddressDeny=\n",             True,        "the owner's unit has no firewall"),
]
# fmt: on


@pytest.mark.parametrize(("address", "text", "through", "why"), REACHED, ids=[c[-1] for c in REACHED])
def test_the_units_own_firewall(host: Path, address: str, text: str, through: bool, why: str) -> None:
    chosen = site(host, "host: 192.168.1.50", f"host: {address}")
    drop_in(text)(host)
    expected = [] if through else [(f"unit-network v2g meter {address}", [(EDIT, f"IPAddressAllow={address}")])]
    assert shortfalls(host, chosen) == expected, why


def test_can_needs_its_drop_in(host: Path) -> None:
    chosen = site(host)
    chosen = replace(chosen, inverter=replace(chosen.inverter, host=None, can="can0"))
    mend = (EDIT, "RestrictAddressFamilies=AF_CAN")
    assert shortfalls(host, chosen) == [("can-sockets v2g", [mend])]
    drop_in((ROOT / "systemd/can.conf").read_text())(host)
    assert shortfalls(host, chosen) == []


# ---- what telemetry and bridge connect to ----

PUBLIC = "203.0.113.7"
NAMED = "broker.example"  # answers say that its address is PUBLIC
INFLUX = f"  store: {{kind: victoriametrics, url: 'http://{PUBLIC}:8428'}}\n"
ONE = f"IPAddressAllow={PUBLIC}"
# fmt: off
SERVERS = [
    # the broker's keys   more of telemetry  bridge  what is short: unit, role and host, the line
    (f"host: {PUBLIC}",   "",                False,  [("v2g-telemetry", f"broker {PUBLIC}", ONE)]),
    (f"host: {NAMED}",    "",                False,  [("v2g-telemetry", f"broker {NAMED}",  "IPAddressAllow=any")]),
    (f"host: {PUBLIC}",   "",                True,   [("v2g-telemetry", f"broker {PUBLIC}", ONE),
                                                      ("v2g-bridge",    f"broker {PUBLIC}", ONE)]),
    ("host: 192.168.1.2", INFLUX,            True,   [("v2g-bridge",    f"store {PUBLIC}",  ONE)]),
    ("host: 192.168.1.2", INFLUX,            False,  []),
    ("",                  INFLUX,            False,  [("v2g-telemetry", f"store {PUBLIC}",  ONE)]),
]
# fmt: on


@pytest.mark.parametrize(("mqtt", "more", "bridge", "expected"), SERVERS)
def test_a_server_in_the_internet_is_told_with_its_line(
    host: Path, mqtt: str, more: str, bridge: bool, expected: list[tuple[str, str, str]]
) -> None:
    """A bridge that does not start with this machine is another's matter; without a broker telemetry writes itself."""
    chosen = with_broker(host, mqtt, more) if mqtt else site(host, "telemetry:\n", f"telemetry:\n{more}")
    if bridge:
        (host / WANTS / "v2g-bridge.service").symlink_to(host / UNITS / "v2g-bridge.service")
    kernel = answers(address=lambda name: PUBLIC if name == NAMED else name)
    short = [f for f in services(Host(host), kernel, chosen) if f.verdict != OK]
    edit = "by sudo systemctl edit {}, below [Service]".format
    wanted = [(f"{unit} {server}", (Mend(edit(unit), line),)) for unit, server, line in expected]
    assert [(f.of, f.mend) for f in short] == wanted


def test_the_example_opens_telemetry_to_a_broker_in_the_internet_and_not_the_core(host: Path) -> None:
    chosen = with_broker(host, f"host: {PUBLIC}")
    drop_in((ROOT / "systemd/broker.conf").read_text(), "v2g-telemetry")(host)
    assert shortfalls(host, chosen) == []
    chosen = replace(chosen, meter=replace(chosen.meter, host=PUBLIC))
    assert [title for title, _ in shortfalls(host, chosen)] == [f"unit-network v2g meter {PUBLIC}"]


# ---- certificates ----


def lay_certificates(root: Path, group: str) -> None:
    """All three, readable to the group alone, which is ours or is called v2g."""
    (root / "etc/group").write_text(f"dialout:x:20:pi,v2g\nv2g:x:{os.getegid()}:\n")
    (root / "etc/passwd").write_text(f"v2g:x:61234:{os.getegid() if group == 'v2g' else 61234}::/:/bin/false\n")
    (root / "etc/v2g/tls").mkdir()
    for name in ("ca.pem", "house.pem", "house.key"):
        (root / "etc/v2g/tls" / name).touch(mode=0o640)


def test_certificates_that_the_service_reads(host: Path) -> None:
    lay_certificates(host, "v2g")
    assert shortfalls(host, with_broker(host)) == []


def test_a_key_that_the_service_cannot_read(host: Path) -> None:
    lay_certificates(host, "v2g")
    (host / "etc/v2g/tls/house.key").chmod(0o600)
    lines = [(COMMAND, f"sudo {do} /etc/v2g/tls/house.key") for do in ("chgrp v2g", "chmod 640")]
    assert shortfalls(host, with_broker(host)) == [("certificates", lines)]


def test_files_of_another_group(host: Path) -> None:
    lay_certificates(host, "another")
    [(title, lines)] = shortfalls(host, with_broker(host))
    assert (title, len(lines)) == ("certificates", 6)


def test_a_certificate_that_is_a_credential_would_not_be_renewed(host: Path) -> None:
    tls = "tls: {ca: /etc/v2g/tls/ca.pem, certificate: /etc/v2g/tls/house.pem, key: v2g_house.key}"
    where = "in /etc/v2g/site.yaml, below tls, with the file put there"
    chosen = with_broker(host, f"host: 192.168.1.2, {tls}")
    assert shortfalls(host, chosen) == [("certificates", [(where, "key: /etc/v2g/tls/house.key")])]


def test_certificates_that_are_not_there(host: Path) -> None:
    [found] = [f for f in services(Host(host), answers(), with_broker(host)) if f.name == "certificates"]
    assert (found.verdict, found.found.endswith("/etc/v2g/tls/ca.pem: No such file or directory")) == (UNKNOWN, True)
