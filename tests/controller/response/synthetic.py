"""Step records of a run that never was: frequency trace -> ideal droop -> measured power, with faults to order.

The arithmetic is written out here a third time (a plain loop), so that it agrees with neither the core nor
controller.response.formula by construction. 60 Hz, rating 7 kW, droop 0.05, dead band 36 mHz, response 5 s unless a
test says otherwise. One step every 20 ms, one meter reading every 100 ms.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cython_core.bulk import STEP
from cython_core.records import Reason, State

PERIOD_NS = 20_000_000
METER_EVERY = 5
T0_NS = 1_000_000_000_000
WALL_OFFSET_NS = 1_700_000_000_000_000_000
RATING_W = 7000.0

Trace = Callable[[float], float]  # t_s -> f_hz


@dataclass(frozen=True)
class Fault:
    """What is wrong with the run."""

    gain: float = 1.0  # the inverter's answer / the commanded one
    core_gain: float = 1.0  # the core's answer / the formula's
    plant_sign: float = 1.0  # -1: power reads the wrong way round
    late_s: float = 0.0  # the meter's readings are this old and do not say so
    delay_s: float = 0.2  # dead time of the inverter
    lag_s: float = 0.0  # and the time constant of its power
    quantum_w: float = 0.0  # smallest step of its set-point
    offset_w: float = 0.0
    noise_w: float = 5.0
    db_off_hz: float = 0.0  # the plant's dead band is this much wider
    f_resolution_hz: float = 0.001


@dataclass(frozen=True)
class Plant:
    f_of_t: Trace
    seconds: float = 60.0
    wish_w: float = -1400.0  # charging
    lo_w: float = -7000.0
    hi_w: float = 7000.0
    f_nom_hz: float = 60.0
    db_hz: float = 0.036
    k: float = 0.05
    t_response_s: float = 5.0
    fault: Fault = field(default_factory=Fault)


def info(plant: Plant, **more: Any) -> dict[str, Any]:
    """What the ring's header would say."""
    return {
        "settings": {
            "rating": {"f_nom_hz": plant.f_nom_hz, "p_rated_w": RATING_W},
            "freq_droop": {
                "db_uf_hz": plant.db_hz, "db_of_hz": plant.db_hz, "k_uf": plant.k, "k_of": plant.k,
                "t_response_s": plant.t_response_s,
            },
        },
        "period_ns": PERIOD_NS, "wall_offset_ns": WALL_OFFSET_NS, "site": "synthetic", "start_mode": "demo",
        "settings_digest": 0x1234ABCD, "build": "test-build", "boot_id": "test-boot", "epoch": 1,
        "maps": {"meter": "eastron-sdm630", "inverter": "sunspec"},
    } | more  # fmt: skip


def formula_pu(f_hz: float, plant: Plant) -> float:
    """(60 - 0.036 - f) / (60 x 0.05) below, the mirror above, 0 between."""
    low, high = plant.f_nom_hz - plant.db_hz, plant.f_nom_hz + plant.db_hz
    if f_hz < low:
        return (low - f_hz) / (plant.f_nom_hz * plant.k)
    if f_hz > high:
        return -(f_hz - high) / (plant.f_nom_hz * plant.k)
    return 0.0


def run(plant: Plant) -> NDArray[Any]:
    """The records."""
    fault, rng = plant.fault, np.random.default_rng(7)
    count = round(plant.seconds * 1e9 / PERIOD_NS)
    rows = np.zeros(count, dtype=STEP)
    for name in STEP.names or ():
        if STEP[name].kind == "f":
            rows[name] = np.nan
    rows["n"], rows["k"] = np.arange(count), 1
    rows["t_ns"] = T0_NS + rows["n"] * PERIOD_NS
    rows["lateness_ns"] = rng.integers(20_000, 90_000, count)
    rows["state"], rows["m_valid"] = State.IN_SERVICE, 1 + 16
    rows["m_v1_v"], rows["v_pu"], rows["d_soc_pu"] = 240.0, 1.0, 0.55
    rows["age_f_ns"], rows["age_d_ns"] = 60_000_000, 120_000_000
    rows["p_wish_w"], rows["p_lo_w"], rows["p_hi_w"] = plant.wish_w, plant.lo_w, plant.hi_w
    left = 10.0 ** (-PERIOD_NS / 1e9 / plant.t_response_s)
    late, delay = round(fault.late_s * 1e9 / PERIOD_NS), round(fault.delay_s * 1e9 / PERIOD_NS)
    command = np.empty(count)
    power = np.empty(count)
    dp = drooped = ahead = 0.0  # ahead: the lag that runs while an excursion waits for its second reading
    f_hz = p_w = np.nan
    side = waiting = 0
    p_pre = plant.wish_w
    for i in range(count):
        r = rows[i]
        fresh = i % METER_EVERY == 0
        if fresh:
            true_hz = plant.f_of_t(max(i - late, 0) * PERIOD_NS / 1e9)
            f_hz = round(true_hz / fault.f_resolution_hz) * fault.f_resolution_hz
            p_w = power[max(i - 1 - late, 0)] if i else plant.wish_w
            p_w = float(p_w) + rng.normal(0.0, fault.noise_w)
        r["m_t_f_ns"] = r["m_t_p_ns"] = T0_NS + (i - i % METER_EVERY) * PERIOD_NS
        r["m_f_hz"] = r["f_hz"] = f_hz
        r["m_p_w"] = p_w
        target = formula_pu(f_hz, plant)
        now_side = (target < 0) - (target > 0)
        if now_side != side:
            if waiting == 0:
                ahead = dp
            waiting = waiting + fresh if now_side else 0
            ahead = target * fault.core_gain + (ahead - target * fault.core_gain) * left
            side = now_side if now_side == 0 or waiting >= 2 else 0
            p_pre = plant.wish_w
            r["reasons"] |= 0 if side == now_side else int(Reason.DROOP_WAITING)
        opened = side == now_side and waiting != 0
        if side == now_side:
            waiting = 0
        target = target * fault.core_gain if side else 0.0
        dp = ahead if opened and side else target + (dp - target) * left
        r["reasons"] |= int(Reason.DROOP) if side else 0
        r["p_pre_w"] = p_pre if side else np.nan
        r["dp_target_w"], r["dp_w"] = target * RATING_W, dp * RATING_W
        wanted = p_pre + dp * RATING_W
        command[i] = min(max(wanted, plant.lo_w), plant.hi_w)
        r["reasons"] |= int(Reason.DROOP_LIMITED) if command[i] != wanted and side else 0
        r["p_freq_w"] = r["p_cmd_w"] = command[i]
        # the plant: its own dead band error shows as a shifted answer
        shift = -np.sign(dp) * fault.db_off_hz / (plant.f_nom_hz * plant.k) * RATING_W
        drooped = command[max(i - delay, 0)] - plant.wish_w
        drooped = drooped + (shift if abs(drooped) > abs(shift) else -drooped)
        if fault.quantum_w:
            drooped = round(drooped / fault.quantum_w) * fault.quantum_w
        wanted = fault.plant_sign * (plant.wish_w + fault.gain * drooped) + fault.offset_w
        share = PERIOD_NS / 1e9 / (fault.lag_s + PERIOD_NS / 1e9)
        power[i] = wanted if i == 0 else power[i - 1] + share * (wanted - power[i - 1])
    return rows


def frames(rows: NDArray[Any], every_s: float = 1.0, latency_ms: float = 40.0) -> NDArray[np.float64]:
    """(source, arrival) of live frames, wall clock ms."""
    wall_ms = (rows["t_ns"] + WALL_OFFSET_NS) / 1e6
    source = np.arange(wall_ms[0] + 300.0, wall_ms[-1], every_s * 1e3)
    return np.column_stack([source, source + latency_ms])


def step_to(f_hz: float, at_s: float = 20.0, f0_hz: float = 60.0) -> Trace:
    return lambda t: f_hz if t >= at_s else f0_hz


def through(points: Mapping[float, float]) -> Trace:
    """Straight lines through {t_s: f_hz}."""
    t, f = list(points), list(points.values())
    return lambda x: float(np.interp(x, t, f))


GB_LIKE = through({0: 60.0, 15: 60.0, 30: 59.3, 45: 59.5, 60: 59.2, 75: 59.7, 90: 60.0, 120: 60.0})
