"""Enter service: IEEE 1547-2018 4.10, by the six cases of 1547.1-2020 Table 11 and what storage adds to them.

Rule     nothing before 98.5 % of the delay after the last excursion, rated power not before 98.5 % of delay + ramp; we
         never come before 100 %, and at most one step later. Charging is gated like discharging.
Random   delay (exception 1): 1 s ... maximum, uniform, from the site's seed: the same in a replay, another after each
         trip.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cython_core.records import Mode, Reason, State
from cython_core.settings import Settings
from cython_core.step import Core
from tests.cython_core.series import INSTANT, Series, p_pu, pencil
from tests.cython_core.unit import Unit, reasons

OURS = {"owner": "controller"}
STEP_S = 0.01


@dataclass(frozen=True)
class Case:
    """One row of Table 11: settings, then voltage and frequency that do not and that do fulfil the criteria."""

    n: str
    delay_s: float
    ramp_s: float
    random_s: float
    v_high_pu: float
    v_low_pu: float
    f_high_hz: float
    f_low_hz: float
    bad: tuple[float, float]
    good: tuple[float, float]

    def settings(self, **more: Any) -> Settings:
        names = ("delay_s", "ramp_s", "random_s", "v_high_pu", "v_low_pu", "f_high_hz", "f_low_hz")
        enter = {**OURS, **{name: getattr(self, name) for name in names}, **more}
        return pencil(enter_service=enter, freq_droop={"enable": False})


# fmt: off
CASES = [
    #    case  delay  ramp    random  v_high v_low  f_high f_low  bad v, f         good v, f
    Case("1",  300.0, 300.0,  0.0,    1.05,  0.917, 60.1,  59.5,  (0.897, 60.0),   (0.937, 60.0)),
    Case("2",  0.0,   0.0,    300.0,  1.05,  0.917, 60.1,  59.5,  (1.0, 59.48),    (1.0, 59.52)),
    Case("3",  600.0, 1000.0, 0.0,    1.06,  0.95,  61.0,  59.9,  (1.08, 60.0),    (1.04, 60.0)),
    Case("4",  0.0,   0.0,    1000.0, 1.06,  0.95,  61.0,  59.9,  (1.0, 61.02),    (1.0, 60.98)),
    Case("5",  0.0,   1.0,    0.0,    1.05,  0.88,  60.1,  59.0,  (0.86, 60.0),    (0.90, 60.0)),
    Case("6",  0.0,   0.0,    1.0,    1.05,  0.88,  60.1,  59.0,  (1.0, 58.98),    (1.0, 59.02)),
    Case("6'", 0.0,   0.0,    1.0,    1.05,  0.88,  60.1,  59.0,  (1.0, 58.98),    (1.0, 59.92)),
]
# fmt: on
cases = pytest.mark.parametrize("case", CASES, ids=[f"case {c.n}" for c in CASES])


def grid(at: tuple[float, float]) -> dict[str, float]:
    return {"v_pu": at[0], "f_hz": at[1]}


def nothing(records: Any) -> None:
    assert (records["p_cmd_w"] == 0.0).all()
    assert (records["q_cmd_var"] == 0.0).all()
    assert (records["mode"] == Mode.STOP).all()


def first_power_s(records: Any) -> float:
    """Seconds from the first good reading to the first power (before which everything is 0)."""
    moving = np.flatnonzero(records["p_cmd_w"])
    assert len(moving)
    return float(records["t_ns"][moving[0]] - records["t_ns"][0]) * 1e-9


def waiting(case: Case, wish_pu: float = 1.0, **more: Any) -> Series:
    """Steps b to h: permit off on a good grid, then the bad grid, then permit on, each for twice the delay and more."""
    unit = Series(case.settings(**more), STEP_S, wish_pu=wish_pu)
    wait_s = max(60.0, 2.0 * case.delay_s + case.random_s)
    for inputs in ({"permit": 0}, grid(case.bad), {"permit": 1}):
        nothing(unit.run(wait_s, 10, **inputs))
    assert unit.rows["state"][-1] == State.WAITING
    assert unit.rows["reasons"][-1] & Reason.ENTER_CRITERIA
    return unit


@cases
@pytest.mark.parametrize("wish_pu", [1.0, -0.8])
def test_table_11(case: Case, wish_pu: float) -> None:
    unit = waiting(case, wish_pu)
    if case.delay_s:  # i: a quarter of the delay, then 50 ms of the bad grid
        nothing(unit.run(0.25 * case.delay_s, **grid(case.good)))
        nothing(unit.run(0.05, **grid(case.bad)))
    records = unit.run(case.delay_s + case.ramp_s + case.random_s + 5.0, **grid(case.good))  # j
    began_s = first_power_s(records)
    earliest_s = case.delay_s + (1.0 if case.random_s else 0.0)
    assert earliest_s - 1e-6 <= began_s <= case.delay_s + case.random_s + 2 * STEP_S
    if case.random_s == 0.0:
        assert began_s <= case.delay_s + 2 * STEP_S
    check_ramp(case, p_pu(records), wish_pu)
    off = unit.run(2.0, permit=0)  # k: within 2 s; ours in the same step
    nothing(off)
    if case.delay_s:  # l
        nothing(unit.run(5.0, permit=1))


def check_ramp(case: Case, p: NDArray[np.float64], wish_pu: float) -> None:
    """Average rate and steps, in both directions; rated power not before its time, and then at last."""
    since_s = np.arange(len(p)) * STEP_S - case.delay_s
    if case.ramp_s:
        assert (abs(p) <= np.maximum(since_s / case.ramp_s, 0.0) + 1e-9).all()
        full_s = float(np.argmax(abs(p) >= abs(wish_pu) - 1e-9)) * STEP_S
        assert full_s >= case.delay_s + case.ramp_s * abs(wish_pu) - 1e-6
        assert full_s <= case.delay_s + case.ramp_s * abs(wish_pu) + 2 * STEP_S
        assert abs(np.diff(p)).max() <= 0.2
    assert p[-1] == pytest.approx(wish_pu)


# --- the delay ---

SHORT = Case("short", 10.0, 5.0, 0.0, 1.05, 0.917, 60.1, 59.5, (0.897, 60.0), (1.0, 60.0))

# fmt: off
EXCURSIONS = [
    # inputs                   why
    ({"v_pu": 0.916},          "low"),
    ({"v_pu": 1.051},          "high"),
    ({"f_hz": 59.49},          "slow"),
    ({"f_hz": 60.11},          "fast"),
    ({"permit": 0},            "no permit"),
]
EDGES = [
    # inputs                   why
    ({"v_pu": 0.9175},         "just above the lowest voltage"),
    ({"v_pu": 1.05},           "the highest voltage itself"),
    ({"f_hz": 59.5},           "the lowest frequency itself"),
    ({"f_hz": 60.1},           "the highest frequency itself"),
]
# fmt: on


@pytest.mark.parametrize(("inputs", "why"), EXCURSIONS, ids=[c[-1] for c in EXCURSIONS])
@pytest.mark.parametrize("after_s", [0.01, 5.0, 9.98])
def test_the_delay_begins_anew_after_50_ms(inputs: dict[str, float], why: str, after_s: float) -> None:
    unit = waiting(SHORT)
    nothing(unit.run(after_s, **grid(SHORT.good)))
    nothing(unit.run(0.05, 1, **inputs))
    records = unit.run(12.0, 1, **grid(SHORT.good), permit=1)
    assert 10.0 - 1e-6 <= first_power_s(records) <= 10.0 + 2 * STEP_S, why


@pytest.mark.parametrize(("phases", "why"), [((1.0, 0.9, 1.0), "one phase low"), ((1.0, 1.0, 1.06), "one phase high")])
def test_every_phase_must_be_good(phases: tuple[float, ...], why: str) -> None:
    unit = Series(SHORT.settings(), STEP_S, wish_pu=1.0)
    nothing(unit.run(30.0, 10, v_pu=np.array([phases])))
    assert first_power_s(unit.run(12.0, v_pu=np.array([[1.0, 1.0, 1.0]]))) >= 10.0


@pytest.mark.parametrize(("inputs", "why"), EDGES, ids=[c[-1] for c in EDGES])
def test_the_edges_are_good(inputs: dict[str, float], why: str) -> None:
    unit = waiting(SHORT)
    unit.run(9.0, **grid(SHORT.good))
    unit.run(0.5, 1, **inputs)
    assert p_pu(unit.run(1.0, **grid(SHORT.good)))[-1] > 0.0, why


def test_a_silent_meter_is_an_excursion() -> None:
    unit = waiting(SHORT)
    unit.run(9.0, **grid(SHORT.good))
    unit.silent = True
    nothing(unit.run(1.5))
    unit.silent = False
    assert first_power_s(unit.run(12.0)) >= 10.0 - 1e-6


def test_the_delay_that_is_left_is_recorded() -> None:
    unit = waiting(SHORT)
    left_s = unit.run(4.0, **grid(SHORT.good))["es_left_ns"] * 1e-9
    assert left_s == pytest.approx(10.0 - np.arange(400) * STEP_S)
    assert (unit.rows["reasons"] & Reason.ENTER_DELAY != 0).all()


def test_a_running_unit_stays_where_a_new_one_may_not_come() -> None:
    """The window of enter service is narrower than that of continuous operation."""
    unit = waiting(SHORT)
    unit.run(12.0, **grid(SHORT.good))
    ramp = p_pu(unit.run(5.0, v_pu=1.08, f_hz=60.5))
    assert (np.diff(ramp) >= 0.0).all()
    assert ramp[-1] == pytest.approx(1.0)


def test_during_the_ramp_a_smaller_wish_is_not_touched() -> None:
    unit = waiting(SHORT, wish_pu=0.1)
    p = p_pu(unit.run(14.0, **grid(SHORT.good)))
    assert p[-1] == pytest.approx(0.1)
    assert p_pu(unit.run(0.5, wish_pu=-0.7))[-1] == pytest.approx(-0.7)
    assert unit.rows["es_pu"][-1] == pytest.approx(0.9, abs=0.01)
    assert p_pu(unit.run(0.1, wish_pu=1.0)).max() <= 0.92


# --- permit service ---


@pytest.mark.parametrize("wish_pu", [0.8, -0.8])
@pytest.mark.parametrize("by", ["order", "setting"])
def test_permit_off_is_0_in_the_same_step_and_back_through_enter_service(wish_pu: float, by: str) -> None:
    unit = Series(SHORT.settings(), STEP_S, wish_pu=wish_pu)
    unit.run(20.0)
    assert p_pu(unit.rows)[-1] == pytest.approx(wish_pu)
    if by == "order":
        nothing(unit.run(0.01, permit=0))
        unit.permit = 1
    else:
        unit.core.change(SHORT.settings(permit=False))
        nothing(unit.run(0.01))
        unit.core.change(SHORT.settings())
    assert unit.rows["reasons"][-1] & Reason.NO_PERMIT
    records = unit.run(16.0)
    assert 10.0 - 1e-6 <= first_power_s(records) <= 10.0 + 2 * STEP_S
    assert p_pu(records)[-1] == pytest.approx(wish_pu)


def test_owner_inverter_we_add_no_delay_to_its_own() -> None:
    unit = Series(SHORT.settings(owner="inverter"), STEP_S, wish_pu=0.5)
    unit.run(1.0)
    nothing(unit.run(1.0, permit=0))
    assert p_pu(unit.run(0.2, permit=1))[-1] == pytest.approx(0.5)


# --- the random delay ---


def draw_s(seed: int, random_s: float) -> float:
    """The delay a unit with this seed draws first."""
    unit = Unit(enter_service={**OURS, "delay_s": 0.0, "ramp_s": 0.0, "random_s": random_s, "seed": seed})
    record = unit.step()
    assert reasons(record) & Reason.ENTER_DELAY
    return record.es_left_ns * 1e-9


def redraws_s(seed: int, random_s: float, n: int) -> NDArray[np.float64]:
    """What one unit draws when its delay begins anew n times."""
    enter = {**OURS, "delay_s": 0.0, "ramp_s": 0.0, "random_s": random_s, "seed": float(seed)}
    unit = Series(pencil(enter_service=enter), STEP_S)
    records = unit.run(2 * n * STEP_S, v_pu=np.tile([1.0, 0.8], n))
    return np.asarray(records["es_left_ns"][::2] * 1e-9, dtype=np.float64)


def kolmogorov(drawn: NDArray[np.float64], low: float, high: float) -> float:
    """Largest distance between the drawn and the uniform distribution, times sqrt(n)."""
    share = np.sort((drawn - low) / (high - low))
    n = len(share)
    steps = np.arange(n + 1) / n
    return float(max(abs(share - steps[:-1]).max(), abs(share - steps[1:]).max()) * math.sqrt(n))


@pytest.mark.parametrize("random_s", [2.0, 300.0, 1000.0])
def test_uniform_over_the_draws_of_one_unit(random_s: float) -> None:
    drawn = redraws_s(1547, random_s, 4000)
    assert drawn.min() >= 1.0
    assert drawn.max() <= random_s
    assert kolmogorov(drawn, 1.0, random_s) < 1.63  # 1 % of honest generators would be above
    pairs = np.corrcoef(drawn[:-1], drawn[1:])[0, 1]
    assert abs(pairs) < 2.6 / math.sqrt(len(drawn))  # nor does one tell the next


def test_uniform_over_the_units_of_a_street() -> None:
    """Seeds one apart: after an outage the street must not come back at once."""
    drawn = np.array([draw_s(seed, 300.0) for seed in range(1, 401)])
    assert kolmogorov(drawn, 1.0, 300.0) < 1.63
    assert abs(np.corrcoef(drawn[:-1], drawn[1:])[0, 1]) < 2.6 / math.sqrt(len(drawn))


def test_the_longest_of_1_s_is_1_s() -> None:
    assert redraws_s(7, 1.0, 10) == pytest.approx(1.0)


def test_reproducible_by_seed() -> None:
    assert (redraws_s(11, 300.0, 50) == redraws_s(11, 300.0, 50)).all()
    assert (redraws_s(11, 300.0, 50) != redraws_s(12, 300.0, 50)).all()


def test_another_delay_after_each_trip() -> None:
    enter = {**OURS, "delay_s": 0.0, "ramp_s": 0.0, "random_s": 30.0}
    unit = Series(pencil(enter_service=enter, voltage_trip=OURS), STEP_S, wish_pu=0.5)
    unit.run(31.0)
    seen = []
    for _ in range(6):
        assert unit.run(0.2, v_pu=1.25)["state"][-1] == State.TRIPPED
        records = unit.run(31.0, v_pu=1.0)
        assert records["state"][0] == State.TRIPPED
        seen.append(int(records["es_left_ns"][0]))
        assert first_power_s(records) == pytest.approx(seen[-1] * 1e-9, abs=2 * STEP_S)
        assert records["trip"][-1] == 0
    assert len(set(seen)) == 6


# --- restart ---


def restarted(unit: Series) -> Series:
    """Another process takes the state of the one before."""
    core = Core(unit.core.settings, STEP_S)
    core.load(unit.core.state())
    unit.core = core
    return unit


@pytest.mark.parametrize("random_s", [0.0, 20.0])
def test_a_restart_keeps_the_delay_that_is_left(random_s: float) -> None:
    case = Case("", 10.0, 0.0, random_s, 1.05, 0.917, 60.1, 59.5, (0.897, 60.0), (1.0, 60.0))
    alone, again = waiting(case), waiting(case)
    nothing(alone.run(6.0, **grid(case.good)))
    nothing(again.run(6.0, **grid(case.good)))
    again = restarted(again)
    one, other = alone.run(30.0), again.run(30.0)
    assert (one["es_left_ns"] == other["es_left_ns"]).all()
    assert one["es_left_ns"][0] * 1e-9 >= 4.0 - 2 * STEP_S
    assert first_power_s(one) == first_power_s(other)


def test_a_restart_goes_on_in_the_ramp() -> None:
    case = Case("", 0.0, 100.0, 0.0, 1.05, 0.917, 60.1, 59.5, (0.897, 60.0), (1.0, 60.0))
    unit = waiting(case)
    unit.run(30.0, **grid(case.good))
    p = p_pu(restarted(unit).run(1.0))
    assert p[0] == pytest.approx(0.30, abs=2e-4)
    assert p[-1] == pytest.approx(0.31, abs=2e-4)


def test_without_a_state_it_enters_from_the_start() -> None:
    unit = Series(SHORT.settings(), STEP_S, wish_pu=0.5)  # and the inverter says it delivers 0.5
    assert first_power_s(unit.run(12.0)) >= 10.0


def test_the_products_own_ramp_is_never_quicker_than_set() -> None:
    """limits.ramp_pu_s binds beside the clause's ramp: the slower of the two."""
    assert INSTANT["ramp_pu_s"] == 10.0
    enter = {**OURS, "delay_s": 0.0, "ramp_s": 1.0}
    unit = Series(pencil(enter_service=enter, limits={"ramp_pu_s": 0.2}), STEP_S, wish_pu=1.0)
    p = p_pu(unit.run(6.0))
    assert abs(np.diff(p)).max() <= 0.2 * STEP_S + 1e-9
    assert p[-1] == pytest.approx(1.0)
