"""What a map file says about a device: shapes and vocabulary. drivers.mapfile fills them, strictly.

Quantities are named as the fields of Measurement (meters) and DeviceState (inverters), in the unit of their name.
A field with metadata is a key of the file (drivers.yamlkeys); maps/TEMPLATE.yaml explains each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from cython_core.records import DeviceValid, MeasurementValid
from drivers.tables import ENERGIES, TYPES
from drivers.yamlkeys import choice, flag, integer, number, several, text, version

WORD_ORDERS = ("big", "little")
USUAL_PLACE = 40070  # of a SunSpec device's model behind "SunS" at 40000 and a common model of 66 words

# quantity -> (its bit in `valid`, its unit)
METER_QUANTITIES = {
    "f_hz": (MeasurementValid.F, "Hz"),
    "v1_v": (MeasurementValid.V1, "V"),
    "v2_v": (MeasurementValid.V2, "V"),
    "v3_v": (MeasurementValid.V3, "V"),
    "p_w": (MeasurementValid.P, "W"),
    "q_var": (MeasurementValid.Q, "var"),
    "p1_w": (MeasurementValid.P1, "W"),
    "p2_w": (MeasurementValid.P2, "W"),
    "p3_w": (MeasurementValid.P3, "W"),
    "i1_a": (MeasurementValid.I1, "A"),
    "i2_a": (MeasurementValid.I2, "A"),
    "i3_a": (MeasurementValid.I3, "A"),
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
# counters, in no record: they change too slowly to decide anything, and are read each ENERGY_MS in a pause
METER_ENERGIES = ENERGIES[:2]
DEVICE_ENERGIES = ENERGIES[2:]
METER_UNITS = {name: unit for name, (_, unit) in METER_QUANTITIES.items()} | dict.fromkeys(METER_ENERGIES, "Wh")
DEVICE_UNITS = {name: unit for name, (_, unit) in DEVICE_QUANTITIES.items()} | dict.fromkeys(DEVICE_ENERGIES, "Wh")
ENERGY_MS = 10_000
# their scale is written out, so that nobody forgets the direction
SIGNED = ("p_w", "q_var", "p1_w", "p2_w", "p3_w", "p_set_readback_w")


@dataclass(frozen=True, slots=True, kw_only=True)
class Register:
    """One quantity of a meter: where it is, how it is packed, what it may be."""

    name: str
    at: int = integer("", 0, 0xFFFF, "address on the wire, zero-based")
    type: str = choice(tuple(TYPES), "how it is packed")
    low: float
    high: float
    scale: float = number("", -1e9, 1e9, "value = raw * scale", 1.0)
    resolution: float | None = number("", 1e-9, 1e6, "the smallest change the device shows, after the scale", None)
    every: int = integer("polls", 1, 1000, "asked in each so many-th", 1)
    absent: tuple[int, ...] = several(integer("", 0, 2**64 - 1, "the raw patterns for no value", ()))
    word_order: str = choice(
        WORD_ORDERS, "high word first, or low word first", "big"
    )  # the map's, unless it has its own
    function: int = integer("", 3, 4, "Modbus function that reads it", 3)  # the same

    @property
    def step(self) -> float | None:
        """The smallest change it shows: what the map says, else one count of a whole number. None: not known."""
        return self.resolution if self.resolution is not None or self.type == "f32" else abs(self.scale)


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """What this device shows in a place where others that answer alike show something else. function 0: the map's."""

    at: int = integer("", 0, 0xFFFF, "address on the wire, zero-based")
    type: str = choice(("u16", "u32"), "how it is packed, high word first")
    function: int = integer("", 3, 4, "Modbus function that reads it, if not the map's", 0)
    values: tuple[int, ...] = several(integer("", 0, 2**32 - 1, "the raw values of this device and of no other"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One point of a SunSpec model: words from the model's ID. factor: the point that holds its power of ten."""

    at: int = integer("words", 2, 0xFFFF, "from the model's ID")
    type: str = choice(tuple(TYPES), "how it is packed")
    factor: str | None = text("the name of a point", None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelLayout:
    """The part of a SunSpec model that we use. lengths: the L values for which the layout holds."""

    id: int
    lengths: tuple[int, ...]
    needed: bool = flag("a device without it is refused", False)
    points: Mapping[str, Point] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """One quantity of a SunSpec device: the first of `points` (model, name) that the device implements."""

    name: str
    points: tuple[tuple[int, str], ...]
    low: float
    high: float
    scale: float = number("", -1e9, 1e9, "value = raw * scale", 1.0)
    every: int = integer("polls", 1, 1000, "asked in each so many-th", 1)
    needed: bool = flag("a device without it is refused", False)
    resolution: float | None = number("", 1e-9, 1e6, "the smallest change the device shows, after the scale", None)

    def register(self, at: int, kind: str, function: int, scale: float = 1.0, absent: tuple[int, ...] = ()) -> Register:
        """The register of a meter where a device keeps it. scale: of the device, besides the map's."""
        return Register(
            name=self.name,
            at=at,
            type=kind,
            low=self.low,
            high=self.high,
            scale=self.scale * scale,
            resolution=self.resolution,
            every=self.every,
            absent=absent,
            function=function,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteContract:
    """How a device wants to be written to. timer_low_s, timer_high_s: what its own silence timer accepts or has."""

    storage: str = choice(("ram", "flash", "unknown"), "where a set-point is kept")
    write_budget_per_day: int = integer("writes", 1, 100000, "with storage unknown: more in 24 h are not sent", 0)
    min_write_interval_ms: int = integer("ms", 0, 60000, "never write faster")
    refresh_ms: int = integer("ms", 100, 86400000, "write again after this, if a third of the timer is longer", 0)
    quantum_p_w: float = number("W", 0.001, 1e6, "a smaller change is not worth a write")
    quantum_q_var: float = number("var", 0.001, 1e6, "a smaller change is not worth a write")
    timer: str = choice(("written", "own", "none"), "its silence timer: set by us, its own, or it has none", "written")
    timer_then: str = choice(("zero", "idle", "local"), "what it does when that has run out", "zero")
    timer_fed_by: str = choice(("writes", "any"), "what restarts the timer: a write, or any request", "writes")
    min_abs_w: float = number("W", 0, 10000, "smallest power it holds; default of limits.p_min_abs_w", 0.0)
    reverse_dwell_s: float = number("s", 0, 60, "wait at 0 before it turns; of limits.reverse_dwell_s", 0.0)
    settle_s: float = number("s", 0, 10, "from a write to 90 % of the answer; default of inverter.lag_ms", 0.0)
    timer_low_s: int
    timer_high_s: int

    @property
    def falls_to_zero(self) -> bool:
        """Whether the device goes to 0 W by itself when nobody speaks to it."""
        return self.timer != "none" and self.timer_then != "local"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a value of an inverter with plain registers is read. function, unit_id 0: the map's, the site's."""

    at: int = integer("", 0, 0xFFFF, "address on the wire, zero-based")
    type: str = choice(tuple(TYPES), "how it is packed")
    function: int = integer("", 3, 4, "Modbus function that reads it, if not the map's", 0)
    unit_id: int = integer("", 1, 247, "Modbus unit, if not the site's", 0)
    every: int = integer("polls", 1, 1000, "asked in each so many-th", 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class InverterRegister(Place):
    """One quantity of DeviceState: value = raw * scale, absent outside low ... high."""

    name: str
    low: float
    high: float
    scale: float = number("", -1e9, 1e9, "value = raw * scale", 1.0)
    absent: tuple[int, ...] = several(integer("", 0, 2**64 - 1, "the raw patterns for no value", ()))


@dataclass(frozen=True, slots=True, kw_only=True)
class WordTable(Place):
    """session or status: raw value -> our words. A value that is not in the table is an unknown one."""

    values: Mapping[int, tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameField:
    """One value of a write: a constant, the site's reversion_s in `timer` units, or source * scale in low ... high."""

    type: str = choice(tuple(TYPES), "how it is packed")
    to: int | None = integer("", -(2**31), 2**32 - 1, "a constant", None)
    timer: str | None = choice(("s", "ms"), "the site's reversion_s in this unit", None)
    source: str | None = None
    scale: float = number("", -1e9, 1e9, "1 if the device counts + out of the inverter, else -1", 0.0)
    low: float = 0.0
    high: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One write request: its fields stand word behind word from `at` on."""

    at: int = integer("", 0, 0xFFFF, "address on the wire, zero-based")
    function: int = 16
    unit_id: int = integer("", 1, 247, "Modbus unit, if not the site's", 0)
    readback: bool = flag("written only where it differs, and read again", True)
    fields: tuple[FrameField, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterInverter:
    """An inverter with plain registers: what is read, and the frames that start, command and release it."""

    word_order: str
    registers: Mapping[str, InverterRegister]
    energies: Mapping[str, InverterRegister] = field(default_factory=dict)
    session: WordTable | None = None
    status: WordTable | None = None
    start: tuple[Frame, ...] = ()
    setpoint: tuple[Frame, ...] = ()
    stop: tuple[Frame, ...] = ()

    def places(self) -> tuple[Place, ...]:
        """All that is read."""
        return (*self.registers.values(), *(t for t in (self.session, self.status) if t is not None))

    def takes(self, source: str) -> tuple[float, float] | None:
        """The range of p_w or q_var that a set-point may have; None: it cannot be commanded."""
        ranges = [(f.low, f.high) for frame in self.setpoint for f in frame.fields if f.source == source]
        return (max(low for low, _ in ranges), min(high for _, high in ranges)) if ranges else None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceMap:
    """One map file. A meter has refresh_ms and registers; an inverter writes, and either models and quantities
    (SunSpec) or plain registers (inverter). A SunSpec meter has models and quantities: drivers.sunspec.meter makes
    registers of them when it has found the device."""

    file: str
    schema: int = version(1, "version of this file's shape")
    device: str = text("the name people will use", pattern=".+")
    kind: str = choice(("meter", "inverter"), "decides which keys follow")
    source: str = text("the document or capture a reviewer can open", pattern=".+")
    proven: str = choice(("document", "capture", "bench"), "how the map is known to be right")
    function: int = integer("", 3, 4, "Modbus function that reads")
    max_words: int = integer("words", 1, 125, "Modbus allows 125")
    min_gap_ms: int = integer("ms", 0, 1000, "rest between two requests", 0)
    udp: bool = flag("it speaks Modbus over UDP", False)
    probe: Probe | None = None
    refresh_ms: int = 0
    registers: Mapping[str, Register] = field(default_factory=dict)
    models: Mapping[int, ModelLayout] = field(default_factory=dict)
    quantities: Mapping[str, Quantity] = field(default_factory=dict)
    writes: WriteContract | None = None
    inverter: RegisterInverter | None = None

    def as_if_found(self) -> DeviceMap:
        """A SunSpec meter before it is found, for what its wire costs: the first model that has the points, at its
        usual place, every value a float whose step is not known. The models stay: they say that it is not found yet."""
        registers = dict(self.registers)
        for name, q in self.quantities.items():
            model, point = q.points[0]
            registers[name] = q.register(USUAL_PLACE + self.models[model].points[point].at, "f32", self.function)
        return replace(self, registers=registers)

    def resolves(self, name: str, step: float) -> bool:
        """Whether the map promises that `name` shows changes as small as `step`. Not known counts as no."""
        shown = self.registers[name].step if name in self.registers else None
        return shown is not None and shown <= step
