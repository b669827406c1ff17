"""A family of processes: started by name, watched, ended in order. Nothing is left behind.

Each has its own session, so that Ctrl-C in the terminal reaches only us, and we end them in a safe order; those that
were told --parent-death end when we end without that. Output goes to logs/<name>.log. Errors: ProcessError names the
process, its exit code and the last line it wrote.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from controller.lifetime import PARENT, signals_wait


class ProcessError(Exception):
    """A process of the family ended, or did not become ready. The text says which and what it said last."""


@dataclass
class Family:
    """Processes of this program, all Python. environment: what they get besides our own."""

    logs: Path
    environment: dict[str, str] = field(default_factory=dict)
    members: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str, *command: str) -> None:
        """`python -m command...`."""
        self.logs.mkdir(parents=True, exist_ok=True)
        with (self.logs / f"{name}.log").open("ab") as log, signals_wait():
            self.members[name] = subprocess.Popen(
                [sys.executable, "-m", *command], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True, env={**os.environ, PARENT: str(os.getpid()), **self.environment},
            )  # fmt: skip

    def last_line(self, name: str) -> str:
        """What a process said last."""
        path = self.logs / f"{name}.log"
        lines = path.read_text(errors="replace").strip().splitlines() if path.exists() else []
        return lines[-1] if lines else "it said nothing"

    def check(self) -> None:
        """Raise ProcessError when a member has ended by itself."""
        for name, process in self.members.items():
            if process.poll() is not None:
                raise ProcessError(f"{name} ended with code {process.returncode}: {self.last_line(name)}")

    def wait_until(self, ready: Callable[[], bool], what: str, limit_s: float) -> None:
        """Until ready() is true; ProcessError when a member ends or the limit passes first."""
        deadline = time.monotonic() + limit_s
        while not ready():
            self.check()
            if time.monotonic() > deadline:
                raise ProcessError(f"{what}: not after {limit_s:g} s; see {self.logs}")
            time.sleep(0.05)

    def kill(self, name: str) -> None:
        """SIGKILL; returns when it is gone, and forgotten."""
        process = self.members.pop(name)
        process.kill()
        process.wait()

    def freeze(self, name: str) -> None:
        """SIGSTOP: it lives and does nothing."""
        self.members[name].send_signal(signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        """It goes on."""
        self.members[name].send_signal(signal.SIGCONT)

    def stop(self, names: Sequence[str] = (), limit_s: float = 20.0) -> None:
        """SIGTERM to these (all, last started first), wait, then SIGKILL. Members that have ended are forgotten.

        Interrupted while it waits, it still knows them: the next stop() waits for them again.
        """
        for name in names or list(reversed(self.members)):
            process = self.members.get(name)
            if process is None:
                continue
            process.terminate()
            try:
                process.wait(limit_s)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            del self.members[name]
