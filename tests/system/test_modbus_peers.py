"""Our Modbus master and our simulator against others' servers and clients, over TCP and RTU.

A scripted device and a master by the same authors could share a misreading of the specification. libmodbus and pymodbus
share no line with us nor with each other; mbpoll is what a commissioning engineer types.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import pytest

from drivers.modbus.codes import Fault
from drivers.modbus.link import SerialLink, TcpLink
from drivers.modbus.wire import Wire
from tests.drivers.sim.conftest import Simulation, until
from tests.need import missing, tool
from tests.peers.c.build import NotHereError
from tests.peers.c.libmodbus import UNIT, Server
from tests.peers.cable import cable
from tests.peers.pymodbus_server import pymodbus_server

# ---- our master, their servers ----


class Peer(Protocol):
    """A server of 1000 registers that hold their own addresses, as it looks from its own side."""

    def words(self, address: int, count: int) -> tuple[int, ...]: ...


def libmodbus_tcp(stack: ExitStack, folder: Path) -> tuple[Peer, Wire]:
    server = stack.enter_context(Server())
    return server, Wire(TcpLink("127.0.0.1", server.port), timeout_ms=1000)


def libmodbus_rtu(stack: ExitStack, folder: Path) -> tuple[Peer, Wire]:
    server = stack.enter_context(Server(folder / "line"))
    return server, Wire(SerialLink(str(folder / "line"), 19200), timeout_ms=1000)


def pymodbus_tcp(stack: ExitStack, folder: Path) -> tuple[Peer, Wire]:
    server = stack.enter_context(pymodbus_server())
    return server, Wire(TcpLink("127.0.0.1", server.port), timeout_ms=1000)


def pymodbus_rtu(stack: ExitStack, folder: Path) -> tuple[Peer, Wire]:
    here, there = stack.enter_context(cable())
    server = stack.enter_context(pymodbus_server(there))
    return server, Wire(SerialLink(here, 19200), timeout_ms=1000)


PEERS = [libmodbus_tcp, libmodbus_rtu, pymodbus_tcp, pymodbus_rtu]


@pytest.fixture(scope="module", params=PEERS, ids=lambda make: make.__name__)
def talk(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Peer, Wire]]:
    """One server and one wire for all rows: what a row leaves on the line would spoil the next."""
    with ExitStack() as stack:
        try:
            peer, wire = request.param(stack, tmp_path_factory.mktemp("line"))
        except NotHereError as error:
            missing("a tool", str(error))
        yield peer, wire
        wire.close()


def plain(first: int, count: int) -> tuple[int, ...]:
    return tuple(range(first, first + count))


MOST = list(range(5000, 5123))
OK, NO = Fault.OK, Fault.EXCEPTION

# fmt: off
TALK: list[tuple[str, tuple[Any, ...], Any, int, tuple[int, ...], str]] = [
    # request    with                  answer                at   words there           why
    ("read",     (3, 7, 1),            (OK, (7,)),           7,   (7,),                 "function 3"),
    ("read",     (4, 256, 2),          (OK, (256, 257)),     256, (256, 257),           "function 4, both bytes"),
    ("read",     (3, 0, 125),          (OK, plain(0, 125)),  0,   (0,),                 "as many as one may ask"),
    ("read",     (4, 999, 1),          (OK, (999,)),         999, (999,),               "the last one"),
    ("write",    (6, 600, [0xBEEF]),   OK,                   599, (599, 0xBEEF, 601),   "function 6"),
    ("write",    (16, 610, [1, 65535]), OK,                  609, (609, 1, 65535, 612), "function 16"),
    ("write",    (16, 620, [9]),       OK,                   620, (9, 621),             "of a single word"),
    ("write",    (16, 700, MOST),      OK,                   700, tuple(MOST),          "as many as one may write"),
    ("exchange", (5, 2, 900, [77]),    (OK, (5, 6)),         900, (77, 901),            "function 23"),
    ("exchange", (910, 3, 911, [1, 2]), (OK, (910, 1, 2)),   911, (1, 2, 913),          "it writes before it reads"),
    ("read",     (3, 999, 2),          (NO, ()),             999, (999,),               "a read beyond the last"),
    ("write",    (6, 1000, [1]),       NO,                   999, (999,),               "a write beyond it"),
    ("write",    (16, 999, [1, 2]),    NO,                   999, (999,),               "half beyond: none is written"),
    ("exchange", (999, 2, 5, [1]),     (NO, ()),             998, (998,),               "function 23, a read beyond"),
]
# fmt: on


@pytest.mark.parametrize(("request_", "with_", "answer", "at", "there", "why"), TALK, ids=[c[-1] for c in TALK])
def test_our_master(
    talk: tuple[Peer, Wire],
    request_: str,
    with_: tuple[Any, ...],
    answer: Any,
    at: int,
    there: tuple[int, ...],
    why: str,
) -> None:
    peer, wire = talk
    before = wire.stats()
    assert getattr(wire, request_)(UNIT, *with_) == answer
    assert peer.words(at, len(there)) == there
    after = wire.stats()
    refused = answer in (NO, (NO, ()))
    assert after.exceptions - before.exceptions == refused
    assert not refused or after.last_exception == 2  # illegal data address
    assert (after.timeouts, after.bad_frames, after.reconnects) == (0, 0, 0)


# ---- their clients, our simulator ----

F_HZ, CHAIN, W_SET = 70, 40000, 40301
STEADY = "t_s,f_hz,v_pu\n0,50.02,1\n10,50.02,1\n"


def mbpoll(where: list[str], *arguments: str) -> str:
    """Once; whatever it says."""
    command = [tool("mbpoll"), "-0", "-1", *where, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    return done.stdout + done.stderr


@pytest.fixture
def simulation(tmp_path: Path) -> Iterator[Simulation]:
    running = Simulation(tmp_path)
    yield running
    running.close()


def values(text: str) -> list[str]:
    """[70]:     50.02 -> 50.02; a word that may be negative stands twice: 65336 (-200)."""
    return re.findall(r"^\[\d+\]:\s+(\S+)", text, re.MULTILINE)


@pytest.fixture(params=["tcp", "rtu"])
def where(request: pytest.FixtureRequest, simulation: Simulation) -> Iterator[list[str]]:
    """A meter (unit 1) and an inverter (unit 2) behind one endpoint, and how mbpoll is told of it."""
    tool("mbpoll")
    trace = simulation.folder / "trace.csv"
    trace.write_text(STEADY)
    simulation.grid("--trace", str(trace))
    file = simulation.folder / "where"
    with cable() as (here, there):
        line = ["--serial", there, "--baud", "9600"] if request.param == "rtu" else ["--port", "0"]
        simulation.start("pair", "--inverter-unit", "2", "--port-file", str(file), *line)
        until(file.exists, "the pair")
        tcp = ["-m", "tcp", "-p", file.read_text().strip(), "127.0.0.1"]
        yield tcp if request.param == "tcp" else ["-m", "rtu", "-b", "9600", "-P", "none", here]


def test_mbpoll_reads_the_meter(where: list[str]) -> None:
    def shown() -> list[str]:
        return values(mbpoll(where, "-a", "1", "-t", "3:float", "-B", "-r", str(F_HZ)))

    until(lambda: [float(v) for v in shown()] == [pytest.approx(50.02, abs=0.01)], "the trace's frequency")


def test_mbpoll_sees_what_is_refused(where: list[str]) -> None:
    assert "Illegal data address" in mbpoll(where, "-a", "1", "-t", "3", "-r", "400")
    assert "Illegal function" in mbpoll(where, "-a", "1", "-t", "4", "-r", "0")


def test_mbpoll_sets_the_inverter(where: list[str], simulation: Simulation) -> None:
    """SunS, then 2 kW of export (in tens of watts), reverting after 60 s, enabled at last."""
    assert values(mbpoll(where, "-a", "2", "-t", "4:hex", "-r", str(CHAIN), "-c", "2")) == ["0x5375", "0x6E53"]
    block = ["1", "0", "200", "0", "0", "0x8000", "0x8000", "1", "0", "60"]
    assert "Written 10 references" in mbpoll(where, "-a", "2", "-t", "4", "-r", str(W_SET - 1), *block)
    assert "Written 1 references" in mbpoll(where, "-a", "2", "-t", "4", "-r", str(W_SET - 2), "1")
    until(lambda: simulation.bar.get("p_w") > 1900, "2 kW of export")
