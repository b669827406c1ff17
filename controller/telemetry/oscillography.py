"""Oscillography: which samples around an event are kept, and when. Pure; the files are scopefile's.

Trigger  a reason that has been absent for QUIET_NS stands: a trip, ride-through, an answer to frequency or voltage, a
         fail-safe. Another one while samples are being taken is named in the same capture.
Capture  every step from pre_s before the trigger to post_s after it; fewer where the records begin or end there.
Rate     most_per_hour captures of grid events, and as many of all others: a flapping reason wears no disk.
Restart  done_n, need_n: kept with the outbox's progress, so that no capture is missing or made twice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cython_core.records import Reason

Records = NDArray[Any]

QUIET_NS = 2_000_000_000
HOUR_NS = 3_600_000_000_000
GRID = ("frequency", "voltage")
TRIGGERS = {
    "trip": int(Reason.TRIP_VOLTAGE | Reason.TRIP_FREQUENCY),
    "ride_through": int(Reason.RIDE_THROUGH | Reason.CESSATION),
    "fail_safe": int(
        Reason.F_STALE | Reason.F_LOST | Reason.V_STALE | Reason.V_LOST | Reason.P_STALE | Reason.P_LOST
        | Reason.DEVICE_STALE | Reason.DEVICE_LOST | Reason.METER_LOST | Reason.METER_FROZEN | Reason.EMERGENCY_STOP
    ),
    "frequency": int(Reason.DROOP | Reason.FAST_RESPONSE | Reason.INERTIA),
    "voltage": int(Reason.VOLT_VAR | Reason.VOLT_WATT),
}  # fmt: skip
NOT_YET = int(Reason.STARTING)  # what is not there at the start has not failed


@dataclass(frozen=True, slots=True)
class Trigger:
    """One rise of a reason."""

    name: str
    n: int
    t_ns: int


@dataclass(frozen=True, slots=True)
class Capture:
    """Samples around a trigger. also: triggers that came meanwhile; complete: to the end of post_s."""

    trigger: Trigger
    also: tuple[Trigger, ...]
    records: Records
    complete: bool
    passed_over: int  # captures that the rate has refused since the one before


class Oscilloscope:
    """One run. feed() takes records in order of n; period_ns: of a step."""

    def __init__(self, pre_s: float, post_s: float, most_per_hour: int, period_ns: int) -> None:
        self.pre_ns, self.post_ns = round(pre_s * 1e9), round(post_s * 1e9)
        self.most, self.pre_steps = most_per_hour, -(-round(pre_s * 1e9) // period_ns)
        self.done_n = self.newest_n = -1
        self.passed_over = 0
        self._kept: list[Records] = []
        self._active_ns: dict[str, int] = {}
        self._open: list[Trigger] = []
        self._past: dict[bool, deque[int]] = {True: deque(), False: deque()}  # of grid events, of others

    def resume(self, done_n: int) -> None:
        """Triggers up to this step have been dealt with."""
        self.done_n = done_n

    @property
    def need_n(self) -> int:
        """The first step that a successor needs to go on from here."""
        return max((self._open[0].n if self._open else self.newest_n + 1) - self.pre_steps, 0)

    def feed(self, records: Records) -> list[Capture]:
        """Captures that are finished by these records."""
        records = records[records["n"] > self.newest_n]
        if not len(records):
            return []
        first, self.newest_n = self.newest_n < 0, int(records["n"][-1])
        self._kept.append(records)
        found = []
        for trigger in sorted(self._triggers(records, first and int(records["n"][0]) > 0), key=lambda t: t.t_ns):
            found += self._finished(trigger.t_ns)
            self._take(trigger)
        found += self._finished(int(records["t_ns"][-1]))
        self._forget()
        return found

    def close(self) -> list[Capture]:
        """The capture under way, as far as it has come."""
        return [self._cut(complete=False)] if self._open else []

    def _triggers(self, records: Records, joined: bool) -> Iterator[Trigger]:
        """joined: the run was under way before: a reason that stands in the first record is no rise."""
        ready = records["reasons"] & NOT_YET == 0
        for name, bits in TRIGGERS.items():
            row = np.flatnonzero((records["reasons"] & bits != 0) & ready)
            if not len(row):
                continue
            t_ns = records["t_ns"][row]
            if joined and row[0] == 0:
                self._active_ns[name] = int(t_ns[0])
            before = np.concatenate(([self._active_ns.get(name, -QUIET_NS - 1)], t_ns[:-1]))
            self._active_ns[name] = int(t_ns[-1])
            for i in row[t_ns - before > QUIET_NS]:
                yield Trigger(name, int(records["n"][i]), int(records["t_ns"][i]))

    def _take(self, trigger: Trigger) -> None:
        if trigger.n <= self.done_n:
            return
        if self._open:
            self._open.append(trigger)
            return
        past = self._past[trigger.name in GRID]
        while past and past[0] <= trigger.t_ns - HOUR_NS:
            past.popleft()
        if len(past) >= self.most:
            self.passed_over += 1
            self.done_n = trigger.n
            return
        past.append(trigger.t_ns)
        self._open.append(trigger)

    def _finished(self, t_ns: int) -> list[Capture]:
        """The capture under way, when it is over at this time."""
        over = self._open and t_ns > self._open[0].t_ns + self.post_ns
        return [self._cut(complete=True)] if over else []

    def _cut(self, complete: bool) -> Capture:
        trigger, *also = self._open
        records = np.concatenate(self._kept)
        inside = (records["t_ns"] >= trigger.t_ns - self.pre_ns) & (records["t_ns"] <= trigger.t_ns + self.post_ns)
        capture = Capture(trigger, tuple(also), records[inside], complete, self.passed_over)
        self.done_n, self.passed_over, self._open = max(t.n for t in (trigger, *also)), 0, []
        return capture

    def _forget(self) -> None:
        """What no capture can need any more."""
        newest_ns = self._open[0].t_ns if self._open else int(self._kept[-1]["t_ns"][-1])
        while len(self._kept) > 1 and int(self._kept[0]["t_ns"][-1]) < newest_ns - self.pre_ns:
            del self._kept[0]
