"""The drill: every fault on a simulated house, one after the other. Is the unit safe in time, and calm again after it?

Cases    CASES, or the actions of a script; each is put in force alone and stays until the answer owed for it is there.
Answer   what is owed (answer_of), by when it must be in force (limit_s, from the ages of the site and the inverter's
         own timer), and what is looked at: step records in the grid's own time, the plant's power.
Result   one line a case; missed when the answer does not come in time, when something moves that must not, or when the
         unit is not calm again within RECOVERY_S.
Errors   ProcessError, BrokerError: the house does not stand. A fault that cannot be played here is named, not judged.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from controller.demo import Demo
from controller.site import Site
from controller.timing import ages, poll_ms
from cython_core.records import Mode, Reason, State
from drivers.sim.faultscript import Action
from drivers.sim.proxy import ProxyError

RECOVERY_S = 15.0
SAFE_RAMP_S = 10.0  # whole meter lost: to the safe power within this
LOOK_S = 0.05
BUSY_S = 0.3  # a poll or a look that a busy machine delays
SETTLE_S = 1.0  # of the plant: dead time and lag
SMALL_PU = 0.01
SLOW_POLLS = 10  # the state of charge is asked in each tenth round
LIMIT_POLLS = 20  # and what the car can do in each twentieth
STALE = Reason.F_STALE | Reason.F_LOST | Reason.V_STALE | Reason.V_LOST | Reason.DEVICE_STALE | Reason.DEVICE_LOST
ORDINARY = int(Reason.DEFAULT_WISH | Reason.SKIPPED)
Steps = NDArray[Any]

CASES = """\
meter.delay 30ms; meter.delay 5s; meter.drip 1ms; meter.drip 100ms; meter.silent; meter.exception 4; meter.truncate
meter.garbage; meter.wrong_id; meter.wrong_unit; meter.duplicate; meter.reorder; meter.freeze; meter.reset; meter.refuse
meter.half_open; meter.nan; meter.nan f; meter.nan v; meter.nan p; meter.out_of_range; meter.scale10; meter.scale10 p
meter.inf
inverter.delay 30ms; inverter.delay 5s; inverter.drip 100ms; inverter.silent; inverter.silent reads
inverter.silent writes; inverter.exception 4; inverter.exception writes 6; inverter.truncate; inverter.garbage
inverter.wrong_id; inverter.wrong_unit; inverter.duplicate; inverter.reorder; inverter.freeze; inverter.reset
inverter.refuse; inverter.half_open; inverter.nan p; inverter.nan soc; inverter.out_of_range p; inverter.scale10 p
inverter.soc_glitch 0%; inverter.soc_glitch 100%; inverter.fault; inverter.local; inverter.overwrite 3000W
inverter.unplug; inverter.asleep; inverter.charge_limit 700W; inverter.discharge_limit 700W
broker.down; clock.step -1h; clock.step +1h
process.kill telemetry; process.hang telemetry; process.kill bridge; process.kill controller; process.hang controller
"""


@dataclass(frozen=True, slots=True)
class Result:
    """One case. safe_s: None when the answer never came; recovery_s: None when the calm did not. limit_s 0: at once."""

    fault: str
    owed: str
    limit_s: float
    safe_s: float | None
    recovery_s: float | None
    why: str = ""  # not passed: what was seen; not played: why it cannot be
    played: bool = True

    @property
    def passed(self) -> bool | None:
        """None: not judged."""
        return not self.why if self.played else None


class Case:
    """One fault while it stands: the steps and the plant since it was put in force."""

    def __init__(self, demo: Demo) -> None:
        self.demo, self.site = demo, demo.site
        self.t0_ns = time.monotonic_ns()
        self.at_rest_since_s: float | None = None
        self.was_overwritten = False
        self.again_ours_s: float | None = None

    @property
    def elapsed_s(self) -> float:
        return (time.monotonic_ns() - self.t0_ns) * 1e-9

    def look(self) -> None:
        """Let it run for a moment, then take what is new."""
        demo = self.demo
        demo.rest(LOOK_S)
        demo.family.check()
        demo.read()
        p_w, p_set_w = demo.unit_w()
        resting = abs(p_w) < SMALL_PU * self.site.settings.rating.p_rated_w and p_set_w == 0.0  # to stay there
        self.at_rest_since_s = (self.at_rest_since_s or self.elapsed_s) if resting else None
        self.was_overwritten |= p_set_w > 0.0
        if self.was_overwritten and p_set_w < 0.0:
            self.again_ours_s = self.again_ours_s or self.elapsed_s

    @property
    def steps(self) -> Steps:
        history = self.demo.history
        return history[history["t_ns"] >= self.t0_ns]

    def first_s(self, claim: Callable[[Steps], Any]) -> float | None:
        """When a step first had it."""
        steps = self.steps
        found = np.flatnonzero(claim(steps))
        return float(steps["t_ns"][found[0]] - self.t0_ns) * 1e-9 if len(found) else None


# ---- what is owed ----


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds of one site."""

    held_s: float  # of meter and inverter, the longer
    meter_lost_s: float
    inverter_lost_s: float
    in_flight_s: float  # a good answer may still come so long after the fault's begin
    own_timer_s: float
    ramp_s: float
    poll_s: float
    mismatch_s: float  # 0: off

    @classmethod
    def of(cls, site: Site) -> Limits:
        by_signal = {age.signal: age for age in ages(site)}
        meter, inverter = by_signal["frequency"], by_signal["inverter state"]
        slowest_ms = max(poll_ms(site.meter) + site.meter.timeout_ms, poll_ms(site.inverter) + site.inverter.timeout_ms)
        limits, wish = site.settings.limits, site.settings.default_wish
        return cls(
            held_s=max(meter.held_ms, inverter.held_ms) / 1e3,
            meter_lost_s=meter.lost_ms / 1e3,
            inverter_lost_s=inverter.lost_ms / 1e3,
            in_flight_s=(slowest_ms + 2 * site.period_ms) / 1e3 + BUSY_S,
            own_timer_s=site.inverter.reversion_s + SETTLE_S,
            ramp_s=wish.charge_w / (limits.ramp_pu_s * site.settings.rating.p_rated_w),
            poll_s=poll_ms(site.inverter) / 1e3,
            mismatch_s=site.settings.fail_safe.mismatch_after_s,
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """safe_s: seconds until it is in force, None: not yet. still: nothing may grow stale meanwhile.

    latches: it stays when the fault is over, until the controller is started anew.
    """

    owed: str
    limit_s: Callable[[Limits], float]
    safe_s: Callable[[Case], float | None]
    still: bool = False
    latches: bool = False


def bits(reasons: Reason) -> Callable[[Steps], Any]:
    return lambda steps: (steps["reasons"] & int(reasons)) != 0


def silent_and_at_rest(case: Case) -> float | None:
    silent, rest = case.first_s(lambda s: s["mode"] == Mode.SILENT), case.at_rest_since_s
    return None if silent is None or rest is None else max(silent, rest)


def held_long_enough(case: Case) -> float | None:
    return 0.0 if case.elapsed_s > Limits.of(case.site).held_s + 0.5 else None


def to_zero(reasons: Reason) -> Callable[[Case], float | None]:
    return lambda case: case.first_s(lambda s: bits(reasons)(s) & (s["p_cmd_w"] == 0.0))


def safe_power(case: Case) -> float | None:
    safe_w = case.site.settings.fail_safe.safe_p_w
    return case.first_s(lambda s: (s["mode"] == Mode.SAFE) & (s["p_cmd_w"] == safe_w))


def limited(case: Case) -> float | None:
    return case.first_s(lambda s: bits(Reason.DEVICE_LIMIT)(s) & (s["p_cmd_w"] == -s["d_p_max_charge_w"]))


def reduced_charging(case: Case) -> float | None:
    most_w = case.site.settings.fail_safe.degraded_charge_w
    return case.first_s(lambda s: bits(Reason.V_STALE | Reason.V_LOST)(s) & (s["p_cmd_w"] >= -most_w))


ANSWERS: dict[str, Answer] = {
    "goes on": Answer("nothing moves", lambda _: 0.0, held_long_enough, still=True),
    "f gone": Answer(
        "droop to 0, charging goes on", lambda t: t.meter_lost_s + t.in_flight_s,
        lambda case: case.first_s(bits(Reason.F_LOST)),
    ),
    "V gone": Answer("no export, less charging", lambda t: t.held_s + t.in_flight_s + t.ramp_s, reduced_charging),
    "meter gone": Answer("ramp to the safe power", lambda t: t.meter_lost_s + t.in_flight_s + SAFE_RAMP_S, safe_power),
    "frozen": Answer(
        "found frozen, then as a lost meter", lambda t: t.meter_lost_s + t.in_flight_s + SAFE_RAMP_S, safe_power
    ),
    "inverter gone": Answer(
        "no more writes, 0 W by its own timer", lambda t: t.inverter_lost_s + t.in_flight_s + t.own_timer_s,
        silent_and_at_rest,
    ),
    "own timer": Answer(
        "0 W by its own timer", lambda t: t.in_flight_s + t.own_timer_s, lambda case: case.at_rest_since_s
    ),
    "no command": Answer(
        "no more writes, 0 W by its own timer", lambda t: t.in_flight_s + t.own_timer_s, silent_and_at_rest
    ),
    "car gone": Answer("0 W at once", lambda t: t.in_flight_s, to_zero(Reason.NOT_RUNNING)),
    "full": Answer(
        "no more charging", lambda t: SLOW_POLLS * t.poll_s + t.in_flight_s + t.ramp_s, to_zero(Reason.SOC_LIMIT)
    ),
    "limited": Answer(
        "no more than the car takes, at once", lambda t: LIMIT_POLLS * t.poll_s + t.in_flight_s, limited
    ),
    "told and stopped": Answer(
        "told, then 0 W by ramp", lambda t: t.mismatch_s + t.in_flight_s + t.ramp_s, to_zero(Reason.POWER_MISMATCH),
        latches=True,
    ),
    "overwritten": Answer(
        "our set-point again", lambda t: (t.own_timer_s - SETTLE_S) / 3 + t.in_flight_s + LOOK_S,
        lambda case: case.again_ours_s, still=True,
    ),
}  # fmt: skip
# what step records show by themselves, whether or not anything is written; controller.drillrig has one of its own
SEEN_IN_SHADOW = ("goes on", "f gone", "V gone", "meter gone", "frozen")
ABSORBED = {"duplicate", "reorder", "half_open"}
VALUES = {"nan", "inf", "out_of_range", "scale10"}
STEADY = {*ABSORBED, "freeze", "discharge_limit"}  # of the inverter, while the car is charged
SAID = {"fault": "no command", "local": "no command", "unplug": "car gone", "asleep": "car gone"}
BYTES = 40  # of an answer, about: what drips slower is not whole in time


def answer_of(action: Action, site: Site) -> str:
    """A key of ANSWERS."""
    match action.target:
        case "meter":
            return meter_answer(action, site)
        case "inverter":
            return inverter_answer(action, site)
        case "process" if action.part == "controller":
            return "own timer"
    return "goes on"


def in_time(action: Action, timeout_ms: int) -> bool:
    """Whether an answer that is only slow still comes before the time-out."""
    slow_s = {"delay": 1, "drip": BYTES}.get(action.fault, 0) * action.value
    return 0.0 < slow_s < timeout_ms / 1e3


def meter_answer(action: Action, site: Site) -> str:
    if action.fault in ABSORBED or in_time(action, site.meter.timeout_ms):
        return "goes on"
    if action.fault in VALUES:
        if action.part == "p":
            return unlike(action, site)
        return {"f": "f gone", "v": "V gone"}.get(action.part, "meter gone")
    if action.fault == "freeze":
        return "frozen" if site.settings.fail_safe.frozen_after_s else "goes on"
    return "meter gone"


def unlike(action: Action, site: Site) -> str:
    """A power that is ten times the commanded one, or absurd. What is no number at all is not known, and not needed."""
    judged = site.settings.fail_safe.mismatch_after_s > 0.0 and action.part in ("", "p")
    absurd = action.fault == "out_of_range" and action.target == "inverter"  # of the meter its map drops it
    return "told and stopped" if judged and (absurd or action.fault == "scale10") else "goes on"


def inverter_answer(action: Action, site: Site) -> str:
    fault = action.fault
    if fault in SAID:
        return SAID[fault]
    if fault == "overwrite":
        return "overwritten"
    if fault == "charge_limit":
        return "limited" if action.value < site.settings.default_wish.charge_w else "goes on"
    if fault == "soc_glitch":
        return "full" if action.value / 100.0 >= site.settings.limits.soc_max_pu else "goes on"
    if fault in VALUES:
        return unlike(action, site)
    if fault in STEADY or in_time(action, site.inverter.timeout_ms):
        return "goes on"
    if action.part == "writes":
        return "own timer" if fault in ("silent", "exception") else "goes on"
    return "inverter gone"


# ---- the drill ----


def drill(demo: Demo, actions: tuple[Action, ...], answers: Mapping[str, Answer] = ANSWERS) -> Iterator[Result]:
    """One result a case, in order. demo: started, and settled. answers: those that can be seen there."""
    for action in actions:
        yield one(demo, action, answers)


def one(demo: Demo, action: Action, answers: Mapping[str, Answer]) -> Result:
    site, key = demo.site, answer_of(action, demo.site)
    if key not in answers:
        return Result(action.text, ANSWERS[key].owed, 0.0, None, None, "cannot be seen in shadow", played=False)
    answer, limits = answers[key], Limits.of(site)
    limit_s = answer.limit_s(limits)
    if action.fault == "freeze" and action.target == "meter":
        limit_s += site.settings.fail_safe.frozen_after_s
    if action.target == "clock" and demo.clock is None:
        return Result(action.text, answer.owed, limit_s, None, None, "needs a C compiler (cc)", played=False)
    if action.fault == "overwrite":
        wait_for_write(demo, site.inverter.reversion_s)
    case = Case(demo)
    try:
        demo.injector.begin(action)
    except ProxyError as error:
        return Result(action.text, answer.owed, limit_s, None, None, str(error), played=False)
    while (safe_s := answer.safe_s(case)) is None and case.elapsed_s < limit_s + 1.0 + limits.held_s:
        case.look()
    demo.injector.mend()
    if answer.latches:
        demo.kill("controller")
        demo.restart("controller")
    why = complaint(case, answer, safe_s, limit_s)
    recovery_s = recovery(demo)
    if recovery_s is None:
        why = why or f"not calm again within {RECOVERY_S:g} s"
    return Result(action.text, answer.owed, limit_s, safe_s, recovery_s, why)


def wait_for_write(demo: Demo, limit_s: float) -> None:
    """Until we have just written: another master's set-point then stands until our next refresh, and can be seen."""
    writes, begin_s = demo.bar.get("writes"), time.monotonic()
    while demo.bar.get("writes") == writes and time.monotonic() < begin_s + limit_s:
        demo.rest(LOOK_S)


def complaint(case: Case, answer: Answer, safe_s: float | None, limit_s: float) -> str:
    """What is wrong with what was seen; nothing when all is well."""
    if safe_s is None:
        return "never"
    if limit_s and safe_s > limit_s:
        return "too late"
    if answer.still and bits(STALE)(case.steps).any():
        return "a signal went stale"
    return ""


def recovery(demo: Demo) -> float | None:
    """Seconds until the unit is in service and at its wish again; None: not in time."""
    begin_s = time.monotonic()
    while time.monotonic() < begin_s + RECOVERY_S:
        demo.rest(LOOK_S)
        demo.read()
        if is_calm(demo, begin_s):
            return time.monotonic() - begin_s
    return None


def is_calm(demo: Demo, since_s: float) -> bool:
    newest = demo.history[-1]
    young = newest["t_ns"] > since_s * 1e9
    p_w, _ = demo.unit_w()  # not known on a rig in shadow
    follows = not abs(p_w - newest["p_cmd_w"]) >= SMALL_PU * demo.site.settings.rating.p_rated_w
    return bool(young and follows and newest["state"] == State.IN_SERVICE and not int(newest["reasons"]) & ~ORDINARY)
