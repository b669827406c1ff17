"""The whole step a second time, in plain Python, written from the documents: the compiled core must give equal bits.

Order    the stages of 4.7: fresh, state, power wish, frequency, voltage, limits, command; the functions are in plain/.
Apart    no module is shared with the core. Settings come as {group: {name: value}} (or any dataclass of dataclasses),
         inputs as objects with the fields of the records; a Record with the fields of a StepRecord goes out.
Source   IEEE Std 1547-2018 (clauses and tables named where used; every constant was typed from them); what the standard
         leaves to the product (ramps, freshness, arbiter, smallest power) from the product's design.
Numbers  + - x / and square root only, in one fixed order, so that equality can mean equal bits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from hashlib import sha256
from operator import attrgetter
from types import SimpleNamespace
from typing import Any

from tests.cython_core.plain import words as w
from tests.cython_core.plain.abnormal import EnterService, RideThrough, Trip
from tests.cython_core.plain.frequency import Droop, FastResponse, Inertia
from tests.cython_core.plain.fresh import Signals
from tests.cython_core.plain.limits import Apparent, Holdable, beside
from tests.cython_core.plain.numbers import NAN, Span, approach, clip, finite
from tests.cython_core.plain.obedience import Obedience
from tests.cython_core.plain.power import ActiveLimit, Arbiter, SiteLimits, SlowSpan, VoltWatt, battery
from tests.cython_core.plain.reactive import Reactive

SAFE_WITHIN_S = 10.0  # lost meter: from full discharge to full charge
# the inputs in a record: prefix, names
INPUTS = {
    "m_": ("t_f_ns", "t_v_ns", "t_p_ns", "valid", "f_hz", "v1_v", "v2_v", "v3_v", "p_w", "q_var",
           "p1_w", "p2_w", "p3_w", "i1_a", "i2_a", "i3_a"),
    "d_": ("t_ns", "t_echo_ns", "valid", "p_w", "q_var", "p_set_readback_w", "p_max_discharge_w", "p_max_charge_w",
           "p_min_abs_w", "s_max_va", "soc_pu", "session", "status"),
    "o_": ("t_ns", "permit", "stop", "ap_limit_pu", "t_depart_ns"),
    "i_": ("source", "lo_w", "hi_w", "p_w", "q_var", "valid_from_ns", "expires_ns", "seq"),
}  # fmt: skip
NO_WISH = SimpleNamespace(source=-1, lo_w=0.0, hi_w=0.0, p_w=0.0, q_var=0.0, valid_from_ns=0, expires_ns=0, seq=0)
COPIED = [prefix + name for prefix, names in INPUTS.items() for name in names]
METER, DEVICE, ORDER, WISH = (attrgetter(*names) for names in INPUTS.values())


class Record(SimpleNamespace):
    """The fields of a StepRecord, as attributes."""


class Reference:
    """The state of one unit and its settings; step() as Core.step, replay() as Core.replay."""

    def __init__(self, settings: Any, period_s: float, in_service: bool = False) -> None:
        self.period_s = period_s
        self.n = self.skipped = 0
        self.state = w.IN_SERVICE if in_service else w.OFF
        self.signals, self.arbiter, self.site, self.slow = Signals(), Arbiter(), SiteLimits(), SlowSpan()
        self.trip, self.ride_through, self.enter_service = Trip(), RideThrough(), EnterService()
        self.droop, self.fast_response, self.inertia = Droop(), FastResponse(), Inertia()
        self.active_limit, self.volt_watt, self.reactive = ActiveLimit(), VoltWatt(), Reactive()
        self.apparent, self.holdable, self.obedience = Apparent(), Holdable(), Obedience()
        self.p_base_w = self.dp_w = self.p_full_w = self.p_cmd_w = self.q_cmd_var = 0.0
        self.left_w = self.left_dp_w = 0.0
        self.change(settings)
        if in_service:
            self.slow.now = Span(-self.rating.p_charge_rated_w, self.rating.p_rated_w)

    def change(self, settings: Any) -> None:
        """Other settings from the next step on; the state stays."""
        groups = settings if isinstance(settings, Mapping) else mapping(settings)
        self.period_ns = round(self.period_s * 1e9)
        text = repr((self.period_ns, sorted((name, sorted(values.items())) for name, values in groups.items())))
        self.digest = int.from_bytes(sha256(text.encode()).digest()[:8], "little") >> 1
        self.cfg = cfg = SimpleNamespace(**{name: SimpleNamespace(**values) for name, values in groups.items()})
        self.rating = cfg.rating
        self.charge_va = self.rating.s_charge_rated_va or self.rating.s_rated_va
        for function in (
            self.signals, self.arbiter, self.site, self.trip, self.ride_through, self.enter_service,
            self.fast_response, self.active_limit, self.apparent, self.holdable, self.obedience,
        ):  # fmt: skip
            function.configure(cfg)
        for timed in (self.droop, self.inertia, self.volt_watt, self.reactive):
            timed.configure(cfg, self.period_s)

    def assume_power(self, p_w: float) -> None:
        self.p_base_w = self.p_cmd_w = self.p_full_w = p_w

    def replay(self, rows: Iterable[Any]) -> list[Record]:
        """Records in (only their inputs, t_ns and k are read), the same steps computed anew out."""
        answers = []
        for row in rows:
            meter, device, order, wish = (
                SimpleNamespace(**{name: getattr(row, prefix + name) for name in names})
                for prefix, names in INPUTS.items()
            )
            answers.append(self.step(row.t_ns, meter, device, order, wish, row.k))
            answers[-1].lateness_ns = row.lateness_ns
        return answers

    def step(self, t_ns: int, meter: Any, device: Any, order: Any, wish: Any = None, k: int = 1) -> Record:
        self.t_ns, self.k, self.order = t_ns, k, order
        self.dt_s = float(k * self.period_ns) * 1e-9
        self.rec = rec = self.new_record(meter, device, order, wish or NO_WISH)
        self.signals.step(meter, device, t_ns, self.site, self.p_cmd_w, rec)
        self.said = self.signals.device
        self.stage_state()
        self.arbiter.accept(wish, t_ns, rec)
        if self.state in w.SERVING:
            self.stage_obedience()
            hard = self.limits_now()
            p_w = self.stage_wish(hard)
            p_w = self.stage_frequency(beside(p_w, self.q_cmd_var, self.s_max(p_w)), hard)
            self.stage_voltage(p_w)
            self.stage_limits(p_w, hard)
        else:
            self.idle()
        self.stage_command()
        return rec

    def new_record(self, meter: Any, device: Any, order: Any, wish: Any) -> Record:
        values = (*METER(meter), *DEVICE(device), *ORDER(order), *WISH(wish))
        copied = dict(zip(COPIED, values, strict=True))
        self.skipped += self.k - 1
        self.n += 1
        rec = Record(n=self.n - 1, t_ns=self.t_ns, k=self.k, skipped=self.skipped, lateness_ns=0, **copied)
        rec.settings_digest = self.digest
        rec.reasons = w.SKIPPED if self.k > 1 else 0
        rec.es_left_ns, rec.es_pu = 0, 0.0
        rec.w_source = rec.w_seq = 0
        rec.w_p_w = rec.dp_target_w = rec.dp_w = rec.dp_fast_w = rec.q_target_var = rec.q_lag_var = 0.0
        rec.vw_hi_w = rec.site_lo_w = rec.site_hi_w = NAN
        return rec

    # ---- 2 state ----

    def stage_state(self) -> None:
        rec, knows = self.rec, self.signals
        if self.state not in w.SERVING:
            self.active_limit.step(self.order.ap_limit_pu, 1000.0)  # in force when the unit comes in
        if rec.n == 0 and self.state == w.OFF:  # whether it was in service before is not known
            self.leave(w.OFF)
        v_known, f_known = rec.fresh_v < w.STALE, rec.fresh_f < w.STALE
        self.ride_through.step(knows, v_known, f_known, self.t_ns, self.dt_s)
        self.report_region()
        if self.trip.step(knows, v_known, f_known, self.t_ns):
            self.leave(w.TRIPPED)
        if not self.commandable():
            if self.state in w.SERVING:
                self.left_w, self.left_dp_w = self.p_cmd_w, self.droop.dp_pu * self.rating.p_rated_w
            if rec.fresh_d == w.LOST or rec.reasons & w.LOCAL_CONTROL:
                self.left_dp_w = 0.0
            self.leave(w.STARTING_UP)
            rec.reasons |= w.STARTING
            return
        serving = self.state in w.SERVING
        if not self.permitted() or (self.order.stop == w.EMERGENCY and not serving):
            self.leave(w.OFF)
            self.left_dp_w = 0.0
            return
        if self.state in (w.OFF, w.STARTING_UP) and not self.starts():
            return
        if self.enter_service.out and not self.enters():
            return
        if self.ride_through.withheld == 1.0:
            self.state = w.CEASED
        elif max(rec.fresh_f, rec.fresh_v, rec.fresh_d) >= w.STALE:
            self.state = w.DEGRADED
        else:
            self.state = w.ENTERING if self.enter_service.t_ramp_ns else w.IN_SERVICE

    def leave(self, state: int) -> None:
        self.state = state
        self.enter_service.begin()

    def report_region(self) -> None:
        rec, ride = self.rec, self.ride_through
        rec.region, rec.disturbances, rec.restore_pu = ride.region, ride.sets, 1.0 - ride.withheld
        if ride.region != w.CONTINUOUS:
            rec.reasons |= w.RIDE_THROUGH
        if ride.may_trip:
            rec.reasons |= w.MAY_TRIP

    def commandable(self) -> bool:
        """Never against an inverter that is lost, faulty, not running and connected, or somebody else's."""
        if self.rec.fresh_d == w.LOST:
            return False
        if not self.said.valid & w.D_STATUS:
            return True
        if self.said.status & w.LOCAL:
            self.rec.reasons |= w.LOCAL_CONTROL
            return False
        if self.said.status & (w.RUNNING | w.CONNECTED | w.FAULT) != w.RUNNING | w.CONNECTED:
            self.rec.reasons |= w.NOT_RUNNING
            return False
        return True

    def permitted(self) -> bool:
        return bool(self.order.permit != 0 and self.cfg.enter_service.permit)

    def starts(self) -> bool:
        """Once every input is fresh: from the present power; from 0 when 0 was commanded before."""
        rec = self.rec
        if rec.fresh_f or rec.fresh_v or rec.fresh_d:
            self.state = w.STARTING_UP
            rec.reasons |= w.STARTING
            return False
        if self.state == w.OFF and rec.n > 0:
            self.start_from(0.0, 0.0)
        else:
            self.start_found(*self.present())
        return True

    def start_found(self, p_w: float, q_pu: float) -> None:
        """From the present power; what droop gives of one that is about as we left it stays droop's."""
        as_left = abs(p_w - self.left_w) < 0.5 * abs(self.left_dp_w)
        dp_w = self.left_dp_w if as_left else 0.0
        self.left_dp_w = 0.0
        self.start_from(p_w, q_pu)
        if dp_w == 0.0:
            return
        self.p_base_w, self.dp_w = p_w - dp_w, dp_w
        self.droop.dp_pu = dp_w / self.rating.p_rated_w
        self.slow.now = Span(min(self.slow.now.lo, self.p_base_w), max(self.slow.now.hi, self.p_base_w))

    def present(self) -> tuple[float, float]:
        said, rec, p_w, q_pu = self.said, self.rec, 0.0, 0.0
        # a meter at the house connection sees the whole house
        seen = rec.m_valid & w.M_P and finite(rec.m_p_w) and not self.site.enable
        if seen:
            p_w = rec.m_p_w
        if said.valid & w.D_P and finite(said.p_w):
            far_less = seen and abs(said.p_w) > 5.0 * abs(rec.m_p_w) + 0.1 * self.rating.p_rated_w
            p_w = rec.m_p_w if far_less else said.p_w
        if said.valid & w.D_Q and finite(said.q_var):
            q_pu = clip(said.q_var / self.rating.s_rated_va, -1.0, 1.0)
        return p_w, q_pu

    def enters(self) -> bool:
        rec = self.rec
        known = max(rec.fresh_f, rec.fresh_v, rec.fresh_d) < w.STALE
        left_ns = self.enter_service.left_ns(self.signals, known, self.t_ns)
        if left_ns == 0:
            self.enter_service.enter(self.t_ns)
            self.trip.bits = 0
            self.start_from(0.0, 0.0)
            return True
        rec.es_left_ns = left_ns
        rec.reasons |= w.ENTER_CRITERIA if left_ns < 0 else w.ENTER_DELAY
        self.state = w.TRIPPED if self.trip.bits else w.WAITING
        return False

    def start_from(self, p_w: float, q_pu: float) -> None:
        """In service from this power: every function begins anew."""
        self.p_base_w = self.p_cmd_w = self.p_full_w = p_w
        self.q_cmd_var = self.dp_w = 0.0
        self.slow.now = Span(min(p_w, 0.0), max(p_w, 0.0))
        for function in (self.droop, self.fast_response, self.inertia, self.volt_watt):
            function.reset()
        self.reactive.start(q_pu)
        self.holdable.found(p_w)
        self.obedience.stopped = False

    # ---- 3 power wish ----

    def stage_obedience(self) -> None:
        rec = self.rec
        at_terminals = rec.m_valid & w.M_P and rec.fresh_p < w.STALE and not self.site.enable
        if rec.fresh_d < w.STALE:
            self.obedience.look(self.said, self.signals.t_echo_ns, rec.m_p_w if at_terminals else NAN, self.t_ns, rec)

    def hard_limits(self) -> Span:
        """Acts at once: the inverter's own limits, e-stop, permit, an unplugged car, the house connection."""
        rec, said, order = self.rec, self.said, self.order
        limits = []
        for bit, limit_w, rated_w in (
            (w.D_P_MAX_CHARGE, said.p_max_charge_w, self.rating.p_charge_rated_w),
            (w.D_P_MAX_DISCHARGE, said.p_max_discharge_w, self.rating.p_rated_w),
        ):
            limits.append(clip(limit_w, 0.0, rated_w) if said.valid & bit and finite(limit_w) else rated_w)
        span = Span(-limits[0], limits[1])
        session = said.session if said.valid & w.D_SESSION else w.READY
        for bound, reason in (
            (order.stop == w.EMERGENCY, w.EMERGENCY_STOP),
            (not self.permitted(), w.NO_PERMIT),
            (session not in (w.READY, w.CHARGING, w.DISCHARGING), w.SESSION),
        ):
            if bound:
                rec.reasons |= reason
                span = Span(0.0, 0.0)
        if self.site.enable and self.site.known and rec.fresh_p < w.STALE:
            left = self.site.leaves(span, rec)
            rec.site_lo_w, rec.site_hi_w = left.lo, left.hi
            span.narrow(left.lo, left.hi)
        return span

    def ramped_limits(self, hard: Span) -> Span:
        """Approached by the ramp: battery, stop, lost and stale signals."""
        rec, safe, target = self.rec, self.cfg.fail_safe, hard.copy()
        battery(target, self.cfg, self.said, rec)
        if self.order.stop not in (w.RUN, w.EMERGENCY):  # what is not known is a stop
            rec.reasons |= w.STOP
            target.narrow(0.0, 0.0)
        if self.obedience.stopped:
            target.narrow(0.0, 0.0)
        if rec.reasons & w.METER_LOST:
            target.narrow(safe.safe_p_w, safe.safe_p_w)
        if self.site.enable and rec.fresh_p >= w.STALE:
            target.narrow(-self.site.cfg.blind_charge_w, self.site.cfg.blind_discharge_w)
        t_echo_ns = self.signals.t_echo_ns
        echo_ns = self.signals.device_ages.held_ns + round(safe.write_refresh_s * 1e9)
        echoed = t_echo_ns != 0 and self.t_ns - t_echo_ns <= echo_ns
        if rec.fresh_d == w.STALE and not echoed:
            target.narrow(0.0, 0.0)
        if rec.fresh_v >= w.STALE:
            target.narrow(-safe.degraded_charge_w, 0.0)
        return target

    def limits_now(self) -> Span:
        """What also binds droop, without volt-watt: hard and ramped limits, the enter-service ramp."""
        rec, rating = self.rec, self.rating
        self.ramp_w = self.cfg.limits.ramp_pu_s * rating.p_rated_w * self.dt_s
        most_w = self.ramp_w
        if rec.reasons & w.METER_LOST:
            most_w = max(most_w, (rating.p_rated_w + rating.p_charge_rated_w) / SAFE_WITHIN_S * self.dt_s)
        span = self.hard_limits()
        target = self.ramped_limits(span)
        if self.slow.now != target:
            self.slow.move(target, self.p_cmd_w, most_w)
        if self.slow.now != target:
            rec.reasons |= w.RAMP
        span.narrow(self.slow.now.lo, self.slow.now.hi)
        self.slow.now = span.copy()  # what a hard limit took comes back by the ramp
        share = self.enter_service.ramp_pu(self.t_ns)
        rec.es_pu = min(share, 1.0)
        if share * rating.p_rated_w < max(span.hi, -span.lo):
            rec.reasons |= w.ENTER_RAMP
            span.narrow(-share * rating.p_rated_w, share * rating.p_rated_w)
        return span

    def stage_wish(self, hard: Span) -> float:
        """The wish inside all limits; leaves volt-watt in `hard`, which binds droop, but not the active power limit."""
        rec, rated_w = self.rec, self.rating.p_rated_w
        economic = hard.copy()
        ceiling_w = rated_w * self.active_limit.step(self.order.ap_limit_pu, self.dt_s)
        if ceiling_w < economic.hi:
            rec.reasons |= w.ACTIVE_LIMIT
            economic.narrow(economic.lo, ceiling_w)
        self.p_most_w = economic.hi
        rec.p_wish_w = self.arbiter.power(economic, self.said, self.order.t_depart_ns, self.t_ns, rec)
        self.volt_watt_limit(hard)
        economic.narrow(hard.lo, hard.hi)
        rec.p_lo_w, rec.p_hi_w = hard.lo, hard.hi
        if self.droop.side == 0:
            self.ramp_to_wish(economic, hard)
        rec.w_source, rec.w_seq, rec.w_p_w = self.arbiter.source, self.arbiter.seq, self.arbiter.p_w
        return self.p_base_w if self.droop.side else clip(self.p_base_w, hard.lo, hard.hi)

    def ramp_to_wish(self, economic: Span, hard: Span) -> None:
        """The active power limit is ramped to as well: by the ramp, or by its own pace where that is quicker."""
        rec, rated_w = self.rec, self.rating.p_rated_w
        down_w = max(self.ramp_w, self.active_limit.rate_pu_s * rated_w * self.dt_s)
        hi_w = clip(self.p_base_w - down_w, economic.hi, hard.hi)
        base_w, dp_w = self.p_base_w, self.dp_w  # a base beyond the limits may be made up for by what an event left
        least_w = min(economic.lo, max(base_w, economic.lo - max(dp_w, 0.0)))
        most_w = max(hi_w, min(base_w, hi_w - min(dp_w, 0.0)))
        self.p_base_w = approach(base_w, rec.p_wish_w, self.ramp_w)
        if self.p_base_w != rec.p_wish_w:
            rec.reasons |= w.RAMP
        self.p_base_w = clip(self.p_base_w, least_w, most_w)

    def volt_watt_limit(self, hard: Span) -> None:
        rec, rated_w, volt_watt = self.rec, self.rating.p_rated_w, self.volt_watt
        asked_w = clip((self.p_base_w if self.droop.side else rec.p_wish_w) + self.dp_w, hard.lo, hard.hi)
        if rec.fresh_v == w.FRESH and self.ride_through.withheld < 1.0:  # at rest while nothing is delivered
            volt_watt.step(self.signals.v_pu, asked_w / rated_w, self.p_full_w / rated_w, self.k)
        elif rec.fresh_v >= w.STALE:
            volt_watt.limiting = False
        if volt_watt.limiting:
            rec.vw_hi_w = volt_watt.ceiling_pu * rated_w
            if rec.vw_hi_w < asked_w:
                rec.reasons |= w.VOLT_WATT
            hard.narrow(hard.lo, rec.vw_hi_w)

    # ---- 4 frequency ----

    def stage_frequency(self, p_now_w: float, hard: Span) -> float:
        rec, rated_w, droop = self.rec, self.rating.p_rated_w, self.droop
        before = droop.side
        if rec.fresh_f >= w.STALE:
            droop.release(self.dt_s)
        elif rec.fresh_f == w.FRESH:
            droop.step(self.signals.f_hz, self.signals.t_f_ns, self.t_ns, self.k, p_now_w / rated_w)
        if droop.waiting:
            rec.reasons |= w.DROOP_WAITING
        if droop.side:
            rec.reasons |= w.DROOP
            if before == 0:  # what the limits cut off the base goes by the lag too
                droop.dp_pu += (self.p_base_w - clip(self.p_base_w, hard.lo, hard.hi)) / rated_w
            self.p_base_w = droop.p_pre_pu * rated_w
        rec.p_pre_w = self.p_base_w
        rec.dp_target_w, rec.dp_w = droop.target_pu * rated_w, droop.dp_pu * rated_w
        rec.dp_fast_w = self.fast_functions() * rated_w
        self.dp_w = rec.dp_w + rec.dp_fast_w
        asked_w = self.p_base_w + self.dp_w
        if rec.dp_fast_w > 0.0:  # only droop may pass the active power limit
            asked_w = max(self.p_base_w + rec.dp_w, min(asked_w, self.p_most_w))
        rec.p_freq_w = clip(asked_w, hard.lo, hard.hi)
        if droop.side and rec.p_freq_w != asked_w:
            rec.reasons |= w.DROOP_LIMITED
        return float(rec.p_freq_w)

    def fast_functions(self) -> float:
        rec, signals = self.rec, self.signals
        known = rec.fresh_f < w.STALE
        fast_pu = self.fast_response.step(signals.f_hz, signals.t_f_ns, known, self.t_ns, self.dt_s)
        inertia_pu = self.inertia.step(signals.rocof_hz_s, known, self.k)
        if fast_pu != 0.0:
            rec.reasons |= w.FAST_RESPONSE
        if inertia_pu != 0.0:
            rec.reasons |= w.INERTIA
        return fast_pu + inertia_pu

    # ---- 5 voltage ----

    def stage_voltage(self, p_w: float) -> None:
        rec, rating, reactive = self.rec, self.rating, self.reactive
        inside_w = beside(p_w, self.q_cmd_var, self.s_max(p_w))
        if self.order.stop != w.RUN or rec.fresh_v >= w.STALE:
            reactive.release(self.dt_s)
        elif rec.fresh_v == w.FRESH:
            p_asked_pu, p_pu = p_w / rating.s_rated_va, inside_w / rating.p_rated_w
            reactive.step(self.signals.v_pu, p_asked_pu, p_pu, self.dt_s, self.k)
        if reactive.target_pu != 0.0:
            rec.reasons |= reactive.reason
        if reactive.left != 0.0:
            rec.reasons |= w.MODE_CHANGE
        rec.q_mode = reactive.number
        v_ref_pu = reactive.volt_var.v_ref_pu or self.cfg.volt_var.v_ref_pu
        rec.v_ref_pu = v_ref_pu if reactive.mode == "volt_var" else 1.0
        rec.q_target_var = reactive.target_pu * rating.s_rated_va
        rec.q_lag_var = reactive.q_pu * rating.s_rated_va

    # ---- 6 limits ----

    def s_max(self, p_w: float) -> float:
        """Apparent power the unit may have in this direction."""
        rated_va = self.charge_va if p_w < 0.0 else self.rating.s_rated_va
        if self.said.valid & w.D_S_MAX and finite(self.said.s_max_va):
            return clip(self.said.s_max_va, 0.0, rated_va)
        return float(rated_va)

    def stage_limits(self, p_w: float, hard: Span) -> None:
        rec, said = self.rec, self.said
        p_w, self.q_cmd_var = self.apparent.settle(p_w, rec.q_lag_var, self.s_max(p_w), rec)
        if self.order.stop == w.EMERGENCY:
            self.q_cmd_var = 0.0
            self.reactive.start(0.0)
        self.p_full_w = p_w
        let_through = 1.0 - self.ride_through.withheld
        if let_through < 1.0:
            rec.reasons |= w.CESSATION if let_through == 0.0 else w.RESTORE
            p_w, self.q_cmd_var = p_w * let_through, self.q_cmd_var * let_through
        smallest_w = said.p_min_abs_w if said.valid & w.D_P_MIN_ABS and finite(said.p_min_abs_w) else 0.0
        most_w = beside(hard.hi if p_w > 0.0 else -hard.lo, self.q_cmd_var, self.s_max(p_w))
        p_w = self.holdable.step(p_w, smallest_w, most_w, self.t_ns, rec)
        if rec.reasons & w.REVERSAL_DWELL and self.droop.side == 0:
            self.p_base_w = 0.0  # the ramp begins when the direction may turn
        self.p_cmd_w = clip(p_w, min(hard.lo, 0.0), max(hard.hi, 0.0))
        if self.limited_by_device(self.p_base_w if self.droop.side else rec.w_p_w):
            rec.reasons |= w.DEVICE_LIMIT

    def limited_by_device(self, base_w: float) -> bool:
        """More was asked for than the inverter says it can, and what it can is commanded."""
        said, asked_w = self.said, base_w + self.dp_w
        if said.valid & w.D_P_MAX_DISCHARGE and asked_w > said.p_max_discharge_w:
            return bool(self.p_cmd_w >= max(said.p_max_discharge_w, 0.0))
        if said.valid & w.D_P_MAX_CHARGE and asked_w < -said.p_max_charge_w:
            return bool(self.p_cmd_w <= -max(said.p_max_charge_w, 0.0))
        return False

    # ---- 7 command ----

    def idle(self) -> None:
        """Out of service: 0 W and 0 var, every function at rest."""
        rec = self.rec
        if self.state != w.STARTING_UP:
            self.hard_limits()  # for its reasons
            self.holdable.step(0.0, 0.0, 0.0, self.t_ns, rec)
        self.start_from(0.0, 0.0)
        rec.w_source = -1
        rec.p_lo_w = rec.p_hi_w = rec.p_wish_w = rec.p_pre_w = rec.p_freq_w = 0.0
        rec.q_mode, rec.v_ref_pu = self.reactive.number, 1.0

    def stage_command(self) -> None:
        rec = self.rec
        rec.state, rec.trip = self.state, self.trip.bits
        if rec.trip & 0b00001111:
            rec.reasons |= w.TRIP_VOLTAGE
        if rec.trip & 0b11110000:
            rec.reasons |= w.TRIP_FREQUENCY
        rec.p_cmd_w, rec.q_cmd_var = self.p_cmd_w, self.q_cmd_var
        rec.valid_ms = round(self.cfg.fail_safe.command_valid_s * 1e3)
        if self.state == w.STARTING_UP:
            rec.mode = w.SILENT
        elif self.order.stop != w.RUN or self.state not in w.SERVING or self.state == w.CEASED:
            rec.mode = w.STOPPING  # 0, or on the way to it: written without waiting
        else:
            rec.mode = w.SAFE if rec.reasons & w.METER_LOST else w.ACTIVE
        self.obedience.told(self.p_cmd_w, rec.mode == w.SILENT, self.t_ns)


def mapping(settings: Any) -> dict[str, dict[str, Any]]:
    """Any dataclass of dataclasses as {group: {name: value}}."""
    return {
        f.name: {g.name: getattr(getattr(settings, f.name), g.name) for g in fields(getattr(settings, f.name))}
        for f in fields(settings)
    }
