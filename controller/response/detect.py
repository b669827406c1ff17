"""Grid events in a stream of step records: the frequency has left the dead band and stays out.

Feed    structured arrays of cython_core.bulk.STEP in order, in chunks of any size; the state is carried over, so the
        events do not depend on the chunking.
Event   opens with two distinct readings (new m_t_f_ns) outside on one side, one after the other: one false reading
        of a phase jump is no event. It starts at the first of the two. It closes when readings have been inside for
        clear_s, at the first of those; or at once when two readings stand on the other side.
Time    of the reading (m_t_f_ns, CLOCK_MONOTONIC), not of the step that used it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cython_core.records import MeasurementValid
from cython_core.settings import Settings

CLEAR_S = 5.0
PLAUSIBLE = (0.8, 1.2)  # of nominal; a reading outside is no reading


@dataclass(frozen=True, slots=True)
class GridEvent:
    """One excursion. side: +1 over, -1 under. *_end: first reading back inside; not ended: the newest one outside."""

    n_start: int
    n_end: int
    t_start_ns: int
    t_end_ns: int
    side: int
    f_extreme_hz: float
    t_extreme_ns: int
    ended: bool

    @property
    def duration_s(self) -> float:
        return (self.t_end_ns - self.t_start_ns) / 1e9


def new_readings(records: NDArray[Any], f_nom_hz: float, t_last_ns: int = 0) -> NDArray[np.bool_]:
    """Which rows bring a frequency reading that is new, valid and plausible."""
    t, f = records["m_t_f_ns"], records["m_f_hz"]
    before = np.concatenate(([t_last_ns], t[:-1])) if len(t) else t
    with np.errstate(invalid="ignore"):
        plausible = (f >= PLAUSIBLE[0] * f_nom_hz) & (f <= PLAUSIBLE[1] * f_nom_hz)
    return np.asarray((t != before) & plausible & (records["m_valid"] & MeasurementValid.F != 0))


class EventDetector:
    """Feed chunks, get the events that each chunk closed; close() gives the one still open."""

    def __init__(self, settings: Settings, clear_s: float = CLEAR_S) -> None:
        self.f_nom_hz = settings.rating.f_nom_hz
        self.high_hz = self.f_nom_hz + settings.freq_droop.db_of_hz
        self.low_hz = self.f_nom_hz - settings.freq_droop.db_uf_hz
        self.clear_ns = round(clear_s * 1e9)
        self.t_last_ns = 0  # newest reading seen
        self.event: GridEvent | None = None
        self.waiting: GridEvent | None = None  # one reading outside, not yet confirmed
        self.back: tuple[int, int] | None = None  # n and time of the first reading back inside

    def feed(self, records: NDArray[Any]) -> list[GridEvent]:
        """Events that ended in this chunk."""
        rows = records[new_readings(records, self.f_nom_hz, self.t_last_ns)]
        if len(records):
            self.t_last_ns = int(records["m_t_f_ns"][-1])
        columns = (rows[name].tolist() for name in ("n", "m_t_f_ns", "m_f_hz"))
        ended = (self._reading(n, t_ns, f_hz) for n, t_ns, f_hz in zip(*columns, strict=True))
        return [event for event in ended if event]

    def close(self) -> list[GridEvent]:
        """The event that the end of the data cut short."""
        return [self.event] if self.event else []

    def _reading(self, n: int, t_ns: int, f_hz: float) -> GridEvent | None:
        side = (f_hz > self.high_hz) - (f_hz < self.low_hz)
        if self.event and side == self.event.side:
            self._goes_on(self.event, n, t_ns, f_hz)
            return None
        if side == 0:
            self.waiting = None
            return self._inside(n, t_ns)
        return self._outside(n, t_ns, f_hz, side)

    def _goes_on(self, event: GridEvent, n: int, t_ns: int, f_hz: float) -> None:
        self.back = self.waiting = None
        self.event = replace(event, n_end=n, t_end_ns=t_ns)
        if (f_hz - event.f_extreme_hz) * event.side > 0:
            self.event = replace(self.event, f_extreme_hz=f_hz, t_extreme_ns=t_ns)

    def _inside(self, n: int, t_ns: int) -> GridEvent | None:
        if self.event is None:
            return None
        self.back = self.back or (n, t_ns)
        if t_ns - self.back[1] < self.clear_ns:
            return None
        return self._end(*self.back)

    def _outside(self, n: int, t_ns: int, f_hz: float, side: int) -> GridEvent | None:
        first = self.waiting
        if first is None or first.side != side:
            self.waiting = GridEvent(n, n, t_ns, t_ns, side, f_hz, t_ns, ended=False)
            return None
        ended = self._end(*(self.back or (first.n_start, first.t_start_ns))) if self.event else None
        self._goes_on(first, n, t_ns, f_hz)
        return ended

    def _end(self, n: int, t_ns: int) -> GridEvent:
        assert self.event is not None
        event = replace(self.event, n_end=n, t_end_ns=t_ns, ended=True)
        self.event = self.back = None
        return event


def detect(records: NDArray[Any], settings: Settings, clear_s: float = CLEAR_S) -> list[GridEvent]:
    """All events of one array; the last may not have ended."""
    detector = EventDetector(settings, clear_s)
    return detector.feed(records) + detector.close()
