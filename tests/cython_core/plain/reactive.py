"""Stage 5: the one reactive mode that acts (5.3.1), and the way from one to the next (4.6.3)."""

from __future__ import annotations

from math import sqrt
from typing import Any

from tests.cython_core.plain.numbers import LN_10, Lag, approach, clip, curve
from tests.cython_core.plain.words import CONST_VAR, POWER_FACTOR, VOLT_VAR, WATT_VAR

MODES = ("off", "constant_pf", "volt_var", "watt_var", "constant_q")
REASON_OF = {"off": 0, "constant_pf": POWER_FACTOR, "volt_var": VOLT_VAR, "watt_var": WATT_VAR, "constant_q": CONST_VAR}


class PowerFactor:
    """5.3.2: Q = P sqrt(1 / PF^2 - 1); "inject" while discharging, so P and Q stay on one line through zero."""

    def configure(self, settings: Any, period_s: float) -> None:
        cfg = settings.power_factor
        q_per_p = sqrt(1.0 / (cfg.pf * cfg.pf) - 1.0)
        self.q_per_p = q_per_p if cfg.excitation == "inject" else -q_per_p
        self.lag = Lag(period_s, cfg.response_s)

    def answer(self, p_pu: float) -> float:
        return float(p_pu * self.q_per_p)


class VoltVar:
    """5.3.3, Table 8: points for V_Ref = 1, moved sideways by V_Ref - 1. V_Ref may follow the voltage (63.2 %)."""

    def __init__(self) -> None:
        self.following = False
        self.v_ref_pu = 0.0

    def configure(self, settings: Any, period_s: float) -> None:
        self.cfg = cfg = settings.volt_var
        self.points = [(getattr(cfg, f"v{i}_pu"), getattr(cfg, f"q{i}_pu")) for i in (1, 2, 3, 4)]
        self.lag = Lag(period_s, cfg.olrt_s)
        self.v_ref_lag = Lag(period_s, cfg.v_ref_time_s * LN_10)

    def answer(self, v_pu: float, k: int) -> float:
        cfg = self.cfg
        if not cfg.v_ref_auto or not self.following:
            self.v_ref_pu, self.following = cfg.v_ref_pu, cfg.v_ref_auto
        if cfg.v_ref_auto:
            self.v_ref_pu = clip(self.v_ref_lag.step(self.v_ref_pu, v_pu, k), cfg.v_ref_min_pu, cfg.v_ref_max_pu)
        return curve(self.points, v_pu - (self.v_ref_pu - 1.0))


class WattVar:
    """5.3.4, Table 9: six points from P'3 to P3; those of the charge side are of the charge rating."""

    def configure(self, settings: Any, period_s: float) -> None:
        cfg, rating = settings.watt_var, settings.rating
        charge = rating.p_charge_rated_w / rating.p_rated_w
        load = [(getattr(cfg, f"p{i}_load_pu") * charge, getattr(cfg, f"q{i}_load_pu")) for i in (3, 2, 1)]
        self.points = load + [(getattr(cfg, f"p{i}_pu"), getattr(cfg, f"q{i}_pu")) for i in (1, 2, 3)]
        self.lag = Lag(period_s, cfg.response_s)

    def answer(self, p_pu: float) -> float:
        return curve(self.points, p_pu)


class ConstVar:
    """5.3.5: Q = Q_set, whatever the sign of P."""

    def configure(self, settings: Any, period_s: float) -> None:
        self.q_pu = settings.const_var.q_pu
        self.lag = Lag(period_s, settings.const_var.response_s)


class Reactive:
    """A new mode starts at its own answer; what the old one had more goes in a straight line over transition_s."""

    def __init__(self) -> None:
        self.power_factor, self.volt_var, self.watt_var, self.const_var = (
            PowerFactor(),
            VoltVar(),
            WattVar(),
            ConstVar(),
        )
        self.acted = ""  # the mode that acted last; none yet
        self.target_pu = self.lag_pu = self.offset_pu = self.left = 0.0

    def configure(self, settings: Any, period_s: float) -> None:
        cfg = settings.reactive
        self.mode = cfg.mode if cfg.owner == "controller" else "off"
        self.number, self.reason = MODES.index(self.mode), REASON_OF[self.mode]
        self.transition_s = cfg.transition_s
        self.ramp_pu_s = settings.limits.ramp_pu_s
        for function in (self.power_factor, self.volt_var, self.watt_var, self.const_var):
            function.configure(settings, period_s)

    @property
    def q_pu(self) -> float:
        return self.lag_pu + self.offset_pu * self.left

    def answer(self, v_pu: float, p_asked_pu: float, p_pu: float, k: int) -> tuple[float, Lag]:
        """The mode's answer and its lag: 90 % within the response time."""
        if self.mode == "volt_var":
            return self.volt_var.answer(v_pu, k), self.volt_var.lag
        self.volt_var.following = False
        if self.mode == "watt_var":
            return self.watt_var.answer(p_pu), self.watt_var.lag
        if self.mode == "constant_q":
            return self.const_var.q_pu, self.const_var.lag
        answer = self.power_factor.answer(p_asked_pu) if self.mode == "constant_pf" else 0.0
        return answer, self.power_factor.lag

    def step(self, v_pu: float, p_asked_pu: float, p_pu: float, dt_s: float, k: int) -> None:
        before_pu = self.q_pu
        self.target_pu, lag = self.answer(v_pu, p_asked_pu, p_pu, k)
        if self.acted not in ("", self.mode):
            self.lag_pu, self.offset_pu, self.left = self.target_pu, before_pu - self.target_pu, 1.0
        else:
            self.lag_pu = lag.step(self.lag_pu, self.target_pu, k)
            self.left = approach(self.left, 0.0, dt_s / self.transition_s)
        self.acted = self.mode

    def release(self, dt_s: float) -> None:
        """No voltage, or stopping: Q to 0 by the ramp."""
        self.start(approach(self.q_pu, 0.0, self.ramp_pu_s * dt_s))

    def start(self, q_pu: float) -> None:
        self.target_pu, self.lag_pu, self.left, self.acted = 0.0, q_pu, 0.0, ""
