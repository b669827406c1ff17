"""The answers that section 6 of the design owes for a fault: when each is in force, by when it must be, what holds.

safe_s   seconds from the fault until the answer is in force; None: not yet. limit_s: by when it must be.
holds    AssertionError when the steps of the fault's time say something else. at_once: power may step to 0. latches: it
         stays when the fault is over, until the controller is started anew.
The unit charges with 1400 W, degraded with 700 W at most; the grid is quiet.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cython_core.records import Freshness, Mode, Reason
from tests.faults.owed import (
    FROZEN_S,
    LIMIT_EVERY,
    LOOK_S,
    LOST_AFTER_S,
    MISMATCH_S,
    PERIOD_S,
    REVERSION_S,
    SAFE_RAMP_S,
    SOC_EVERY,
    UNIT_LAG_S,
    Wire,
)
from tests.faults.rig import CHARGE_W, P_RATED_W, RAMP_PU_S, Records
from tests.faults.watch import SMALL_W, Watch

DEGRADED_W = 700.0
CAR_W = 300.0  # what the car takes in the one row in which it limits
RAMP_W_S = RAMP_PU_S * P_RATED_W
OWN_TIMER_S = REVERSION_S + UNIT_LAG_S + LOOK_S
ABSORBED_S = 0.5  # beyond the age at which a signal would be stale


@dataclass(frozen=True, slots=True)
class Answer:
    owed: str
    safe_s: Callable[[Watch], float | None]
    limit_s: Callable[[Watch], float]
    holds: Callable[[Watch], None]
    at_once: bool = False
    latches: bool = False


# ---- pieces ----


def assert_wish(w: Watch) -> None:
    assert np.all(w.steps["p_cmd_w"] == -CHARGE_W), "the wish and charging go on"


def assert_grade(w: Watch, signal: str, wire: Wire, at_most: Freshness) -> None:
    """Every grade from its age on, not earlier; none above at_most."""
    steps = w.steps
    grades = steps[f"fresh_{signal}"]
    assert grades.max() <= at_most, f"{signal}: {Freshness(int(grades.max())).name}"
    age_s = steps[f"age_{signal}_ns"] * 1e-9
    stale = grades >= Freshness.STALE
    assert np.all(age_s[stale] > max(wire.held_s - wire.round_s * 5, 1.0)), "taken for stale too early"
    assert np.all(age_s[grades == Freshness.LOST] > LOST_AFTER_S), "taken for lost too early"
    if at_most >= Freshness.STALE:
        assert_by(w, lambda s: s[f"fresh_{signal}"] >= Freshness.STALE, wire.latest_s(wire.held_s), f"{signal} stale")


def assert_by(w: Watch, claim: Callable[[Records], object], limit_s: float, what: str) -> None:
    found_s = w.first_s(claim)
    assert found_s is not None, f"never: {what}"
    assert found_s <= limit_s + skipped_s(w), f"{what} after {found_s:.3f} s, owed by {limit_s:.3f} s"


def skipped_s(w: Watch) -> float:
    """Grid points that a busy machine has skipped: no step stands there."""
    return float(np.max(w.steps["k"] - 1, initial=0)) * PERIOD_S


def assert_between(w: Watch, low_w: float, high_w: float) -> None:
    p_w = w.steps["p_cmd_w"]
    assert low_w <= p_w.min(), p_w.min()
    assert p_w.max() <= high_w, p_w.max()


# ---- answers ----


def absorbed_s(w: Watch) -> float | None:
    return 0.0 if w.elapsed_s > max(w.meter.held_s, w.inverter.held_s) + ABSORBED_S else None


def goes_on(w: Watch) -> None:
    for signal, wire in (("f", w.meter), ("v", w.meter), ("d", w.inverter)):
        assert_grade(w, signal, wire, Freshness.HELD)
    assert_wish(w)
    assert np.all(w.steps["mode"] == Mode.ACTIVE)


def f_gone(w: Watch) -> None:
    assert_grade(w, "f", w.meter, Freshness.LOST)
    assert_grade(w, "v", w.meter, Freshness.HELD)
    assert_wish(w)
    assert np.all(w.steps["mode"] == Mode.ACTIVE), "one signal of two is no lost meter"


def is_degraded(s: Records) -> object:
    return (s["fresh_v"] >= Freshness.STALE) & (s["p_cmd_w"] == -DEGRADED_W)


def v_gone(w: Watch) -> None:
    assert_grade(w, "v", w.meter, Freshness.LOST)
    assert_grade(w, "f", w.meter, Freshness.HELD)
    assert_between(w, -CHARGE_W, -DEGRADED_W)
    assert np.all(w.steps["mode"] == Mode.ACTIVE)
    assert w.steps["q_cmd_var"][-1] == 0.0


def is_safe(s: Records) -> object:
    return (s["mode"] == Mode.SAFE) & (s["p_cmd_w"] == 0.0)


def meter_gone(w: Watch) -> None:
    for signal in ("f", "v"):
        assert_grade(w, signal, w.meter, Freshness.LOST)
    assert_between(w, -CHARGE_W, 0.0)
    stale = w.steps[w.steps["fresh_v"] == Freshness.STALE]
    assert stale["p_cmd_w"][-1] == -DEGRADED_W, "stale voltage: less charging"


def silent_and_at_rest(w: Watch) -> float | None:
    silent = w.first_s(lambda s: s["mode"] == Mode.SILENT)
    rest = w.at_rest_s()
    return None if silent is None or rest is None else max(silent, rest)


def inverter_lost(w: Watch) -> None:
    assert_grade(w, "d", w.inverter, Freshness.LOST)
    assert_between(w, -CHARGE_W, 0.0)
    lost = w.steps["fresh_d"] == Freshness.LOST
    assert np.array_equal(w.steps["mode"] == Mode.SILENT, lost), "no more writes: its own timer acts"


def inverter_gone(w: Watch) -> None:
    inverter_lost(w)
    stale = w.steps[w.steps["fresh_d"] == Freshness.STALE]
    # how far it gets before it is lost hangs on when the last write was echoed
    assert stale["p_cmd_w"][-1] > -CHARGE_W + SMALL_W, "writes that nobody echoes: to 0 by ramp"
    assert np.all(np.diff(stale["p_cmd_w"]) >= 0.0), "towards 0 only"


def inverter_echoes(w: Watch) -> None:
    inverter_lost(w)
    stale = w.steps[w.steps["fresh_d"] == Freshness.STALE]
    assert np.all(stale["p_cmd_w"] < -CHARGE_W + SMALL_W), "writes are echoed: the wish goes on"


def both_gone(w: Watch) -> None:
    inverter_lost(w)
    assert_grade(w, "f", w.meter, Freshness.LOST)


def writes_fail(w: Watch) -> None:
    assert_grade(w, "d", w.inverter, Freshness.HELD)
    assert_grade(w, "f", w.meter, Freshness.HELD)


def seen_s(w: Watch) -> float:
    """From a change at the inverter to the step that knows: tick, poll, answer."""
    return PERIOD_S + w.inverter.poll_s + w.inverter.in_flight_s


def no_command(w: Watch) -> None:
    stopped = (w.steps["reasons"] & (Reason.NOT_RUNNING | Reason.LOCAL_CONTROL)) != 0
    assert np.array_equal(w.steps["mode"] == Mode.SILENT, stopped), "never command it"
    assert_by(w, lambda s: s["mode"] == Mode.SILENT, seen_s(w), "silence")


def soc_full(w: Watch) -> None:
    assert_between(w, -CHARGE_W, 0.0)
    for signal, wire in (("f", w.meter), ("d", w.inverter)):
        assert_grade(w, signal, wire, Freshness.HELD)


def overwritten_s(w: Watch) -> float | None:
    """When the plant has our set-point again."""
    foreign = [i for i, (_, _, p_set_w) in enumerate(w.plant) if p_set_w > 0.0]
    back = [t_s for t_s, _, p_set_w in w.plant[foreign[-1] :] if p_set_w == -CHARGE_W] if foreign else []
    return back[0] if back else None


def foreign_s(w: Watch) -> float | None:
    """When the plant rests again, after it has followed the other master."""
    return w.at_rest_s() if any(p_w > 0.0 for _, p_w, _ in w.plant) else None


ANSWERS: dict[str, Answer] = {
    "goes on": Answer("held at most; nothing moves", absorbed_s, lambda _w: 0.0, goes_on),
    "f gone": Answer(
        "droop to 0, wish and charging go on, alarm",
        lambda w: w.first_s(lambda s: s["fresh_f"] == Freshness.LOST),
        lambda w: w.meter.latest_s(LOST_AFTER_S),
        f_gone,
    ),
    "V gone": Answer(
        "Q to 0, export to 0, charging at most degraded_charge_w, by ramp",
        lambda w: w.first_s(is_degraded) if w.first_s(lambda s: s["fresh_v"] == Freshness.LOST) else None,
        lambda w: w.meter.latest_s(w.meter.held_s) + DEGRADED_W / RAMP_W_S + PERIOD_S,
        v_gone,
    ),
    "meter gone": Answer(
        "stale as f and V; lost: ramp to safe_p_w within 10 s",
        lambda w: w.first_s(is_safe),
        lambda w: w.meter.latest_s(LOST_AFTER_S) + SAFE_RAMP_S,
        meter_gone,
    ),
    "inverter gone": Answer(
        "stale and not echoed: to 0; lost: no more writes, its own timer acts",
        silent_and_at_rest,
        lambda w: max(w.inverter.latest_s(LOST_AFTER_S), w.inverter.in_flight_s + OWN_TIMER_S),
        inverter_gone,
    ),
    "inverter unheard": Answer(
        "the same, but set-points still reach it: its own timer begins with the last one",
        silent_and_at_rest,
        lambda w: w.inverter.latest_s(LOST_AFTER_S) + w.inverter.in_flight_s + OWN_TIMER_S,
        inverter_gone,
    ),
    "inverter echoes": Answer(
        "stale but echoed: the wish goes on; lost: no more writes, its own timer acts",
        silent_and_at_rest,
        lambda w: w.inverter.latest_s(LOST_AFTER_S) + w.inverter.in_flight_s + OWN_TIMER_S,
        inverter_echoes,
    ),
    "both gone": Answer(
        "no more writes, its own timer acts",
        silent_and_at_rest,
        lambda w: max(w.inverter.latest_s(LOST_AFTER_S), w.inverter.in_flight_s + OWN_TIMER_S),
        both_gone,
    ),
    "own timer": Answer(
        "the inverter's own timer brings it to 0 W",
        Watch.at_rest_s,
        lambda w: w.inverter.in_flight_s + OWN_TIMER_S,
        writes_fail,
    ),
    "no command": Answer(
        "never command it; its own timer acts",
        silent_and_at_rest,
        lambda w: seen_s(w) + OWN_TIMER_S,
        no_command,
        at_once=True,
    ),
    "car gone": Answer(
        "0 W at once",
        lambda w: w.first_s(lambda s: (s["reasons"] & Reason.NOT_RUNNING != 0) & (s["p_cmd_w"] == 0.0)),
        seen_s,
        no_command,
        at_once=True,
    ),
    "full": Answer(
        "a full battery is not charged",
        lambda w: w.first_s(lambda s: (s["reasons"] & Reason.SOC_LIMIT != 0) & (s["p_cmd_w"] == 0.0)),
        lambda w: SOC_EVERY * w.inverter.poll_s + w.inverter.in_flight_s + CHARGE_W / RAMP_W_S + PERIOD_S,
        soc_full,
        at_once=True,
    ),
    "limited": Answer(
        "no more than the car takes, at once",
        lambda w: w.first_s(lambda s: (s["reasons"] & Reason.DEVICE_LIMIT != 0) & (s["p_cmd_w"] == -CAR_W)),
        lambda w: LIMIT_EVERY * w.inverter.poll_s + w.inverter.in_flight_s + PERIOD_S,
        lambda w: assert_between(w, -CHARGE_W, -CAR_W),
        at_once=True,
    ),
    "overwritten": Answer(
        "our set-point again at the next refresh, a third of the inverter's timer",
        overwritten_s,
        lambda w: REVERSION_S / 3 + w.inverter.poll_s + w.inverter.in_flight_s + LOOK_S,
        goes_on,
    ),
    "controller gone": Answer(
        "the inverter's own timer brings it to 0 W", Watch.at_rest_s, lambda _w: OWN_TIMER_S, lambda _w: None
    ),
    "foreign": Answer(
        "another master's set-point is named; the inverter's own timer ends it",
        foreign_s,
        lambda w: w.inverter.in_flight_s + OWN_TIMER_S,
        writes_fail,
    ),
    "told and stopped": Answer(
        "an inverter that does not do what it is told is named and brought to 0 by ramp",
        lambda w: w.first_s(lambda s: (s["reasons"] & Reason.POWER_MISMATCH != 0) & (s["p_cmd_w"] == 0.0)),
        lambda w: MISMATCH_S + seen_s(w) + CHARGE_W / RAMP_W_S + LOOK_S,
        lambda w: assert_between(w, -CHARGE_W, 0.0),
        latches=True,
    ),
    "frozen": Answer(
        "frozen for max(20 refreshes, 5 s), then as a meter that is gone",
        lambda w: w.first_s(is_safe),
        lambda w: FROZEN_S + w.meter.latest_s(LOST_AFTER_S) + SAFE_RAMP_S,
        lambda w: assert_between(w, -CHARGE_W, 0.0),
    ),
}
