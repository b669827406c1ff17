"""The quality of a day's data, counted as its steps go by. Pure; the memory does not grow with the day.

Recorded   seconds that a step stands for (skipped grid points belong to the step behind them).
Ages       of each signal when a step used it, ms; percentiles from a histogram of PER_DECADE bins a decade: within 5 %.
Hours      of each state and of each reason: how long it stood. latches: how often droop took a power as its reference.
Energy     the unit's measured power times time, and the meter's own power times time (for its registers), both ways.
Gaps       where no step is: between runs the controller was not there, inside a run the journal lacks it.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from controller.report.daily.stream import DAY_NS, Block, Records
from controller.telemetry.energy import Counters
from controller.telemetry.frames import NEVER_NS, measured, name_of, unless_stale
from controller.telemetry.gaps import STOPPED, Gap
from cython_core.records import Reason, State

Values = NDArray[np.float64]

LOWEST_EXP, HIGHEST_EXP, PER_DECADE = -4, 8, 48  # of a histogram in ms: 0.1 us ... 28 h
BINS = (HIGHEST_EXP - LOWEST_EXP) * PER_DECADE
SLICE_NS = 600_000_000_000  # of the plots: ten minutes
SLICES = DAY_NS // SLICE_NS
SHORTEST_GAP_NS = 1_000_000_000
SIGNALS = {"f": "frequency", "v": "voltage", "p": "meter's power", "d": "inverter's state"}
MISSING = "not in the journal"


class Histogram:
    """Of positive values on a logarithmic scale."""

    def __init__(self) -> None:
        self.counts = np.zeros(BINS, dtype=np.int64)
        self.most = float("nan")

    def add(self, values: Values) -> None:
        """What is not finite does not count."""
        known = values[np.isfinite(values)]
        if not len(known):
            return
        self.most = float(np.fmax(self.most, known.max()))
        place = (np.log10(np.maximum(known, 10.0**LOWEST_EXP)) - LOWEST_EXP) * PER_DECADE
        self.counts += np.bincount(np.clip(place.astype(np.int64), 0, BINS - 1), minlength=BINS)

    def percentile(self, percent: float) -> float:
        """The upper edge of the bin it falls into, never above the largest value; NaN: no value."""
        total = int(self.counts.sum())
        if not total:
            return float("nan")
        place = int(np.searchsorted(np.cumsum(self.counts), np.ceil(total * percent / 100.0)))
        return min(float(10.0 ** (LOWEST_EXP + (place + 1) / PER_DECADE)), self.most)


@dataclass
class Slices:
    """Per ten minutes, for the plots; NaN where there is nothing."""

    f_low: Values = field(default_factory=lambda: np.full(SLICES, np.nan))
    f_high: Values = field(default_factory=lambda: np.full(SLICES, np.nan))
    p_low: Values = field(default_factory=lambda: np.full(SLICES, np.nan))
    p_high: Values = field(default_factory=lambda: np.full(SLICES, np.nan))
    p_sum: Values = field(default_factory=lambda: np.zeros(SLICES))
    p_count: Values = field(default_factory=lambda: np.zeros(SLICES))
    age_f_most: Values = field(default_factory=lambda: np.full(SLICES, np.nan))
    age_d_most: Values = field(default_factory=lambda: np.full(SLICES, np.nan))
    recorded_s: Values = field(default_factory=lambda: np.zeros(SLICES))

    def add(self, place: NDArray[np.int64], records: Records, p_w: Values, recorded_s: Values) -> None:
        """place: of each record."""
        for i in np.unique(place):
            mine = place == i
            r, p = records[mine], p_w[mine]
            for low, high, values in ((self.f_low, self.f_high, r["f_hz"]), (self.p_low, self.p_high, p)):
                low[i], high[i] = np.fmin.reduce(values, initial=low[i]), np.fmax.reduce(values, initial=high[i])
            self.p_sum[i] += np.nansum(p)
            self.p_count[i] += np.isfinite(p).sum()
            self.age_f_most[i] = np.fmax.reduce(known_ms(r["age_f_ns"]), initial=self.age_f_most[i])
            self.age_d_most[i] = np.fmax.reduce(known_ms(r["age_d_ns"]), initial=self.age_d_most[i])
            self.recorded_s[i] += recorded_s[mine].sum()


def known_ms(ages_ns: NDArray[Any]) -> Values:
    """What was never measured has no age."""
    return np.where(ages_ns < NEVER_NS, ages_ns / 1e6, np.nan)


class Quality:
    """add() takes blocks in order. span_ms: from after which to up to which time the meter's energy is wanted."""

    def __init__(self, begin_ns: int, span_ms: tuple[int, int] = (0, 0)) -> None:
        self.begin_ns, self.span_ms = begin_ns, span_ms
        self.steps = self.skipped = self.latches = 0
        self.recorded_s = 0.0
        self.runs: dict[int, dict[str, Any]] = {}
        self.ages = {signal: Histogram() for signal in SIGNALS}
        self.lateness_ms = Histogram()
        self.state_s: defaultdict[str, float] = defaultdict(float)
        self.reason_s: defaultdict[str, float] = defaultdict(float)
        self.unit, self.meter, self.meter_in_span = Counters(), Counters(), Counters()
        self.gaps: list[Gap] = []
        self.slices = Slices()
        self._end_ns, self._run = begin_ns, -1
        self._latched = False

    def add(self, block: Block) -> None:
        """Only steps of the day count."""
        wall_ns = block.wall_ns
        inside = (wall_ns >= self.begin_ns) & (wall_ns < self.begin_ns + DAY_NS)
        if not inside.any():
            return
        records, wall_ns = block.records[inside], wall_ns[inside]
        period_s = int(block.info["period_ns"]) / 1e9
        dt_s = records["k"] * period_s
        self._gap(block.run, int(wall_ns[0]) - round(dt_s[0] * 1e9), int(wall_ns[-1]))
        self.runs.setdefault(block.run, {"info": block.info, "begin_ns": int(wall_ns[0])})["end_ns"] = int(wall_ns[-1])
        self.steps += len(records)
        self.skipped += int((records["k"] - 1).sum())
        self.recorded_s += float(dt_s.sum())
        self._latch(records)
        self._energy(records, wall_ns, dt_s, block.info)
        for signal, histogram in self.ages.items():
            histogram.add(known_ms(records[f"age_{signal}_ns"]))
        self.lateness_ms.add(records["lateness_ns"] / 1e6)
        self._hours(records, dt_s)

    def close(self) -> None:
        """The rest of the day, if it is not there."""
        self._gap(-1, self.begin_ns + DAY_NS, self.begin_ns + DAY_NS)

    def _gap(self, run: int, begin_ns: int, end_ns: int) -> None:
        """Silence from the newest step to this one."""
        if begin_ns - self._end_ns >= SHORTEST_GAP_NS:
            cause = MISSING if run == self._run else STOPPED
            self.gaps.append(Gap(self._end_ns // 1_000_000, begin_ns // 1_000_000, cause))
        self._end_ns, self._run = max(self._end_ns, end_ns), run

    def _latch(self, records: Records) -> None:
        held = np.isfinite(records["p_pre_w"]) & (records["reasons"] & Reason.DROOP != 0)
        before = np.concatenate(([self._latched], held[:-1]))
        self.latches += int((held & ~before).sum())
        self._latched = bool(held[-1])

    def _energy(self, records: Records, wall_ns: NDArray[np.int64], dt_s: Values, info: dict[str, Any]) -> None:
        p_w = measured(records, "p_w", info.get("meter_location", "inverter") == "inverter")
        p_meter_w = unless_stale(records, "p", "m_p_w")
        self.unit.add(p_w, dt_s)
        self.meter.add(p_meter_w, dt_s)
        wall_ms = wall_ns // 1_000_000
        spanned = (wall_ms > self.span_ms[0]) & (wall_ms <= self.span_ms[1])
        self.meter_in_span.add(p_meter_w[spanned], dt_s[spanned])
        self.slices.add((wall_ns - self.begin_ns) // SLICE_NS, records, p_w, dt_s)

    def _hours(self, records: Records, dt_s: Values) -> None:
        for value in np.unique(records["state"]):
            self.state_s[name_of(State, int(value))] += float(dt_s[records["state"] == value].sum())
        seen = int(np.bitwise_or.reduce(records["reasons"]))
        for reason in Reason:
            if seen & reason:
                self.reason_s[str(reason.name)] += float(dt_s[records["reasons"] & reason != 0].sum())
