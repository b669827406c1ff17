"""The verdict over one run: every check, what failed, and what could not be judged.

The run passes when no check failed. No reading of power and no step with a fresh frequency are failures; "not judged"
is never a pass in silence: the summary counts it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from controller.response.checks import (
    Check,
    comparison_check,
    deadline_checks,
    offset_check,
    power_checks,
    side_checks,
    telemetry_checks,
    timing_check,
)
from controller.response.evidence import (
    Comparison,
    Deadlines,
    Gaps,
    compare_formula,
    compare_lag,
    deadlines,
    run_window_ms,
    telemetry_gaps,
)
from controller.response.measure import EventResponse, measure_events
from controller.response.run import Records, Run, prepare
from controller.response.slope import SideFit, fit_sides

COARSEST_HZ = 0.01  # a steady frequency shows no small step: that is no excuse


@dataclass(frozen=True, slots=True)
class Measured:
    """Everything that was measured in one run."""

    events: tuple[EventResponse, ...]
    sides: tuple[SideFit, ...]
    formula: Comparison
    lag: Comparison
    gaps: Gaps | None  # None: no store was given
    deadlines: Deadlines
    power_from: str
    f_resolution_hz: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """passed, why, and every check."""

    passed: bool
    checks: tuple[Check, ...]
    measured: Measured

    def plus(self, check: Check) -> Verdict:
        """The same verdict with one check more, from outside the records: a replay that must be identical, for one."""
        return replace(self, passed=self.passed and check.passed is not False, checks=(*self.checks, check))

    @property
    def failed(self) -> tuple[Check, ...]:
        return tuple(c for c in self.checks if c.passed is False)

    @property
    def not_judged(self) -> tuple[Check, ...]:
        return tuple(c for c in self.checks if c.passed is None and c.rule != "reported")

    @property
    def summary(self) -> str:
        """One line for a terminal."""
        text = "pass" if self.passed else "fail"
        if self.failed:
            text += ": " + "; ".join(f"{c.name.lower()}: {c.reason}" for c in self.failed)
        if self.not_judged:
            text += f" ({len(self.not_judged)} of {len(self.checks)} checks not judged)"
        return text


def judge(records: Records, info: Mapping[str, Any], frames_ms: ArrayLike | None = None) -> Verdict:
    """Measure and judge one run.

    info: settings {group: {key: value}}, period_ns, wall_offset_ns; meter_location ("inverter" unless given).
    frames_ms: (source, arrival) of each live frame in the store, ms of wall clock; none at all fails. None says that
    no store was given, and telemetry is not judged.
    Raises RecordsError for no records or those of two runs.
    """
    run = prepare(records, info)
    events = measure_events(run)
    window = run_window_ms(records, int(info["wall_offset_ns"]))
    measured = Measured(
        events=events,
        sides=fit_sides(run, events),
        formula=compare_formula(run),
        lag=compare_lag(run),
        gaps=None if frames_ms is None else telemetry_gaps(frames_ms, *window),
        deadlines=deadlines(records, int(info["period_ns"])),
        power_from=run.power_from,
        f_resolution_hz=resolution(run),
    )
    return verdict(measured, run.rating_w)


def verdict(measured: Measured, rating_w: float) -> Verdict:
    """Turn what was measured into checks."""
    checks = [
        timing_check("Time to initiate", measured.events, [e.initiate for e in measured.events]),
        timing_check("Time to deliver", measured.events, [e.deliver for e in measured.events]),
        *(c for side in measured.sides for c in side_checks(side, measured.f_resolution_hz, rating_w)),
        *power_checks(measured.power_from),
        offset_check(measured.events, rating_w),
        comparison_check("Core's droop against the formula", measured.formula),
        comparison_check("Core's lag against the formula", measured.lag),
        *telemetry_checks(measured.gaps),
        *deadline_checks(measured.deadlines),
    ]
    return Verdict(not any(c.passed is False for c in checks), tuple(checks), measured)


def resolution(run: Run) -> float:
    """The smallest step between two frequency readings, Hz; 0 when there are too few, at most COARSEST_HZ."""
    steps = np.abs(np.diff(run.frequency.value))
    steps = steps[steps > 1e-6]
    return min(float(steps.min()), COARSEST_HZ) if len(steps) else 0.0


def to_json(v: Verdict) -> dict[str, Any]:
    """The verdict as plain JSON values; NaN and infinity become null."""
    checks = [asdict(c) | {"margin": c.margin} for c in v.checks]
    found: dict[str, Any] = plain(
        {"v": 1, "passed": v.passed, "summary": v.summary, "checks": checks, "measured": asdict(v.measured)}
    )
    return found


def plain(value: Any) -> Any:
    """Values as JSON has them: NaN and infinity are null."""
    if isinstance(value, dict):
        return {k: plain(x) for k, x in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(x) for x in value]
    if isinstance(value, (np.floating, np.integer, np.bool_)):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
