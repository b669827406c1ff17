"""Stage 3: who may have which active power. Nested clamp, strongest first."""

from __future__ import annotations

from math import sqrt
from typing import Any

from tests.cython_core.plain.numbers import INFINITY, Lag, Span, approach, clip, finite, nanoseconds
from tests.cython_core.plain.words import (
    D_P_MAX_CHARGE,
    D_SOC,
    DEFAULT_WISH,
    DEPARTURE,
    M_I1,
    M_P1,
    M_V1,
    SITE_EXPORT,
    SITE_FUSE,
    SITE_IMPORT,
    SOC_LIMIT,
    WISH_CLAMPED,
    WISH_REFUSED,
)

RELEASED_WITHIN_PU = 0.001  # volt-watt lets go when its ceiling is this near to what is asked for


class Arbiter:
    """One slot a source; the higher its number the stronger. Without a wish in force: the site's default wish."""

    def __init__(self) -> None:
        self.slots: dict[int, Any] = {}
        self.full = False  # the default wish has reached its target
        self.reached_ns = 0
        self.leaving_ns = 0
        self.source, self.seq, self.p_w = 0, 0, 0.0

    def configure(self, settings: Any) -> None:
        self.cfg = settings.default_wish
        self.rated_charge_w = settings.rating.p_charge_rated_w
        self.restart_pu = self.cfg.soc_target_pu - settings.limits.soc_band_pu
        self.lifetime_ns = nanoseconds(self.cfg.wish_lifetime_s)

    def accept(self, wish: Any, t_ns: int, rec: Any) -> None:
        """One wish a step: finite, lo <= hi, a rising number, a bounded life; Q is nobody's to wish yet."""
        if wish is None or wish.source < 0:
            return
        if 1 <= wish.source <= 7 and self.acceptable(wish, t_ns):
            self.slots[wish.source] = wish
        else:
            rec.reasons |= WISH_REFUSED

    def acceptable(self, w: Any, t_ns: int) -> bool:
        newest = self.slots[w.source].seq if w.source in self.slots else 0
        plain = finite(w.lo_w) and finite(w.hi_w) and finite(w.p_w) and w.lo_w <= w.hi_w
        without_q = not finite(w.q_var) or w.q_var == 0.0
        begins_ns = max(w.valid_from_ns, t_ns)
        alive = w.expires_ns > w.valid_from_ns and w.expires_ns > t_ns
        return bool(plain and without_q and w.seq > newest and alive and w.expires_ns - begins_ns <= self.lifetime_ns)

    def power(self, span: Span, device: Any, t_depart_ns: int, t_ns: int, rec: Any) -> float:
        """Every wish in force narrows with its own span; the strongest one's power is what is wished."""
        span = span.copy()
        if self.must_charge(span, device, t_depart_ns, t_ns):
            self.leaving_ns = t_depart_ns
            rec.reasons |= DEPARTURE
            span.narrow(span.lo, span.lo)
        winner = None
        for source in range(7, 0, -1):
            wish = self.slots.get(source)
            if wish is None or not wish.valid_from_ns <= t_ns < wish.expires_ns:
                continue
            span.narrow(wish.lo_w, wish.hi_w)
            winner = winner or wish
        if winner:
            self.source, self.seq, self.p_w = winner.source, winner.seq, winner.p_w
        else:
            self.source, self.seq, self.p_w = -1, 0, self.default_wish(device, t_ns)
            rec.reasons |= DEFAULT_WISH
        p_w = clip(self.p_w, span.lo, span.hi)
        if p_w != self.p_w:
            rec.reasons |= WISH_CLAMPED
        return p_w

    def must_charge(self, span: Span, device: Any, t_depart_ns: int, t_ns: int) -> bool:
        """Whether the target would be missed without all the power there is; once begun, until it is reached."""
        if not (knows_soc(device) and device.soc_pu < self.cfg.soc_target_pu and t_ns < t_depart_ns):
            return False
        if not (span.lo < 0.0 < self.cfg.capacity_wh):
            return False
        most_w = self.rated_charge_w
        if device.valid & D_P_MAX_CHARGE and finite(device.p_max_charge_w):
            most_w = clip(device.p_max_charge_w, 0.0, most_w)
        needed_wh = (self.cfg.soc_target_pu - device.soc_pu) * self.cfg.capacity_wh / 0.9
        hours = float(t_depart_ns - t_ns) / 3.6e12
        return bool(self.leaving_ns == t_depart_ns or needed_wh * 1.1 >= hours * most_w)

    def default_wish(self, device: Any, t_ns: int) -> float:
        """Charge to the target and again from a band below it; an unknown battery: until the car stops.

        Full is what has been at the target for 10 s: a glitch only makes it pause.
        """
        reached = knows_soc(device) and device.soc_pu >= self.cfg.soc_target_pu
        self.reached_ns = (self.reached_ns or t_ns) if reached else 0
        if not knows_soc(device):
            return float(-self.cfg.charge_w)
        if reached:
            self.full = self.full or t_ns - self.reached_ns >= 10_000_000_000
            return 0.0
        if device.soc_pu <= self.restart_pu:
            self.full = False
        return 0.0 if self.full else float(-self.cfg.charge_w)


def knows_soc(device: Any) -> bool:
    return bool(device.valid & D_SOC and finite(device.soc_pu))


def battery(span: Span, settings: Any, device: Any, rec: Any) -> None:
    """No discharge below soc_min, no charge above soc_max, a taper beside both; never discharge an unknown battery."""
    cfg, discharge, charge = settings.limits, 0.0, 1.0
    if knows_soc(device):
        discharge, charge = (
            0.0 if room <= 0.0 else 1.0 if room >= cfg.soc_band_pu else room / cfg.soc_band_pu
            for room in (device.soc_pu - cfg.soc_min_pu, cfg.soc_max_pu - device.soc_pu)
        )
    if discharge < 1.0 or charge < 1.0:
        rec.reasons |= SOC_LIMIT
    span.narrow(-charge * settings.rating.p_charge_rated_w, discharge * settings.rating.p_rated_w)


class SlowSpan:
    """Limits that move at the ramp rate: inwards from the power that flows now, outwards from where they are."""

    def __init__(self) -> None:
        self.now = Span(0.0, 0.0)

    def move(self, target: Span, p_w: float, most_w: float) -> None:
        now = self.now
        if target.hi < now.hi:
            begin = min(now.hi, max(p_w, target.hi))
            hi = max(target.hi, begin - most_w)
        else:
            hi = min(target.hi, now.hi + most_w)
        if target.lo > now.lo:
            begin = max(now.lo, min(p_w, target.lo))
            lo = min(target.lo, begin + most_w)
        else:
            lo = max(target.lo, now.lo - most_w)
        if lo > hi:  # the target lies on the other side of 0: it takes the far edge along
            lo, hi = (lo, lo) if target.lo > 0.0 else (hi, hi)
        self.now = Span(lo, hi)


class SiteLimits:
    """The house connection: P_conn = P_unit - load, and what import, export and the fuse of each phase leave."""

    def __init__(self) -> None:
        self.known = False
        self.load_w = 0.0
        self.phases: dict[int, Span] = {}

    def configure(self, settings: Any) -> None:
        self.cfg = cfg = settings.site_limits
        self.enable = cfg.enable
        self.shares = (cfg.share_l1_pu, cfg.share_l2_pu, cfg.share_l3_pu)
        self.v_nom_v = settings.rating.v_nom_v

    def read(self, m: Any, p_unit_w: float) -> bool:
        """False: it does not count, for a phase of the unit's that was there before is missing."""
        volts, powers = (m.v1_v, m.v2_v, m.v3_v), (m.p1_w, m.p2_w, m.p3_w)
        currents = (m.i1_a, m.i2_a, m.i3_a)
        shown = [i for i in range(3) if m.valid & M_P1 << i and finite(powers[i])]
        if any(self.shares[i] and i not in shown for i in self.phases):
            return False
        self.known = True
        self.load_w = p_unit_w - m.p_w
        self.phases = {}
        for i in shown:
            share = self.shares[i]
            v_v = volts[i] if m.valid & M_V1 << i and 0.0 <= volts[i] <= 1.5 * self.v_nom_v else self.v_nom_v
            i_a = currents[i] if m.valid & M_I1 << i else INFINITY
            self.phases[i] = self.phase(v_v, powers[i], i_a, p_unit_w * share, self.cfg.margin_w * share)
        return True

    def phase(self, v_v: float, p_w: float, i_a: float, p_unit_w: float, margin_w: float) -> Span:
        """|P| <= sqrt((V I_fuse)^2 - Q^2), Q of the phase from its current and power when both are known."""
        q2 = (v_v * i_a) * (v_v * i_a) - p_w * p_w if finite(i_a) else 0.0
        most_va = v_v * self.cfg.fuse_a
        most_w = max(root(most_va * most_va - max(q2, 0.0)) - margin_w, 0.0)
        load_w = p_unit_w - p_w
        return Span(load_w - most_w, load_w + most_w)

    def leaves(self, span: Span, rec: Any) -> Span:
        """For the unit. Always around 0: limits reduce, they never turn the direction."""
        cfg = self.cfg
        left = Span(
            min(self.load_w - cfg.import_w + cfg.margin_w, 0.0), max(self.load_w + cfg.export_w - cfg.margin_w, 0.0)
        )
        if left.lo > span.lo:
            rec.reasons |= SITE_IMPORT
        if left.hi < span.hi:
            rec.reasons |= SITE_EXPORT
        for i, phase in self.phases.items():
            if self.shares[i] == 0.0:
                continue
            lo_w, hi_w = min(phase.lo / self.shares[i], 0.0), max(phase.hi / self.shares[i], 0.0)
            if lo_w > max(left.lo, span.lo) or hi_w < min(left.hi, span.hi):
                rec.reasons |= SITE_FUSE
            left = Span(max(left.lo, lo_w), min(left.hi, hi_w))
        return left


def root(x: float) -> float:
    return sqrt(max(x, 0.0))


class ActiveLimit:
    """4.6.2: a ceiling on export, ramping so that it is reached within 30 s."""

    def __init__(self) -> None:
        self.below_pu = 0.0

    def configure(self, settings: Any) -> None:
        cfg = settings.active_limit
        self.set_pu = cfg.limit_pu if cfg.enable else 1.0
        self.rate_pu_s = 1.0 / cfg.ramp_time_s

    def step(self, order_pu: float, dt_s: float) -> float:
        limit_pu = self.set_pu if order_pu != order_pu else min(self.set_pu, clip(order_pu, 0.0, 1.0))
        self.below_pu = approach(self.below_pu, 1.0 - limit_pu, self.rate_pu_s * dt_s)
        return 1.0 - self.below_pu


class VoltWatt:
    """5.4.2, Table 10: a ceiling on active power; P'2 < 0 is of the charge rating and forces charging."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.limiting = False
        self.ceiling_pu = 0.0

    def configure(self, settings: Any, period_s: float) -> None:
        self.cfg, rating = settings.volt_watt, settings.rating
        self.p2_pu = self.cfg.p2_pu
        if self.p2_pu < 0.0:
            self.p2_pu = self.p2_pu * rating.p_charge_rated_w / rating.p_rated_w
        self.lag = Lag(period_s, self.cfg.olrt_s)

    def limit(self, v_pu: float) -> float:
        """P_lim(V) = 1 - (V - V1)/(V2 - V1) (1 - P2) between V1 and V2."""
        cfg = self.cfg
        if v_pu <= cfg.v1_pu:
            return 1.0
        if v_pu >= cfg.v2_pu:
            return float(self.p2_pu)
        return float(1.0 - (v_pu - cfg.v1_pu) / (cfg.v2_pu - cfg.v1_pu) * (1.0 - self.p2_pu))

    def step(self, v_pu: float, demand_pu: float, p_now_pu: float, k: int) -> None:
        """The lag is on min(demand, limit) and begins at the power that flows when the limit begins to bind."""
        acts = self.cfg.enable and self.cfg.owner == "controller"
        limit_pu = self.limit(v_pu) if acts else 1.0  # one that is switched off lets go by its lag
        if not self.limiting:
            if limit_pu >= demand_pu:
                return
            self.limiting = True
            self.ceiling_pu = max(p_now_pu, limit_pu)
        self.ceiling_pu = self.lag.step(self.ceiling_pu, min(demand_pu, limit_pu), k)
        binds = p_now_pu >= self.ceiling_pu  # a power on its way down to the demand
        near = demand_pu - self.ceiling_pu <= RELEASED_WITHIN_PU
        if limit_pu >= demand_pu and (not binds if self.ceiling_pu > demand_pu else near):
            self.limiting = False
