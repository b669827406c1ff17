"""Stage 2: shall-trip elements (6.4.1, 6.5.1), ride-through (6.4.2, 6.5.2), enter service (4.10)."""

from __future__ import annotations

from typing import Any

from tests.cython_core.plain.numbers import INFINITY, approach, nanoseconds
from tests.cython_core.plain.words import CEASE, CONTINUOUS, MANDATORY, MOMENTARY_CESSATION, PERMISSIVE

# Tables 14 to 16 outside 0.88 ... 1.10 pu: from, to, region, minimum ride-through time at `from`, its slope per pu.
# Above nominal `from` < V <= `to`, below nominal `from` <= V < `to`.
Row = tuple[float, float, int, float, float]
HIGH_I_II: list[Row] = [
    (1.10, 1.15, PERMISSIVE, 1.0, 0.0),
    (1.15, 1.175, PERMISSIVE, 0.5, 0.0),
    (1.175, 1.20, PERMISSIVE, 0.2, 0.0),
    (1.20, INFINITY, CEASE, 0.0, 0.0),
]
TABLE_14_LOW: list[Row] = [
    (0.70, 0.88, MANDATORY, 0.7, 4.0),
    (0.50, 0.70, PERMISSIVE, 0.16, 0.0),
    (0.0, 0.50, CEASE, 0.0, 0.0),
]
TABLE_15_LOW: list[Row] = [
    (0.65, 0.88, MANDATORY, 3.0, 8.7),
    (0.45, 0.65, PERMISSIVE, 0.32, 0.0),
    (0.30, 0.45, PERMISSIVE, 0.16, 0.0),
    (0.0, 0.30, CEASE, 0.0, 0.0),
]
# Table 17: sets of disturbances to ride through, at least so many s apart, forgotten after so many minutes
TABLE_17 = {"I": (2, 20, 60), "II": (2, 10, 60), "III": (3, 5, 20)}
F_MANDATORY_S = 299.0  # Table 19
V_PER_HZ = 1.1  # 6.5.2: continuous operation needs V/f up to here, both in pu
NO_DUTY_S = 1e6  # inside continuous operation nothing ever permits a trip


def table_16(mc_low_pu: float, mc_high_pu: float) -> tuple[list[Row], list[Row]]:
    """Category III, high and low; the thresholds of momentary cessation may be moved (6.4.2.7.3)."""
    high = [
        (1.10, mc_high_pu, MANDATORY, 12.0, 0.0),
        (mc_high_pu, 1.20, MOMENTARY_CESSATION, 12.0, 0.0),
        (1.20, INFINITY, CEASE, 0.0, 0.0),
    ]
    low = [
        (max(0.70, mc_low_pu), 0.88, MANDATORY, 20.0, 0.0),
        (mc_low_pu, 0.70, MANDATORY, 10.0, 0.0),
        (0.0, mc_low_pu, MOMENTARY_CESSATION, 1.0, 0.0),
    ]
    return high, low


class Trip:
    """One timer per element, in the order of the bits: OV2 OV1 UV1 UV2 OF2 OF1 UF1 UF2."""

    def __init__(self) -> None:
        self.since_ns = [0] * 8
        self.bits = 0

    def configure(self, settings: Any) -> None:
        v, f = settings.voltage_trip, settings.frequency_trip
        opening = {"v": v.opening_s, "f": f.opening_s}
        ours = {"v": v.owner == "controller", "f": f.owner == "controller"}
        self.elements = [
            (ours[what], what, over, level, nanoseconds(time_s - opening[what]))
            for what, over, level, time_s in (
                ("v", True, v.ov2_pu, v.ov2_s),
                ("v", True, v.ov1_pu, v.ov1_s),
                ("v", False, v.uv1_pu, v.uv1_s),
                ("v", False, v.uv2_pu, v.uv2_s),
                ("f", True, f.of2_hz, f.of2_s),
                ("f", True, f.of1_hz, f.of1_s),
                ("f", False, f.uf1_hz, f.uf1_s),
                ("f", False, f.uf2_hz, f.uf2_s),
            )
        ]

    def step(self, signals: Any, v_known: bool, f_known: bool, t_ns: int) -> bool:
        """True when an element trips now. Its clearing time runs from the reading that first stood beyond its level."""
        before = self.bits
        for i, (ours, what, over, level, time_ns) in enumerate(self.elements):
            known = v_known if what == "v" else f_known
            if not (ours and known and self.beyond(signals, what, over, level)):
                self.since_ns[i] = 0
                continue
            if self.since_ns[i] == 0:
                self.since_ns[i] = signals.t_v_ns if what == "v" else signals.t_f_ns
            if t_ns - self.since_ns[i] >= time_ns:
                self.bits |= 1 << i
        return self.bits != before

    @staticmethod
    def beyond(signals: Any, what: str, over: bool, level: float) -> bool:
        """Strictly; any phase."""
        if what == "f":
            return bool(signals.f_hz > level if over else signals.f_hz < level)
        return bool(signals.v_hi_pu > level if over else signals.v_lo_pu < level)


class RideThrough:
    def __init__(self) -> None:
        self.region = CONTINUOUS
        self.t_out_ns = 0
        self.may_trip = False
        self.sets = 0
        self.v_out = False
        self.t_back_ns = 0
        self.withheld = 0.0

    def configure(self, settings: Any) -> None:
        category, ride = settings.rating.abnormal_category, settings.ride_through
        self.high, self.low = {
            "I": (HIGH_I_II, TABLE_14_LOW),
            "II": (HIGH_I_II, TABLE_15_LOW),
            "III": table_16(ride.mc_low_pu, ride.mc_high_pu),
        }[category]
        self.most_sets, apart_s, forget_min = TABLE_17[category]
        self.apart_ns, self.forget_ns = apart_s * 10**9, forget_min * 60 * 10**9
        self.ours = ride.owner == "controller"
        self.f_nom_hz = settings.rating.f_nom_hz
        self.restore_s = ride.restore_s

    def step(self, signals: Any, v_known: bool, f_known: bool, t_ns: int, dt_s: float) -> None:
        """The most severe region that holds now acts, the shortest duty rules."""
        regions = self.voltage_regions(signals.v_lo_pu, signals.v_hi_pu) if v_known else []
        if v_known:
            self.count_sets(bool(regions), t_ns)
        by_voltage = max((region for region, _ in regions), default=CONTINUOUS)
        if f_known:
            regions += self.frequency_regions(signals.f_hz - (self.f_nom_hz - 60.0))
            too_much_flux = v_known and signals.v_hi_pu * self.f_nom_hz > V_PER_HZ * signals.f_hz
            if too_much_flux and not regions:
                regions.append((PERMISSIVE, 0.0))
        self.region = max((region for region, _ in regions), default=CONTINUOUS)
        duty_s = min((duty for _, duty in regions), default=NO_DUTY_S)
        if self.region == CONTINUOUS:
            self.t_out_ns = 0
        elif self.t_out_ns == 0:
            self.t_out_ns = t_ns
        fulfilled = float(t_ns - self.t_out_ns) * 1e-9 >= duty_s or (self.v_out and self.sets > self.most_sets)
        self.may_trip = self.region != CONTINUOUS and fulfilled
        self.restore(by_voltage, v_known, dt_s)

    def voltage_regions(self, v_lo_pu: float, v_hi_pu: float) -> list[tuple[int, float]]:
        regions = [
            (region, s + (v_hi_pu - low) * slope) for low, high, region, s, slope in self.high if low < v_hi_pu <= high
        ]
        return regions + [
            (region, s + (v_lo_pu - low) * slope) for low, high, region, s, slope in self.low if low <= v_lo_pu < high
        ]

    @staticmethod
    def frequency_regions(f_60_hz: float) -> list[tuple[int, float]]:
        """Table 19 on a 60 Hz grid: 58.8 ... 61.2 continuous, 57.0 ... 61.8 mandatory."""
        if f_60_hz > 61.8 or f_60_hz < 57.0:
            return [(PERMISSIVE, 0.0)]
        return [(MANDATORY, F_MANDATORY_S)] if f_60_hz > 61.2 or f_60_hz < 58.8 else []

    def count_sets(self, v_out: bool, t_ns: int) -> None:
        """6.4.2.5: consecutive voltage disturbances."""
        if v_out and not self.v_out and (self.sets == 0 or t_ns - self.t_back_ns >= self.apart_ns):
            self.sets += 1
        if self.v_out and not v_out:
            self.t_back_ns = t_ns
        if not v_out and self.sets and t_ns - self.t_back_ns >= self.forget_ns:
            self.sets = 0
        self.v_out = v_out

    def restore(self, by_voltage: int, v_known: bool, dt_s: float) -> None:
        """6.4.2.7: no current in cessation; in continuous or mandatory operation a straight line back to full."""
        back = v_known and by_voltage in (CONTINUOUS, MANDATORY)  # an unknown voltage has not returned
        if self.ours and by_voltage in (MOMENTARY_CESSATION, CEASE):
            self.withheld = 1.0
        elif back or not self.ours:  # given to the inverter in the middle of it: no jump
            self.withheld = approach(self.withheld, 0.0, dt_s / self.restore_s)


class EnterService:
    def __init__(self) -> None:
        self.out = False
        self.t_good_ns = 0  # all criteria met since; 0: they are not
        self.draws = 0
        self.extra_ns = 0
        self.t_ramp_ns = 0  # the ramp began then; 0: none runs

    def configure(self, settings: Any) -> None:
        self.cfg = cfg = settings.enter_service
        self.ours = cfg.owner == "controller"
        self.delay_ns, self.ramp_ns, self.random_ns = map(nanoseconds, (cfg.delay_s, cfg.ramp_s, cfg.random_s))
        self.most_pu = max(1.0, settings.rating.p_charge_rated_w / settings.rating.p_rated_w)

    def begin(self) -> None:
        """Out of service: by trip, without permit, or never in."""
        if self.ours:
            self.out, self.t_good_ns, self.t_ramp_ns = True, 0, 0

    def left_ns(self, signals: Any, known: bool, t_ns: int) -> int:
        """Of the delay; -1 while Table 4 is not met. It restarts with every excursion (4.10.2, 4.10.3)."""
        cfg, s = self.cfg, signals
        good_v = cfg.v_low_pu <= s.v_lo_pu and s.v_hi_pu <= cfg.v_high_pu
        if not (known and good_v and cfg.f_low_hz <= s.f_hz <= cfg.f_high_hz):
            self.t_good_ns = 0
            return -1
        if self.t_good_ns == 0:
            self.t_good_ns = t_ns
            self.extra_ns = self.random_delay_ns()
        left: int = self.delay_ns + self.extra_ns - (t_ns - self.t_good_ns)
        return max(left, 0)

    def enter(self, t_ns: int) -> None:
        self.out = False
        self.t_ramp_ns = t_ns if self.ramp_ns else 0

    def random_delay_ns(self) -> int:
        """4.10.3 exception 1: 1 s ... random_s, drawn from the site's seed and a counter."""
        if self.random_ns == 0:
            return 0
        self.draws += 1
        share = split_mix_64(int(self.cfg.seed), self.draws)
        return 10**9 + int(share * float(self.random_ns - 10**9))

    def ramp_pu(self, t_ns: int) -> float:
        """Share of rated power that |P| may have; without limit when no ramp runs (any more)."""
        if self.t_ramp_ns == 0:
            return INFINITY
        share = float(t_ns - self.t_ramp_ns) / float(self.ramp_ns) if self.ramp_ns else INFINITY
        if share >= self.most_pu:
            self.t_ramp_ns = 0
            return INFINITY
        return share


def split_mix_64(seed: int, draw: int) -> float:
    """0 <= x < 1: number `draw` of the generator by Steele, Lea and Flood (2014), public constants."""
    word = (1 << 64) - 1
    x = seed + draw * 0x9E3779B97F4A7C15 & word
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & word
    x = (x ^ x >> 27) * 0x94D049BB133111EB & word
    x ^= x >> 31
    return float(x >> 11) / float(1 << 53)
