"""The guard: a small process of its own that owns the wire to the grid simulator while a bench works.

    bench (GuardedSource)  --requests and a beat, over a socket pair-->  guard --> envelope --> source

The bench may end in any way, SIGKILL too: the socket closes, or the beat fails to come for `silence_s`, and the guard
makes the source safe and withdraws the unit's permission to be in service. Both begin at once, neither waits for the
other. It also acts by itself on the emergency stop and on a voltage that stands outside the normal band for too long;
then the bench is still answered, but moves nothing any more.

What a guard is given must survive pickling: module-level functions, functools.partial of them, dataclasses.
Alone it would be deaf to Ctrl-C (a session of its own); SIGTERM takes it the safe way out.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from threading import Event, Lock, Thread
from time import monotonic
from typing import Any

from drivers.base import DriverError
from drivers.gridsource.envelope import Envelope, Fenced
from drivers.gridsource.estop import EmergencyStop, descriptors
from drivers.gridsource.point import EnvelopeError, GridPoint, GridSource, SourceError

ASK_S = 0.02  # how often the guard looks at emergency stop and time
SILENCE_S = 1.0
BEAT_S = 0.25
START_S = 30.0  # interpreter, imports, and the source's first answer
REQUEST_S = 60.0  # longest request: every line of a long profile timing out
PERMIT_S = 5.0  # how long the guard waits for the permission to be withdrawn, before it ends
MOVES = ("on", "set")
CLOSED = "closed"  # the one end that is no news


@dataclass(frozen=True, slots=True)
class Watch:
    """What a guard is told once. permit_off: withdraws the unit's permission; may be called again."""

    open_source: Callable[[], GridSource]
    envelope: Envelope
    permit_off: Callable[[], None] | None = None
    stop: EmergencyStop | None = None
    silence_s: float = SILENCE_S


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


class Guard:
    """The other side. serve() returns why it ended; the source is then safe and the permission withdrawn."""

    def __init__(self, watch: Watch, source: Fenced, wire: Connection) -> None:
        self.watch, self.source, self.wire = watch, source, wire
        self.latched = ""  # why nothing moves any more
        self.ended = ""  # by a signal
        self.beat_s = monotonic()
        self.withdrawn = False  # the unit's permission

    def serve(self) -> str:
        reason = ""
        while not reason:
            reason = self.turn()
        self.make_safe(reason)
        return reason

    def turn(self) -> str:
        """One look at everything that can happen; the reason to end, or nothing."""
        try:
            if self.wire.poll(ASK_S):
                number, verb, *args = self.wire.recv()
                if verb == "close":
                    return CLOSED
                if verb != "beat":
                    self.wire.send((number, *self.answer(verb, args)))
                self.beat_s = monotonic()
        except (EOFError, OSError):
            return "the bench is gone"
        if monotonic() - self.beat_s > self.watch.silence_s:
            return f"the bench has been silent for {self.watch.silence_s:g} s"
        if not self.latched:
            pressed = self.watch.stop is not None and self.watch.stop.pressed()
            self.latch("emergency stop" if pressed else self.source.overdue())
        return self.ended

    def answer(self, verb: str, args: list[Any]) -> tuple[bool, Any]:
        if verb == "stop":
            self.latch("emergency stop")
            return True, None
        if verb == "overdue":
            return True, self.latched
        if verb in MOVES and self.latched:
            return False, EnvelopeError(f"{self.latched}: the grid simulator stays as it is; start the bench anew")
        try:
            return True, getattr(self.source, verb)(*args)
        except Exception as error:
            told = error if isinstance(error, DriverError) else SourceError(f"{type(error).__name__}: {error}")
            return False, told

    def latch(self, reason: str) -> None:
        if reason and not self.latched:
            self.latched = reason
            self.make_safe(reason)

    def make_safe(self, reason: str) -> None:
        """Never raises. The permission is withdrawn beside the source, for either may be slow to answer."""
        self.withdrawn = False
        permit = Thread(target=self.permit_off, name="permit-off", daemon=True)
        permit.start()
        self.source.safe()
        permit.join(PERMIT_S)
        if permit.is_alive():
            tell(f"the unit's permission could not be withdrawn within {PERMIT_S:g} s")
        if reason != CLOSED:
            tell(f"{reason}: grid simulator made safe{', permission to be in service withdrawn' * self.withdrawn}")

    def permit_off(self) -> None:
        try:
            if self.watch.permit_off is not None:
                self.watch.permit_off()
                self.withdrawn = True
        except Exception as error:  # whatever it is: the source's side must go on
            tell(f"the unit's permission could not be withdrawn: {error}")


def tell(text: str) -> None:
    print(f"V2G-BENCH-GUARD {text}", file=sys.stderr, flush=True)


def main(fd: int) -> int:
    wire = Connection(fd)
    try:
        watch: Watch = wire.recv()
        source = Fenced(watch.open_source(), watch.envelope)
    except EOFError:
        return 3  # the bench did not even say what to guard
    except Exception as error:
        told = error if isinstance(error, DriverError) else SourceError(f"the guard cannot start: {error}")
        wire.send((0, False, told))
        return 3
    guard = Guard(watch, source, wire)
    signal.signal(signal.SIGTERM, lambda *_: setattr(guard, "ended", "the guard was told to end (SIGTERM)"))
    wire.send((0, True, (source.phases, source.manual, source.rest)))
    guard.serve()
    source.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
