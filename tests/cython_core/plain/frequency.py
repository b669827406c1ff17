"""Stage 4: frequency-droop (6.5.2.7), fast frequency response (a product), inertial response (6.5.2.8)."""

from __future__ import annotations

from typing import Any

from tests.cython_core.plain.numbers import Lag, approach, clip, nanoseconds


class Droop:
    """An event is latched once two readings, `refresh_s` apart, stood outside the dead band on one side, or after
    T_response of waiting; the lag of an event that waits runs ahead, so that the wait is inside the response time.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.side = 0  # +1 over, -1 under, 0: no event
        self.waiting = self.readings = self.t_reading_ns = self.t_out_ns = 0
        self.p_pre_pu = self.target_pu = self.dp_pu = self.ahead_pu = 0.0

    def configure(self, settings: Any, period_s: float) -> None:
        self.cfg = settings.freq_droop
        self.f_nom_hz = settings.rating.f_nom_hz
        self.refresh_ns = nanoseconds(self.cfg.refresh_s)
        self.t_response_ns = nanoseconds(self.cfg.t_response_s)
        self.ramp_pu_s = settings.limits.ramp_pu_s
        self.lag = Lag(period_s, self.cfg.t_response_s)

    def formula(self, f_hz: float) -> tuple[int, float]:
        """Table 23: side of the dead band (its edges belong to it) and the change of power in pu of rated."""
        cfg = self.cfg
        over_hz, under_hz = self.f_nom_hz + cfg.db_of_hz, self.f_nom_hz - cfg.db_uf_hz
        ours = cfg.enable and cfg.owner == "controller"
        if ours and f_hz > over_hz:
            return 1, -((f_hz - over_hz) / (self.f_nom_hz * cfg.k_of))
        if ours and f_hz < under_hz:
            return -1, (under_hz - f_hz) / (self.f_nom_hz * cfg.k_uf)
        return 0, 0.0

    def step(self, f_hz: float, t_f_ns: int, t_ns: int, k: int, p_now_pu: float) -> None:
        side, answer_pu = self.formula(f_hz)
        if side == self.side:
            self.waiting, self.target_pu = 0, answer_pu
            self.dp_pu = self.lag.step(self.dp_pu, answer_pu, k)
            return
        self.side, self.target_pu = 0, 0.0
        if side != self.waiting:
            self.ahead_pu = self.dp_pu
        self.ahead_pu = self.lag.step(self.ahead_pu, answer_pu, k)
        self.dp_pu = self.lag.step(self.dp_pu, 0.0, k)
        if side == 0:
            self.waiting = 0
        elif self.qualified(side, t_f_ns, t_ns):
            self.side, self.waiting = side, 0
            self.p_pre_pu, self.target_pu, self.dp_pu = p_now_pu, answer_pu, self.ahead_pu

    def qualified(self, side: int, t_f_ns: int, t_ns: int) -> bool:
        if side != self.waiting:
            self.waiting, self.readings, self.t_out_ns, self.t_reading_ns = side, 1, t_ns, t_f_ns
            return False
        if t_f_ns > self.t_reading_ns and t_f_ns - self.t_reading_ns >= self.refresh_ns:
            self.readings += 1
            self.t_reading_ns = t_f_ns
        return self.readings >= 2 or t_ns - self.t_out_ns >= self.t_response_ns

    def release(self, dt_s: float) -> None:
        """Frequency is stale: the event is over, its answer goes by the ramp."""
        self.side, self.waiting, self.target_pu = 0, 0, 0.0
        self.dp_pu = approach(self.dp_pu, 0.0, self.ramp_pu_s * dt_s)


IDLE, HELPING, GOING = range(3)


class FastResponse:
    """Full power within full_s of the second refresh below the trigger, held, released; armed again above it."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.phase = IDLE
        self.t_below_ns = self.t_full_ns = 0
        self.level = self.power_pu = 0.0

    def configure(self, settings: Any) -> None:
        self.cfg = settings.fast_response
        self.trigger_hz = settings.rating.f_nom_hz - self.cfg.trigger_hz
        self.hold_ns = nanoseconds(self.cfg.hold_s)
        self.refresh_ns = nanoseconds(settings.freq_droop.refresh_s)

    def step(self, f_hz: float, t_f_ns: int, known: bool, t_ns: int, dt_s: float) -> float:
        if not self.cfg.enable and self.phase == IDLE:  # switched off it does not look
            return 0.0
        triggered = self.triggered(f_hz, t_f_ns, known) and self.cfg.enable
        if self.phase == IDLE and triggered:
            self.phase, self.t_full_ns, self.power_pu = HELPING, 0, self.cfg.power_pu
        if self.phase == HELPING:
            self.level = approach(self.level, 1.0, dt_s / self.cfg.full_s)
            if self.level == 1.0 and self.t_full_ns == 0:
                self.t_full_ns = t_ns
            held = self.t_full_ns != 0 and t_ns - self.t_full_ns >= self.hold_ns
            if held or not known or not self.cfg.enable:
                self.phase = GOING
        elif self.phase == GOING:
            self.level = approach(self.level, 0.0, dt_s / self.cfg.release_s)
            if self.level == 0.0 and not triggered:
                self.phase = IDLE
        return float(self.level * self.power_pu)

    def triggered(self, f_hz: float, t_f_ns: int, known: bool) -> bool:
        if not known or f_hz >= self.trigger_hz:
            self.t_below_ns = 0
            return False
        if self.t_below_ns == 0:
            self.t_below_ns = t_f_ns
        return t_f_ns > self.t_below_ns and t_f_ns - self.t_below_ns >= self.refresh_ns


class Inertia:
    """P = -2 H S / f_nom x df/dt, in pu of rated active power."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.dp_pu = 0.0

    def configure(self, settings: Any, period_s: float) -> None:
        self.cfg, rating = settings.inertia, settings.rating
        self.pu_per_rocof = -2.0 * self.cfg.h_s * rating.s_rated_va / rating.f_nom_hz / rating.p_rated_w
        self.lag = Lag(period_s, self.cfg.t_response_s)

    def step(self, rocof_hz_s: float, known: bool, k: int) -> float:
        cfg, target_pu = self.cfg, 0.0
        if cfg.enable and known and abs(rocof_hz_s) >= cfg.rocof_min_hz_s:
            target_pu = clip(self.pu_per_rocof * rocof_hz_s, -cfg.limit_pu, cfg.limit_pu)
        self.dp_pu = self.lag.step(self.dp_pu, target_pu, k)
        return self.dp_pu
