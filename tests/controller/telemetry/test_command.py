"""`v2g telemetry SITE` as a process, on a real ring and journal, with SQLite as its store and no broker."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from controller.journal import Packed, read_journal, unpack_chunk
from controller.telemetry.sqlitestore import read_points
from cython_core.realtime.ring import RingWriter
from tests.controller.telemetry.makers import PERIOD_NS, info, records

SITE = """
schema: 1
name: home
start_mode: demo
runtime_dir: {folder}/run
state_dir: {folder}/state
meter: {{map: eastron-sdm630, host: 127.0.0.1, port: 15020, location: inverter, phases: L1L2L3, poll_ms: 50,
         timeout_ms: 100, refresh_ms: 100}}
inverter: {{map: sunspec-7xx, host: 127.0.0.1, port: 15021, poll_ms: 100, timeout_ms: 200, reversion_s: 10,
            lag_ms: 300}}
telemetry: {{live_s: 1{more}}}
"""
PATIENCE_S = 20.0
MAIN = "from controller.cli import main; import sys; sys.exit(main(sys.argv[1:]))"


class Process:
    """One site's folder and the telemetry process in it."""

    def __init__(self, folder: Path, more: str = "") -> None:
        self.folder = folder
        (folder / "run").mkdir()
        (folder / "site.yaml").write_text(SITE.format(folder=folder, more=more))
        self.child: subprocess.Popen[str] | None = None

    def start(self, command: str = "telemetry") -> subprocess.Popen[str]:
        line = [sys.executable, "-c", MAIN, command, str(self.folder / "site.yaml"), "--parent-death"]
        self.child = subprocess.Popen(line, stderr=subprocess.PIPE, text=True)
        return self.child

    def status(self) -> dict[str, object]:
        with contextlib.suppress(OSError):
            found: dict[str, object] = json.loads((self.folder / "run" / "telemetry.json").read_text())
            return found
        return {}

    def close(self) -> None:
        if self.child is not None:
            self.child.kill()
            self.child.communicate()


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    process = Process(tmp_path)
    yield process
    process.close()


def wait_for(claim: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not claim():
        assert time.monotonic() < deadline, f"not within {PATIENCE_S} s: {what}"
        time.sleep(0.02)


def push(ring: RingWriter, first: int, count: int) -> None:
    for row in records(first, count):
        ring.push(row.tobytes())


def steps_of(path: Path) -> list[int]:
    """Step numbers of a journal, in the order of the file."""
    packed = [entry for run in read_journal(path).runs for entry in run.entries if isinstance(entry, Packed)]
    return [int(n) for entry in packed for n in unpack_chunk(entry.payload).records["n"]]


def test_killed_restarted_and_stopped_no_step_is_missing(process: Process) -> None:
    folder = process.folder
    process.start()  # before there is a ring
    ring = RingWriter(folder / "run" / "ring", info(), PERIOD_NS)
    push(ring, 0, 150)
    wait_for(lambda: process.status().get("newest_n") == 149, "the first steps read")
    assert process.child is not None
    process.child.send_signal(signal.SIGKILL)
    process.child.communicate()
    push(ring, 150, 150)
    child = process.start()
    wait_for(lambda: process.status().get("newest_n") == 299, "the rest read")
    child.send_signal(signal.SIGTERM)
    _, said = child.communicate(timeout=PATIENCE_S)
    assert (child.returncode, "Traceback" in said) == (0, False), said
    assert steps_of(folder / "state" / "journal.v2gj") == list(range(300))
    store = folder / "state" / "telemetry.sqlite"
    frames = [row.body for row in read_points(store, "home", "live")]
    assert [(b["n_first"], b["n_last"]) for b in frames] == [(n, n + 9) for n in range(0, 300, 10)]
    assert [row.name for row in read_points(store, "home", "event")] == ["start", "state"]
    status = process.status()
    assert (status["pid"], status["waiting"], status["lost_records"]) == (child.pid, 0, 0)


def test_only_one_at_a_time(process: Process) -> None:
    first = process.start()
    wait_for(lambda: process.status().get("pid") == first.pid, "the first one runs")
    second = process.start()
    _, said = second.communicate(timeout=PATIENCE_S)
    first.terminate()
    first.communicate(timeout=PATIENCE_S)
    assert second.returncode == 2
    assert said.strip().split("\n") == [f"{process.folder}/state: another telemetry process of this site is running"]


def test_a_bridge_without_a_broker_is_one_clear_line(process: Process) -> None:
    child = process.start("bridge")
    _, said = child.communicate(timeout=PATIENCE_S)
    assert child.returncode == 2
    assert "telemetry.mqtt is not set" in said
    assert said.count("\n") == 1


def test_ends_with_its_parent_when_asked(process: Process) -> None:
    """A shell starts it and dies; nothing may stay behind."""
    line = f"{sys.executable} -c '{MAIN}'"
    script = f"{line} telemetry {process.folder}/site.yaml --parent-death & echo $!; wait"
    shell = subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, text=True)
    assert shell.stdout is not None
    pid = int(shell.stdout.readline())
    wait_for(lambda: process.status().get("pid") == pid, "it runs")
    shell.kill()
    shell.wait()
    wait_for(lambda: not alive(pid), "it ends with its parent")


def alive(pid: int) -> bool:
    """Not gone, and not a zombie that nobody has collected yet."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
