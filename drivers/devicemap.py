"""What a map file says about a device: shapes and vocabulary. drivers.mapfile fills them, strictly.

Quantities are named as the fields of Measurement (meters) and DeviceState (inverters), in the unit of their name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cython_core.records import DeviceValid, MeasurementValid

PROVEN = ("document", "capture", "bench")
STORAGE = ("ram", "flash", "unknown")

# quantity -> (its bit in `valid`, its unit)
METER_QUANTITIES = {
    "f_hz": (MeasurementValid.F, "Hz"),
    "v1_v": (MeasurementValid.V1, "V"),
    "v2_v": (MeasurementValid.V2, "V"),
    "v3_v": (MeasurementValid.V3, "V"),
    "p_w": (MeasurementValid.P, "W"),
    "q_var": (MeasurementValid.Q, "var"),
}
DEVICE_QUANTITIES = {
    "p_w": (DeviceValid.P, "W"),
    "q_var": (DeviceValid.Q, "var"),
    "p_set_readback_w": (DeviceValid.P_SET, "W"),
    "p_max_discharge_w": (DeviceValid.P_MAX_DISCHARGE, "W"),
    "p_max_charge_w": (DeviceValid.P_MAX_CHARGE, "W"),
    "p_min_abs_w": (DeviceValid.P_MIN_ABS, "W"),
    "s_max_va": (DeviceValid.S_MAX, "VA"),
    "soc_pu": (DeviceValid.SOC, "pu"),
}
SIGNED = ("p_w", "q_var", "p_set_readback_w")  # their scale is written out, so that nobody forgets the direction


@dataclass(frozen=True, slots=True)
class Register:
    """One quantity of a meter: where it is, how it is packed, what it may be. resolution None: not known."""

    name: str
    at: int
    type: str
    low: float
    high: float
    scale: float = 1.0
    resolution: float | None = None
    every: int = 1
    absent: int | None = None


@dataclass(frozen=True, slots=True)
class Point:
    """One point of a SunSpec model: words from the model's ID. factor: the point that holds its power of ten."""

    at: int
    type: str
    factor: str | None = None


@dataclass(frozen=True, slots=True)
class ModelLayout:
    """The part of a SunSpec model that we use. lengths: the L values for which the layout holds."""

    id: int
    lengths: tuple[int, ...]
    needed: bool = False
    points: Mapping[str, Point] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Quantity:
    """One quantity of a SunSpec device: the first of `points` (model, name) that the device implements."""

    name: str
    points: tuple[tuple[int, str], ...]
    low: float
    high: float
    scale: float = 1.0
    every: int = 1
    needed: bool = False


@dataclass(frozen=True, slots=True)
class WriteContract:
    """How a device wants to be written to. timer_s: what its own silence timer accepts."""

    storage: str
    min_write_interval_ms: int
    quantum_p_w: float
    quantum_q_var: float
    timer_low_s: int
    timer_high_s: int


@dataclass(frozen=True, slots=True)
class DeviceMap:
    """One map file. A meter has registers and refresh_ms, an inverter models, quantities and writes."""

    file: str
    device: str
    kind: str
    source: str
    proven: str
    function: int
    max_words: int
    min_gap_ms: int = 0
    refresh_ms: int = 0
    registers: Mapping[str, Register] = field(default_factory=dict)
    models: Mapping[int, ModelLayout] = field(default_factory=dict)
    quantities: Mapping[str, Quantity] = field(default_factory=dict)
    writes: WriteContract | None = None

    def resolves(self, name: str, step: float) -> bool:
        """Whether the map promises that `name` shows changes as small as `step`. Not known counts as no."""
        resolution = self.registers[name].resolution if name in self.registers else None
        return resolution is not None and resolution <= step
