"""Units with one fault each, made in the plain-Python reference: every one must fail, and at the step that shows it.

A Mutant's spoil() changes one object of the reference after its settings are in force, and again after each change.
Where it fails was found with a pencil: `why` says so. 1.5 times the accuracies of the standard are 3.6 V,
0.015 Hz and 750 W or var for the golden unit of 10 kW at 240 V.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.cython_core.plain.numbers import Lag
from tests.cython_core.reference import Reference

Spoil = Callable[[Any], None]


@dataclass(frozen=True, slots=True)
class Mutant:
    """case: fnmatch pattern of the cases it is run on; step and kind: the first check that must fail there."""

    name: str
    spoil: Spoil
    case: str
    step: str
    kind: str
    why: str


class Spoiled(Reference):
    """The reference with one fault."""

    def __init__(self, settings: Any, period_s: float, in_service: bool, spoil: Spoil) -> None:
        self.spoil = spoil
        super().__init__(settings, period_s, in_service)

    def change(self, settings: Any) -> None:
        super().change(settings)
        self.spoil(self)


def instead(owner: Any, name: str, wrap: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    """owner.name is what wrap makes of the class's own method: spoiling twice spoils once."""
    setattr(owner, name, wrap(getattr(type(owner), name).__get__(owner)))


def slower(unit: Any, function: Any, t90_s: float, times: float) -> None:
    function.lag = Lag(unit.period_s, t90_s * times)


# --- reactive power ---


def q_gain(unit: Any, factor: float) -> None:
    points = unit.reactive.volt_var.points
    unit.reactive.volt_var.points = [(v, q * factor) for v, q in points]


def q_sign_while_charging(unit: Any) -> None:
    turned = [-1.0, 1.0]

    def wrap(ours: Callable[..., Any]) -> Callable[..., Any]:
        return lambda v_pu, k: ours(v_pu, k) * turned[unit.p_base_w >= 0.0]

    instead(unit.reactive.volt_var, "answer", wrap)


def no_dead_band(unit: Any) -> None:
    """Straight from point 1 to point 4."""
    first, _, _, last = unit.reactive.volt_var.points
    unit.reactive.volt_var.points = [first, last]


def no_saturation(unit: Any) -> None:
    """The outer lines go on."""
    (v1, q1), (v2, q2), (v3, q3), (v4, q4) = unit.reactive.volt_var.points
    left = (v1 - 0.1, q1 + 0.1 * (q1 - q2) / (v2 - v1))
    unit.reactive.volt_var.points = [left, (v2, q2), (v3, q3), (v4 + 0.1, q4 + 0.1 * (q4 - q3) / (v4 - v3))]


def v_ref_moves(unit: Any, times: float) -> None:
    """0: V_Ref is not applied, 2: twice."""
    volt_var = unit.reactive.volt_var
    more = (times - 1.0) * (volt_var.cfg.v_ref_pu - 1.0)
    instead(volt_var, "answer", lambda ours: lambda v_pu, k: ours(v_pu - more, k))


def v_ref_stays(unit: Any) -> None:
    """V_Ref does not follow the voltage."""
    unit.reactive.volt_var.v_ref_lag = Lag(unit.period_s, 1e9)


def hysteresis(unit: Any) -> None:
    """Volt-var follows the voltage only when it has moved by 4 % of nominal."""
    volt_var = unit.reactive.volt_var
    held = [1.0]

    def wrap(ours: Callable[..., Any]) -> Callable[..., Any]:
        def answer(v_pu: float, k: int) -> Any:
            if abs(v_pu - held[0]) > 0.04:
                held[0] = v_pu
            return ours(held[0], k)

        return answer

    instead(volt_var, "answer", wrap)


def const_var_gain(unit: Any, factor: float) -> None:
    unit.reactive.const_var.q_pu *= factor


def power_factor_sign(unit: Any) -> None:
    unit.reactive.power_factor.q_per_p *= -1.0


def power_factor_keeps_q(unit: Any) -> None:
    """Q of rated power, whatever flows."""
    instead(unit.reactive.power_factor, "answer", lambda ours: lambda _: ours(1.0))


def watt_var_of_charge_only_discharging(unit: Any) -> None:
    """The charge side mirrors the other one instead of having points of its own."""
    instead(unit.reactive.watt_var, "answer", lambda ours: lambda p_pu: ours(abs(p_pu)))


# --- active power by voltage, by order ---


def volt_watt_of_the_demand(unit: Any) -> None:
    """The whole curve is scaled with the demand (a trap of public test libraries)."""
    volt_watt = unit.volt_watt

    def wrap(ours: Callable[..., Any]) -> Callable[..., Any]:
        return lambda v_pu: 1.0 if v_pu <= volt_watt.cfg.v1_pu else 0.5 * ours(v_pu)

    instead(volt_watt, "limit", wrap)


def volt_watt_late(unit: Any) -> None:
    """It begins at the middle between V1 and V2."""
    volt_watt = unit.volt_watt
    half_pu = 0.5 * (volt_watt.cfg.v2_pu - volt_watt.cfg.v1_pu)
    instead(volt_watt, "limit", lambda ours: lambda v_pu: ours(v_pu - half_pu))


def volt_watt_never_charges(unit: Any) -> None:
    instead(unit.volt_watt, "limit", lambda ours: lambda v_pu: max(ours(v_pu), 0.0))


def limit_slow(unit: Any) -> None:
    unit.active_limit.rate_pu_s = 1.0 / 60.0


def limit_ignored(unit: Any) -> None:
    instead(unit.active_limit, "step", lambda _: lambda *_: 1.0)


def limit_caps_droop(unit: Any) -> None:
    """The active power limit binds droop too."""

    def wrap(ours: Callable[..., Any]) -> Callable[..., Any]:
        def stage(p_now_w: float, hard: Any) -> float:
            hard.narrow(hard.lo, unit.p_most_w)
            return float(ours(p_now_w, hard))

        return stage

    instead(unit, "stage_frequency", wrap)


def droop_ignores_volt_watt(unit: Any) -> None:
    def wrap(ours: Callable[..., Any]) -> Callable[..., Any]:
        def stage(p_now_w: float, hard: Any) -> float:
            hard.hi = max(hard.hi, unit.rating.p_rated_w)
            return float(ours(p_now_w, hard))

        return stage

    instead(unit, "stage_frequency", wrap)


# --- active power by frequency ---


def droop(unit: Any, change: Callable[[float, float], float]) -> None:
    """change(answer_pu, f_hz) in the place of the formula's answer, on the same side."""
    ours = unit.droop

    def wrap(formula: Callable[..., Any]) -> Callable[..., Any]:
        def spoiled(f_hz: float) -> tuple[int, float]:
            side, answer_pu = formula(f_hz)
            return side, change(answer_pu, f_hz) if side else answer_pu

        return spoiled

    instead(ours, "formula", wrap)


def droop_slope_of_p_pre(unit: Any) -> None:
    droop(unit, lambda answer_pu, _: answer_pu * abs(unit.droop.p_pre_pu))


def droop_dead_band_counts(unit: Any) -> None:
    """The slope begins at nominal, with a jump where the dead band ends."""
    cfg, nominal = unit.droop.cfg, unit.droop.f_nom_hz
    droop(unit, lambda _, f_hz: (nominal - f_hz) / (nominal * (cfg.k_of if f_hz > nominal else cfg.k_uf)))


def droop_sign_while_charging(unit: Any) -> None:
    droop(unit, lambda answer_pu, _: -answer_pu if unit.p_base_w < 0.0 else answer_pu)


def droop_frozen(unit: Any) -> None:
    """P stays what it was."""
    droop(unit, lambda *_: 0.0)


def droop_never_crosses_zero(unit: Any) -> None:
    def wrap(ours: Callable[..., Any]) -> Callable[..., Any]:
        def stage(p_now_w: float, hard: Any) -> float:
            p_w = float(ours(p_now_w, hard))
            return max(p_w, 0.0) if unit.p_base_w >= 0.0 else min(p_w, 0.0)

        return stage

    instead(unit, "stage_frequency", wrap)


def droop_follows_the_wish(unit: Any) -> None:
    """P_pre is not kept: it is the demand at every moment."""

    def wrap(ours: Callable[..., Any]) -> Callable[..., Any]:
        def stage(p_now_w: float, hard: Any) -> float:
            unit.droop.p_pre_pu = unit.arbiter.p_w / unit.rating.p_rated_w
            return float(ours(p_now_w, hard))

        return stage

    instead(unit, "stage_frequency", wrap)


def one_sided(unit: Any, side: int) -> None:
    """Droop answers on the other side only."""

    def wrap(formula: Callable[..., Any]) -> Callable[..., Any]:
        return lambda f_hz: (0, 0.0) if formula(f_hz)[0] == side else formula(f_hz)

    instead(unit.droop, "formula", wrap)


# --- operating state ---


def trip_time(unit: Any, times: float) -> None:
    unit.trip.elements = [(*e[:-1], round(e[-1] * times)) for e in unit.trip.elements]


def trip_level(unit: Any, of: str, over: bool, more: float) -> None:
    unit.trip.elements = [
        (ours, what, up, level + more if what == of and up is over else level, t_ns)
        for ours, what, up, level, t_ns in unit.trip.elements
    ]


def trips_in_ride_through(unit: Any) -> None:
    """It leaves at the first voltage below half nominal, as if the trip time were 0.16 s."""
    unit.trip.elements = [(True, "v", False, 0.5, 160_000_000), *unit.trip.elements[:3], *unit.trip.elements[4:]]


def no_cessation(unit: Any) -> None:
    unit.ride_through.ours = False


def restores_slowly(unit: Any) -> None:
    unit.ride_through.restore_s = 5.0


def enters_early(unit: Any) -> None:
    unit.enter_service.delay_ns = round(unit.enter_service.delay_ns * 0.9)


def delay_goes_on(unit: Any) -> None:
    """An excursion does not start the delay anew."""

    def wrap(ours: Callable[..., Any]) -> Callable[..., Any]:
        def left_ns(signals: Any, known: bool, t_ns: int) -> int:
            begun_ns = unit.enter_service.t_good_ns
            left = int(ours(signals, known, t_ns))
            if begun_ns and not unit.enter_service.t_good_ns:
                unit.enter_service.t_good_ns = begun_ns
            return left

        return left_ns

    instead(unit.enter_service, "left_ns", wrap)


def enters_in_steps(unit: Any) -> None:
    """The ramp comes in steps of 30 % of rated power."""

    def wrap(ours: Callable[..., Any]) -> Callable[..., Any]:
        def ramp_pu(t_ns: int) -> float:
            share = float(ours(t_ns))
            return share if share > 1.0 else int(share / 0.3) * 0.3

        return ramp_pu

    instead(unit.enter_service, "ramp_pu", wrap)


def ramp_half(unit: Any) -> None:
    unit.enter_service.ramp_ns //= 2


def permit_slow(unit: Any) -> None:
    """Permit service off is taken for a stop by the ramp, not for one within 2 s."""
    since: list[int] = []

    def wrap(ours: Callable[..., Any]) -> Callable[..., Any]:
        def permitted() -> bool:
            if ours():
                since.clear()
                return True
            since[:] = since or [unit.t_ns]
            return bool(unit.t_ns - since[0] < 4_000_000_000)

        return permitted

    instead(unit, "permitted", wrap)


def window_wider(unit: Any) -> None:
    """Enter service takes 1 % more voltage and 0.2 Hz more for good."""
    cfg = unit.enter_service.cfg
    cfg.v_low_pu, cfg.f_low_hz = cfg.v_low_pu - 0.03, cfg.f_low_hz - 0.2
    cfg.v_high_pu, cfg.f_high_hz = cfg.v_high_pu + 0.04, cfg.f_high_hz + 0.2


# --- everywhere ---


def frozen_p(unit: Any) -> None:
    """The command never changes after 50 s."""
    held: list[float] = []

    def wrap(ours: Callable[..., Any]) -> Callable[..., Any]:
        def stage(p_w: float, hard: Any) -> None:
            ours(p_w, hard)
            if unit.t_ns >= 50_000_000_000:
                held[:] = held or [unit.p_cmd_w]
                unit.p_cmd_w = held[0]

        return stage

    instead(unit, "stage_limits", wrap)


def leaves_at_once(unit: Any, of: str, over: bool, level: float) -> None:
    """One more element that trips without delay, and a unit that then waits as after any trip."""
    unit.trip.elements = [*unit.trip.elements[:7], (True, of, over, level, 0)]
    unit.enter_service.ours = True


def leaves_on_rocof(unit: Any, most_hz_s: float) -> None:
    """A protection of the rate of change of frequency that the standard does not know."""

    def wrap(ours: Callable[..., Any]) -> Callable[..., Any]:
        def step(signals: Any, *rest: Any) -> bool:
            fast = abs(signals.rocof_hz_s) > most_hz_s
            return bool(ours(signals, *rest)) or fast

        return step

    unit.enter_service.ours = True
    instead(unit.trip, "step", wrap)


T_R_S = 0.5  # volt-watt, curve 3
PF_RESPONSE_S = 5.0

# fmt: off
MUTANTS = (
    # name, spoil, case, step, kind, why
    Mutant("volt-var at half gain", lambda u: q_gain(u, 0.5), "volt_var-char_1-discharge-100", "k", "steady",
           "-2200 var where -4400 is the target and -2917 the least"),
    Mutant("volt-var the wrong way round", lambda u: q_gain(u, -1.0), "volt_var-char_1-discharge-100", "h", "steady",
           "+1100 var where +750 is the most"),
    Mutant("volt-var the wrong way round, charging", q_sign_while_charging,
           "volt_var-char_1-charge-66", "h", "steady", "the same, and only while charging"),
    Mutant("volt-var without its dead band", no_dead_band, "volt_var-char_2-discharge-100", "g", "steady",
           "one line from 0.88 to 1.10: -2600 var at 1.055, inside the plateau of +2200"),
    Mutant("V_Ref not applied", lambda u: v_ref_moves(u, 0.0), "volt_var-char_2-discharge-100", "g", "steady",
           "0.05 too far to the left: -4400 var where +2200 is the target"),
    Mutant("V_Ref applied twice", lambda u: v_ref_moves(u, 2.0), "volt_var-char_3-discharge-100", "w", "steady",
           "0.05 too far: still the plateau of -2200 var at 0.895, where at least +1450 is due"),
    Mutant("V_Ref does not follow", v_ref_stays, "volt_var_vref-300", "high", "inside",
           "-2200 var for ever, where 440 is the most after T_ref"),
    Mutant("volt-var with hysteresis", hysteresis, "volt_var-char_1-discharge-100", "k", "steady",
           "still the answer to 1.05: -2200 var where -2917 is the least"),
    Mutant("constant Q at 70 %", lambda u: const_var_gain(u, 0.7), "constant_q-max_inject-discharge", "full", "steady",
           "3080 var where 3650 is the least"),
    Mutant("constant PF absorbs instead of injecting", power_factor_sign, "constant_pf-max_inject", "full", "steady",
           "-4359 var instead of +4359"),
    Mutant("constant PF keeps the Q of rated power", power_factor_keeps_q, "constant_pf-max_inject", "low", "steady",
           "4359 var at 2 kW, where 969 is the target"),
    Mutant("constant PF six times too slow", lambda u: slower(u, u.reactive.power_factor, PF_RESPONSE_S, 6.0),
           "constant_pf-max_inject", "low", "response",
           "46 % of the change of 3391 var are missing after 10 s; 10 % and 750 var may"),
    Mutant("watt-var charges as it discharges", watt_var_of_charge_only_discharging, "watt_var-char_1-charge",
           "p2_p3-1", "steady", "-2200 var half way between P'2 and P'3, where +2200 is the target"),
    Mutant("volt-watt begins too late", volt_watt_late, "volt_watt-char_1-discharge-100", "j", "steady",
           "10 kW at 259.2 V, where 9500 W is the most"),
    Mutant("volt-watt with T_r x 1.6", lambda u: slower(u, u.volt_watt, T_R_S, 1.6),
           "volt_watt-char_3-discharge-100", "i", "response",
           "76 % of the 20 kW to full charging after T_r: -5 kW, where -8 kW + 750 W + 518 W for the time is the most"),
    Mutant("active power limit too slow", limit_slow, "limit_active_power-33", "c", "inside",
           "half of rated after 30 s, where a third and 750 W is the most"),
    Mutant("active power limit not heard", limit_ignored, "limit_active_power-66", "c", "inside", "still 10 kW"),
    Mutant("active power limit caps droop", limit_caps_droop, "limit_active_power-33", "d", "steady",
           "3300 W, where 3300 + 3213 is the target"),
    Mutant("frozen P", frozen_p, "limit_active_power-66", "c", "inside", "still 10 kW"),
    Mutant("droop ignores volt-watt", droop_ignores_volt_watt, "volt_watt_above_droop", "low_f", "steady",
           "6 kW at V2, where 4500 W is the most"),
    Mutant("P_pre follows the demand", droop_follows_the_wish, "prioritisation-p2_0-volt_var", "6", "steady",
           "from 10 kW instead of the 2.5 kW of step 5: 10 kW, where 4.5 is the target"),
    Mutant("droop slope of P_pre", droop_slope_of_p_pre, "freq_droop_above-char_1-66", "k", "steady",
           "6600 - 0.66 x 3880 = 4039 W, where 2720 + 800 is the most"),
    Mutant("droop has the wrong sign in charging", droop_sign_while_charging, "freq_droop_below-char_1-charge_50",
           "i", "steady", "-5500 W, where -4500 - 800 is the least"),
    Mutant("droop frozen", droop_frozen, "freq_droop_above-char_1-100", "k", "steady", "10 kW, where 6120 is due"),
    Mutant("droop never crosses zero", droop_never_crosses_zero, "freq_droop_above-char_1-20", "k", "steady",
           "0 W, where 2000 - 3880 is the target"),
    Mutant("droop answers to low frequency only", lambda u: one_sided(u, 1), "freq_droop_above-char_2-100", "k",
           "steady", "10 kW at 60.077 Hz is still allowed (10375), 10 kW at 61.2 is not"),
    Mutant("droop answers to high frequency only", lambda u: one_sided(u, -1), "freq_droop_below-char_1-discharge_50",
           "j", "steady", "5 kW, where 8880 is the target"),
    Mutant("trip 5 % late", lambda u: trip_time(u, 1.05), "voltage_trip-OV1-min-max-all", "beyond-1", "crosses",
           "13.65 s instead of 13"),
    Mutant("trip 5 % late, frequency", lambda u: trip_time(u, 1.05), "frequency_trip-OF1-min-min", "beyond-1",
           "crosses", "189 s instead of 180"),
    Mutant("over-voltage trip level 5 % too high", lambda u: trip_level(u, "v", True, 0.05),
           "voltage_trip-OV1-min-min-all", "beyond-1", "crosses", "2 MRA beyond 1.10 is below 1.15"),
    Mutant("over-voltage trip level 5 % too low", lambda u: trip_level(u, "v", True, -0.05),
           "voltage_trip-OV1-min-min-all", "inside-1", "inside", "2 MRA inside 1.10 is above 1.05"),
    Mutant("over-frequency trip level 0.7 Hz too high", lambda u: trip_level(u, "f", True, 0.7),
           "frequency_trip-OF1-min-min", "beyond-1", "crosses", "61.61 Hz is below 61.7"),
    Mutant("leaves at half voltage", lambda u: leaves_at_once(u, "v", False, 0.5), "lvrt_cat_iii-100", "D-1",
           "inside", "it should be back at 0.5 pu and above"),
    Mutant("no momentary cessation", no_cessation, "lvrt_cat_iii-100", "B-1", "inside", "goes on at 0.05 pu"),
    Mutant("no momentary cessation, high", no_cessation, "hvrt_cat_iii-100", "B-1", "inside", "goes on at 1.19 pu"),
    Mutant("restores in 5 s", restores_slowly, "lvrt_cat_iii-100", "D-1", "inside",
           "8 % after 0.4 s, where 80 % is due"),
    Mutant("leaves above 61.2 Hz", lambda u: leaves_at_once(u, "f", True, 61.2), "freq_ride_through-high-discharge",
           "away-1", "inside", "61.8 Hz has to be ridden through for 299 s"),
    Mutant("leaves on RoCoF", lambda u: leaves_on_rocof(u, 1.5), "rocof-discharge", "low-1", "inside",
           "3 Hz/s has to be ridden through"),
    Mutant("leaves on a phase jump", lambda u: leaves_at_once(u, "f", True, 61.5), "phase_jump-discharge", "A-2",
           "inside", "60 degrees in a window of 0.1 s look like 61.67 Hz: it is gone 0.5 s after B"),
    Mutant("enters service 10 % early", enters_early, "enter_service-1", "j", "inside", "270 s instead of 300"),
    Mutant("the delay goes on over an excursion", delay_goes_on, "enter_service-1", "j", "inside",
           "a quarter of the delay has already passed"),
    Mutant("enters in steps of 30 %", enters_in_steps, "enter_service-1", "j", "smooth", "20 % is the most"),
    Mutant("enters with half the ramp", ramp_half, "enter_service-1", "j", "crosses", "rated power after 450 s"),
    Mutant("permit service off is heard 4 s late", permit_slow, "enter_service-1", "k", "crosses", "2 s is the most"),
    Mutant("enters at 0.897 pu", window_wider, "enter_service-1", "h", "inside", "below ES_V_LOW of 0.917"),
)
# fmt: on
