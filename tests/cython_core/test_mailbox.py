"""Mailboxes: one writer, the latest value wins, never half a value, whoever dies when."""

from __future__ import annotations

import mmap
import struct
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from threading import Thread
from types import ModuleType
from typing import Any

import pytest

from cython_core.realtime.mailbox import Mailbox
from cython_core.records import RECORDS, Command, DeviceState, Measurement, StepRecord, Wish, kinds
from tests.cython_core import stress
from tests.cython_core.race import load, race_folder

SIZE = 512  # bytes: sequence, word count, sleepers, 61 words
LENGTH_AT, WORDS_AT = 8, 24
BOXED = [r for r in RECORDS if r is not StepRecord]  # a StepRecord goes through the ring


def numbered(record: type[Any], n: int) -> Any:
    """A record whose every field has a value of its own that depends on n."""
    return record(*(1000 * n + i + (0.5 if kind == "d" else 0) for i, kind in enumerate(kinds(record))))


def shared(path: Path) -> mmap.mmap:
    """A file of zeros, mapped: what two processes share."""
    if not path.exists():
        path.write_bytes(bytes(SIZE))
    with path.open("r+b") as file:
        return mmap.mmap(file.fileno(), SIZE)


def words_of(record: Any) -> list[int]:
    """A record as the words of a box."""
    raw = struct.pack("<" + kinds(type(record)), *(getattr(record, f.name) for f in fields(record)))
    return list(struct.unpack(f"<{len(raw) // 8}q", raw))


def sequence(memory: mmap.mmap) -> int:
    return int(struct.unpack_from("<q", memory)[0])


def begin_writing(memory: mmap.mmap, n: int, n_words: int = 3) -> None:
    """What a writer of Command n has done when it has got as far as n_words: an odd sequence and some of the words."""
    struct.pack_into("<q", memory, 0, sequence(memory) + 1)
    struct.pack_into(f"<{n_words}q", memory, WORDS_AT, *words_of(numbered(Command, n))[:n_words])


# --- one value at a time ---


@pytest.mark.parametrize("record", BOXED, ids=lambda r: r.__name__)
def test_a_record_comes_out_as_it_went_in(record: type[Any]) -> None:
    box = Mailbox(record)
    box.put(numbered(record, 1))
    assert box.get() == numbered(record, 1)


def test_an_empty_box_gives_nothing() -> None:
    assert Mailbox(Command).get() is None


def test_a_value_is_given_once_and_the_latest_wins() -> None:
    box = Mailbox(Command)
    for n in (1, 2, 3):
        box.put(numbered(Command, n))
    assert [box.get(), box.get()] == [numbered(Command, 3), None]


def test_absent_stays_absent() -> None:
    box = Mailbox(Measurement)
    box.put(Measurement(t_f_ns=-1, f_hz=50.0))
    value = box.get()
    assert value is not None
    assert (value.t_f_ns, value.f_hz, value.v1_v == value.v1_v) == (-1, 50.0, False)  # NaN is not itself


def test_every_reader_sees_the_value(tmp_path: Path) -> None:
    memory = shared(tmp_path / "box")
    writer, one, two = (Mailbox(Command, memory) for _ in range(3))
    writer.put(numbered(Command, 1))
    assert [one.get(), two.get(), one.get()] == [numbered(Command, 1), numbered(Command, 1), None]


def test_boxes_side_by_side_do_not_touch() -> None:
    memory = bytearray(3 * SIZE)
    boxes = [Mailbox(DeviceState, memory, SIZE * i) for i in range(3)]
    for i, box in enumerate(boxes):
        box.put(numbered(DeviceState, i))
    assert [box.get() for box in boxes] == [numbered(DeviceState, i) for i in range(3)]


# fmt: off
TOO_SMALL = [
    # bytes   offset   why
    (511,     0,       "one byte short"),
    (1024,    513,     "the offset counts"),
    (0,       0,       "nothing at all"),
]
MISPLACED = [
    # bytes   offset   why
    (1024,    -8,      "before the buffer"),
    (1024,    4,       "half way into a word: a processor may write it in two halves"),
]
# fmt: on


@pytest.mark.parametrize(("size", "offset", "why"), TOO_SMALL, ids=[c[-1] for c in TOO_SMALL])
def test_a_buffer_too_small_is_refused(size: int, offset: int, why: str) -> None:
    with pytest.raises(ValueError, match=f"a mailbox needs 512 bytes at {offset}, the buffer has {size}"):
        pytest.fail(f"{why}: {Mailbox(Command, bytearray(size), offset)}")


def test_a_record_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=f"a mailbox holds 1 ... 61 words, not {len(fields(StepRecord))}"):
        Mailbox(StepRecord)


@pytest.mark.parametrize(("size", "offset", "why"), MISPLACED, ids=[c[-1] for c in MISPLACED])
def test_a_misplaced_box_is_refused(size: int, offset: int, why: str) -> None:
    with pytest.raises(ValueError, match=f"a mailbox at {offset}; it needs a multiple of 8, 0 or above"):
        pytest.fail(f"{why}: {Mailbox(Command, bytearray(size), offset)}")


# --- a box of another build: what it says of its own length is not believed ---


# fmt: off
LENGTHS = [
    # n_words    why
    (5,          "a build whose record was shorter"),
    (7,          "or longer"),
    (0,          "nothing"),
    (-1,         "less than nothing"),
    (1 << 40,    "more than there is memory"),
]
# fmt: on


@pytest.mark.parametrize(("n_words", "why"), LENGTHS, ids=[c[-1] for c in LENGTHS])
def test_a_value_of_another_length_is_never_given(tmp_path: Path, n_words: int, why: str) -> None:
    memory = shared(tmp_path / "box")
    box = Mailbox(Command, memory)
    box.put(numbered(Command, 1))
    struct.pack_into("<q", memory, LENGTH_AT, n_words)
    assert box.get() is None, why
    box.put(numbered(Command, 2))  # a writer of our own build
    assert box.get() == numbered(Command, 2)


def test_a_writer_sends_its_own_words_and_no_more(tmp_path: Path) -> None:
    """Whatever length another process has left there: the words behind the value would be somebody's memory."""
    memory = shared(tmp_path / "box")
    box = Mailbox(Command, memory)
    struct.pack_into("<q", memory, LENGTH_AT, 62)
    box.put(numbered(Command, 1))
    words = struct.unpack_from("<61q", memory, WORDS_AT)
    assert words == (*words_of(numbered(Command, 1)), *[0] * 55)


def test_a_reader_of_another_record_gets_nothing_and_spoils_nothing(tmp_path: Path) -> None:
    memory = shared(tmp_path / "box")
    writer, reader = Mailbox(Command, memory), Mailbox(Command, memory)
    writer.put(numbered(Command, 1))
    assert Mailbox(Wish, memory).get() is None
    writer.put(numbered(Command, 2))
    assert reader.get() == numbered(Command, 2)


# --- a writer in the middle ---

DEAD = """
from cython_core.realtime.mailbox import Mailbox
from cython_core.records import Command
box = bytearray(512)
box[0] = 7
print(Mailbox(Command, box).get())
"""


@pytest.fixture(scope="module")
def bounded() -> None:
    """A reader that waits for ever for a dead writer holds up the whole process: tried in another one first."""
    done = subprocess.run([sys.executable, "-c", DEAD], capture_output=True, text=True, timeout=30, check=False)
    assert (done.stdout.strip(), done.returncode) == ("None", 0), done.stderr


def test_half_a_value_is_never_given(tmp_path: Path, bounded: None) -> None:
    memory = shared(tmp_path / "box")
    box = Mailbox(Command, memory)
    box.put(numbered(Command, 1))
    assert box.get() == numbered(Command, 1)
    begin_writing(memory, 2)
    assert box.get() is None  # after bounded retries; the last copy only gets older
    box.put(numbered(Command, 3))
    assert box.get() == numbered(Command, 3)
    assert sequence(memory) % 2 == 0


@pytest.mark.parametrize("n_words", range(len(fields(Command)) + 1))
def test_a_writer_that_died_after_any_word(tmp_path: Path, bounded: None, n_words: int) -> None:
    """Only the even sequence, the very last store, makes the value whole."""
    memory = shared(tmp_path / "box")
    reader = Mailbox(Command, memory)
    reader.put(numbered(Command, 1))
    begin_writing(memory, 2, n_words)
    assert reader.get() is None
    successor = Mailbox(Command, memory)
    assert reader.get() is None
    successor.put(numbered(Command, 3))
    assert reader.get() == numbered(Command, 3)
    assert sequence(memory) % 2 == 0


def test_attaching_does_not_publish_what_a_dead_writer_left(tmp_path: Path, bounded: None) -> None:
    memory = shared(tmp_path / "box")
    reader = Mailbox(Command, memory)
    reader.put(numbered(Command, 1))
    assert reader.get() == numbered(Command, 1)
    begin_writing(memory, 2)  # and dies
    Mailbox(Command, memory)  # its successor, or only another reader
    assert reader.get() is None


def test_the_successor_of_a_dead_writer_publishes_whole_values(tmp_path: Path) -> None:
    memory = shared(tmp_path / "box")
    reader = Mailbox(Command, memory)
    begin_writing(memory, 1)
    successor = Mailbox(Command, memory)
    successor.put(numbered(Command, 2))
    assert reader.get() == numbered(Command, 2)
    assert sequence(memory) % 2 == 0


# --- two threads, without the interpreter ---

COUNT = 1_000_000
LONGEST_REST = 1023
POLLS = 2_000_000_000  # a bound, never reached


@pytest.fixture(scope="module")
def race() -> ModuleType:
    """mailbox_race.pyx, compiled with the flags of the product."""
    return load(race_folder(), "mailbox_race")


def test_two_threads_never_see_half_a_value(race: ModuleType) -> None:
    box = race.RaceBox()
    writer = Thread(target=box.write, args=(1, COUNT, LONGEST_REST))
    writer.start()
    newest, values, torn, backwards = box.read(0, COUNT, POLLS)
    writer.join()
    assert (newest, torn, backwards) == (COUNT, 0, 0)  # and the last value always arrives
    assert values > 0


def test_the_race_is_a_real_one(race: ModuleType) -> None:
    """Without a look at the sequence the same two threads do see halves, so the test above can fail."""
    box = race.RaceBox()
    writer = Thread(target=box.write, args=(1, COUNT, LONGEST_REST))
    writer.start()
    torn = box.read_carelessly(COUNT, POLLS)
    writer.join()
    if not torn:
        pytest.skip("reader and writer never overlapped on this machine")
    assert torn > 0


@pytest.mark.parametrize("asleep", [True, False])
def test_no_wake_is_lost_between_threads(race: ModuleType, asleep: bool) -> None:
    """A lost one would end the game: the turns are taken in order."""
    one, two = race.RaceBox(), race.RaceBox()
    turns, longest_ns = 10_000, 10**10
    other = Thread(target=two.answer, args=(one, turns, longest_ns))
    other.start()
    assert one.serve(two, turns, asleep, longest_ns) == turns
    other.join()


# --- two processes ---

WRITER = """
import mmap, sys
from cython_core.realtime.mailbox import Mailbox
from cython_core.records import Measurement, kinds
with open(sys.argv[1], "r+b") as file:
    box = Mailbox(Measurement, mmap.mmap(file.fileno(), 512))
for n in range(1, int(sys.argv[2]) + 1):
    box.put(Measurement(*(n if kind == "q" else float(n) for kind in kinds(Measurement))))
"""


def test_two_processes_never_see_half_a_value(tmp_path: Path) -> None:
    count, newest, values = 100_000, 0, 0
    box = Mailbox(Measurement, shared(tmp_path / "box"))
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path / "box"), str(count)])
    try:
        while newest < count:
            ended = writer.poll() is not None  # asked before the read: what it wrote last is then seen
            value = box.get()
            if value is not None:
                words = {int(getattr(value, f.name)) for f in fields(Measurement)}
                assert len(words) == 1, f"torn: {value}"
                assert value.t_f_ns > newest
                newest, values = value.t_f_ns, values + 1
            elif ended:
                break
    finally:
        writer.kill()
        writer.wait()
    assert newest == count, f"the writer ended with {writer.returncode}"
    assert values > 1


def test_two_processes_without_the_interpreter_never_see_half_a_value(tmp_path: Path) -> None:
    assert stress.box_race(tmp_path / "box", COUNT, LONGEST_REST) > 0


@pytest.mark.parametrize("asleep", [True, False])
def test_no_wake_is_lost_between_processes(tmp_path: Path, asleep: bool) -> None:
    assert stress.ball_game(tmp_path / "one", tmp_path / "two", 10_000, asleep) == 10_000


def test_writers_killed_at_any_moment(tmp_path: Path, bounded: None) -> None:
    met = stress.box_kills(tmp_path / "box", kills=60)
    assert met["kills"] == 60
    assert met["half"] > 0, "no kill met a writer in the middle of a value"
