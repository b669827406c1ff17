"""Runs of `v2g demo` as a user starts them: exit code, verdict, what they leave behind.

A play is its options and, maybe, a signal in the middle. Demos(folder, plays) runs them two at a time, in order, in the
background; of() waits for one. All processes of a run carry a mark in their environment, so that whatever outlives it
is found, whoever its parent is now.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared" / "data"  # traces of others: read where they lie, never copied
MARK = "V2G_TEST_RUN"
AS_IN_A_TERMINAL = ("env", "--default-signal=INT,TERM")  # a job in the background inherits a deaf ear for Ctrl-C
LIMIT_S = 240.0  # a bound for a broken build, not a figure
GONE_S = 15.0
AT_ONCE = 2  # each has nine processes


@dataclass(frozen=True, slots=True)
class Play:
    """Options of `v2g demo`; when it says `after`, its process group (`group`) or the process gets `signal`."""

    options: tuple[str, ...]
    signal: int = 0
    after: str = "DEMO 2/"
    group: bool = False


@dataclass(frozen=True, slots=True)
class Played:
    """What one run did. left: command lines that outlived it, empty when all is well."""

    code: int
    out: str
    err: str
    folder: Path
    left: tuple[str, ...]

    @property
    def verdict(self) -> dict[str, Any]:
        """What --json printed."""
        assert self.out, self.err
        found: dict[str, Any] = json.loads(self.out)
        return found

    @property
    def journal(self) -> Path:
        return self.folder / "state" / "journal.v2gj"


class Demos:
    """A pool of runs."""

    def __init__(self, folder: Path, plays: Sequence[Play]) -> None:
        self.folder = folder
        self.pool = ThreadPoolExecutor(AT_ONCE)
        self.futures: dict[Play, Future[Played]] = {}
        for play in plays:
            self.submit(play)

    def submit(self, play: Play) -> None:
        if play not in self.futures:
            self.futures[play] = self.pool.submit(run, play, self.folder / f"{len(self.futures)}")

    def of(self, play: Play) -> Played:
        """The run, when it is over."""
        self.submit(play)
        return self.futures[play].result()

    def close(self) -> None:
        self.pool.shutdown(cancel_futures=True)


def v2g(*arguments: str | Path, cwd: Path, limit_s: float = LIMIT_S) -> subprocess.CompletedProcess[str]:
    """One command of the program, from anywhere, to its end."""
    command = [sys.executable, "-m", "controller.cli", *map(str, arguments)]
    return subprocess.run(
        command, cwd=cwd, env=environment(), capture_output=True, text=True, timeout=limit_s, check=False
    )


def environment(**more: str) -> dict[str, str]:
    """This tree's packages, wherever the working folder is."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200", **more}


def run(play: Play, folder: Path) -> Played:
    """One demonstration in its own session, as a terminal would start it."""
    folder.mkdir(parents=True)
    mark = uuid4().hex
    options = ("--folder", str(folder / "run"), "--json", *play.options)
    with (folder / "out").open("w") as out, (folder / "err").open("w") as err:
        process = subprocess.Popen(
            [*AS_IN_A_TERMINAL, sys.executable, "-m", "controller.cli", "demo", *options], cwd=folder,
            stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=environment(**{MARK: mark}), start_new_session=True,
        )  # fmt: skip
        bell = threading.Timer(LIMIT_S, process.kill)
        bell.start()
        if play.signal:
            interrupt(process, play, folder / "err")
        code = process.wait()
        bell.cancel()
    # of a process that was just being started nobody may know; it sees by itself that its parent is gone
    left = outliving(mark, GONE_S if code in (-signal.SIGKILL, 130) else 0.0)
    return Played(code, (folder / "out").read_text(), (folder / "err").read_text(), folder / "run", left)


def interrupt(process: subprocess.Popen[bytes], play: Play, err: Path) -> None:
    """Wait for the words, then send the signal."""
    while play.after not in err.read_text() and process.poll() is None:
        time.sleep(0.05)
    if play.group:
        os.killpg(process.pid, play.signal)
    else:
        process.send_signal(play.signal)


def outliving(mark: str, grace_s: float) -> tuple[str, ...]:
    """Command lines of living processes with this mark, after a time of grace; then they are ended."""
    deadline = time.monotonic() + grace_s
    while (found := marked(mark)) and time.monotonic() < deadline:
        time.sleep(0.1)
    for pid in found:
        os.kill(pid, signal.SIGKILL)
    return tuple(found.values())


def marked(mark: str) -> dict[int, str]:
    """pid -> command line of the processes that carry a mark."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={mark}".encode() in (folder / "environ").read_bytes():
                found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:  # gone, or not ours
            continue
    return found
