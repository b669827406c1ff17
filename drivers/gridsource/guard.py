"""The guard: a small process of its own that owns the wire to the grid simulator while a bench works.

    bench (guarded.py)  --requests and a beat, over a socket pair-->  guard --> envelope --> source

The bench may end in any way, SIGKILL too: the socket closes, or the beat fails to come for `silence_s`, and the guard
makes the source safe and withdraws the unit's permission to be in service. Both begin at once, neither waits for the
other. It also acts by itself on the emergency stop and on a voltage that stands outside the normal band for too long;
then the bench is still answered, but moves nothing any more.

What a guard is given must survive pickling: module-level functions, functools.partial of them, dataclasses.
Alone it would be deaf to Ctrl-C (a session of its own); SIGTERM takes it the safe way out.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from threading import Thread
from time import monotonic
from typing import Any

from drivers.base import DriverError
from drivers.gridsource.envelope import Envelope, Fenced
from drivers.gridsource.estop import EmergencyStop
from drivers.gridsource.point import EnvelopeError, GridSource, SourceError, shout

ASK_S = 0.02  # how often the guard looks at emergency stop and time
SILENCE_S = 1.0
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


class Guard:
    """serve() returns why it ended; the source is then safe and the permission withdrawn."""

    def __init__(self, watch: Watch, source: Fenced, wire: Connection) -> None:
        self.watch, self.source, self.wire = watch, source, wire
        self.latched = ""  # why nothing moves any more
        self.ended = ""  # by a signal
        self.beat_s = monotonic()
        self.withdrawn = False  # the unit's permission

    def serve(self) -> str:
        reason = ""
        try:
            while not reason:
                reason = self.turn()
        except Exception as error:  # a mistake of ours, like a message that nobody sends: no reason to leave it on
            reason = f"the guard itself has failed ({type(error).__name__}: {error})"
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
    shout(f"V2G-BENCH-GUARD {text}")


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
