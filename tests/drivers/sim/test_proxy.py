"""The fault proxy between our own Modbus master and a device that follows the specification: over TCP, over a line."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from drivers.modbus.codes import Fault
from drivers.modbus.link import SerialLink, TcpLink
from drivers.modbus.wire import Wire
from drivers.sim.faultscript import Action, parse
from drivers.sim.faultwords import InverterFace, MeterFace
from drivers.sim.proxy import Proxy, ProxyError, SerialProxy, TcpProxy
from drivers.sim.rawframe import Frame, RtuFraming, read_answer
from tests.drivers.modbus.scripted import Device, device

WORDS = {70: 0x4270, 71: 0}  # 60.0
TIMEOUT_MS = 200


def action(text: str) -> Action:
    return parse(f"at 0s: {text}", "f")[0]


@contextlib.contextmanager
def proxied(d: Device, target: str = "meter") -> Iterator[TcpProxy]:
    proxy = TcpProxy({target: MeterFace() if target == "meter" else InverterFace()}, d.port)
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.stop()


@pytest.fixture
def behind() -> Iterator[tuple[Device, TcpProxy, Wire]]:
    with device(WORDS) as d, proxied(d) as proxy:
        wire = Wire(TcpLink("127.0.0.1", proxy.port), TIMEOUT_MS)
        yield d, proxy, wire
        wire.close()


def read(wire: Wire) -> tuple[Fault, tuple[int, ...]]:
    fault, words = wire.read(1, 4, 70, 2)
    return fault, tuple(words)


GOOD = (Fault.OK, (0x4270, 0))
# fmt: off
FAULTS = [
    # fault                what our master says                   why
    ("meter.delay 30ms",   GOOD,                                  "inside the time-out"),
    ("meter.delay 300ms",  (Fault.TIMEOUT, ()),                   "beyond it; the retry too"),
    ("meter.drip 1ms",     GOOD,                                  "13 bytes in 12 ms"),
    ("meter.drip 100ms",   (Fault.SHORT, ()),                     "13 bytes in 1.2 s"),
    ("meter.silent",       (Fault.TIMEOUT, ()),                   "taken, not answered"),
    ("meter.exception 6",  (Fault.EXCEPTION, ()),                 "the device says no"),
    ("meter.truncate",     (Fault.SHORT, ()),                     "half an answer"),
    ("meter.wrong_id",     (Fault.BAD_TRANSACTION, ()),           "a number that was never sent"),
    ("meter.wrong_unit",   (Fault.BAD_UNIT, ()),                  "another unit's answer"),
    ("meter.duplicate",    GOOD,                                  "the second one is late"),
    ("meter.nan",          (Fault.OK, (0x7FC0, 0)),               "right in form"),
    ("meter.freeze",       GOOD,                                  "the first answer goes through"),
    ("meter.reset",        (Fault.CLOSED, ()),                    "the connection is reset"),
    ("meter.refuse",       (Fault.NOT_CONNECTED, ()),             "nobody listens"),
]
# fmt: on


@pytest.mark.parametrize(("text", "says", "why"), FAULTS, ids=[c[0] for c in FAULTS])
def test_a_fault_in_the_eyes_of_our_master_and_its_end(
    behind: tuple[Device, TcpProxy, Wire], text: str, says: tuple[Fault, tuple[int, ...]], why: str
) -> None:
    _, proxy, wire = behind
    assert read(wire) == GOOD
    fault = action(text)
    proxy.begin(fault)
    assert read(wire) == says or (says[0] is Fault.CLOSED and read(wire)[0] is Fault.NOT_CONNECTED), why
    proxy.end(fault)
    assert eventually(lambda: read(wire) == GOOD), "mended"


def eventually(claim: Callable[[], bool]) -> bool:
    """Within the patience for a broken build: a reconnect has its pauses."""
    end = time.monotonic() + 10.0
    while not claim():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def test_garbage_is_never_taken_for_a_value(behind: tuple[Device, TcpProxy, Wire]) -> None:
    _, proxy, wire = behind
    proxy.begin(action("meter.garbage"))
    assert all(read(wire)[0] is not Fault.OK for _ in range(20))


@pytest.mark.parametrize("text", ["meter.silent", "meter.exception 4", "meter.reset"])
def test_what_is_not_carried_out_does_not_reach_the_device(behind: tuple[Device, TcpProxy, Wire], text: str) -> None:
    d, proxy, wire = behind
    proxy.begin(action(text))
    read(wire)
    assert d.requests == []


def test_freeze_repeats_the_answer_of_its_begin(behind: tuple[Device, TcpProxy, Wire]) -> None:
    d, proxy, wire = behind
    proxy.begin(action("meter.freeze"))
    assert read(wire) == GOOD
    d.words[70] = 0x4271
    assert read(wire) == GOOD


def test_half_open_connections_carry_nothing_and_new_ones_do(behind: tuple[Device, TcpProxy, Wire]) -> None:
    _, proxy, wire = behind
    assert read(wire) == GOOD
    proxy.begin(action("meter.half_open"))
    assert read(wire)[0] is Fault.TIMEOUT, "nobody says that it is dead"
    other = Wire(TcpLink("127.0.0.1", proxy.port), TIMEOUT_MS)
    assert read(other) == GOOD
    other.close()


def test_refuse_keeps_the_port(behind: tuple[Device, TcpProxy, Wire]) -> None:
    """Nobody else can listen there meanwhile."""
    _, proxy, _ = behind
    proxy.begin(action("meter.refuse"))
    with socket.socket() as master:
        assert master.connect_ex(("127.0.0.1", proxy.port)) == errno.ECONNREFUSED
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", proxy.port))


def test_a_device_that_is_not_there_is_a_reset(behind: tuple[Device, TcpProxy, Wire]) -> None:
    d, _, wire = behind
    d.vanish()
    assert read(wire)[0] in (Fault.CLOSED, Fault.NOT_CONNECTED)
    d.listen()
    assert eventually(lambda: read(wire) == GOOD)


def test_another_master_writes_once() -> None:
    with device() as d, proxied(d, "inverter") as proxy:
        proxy.begin(action("inverter.overwrite 3000W"))
        assert d.written(40301) == [(0, 300)]


def test_faults_of_a_part_leave_the_others_alone() -> None:
    with device() as d, proxied(d, "inverter") as proxy:
        wire = Wire(TcpLink("127.0.0.1", proxy.port), TIMEOUT_MS)
        proxy.begin(action("inverter.exception writes 6"))
        assert wire.write(1, 16, 200, (1, 2)) is Fault.EXCEPTION
        assert wire.read(1, 3, 200, 2)[0] is Fault.OK
        wire.close()
        assert d.written(200) == []


def test_a_wire_without_the_target_refuses_its_fault(behind: tuple[Device, TcpProxy, Wire]) -> None:
    with pytest.raises(ProxyError, match=r"^f:1: 'inverter\.silent': no inverter on this wire"):
        behind[1].begin(action("inverter.silent"))


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_nothing_is_left_open() -> None:
    before = descriptors()
    threads = threading.active_count()
    with device(WORDS) as d, proxied(d) as proxy:
        wire = Wire(TcpLink("127.0.0.1", proxy.port), TIMEOUT_MS)
        for text in ("meter.reset 1s", "meter.refuse 1s", "meter.half_open"):
            assert eventually(lambda: read(wire) == GOOD)
            fault = action(text)
            proxy.begin(fault)
            read(wire)
            if fault.verb.lasts:
                proxy.end(fault)
        wire.close()
    assert eventually(lambda: descriptors() == before)
    assert eventually(lambda: threading.active_count() <= threads)


# ---- a serial line ----


class Units(threading.Thread):
    """Units 1 and 2 at the simulator's end of a line: each answers a read with its own number."""

    def __init__(self, path: str) -> None:
        super().__init__(daemon=True)
        self.fd = os.open(path, os.O_RDWR | os.O_NOCTTY)
        self.asked: list[Frame] = []

    def run(self) -> None:
        framing, held = RtuFraming(), bytearray()
        with contextlib.suppress(OSError):
            while data := os.read(self.fd, 256):
                held += data
                for request in framing.requests(held):
                    self.asked.append(request)
                    os.write(self.fd, framing.pack(Frame(request.unit, read_answer(request.function, [request.unit]))))


@pytest.fixture
def line() -> Iterator[tuple[Proxy, Wire, Units]]:
    proxy = SerialProxy({"meter": MeterFace(1), "inverter": InverterFace(2)})
    proxy.start()
    units = Units(proxy.far)
    units.start()
    wire = Wire(SerialLink(proxy.near, 115200), 50)
    yield proxy, wire, units
    wire.close()
    proxy.stop()
    units.join()
    os.close(units.fd)


NO_FRAME = {Fault.TIMEOUT, Fault.SHORT, Fault.BAD_CRC, Fault.BAD_FUNCTION, Fault.BAD_LENGTH}
# fmt: off
ON_A_LINE = [
    # fault                says to the meter's read     why
    ("meter.silent",       {Fault.TIMEOUT},             "no answer"),
    ("meter.truncate",     {Fault.SHORT},               "half an answer"),
    ("meter.garbage",      NO_FRAME,                    "depends on the bytes"),
    ("meter.wrong_unit",   {Fault.TIMEOUT, Fault.BAD_FUNCTION}, "not the unit that was asked: skipped as noise"),
    ("meter.exception 4",  {Fault.EXCEPTION},           "with a CRC that fits"),
    ("meter.delay 200ms",  {Fault.TIMEOUT},             "later than the time-out"),
    ("meter.duplicate",    {Fault.OK},                  "the second one is noise before the next request"),
]
# fmt: on


@pytest.mark.parametrize(("text", "says", "why"), ON_A_LINE, ids=[c[0] for c in ON_A_LINE])
def test_one_unit_of_a_line_is_spoiled_the_other_is_not(
    line: tuple[Proxy, Wire, Units], text: str, says: set[Fault], why: str
) -> None:
    proxy, wire, _ = line
    assert wire.read(1, 4, 70, 1) == (Fault.OK, (1,))
    fault = action(text)
    proxy.begin(fault)
    assert wire.read(1, 4, 70, 1)[0] in says, why
    assert wire.read(2, 3, 40000, 1) == (Fault.OK, (2,))
    proxy.end(fault)
    assert eventually(lambda: wire.read(1, 4, 70, 1) == (Fault.OK, (1,)))


def test_what_a_line_cannot_have(line: tuple[Proxy, Wire, Units]) -> None:
    with pytest.raises(ProxyError, match=r"^f:1: 'meter\.refuse' needs Modbus TCP; this wire is serial"):
        line[0].begin(action("meter.refuse"))
