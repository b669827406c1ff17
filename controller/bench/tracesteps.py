"""A scenario as steps: a ramp to each of its points, then a short hold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from controller.bench.expression import parse
from controller.bench.procedure import StepText
from drivers.sim.scenario import Trace, load_builtin


def trace_points(scenario: str, every_s: float, hold_s: float, f_nom_hz: float, blank: StepText) -> Iterator[StepText]:
    """One step each every_s. Deviations from nominal are scaled to the unit's nominal frequency."""
    trace = load_builtin(scenario)
    before = f_nom_hz
    for n in range(1, int(trace.duration_s / every_s) + 1):
        t_s = trace.t_s[0] + n * every_s
        f_hz = round(f_nom_hz + (at(trace, t_s) - trace.f_nom_hz) * f_nom_hz / trace.f_nom_hz, 3)
        slope = abs(f_hz - before) / (every_s - hold_s)
        yield replace(
            blank,
            name=f"t{n * every_s:05.0f}",
            what=f"{trace.name} at {n * every_s:g} s",
            f=parse(f"{f_hz}", blank.place),
            ramp_f=parse(f"{slope:.6f}", blank.place) if slope else None,
            hold=parse(f"{hold_s if slope else every_s}", blank.place),
        )
        before = f_hz


def at(trace: Trace, t_s: float) -> float:
    """Frequency of the row nearest before t_s."""
    row = next((n for n, t in enumerate(trace.t_s) if t > t_s), len(trace.t_s)) - 1
    return trace.f_hz[row]
