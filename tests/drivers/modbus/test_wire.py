"""One connection against a device that misbehaves in every way a device can. Time-outs are short; none is measured."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable

import pytest

from drivers.base import BusError
from drivers.modbus.codes import Fault
from drivers.modbus.link import TcpLink
from drivers.modbus.wire import Wire, resolve
from tests.drivers.modbus.scripted import HANG_UP, Device, Request, device, reply, wait

WORDS = {0: 0x1234, 1: 0x5678}
RIGHT = (0x1234, 0x5678)


def answer(request: Request, *words: int) -> bytes:
    """A right reply to a read, with these words in it."""
    return reply(request, struct.pack(f">BB{len(words)}H", request.function, 2 * len(words), *words))


def once(bad: Callable[[Request], bytes]) -> Callable[[Request], bytes | None]:
    """This answer to the first request, right ones afterwards."""
    seen: list[Request] = []

    def rule(request: Request) -> bytes | None:
        seen.append(request)
        return bad(request) if len(seen) == 1 else None

    return rule


def unsent_id(request: Request) -> bytes:
    return reply(request, b"\x03\x04\0\7\0\7", transaction=request.transaction ^ 0x5555)


def other_unit(request: Request) -> bytes:
    return reply(request, b"\x03\x04\0\7\0\7", unit=9)


# what the device sends to the first of two tries; the second is answered rightly
# fmt: off
MISHAPS = [
    # answer to the first try                   counted as    reconnects  why
    (lambda _: b"",                             "timeouts",   False,      "silence"),
    (lambda r: answer(r, *RIGHT)[:9],           "timeouts",   True,       "half an answer: its rest may still come"),
    (lambda r: answer(r, *RIGHT)[:9] + HANG_UP, None,         True,       "closed in mid-frame"),
    (lambda _: HANG_UP,                         None,         True,       "closed"),
    (unsent_id,                                 "bad_frames", True,       "an id that was never sent"),
    (other_unit,                                "bad_frames", True,       "another unit"),
    (lambda r: answer(r, 7),                    "bad_frames", True,       "too few words"),
    (lambda r: answer(r, 7, 7) + b"\0",         "bad_frames", True,       "a byte too many"),
    (lambda r: reply(r, b"\x04\x04\0\7\0\7"),   "bad_frames", True,       "another function"),
    (lambda _: b"\xff" * 30,                    "bad_frames", True,       "garbage"),
    (lambda _: b"HTTP/1.1 400 Bad Request\r\n", "bad_frames", True,       "a web server"),
    (lambda _: b"\xff" * 900,                   "bad_frames", True,       "more garbage than fits"),
]
# fmt: on


@pytest.mark.parametrize(("bad", "counter", "reconnects", "why"), MISHAPS, ids=[c[-1] for c in MISHAPS])
def test_one_retry_mends_a_mishap(
    bad: Callable[[Request], bytes], counter: str | None, reconnects: bool, why: str
) -> None:
    with device(WORDS, once(bad)) as d:
        wire = Wire(TcpLink("127.0.0.1", d.port), timeout_ms=60)
        assert wire.read(1, 3, 0, 2) == (Fault.OK, RIGHT), why
        stats = wire.stats()
        counts = {name: getattr(stats, name) for name in ("timeouts", "bad_frames") if getattr(stats, name)}
        assert counts == ({counter: 1} if counter else {})
        assert (stats.attempts, stats.answers, stats.reconnects) == (2, 1, int(reconnects))


def test_an_exception_is_an_answer_and_needs_no_retry() -> None:
    with device(rule=lambda r: reply(r, bytes([r.function | 0x80, 2]))) as d:
        wire = Wire(TcpLink("127.0.0.1", d.port))
        assert wire.read(1, 3, 0, 2) == (Fault.EXCEPTION, ())
        assert wire.write(1, 16, 0, [1, 2]) is Fault.EXCEPTION
        stats = wire.stats()
        assert (stats.attempts, stats.exceptions, stats.last_exception, stats.connected) == (2, 2, 2, True)


def test_an_answer_in_pieces_is_one_answer() -> None:
    with device(WORDS) as d:
        wire = Wire(TcpLink("127.0.0.1", d.port), timeout_ms=1000)

        def drip(request: Request) -> bytes:
            whole = d.ordinary(request)
            for byte in whole[:-1]:
                d._sockets[0].sendall(bytes([byte]))
            return whole[-1:]

        d.rule = drip
        assert wire.read(1, 3, 0, 2) == (Fault.OK, RIGHT)


def test_an_answer_after_its_deadline_is_never_taken_as_the_next_one() -> None:
    held: list[bytes] = []

    def late(request: Request) -> bytes:
        """Each answer comes with the question after it, and says which question it was meant for."""
        held.append(answer(request, request.transaction, 0xDEAD))
        return held.pop(0) if len(held) > 1 else b""

    with device(rule=late) as d:
        wire = Wire(TcpLink("127.0.0.1", d.port), timeout_ms=40)
        results = [wire.read(1, 3, 0, 2) for _ in range(3)]
        assert all(fault is not Fault.OK for fault, _ in results)
        assert wire.stats().late >= 3


def test_a_late_answer_in_front_of_the_right_one_is_dropped() -> None:
    def rule(request: Request) -> bytes:
        if len(d.requests) == 1:
            return b""
        return reply(request, b"\x03\x04\0\7\0\7", transaction=request.transaction - 1) + answer(request, *RIGHT)

    with device() as d:
        d.rule = rule
        wire = Wire(TcpLink("127.0.0.1", d.port), timeout_ms=40)
        assert wire.read(1, 3, 0, 2) == (Fault.OK, RIGHT)
        assert (wire.stats().late, wire.stats().reconnects) == (1, 0)


def test_four_silent_tries_end_a_connection() -> None:
    with device(rule=lambda _request: b"") as d:
        wire = Wire(TcpLink("127.0.0.1", d.port), timeout_ms=20)
        assert wire.read(1, 3, 0, 2)[0] is Fault.TIMEOUT
        assert wire.stats().connected
        assert wire.read(1, 3, 0, 2)[0] is Fault.TIMEOUT
        assert not wire.stats().connected


def test_a_write_is_not_repeated_on_another_connection() -> None:
    with device(rule=once(lambda _request: HANG_UP)) as d:
        wire = Wire(TcpLink("127.0.0.1", d.port))
        assert wire.write(1, 16, 5, [1, 2]) is Fault.CLOSED  # the start writes have to come first there
        assert wire.write(1, 16, 5, [1, 2]) is Fault.OK
        assert [r.connection for r in d.requests] == [1, 2]


def test_a_silent_write_is_repeated_once_under_a_new_transaction() -> None:
    with device(rule=once(lambda _request: b"")) as d:
        wire = Wire(TcpLink("127.0.0.1", d.port), timeout_ms=40)
        assert wire.write(1, 6, 5, [77]) is Fault.OK
        first, second = d.requests
        assert (first.pdu, first.connection) == (second.pdu, second.connection)
        assert first.transaction != second.transaction


def test_no_device_and_back_off() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    wire = Wire(TcpLink("127.0.0.1", port), timeout_ms=100)
    assert wire.read(1, 3, 0, 2)[0] is Fault.NOT_CONNECTED
    with device(WORDS) as d:
        d._server.close()
        d.port = port
        d.listen()
        assert wire.read(1, 3, 0, 2)[0] is Fault.NOT_CONNECTED  # the back-off is running
        wait(lambda: wire.read(1, 3, 0, 2)[0] is Fault.OK)
        assert wire.stats().attempts > wire.stats().answers


def test_reconnect_after_the_device_was_away() -> None:
    with device(WORDS) as d:
        wire = Wire(TcpLink("127.0.0.1", d.port), timeout_ms=100)
        assert wire.read(1, 3, 0, 2) == (Fault.OK, RIGHT)
        d.vanish()
        assert wire.read(1, 3, 0, 2)[0] is not Fault.OK
        d.listen()
        wait(lambda: wire.read(1, 3, 0, 2) == (Fault.OK, RIGHT))
        assert wire.stats().reconnects == 1


def test_transactions_wrap_around() -> None:
    def rule(request: Request) -> None:
        seen.add(request.transaction)
        d.requests.clear()

    seen: set[int] = set()
    with device(WORDS) as d:
        d.rule = rule
        wire = Wire(TcpLink("127.0.0.1", d.port), timeout_ms=1000)
        wire.skip_transactions(65530)
        assert all(wire.read(1, 3, 0, 2) == (Fault.OK, RIGHT) for _ in range(12))
    assert seen == {*range(65531, 65536), *range(7)}


def test_a_name_that_is_none() -> None:
    with pytest.raises(BusError, match=r"no.such.host.invalid:502: no IPv4 address of this name"):
        resolve("no.such.host.invalid", 502)
    with pytest.raises(ValueError, match=r"127.0.0.1: port 0 is outside 1 ... 65535"):
        TcpLink("127.0.0.1", 0)


def test_a_device_is_a_device() -> None:
    """The scripted device itself: what it is given it gives back."""
    with device() as d:
        assert isinstance(d, Device)
        wire = Wire(TcpLink("localhost", d.port))
        assert wire.write(1, 16, 100, [1, 2, 3]) is Fault.OK
        assert wire.read(1, 4, 100, 3) == (Fault.OK, (1, 2, 3))
