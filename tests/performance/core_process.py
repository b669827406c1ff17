"""The real core process, `v2g run` of a small site against simulated devices, to be looked at from outside."""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.faults.rig import READY_S, Rig

SETTLE_S = 1.0  # after the ring is there: every input has been read and written


@contextmanager
def core_process(period_ms: int) -> Iterator[int]:
    """Its process id, when it steps and both buses talk."""
    with tempfile.TemporaryDirectory() as folder, Rig(Path(folder)) as rig:
        rig.start("grid", "meter", "inverter")
        rig.site.write_text(rig.site.read_text() + f"period_ms: {period_ms}\n")
        rig.restart("controller")
        rig.wait_for((rig.folder / "run" / "ring").exists, READY_S, "the controller's ring")
        time.sleep(SETTLE_S)
        yield rig.family.members["controller"].pid


def mapped_bytes(pid: int) -> dict[str, int]:
    """Resident bytes by what is mapped: a file's path, "[heap]" and so on, "" for anonymous memory."""
    found: dict[str, int] = {}
    name = ""
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        if head := re.match(r"[0-9a-f]+-[0-9a-f]+ \S+ \S+ \S+ \S+ *(.*)", line):
            name = head[1]
        elif line.startswith("Rss:"):
            found[name] = found.get(name, 0) + 1024 * int(line.split()[1])
    return found


def cpu_ns(pid: int) -> int:
    """CPU time of all threads of a process so far."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks)
