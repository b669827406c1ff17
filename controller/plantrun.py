"""The core of a site inside this process, for `v2g commission`: the same buses, loop, limits and stop as `v2g run`.

Power     only by wishes of the source BENCH, which live LIFE_S: when this program stands still, the core goes to 0 W by
          itself (its default wish is 0 W here). Nothing else writes to the inverter, and no limit is passed by.
Records   each step, from the ring; `device` and `meter` straight from the bus when the core is dead.
Errors    Stopped when we were told to stop; BusError: a port cannot be opened.
"""

from __future__ import annotations

import gc
import mmap
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from controller.handed import stamp
from controller.launch import hand_over
from controller.lifetime import StopEvent, stop_on_signals
from controller.progress import Progress
from controller.runtime import Runtime
from controller.services.wishes import BOX_BYTES
from controller.site import Site
from cython_core.bulk import STEP, from_bytes
from cython_core.realtime.mailbox import Box, Mailbox
from cython_core.realtime.ring import RingReader
from cython_core.records import RECORDS, DeviceState, Measurement, State, Wish, WishSource
from drivers.can.tables import Plan as CanPlan
from drivers.devicemap import DeviceMap
from drivers.tables import Plan

LOOK_S = 0.05
LIFE_S = 2.0  # of a wish
AGAIN_S = 0.25  # and so often it is renewed
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
BY_NAME = {record.__name__: record for record in RECORDS}


class Stopped(Exception):  # noqa: N818  # it is no error: somebody wanted it so
    """Ctrl-C, SIGTERM, or the terminal has gone. number: the signal."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.number = number


@contextmanager
def stoppable() -> Iterator[StopEvent]:
    """Inside, signals set the event and interrupt nothing: whoever looks raises Stopped where power can be stopped."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    stopping = stop_on_signals()
    try:
        yield stopping
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@dataclass(frozen=True, slots=True)
class Plant:
    """A site whose devices have been found."""

    site: Site
    inverter: Plan | CanPlan
    meter: DeviceMap


class PlantRun(Runtime):
    """One life of the core. writes: of its site's start mode."""

    def __init__(self, plant: Plant, stopping: StopEvent, quiet: bool) -> None:
        site = plant.site
        wish = replace(site.settings.default_wish, charge_w=0.0)
        site = replace(site, settings=replace(site.settings, default_wish=wish))
        self.boxes: dict[str, Mailbox] = {}
        self.stopping, self.quiet = stopping, quiet
        self.begun = self.dead = False
        super().__init__(hand_over(site, site.start_mode != "shadow", plant.inverter, plant.meter, stamp()))
        self.life_s = min(LIFE_S, wish.wish_lifetime_s)
        with Path(self.handed.wishes).open("r+b") as file:
            shared = mmap.mmap(file.fileno(), 0)
        self.wishes = Mailbox(Wish, shared, WishSource.BENCH * BOX_BYTES)
        self.p_w, self.wished_s = 0.0, 0.0
        self.parts: list[NDArray[Any]] = []

    def box(self, name: str) -> Box:
        self.boxes[name] = Mailbox(BY_NAME[name])
        return self.boxes[name]

    def say_grants(self, grants: dict[str, str]) -> None:
        if not self.quiet:
            super().say_grants(grants)

    def begin(self) -> None:
        """Start it with a wish of 0 W, and read what it records."""
        self.wish(0.0)
        self.start(dict(self.handed.granted))
        self.begun = True
        gc.enable()
        self.reader = RingReader(Path(self.handed.ring))

    def wish(self, p_w: float) -> None:
        """From now on this power, and no other, inside all limits."""
        now_ns = time.monotonic_ns()
        self.p_w, self.wished_s = p_w, now_ns * 1e-9
        self.wishes.put(
            Wish(
                source=WishSource.BENCH,
                lo_w=p_w,
                hi_w=p_w,
                p_w=p_w,
                q_var=0.0,
                valid_from_ns=now_ns,
                expires_ns=now_ns + round(self.life_s * 1e9),
                seq=now_ns,  # rises over all runs
            )
        )

    def look(self) -> None:
        """Wait a moment, renew the wish, take the new steps. Stopped: when we were told to."""
        if self.stopping.wait(LOOK_S):
            raise Stopped(self.stopping.number or signal.SIGINT)
        if self.dead:
            return
        if time.monotonic() - self.wished_s > AGAIN_S:
            self.wish(self.p_w)
        raw, _ = self.reader.read(100_000)
        if raw:
            self.parts.append(from_bytes(raw))

    @property
    def records(self) -> NDArray[Any]:
        """All steps so far."""
        self.parts = [np.concatenate(self.parts)] if self.parts else [np.zeros(0, STEP)]
        return self.parts[0]

    @property
    def newest(self) -> Any:
        """The newest step; None before the first."""
        last = next((part for part in reversed(self.parts) if len(part)), None)
        return None if last is None else last[-1]

    def wait(self, seconds: float, what: str, until: Callable[[], object] = lambda: False) -> bool:
        """So long, or until it is true; tells how long it may still last."""
        begin_s = time.monotonic()
        with Progress(what, sys.stderr) as progress:
            while not until():
                passed_s = time.monotonic() - begin_s
                if passed_s >= seconds:
                    return False
                self.look()
                if sys.stderr.isatty():
                    progress(round(1000 * passed_s), round(1000 * seconds))
        return True

    def is_in_service(self) -> bool:
        return self.newest is not None and self.newest["state"] == State.IN_SERVICE

    def die(self) -> None:
        """End the core and leave the buses alone: no more commands, as after a crash of the loop."""
        self.dead = True
        self.loop.stop()

    def device(self) -> DeviceState | None:
        """What the inverter has said since the last call; None: nothing new. For a core that is dead."""
        found: DeviceState | None = self.boxes["DeviceState"].get()
        return found

    def measurement(self) -> Measurement | None:
        """The same of the meter."""
        found: Measurement | None = self.boxes["Measurement"].get()
        return found

    def end(self) -> None:
        """Ramp to 0, hand back, close; of a dead core and in shadow close alone."""
        if not self.begun:
            return
        if self.handed.writes and not self.dead:
            self.stop()
        else:
            self.halt()


@contextmanager
def running(plant: Plant, stopping: StopEvent, quiet: bool = True) -> Iterator[PlantRun]:
    """A core that lives inside this block, and is ended in order however it is left."""
    run = PlantRun(plant, stopping, quiet)
    try:
        run.begin()
        yield run
    finally:
        run.end()
