"""The records as NumPy dtypes: arrays in, arrays out. Never imported by the running core.

dtype(StepRecord) has the fields of records.StepRecord in order; raw records view as rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cython_core.records import DeviceStatus, DeviceValid, MeasurementValid, StepRecord, WishSource, kinds

if TYPE_CHECKING:
    from cython_core.step import Core


def dtype(record: type[Any]) -> np.dtype[Any]:
    """The NumPy dtype of one record type: int64 and float64 fields, little-endian, no padding."""
    names = [f.name for f in fields(record)]
    return np.dtype([(n, "<f8" if k == "d" else "<i8") for n, k in zip(names, kinds(record), strict=True)])


STEP = dtype(StepRecord)


def stack(records: Iterable[StepRecord]) -> NDArray[Any]:
    """StepRecords -> structured array, one row a record."""
    return np.array([tuple(getattr(r, n) for n in STEP.names or ()) for r in records], dtype=STEP)


def from_bytes(payload: bytes) -> NDArray[Any]:
    """Raw step records, end to end -> structured array (a copy)."""
    return np.frombuffer(payload, dtype=STEP).copy()


# what a table of virtual time may hold, and what stands for a missing column
RUN_COLUMNS = {"f_hz": None, "v_pu": None, "p_demand_w": None, "permit": 1.0, "ap_limit_pu": float("nan")}
Columns = dict[str, NDArray[np.float64]]
START_NS = 1_000_000_000  # virtual time begins here: 0 means "never"


def run(core: Core, arrays: Mapping[str, ArrayLike]) -> NDArray[Any]:
    """Virtual time: one element a step -> step records.

    arrays: f_hz, v_pu, p_demand_w, optional permit (0/1), ap_limit_pu (NaN = no order); optional t_s is not read: the
    steps lie one period apart. Every input is fresh, the battery half full, the unit running; P starts at the first
    demand. Raises ValueError on a missing or unknown column or on unequal lengths.
    """
    columns = _columns(arrays)
    n = len(columns["f_hz"])
    rows = np.zeros(n, dtype=STEP)
    period_ns = round(core.period_s * 1e9)
    t_ns = START_NS + core.n * period_ns + np.arange(n, dtype=np.int64) * period_ns
    rows["t_ns"], rows["k"] = t_ns, 1
    _meter(rows, t_ns, columns, core.settings.rating.v_nom_v)
    rows["d_t_ns"] = rows["d_t_echo_ns"] = t_ns
    rows["d_valid"] = int(DeviceValid.SOC | DeviceValid.STATUS)
    rows["d_soc_pu"] = 0.5
    rows["d_status"] = int(DeviceStatus.RUNNING | DeviceStatus.CONNECTED)
    rows["o_t_ns"], rows["o_permit"] = t_ns, columns["permit"] != 0.0
    rows["o_ap_limit_pu"] = columns["ap_limit_pu"]
    _demand(rows, t_ns, columns["p_demand_w"], core)
    if core.n == 0 and n and np.isfinite(columns["p_demand_w"][0]):  # else nobody wishes for anything: from 0
        core.assume_power(float(np.clip(columns["p_demand_w"][0], -_charge(core), core.settings.rating.p_rated_w)))
    return np.frombuffer(core.replay(rows.tobytes()), dtype=STEP)


def _columns(arrays: Mapping[str, ArrayLike]) -> Columns:
    unknown = set(arrays) - set(RUN_COLUMNS) - {"t_s"}
    missing = {name for name, default in RUN_COLUMNS.items() if default is None} - set(arrays)
    if unknown or missing:
        wrong = f"unknown columns {sorted(unknown)}, missing columns {sorted(missing)}"
        raise ValueError(f"{wrong}; known: {list(RUN_COLUMNS)}")
    n = len(np.atleast_1d(np.asarray(arrays["f_hz"], dtype=float)))
    columns = {}
    for name, default in RUN_COLUMNS.items():
        column = np.asarray(arrays[name], dtype=float) if name in arrays else np.full(n, default)
        if column.shape != (n,):
            raise ValueError(f"column {name} has the shape {column.shape}, f_hz has ({n},)")
        columns[name] = column
    return columns


def _meter(rows: NDArray[Any], t_ns: NDArray[np.int64], columns: Columns, v_nom_v: float) -> None:
    for name in ("m_t_f_ns", "m_t_v_ns", "m_t_p_ns"):
        rows[name] = t_ns
    rows["m_valid"] = int(MeasurementValid.F | MeasurementValid.V1)
    rows["m_f_hz"] = columns["f_hz"]
    rows["m_v1_v"] = columns["v_pu"] * v_nom_v
    for name in ("m_v2_v", "m_v3_v", "m_p_w", "m_q_var"):
        rows[name] = np.nan


def _demand(rows: NDArray[Any], t_ns: NDArray[np.int64], demand_w: NDArray[np.float64], core: Core) -> None:
    """A wish of the bench arrives whenever the demand changes, and anew before the last one runs out."""
    rating, lifetime_s = core.settings.rating, core.settings.default_wish.wish_lifetime_s
    every = max(1, int(0.5 * lifetime_s / core.period_s))
    arrives = np.ones(len(rows), dtype=bool)
    arrives[1:] = demand_w[1:] != demand_w[:-1]
    arrives[::every] = True
    rows["i_source"] = np.where(arrives, int(WishSource.BENCH), -1)
    rows["i_lo_w"], rows["i_hi_w"] = -rating.p_charge_rated_w, rating.p_rated_w
    rows["i_p_w"] = demand_w
    rows["i_q_var"] = np.nan
    rows["i_valid_from_ns"] = t_ns
    rows["i_expires_ns"] = t_ns + round(lifetime_s * 1e9)
    rows["i_seq"] = core.n + 1 + np.arange(len(rows))


def _charge(core: Core) -> float:
    return core.settings.rating.p_charge_rated_w
