"""The arbiter: nested clamp of limits and wishes. No layer undoes a stronger one; there is always one answer."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cython_core.arbiter import nested_clamp
from cython_core.records import NAN, Reason, WishSource
from tests.cython_core.unit import QUICK, Unit, reasons

INF = float("inf")
S2, S3, E2, E4 = (-7.4, 7.4), (-7.4, 5.0), (-7.4, 3.2), (2.0, 7.4)
MUST_CHARGE = (-7.4, -3.0)

# fmt: off
WORKED = [
    # layers, strongest first      wish   answer   why
    ([S2, S3, E2, E4],              6.0,   3.2,    "the worked example: the driver's 3.2 kW cuts 6 kW"),
    ([S2, S3, E2, E4],              0.0,   2.0,    "the programme asks for at least 2 kW"),
    ([S2, S3, E2, E4],              2.5,   2.5,    "inside every layer: untouched"),
    ([S2, S3, MUST_CHARGE],         6.0,  -3.0,    "must-charge turns 6 kW round"),
    ([S2, S3, MUST_CHARGE, E4],     6.0,  -3.0,    "a programme of +2 kW cannot undo must-charge: nearest point"),
    ([S2, (8.0, 9.0)],              0.0,   7.4,    "wholly above: collapses on the upper end"),
    ([S2, (-9.0, -8.0)],            0.0,  -7.4,    "wholly below: collapses on the lower end"),
    ([(0.0, 0.0), E4],              6.0,   0.0,    "emergency stop: one point, whatever follows"),
    ([(0.0, 0.0), (-INF, INF)],     6.0,   0.0,    "a layer without limits"),
    ([],                            6.0,   6.0,    "no layer"),
]
# fmt: on

watts = st.floats(-20000.0, 20000.0)
layer = st.tuples(watts, watts).map(lambda ends: (min(ends), max(ends)))
layers = st.lists(layer, max_size=6)


@pytest.mark.parametrize(("stack", "wish", "answer", "why"), WORKED, ids=[c[-1] for c in WORKED])
def test_worked_examples(stack: list[tuple[float, float]], wish: float, answer: float, why: str) -> None:
    assert nested_clamp(stack, wish)[2] == answer, why


def test_droop_comes_after_the_economic_layers_inside_the_safe_ones() -> None:
    """P = clip(P0 + dP, I_safe): 3.2 - 0.4 = 2.8."""
    p0 = nested_clamp([S2, S3, E2, E4], 6.0)[2]
    assert nested_clamp([S2, S3], p0 - 0.4)[2] == pytest.approx(2.8)


@given(safe=layer, weaker=layers, wish=watts)
def test_the_answer_lies_in_the_strongest_layer(
    safe: tuple[float, float], weaker: list[tuple[float, float]], wish: float
) -> None:
    lo, hi, answer = nested_clamp([safe, *weaker], wish)
    assert safe[0] <= lo <= answer <= hi <= safe[1]


@given(stack=layers, weaker=layer, wish=watts)
def test_a_weaker_layer_stays_inside_what_was_left(
    stack: list[tuple[float, float]], weaker: tuple[float, float], wish: float
) -> None:
    outer_lo, outer_hi, _ = nested_clamp(stack, wish)
    lo, hi, answer = nested_clamp([*stack, weaker], wish)
    assert outer_lo <= lo <= answer <= hi <= outer_hi
    overlap = (max(outer_lo, weaker[0]), min(outer_hi, weaker[1]))
    if overlap[0] <= overlap[1]:
        assert (lo, hi) == overlap  # compatible: honoured in full
    else:
        assert lo == hi  # not compatible: the one point nearest to it
        assert lo == (outer_hi if weaker[0] > outer_hi else outer_lo)


@given(stack=layers, one=watts, two=watts)
def test_the_answer_moves_no_further_than_the_wish_and_never_the_other_way(
    stack: list[tuple[float, float]], one: float, two: float
) -> None:
    a, b = nested_clamp(stack, one)[2], nested_clamp(stack, two)[2]
    assert abs(a - b) <= abs(one - two)
    assert (a - b) * (one - two) >= 0.0


# --- which wish is taken ---

S = 10**9
LIFE = 900 * S  # wish_lifetime_s
# fmt: off
REFUSED = [
    # the wish                                        why
    ({"p_w": NAN},                                    "power is not a number"),
    ({"p_w": INF},                                    "power is infinite"),
    ({"lo_w": NAN},                                   "lower end is not a number"),
    ({"hi_w": NAN},                                   "upper end is not a number"),
    ({"lo_w": -INF},                                  "lower end is infinite"),
    ({"hi_w": INF},                                   "upper end is infinite"),
    ({"lo_w": 2001.0, "hi_w": 2000.0},                "reversed"),
    ({"q_var": 100.0},                                "reactive power: no function takes it yet"),
    ({"source": 0},                                   "the site's own default is nobody's to set"),
    ({"source": 8},                                   "a source that is none"),
    ({"source": 1 << 40},                             "a source that is far from being one"),
    ({"seq": 0},                                      "a number that does not rise above the start"),
    ({"seq": 1},                                      "replayed: the number of the wish in force"),
    ({"after_s": (0.0, 0.0)},                         "ends where it begins"),
    ({"after_s": (1.0, 0.5)},                         "ends before it begins"),
    ({"after_s": (-2.0, -1.0)},                       "expired long ago"),
    ({"after_s": (-2.0, 0.0)},                        "expires now"),
    ({"after_s": (0.0, 900.001)},                     "lives longer than 900 s"),
    ({"after_s": (-5.0, 900.001)},                    "lives longer than 900 s from now"),
]
TAKEN = [
    ({},                                              "an ordinary wish"),
    ({"lo_w": 2000.0, "hi_w": 2000.0},                "one point"),
    ({"q_var": NAN},                                  "no reactive power"),
    ({"q_var": 0.0},                                  "none either"),
    ({"after_s": (0.0, 900.0)},                       "lives exactly 900 s"),
    ({"after_s": (-1000.0, 900.0)},                   "began long ago, 900 s left"),
    ({"seq": 1 << 62},                                "a large number"),
    ({"source": 1},                                   "the weakest source"),
]
# fmt: on


def judged(wish: dict[str, Any]) -> tuple[Unit, bool]:
    """A unit in which 1000 W of the operator, number 1, is in force; then 2000 W as the row says."""
    unit = Unit(limits=QUICK)
    unit.wish(1000.0, source=WishSource.OPERATOR)
    unit.coast(2.0)
    begins, ends = (round(t * S) for t in wish.pop("after_s", (0.0, 10.0)))
    times = {"valid_from_ns": unit.t_ns + begins, "expires_ns": unit.t_ns + ends}
    unit.wish(**{"p_w": 2000.0, "source": WishSource.OPERATOR, **times, **wish})
    return unit, bool(reasons(unit.step()) & Reason.WISH_REFUSED)


@pytest.mark.parametrize(("wish", "why"), REFUSED, ids=[c[-1] for c in REFUSED])
def test_refused(wish: dict[str, Any], why: str) -> None:
    unit, refused = judged(dict(wish))
    assert refused, why
    record = unit.advance(1.0)
    assert (record.w_source, record.w_seq, record.p_cmd_w) == (WishSource.OPERATOR, 1, 1000.0)  # the one before stays
    assert not reasons(record) & Reason.WISH_REFUSED  # told once


@pytest.mark.parametrize(("wish", "why"), TAKEN, ids=[c[-1] for c in TAKEN])
def test_taken(wish: dict[str, Any], why: str) -> None:
    unit, refused = judged(dict(wish))
    assert not refused, why
    if wish.get("source", WishSource.OPERATOR) == WishSource.OPERATOR:
        record = unit.advance(1.0)
        assert (record.w_seq, record.w_p_w, record.p_cmd_w) == (wish.get("seq", 2), 2000.0, 2000.0)


def test_numbers_rise_for_each_source_by_itself() -> None:
    unit = Unit(limits=QUICK)
    for source, seq in ((WishSource.EMS, 9), (WishSource.HOME, 1), (WishSource.EMS, 10)):
        unit.wish(500.0, source=source, seq=seq)
        assert not reasons(unit.step()) & Reason.WISH_REFUSED
    unit.wish(500.0, source=WishSource.EMS, seq=10)
    assert reasons(unit.step()) & Reason.WISH_REFUSED


def test_a_wish_is_judged_while_the_unit_is_still_starting() -> None:
    unit = Unit()
    unit.wish(NAN)
    assert reasons(unit.advance(0.01, silence="meter")) & Reason.WISH_REFUSED


# --- who wins ---


def test_the_strongest_source_has_the_power_and_every_source_its_limits() -> None:
    unit = Unit(limits=QUICK)
    unit.wish(5000.0, lo_w=-8000.0, hi_w=4000.0, source=WishSource.AGGREGATOR)
    unit.wish(2000.0, lo_w=1000.0, hi_w=9000.0, source=WishSource.OPERATOR)
    unit.wish(-7000.0, lo_w=-7000.0, hi_w=3000.0, source=WishSource.SCHEDULE)
    record = unit.coast(2.0)
    assert (record.w_source, record.w_p_w, record.p_wish_w) == (WishSource.OPERATOR, 2000.0, 2000.0)
    unit.wish(9000.0, lo_w=1000.0, hi_w=9000.0, source=WishSource.OPERATOR)
    record = unit.coast(2.0)
    assert (record.w_p_w, record.p_wish_w) == (9000.0, 3000.0)  # 1000 ... 9000, then ... 4000, then ... 3000
    assert reasons(record) & Reason.WISH_CLAMPED


def test_a_weaker_source_cannot_leave_the_stronger_ones_limits() -> None:
    unit = Unit(limits=QUICK)
    unit.wish(2000.0, lo_w=1000.0, hi_w=3000.0, source=WishSource.OPERATOR)
    unit.wish(-5000.0, lo_w=-8000.0, hi_w=-4000.0, source=WishSource.EMS)
    assert unit.coast(2.0).p_wish_w == 1000.0  # the nearest point of 1000 ... 3000 to -4000


# fmt: off
EXPIRY = [
    # t_s    source                 p_w       why
    (1.99,   WishSource.OPERATOR,   3000.0,   "the operator's last step"),
    (2.00,   WishSource.HOME,       2000.0,   "expired at 2.00 s: the next source"),
    (2.99,   WishSource.HOME,       2000.0,   "its last step"),
    (3.00,   -1,                   -1400.0,   "nobody: the site's default wish, charge"),
]
# fmt: on


@pytest.mark.parametrize(("t_s", "source", "p_w", "why"), EXPIRY, ids=[c[-1] for c in EXPIRY])
def test_expiry_falls_back_to_the_next(t_s: float, source: int, p_w: float, why: str) -> None:
    unit = Unit(limits=QUICK)
    unit.wish(3000.0, source=WishSource.OPERATOR, expires_ns=unit.t_ns + 2 * S)
    unit.wish(2000.0, source=WishSource.HOME, expires_ns=unit.t_ns + 3 * S)
    record = unit.advance(t_s + 0.01)  # the step at t_s
    assert (record.w_source, record.p_wish_w) == (source, p_w), why
    assert bool(reasons(record) & Reason.DEFAULT_WISH) == (source == -1)


def test_a_wish_that_begins_later_waits() -> None:
    unit = Unit(limits=QUICK)
    unit.wish(3000.0, valid_from_ns=unit.t_ns + S)
    assert unit.advance(1.0).w_source == -1
    assert unit.step().w_source == WishSource.BENCH


# --- the site's default wish ---

# fmt: off
DEFAULT_WISH = [
    # soc in turn           p_wish_w   why: target 0.80, again from 0.80 - 0.02
    ((0.50,),               -1400.0,   "charges"),
    ((0.79,),               -1400.0,   "up to the target"),
    ((0.80,),                   0.0,   "the target is reached"),
    ((0.80, 0.79),              0.0,   "and waits: no chatter at the target"),
    ((0.80, 0.779),         -1400.0,   "until 0.02 below"),
    ((0.80, 0.779, 0.79),   -1400.0,   "then charges to the target again"),
    ((0.90,),                   0.0,   "above the target: never discharges"),
    ((NAN,),                -1400.0,   "unknown: charges until the car stops"),
    ((0.80, NAN),           -1400.0,   "unknown, whatever was known before"),
    ((0.80, NAN, 0.79),         0.0,   "known again: still full"),
]
# fmt: on


@pytest.mark.parametrize(("socs", "p_w", "why"), DEFAULT_WISH, ids=[c[-1] for c in DEFAULT_WISH])
def test_default_wish(socs: tuple[float, ...], p_w: float, why: str) -> None:
    unit = Unit(limits=QUICK)
    for soc in socs:
        unit.coast(11.0, soc=soc)
    assert (unit.last.p_wish_w, unit.last.p_cmd_w) == (p_w, p_w), why
    assert reasons(unit.last) & Reason.DEFAULT_WISH


@given(wish=st.floats(-20000.0, 20000.0), soc=st.one_of(st.just(NAN), st.floats(0.0, 1.0)))
def test_no_wish_discharges_an_unknown_or_empty_battery(wish: float, soc: float) -> None:
    record = Unit(wish_w=wish).advance(0.05, soc=soc)
    assert -8000.0 <= record.p_cmd_w <= 10000.0
    if math.isnan(soc) or soc <= 0.2:
        assert record.p_cmd_w <= 0.0
    if soc >= 0.95:
        assert record.p_cmd_w >= 0.0
