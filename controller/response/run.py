"""Step records -> the readings the measuring works on: distinct, valid, with the time they were taken.

The core runs faster than the meter: one reading stands in many records. Here each stands once, at its own time
(m_t_f_ns, m_t_p_ns, d_t_ns), so that no delay of the wire counts as an answer and none is hidden.
Power    the meter's when it sits at the inverter's terminals and reads power, else the inverter's own.
base_w   the power without droop: p_pre_w, frozen by the core while it answers an event, else on its ramp to the wish;
         without p_pre_w the wish itself. dP is measured against it.
Ideal    the formula (formula.py) at each reading, through the lag, while the unit is in service; then cut by the
         limits the core recorded (p_lo_w, p_hi_w).
Errors   RecordsError: the caller gave no records, or those of two runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from controller.response.detect import new_readings
from controller.response.formula import Floats, Ints, OpenLoop, expected_dp_pu, open_loop
from cython_core.records import DeviceValid, MeasurementValid, Reason, State
from cython_core.settings import Settings

Records = NDArray[Any]


class RecordsError(ValueError):
    """These records cannot be measured as one run: the caller must choose others."""


@dataclass(frozen=True, slots=True)
class Readings:
    """One quantity, each reading once. row: the record in which it first stood."""

    t_ns: Ints
    value: Floats
    row: Ints


@dataclass(frozen=True, slots=True)
class Run:
    """Everything the measuring needs, prepared once."""

    settings: Settings
    records: Records
    frequency: Readings
    power: Readings
    power_from: str  # "meter", "inverter" or "nobody"
    target_w: Floats  # the formula at each frequency reading, before limits
    ideal: OpenLoop  # the same through the lag
    base_w: Floats  # at each record
    lo_w: Floats
    hi_w: Floats

    @property
    def rating_w(self) -> float:
        return self.settings.rating.p_rated_w

    def allowed_w(self, dp_w: Floats, row: Ints) -> Floats:
        """What the recorded limits leave of a change of power, at the records `row`."""
        base = self.base_w[row]
        return np.clip(base + dp_w, self.lo_w[row], self.hi_w[row]) - base

    def row_at(self, t_ns: Ints) -> Ints:
        """The record in force at each moment."""
        return np.clip(np.searchsorted(self.records["t_ns"], t_ns, side="right") - 1, 0, None)

    def ideal_w(self, t_ns: Ints) -> Floats:
        """The ideal change of power at any moments: formula, lag, limits."""
        return self.allowed_w(self.ideal.at(t_ns), self.row_at(t_ns))


def prepare(records: Records, info: Mapping[str, Any]) -> Run:
    """Check that the records are one run and take the readings out of them."""
    if not len(records):
        raise RecordsError("no step records: nothing was recorded, so nothing can be measured")
    back = np.flatnonzero(np.diff(records["n"]) <= 0)
    if len(back):
        i = int(back[0])
        raise RecordsError(
            f"step {records['n'][i + 1]} follows step {records['n'][i]}: records of two runs; give one epoch at a time"
        )
    settings = Settings.from_mapping(info["settings"])
    frequency = frequency_readings(records, settings.rating.f_nom_hz)
    power, power_from = power_readings(records, str(info.get("meter_location", "inverter")))
    target_w = expected_dp_pu(frequency.value, settings) * settings.rating.p_rated_w
    target_w[~in_service(records)[frequency.row]] = 0.0
    # a record that starts inside an event starts with the answer already given
    start_w = float(records["dp_w"][0]) if records["reasons"][0] & Reason.DROOP else 0.0
    return Run(
        settings=settings,
        records=records,
        frequency=frequency,
        power=power,
        power_from=power_from,
        target_w=target_w,
        ideal=open_loop(frequency.t_ns, target_w, settings.freq_droop.t_response_s, start_w),
        base_w=np.where(np.isfinite(records["p_pre_w"]), records["p_pre_w"], records["p_wish_w"]),
        lo_w=np.nan_to_num(records["p_lo_w"], nan=-np.inf, neginf=-np.inf, posinf=np.inf),
        hi_w=np.nan_to_num(records["p_hi_w"], nan=np.inf, neginf=-np.inf, posinf=np.inf),
    )


def in_service(records: Records) -> NDArray[np.bool_]:
    """While the unit may answer the grid at all."""
    return np.isin(records["state"], (State.IN_SERVICE, State.DEGRADED, State.ENTERING))


def frequency_readings(records: Records, f_nom_hz: float) -> Readings:
    return _rising(records, new_readings(records, f_nom_hz), "m_t_f_ns", "m_f_hz")


def power_readings(records: Records, meter_location: str) -> tuple[Readings, str]:
    """The power at the inverter's terminals and who measured it."""
    sources = [("inverter", "d_t_ns", "d_p_w", "d_valid", int(DeviceValid.P))]
    if meter_location == "inverter":
        sources.insert(0, ("meter", "m_t_p_ns", "m_p_w", "m_valid", int(MeasurementValid.P)))
    for name, t_name, value, valid, bit in sources:
        t_ns = records[t_name]
        new = np.concatenate(([True], np.diff(t_ns) != 0)) & (records[valid] & bit != 0) & np.isfinite(records[value])
        if new.sum() > 1:
            return _rising(records, new, t_name, value), name
    return Readings(np.empty(0, np.int64), np.empty(0), np.empty(0, np.int64)), "nobody"


def _rising(records: Records, new: NDArray[np.bool_], t_name: str, value: str) -> Readings:
    """Rows of the mask whose time is later than every earlier one: a clock that steps back brings nothing new."""
    row = np.flatnonzero(new)
    t_ns = records[t_name][row]
    newest_before = np.concatenate(([np.iinfo(np.int64).min], np.maximum.accumulate(t_ns)[:-1])) if len(t_ns) else t_ns
    row = row[t_ns > newest_before]
    return Readings(records[t_name][row].astype(np.int64), records[value][row].astype(float), row)
