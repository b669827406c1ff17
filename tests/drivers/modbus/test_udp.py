"""Modbus over UDP against a scripted device: a datagram is one answer or none, and only the asked one counts."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from cython_core.realtime.mailbox import Mailbox
from cython_core.records import Measurement
from drivers.mapfile import load_map
from drivers.modbus.bus import Bus
from drivers.modbus.codes import Fault
from drivers.modbus.link import TcpLink, UdpLink
from drivers.modbus.wire import Wire
from drivers.registermap import meter_plan
from drivers.sunspec.wire import link_from_json, link_to_json
from tests.drivers.modbus.scripted import Request, reply, wait

RIGHT = (0x1234, 0x5678)
Datagrams = list[bytes]


def answer(request: Request, *words: int, transaction: int | None = None) -> bytes:
    """A right reply to a read, with these words in it."""
    pdu = struct.pack(f">BB{len(words)}H", request.function, 2 * len(words), *words)
    return reply(request, pdu, transaction=transaction)


def right(request: Request) -> Datagrams:
    return [answer(request, *RIGHT)]


@dataclass
class Device:
    """A datagram socket; `rule` says what it sends for a request. Every request is kept, with its sender."""

    rule: Callable[[Request], Datagrams]
    requests: list[Request] = field(default_factory=list)
    senders: list[tuple[str, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.link = UdpLink("127.0.0.1", self.socket.getsockname()[1])
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                data, sender = self.socket.recvfrom(512)
                if not data:
                    return
                transaction, _, _, unit = struct.unpack(">HHHB", data[:7])
                number = len(set(self.senders) | {sender})
                request = Request(connection=number, transaction=transaction, unit=unit, pdu=data[7:])
                self.requests.append(request)
                self.senders.append(sender)
                for datagram in self.rule(request):
                    self.socket.sendto(datagram, sender)


@contextmanager
def device(rule: Callable[[Request], Datagrams] = right) -> Iterator[Device]:
    d = Device(rule)
    try:
        yield d
    finally:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
            end.sendto(b"", ("127.0.0.1", d.link.port))
        d.socket.close()


def test_a_question_and_its_answer_are_a_datagram_each() -> None:
    with device() as d:
        wire = Wire(d.link, timeout_ms=500)
        assert wire.read(7, 3, 0x3032, 2) == (Fault.OK, RIGHT)
        (asked,) = d.requests
        assert (asked.unit, asked.pdu) == (7, bytes.fromhex("03 3032 0002"))
        assert wire.write(7, 6, 100, [5]) is not Fault.OK  # this device answers a write with a read
        assert d.requests[1].pdu == bytes.fromhex("06 0064 0005")


def before(*others: Callable[[Request], bytes]) -> Callable[[Request], Datagrams]:
    """These datagrams, then the right one."""
    return lambda r: [*(other(r) for other in others), *right(r)]


# fmt: off
DROPPED = [
    # what comes before the answer, in the same try                           why
    (lambda r: answer(r, 7, 7, transaction=r.transaction - 1),                "the answer to the question before"),
    (lambda r: answer(r, 7, 7, transaction=r.transaction + 1),                "an answer to nothing asked yet"),
    (lambda r: answer(r, 7, 7, transaction=0xDEAD),                           "somebody else's, sent to us"),
    (lambda r: answer(r, 7, 7)[:9],                                           "cut short: the rest never comes"),
    (lambda r: answer(r, 7, 7) * 2,                                           "two frames in one datagram"),
    (lambda r: answer(r, 7, 7) + b"\0",                                       "a byte too many"),
    (lambda _: b"\xff" * 500,                                                 "garbage"),
]
# fmt: on


@pytest.mark.parametrize(("other", "why"), DROPPED, ids=[c[-1] for c in DROPPED])
def test_what_does_not_answer_is_dropped_and_the_answer_still_counts(
    other: Callable[[Request], bytes], why: str
) -> None:
    with device(before(other)) as d:
        wire = Wire(d.link, timeout_ms=500)
        assert wire.read(1, 3, 0, 2) == (Fault.OK, RIGHT), why
        stats = wire.stats()
        assert (len(d.requests), stats.late, stats.bad_frames, stats.timeouts) == (1, 1, 0, 0)


# fmt: off
MENDED = [
    # the first try's answer                              counted as    why
    (lambda _: [],                                        "timeouts",   "lost on the way"),
    (lambda r: [answer(r, 7, 7, transaction=9)],          "timeouts",   "never the right one"),
    (lambda r: [answer(r, 7)],                            "bad_frames", "the right id, too few words"),
    (lambda r: [reply(r, b"\x03\x04\0\7\0\7", unit=9)],   "bad_frames", "the right id, another unit"),
]
# fmt: on


@pytest.mark.parametrize(("bad", "counter", "why"), MENDED, ids=[c[-1] for c in MENDED])
def test_one_retry_mends_a_mishap(bad: Callable[[Request], Datagrams], counter: str, why: str) -> None:
    with device(lambda r: bad(r) if len(d.requests) == 1 else right(r)) as d:
        wire = Wire(d.link, timeout_ms=60)
        assert wire.read(1, 3, 0, 2) == (Fault.OK, RIGHT), why
        assert (len(d.requests), getattr(wire.stats(), counter)) == (2, 1)
        assert d.requests[0].transaction != d.requests[1].transaction  # so a late first answer is told from the second


def test_the_device_may_say_no() -> None:
    with device(lambda r: [reply(r, bytes([r.function | 0x80, 2]))]) as d:
        wire = Wire(d.link, timeout_ms=500)
        assert wire.read(1, 3, 0, 2) == (Fault.EXCEPTION, ())
        assert (wire.stats().last_exception, len(d.requests)) == (2, 1)


def test_a_device_that_is_silent_is_asked_from_a_new_socket_after_a_while() -> None:
    """A router between may have forgotten the old one."""
    with device(lambda _: []) as d:
        wire = Wire(d.link, timeout_ms=10)
        wait(lambda: len(set(d.senders)) >= 2, meanwhile=lambda: wire.read(1, 3, 0, 2))
        assert len(d.senders) > 2  # not from a new one each time


def test_nobody_there() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    wire = Wire(UdpLink("127.0.0.1", port), timeout_ms=50)
    for _ in range(4):
        fault, words = wire.read(1, 3, 0, 2)
        assert fault in (Fault.CLOSED, Fault.NOT_CONNECTED, Fault.TIMEOUT)
        assert words == ()
    assert wire.stats().answers == 0


def test_nobody_else_is_heard() -> None:
    """A connected socket: a datagram from another address is not even read."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:

        def rule(r: Request) -> Datagrams:
            other.sendto(answer(r, 7, 7), d.senders[-1])
            return right(r)

        with device(rule) as d:
            wire = Wire(d.link, timeout_ms=500)
            assert wire.read(1, 3, 0, 2) == (Fault.OK, RIGHT)
            assert wire.stats().late == 0


def test_a_meter_on_its_bus() -> None:
    """Victron's meter as it answers: one request for all, and the measurement is there."""
    words = {0x3032: 4999, 0x3040: 23272, 0x3048: 23320, 0x3050: 23221, 0x3080: 0xFFFF, 0x3081: 0xFC18}

    def rule(r: Request) -> Datagrams:
        return [answer(r, *(words.get(r.address + i, 0) for i in range(r.count)))]

    plan = meter_plan(load_map("victron-vm-3p75ct"), 1, "L1L2L3", 300)
    with device(rule) as d:
        out = Mailbox(Measurement)
        bus = Bus(d.link)
        bus.meter(plan, 0, out)
        bus.start()
        try:
            seen: list[Measurement] = []
            wait(lambda: seen, meanwhile=lambda: seen.extend(m for m in [out.get()] if m is not None and m.valid))
        finally:
            bus.stop()
    assert [(r.address, r.count) for r in d.requests[:1]] == [(0x3032, 0x50)]
    m = seen[0]
    assert (m.f_hz, m.v1_v, m.v2_v, m.v3_v) == pytest.approx((49.99, 232.72, 233.2, 232.21))
    assert m.p_w == 1000.0  # the meter says -1000: export


def test_a_link_is_told_from_a_tcp_link() -> None:
    udp, tcp = UdpLink("h", 502), TcpLink("h", 502)
    assert udp != tcp
    assert str(udp) == "h:502/udp"
    assert [link_from_json(link_to_json(link)) for link in (udp, tcp)] == [udp, tcp]
    with pytest.raises(ValueError, match=r"h: port 0 is outside 1 \.\.\. 65535"):
        UdpLink("h", 0)
