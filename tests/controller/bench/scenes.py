"""Cases of the golden unit, written by hand: step names, points and curves of IEEE 1547.1 for 240 V, 60 Hz, 10 kVA."""

from __future__ import annotations

from controller.bench.plan import Case, Criterion, Crosses, Curve, Inside, Response, Smooth, Steady
from tests.controller.bench.records import Unit, at_once, case, on, step

VOLT_VAR = Curve("v_v", ((220.8, 4400.0), (235.2, 0.0), (244.8, 0.0), (259.2, -4400.0)))  # curve 1, Category B
VOLT_WATT = Curve("v_v", ((254.4, 10_000.0), (264.0, 0.0)))  # curve 1, P'2 = 0
T_R_S = 5.0
# fmt: off
VOLTS = {"g": 241.2, "h": 248.4, "i": 252.0, "j": 255.6, "l": 260.4, "n": 255.6, "o": 252.0, "p": 248.4, "q": 241.2,
         "r": 240.0, "s": 238.8, "t": 231.6, "u": 228.0, "v": 224.4, "w": 217.2, "x": 214.8, "y": 217.2, "z": 224.4,
         "aa": 228.0, "bb": 231.6, "cc": 238.8, "dd": 240.0}
ABOVE = {"h": 60.021, "i": 60.051, "j": 60.186, "k": 61.2, "l": 61.05, "m": 60.051, "n": 60.021, "o": 60.0}
BELOW = {"g": 59.979, "h": 59.949, "i": 59.814, "j": 58.8, "k": 58.95, "l": 59.949, "m": 59.979, "n": 60.0}
# fmt: on


def droop(pre_w: float, db_hz: float = 0.036, k: float = 0.05) -> Curve:
    """Straight lines through (f_N +- db, pre), one rated power each f_N x k; flat at -10 kW and 10 kW."""
    over_hz, under_hz = 60.0 + db_hz, 60.0 - db_hz
    per_w = 60.0 * k / 10_000.0
    return Curve("f_hz", ((under_hz - (10_000.0 - pre_w) * per_w, 10_000.0), (under_hz, pre_w), (over_hz, pre_w),
                          (over_hz + (pre_w + 10_000.0) * per_w, -10_000.0)))  # fmt: skip


def settled(y: str, curve: Curve, t_r_s: float = T_R_S) -> tuple[Criterion, ...]:
    """What volt-var, volt-watt and droop ask of every step."""
    window = (2.0 * t_r_s, 4.0 * t_r_s)
    return Steady(y, (curve,), "both", *window), Response(y, t_r_s, "both", *window)  # type: ignore[arg-type]  # a row's


def volt_var(points: dict[str, float] = VOLTS) -> Case:
    return case(*(step(n, *settled("q_var", VOLT_VAR), v_v=v) for n, v in points.items()))


def frequency(points: dict[str, float], curve: Curve) -> Case:
    return case(*(step(n, *settled("p_w", curve), f_hz=f, ramp_hz_s=3.0) for n, f in points.items()))


def p_of(curve: Curve) -> Unit:
    return Unit(lambda s: (on(curve, s.point.f_hz), 0.0))


def q_of(curve: Curve, share: float = 1.0, t_r_s: float = T_R_S) -> Unit:
    return Unit(lambda s: (10_000.0, share * on(curve, s.point.v1_v)), t_r_s)


def const_var() -> Case:
    """5.14.8: 90 % within 10 s, faster is fine. The largest change of all procedures: 8800 var."""
    sets = {"b": 4400.0, "c": -4400.0}
    return case(*(
        step(n, Response("q_var", 10.0, "upper", 20.0, 40.0), demand_w=q, hold_s=40.0, sample_s=0.1)
        for n, q in sets.items()
    ))  # fmt: skip


def trip() -> Case:
    """OV1 1.20 / 2 s: held below it, then above. Ceased: |P| below 1.5 MRA."""
    hold = step("hold", Inside("p_w", 9000.0, 11_000.0, 0.0, 3.0), v_v=283.2, hold_s=3.0, sample_s=0.02)
    ceases = Crosses("p_w", 750.0, True, 0.0, 2.0)
    return case(hold, step("trip", ceases, v_v=292.8, hold_s=3.0, sample_s=0.02))


def tripping(after_s: float, in_hold: bool = False) -> Unit:
    """Its power is gone so long after the step, or already after that of the hold."""
    gone = ("hold", "trip") if in_hold else ("trip",)
    return Unit(lambda s: (0.0 if s.name in gone else 10_000.0, 0.0), shape=at_once(after_s))


def enter_service() -> Case:
    """Delay 60 s, then a ramp of 50 s to 10 kW in steps of at most 20 %."""
    rules = (
        Crosses("p_w", 750.0, False, 60.0, 70.0),
        Crosses("p_w", 9000.0, False, 100.0, 120.0),
        Smooth("p_w", 2000.0),
    )
    return case(step("b", Inside("p_w", 0.0, 0.0, 0.0, 10.0, magnitude=True), hold_s=10.0, sample_s=0.1),
                step("j", *rules, hold_s=130.0, sample_s=0.1))  # fmt: skip


def ride_through() -> Case:
    """Mandatory operation at half the voltage: |I| not below 80 % of what it was before."""
    keeps = Inside("i_a", 0.8, float("inf"), 0.1, 5.0, magnitude=True, before="c", accuracy=False)
    return case(step("a", hold_s=5.0), step("c", keeps, v_v=120.0, hold_s=5.0))
