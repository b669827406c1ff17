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
    """The command never changes after the first step in service."""

    def wrap(ours: Callable[..., Any]) -> Callable[..., Any]:
        held: list[float] = []

        def stage(p_w: float, hard: Any) -> None:
            ours(p_w, hard)
            held[:] = held or [unit.p_cmd_w]
            unit.p_cmd_w = held[0]

        return stage

    instead(unit, "stage_limits", wrap)
