"""Mailbox and ring between two processes, for as long as one likes: writers that never wait, writers that are killed.

Each function starts the writing process, reads until its last value, checks every one, and says what it saw.
Errors   AssertionError: half a value, a step backwards, a loss that was not counted.
"""

from __future__ import annotations

import json
import mmap
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cython_core.realtime.ring import RingReader
from tests.cython_core.race import load, race_folder, steps_of

BOX_BYTES = 512
POLLS = 1_000_000  # of a box, between two looks at its writer

BOX_WRITER = """
import mmap, sys
from pathlib import Path
from tests.cython_core.race import load
folder, path, count, longest_rest = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
with path.open("r+b") as file:
    load(folder, "mailbox_race").RaceBox(mmap.mmap(file.fileno(), 0)).write(1, count, longest_rest)
"""
BALL_PLAYER = """
import mmap, sys
from pathlib import Path
from tests.cython_core.race import load
race = load(Path(sys.argv[1]), "mailbox_race")
files = [Path(path).open("r+b") for path in sys.argv[2:4]]
ours, theirs = (race.RaceBox(mmap.mmap(file.fileno(), 0)) for file in files)
print(ours.answer(theirs, int(sys.argv[4]), int(sys.argv[5])))
"""
RING_WRITER = """
import sys
from pathlib import Path
from random import Random
from cython_core.realtime.ring import RingWriter
from tests.cython_core.race import load
folder, path, count = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
ring = RingWriter(path, {"epoch": 1}, 10_000_000, depth_s=0.64)
race, random, n = load(folder, "ring_race"), Random(1), 0
while n < count:
    burst = min(random.choice((1, 5, 30, 100, 1000)), count - n)    # up to many laps of 64
    race.push(ring, n, burst, 50)
    n += burst
"""


@contextmanager
def process(*command: str) -> Iterator[subprocess.Popen[str]]:
    """A Python process that is gone afterwards."""
    running = subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield running
    finally:
        running.kill()
        running.communicate()


def ended_well(running: subprocess.Popen[str]) -> str:
    """What it said; its complaint when it failed."""
    said, complaint = running.communicate()
    assert running.returncode == 0, complaint
    return said


# ---- mailbox ----


def box_race(path: Path, count: int, longest_rest: int) -> int:
    """Values 1 ... count, with the rests of RaceBox.write(). Returns how many of them the reader saw."""
    memory = new_box(path)
    with process("-c", BOX_WRITER, str(race_folder()), str(path), str(count), str(longest_rest)) as writing:
        values = read_box(memory, count, writing)
        ended_well(writing)
    return values


def box_kills(path: Path, kills: int, seed: int = 1) -> Counter[str]:
    """What killed.py met. The reader here knows of no kill."""
    memory = new_box(path)
    with process("-m", "tests.cython_core.killed", "box", str(path), str(kills), str(seed), str(race_folder())) as it:
        read_box(memory, (kills + 1) << 32, it)
        return Counter(json.loads(ended_well(it)))


def ball_game(one: Path, two: Path, turns: int, asleep: bool, longest_ns: int = 10**10) -> int:
    """Two processes that wake each other, as RaceBox.serve() says: the turns that both have played."""
    race, memories = load(race_folder(), "mailbox_race"), (new_box(one), new_box(two))
    ours, theirs = map(race.RaceBox, memories)
    with process("-c", BALL_PLAYER, str(race_folder()), str(two), str(one), str(turns), str(longest_ns)) as other:
        played: int = ours.serve(theirs, turns, asleep, longest_ns)
        return min(played, int(ended_well(other)))


def new_box(path: Path) -> mmap.mmap:
    """A file of zeros, mapped."""
    path.write_bytes(bytes(BOX_BYTES))
    with path.open("r+b") as file:
        return mmap.mmap(file.fileno(), BOX_BYTES)


def read_box(memory: mmap.mmap, last: int, writing: subprocess.Popen[str]) -> int:
    """Until `last` has come, which it always does: how many values were seen."""
    reader, newest, values, ended = load(race_folder(), "mailbox_race").RaceBox(memory), 0, 0, False
    while newest < last and not ended:
        ended = writing.poll() is not None  # asked before the read: what it wrote last is then seen
        newest, seen, torn, backwards = reader.read(newest, last, POLLS)
        assert (torn, backwards) == (0, 0)
        values += seen
    assert newest == last, ended_well(writing)
    return values


# ---- ring ----


def ring_race(path: Path, count: int, most: int) -> tuple[int, int]:
    """Steps 0 ... count - 1 through 64 slots, at most `most` a read. Returns how many were seen and how many lost."""
    with process("-c", RING_WRITER, str(race_folder()), str(path), str(count)) as writing:
        reader, seen, lost, ended = open_ring(path, writing), 0, 0, False
        while reader.next_n < count and not ended:
            ended = writing.poll() is not None
            steps, gone = read_ring(reader, most)
            seen, lost = seen + steps, lost + gone
            snapshot, newest = reader.snapshot(), reader.newest()
            assert snapshot is None or set(steps_of(snapshot[1])) == {snapshot[0]}, "half of two states"
            assert newest is None or len(steps_of(newest)) == 1
        ended_well(writing)
    assert reader.head == count
    return seen, lost


def ring_kills(path: Path, kills: int, seed: int = 1) -> Counter[str]:
    """What killed.py met. The reader here knows of no kill: it reads each ring to its end, then opens the next."""
    with process("-m", "tests.cython_core.killed", "ring", str(path), str(kills), str(seed), str(race_folder())) as it:
        reader = open_ring(path, it)
        while True:
            ended, replaced = it.poll() is not None, reader.replaced()
            if read_ring(reader, 4096) == (0, 0) and (ended or replaced):
                assert reader.next_n == reader.head, "not read to its end"
                if not replaced:
                    break
                reader = RingReader(path)
        met = Counter(json.loads(ended_well(it)))
    assert reader.epoch == kills
    return met


def open_ring(path: Path, writing: subprocess.Popen[str]) -> RingReader:
    """As soon as there is one."""
    while not path.exists():
        assert writing.poll() is None, ended_well(writing)
    return RingReader(path)


def read_ring(reader: RingReader, most: int) -> tuple[int, int]:
    """One read: how many steps, how many lost before them. Whole, in order, and nothing missing but what is counted."""
    begin = reader.next_n
    raw, lost = reader.read(most)
    steps = steps_of(raw)
    assert steps == list(range(begin + lost, reader.next_n))
    return len(steps), lost
