"""The golden unit: every number a test of the bench expects was worked out with a pencil for this nameplate."""

from functools import cache

import numpy as np

from controller.bench.expand import expand
from controller.bench.plan import Case, Eut, Steady, Step
from controller.bench.procedurefile import load_procedure

EUT = Eut(
    name="golden",
    phases=1,
    v_nom_v=240.0,
    f_nom_hz=60.0,
    p_rated_w=10_000.0,
    p_charge_rated_w=10_000.0,
    s_rated_va=10_000.0,
    q_inject_var=4_400.0,  # 0.44 of S: Category B, IEEE 1547-2018 5.2 Table 7
    q_absorb_var=4_400.0,
    normal_category="B",
    abnormal_category="III",
)


@cache
def cases(procedure: str, eut: Eut = EUT) -> dict[str, Case]:
    """{id: case} of one shipped procedure, expanded once."""
    return {case.id: case for case in expand(load_procedure(procedure), eut)}


def targets(step: Step, y: str, x: dict[str, float]) -> float:
    """The lowest of a step's curves for y, read at the step's own point (and at x, where that says more)."""
    (rule,) = (c for c in step.criteria if isinstance(c, Steady) and c.y == y)
    point = step.point
    at = {"v_v": (point.v1_v + point.v2_v + point.v3_v) / 3.0, "f_hz": point.f_hz, **x}
    found = []
    for curve in rule.lowest_of:
        xs, ys = ([point[n] for point in curve.points] for n in (0, 1))
        found.append(float(np.interp(at[curve.x], xs, ys)))
    return min(found)


def rows(case: Case, y: str, **x: float) -> list[tuple[str, float, float, float]]:
    """(step, V, Hz, target of y) of each step that is run and has one."""
    judged = [any(isinstance(c, Steady) and c.y == y for c in step.criteria) for step in case.steps]
    run = [step for step, has in zip(case.steps, judged, strict=True) if has and not step.skipped]
    return [(step.name, step.point.v1_v, step.point.f_hz, round(targets(step, y, x), 3)) for step in run]
