"""A serial line whose devices misbehave in every way a device can. Nothing here is measured in time."""

from __future__ import annotations

import subprocess
import termios
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from drivers.base import BusError
from drivers.modbus.codes import Fault
from drivers.modbus.link import SerialLink
from drivers.modbus.serial_port import LineError, open_port
from drivers.modbus.wire import Wire
from tests.drivers.modbus.scripted import Question, wait
from tests.drivers.modbus.scripted_line import answer, line, rtu

UNIT, OTHER = 1, 2
WORDS = {0: 0x1234, 1: 0x5678}
RIGHT = (0x1234, 0x5678)


def flipped(raw: bytes, at: int) -> bytes:
    return raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]


def once(bad: Callable[[Question], bytes]) -> Callable[[Question], bytes | None]:
    """This answer to the first question, right ones afterwards."""
    seen: list[Question] = []

    def rule(question: Question) -> bytes | None:
        seen.append(question)
        return bad(question) if len(seen) == 1 else None

    return rule


# what the device sends to the first of two tries; the second is answered rightly
# fmt: off
MISHAPS = [
    # answer to the first try                        counted as    why
    (lambda _: b"",                                  "timeouts",   "silence"),
    (lambda q: answer(q, *RIGHT)[:-1],               "timeouts",   "the last character is lost"),
    (lambda q: answer(q, *RIGHT)[:1],                "timeouts",   "nothing but the unit"),
    (lambda q: flipped(answer(q, *RIGHT), 4),        "bad_frames", "a flipped bit in a word"),
    (lambda q: flipped(answer(q, *RIGHT), -1),       "bad_frames", "a flipped bit in the CRC"),
    (lambda q: answer(q, *RIGHT)[1:],                "timeouts",   "the unit is lost, and no other byte is like it"),
    (lambda _: rtu(OTHER, b"\x03\x04\0\7\0\7"),      "timeouts",   "another unit"),
    (lambda q: rtu(q.unit, b"\x04\x04\0\7\0\7"),     "bad_frames", "another function"),
    (lambda q: rtu(q.unit, b"\x03\x06\0\7\0\7"),     "bad_frames", "a byte count that is not the one asked for"),
    (lambda q: answer(q, 7),                         "timeouts",   "too few words"),
    (lambda _: b"\xff" * 30,                         "timeouts",   "garbage"),
    (lambda _: b"\x01" * 30,                         "bad_frames", "garbage that begins like the unit"),
    (lambda _: b"\xff" * 900,                        "timeouts",   "more garbage than a frame can be long"),
]
# fmt: on


@pytest.mark.parametrize(("bad", "counter", "why"), MISHAPS, ids=[c[-1] for c in MISHAPS])
def test_one_retry_mends_a_mishap(bad: Callable[[Question], bytes], counter: str, why: str) -> None:
    with line({UNIT: WORDS}, once(bad)) as devices:
        wire = Wire(devices.link, timeout_ms=60)
        assert wire.read(UNIT, 3, 0, 2) == (Fault.OK, RIGHT), why
        stats = wire.stats()
        assert {n: getattr(stats, n) for n in ("timeouts", "bad_frames") if getattr(stats, n)} == {counter: 1}
        assert (stats.attempts, stats.answers, stats.reconnects, stats.connected) == (2, 1, 0, True)


def test_what_rings_before_and_behind_an_answer_does_no_harm() -> None:
    with line({UNIT: WORDS}, lambda q: b"\x00\xff" + answer(q, *RIGHT) + b"\xff") as devices:
        wire = Wire(devices.link, timeout_ms=1000)
        for _ in range(5):
            assert wire.read(UNIT, 3, 0, 2) == (Fault.OK, RIGHT)
        assert wire.stats().attempts == 5


def test_the_functions_of_a_master() -> None:
    with line({UNIT: WORDS}) as devices:
        wire = Wire(devices.link, timeout_ms=1000)
        assert wire.read(UNIT, 4, 1, 1) == (Fault.OK, (0x5678,))
        assert wire.write(UNIT, 6, 7, [9]) is Fault.OK
        assert wire.write(UNIT, 16, 8, [10, 11]) is Fault.OK
        assert wire.exchange(UNIT, 7, 4, 10, [12]) == (Fault.OK, (9, 10, 11, 12))  # what it writes it reads as well
        assert wire.read(UNIT, 3, 7, 4) == (Fault.OK, (9, 10, 11, 12))
        assert devices.broken == []


def test_an_exception_is_an_answer_and_needs_no_retry() -> None:
    with line({UNIT: WORDS}, lambda q: rtu(q.unit, bytes([q.function | 0x80, 2]))) as devices:
        wire = Wire(devices.link)
        assert wire.read(UNIT, 3, 0, 2) == (Fault.EXCEPTION, ())
        assert wire.write(UNIT, 16, 0, [1, 2]) is Fault.EXCEPTION
        assert (wire.stats().attempts, wire.stats().last_exception) == (2, 2)


def test_a_late_answer_is_never_taken_for_another_question() -> None:
    """The device is silent once; its answer to that comes while the line is listened to, and would fit the next."""

    def rule(question: Question) -> bytes | None:
        if question.address == 0:
            held.append(answer(question, 0xDEAD))
            return b""
        return None

    held: list[bytes] = []
    with line({UNIT: {5: 0x0A0A}}, rule) as devices:
        wire = Wire(devices.link, timeout_ms=50)
        assert wire.read(UNIT, 3, 0, 1) == (Fault.TIMEOUT, ())
        for raw in held:
            devices.say(raw)
        assert wire.read(UNIT, 3, 5, 1) == (Fault.OK, (0x0A0A,))
        assert wire.stats().late >= 1


def test_noise_before_a_slow_answer_brings_two_of_them() -> None:
    """It begins like the unit, so the question is asked again; both are answered, the second behind the next one."""

    def rule(question: Question) -> bytes:
        word = 0xDEAD if question.address == 0 else 0x0A0A
        slow.append(threading.Timer(0.05 * (1 + len(slow)), devices.say, [answer(question, word)]))
        slow[-1].start()
        return b"\x01\x55" if len(slow) == 1 else b""

    slow: list[threading.Timer] = []
    with line({UNIT: {}}, rule) as devices:
        wire = Wire(devices.link, timeout_ms=250)
        assert wire.read(UNIT, 3, 0, 1) == (Fault.OK, (0xDEAD,))
        assert wire.read(UNIT, 3, 5, 1) == (Fault.OK, (0x0A0A,))
        assert (wire.stats().bad_frames, wire.stats().late) == (1, 1)
        for timer in slow:
            timer.join()


def test_before_another_question_to_that_unit_the_line_is_listened_to_for_one_more_time_out() -> None:
    with line({UNIT: WORDS, OTHER: WORDS}, lambda q: b"" if q.address == 9 else None) as devices:
        wire = Wire(devices.link, timeout_ms=80)
        wire.read(UNIT, 3, 9, 1)
        wire.read(OTHER, 3, 0, 1)  # another unit: its answer carries another number
        wire.read(UNIT, 3, 0, 1)
        first, second, other, same = (q.t_ns for q in devices.questions)
        assert second - first < other - first + 1
        assert same - second >= 2 * 80_000_000  # its own time-out, and one of listening


def test_a_line_that_is_never_silent_is_named_and_bounded() -> None:
    with line({UNIT: WORDS}) as devices:
        wire = Wire(SerialLink(devices.link.path, 9600), timeout_ms=60)
        with subprocess.Popen(["yes"], stdout=devices.master) as talker:  # as fast as it is read
            try:
                wait(lambda: wire.read(UNIT, 3, 0, 2) == (Fault.NOISE, ()))  # once the talker is awake
            finally:
                talker.kill()
        wait(lambda: wire.read(UNIT, 3, 0, 2) == (Fault.OK, RIGHT))  # what it left in the buffers comes first


def test_an_adapter_that_is_unplugged_is_opened_again(tmp_path: Path) -> None:
    """Its name is a lasting one, like those of /dev/serial/by-id, and the terminal behind it another one afterwards."""
    name = tmp_path / "adapter"
    with line({UNIT: WORDS}) as first:
        name.symlink_to(first.link.path)
        wire = Wire(SerialLink(str(name), 115200), timeout_ms=60)
        assert wire.read(UNIT, 3, 0, 2) == (Fault.OK, RIGHT)
        first.close()
        assert wire.read(UNIT, 3, 0, 2)[0] in (Fault.CLOSED, Fault.NOT_CONNECTED)
        assert not wire.stats().connected
        name.unlink()
        with line({UNIT: {0: 7}}) as second:
            name.symlink_to(second.link.path)
            wait(lambda: wire.read(UNIT, 3, 0, 1) == (Fault.OK, (7,)))
            assert wire.stats().reconnects == 1


# fmt: off
REFUSED = [
    # link                                       what is said
    (lambda: SerialLink("/dev/tty", 9601),       "baud 9601 is none of 1200"),
    (lambda: SerialLink("/dev/tty", parity="X"), "parity X is none of N, E, O"),
    (lambda: SerialLink("/dev/tty", stop_bits=3), "stop_bits 3 is none of 1, 2"),
    (lambda: SerialLink(""),                     "a serial path has 1 ... 255 bytes, not 0"),
]
# fmt: on


@pytest.mark.parametrize(("make", "said"), REFUSED, ids=[c[-1] for c in REFUSED])
def test_a_line_that_cannot_be(make: Callable[[], SerialLink], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make()


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/dev/not-there", "is the adapter plugged in"),
        ("/dev/null", "/dev/null: cannot be opened"),
    ],
)
def test_a_port_that_cannot_be_opened_says_what_to_look_at(path: str, said: str) -> None:
    with pytest.raises(BusError, match=said):
        Wire(SerialLink(path))


def test_a_port_is_ours_alone() -> None:
    with line({UNIT: WORDS}) as devices:
        wire = Wire(devices.link)
        with pytest.raises(BusError, match="cannot be opened"):
            Wire(devices.link)
        wire.close()


SILENCES = [
    # baud   ms     why
    (9600, 3.64, "3.5 characters of 10 bits"),
    (19200, 1.82, "the last rate that is counted in characters"),
    (38400, 1.75, "a fixed time above 19 200 baud"),
    (115200, 1.75, "the same"),
]


@pytest.mark.parametrize(("baud", "ms", "why"), SILENCES, ids=[c[-1] for c in SILENCES])
def test_the_silence_between_two_frames(baud: int, ms: float, why: str) -> None:
    assert SerialLink("/dev/tty", baud).silence_ns / 1e6 == pytest.approx(ms, abs=0.01)
    assert SerialLink("/dev/tty", 9600, "E").bits_per_char == 11


def test_a_setting_that_the_port_does_not_have_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """As Linux says it of a pseudo-terminal that is asked for even parity, and of adapters without some rates."""

    def refuse(*_args: object, **_more: object) -> None:
        raise termios.error(22, "Invalid argument")

    monkeypatch.setattr("serial.Serial", refuse)
    with pytest.raises(LineError, match=r"^/dev/ttyUSB0 \(9600 8E1\): the port does not have this setting \(Invalid"):
        open_port(SerialLink("/dev/ttyUSB0", 9600, "E"))
