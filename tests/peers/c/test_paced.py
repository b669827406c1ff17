"""The paced line itself: its slaves keep the specification, its faults are what they say, its time is the wire's.

The master here is a file descriptor and pymodbus' checksum; frames are written out as bytes.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from select import select
from statistics import median

import pytest
from pymodbus.framer.rtu import FramerRTU

from tests.need import missing
from tests.peers.c.build import NotHereError
from tests.peers.c.paced import Kind, Line, PacedPty
from tests.peers.c.program import CommandError

FAST = Line(115200)
PATIENCE_S = 5.0  # a bound for a broken build, not a figure


def sealed(frame: str) -> bytes:
    """The bytes of a hex text and their checksum."""
    body = bytes.fromhex(frame)
    return body + FramerRTU.compute_CRC(body).to_bytes(2, "big")


class Master:
    """Sends bytes and collects so many."""

    def __init__(self, wire: PacedPty) -> None:
        self.wire = wire
        self.fd = os.open(wire.path, os.O_RDWR | os.O_NOCTTY)

    def send(self, frame: bytes) -> None:
        os.write(self.fd, frame)

    def collect(self, count: int) -> bytes:
        got = b""
        while len(got) < count and select([self.fd], [], [], PATIENCE_S)[0]:
            got += os.read(self.fd, count - len(got))
        return got

    def rest(self, line: Line = FAST) -> None:
        time.sleep(2 * line.silence_s)

    def ask(self, frame: bytes, count: int) -> bytes:
        self.rest()
        self.send(frame)
        return self.collect(count)


@contextmanager
def line_of(folder: Path, line: Line = FAST, units: tuple[int, ...] = (1, 2)) -> Iterator[Master]:
    try:
        with PacedPty(folder, line, units=units) as wire:
            master = Master(wire)
            yield master
            os.close(master.fd)
    except NotHereError as error:
        missing("a tool", str(error))


@pytest.fixture
def master(tmp_path: Path) -> Iterator[Master]:
    with line_of(tmp_path) as m:
        yield m


# fmt: off
TALK = [
    # request                                     reply                        why
    ("01 03 0100 0002",                           "01 03 04 0100 0101",        "a register holds its address"),
    ("02 04 ffff 0001",                           "02 04 02 ffff",             "the other unit, the last register"),
    ("01 06 0003 beef",                           "01 06 0003 beef",           "one register written"),
    ("01 10 0003 0002 04 0001 0002",              "01 10 0003 0002",           "two written"),
    ("01 17 0003 0002 0004 0001 02 abcd",         "01 17 04 0003 abcd",        "written first, then read"),
    ("01 03 ffff 0002",                           "01 83 02",                  "beyond the last register"),
    ("01 03 0000 007e",                           "01 83 03",                  "126 registers"),
    ("01 03 0000 0000",                           "01 83 03",                  "none"),
    ("01 10 0003 0002 02 0001",                   "01 90 03",                  "fewer bytes than registers"),
    ("01 17 0000 007e 0004 0001 02 abcd",         "01 97 03",                  "126 registers"),
    ("01 05 0000 ff00",                           "01 85 01",                  "no such function"),
]
# fmt: on


@pytest.mark.parametrize(("request_hex", "reply_hex", "why"), TALK, ids=[c[-1] for c in TALK])
def test_a_slave_answers_by_the_specification(master: Master, request_hex: str, reply_hex: str, why: str) -> None:
    reply = sealed(reply_hex)
    assert master.ask(sealed(request_hex), len(reply)) == reply


def test_what_is_written_is_seen_and_the_other_unit_is_untouched(master: Master) -> None:
    master.ask(sealed("01 10 0003 0002 04 0001 0002"), 8)
    master.wire.word(1, 5, 77)
    assert master.wire.words(1, 3, 3) == (1, 2, 77)
    assert master.wire.words(2, 3, 3) == (3, 4, 5)


# fmt: off
UNANSWERED = [
    # frame                                  counter      why
    (sealed("03 03 0000 0001"),              "requests",  "nobody has this id"),
    (sealed("00 06 0003 0007"),              "requests",  "a broadcast"),
    (sealed("01 03 0000 0001")[:-1] + b"x",  "bad",       "wrong checksum"),
    (b"\x01\x03\x00",                        "bad",       "cut"),
    (bytes(300),                             "bad",       "no end"),
]
# fmt: on


@pytest.mark.parametrize(("frame", "counter", "why"), UNANSWERED, ids=[c[-1] for c in UNANSWERED])
def test_silence_where_it_belongs(master: Master, frame: bytes, counter: str, why: str) -> None:
    """The next request's reply is all that comes."""
    master.send(frame)
    end = time.monotonic() + PATIENCE_S
    while not getattr(master.wire.stats(), counter):
        assert time.monotonic() < end
    assert master.ask(sealed("02 03 0009 0001"), 7) == sealed("02 03 02 0009")


def test_a_broadcast_reaches_every_unit(master: Master) -> None:
    master.send(sealed("00 06 0003 0007"))
    master.ask(sealed("01 03 0000 0001"), 7)
    assert [master.wire.words(unit, 3, 1) for unit in (1, 2)] == [(7,), (7,)]


ASK, ANSWER = sealed("01 03 0009 0001"), sealed("01 03 02 0009")

# fmt: off
FAULTS: list[tuple[Kind, int, int, bytes | None, str]] = [
    # kind        value  bytes  reply                                why
    ("crc",       0,     7,     ANSWER[:-1] + bytes([ANSWER[-1] ^ 0xFF]), "a wrong checksum"),
    ("cut",       4,     4,     ANSWER[:4],                          "only its beginning"),
    ("garbage",   3,     10,    None,                                "three bytes, then the answer"),
    ("late",      30,    7,     ANSWER,                              "the answer, later"),
    ("unit",      9,     7,     sealed("09 03 02 0009"),             "another's id, a right checksum"),
    ("babble",    40,    40,    None,                                "forty bytes that are no answer"),
    ("exception", 6,     5,     sealed("01 83 06"),                  "busy"),
]
# fmt: on


@pytest.mark.parametrize(("kind", "value", "count", "reply", "why"), FAULTS, ids=[c[-1] for c in FAULTS])
def test_a_fault_once_and_then_none(
    master: Master, kind: Kind, value: int, count: int, reply: bytes | None, why: str
) -> None:
    master.wire.fault(1, kind, times=1, value=value)
    got = master.ask(ASK, count)
    assert len(got) == count
    if reply is not None:
        assert got == reply
    else:
        assert got.endswith(ANSWER) == (kind == "garbage")
    assert master.ask(ASK, 7) == ANSWER


def test_a_dead_unit_is_silent_until_told_otherwise(master: Master) -> None:
    master.wire.fault(1, "silent")
    master.send(ASK)
    assert master.ask(sealed("02 03 0009 0001"), 7) == sealed("02 03 02 0009")
    master.wire.fault(1, "silent", times=0)
    assert master.ask(ASK, 7) == ANSWER
    assert master.wire.stats().reads == {1: 1, 2: 1}


def test_a_late_answer_comes_after_the_next_one(master: Master) -> None:
    master.wire.fault(1, "late", times=1, value=100)
    master.send(ASK)
    assert master.ask(sealed("02 03 0009 0001"), 7) == sealed("02 03 02 0009")
    assert master.collect(7) == ANSWER


def test_noise_comes_unasked(master: Master) -> None:
    master.wire.noise(50)
    assert len(master.collect(50)) == 50


def test_a_request_without_a_silence_before_it_is_told(master: Master) -> None:
    master.ask(ASK, 7)
    assert (master.wire.stats().early, master.wire.stats().collisions) == (0, 0)
    master.send(ASK)
    assert master.collect(7) == ANSWER  # taken all the same: many a slave would
    assert master.wire.stats().early == 1
    assert master.wire.stats().gap_min_ns < FAST.silence_s * 1e9


def test_a_request_into_a_reply_is_lost(tmp_path: Path) -> None:
    with line_of(tmp_path, Line(9600)) as m:
        reply = sealed("01 03 78" + "".join(f"{a:04x}" for a in range(60)))
        m.send(sealed("01 03 0000 003c"))
        begin = m.collect(5)
        m.send(ASK)
        assert begin + m.collect(len(reply) - 5) == reply
        assert m.wire.stats().collisions == 1
        m.rest(Line(9600))
        assert m.ask(sealed("02 03 0009 0001"), 7) == sealed("02 03 02 0009")
        assert m.wire.stats().requests == 2


def test_a_command_nobody_knows_is_refused(master: Master) -> None:
    with pytest.raises(CommandError, match="paced_pty: 'word 9 0 0': unknown command: word 9 0 0"):
        master.wire.word(9, 0, 0)


# fmt: off
COSTS = [
    # line                      words  turnaround_s  read_s    why
    (Line(9600),                30,    0.0,          0.08333,  "73 + 7 characters of 10 bits"),
    (Line(9600, "E"),           30,    0.0,          0.09167,  "of 11"),
    (Line(9600, "N", 2),        30,    0.02,         0.11167,  "of 11, and the slave's own time"),
    (Line(19200),               2,     0.0,          0.01250,  "17 + 7 characters"),
    (Line(115200),              2,     0.0,          0.00498,  "17 characters and twice 1.75 ms"),
]
# fmt: on


@pytest.mark.parametrize(("line", "words", "turnaround_s", "read_s", "why"), COSTS, ids=[c[-1] for c in COSTS])
def test_what_a_read_costs(line: Line, words: int, turnaround_s: float, read_s: float, why: str) -> None:
    assert line.read_s(words, turnaround_s) == pytest.approx(read_s, rel=1e-3)


def test_what_a_write_costs() -> None:
    assert Line(9600).write_s(2) == pytest.approx(0.0292, rel=2e-3)


@pytest.mark.system
@pytest.mark.parametrize("turnaround_us", [0, 20000])
@pytest.mark.parametrize("line", [Line(9600), Line(9600, "E"), Line(19200, "E"), Line(115200)], ids=str)
def test_the_wires_pace(tmp_path: Path, line: Line, turnaround_us: int) -> None:
    """Never quicker than the wire; 60 registers beside 2 cost their 116 characters to a hundredth.

    The difference of the quickest of each: what a busy machine adds to the others is not the wire's. It only
    ever adds, so more pairs are asked for while the hundredth is missed, within a bound.
    """
    wire_s = {words: line.read_s(words, turnaround_us / 1e6) - line.silence_s for words in (2, 60)}  # not our own rest
    pairs = max(9, round(0.6 / wire_s[60]))
    times_s: dict[int, list[float]] = {2: [], 60: []}

    def beside_s() -> float:
        return min(times_s[60]) - min(times_s[2])

    expected_s = pytest.approx(116 * line.character_s, rel=0.01)
    with line_of(tmp_path, line) as m:
        m.wire.turnaround(turnaround_us)
        while len(times_s[2]) < pairs or (len(times_s[2]) < 20 * pairs and beside_s() != expected_s):
            for words, times in times_s.items():
                m.rest(line)
                begin = time.monotonic()
                m.send(sealed(f"01 03 0000 {words:04x}"))
                assert len(m.collect(5 + 2 * words)) == 5 + 2 * words
                times.append(time.monotonic() - begin)
                assert times[-1] >= wire_s[words]
    for words, times in times_s.items():
        print(
            f"{line} {words} registers, turnaround {turnaround_us} us: {median(times) / wire_s[words]:.4f} of the wire"
        )
    assert beside_s() == expected_s
