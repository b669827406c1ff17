"""sd_notify against a real datagram socket."""

from __future__ import annotations

import resource
import secrets
import socket
from pathlib import Path

import pytest

from controller.notify import notify


def listening(address: str) -> socket.socket:
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    channel.bind(address)
    channel.settimeout(5)
    return channel


def test_states_arrive_in_one_datagram(tmp_path: Path) -> None:
    with listening(str(tmp_path / "notify")) as channel:
        assert notify("READY=1", "STATUS=in service, 3 000 W", environ={"NOTIFY_SOCKET": str(tmp_path / "notify")})
        assert channel.recv(1000) == b"READY=1\nSTATUS=in service, 3 000 W"


def test_an_abstract_socket() -> None:
    name = f"v2g-test-{secrets.token_hex(8)}"
    with listening("\0" + name) as channel:
        assert notify("WATCHDOG=1", environ={"NOTIFY_SOCKET": "@" + name})
        assert channel.recv(1000) == b"WATCHDOG=1"


# fmt: off
NOBODY = [
    # environment                          why
    ({},                                   "not started by systemd"),
    ({"NOTIFY_SOCKET": ""},                "empty"),
    ({"NOTIFY_SOCKET": "relative"},        "neither a path nor an abstract name"),
    ({"NOTIFY_SOCKET": "/nowhere/notify"}, "nobody listens"),
    ({"NOTIFY_SOCKET": "/" + "x" * 200},   "longer than a socket's address"),
]
# fmt: on


@pytest.mark.parametrize(("environ", "why"), NOBODY, ids=[c[-1] for c in NOBODY])
def test_without_a_listener_nothing_happens(environ: dict[str, str], why: str) -> None:
    assert not notify("READY=1", environ=environ), why


def test_a_listener_that_reads_nothing_does_not_block_us(tmp_path: Path) -> None:
    with listening(str(tmp_path / "notify")):
        sent = [notify("WATCHDOG=1", environ={"NOTIFY_SOCKET": str(tmp_path / "notify")}) for _ in range(2000)]
    assert sent[0]
    assert not sent[-1]


def test_a_host_without_a_free_descriptor_is_no_reason_to_end(tmp_path: Path) -> None:
    """The core says so four times a second, and whoever leaks descriptors is another program."""
    environ = {"NOTIFY_SOCKET": str(tmp_path / "notify")}
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    with listening(environ["NOTIFY_SOCKET"]):
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, before[1]))
        try:
            assert not notify("WATCHDOG=1", environ=environ)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
        assert notify("WATCHDOG=1", environ=environ)
