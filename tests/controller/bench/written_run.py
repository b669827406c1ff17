"""A small run as a bench would leave it: plan, records, judgements, by hand from the procedures' golden numbers.

EUT      single phase, 240 V, 10 kVA, charges and discharges, Category B/III.
Cases    volt-var (pass, one warning), the same with a unit of the wrong sign (fail), droop (pass), trip (fail: too
         late), volt-watt (invalid), ride-through (skipped).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from controller.bench.judgement import CaseJudgement, Check, Verdict, Window
from controller.bench.plan import Case, Criterion, Crosses, Curve, Eut, Plan, Response, Steady, Step
from controller.bench.record import SAMPLE, CaseRecord, Event, EventKind
from drivers.gridsource.point import GridPoint

EUT = Eut("golden unit <1>", 1, 240.0, 60.0, 10_000.0, 10_000.0, 10_000.0, 4_400.0, 4_400.0, "B", "III")
VOLT_VAR = Curve("v_v", ((220.8, 4400.0), (235.2, 0.0), (244.8, 0.0), (259.2, -4400.0)))
DROOP = Curve("f_hz", ((60.036, 10_000.0), (63.036, 0.0)))
T_R_S, HOLD_S = 5.0, 20.0
# fmt: off
VOLTS = [  # step, V, var: golden numbers of the procedure; Qmin and Qmax with the standard's accuracies
    ("g", 241.2,     0.0,  -750.0,   750.0),
    ("h", 248.4, -1100.0, -2950.0,   750.0),
    ("i", 252.0, -2200.0, -4050.0,  -350.0),
    ("l", 260.4, -4400.0, -5150.0, -2917.0),
    ("r", 240.0,     0.0,  -750.0,   750.0),
    ("u", 228.0,  2200.0,   350.0,  4050.0),
    ("w", 217.2,  4400.0,  3650.0,  5150.0),
]
HERTZ = [("i", 60.051, 9950.0, 9150.0, 10_750.0), ("j", 60.186, 9500.0, 8700.0, 10_300.0),
         ("k", 61.2, 6120.0, 5320.0, 6920.0)]
# fmt: on


def point(v_v: float = 240.0, f_hz: float = 60.0) -> GridPoint:
    return GridPoint(v_v, v_v, v_v, f_hz)


def step(name: str, at: GridPoint, *criteria: Criterion) -> Step:
    what = f"{at.v1_v:g} V, {at.f_hz:g} Hz"
    return Step(name, what, at, HOLD_S, 0.05, criteria=criteria)


def case(name: str, procedure: str, clause: str, steps: list[Step]) -> Case:
    title = f"{procedure.replace('_', '-').capitalize()}, {name}"
    return Case(
        f"{procedure}-{name}", procedure, title, clause, {"volt_var.v1_pu": 0.92}, step("start", point()), tuple(steps)
    )


def volt_var_case(name: str = "char_1-100") -> Case:
    both = (Steady("q_var", (VOLT_VAR,), "both", 2 * T_R_S, HOLD_S), Response("q_var", T_R_S, "both", 10.0, HOLD_S))
    return case(name, "volt_var", "5.14.4", [step(n, point(v), *both) for n, v, *_ in VOLTS])


def record(of: Case, answers: list[tuple[float, float]], lag_s: float = T_R_S / 2.3, seed: int = 1) -> CaseRecord:
    """A unit that goes to (P, Q) of each step with a lag; a meter of 50 ms with noise."""
    noise, t_ns, p_w, q_var = np.random.default_rng(seed), 10**12, 10_000.0, 0.0
    rows, events = [], [Event(t_ns, "case", {"id": of.id, "source": "written source, serial 7"})]

    def note(kind: EventKind, name: str) -> None:
        events.append(Event(t_ns, kind, {"name": name}))

    for s, (to_w, to_var) in zip(of.steps, answers, strict=True):
        note("step", s.name)
        t_ns += 30_000_000
        note("arrived", s.name)
        t_s = np.arange(s.sample_s, s.hold_s, s.sample_s)
        part = np.zeros(len(t_s), SAMPLE)
        part["t_ns"] = t_ns + np.round(t_s * 1e9)
        gone = np.exp(-t_s / lag_s)
        part["v1_v"] = s.point.v1_v + noise.normal(0.0, 0.02, len(t_s))
        part["f_hz"] = s.point.f_hz + noise.normal(0.0, 0.0005, len(t_s))
        part["p_w"] = to_w + (p_w - to_w) * gone + noise.normal(0.0, 8.0, len(t_s))
        part["q_var"] = to_var + (q_var - to_var) * gone + noise.normal(0.0, 8.0, len(t_s))
        part["i_a"] = np.hypot(part["p_w"], part["q_var"]) / part["v1_v"]
        part["set_v1_v"], part["set_f_hz"] = s.point.v1_v, s.point.f_hz
        for absent in ("v2_v", "v3_v", "set_v2_v", "set_v3_v"):
            part[absent] = np.nan
        rows.append(part)
        t_ns, p_w, q_var = t_ns + round(s.hold_s * 1e9), float(part["p_w"][-1]), float(part["q_var"][-1])
        note("end", s.name)
    events.append(Event(t_ns, "done", {}))
    return CaseRecord(np.concatenate(rows), tuple(events))


def steady(
    name: str, y: str, x: tuple[float, str], measured: float, target: float, allowed: Window, own: Window
) -> Check:
    unit = "W" if y == "p_w" else "var"
    verdict = Verdict.PASS if allowed.passed else Verdict.FAIL
    reason = f"{measured:.0f} {unit}, allowed {allowed.low:.0f} … {allowed.high:.0f} {unit}"
    return Check(name, "steady", y, verdict, reason, *x, measured, unit, target, None, allowed, own)


def window(low: float, high: float, value: float) -> Window:
    return Window(low, high, low <= value <= high)


def volt_var_checks(sign: float) -> list[Check]:
    """sign -1: absorbs where it should inject. Step u: 300 var off, a matter of the engineering accuracy alone."""
    checks, before_var = [], 0.0
    for name, v, target, low, high in VOLTS:
        value = sign * target + (300.0 if name == "u" else 0.0)
        own = window(target - 250.0, target + 250.0, value)
        checks.append(steady(name, "q_var", (v, "V"), value, target, window(low, high, value), own))
        at_t_r = before_var + 0.9 * (value - before_var)
        allowed, own = window(at_t_r - 800.0, at_t_r + 800.0, at_t_r), window(at_t_r - 200.0, at_t_r + 200.0, at_t_r)
        reason = f"{at_t_r:.0f} var at 5 s"
        checks.append(
            Check(name, "response", "q_var", Verdict.PASS, reason, None, "", at_t_r, "var", at_t_r, T_R_S, allowed, own)
        )
        before_var = value
    return checks


def droop_checks() -> list[Check]:
    return [
        steady(
            n, "p_w", (f, "Hz"), target, target, window(low, high, target), window(target - 120, target + 120, target)
        )
        for n, f, target, low, high in HERTZ
    ]


def run() -> tuple[Plan, dict[str, CaseRecord], list[CaseJudgement]]:
    """The whole of it."""
    good, bad = volt_var_case(), volt_var_case("char_1-wrong_sign")
    falling = Steady("p_w", (DROOP,), "both", 10.0, HOLD_S)
    droop = case("char_1-100", "freq_droop_above", "5.15.2", [step(n, point(f_hz=f), falling) for n, f, *_ in HERTZ])
    ceases = Crosses("p_w", 750.0, falling=True, not_before_s=0.0, not_after_s=0.16)
    trip = case("ov2", "voltage_trip", "5.4.2", [step("hold", point(280.0)), step("trip", point(292.8), ceases)])
    late = Check("trip", "crosses", "p_w", Verdict.FAIL, "below 750 W after 2.31 s, allowed 0 … 0.16 s", None, "", 2.31,
                 "s", None, 2.31, Window(0.0, 0.16, passed=False))  # fmt: skip
    frozen = case("char_1-100", "volt_watt", "5.14.9", [step("g", point(214.8))])
    not_run = replace(case("lvrt", "ride_through", "5.4.4", []), skipped="the rig cannot jump in phase angle")
    answers = [(10_000.0, q + (300.0 if n == "u" else 0.0)) for n, _, q, *_ in VOLTS]
    records = {
        good.id: record(good, answers),
        bad.id: record(bad, [(p, -q) for p, q in answers]),
        droop.id: record(droop, [(p, 0.0) for _, _, p, *_ in HERTZ], seed=2),
        trip.id: record(trip, [(10_000.0, 0.0), (0.0, 0.0)], lag_s=0.9, seed=3),
        frozen.id: record(frozen, [(10_000.0, 0.0)], seed=4),
    }
    judgements = [
        CaseJudgement(good.id, Verdict.PASS, (), tuple(volt_var_checks(1.0))),
        CaseJudgement(bad.id, Verdict.FAIL, (), tuple(volt_var_checks(-1.0))),
        CaseJudgement(droop.id, Verdict.PASS, (), tuple(droop_checks())),
        CaseJudgement(trip.id, Verdict.FAIL, (), (late,)),
        CaseJudgement(frozen.id, Verdict.INVALID, ("the meter is frozen: 40 equal values & more",), ()),
        CaseJudgement(not_run.id, Verdict.SKIPPED, (not_run.skipped,), ()),
    ]
    return Plan(EUT, (good, bad, droop, trip, frozen, not_run), 1), records, judgements
