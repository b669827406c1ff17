"""One unit through thousands of steps at once: columns of inputs, then Core.replay, then the records as an array.

The pencil's unit of the worked examples: 10 kVA, 10 kW out, 8 kW in, 240 V, +-0.44 pu of reactive power (Category A
absorbs 0.25), battery half full. Powers here are pu: P of 10 kW, Q of 10 kVA.
Times    inputs of run() change right after a grid point: record i is the one i + 1 steps after the change.
Meter    refresh_s = 0: every step has a new reading; else readings lie refresh_s apart, the first in the first step.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cython_core.bulk import START_NS, STEP
from cython_core.records import DeviceStatus, DeviceValid, MeasurementValid, Session, WishSource
from cython_core.settings import Settings
from cython_core.step import Core
from tests.cython_core.unit import settings

RATED_W = S_VA = 10000.0
V_NOM_V = 240.0
RATING = {"p_rated_w": 10000.0, "p_charge_rated_w": 8000.0, "s_rated_va": 10000.0, "v_nom_v": V_NOM_V}
LONG = {"wish_lifetime_s": 86400.0}  # one wish lasts for a whole series
INSTANT = {"ramp_pu_s": 10.0}  # the product's own ramp is out of the way
HERTZ, VOLTS = MeasurementValid.F, (MeasurementValid.V1, MeasurementValid.V2, MeasurementValid.V3)
Rows = NDArray[Any]


def pencil(category: str = "B", **groups: Any) -> Settings:
    """The unit of the worked examples; category: of normal operation, or "B/II" for both."""
    normal, _, abnormal = category.partition("/")
    rating = {**RATING, "normal_category": normal, "abnormal_category": abnormal or "III"}
    rating["q_absorb_pu"] = {"A": 0.25, "B": 0.44}[normal]
    quick = {"limits": INSTANT, "default_wish": LONG}
    rating |= groups.pop("rating", {})
    for name in quick:
        quick[name] = {**quick[name], **groups.pop(name, {})}
    return settings(rating=rating, **quick, **groups)


class Series:
    """Attributes are the inputs from here on; run() takes numbers or one value a step. `rows` are the last records."""

    def __init__(self, chosen: Settings, period_s: float = 0.01, refresh_s: float = 0.0, wish_pu: float = 0.0) -> None:
        self.core = Core(chosen, period_s)
        self.period_ns = round(period_s * 1e9)
        self.refresh_ns = round(refresh_s * 1e9)
        self.t_ns = START_NS  # of the last step
        self.f_hz: ArrayLike = 60.0
        self.v_pu: ArrayLike = 1.0  # every phase, or a column a phase
        self.wish_pu: ArrayLike = wish_pu
        self.permit: ArrayLike = 1
        self.stop: ArrayLike = 0
        self.ap_limit: ArrayLike = np.nan
        self.status: ArrayLike = int(DeviceStatus.RUNNING | DeviceStatus.CONNECTED)
        self.session: ArrayLike = int(Session.READY)
        self.soc: ArrayLike = 0.5
        self.silent = False  # the meter answers nothing: its last reading grows old
        self.seq = 0
        self.reading: Rows | None = None
        self.rows: Rows = np.zeros(0, STEP)
        self.device_w = wish_pu * RATED_W  # it delivers its wish when the series begins

    def run(self, seconds: float, k: Any = 1, **changes: ArrayLike) -> Rows:
        """Every step of so many seconds; k: grid points a step, or an array with one number for each step."""
        for name, value in changes.items():
            assert hasattr(self, name), f"a series has no {name}"
            setattr(self, name, value)
        if isinstance(k, int):
            k = np.full(max(round(seconds * 1e9 / self.period_ns / k), 1), k, dtype=np.int64)
        rows = np.zeros(len(k), STEP)
        rows["k"] = k
        rows["t_ns"] = self.t_ns + np.cumsum(k) * self.period_ns
        self._meter(rows)
        self._others(rows)
        self.rows = np.frombuffer(self.core.replay(rows.tobytes()), STEP)
        self.t_ns, self.device_w = int(rows["t_ns"][-1]), float(self.rows["p_cmd_w"][-1])
        return self.rows

    def _meter(self, rows: Rows) -> None:
        rows["m_f_hz"] = self.f_hz
        volts = np.asarray(self.v_pu, dtype=float)
        volts = volts if volts.ndim == 2 else volts.reshape(-1, 1)
        valid = HERTZ
        for i, bit in enumerate(VOLTS):
            here = i < volts.shape[1]
            rows[f"m_v{i + 1}_v"] = np.round(volts[:, i] * V_NOM_V, 9) if here else np.nan
            valid |= bit if here else 0
        rows["m_valid"] = int(valid)
        taken = self._taken(rows["t_ns"])
        fresh = taken >= 0
        for name in [n for n in STEP.names or () if n.startswith("m_")]:
            if name.startswith("m_t_"):
                rows[name] = rows["t_ns"]
            elif name[2:4] in ("p_", "q_") or name[2] in "pi":
                rows[name] = np.nan
            column = rows[name][np.maximum(taken, 0)]
            rows[name] = column if self.reading is None else np.where(fresh, column, self.reading[name][0])
        self.reading = rows[-1:].copy()

    def _taken(self, t_ns: NDArray[np.int64]) -> NDArray[np.int64]:
        """For each step the index of the step whose reading it sees; -1: the last one of the run before."""
        if self.silent:
            return np.full(len(t_ns), -1)
        if self.refresh_ns == 0:
            return np.arange(len(t_ns))
        number = (t_ns - t_ns[0]) // self.refresh_ns
        return np.asarray(np.searchsorted(number, number, side="left"), dtype=np.int64)

    def _others(self, rows: Rows) -> None:
        t_ns = rows["t_ns"]
        rows["d_t_ns"] = rows["d_t_echo_ns"] = t_ns
        rows["d_valid"] = int(DeviceValid.P | DeviceValid.SOC | DeviceValid.STATUS | DeviceValid.SESSION)
        rows["d_p_w"] = self.device_w
        rows["d_soc_pu"], rows["d_status"], rows["d_session"] = self.soc, self.status, self.session
        rows["o_t_ns"], rows["o_permit"], rows["o_stop"] = t_ns, self.permit, self.stop
        rows["o_ap_limit_pu"] = self.ap_limit
        wish_w = np.broadcast_to(np.asarray(self.wish_pu, dtype=float) * RATED_W, t_ns.shape)
        new = np.r_[True, np.diff(wish_w) != 0.0]
        rows["i_source"] = np.where(new, int(WishSource.BENCH), -1)
        rows["i_lo_w"], rows["i_hi_w"], rows["i_p_w"], rows["i_q_var"] = -1e6, 1e6, wish_w, np.nan
        rows["i_valid_from_ns"], rows["i_expires_ns"] = t_ns, t_ns + 86_400 * 10**9
        rows["i_seq"] = self.seq + 1 + np.arange(len(rows))
        self.seq += len(rows)


def p_pu(rows: Rows) -> NDArray[np.float64]:
    return np.asarray(rows["p_cmd_w"] / RATED_W, dtype=float)


def q_pu(rows: Rows) -> NDArray[np.float64]:
    return np.asarray(rows["q_cmd_var"] / S_VA, dtype=float)


def elapsed_s(rows: Rows, period_s: float) -> NDArray[np.float64]:
    """Seconds since the inputs of this run changed, at each record."""
    return np.asarray(np.cumsum(rows["k"]) * period_s, dtype=np.float64)


def steady(chosen: Settings, seconds: float = 60.0, **inputs: float) -> Rows:
    """Ten seconds of normal grid, then the inputs for so long: the last record."""
    unit = Series(chosen, 0.1, wish_pu=inputs.pop("wish_pu", 0.0))
    unit.run(10.0)
    return unit.run(seconds, 1, **inputs)[-1:]
