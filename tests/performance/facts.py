"""What a run says of itself: when, where, by which command, and how far this machine and user allow real time."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cython_core.realtime.host import IdleStates, kernel_kind
from tests.performance.loop_lateness import PRIORITY, granted_priority

ROOT = Path(__file__).parents[2]


def cpu_model() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [value.strip() for key, _, value in (line.partition(":") for line in lines) if key.strip() == "model name"]
    return models[0] if models else platform.machine()


def commit() -> str:
    """The commit of this tree, "+" when files differ from it; "unknown" outside a repository."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty=+", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def idle_states() -> str:
    held = IdleStates()
    held.close()
    return held.text


def facts(arguments: Sequence[str], quick: bool) -> dict[str, Any]:
    """JSON-able."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": commit(),
        "command": shlex.join(["python", "-m", "tests.performance", *arguments]),
        "slices": "quick" if quick else "full",
        "kernel": f"{platform.release()}, preemption: {kernel_kind()}",
        "machine": f"{cpu_model()}, {os.cpu_count()} CPUs, {platform.machine()}",
        "python": platform.python_version(),
        "fifo": f"priority {PRIORITY}" if granted_priority() else "refused: nobody has a real-time priority",
        "idle_states": idle_states(),
    }


@contextmanager
def stolen(cpu: int) -> Iterator[dict[str, Any]]:
    """Into the yielded mapping, at the end: the share of that CPU's time which its host gave to others."""
    into: dict[str, Any] = {}
    before = ticks(cpu)
    yield into
    passed = [b - a for a, b in zip(before, ticks(cpu), strict=True)]
    into["stolen_percent"] = round(100.0 * passed[7] / max(sum(passed[:8]), 1), 1)


def ticks(cpu: int) -> list[int]:
    """user, nice, system, idle, iowait, irq, softirq, steal ... of one CPU (proc(5))."""
    lines = Path("/proc/stat").read_text().splitlines()
    return next([int(n) for n in line.split()[1:]] for line in lines if line.startswith(f"cpu{cpu} "))
