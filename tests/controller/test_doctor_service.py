"""v2g doctor --system: a host as `make install` leaves it is fit; what is missing is named, with the line for it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from controller.doctor.finding import OK, SHORT, Host
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
    chosen = site(host)
    chosen = replace(chosen, inverter=replace(chosen.inverter, can="can0"))
    assert list(dict.fromkeys(f.name for f in services(Host(host), answers(), chosen))) == list(OF_SERVICES)


def drop_in(text: str) -> Callable[[Path], None]:
    def write(root: Path) -> None:
        path = root / "etc/systemd/system/v2g.service.d/override.conf"
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
