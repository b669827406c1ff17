"""Open-loop response: 90 % of a change when the setting says so, from both sides, whatever the period and the skips.

Rule     IEEE 1547-2018, open-loop response time, and 1547.1-2020 4.2 with x = time:
         Y(t) = Y0 + (Yf - Y0) (1 - 10^(-t / T)); min/max of Y(T -+ 1.5 MRA_t), -+ 1.5 MRA_y (5 % of S).
         MRA_t: 1 % of T, or 2 cycles below 5 s. A band as wide as that forgives much, so two stricter ones stand beside
         it: the time at which 90 % is made (standard's clock), and the exact first-order path (ours).
Ceiling  constant power factor, constant Q and watt-var within 10 s, active power limit within 30 s: one-sided.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cython_core.settings import Settings
from tests.cython_core.series import Series, elapsed_s, p_pu, pencil, q_pu

Floats = NDArray[np.float64]
CYCLE_S = 1.0 / 60.0
MRA_Y = 0.05


def mra_s(t_s: float) -> float:
    return 0.01 * t_s if t_s >= 5.0 else 2.0 * CYCLE_S


# --- how the grid points come ---

# fmt: off
GRIDS = [
    # period_s  k          why
    (0.001,     "each",    "1 ms"),
    (0.010,     "each",    "10 ms"),
    (0.100,     "each",    "100 ms"),
    (0.010,     "skipped", "10 ms, one to nine grid points at a time"),
    (0.001,     "skipped", "1 ms, one to ninety grid points at a time"),
]
# fmt: on
grids = pytest.mark.parametrize(("period_s", "k", "why"), GRIDS, ids=[c[-1] for c in GRIDS])


def steps(seconds: float, period_s: float, k: str) -> Any:
    """Grid points of each step, the last one exactly `seconds` after the first input."""
    whole = round(seconds / period_s)
    if k == "each":
        return np.ones(whole, dtype=np.int64)
    most = 9 if period_s >= 0.01 else 90
    drawn = np.random.default_rng(1547).integers(1, most + 1, whole)
    drawn = drawn[: int(np.searchsorted(np.cumsum(drawn), whole))]
    return np.append(drawn, whole - drawn.sum()).astype(np.int64)


@dataclass(frozen=True)
class Response:
    """What an output did after a step of an input; final: where it ends by the clause."""

    t_s: Floats
    y: Floats
    before: float
    final: float

    def at(self, t_s: float) -> float:
        """The first record at or past this time."""
        return float(self.y[np.argmax(self.t_s >= t_s - 1e-9)])

    def done(self) -> Floats:
        """Share of the change that is made."""
        return (self.y - self.before) / (self.final - self.before)

    def t90_s(self) -> float:
        return float(self.t_s[np.argmax(self.done() >= 0.9 - 1e-9)])

    def since(self, t_s: float) -> Response:
        later = self.t_s >= t_s - 1e-9
        return Response(self.t_s[later], self.y[later], self.before, self.final)


def respond(unit: Series, output: Any, final: float, seconds: float, k: str, **change: Any) -> Response:
    before = float(output(unit.rows)[-1])
    period_s = unit.period_ns * 1e-9
    records = unit.run(seconds, steps(seconds, period_s, k), **change)
    return Response(elapsed_s(records, period_s), output(records), before, final)


def check_two_sided(r: Response, t_s: float, grid_s: float) -> None:
    """grid_s: the longest way from one step to the next; no clock on that grid can tell more."""
    change = r.final - r.before
    low_s, high_s = t_s - 1.5 * mra_s(t_s), t_s + 1.5 * mra_s(t_s)
    band = [r.before + change * (1.0 - 10.0 ** (-t / t_s)) for t in (low_s, high_s)]
    assert min(band) - 1.5 * MRA_Y <= r.at(t_s) <= max(band) + 1.5 * MRA_Y  # the standard's rule
    assert t_s - 1e-9 <= r.t90_s() <= t_s + grid_s + 1e-9  # its clock, as fine as the grid
    assert r.done() == pytest.approx(1.0 - 10.0 ** (-r.t_s / t_s), abs=2e-4)  # the exact path
    assert (r.at(2.0 * t_s) - r.before) / change >= 0.99 - 1e-9  # 99 % at twice the time
    assert r.done().max() <= 1.0 + 1e-9  # no overshoot
    assert (np.diff(r.done()) >= -1e-12).all()  # never back


def longest_s(seconds: float, period_s: float, k: str) -> float:
    return float(steps(seconds, period_s, k).max() * period_s)


# --- frequency-droop ---


@grids
@pytest.mark.parametrize("t_s", [0.2, 1.0, 5.0, 10.0])
@pytest.mark.parametrize(("f_hz", "wish_pu"), [(60.5, 0.6), (59.2, -0.3)])
def test_droop(f_hz: float, wish_pu: float, t_s: float, period_s: float, k: str, why: str) -> None:
    """A meter that answers anew every 0.1 s: two readings qualify the event, and that wait is inside the time."""
    unit = Series(pencil(freq_droop={"t_response_s": t_s}), period_s, refresh_s=0.1, wish_pu=wish_pu)
    unit.run(2.0)
    final = wish_pu + {60.5: -0.464, 59.2: 0.764}[f_hz] / 3.0
    r = respond(unit, p_pu, final, 2.5 * t_s, k, f_hz=f_hz)
    second_s = r.t_s[0] + 0.1
    assert (r.y[r.t_s < second_s - 1e-9] == r.before).all()
    check_two_sided(r.since(second_s), t_s, longest_s(2.5 * t_s, period_s, k))


@pytest.mark.parametrize("refresh_s", [0.02, 0.05, 0.1, 0.3, 1.0])
def test_droop_with_other_meters(refresh_s: float) -> None:
    """Slow or quick, the answer is on the path of the first reading from the second one on."""
    unit = Series(pencil(fail_safe={"t_meter_s": 1.0}), 0.01, refresh_s, wish_pu=0.6)
    unit.run(2.0)
    r = respond(unit, p_pu, 0.6 - 0.464 / 3.0, 25.0, "each", f_hz=60.5)
    second_s = 0.01 + refresh_s * np.ceil(0.1 / refresh_s - 1e-9)
    assert (r.y[r.t_s < second_s - 1e-9] == 0.6).all()
    check_two_sided(r.since(second_s), 5.0, 0.01)


def test_droop_lets_go_on_the_same_path() -> None:
    unit = Series(pencil(), 0.01, refresh_s=0.1, wish_pu=0.6)
    unit.run(60.0, f_hz=60.5)
    check_two_sided(respond(unit, p_pu, 0.6, 30.0, "each", f_hz=60.0), 5.0, 0.01)


@pytest.mark.parametrize(("rocof_hz_s", "k_of"), [(0.5, 0.05), (2.0, 0.05), (3.0, 0.02)])
def test_droop_on_a_ramp_of_frequency(rocof_hz_s: float, k_of: float) -> None:
    """1547.1 ramps at the category's RoCoF: the lag of a ramp trails it by tau = T / ln 10, and arrives."""
    t_s = 0.2 if k_of == 0.02 else 5.0
    unit = Series(pencil(freq_droop={"k_of": k_of, "t_response_s": t_s}), 0.01, wish_pu=0.5)
    unit.run(2.0)
    t = np.arange(1, 6001) * 0.01
    f_hz = np.minimum(60.0 + rocof_hz_s * t, 61.2)
    final = 0.5 - 1.164 / (60.0 * k_of)
    r = respond(unit, p_pu, final, 60.0, "each", f_hz=f_hz)
    target = 0.5 - np.maximum(f_hz - 60.036, 0.0) / (60.0 * k_of)
    assert (r.y >= target - 1e-9).all()
    slope = rocof_hz_s / (60.0 * k_of)
    assert (r.y - target).max() <= slope * (t_s / np.log(10.0) + 0.1 + 0.01)  # tau, two readings, one step
    assert r.y[-1] == pytest.approx(final, abs=1e-4)


# --- volt-var ---


# the slowest at 1 ms is 225 000 steps: by night
SLOWEST = [
    pytest.param(90.0, *grid[:2], id=f"90.0-{grid[-1]}", marks=pytest.mark.nightly if grid[-1] == "1 ms" else ())
    for grid in GRIDS
]


@pytest.mark.parametrize(
    ("t_s", "period_s", "k"),
    [pytest.param(t_s, *grid[:2], id=f"{t_s}-{grid[-1]}") for t_s in (1.0, 5.0, 10.0) for grid in GRIDS] + SLOWEST,
)
def test_volt_var(t_s: float, period_s: float, k: str) -> None:
    unit = Series(pencil(volt_var={"olrt_s": t_s}), period_s)
    unit.run(1.0)
    r = respond(unit, q_pu, -0.22, 2.5 * t_s, k, v_pu=1.05)
    check_two_sided(r, t_s, longest_s(2.5 * t_s, period_s, k))


@pytest.mark.parametrize(("v_pu", "final"), [(0.90, 0.25), (0.95, 0.125), (1.03, -0.075), (1.08, -0.2)])
def test_volt_var_there_and_back(v_pu: float, final: float) -> None:
    unit = Series(pencil("A", volt_var={"olrt_s": 10.0}), 0.05, wish_pu=0.5)
    unit.run(1.0)
    check_two_sided(respond(unit, q_pu, final, 60.0, "each", v_pu=v_pu), 10.0, 0.05)
    check_two_sided(respond(unit, q_pu, 0.0, 60.0, "each", v_pu=1.0), 10.0, 0.05)


# --- volt-watt: a ceiling, filtered together with the demand ---

# fmt: off
LOADS = [
    # demand  p2_pu  v_pu   final   why
    (1.0,      0.0,  1.09,  0.25,   "full load: the lag starts at the demand"),
    (0.6,      0.0,  1.09,  0.25,   "part load: so it does here"),
    (0.3,      0.0,  1.09,  0.25,   "little load: a lag on the ceiling alone would stand still for the whole time"),
    (0.3,     -1.0,  1.10, -0.80,   "P'2: made to charge"),
    (-0.3,    -1.0,  1.10, -0.80,   "P'2: made to charge more"),
]
# fmt: on
loads = pytest.mark.parametrize(("demand", "p2_pu", "v_pu", "final", "load"), LOADS, ids=[c[-1] for c in LOADS])


@loads
@pytest.mark.parametrize("t_s", [0.5, 10.0, 60.0])
@pytest.mark.parametrize(("period_s", "k"), [(0.01, "each"), (0.1, "each"), (0.01, "skipped")])
def test_volt_watt(
    demand: float, p2_pu: float, v_pu: float, final: float, load: str, t_s: float, period_s: float, k: str
) -> None:
    unit = Series(pencil(volt_watt={"enable": True, "olrt_s": t_s, "p2_pu": p2_pu}), period_s, wish_pu=demand)
    unit.run(1.0)
    r = respond(unit, p_pu, final, 2.5 * t_s, k, v_pu=v_pu)
    check_two_sided(r, t_s, longest_s(2.5 * t_s, period_s, k))


def test_volt_watt_lets_go_on_the_same_path() -> None:
    unit = Series(pencil(volt_watt={"enable": True}), 0.01, wish_pu=0.6)
    unit.run(90.0, v_pu=1.09)
    r = respond(unit, p_pu, 0.6, 60.0, "each", v_pu=1.0)
    left = 0.35 * 10.0 ** (-r.t_s / 10.0)
    assert r.y == pytest.approx(0.6 - np.where(left > 0.001, left, 0.0), abs=1e-5)  # nearer than 0.001: lifted
    assert r.t90_s() == pytest.approx(10.0, abs=0.1)
    assert r.y.max() <= 0.6


@loads
def test_no_demand_is_touched_below_the_ceiling(
    demand: float, p2_pu: float, v_pu: float, final: float, load: str
) -> None:
    unit = Series(pencil(volt_watt={"enable": True, "p2_pu": p2_pu}), 0.1, wish_pu=demand)
    assert p_pu(unit.run(30.0, v_pu=1.06)) == pytest.approx(demand)


# --- within 10 s: constant power factor, constant reactive power, watt-var ---


@grids
@pytest.mark.parametrize("response_s", [0.1, 5.0, 10.0])
@pytest.mark.parametrize(
    ("group", "setting", "p_to", "q_from", "q_to"),
    [
        ("power_factor", {"pf": 0.9}, 0.8, 0.0969, 0.3875),
        ("power_factor", {"pf": 0.9, "excitation": "absorb"}, -0.8, -0.0969, 0.3875),
        ("watt_var", {}, 0.8, 0.0, -0.264),
        ("watt_var", {}, -0.8, 0.0, 0.44),
    ],
)
def test_reactive_power_that_follows_active_power(
    group: str,
    setting: dict[str, Any],
    p_to: float,
    q_from: float,
    q_to: float,
    response_s: float,
    period_s: float,
    k: str,
    why: str,
) -> None:
    """90 % within 10 s of a step of P; at the longest setting exactly then."""
    unit = Series(pencil("B", **{group: {**setting, "response_s": response_s}}), period_s, wish_pu=0.2)
    unit.run(60.0, k=max(1, round(0.1 / period_s)))
    assert q_pu(unit.rows)[-1] == pytest.approx(q_from, abs=1e-4)
    r = respond(unit, q_pu, q_to, 5.0 * max(response_s, 1.0), k, wish_pu=p_to)
    assert r.y[-1] == pytest.approx(q_to, abs=1e-4)
    way_of_p_s = abs(p_to - 0.2) / 10.0  # the product's own ramp, 10 pu/s here
    assert r.t90_s() <= min(response_s + way_of_p_s, 10.0 + way_of_p_s) + longest_s(5.0, period_s, k) + 1e-9
    assert r.done().max() <= 1.0 + 1e-3  # four digits


@grids
@pytest.mark.parametrize("response_s", [0.1, 5.0, 10.0])
def test_a_new_set_point_of_constant_reactive_power(response_s: float, period_s: float, k: str, why: str) -> None:
    def chosen(q: float) -> Settings:
        return pencil(const_var={"q_pu": q, "response_s": response_s})

    unit = Series(chosen(0.1), period_s, wish_pu=0.5)
    unit.run(30.0)
    unit.core.change(chosen(-0.4))
    r = respond(unit, q_pu, -0.4, 2.5 * response_s, k)
    check_two_sided(r, response_s, longest_s(2.5 * response_s, period_s, k))
    assert r.t90_s() <= 10.0 + longest_s(2.5 * response_s, period_s, k)


# --- within 30 s: active power limit ---

# fmt: off
LIMITS = [
    # demand  limit  final  why
    (1.0,     0.66,  0.66,  "1547.1 5.13"),
    (1.0,     0.33,  0.33,  "1547.1 5.13"),
    (1.0,     0.0,   0.0,   "all of it"),
    (0.5,     0.33,  0.33,  "part load"),
    (0.5,     0.66,  0.5,   "a limit above the load changes nothing"),
    (-0.8,    0.0,  -0.8,   "charging is not limited"),
]
# fmt: on


@pytest.mark.parametrize(("demand", "limit", "final", "why"), LIMITS, ids=[str(c) for c in LIMITS])
@pytest.mark.parametrize("ramp_time_s", [0.1, 10.0, 30.0])
@pytest.mark.parametrize(("period_s", "k"), [(0.001, "each"), (0.1, "each"), (0.01, "skipped")])
@pytest.mark.parametrize("product_ramp_pu_s", [0.01, 10.0])
def test_active_power_limit_within_30_s(
    demand: float, limit: float, final: float, why: str, ramp_time_s: float, period_s: float, k: str,
    product_ramp_pu_s: float,
) -> None:  # fmt: skip
    chosen = pencil(active_limit={"ramp_time_s": ramp_time_s}, limits={"ramp_pu_s": product_ramp_pu_s})
    unit = Series(chosen, period_s, wish_pu=demand)
    unit.run(1.0)
    r = respond(unit, p_pu, final, 31.0, k, ap_limit=limit)
    assert r.at(30.0) <= max(limit, final) + 1e-9
    assert r.at(ramp_time_s + longest_s(31.0, period_s, k)) == pytest.approx(final, abs=1e-9)
    assert (r.y >= min(final, demand) - 1e-9).all()
    fastest = max(1.0 / ramp_time_s, product_ramp_pu_s)
    assert (abs(np.diff(r.y)) <= fastest * np.diff(r.t_s) + 1e-9).all()  # a line, not a step


def test_the_limit_is_lifted_by_the_products_ramp() -> None:
    unit = Series(pencil(active_limit={"ramp_time_s": 1.0}, limits={"ramp_pu_s": 0.2}), wish_pu=1.0)
    unit.run(10.0, ap_limit=0.2)
    assert p_pu(unit.rows)[-1] == pytest.approx(0.2)
    r = respond(unit, p_pu, 1.0, 10.0, "each", ap_limit=np.nan)
    assert (abs(np.diff(r.y)) <= 0.2 * 0.01 + 1e-9).all()
    assert r.y[-1] == pytest.approx(1.0)


# --- from one reactive mode to another: 5 ... 300 s, no step ---


@pytest.mark.parametrize("transition_s", [5.0, 15.0, 300.0])
@pytest.mark.parametrize("into", ["volt_var", "watt_var", "const_var", "power_factor", "off"])
def test_mode_change_is_smooth(into: str, transition_s: float) -> None:
    """From constant Q +0.3 at 1.05 pu and 0.8 pu: nothing jumps, and the new answer stands exactly at the end."""
    points: dict[str, dict[str, Any]] = {
        "volt_var": {"volt_var": {}},
        "watt_var": {"watt_var": {}},
        "const_var": {"const_var": {"q_pu": -0.3}},
        "power_factor": {"power_factor": {"pf": 0.9}},
        "off": {"reactive": {"mode": "off"}},
    }
    answers = {"volt_var": -0.22, "watt_var": -0.264, "const_var": -0.3, "power_factor": 0.3875, "off": 0.0}
    way = {"transition_s": transition_s}
    start = pencil(reactive={"mode": "constant_q", **way}, const_var={"q_pu": 0.3})
    unit = Series(start, 0.01, wish_pu=0.8)
    unit.run(60.0, k=10, v_pu=1.05)
    reactive = {**points[into].get("reactive", {}), **way}
    unit.core.change(pencil(**{**points[into], "reactive": reactive}))
    r = respond(unit, q_pu, answers[into], transition_s + 60.0, "each")
    assert r.y[-1] == pytest.approx(answers[into], abs=1e-4)
    if into != "const_var":  # from one set point of Q to the next it is the lag, not a change of mode
        at_end = r.at(transition_s + 0.01)  # the step that sees the new mode still gives the old answer
        assert at_end == pytest.approx(answers[into], abs=1e-4)
        assert abs(r.at(transition_s / 2.0) - (0.3 + answers[into]) / 2.0) <= 0.01
        most = abs(r.final - r.before) / transition_s * 0.01
        assert abs(np.diff(np.r_[r.before, r.y])).max() <= 1.01 * most + 1e-9
