"""Every curve over random settings that the standard allows: its points, straight between them, flat outside, no jump.

Source   IEEE 1547-2018 5.3.3 Table 8 (volt-var), 5.3.4 Table 9 (watt-var), 5.4.2 Table 10 (volt-watt), 6.5.2.7 Tables
         23 and 24 (droop). The points are drawn here; nothing is taken from the core but the answers.
Whole    volt-var and droop stand in every record before their lag (q_target_var, dp_target_w): the whole step is swept.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from cython_core.functions.freq_droop import FreqDroop
from cython_core.functions.volt_var import VoltVar
from cython_core.functions.volt_watt import VoltWatt
from cython_core.functions.watt_var import WattVar
from cython_core.settings import SettingError, Settings
from tests.cython_core.series import RATED_W, S_VA, Series, pencil

MANY = effort(max_examples=100)
EPS = 1e-9
Points = list[tuple[float, float]]
Curve = Callable[[float], float]


def between(low: float, high: float) -> st.SearchStrategy[float]:
    """Anything in the range, its ends often."""
    ends = st.sampled_from([low, high])
    return st.one_of(st.floats(low, high), st.floats(low, high), ends) if low < high else st.just(low)


# --- what must hold of every curve ---


def on_the_line(points: Points, x: float) -> tuple[float, float]:
    """The lowest and highest value the straight lines allow at x (they differ only at a step)."""
    if x < points[0][0]:
        return points[0][1], points[0][1]
    if x > points[-1][0]:
        return points[-1][1], points[-1][1]
    at_corner = [y for x_i, y in points if x_i == x]
    if at_corner:
        return min(at_corner), max(at_corner)
    (x1, y1), (x2, y2) = next((a, b) for a, b in pairwise(points) if a[0] < x < b[0])
    y = y1 + (y2 - y1) * ((x - x1) / (x2 - x1))
    return y, y


def check_curve(curve: Curve, points: Points, xs: list[float]) -> None:
    for x, y in points:
        low, high = on_the_line(points, x)
        assert low - EPS <= curve(x) <= high + EPS, f"corner ({x}, {y})"
    (left, y_left), (right, y_right) = points[0], points[-1]
    for far in (1e-6, 0.05, 10.0):
        assert curve(left - far) == pytest.approx(y_left, abs=EPS), "flat on the left"
        assert curve(right + far) == pytest.approx(y_right, abs=EPS), "flat on the right"
    for x in xs:
        low, high = on_the_line(points, x)
        assert low - EPS <= curve(x) <= high + EPS, f"on the line at {x}"
    check_monotone(curve, points, xs)
    check_continuous(curve, points, xs)


def check_monotone(curve: Curve, points: Points, xs: list[float]) -> None:
    way = np.sign(points[-1][1] - points[0][1])
    ys = [curve(x) for x in sorted(xs + [x for x, _ in points])]
    assert all((b - a) * way >= -EPS for a, b in pairwise(ys))
    if way == 0.0:
        assert ys == pytest.approx([points[0][1]] * len(ys), abs=EPS)


def check_continuous(curve: Curve, points: Points, xs: list[float]) -> None:
    """No jump above slope x distance, unless two points stand at one x."""
    steps = {a[0] for a, b in pairwise(points) if a[0] == b[0] and a[1] != b[1]}
    slope = max((abs((b[1] - a[1]) / (b[0] - a[0])) for a, b in pairwise(points) if a[0] < b[0]), default=0.0)
    for x in xs + [x for x, _ in points]:
        for dx in (1e-12, 1e-6, 1e-3):
            if not any(x - dx <= at <= x + dx for at in steps):
                assert abs(curve(x + dx) - curve(x - dx)) <= slope * 2.0 * dx * (1.0 + 1e-6) + EPS, f"jump at {x}"


def spread(points: Points) -> st.SearchStrategy[list[float]]:
    low, high = points[0][0], points[-1][0]
    wide = 0.2 * (high - low)
    return st.lists(st.floats(low - wide, high + wide), min_size=10, max_size=40)


# --- volt-var ---


@st.composite
def volt_var(draw: st.DrawFn) -> tuple[Settings, Points]:
    category = draw(st.sampled_from("AB"))
    v2 = 1.0 if category == "A" else draw(between(0.97, 1.0))
    v3 = 1.0 if category == "A" else draw(between(1.0, 1.03))
    v1, v4 = draw(between(0.82, v2 - 0.02)), draw(between(v3 + 0.02, 1.18))
    inject, absorb = draw(between(0.0, 1.0)), draw(between(0.0, 1.0))
    q1, q4 = draw(between(0.0, inject)), draw(between(-absorb, 0.0))
    q2 = draw(between(q4, q1))
    q3 = q2 if v2 == v3 else draw(between(q4, q2))
    v_ref = draw(between(0.95, 1.05))
    values = {"v1_pu": v1, "v2_pu": v2, "v3_pu": v3, "v4_pu": v4, "q1_pu": q1, "q2_pu": q2, "q3_pu": q3, "q4_pu": q4}
    rating = {"q_inject_pu": inject, "q_absorb_pu": absorb}
    chosen = pencil(category, rating=rating, volt_var={**values, "v_ref_pu": v_ref})
    shift = v_ref - 1.0  # sideways, once
    return chosen, [(v1 + shift, q1), (v2 + shift, q2), (v3 + shift, q3), (v4 + shift, q4)]


def rounded(points: Points) -> Points:
    """Shifting costs the last digits of a double; two points that were one stay one."""
    return [(round(x, 12), y) for x, y in points]


@MANY
@given(drawn=volt_var(), data=st.data())
def test_volt_var(drawn: tuple[Settings, Points], data: st.DataObject) -> None:
    chosen, points = drawn[0], rounded(drawn[1])
    xs = [x for x in data.draw(spread(points)) if all(abs(x - p) > 1e-9 for p, _ in points)]
    check_loosely(VoltVar(chosen).curve, points, xs)


def check_loosely(curve: Curve, points: Points, xs: list[float]) -> None:
    """check_curve at points known to 1e-12: what that is worth in y depends on the slope beside them."""
    slope = max((abs((b[1] - a[1]) / (b[0] - a[0])) for a, b in pairwise(points) if a[0] < b[0]), default=0.0)
    if slope < 100.0:
        check_curve(curve, points, xs)
    else:  # a dead band of next to nothing: all that is left to ask for is order
        check_monotone(curve, points, xs)


@effort(max_examples=40)
@given(drawn=volt_var(), p_pu=st.sampled_from([0.5, -0.5]))
def test_volt_var_through_the_whole_step(drawn: tuple[Settings, Points], p_pu: float) -> None:
    """Whatever the sign of P; and what is commanded stays inside the unit's capability."""
    chosen, points = drawn
    v_pu = np.linspace(0.80, 1.20, 400)
    unit = Series(chosen, 0.1, wish_pu=p_pu)
    unit.run(1.0)
    records = unit.run(40.0, v_pu=v_pu)
    curve = VoltVar(chosen).curve
    assert records["q_target_var"] / S_VA == pytest.approx([curve(v) for v in v_pu], abs=1e-7)
    assert records["q_target_var"][0] / S_VA == pytest.approx(points[0][1] if points[0][0] > 0.8 else curve(0.8))
    rating = chosen.rating
    q = records["q_cmd_var"] / S_VA
    assert (-rating.q_absorb_pu - EPS <= q).all()
    assert (q <= rating.q_inject_pu + EPS).all()


CLIFFS: dict[str, dict[str, Any]] = {
    "volt-var: V2 = V3, Q2 > Q3": {"volt_var": {"v2_pu": 1.0, "v3_pu": 1.0, "q2_pu": 0.1, "q3_pu": -0.1}},
    "watt-var: P1 = P'1, Q1 < Q'1": {
        "watt_var": {
            "p1_pu": 0.0, "p1_load_pu": 0.0, "q1_pu": -0.1, "q1_load_pu": 0.1, "q2_pu": -0.2, "q2_load_pu": 0.2,
        }
    },
}  # fmt: skip


@pytest.mark.parametrize("cliff", CLIFFS)
def test_a_curve_with_a_cliff_is_refused(cliff: str) -> None:
    """Every curve is continuous: where two points are one, so are their values."""
    with pytest.raises(SettingError):
        pencil("B", **CLIFFS[cliff])


# --- volt-watt ---


@st.composite
def volt_watt(draw: st.DrawFn) -> tuple[Settings, Points]:
    v1 = draw(between(1.05, 1.09))
    v2 = draw(between(v1 + 0.01, 1.10))
    p2 = draw(between(-1.0, 1.0))
    charge_w = draw(between(1000.0, 20000.0))
    chosen = pencil(
        rating={"p_charge_rated_w": charge_w}, volt_watt={"enable": True, "v1_pu": v1, "v2_pu": v2, "p2_pu": p2}
    )
    end = p2 if p2 >= 0.0 else p2 * charge_w / RATED_W  # P'2 is of the charge rating
    return chosen, [(v1, 1.0), (v2, end)]


@MANY
@given(drawn=volt_watt(), data=st.data())
def test_volt_watt(drawn: tuple[Settings, Points], data: st.DataObject) -> None:
    chosen, points = drawn
    check_curve(VoltWatt(chosen).curve, points, data.draw(spread(points)))


@effort(max_examples=30)
@given(drawn=volt_watt(), wish_pu=st.floats(-0.9, 1.0), v_pu=st.floats(1.04, 1.10))
def test_volt_watt_through_the_whole_step(drawn: tuple[Settings, Points], wish_pu: float, v_pu: float) -> None:
    """It caps, it never sets: the lower of wish and ceiling, and a ceiling below zero makes the unit charge."""
    chosen, points = drawn
    charge_pu = chosen.rating.p_charge_rated_w / RATED_W
    wish_pu = max(wish_pu, -charge_pu)
    unit = Series(chosen, 0.1, wish_pu=wish_pu)
    unit.run(2.0)
    ceiling = max(on_the_line(points, v_pu)[0], -charge_pu)
    p_w = unit.run(80.0, v_pu=v_pu)["p_cmd_w"][-1]
    most = abs(points[1][1] - 1.0) / (points[1][0] - points[0][0]) * 1e-12  # v to volts and back
    assert p_w / RATED_W == pytest.approx(min(wish_pu, ceiling, 1.0), abs=1e-6 + most)


# --- watt-var ---


@st.composite
def watt_var(draw: st.DrawFn) -> tuple[Settings, Points]:
    p2 = draw(between(0.4, 0.8))
    p1, p3 = draw(between(0.0, round(p2 - 0.1, 12))), draw(between(round(p2 + 0.1, 12), 1.0))
    c2 = draw(between(-0.8, -0.4))
    c1, c3 = draw(between(round(c2 + 0.1, 12), 0.0)), draw(between(-1.0, round(c2 - 0.1, 12)))
    charge_w = draw(between(1000.0, 20000.0))
    q = sorted(draw(st.lists(between(-0.44, 0.44), min_size=6, max_size=6)), reverse=draw(st.booleans()))
    if p1 == c1:  # no cliff at 0 W
        q[3] = q[2]
    names = ("q3_load_pu", "q2_load_pu", "q1_load_pu", "q1_pu", "q2_pu", "q3_pu")
    at = {"p1_pu": p1, "p2_pu": p2, "p3_pu": p3, "p1_load_pu": c1, "p2_load_pu": c2, "p3_load_pu": c3}
    chosen = pencil(
        rating={"p_charge_rated_w": charge_w}, watt_var={**at, **dict(zip(names, q, strict=True)), "response_s": 0.5}
    )
    charge = charge_w / RATED_W  # the charge side is of the charge rating
    xs = [c3 * charge, c2 * charge, c1 * charge, p1, p2, p3]
    return chosen, list(zip(xs, q, strict=True))


@MANY
@given(drawn=watt_var(), data=st.data())
def test_watt_var(drawn: tuple[Settings, Points], data: st.DataObject) -> None:
    """One straight line from P'1 over zero to P1."""
    chosen, points = drawn
    check_loosely(WattVar(chosen).curve, points, data.draw(spread(points)))


@effort(max_examples=30)
@given(drawn=watt_var(), wish_pu=st.floats(-0.9, 0.9))
def test_watt_var_through_the_whole_step(drawn: tuple[Settings, Points], wish_pu: float) -> None:
    chosen, points = drawn
    wish_pu = max(wish_pu, -chosen.rating.p_charge_rated_w / RATED_W)
    record = Series(chosen, 0.1, wish_pu=wish_pu).run(10.0)[-1]
    p_pu = record["p_cmd_w"] / RATED_W
    if record["p_cmd_w"] == pytest.approx(wish_pu * RATED_W):
        low, high = on_the_line(points, wish_pu)
        assert low - 1e-6 <= record["q_cmd_var"] / S_VA <= high + 1e-6
    else:  # the curve meets the circle: the answer is on both
        assert np.hypot(p_pu, record["q_cmd_var"] / S_VA) == pytest.approx(1.0, abs=1e-4)
        assert record["q_cmd_var"] / S_VA == pytest.approx(WattVar(chosen).curve(p_pu), abs=1e-3)


# --- frequency-droop ---


@st.composite
def droop(draw: st.DrawFn) -> tuple[Settings, Points]:
    f_nom = draw(st.sampled_from([50.0, 60.0]))
    db_of, db_uf = draw(between(0.017, 1.0)), draw(between(0.017, 1.0))
    k_of, k_uf = draw(between(0.02, 0.05)), draw(between(0.02, 0.05))
    values = {"db_of_hz": db_of, "db_uf_hz": db_uf, "k_of": k_of, "k_uf": k_uf}
    chosen = pencil(rating={"f_nom_hz": f_nom}, freq_droop=values)
    far = 5.0
    return chosen, [
        (f_nom - db_uf - far, far / (f_nom * k_uf)),
        (f_nom - db_uf, 0.0),
        (f_nom + db_of, 0.0),
        (f_nom + db_of + far, -far / (f_nom * k_of)),
    ]


@MANY
@given(drawn=droop(), data=st.data())
def test_droop(drawn: tuple[Settings, Points], data: st.DataObject) -> None:
    """In pu of rated power whatever p_pre; the dead band is subtracted, so there is no jump at its edges."""
    chosen, points = drawn
    formula = FreqDroop(chosen).formula
    xs = data.draw(st.lists(st.floats(points[0][0], points[-1][0]), min_size=10, max_size=40))
    for x in xs + [x for x, _ in points]:
        assert formula(x) == pytest.approx(on_the_line(points, x)[0], abs=EPS)
    check_monotone(formula, points, xs)
    check_continuous(formula, points, xs)
    assert formula(points[1][0]) == formula(points[2][0]) == 0.0


@effort(max_examples=30)
@given(drawn=droop(), wish_pu=st.floats(-0.8, 1.0))
def test_droop_through_the_whole_step(drawn: tuple[Settings, Points], wish_pu: float) -> None:
    chosen, points = drawn
    f_nom = chosen.rating.f_nom_hz
    unit = Series(chosen, 0.1, wish_pu=wish_pu)
    unit.run(2.0, f_hz=f_nom)
    for f_hz in (f_nom + 3.0, f_nom - 3.0):
        unit.run(5.0, f_hz=f_nom)
        unit.run(60.0, f_hz=f_nom)
        way = np.linspace(f_nom, f_hz, 100)
        records = unit.run(10.0, f_hz=way)
        answers = np.array([on_the_line(points, f)[0] for f in way])
        event = records["dp_target_w"] != 0.0
        assert records["dp_target_w"][event] / RATED_W == pytest.approx(answers[event], abs=EPS)
        assert (abs(answers[~event]) <= abs(f_hz - f_nom) / 100.0 * 2.0).all()  # the two readings that qualify
        end = unit.run(60.0, f_hz=f_hz)["p_cmd_w"][-1] / RATED_W
        assert end == pytest.approx(float(np.clip(wish_pu + answers[-1], -0.8, 1.0)), abs=1e-6)


def test_the_helpers_here_can_fail() -> None:
    """A curve with one wrong corner, one with a jump, one that is not flat outside: each is refused."""
    points: Any = [(0.0, 1.0), (1.0, 0.0), (2.0, 0.0), (3.0, -1.0)]

    def right(x: float) -> float:
        return float(np.interp(x, [0.0, 1.0, 2.0, 3.0], [1.0, 0.0, 0.0, -1.0]))

    check_curve(right, points, [0.5, 1.5, 2.5])
    wrong: list[Curve] = [
        lambda x: right(x) + 0.01 * (x > 2.9),
        lambda x: right(x) + 0.01 * (1.2 < x < 1.4),
        lambda x: right(x) - 0.01 * max(x - 3.0, 0.0),
        lambda x: -right(x),
    ]
    for curve in wrong:
        with pytest.raises(AssertionError):
            check_curve(curve, points, [0.5, 1.3, 1.5, 2.5])
