"""The way of a source from one point to the next: straight lines at a step's rates. Pure."""

from __future__ import annotations

from dataclasses import replace

from controller.bench.plan import Step
from drivers.gridsource.point import GridPoint


def ramp_s(start: GridPoint, end: GridPoint, step: Step) -> float:
    """How long until every ramped quantity is there."""
    volts = max(abs(b - a) for a, b in zip(volts_of(start), volts_of(end), strict=True))
    of_v = volts / step.ramp_v_s if step.ramp_v_s else 0.0
    of_f = abs(end.f_hz - start.f_hz) / step.ramp_hz_s if step.ramp_hz_s else 0.0
    return max(of_v, of_f)


def between(start: GridPoint, end: GridPoint, step: Step, t_s: float) -> GridPoint:
    """Where the source is after t_s of the ramp; what has no ramp is there at once."""
    v1_v, v2_v, v3_v = (towards(a, b, step.ramp_v_s, t_s) for a, b in zip(volts_of(start), volts_of(end), strict=True))
    f_hz = towards(start.f_hz, end.f_hz, step.ramp_hz_s, t_s)
    return replace(end, v1_v=v1_v, v2_v=v2_v, v3_v=v3_v, f_hz=f_hz)


def towards(start: float, end: float, rate: float, t_s: float) -> float:
    if rate == 0.0:
        return end
    return start + min(max(end - start, -rate * t_s), rate * t_s)


def volts_of(point: GridPoint) -> tuple[float, float, float]:
    return point.v1_v, point.v2_v, point.v3_v
