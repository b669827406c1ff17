"""What the host grants: each answer in words, each refusal with the line that grants it, and nothing half granted."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys

import pytest

from cython_core.realtime import host

# fmt: off
FIFO = [
    # errno         root    text                                                why
    (0,             False,  "fifo 80",                                          "granted"),
    (errno.EPERM,   False,  "other: refused; LimitRTPRIO=90 in the unit grants it", "refused to a user"),
    (errno.EPERM,   True,   "other: root is refused, the control group has no real-time budget", "refused to root"),
    (errno.EINVAL,  False,  "other: refused",                                   "a priority that is none"),
]
# fmt: on


@pytest.mark.parametrize(("error", "root", "text", "why"), FIFO, ids=[c[-1] for c in FIFO])
def test_fifo(error: int, root: bool, text: str, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0 if root else 1000)
    assert host.fifo_text(error, 80).startswith(text), why


def test_memory_that_only_half_fits_is_not_locked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (65536, 65536))
    assert host.lock_memory() == "none: refused; LimitMEMLOCK=infinity in the unit grants it"


def test_locking_memory_says_what_it_did() -> None:
    """In a process of its own: a lock lasts. The kernel's own count agrees with the words."""
    code = (
        "from cython_core.realtime.host import lock_memory; from pathlib import Path; print(lock_memory());"
        "print([s.split()[1] for s in Path('/proc/self/status').read_text().splitlines() if s.startswith('VmLck')][0])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    text, locked_kib = done.stdout.splitlines()
    assert text == "all, on fault" or text.startswith("none: ")
    assert (int(locked_kib) > 0) == (text == "all, on fault")


def test_idle_states_are_held_or_the_reason_is_told() -> None:
    held = host.IdleStates()
    assert held.text in (
        "held at 0",
        "not held: there is no /dev/cpu_dma_latency",
        "not held: refused; a udev rule for cpu_dma_latency grants it",
    )
    held.close()
    held.close()  # a second time is no error


def test_kernel_kind() -> None:
    assert host.kernel_kind() in ("rt", "preempt", "none")
