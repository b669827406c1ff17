"""The ring: one writer that never waits, readers that see whole steps or count what is lost, files that are no ring."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from cython_core.bulk import STEP
from cython_core.realtime.ring import RingReader, RingWriter
from tests.cython_core import stress
from tests.cython_core.race import STEP_WORDS, steps_of

PERIOD_NS = 10_000_000
SLOTS = 64  # 0.64 s of 10 ms
HEADER = {"magic": 0, "version": 8, "layout": 16, "slots": 32, "head": 40, "info bytes": 48}  # bytes from the start
SLOTS_AT, SLOT_BYTES = 65536, STEP.itemsize + 8


def step(n: int) -> bytes:
    """Step n, every word of it n: half of another one would show."""
    return struct.pack(f"<{STEP_WORDS}q", *([n] * STEP_WORDS))


def writer(path: Path, epoch: int = 1) -> RingWriter:
    return RingWriter(path, {"epoch": epoch, "site": "test"}, PERIOD_NS, depth_s=0.64)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ring"


# fmt: off
READS = [
    # written before  most   steps                lost  why
    (0,               4096,  range(0),            0,    "an empty ring"),
    (1,               4096,  range(1),            0,    "one step"),
    (64,              4096,  range(64),           0,    "exactly full: nothing is lost"),
    (65,              4096,  range(1, 65),        1,    "one over: the oldest has gone"),
    (1000,            4096,  range(936, 1000),    936,  "many over: the newest 64 are there"),
    (64,              10,    range(10),           0,    "no more than asked for"),
    (1000,            10,    range(936, 946),     936,  "from the oldest that is there"),
    (10,              0,     range(0),            0,    "none asked for"),
]
DEPTH = [
    # depth_s  period_ns    slots   why: the next power of two
    (60.0,     10_000_000,  8192,   "6000 steps"),
    (0.64,     10_000_000,  64,     "exactly a power"),
    (0.65,     10_000_000,  128,    "one more"),
    (60.0,     1_000_000,   65536,  "60 000 steps at 1 kHz"),
    (0.01,     10_000_000,  1,      "one step"),
]
# fmt: on


@pytest.mark.parametrize(("written", "most", "steps", "lost", "why"), READS, ids=[c[-1] for c in READS])
def test_what_a_reader_finds(path: Path, written: int, most: int, steps: range, lost: int, why: str) -> None:
    ring = writer(path)
    for n in range(written):
        ring.push(step(n))
    reader = RingReader(path)
    raw, gone = reader.read(most)
    assert (steps_of(raw), gone) == (list(steps), lost), why
    assert reader.head == written


def test_nothing_is_given_twice_and_losses_are_counted_between_reads(path: Path) -> None:
    ring, seen, lost, n = writer(path), list[int](), 0, 0
    reader = RingReader(path)
    for burst in (3, 0, 64, 1, 100, 7):
        for _ in range(burst):
            ring.push(step(n))
            n += 1
        raw, gone = reader.read()
        seen += steps_of(raw)
        lost += gone
    assert seen == [*range(68), *range(104, 175)]  # of the burst of 100 the first 36 were overwritten
    assert lost == 36


def test_a_reader_may_start_where_it_left(path: Path) -> None:
    ring = writer(path)
    for n in range(20):
        ring.push(step(n))
    assert steps_of(RingReader(path, start_n=15).read()[0]) == [15, 16, 17, 18, 19]
    early = RingReader(path, start_n=25)  # steps that are still to come
    assert early.read() == (b"", 0)
    for n in range(20, 27):
        ring.push(step(n))
    assert steps_of(early.read()[0]) == [25, 26]


def test_readers_do_not_know_each_other(path: Path) -> None:
    ring = writer(path)
    one, two = RingReader(path), RingReader(path)
    ring.push(step(0))
    assert steps_of(one.read()[0]) == steps_of(two.read()[0]) == [0]


def test_the_newest_step(path: Path) -> None:
    ring = writer(path)
    reader = RingReader(path)
    assert reader.newest() is None
    for n in range(100):
        ring.push(step(n))
    newest = reader.newest()
    assert newest is not None
    assert steps_of(newest) == [99]


@pytest.mark.parametrize(("depth_s", "period_ns", "slots", "why"), DEPTH, ids=[c[-1] for c in DEPTH])
def test_depth(path: Path, depth_s: float, period_ns: int, slots: int, why: str) -> None:
    RingWriter(path, {"epoch": 1}, period_ns, depth_s)
    assert path.stat().st_size == 65536 + slots * (STEP.itemsize + 8), why


def test_half_a_record_is_refused(path: Path) -> None:
    with pytest.raises(ValueError, match=f"a record has {STEP.itemsize} bytes, not 7"):
        writer(path).push(bytes(7))


# --- facts, snapshot, replacement ---


def test_facts_and_epoch(path: Path) -> None:
    RingWriter(path, {"epoch": 7, "site": "Köln", "settings": {"limits": {"soc_min_pu": 0.2}}}, PERIOD_NS, 0.64)
    reader = RingReader(path)
    assert (reader.epoch, reader.info["site"], reader.info["settings"]) == (7, "Köln", {"limits": {"soc_min_pu": 0.2}})


def test_a_ring_is_not_there_before_it_is_published(path: Path) -> None:
    ring = RingWriter(path, {"epoch": 1}, PERIOD_NS, 0.64, publish=False)
    ring.push(step(0))
    with pytest.raises(FileNotFoundError):
        RingReader(path)
    ring.publish({"epoch": 1, "granted": "fifo 80"})
    reader = RingReader(path)
    assert (reader.info["granted"], steps_of(reader.read()[0])) == ("fifo 80", [0])


def test_too_many_facts_are_refused(path: Path) -> None:
    with pytest.raises(ValueError, match=r"info of \d+ bytes; a ring holds 28672"):
        RingWriter(path, {"epoch": 1, "text": "x" * 28672}, PERIOD_NS, 0.64)


def test_snapshot(path: Path) -> None:
    ring, reader = writer(path), RingReader(path)
    assert reader.snapshot() is None
    for n, state in ((0, b"a" * 64), (100, b"b" * 64)):
        ring.snapshot(n, state)
        assert reader.snapshot() == (n, state)
    with path.open("r+b") as file:  # a writer in the middle of the next one
        file.seek(56)
        (seq,) = struct.unpack("<q", file.read(8))
        file.seek(56)
        file.write(struct.pack("<q", seq + 1))
    assert reader.snapshot() is None
    ring.snapshot(200, b"c" * 64)
    assert reader.snapshot() == (200, b"c" * 64)


def test_a_snapshot_too_large_is_refused(path: Path) -> None:
    with pytest.raises(ValueError, match="a state of 32776 bytes; a ring holds 32768"):
        writer(path).snapshot(0, bytes(32776))


def test_a_restarted_core_puts_a_new_ring_at_the_path(path: Path) -> None:
    ring = writer(path, epoch=1)
    ring.push(step(0))
    old = RingReader(path)
    assert not old.replaced()
    ring.push(step(1))
    new = writer(path, epoch=2)
    new.push(step(0))
    assert old.replaced()
    assert steps_of(old.read()[0]) == [0, 1]  # the old one is read to its end
    after = RingReader(path)
    assert (after.epoch, after.replaced(), steps_of(after.read()[0])) == (2, False, [0])


def test_a_ring_that_has_gone_is_not_replaced(path: Path) -> None:
    writer(path).push(step(0))
    reader = RingReader(path)
    path.unlink()
    assert not reader.replaced()
    assert steps_of(reader.read()[0]) == [0]


# --- a file that is no ring ---


def put(name: str, value: int) -> Callable[[bytearray], bytes]:
    def change(raw: bytearray) -> bytes:
        struct.pack_into("<q", raw, HEADER[name], value)
        return bytes(raw)

    return change


# fmt: off
NO_RING = [
    # what was done to the file             message                                        why
    (lambda raw: raw[:0],                   "0 bytes are no ring",                         "empty"),
    (lambda raw: raw[:65535],               "65535 bytes are no ring",                     "shorter than a header"),
    (lambda raw: bytes(len(raw)),           "is no ring of step records",                  "zeros"),
    (put("magic", 1),                       "is no ring of step records",                  "something else"),
    (put("version", 2),                     "ring version 2; this program reads 1",        "a newer version"),
    (put("layout", 17),                     "written by another build .record layout 0x11", "other records"),
    (lambda raw: raw[:-1],                  "do not hold its 64 slots; it has been cut off", "one byte cut off"),
    (lambda raw: raw[:65536],               "do not hold its 64 slots",                    "all slots cut off"),
    (put("slots", 65),                      "do not hold its 65 slots",                    "no power of two"),
    (put("slots", 0),                       "do not hold its 0 slots",                     "no slot"),
    (put("slots", 1 << 60),                 "do not hold its",                             "more slots than any file"),
    (put("info bytes", 5),                  "its facts are not JSON",                      "facts cut off"),
]
# fmt: on


@pytest.mark.parametrize(("change", "message", "why"), NO_RING, ids=[c[-1] for c in NO_RING])
def test_what_is_no_ring_is_refused_in_one_line(
    path: Path, change: Callable[[bytearray], bytes], message: str, why: str
) -> None:
    writer(path)
    raw = change(bytearray(path.read_bytes()))
    path.unlink()
    path.write_bytes(raw)
    with pytest.raises(ValueError, match=message) as refused:
        pytest.fail(f"{why}: {RingReader(path)}")
    assert str(refused.value).startswith(str(path))
    assert "\n" not in str(refused.value)


def test_no_file(path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        RingReader(path)


# --- a writer in the middle of a step ---


def stop_in_the_middle(path: Path, n: int, n_words: int, sequence: int, head: int) -> None:
    """What a writer of step n that died there has left: a sequence, n_words of the step, a count of steps."""
    with path.open("r+b") as file:
        file.seek(SLOTS_AT + n % SLOTS * SLOT_BYTES)
        file.write(struct.pack("<q", sequence) + step(n)[: 8 * n_words])
        file.seek(HEADER["head"])
        file.write(struct.pack("<q", head))


# fmt: off
MIDDLES = [
    # n     n_words          sequence  head   steps             lost  why
    (64,    0,               -65,      64,    range(1, 64),     1,    "the oldest step is given up, nothing written"),
    (64,    1,               -65,      64,    range(1, 64),     1,    "one word of it"),
    (64,    STEP_WORDS // 2, -65,      64,    range(1, 64),     1,    "half of it"),
    (64,    STEP_WORDS,      -65,      64,    range(1, 64),     1,    "all of it, and it was not said to be whole"),
    (64,    STEP_WORDS,      65,       64,    range(1, 64),     1,    "whole, but not counted: it may come or not"),
    (1000,  STEP_WORDS // 2, -1001,    1000,  range(937, 1000), 937,  "the same long after the first lap"),
    (10,    STEP_WORDS // 2, -11,      10,    range(10),        0,    "before the ring is full nothing is overwritten"),
]
# fmt: on


@pytest.mark.parametrize(
    ("n", "n_words", "sequence", "head", "steps", "lost", "why"), MIDDLES, ids=[c[-1] for c in MIDDLES]
)
def test_a_writer_that_died_in_the_middle_of_a_step(
    path: Path, n: int, n_words: int, sequence: int, head: int, steps: range, lost: int, why: str
) -> None:
    ring = writer(path)
    for i in range(n):
        ring.push(step(i))
    stop_in_the_middle(path, n, n_words, sequence, head)
    reader = RingReader(path)
    raw, gone = reader.read()
    assert (steps_of(raw), gone) == (list(steps), lost), why
    assert reader.read() == (b"", 0), why
    successor = writer(path, epoch=2)
    successor.push(step(0))
    assert reader.replaced()
    assert reader.read() == (b"", 0), "the dead one's ring stays as it is"
    assert steps_of(RingReader(path).read()[0]) == [0]


@pytest.mark.parametrize("sequence", [-64, 0, 1, 63, 65, 128, 1 << 62], ids=lambda s: f"sequence {s}")
def test_a_slot_with_any_other_sequence_is_no_step(path: Path, sequence: int) -> None:
    """Step 63 has the sequence 64: all words are there, and without it they are nobody's."""
    ring = writer(path)
    for i in range(64):
        ring.push(step(i))
    stop_in_the_middle(path, 63, STEP_WORDS, sequence, head=64)
    reader = RingReader(path)
    assert reader.newest() is None
    assert steps_of(reader.read()[0]) == list(range(63))
    assert reader.read() == (b"", 1)
    ring.push(step(64))
    assert steps_of(reader.read()[0]) == [64]


# --- two processes, the writer without the interpreter; longer in tests/system ---


@pytest.mark.parametrize("most", [1, 7, 4096])
def test_under_load_a_reader_sees_whole_steps_in_order_and_counts_the_rest(path: Path, most: int) -> None:
    count = 3_000_000
    seen, lost = stress.ring_race(path, count, most)
    assert seen + lost == count
    assert seen > 0


def test_writers_killed_at_any_moment(path: Path) -> None:
    met = stress.ring_kills(path, kills=40)
    assert met["kills"] == 40
    assert met["half"] > 0, "no kill met a writer in the middle of a step"
