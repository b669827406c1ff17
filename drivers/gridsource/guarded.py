"""The bench's side of the guard (guard.py): a grid simulator whose wire another process owns.

Errors   SourceError: the guard is gone or does not answer; else what the source itself said over there.
"""

from __future__ import annotations

import socket
import subprocess
import sys
from contextlib import suppress
from multiprocessing.connection import Connection
from threading import Event, Lock, Thread
from typing import Any

from drivers.base import DriverError
from drivers.gridsource.estop import descriptors
from drivers.gridsource.guard import Watch, tell
from drivers.gridsource.point import GridPoint, SourceError

BEAT_S = 0.25
START_S = 30.0  # interpreter, imports, and the source's first answer
REQUEST_S = 60.0  # longest request: every line of a long profile timing out


class GuardedSource:
    """A GridSource whose wire another process owns. Threads may beat; requests come from one at a time.

    beating: a thread sends the beat, so that only a dead or a stopped process falls silent. Without it whoever runs the
    bench calls beat() at least every silence_s / 2, and a bench that hangs is noticed too.
    """

    def __init__(self, watch: Watch, beating: bool = True) -> None:
        self._send_lock, self._closed, self._asked = Lock(), Event(), 0
        self._process, self._wire = start(watch)
        try:
            self.phases, self.manual, self.rest = self._answer("start", 0, START_S)
        except DriverError:
            self.close()
            raise
        if beating:
            Thread(target=self._beat, args=(min(BEAT_S, watch.silence_s / 4),), name="guard-beat", daemon=True).start()

    def identity(self) -> str:
        return str(self._request("identity"))

    def on(self, point: GridPoint) -> int:
        return int(self._request("on", point))

    def set(self, point: GridPoint) -> int:
        return int(self._request("set", point))

    def read(self) -> GridPoint | None:
        found: GridPoint | None = self._request("read")
        return found

    def overdue(self) -> str:
        """Why the guard has made the source safe by itself; empty: it has not."""
        return str(self._request("overdue"))

    def safe(self) -> None:
        try:
            self._request("safe")
        except DriverError as error:
            tell(f"the guard does not answer ({error}): SWITCH THE GRID SIMULATOR OFF BY HAND")

    def stop(self) -> None:
        """The emergency stop, pressed by whoever sits at the bench's keyboard."""
        self._request("stop")

    def beat(self) -> None:
        self._send((0, "beat"))

    def close(self) -> None:
        """Source safe, permission withdrawn, guard gone."""
        if not self._closed.is_set():
            self._closed.set()
            with suppress(DriverError):
                self._send((0, "close"))
            self._wire.close()
            try:
                self._process.wait(REQUEST_S)
            except subprocess.TimeoutExpired:
                tell(f"the guard (process {self._process.pid}) does not end: look at the grid simulator")

    def _beat(self, every_s: float) -> None:
        while not self._closed.wait(every_s):
            try:
                self.beat()
            except DriverError:
                return

    def _request(self, verb: str, *args: Any) -> Any:
        self._asked += 1
        self._send((self._asked, verb, *args))
        return self._answer(verb, self._asked, REQUEST_S)

    def _send(self, message: tuple[Any, ...]) -> None:
        try:
            with self._send_lock:
                self._wire.send(message)
        except OSError as error:
            raise self._gone() from error

    def _answer(self, verb: str, number: int, within_s: float) -> Any:
        """The answer to that request: one to an older, which Ctrl-C has kept us from reading, is passed over."""
        try:
            answered = -1
            while answered != number:
                if not self._wire.poll(within_s):
                    self._wire.close()  # so that it takes the safe way
                    raise SourceError(f"the guard has not answered '{verb}' within {within_s:g} s")
                answered, good, value = self._wire.recv()
        except (EOFError, OSError) as error:
            self._wire.close()  # whatever was torn, by a signal too: a guard that is there takes the safe way
            raise self._gone() from error
        if not good:
            raise value
        return value

    def _gone(self) -> SourceError:
        return SourceError("the guard of the grid simulator is gone: look at the simulator, switch it off by hand")


def start(watch: Watch) -> tuple[subprocess.Popen[bytes], Connection]:
    ours, theirs = socket.socketpair()
    command = [sys.executable, "-m", "drivers.gridsource.guard", str(theirs.fileno())]
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        pass_fds=(theirs.fileno(), *descriptors(watch.stop)),
        start_new_session=True,
    )
    theirs.close()
    wire = Connection(ours.detach())
    wire.send(watch)
    return process, wire
