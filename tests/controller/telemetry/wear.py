"""What the outbox writes to the disk in an hour, in a process of its own; an SD card dies of this.

    python -m tests.controller.telemetry.wear [FOLDER [SECONDS]]

One frame a second as the telemetry makes it, with what buses and energies will add, ten events an hour. Time is an
argument, the files are real: FOLDER (a temporary one) must not be in memory. After each second what is dirty is forced
out, so that nothing is counted once that a slower clock would write twice; the kernel's own count of bytes sent to
the storage is what is told (write_bytes of /proc/self/io).
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from controller.telemetry.frames import FrameBuilder
from controller.telemetry.outbox import Outbox
from controller.telemetry.wire import Draft
from tests.controller.telemetry.makers import event, info, records

HOUR_S = 3600
EVENT_EVERY_S = 360
ROOM = "x" * 1600  # numbers where these records have null, bus counters, energies: a frame of a house has 2.0 to 2.7 kB
SHARED_MEMORY = Path("/dev/shm")


def frames(seconds: int) -> Iterator[list[Draft]]:
    """A second's drafts at a time, of real step records."""
    builder = FrameBuilder(info(), 1000, True)
    for s in range(seconds):
        drafts = [d for d in builder.add(records(10 * s, 10)) if d.kind == "live"]
        for draft in drafts:
            draft.body["room"] = ROOM
        yield drafts + [event(s)] * (s % EVENT_EVERY_S == EVENT_EVERY_S // 2)


def written() -> int:
    """Bytes that this process has sent to the storage."""
    lines = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(lines["write_bytes"])


def force_out(folder: Path) -> None:
    """Dirty pages of the outbox's files go to the storage now."""
    for path in folder.iterdir():
        fd = os.open(path, os.O_RDONLY)
        os.fdatasync(fd)
        os.close(fd)


def hour(folder: Path, quick: Path | None, acknowledged: bool, seconds: int = HOUR_S) -> dict[str, int]:
    """Bytes a day, and the bytes of a frame. quick None: durability always."""
    box = Outbox(folder / "outbox.sqlite", "home", quick=quick)
    force_out(folder)
    before, size = written(), 0
    for s, drafts in enumerate(frames(seconds)):
        box.add(drafts, 1000 * s)
        size = max([size, *(len(row.body) for row in box.next_batch(1))])
        if acknowledged:
            box.acknowledge(box.id, [(1, box.newest_seq())])
        box.tend(1000 * s + 500)
        force_out(folder)
    done = written() - before
    box.close()
    return {"bytes_a_day": done * 86400 // seconds, "frame_bytes": size}


CASES = {
    # name: quick file, acknowledged
    "spill, acknowledged": (True, True),
    "spill, offline": (True, False),
    "always, acknowledged": (False, True),
    "always, offline": (False, False),
}


def measured(disk: Path, seconds: int = HOUR_S) -> dict[str, dict[str, int]]:
    """Every case, each in a folder of its own."""
    found = {}
    with tempfile.TemporaryDirectory(dir=SHARED_MEMORY if SHARED_MEMORY.is_dir() else None) as run:
        for number, (name, (quick, acknowledged)) in enumerate(CASES.items()):
            folder = disk / str(number)
            folder.mkdir()
            found[name] = hour(folder, Path(run) / str(number) if quick else None, acknowledged, seconds)
    return found


def main() -> None:
    """FOLDER SECONDS, both optional."""
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as disk:
        print(json.dumps(measured(Path(disk), int(sys.argv[2]) if len(sys.argv) > 2 else HOUR_S), indent=1))


if __name__ == "__main__":
    main()
