"""The C programs on libmodbus do what the measurements take for granted."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.need import missing
from tests.peers.c.build import NotHereError, built
from tests.peers.c.libmodbus import FREQUENCY, SETPOINT, Client, Server, controller
from tests.peers.c.program import CommandError

pytestmark = pytest.mark.system

MS = 1_000_000
PERIOD_MS = 20


@pytest.fixture(autouse=True)
def libmodbus() -> None:
    try:
        built("modbus_server")
    except NotHereError as error:
        missing("a tool", str(error))


@pytest.mark.parametrize("quick", [False, True], ids=["whole", "quick"])
@pytest.mark.parametrize("framing", ["tcp", "rtu"])
def test_a_client_reads_what_its_server_holds(tmp_path: Path, framing: str, quick: bool) -> None:
    link = tmp_path / "line" if framing == "rtu" else None
    with Server(link, quick=quick) as server:
        server.word(1, 4711)
        with Client(link or server.port) as client:
            words, taken_ns = client.read(60, 20)
    assert words == [0, 4711, *range(2, 60)]
    assert len(taken_ns) == 20
    assert min(taken_ns) > 0


def test_a_rest_is_taken_and_in_nobodys_time() -> None:
    with Server() as server, Client(server.port) as client:
        begin_ns = time.monotonic_ns()
        _, taken_ns = client.read(1, 10, rest_us=20_000)
        assert time.monotonic_ns() - begin_ns >= 10 * 20 * MS
    assert min(taken_ns) < 20 * MS


def test_a_controller_follows_within_its_period() -> None:
    """An even spread over the period: the quickest at once, the slowest a period later, the median half of one."""
    with Server() as server:
        server.word(FREQUENCY, 50100)
        with controller(server.port, PERIOD_MS * 1000, priority=0):
            taken = [ns / MS / PERIOD_MS for ns in server.react(34, PERIOD_MS * 1000, 2, 50100, 50600)]
        assert server.words(SETPOINT, 1) == (65536 - 400,)
    assert sorted(taken)[17] == pytest.approx(0.5, abs=0.15)
    assert min(taken) < 0.2


def test_a_change_that_nobody_follows() -> None:
    with Server() as server, pytest.raises(CommandError, match="1 of 1 changes were never followed by a set-point"):
        server.react(1, 1000, 2, 50100, 50600)
