"""Writers that are killed: a process of its own forks one after the other, and kills each when nobody expects it.

After each kill it looks at what is left, as any other reader would; after each start it waits for the successor's first
value. What it met goes to stdout: {"kills": n, "half": kills in the middle of a value, ...}.
Command  python -m tests.cython_core.killed box|ring FILE KILLS SEED FOLDER      FOLDER: where race.py has compiled to
Errors   AssertionError: what was wrong.
"""

from __future__ import annotations

import json
import mmap
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random

from controller.lifetime import die_with_parent
from cython_core.realtime.ring import RingReader, RingWriter
from tests.cython_core.race import load, steps_of

LONGEST_LIFE_S = 0.002
MANY = 1 << 31  # more than a life holds
POLLS = 1_000_000_000  # a bound, never reached
PERIOD_NS, DEPTH_S, SLOTS = 10_000_000, 0.64, 64
SNAPSHOT_EVERY = 2  # so that kills meet snapshots as well
LONGEST_REST = 63  # of a box's writer: most of its life it is in the middle of a value


def fork(work: Callable[..., object], *given: object) -> int:
    """A child that does nothing but this, and not for longer than we live."""
    pid = os.fork()
    if pid == 0:
        try:
            die_with_parent()
            work(*given)
        finally:
            os._exit(0)
    return pid


def kill(pid: int, random: Random) -> None:
    """After a time that nobody has chosen."""
    time.sleep(random.uniform(0.0, LONGEST_LIFE_S))
    os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status), "the writer ended before it was killed"


def kill_box_writers(path: Path, kills: int, random: Random, folder: Path) -> Counter[str]:
    """Generation g writes g * 2^32 and the numbers after it; one number of generation kills + 1 ends it."""
    race, met = load(folder, "mailbox_race"), Counter[str]()
    with path.open("r+b") as file:
        memory = mmap.mmap(file.fileno(), 0)
    reader, newest = race.RaceBox(memory), 0
    for generation in range(1, kills + 1):
        first = generation << 32
        pid = fork(lambda begin: race.RaceBox(memory).write(begin, MANY, LONGEST_REST), first)
        newest, *_, torn, backwards = reader.read(newest, first, POLLS)
        assert (newest >= first, torn, backwards) == (True, 0, 0), "the successor did not heal the box"
        kill(pid, random)
        half = reader.seq & 1
        newest, values, torn, backwards = reader.read(newest, newest + MANY, 1)  # one look, and it returns
        assert (torn, backwards) == (0, 0)
        assert not (half and values), "a value half written was given"
        met["kills"] += 1
        met["half"] += half
    race.RaceBox(memory).write((kills + 1) << 32, 1, 0)  # tells other readers that this was all
    return met


def kill_ring_writers(path: Path, kills: int, random: Random, folder: Path) -> Counter[str]:
    """Each generation has a ring of its own, as a restarted core has: its epoch is the generation."""
    race, met = load(folder, "ring_race"), Counter[str]()
    for generation in range(1, kills + 1):
        ring = RingWriter(path, {"epoch": generation}, PERIOD_NS, DEPTH_S)
        reader = RingReader(path)
        pid = fork(race.push, ring, 0, MANY, SNAPSHOT_EVERY)
        while reader.head == 0:
            pass
        kill(pid, random)
        head = reader.head
        raw, lost = reader.read()
        steps = steps_of(raw)
        assert steps == list(range(lost, head)), "what was whole before it died is there, and nothing else"
        assert reader.read() == (b"", 0)
        snapshot = reader.snapshot()
        assert snapshot is None or set(steps_of(snapshot[1])) == {snapshot[0]}
        met["kills"] += 1
        met["half"] += len(steps) < min(head, SLOTS)  # the slot of the step it was writing
        met["half a snapshot"] += snapshot is None
    return met


WRITERS = {"box": kill_box_writers, "ring": kill_ring_writers}


def main() -> None:
    kind, path, kills, seed, folder = sys.argv[1:]
    print(json.dumps(WRITERS[kind](Path(path), int(kills), Random(int(seed)), Path(folder))))


if __name__ == "__main__":
    main()
