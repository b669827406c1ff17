"""An inverter with plain registers -> Plan. Pure.

Reads    as few requests as its units, functions and longest read allow.
Words    session and status begin as unknown in each record: a raw value that is not in the table leaves no power.
Writes   each frame of the map as one request; reversion_s where the map says `timer`.
Raises   MapError for a timer that the device does not take.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

from cython_core.records import DeviceState, DeviceStatus, DeviceValid, Session
from drivers.base import MapError
from drivers.devicemap import DEVICE_QUANTITIES, DeviceMap, Frame, FrameField, InverterRegister, Place, WordTable
from drivers.registermap import FORMATS, Span, by_clock, energy_row, field_word, plan_reads
from drivers.tables import LITTLE, TYPES, Decode, Encode, Flag, Plan, Read, Write
from drivers.writecontract import quiet_ms, refresh_ms, timer_fault

READ_HOLDING = 3
TIMER_UNITS = {"s": 1, "ms": 1000}


def register_plan(device: DeviceMap, unit: int, reversion_s: int, timeout_ms: int = 300) -> Plan:
    """Everything the bus needs. unit: the site's, for whatever the map gives no unit of its own."""
    inverter, contract = device.inverter, device.writes
    if inverter is None or contract is None:
        raise MapError(f"{device.file}:1: {device.device} has no plain registers")
    fault = timer_fault(contract, reversion_s)
    if fault:
        raise MapError(f"{device.file}:1: {fault}")
    layout = Layout(device, unit)
    tables: list[Flag] = []
    if inverter.session is not None:
        tables += layout.words(inverter.session, "session", DeviceValid.SESSION, SESSIONS, replace=True)
    if inverter.status is not None:
        tables += layout.words(inverter.status, "status", DeviceValid.STATUS, STATUSES, replace=False)
    little = inverter.word_order == "little"
    return Plan(
        unit=unit,
        reads=layout.reads,
        decodes=tuple(layout.row(r) for r in inverter.registers.values()),
        flags=tuple(tables),
        start=tuple(_write(f, reversion_s, little) for f in inverter.start),
        setpoint=tuple(_write(f, reversion_s, little) for f in inverter.setpoint),
        stop=tuple(_write(f, reversion_s, little) for f in inverter.stop),
        timeout_ms=timeout_ms,
        min_gap_ms=device.min_gap_ms,
        min_write_interval_ms=contract.min_write_interval_ms,
        write_refresh_ms=refresh_ms(contract, reversion_s),
        quantum_p_w=contract.quantum_p_w,
        quantum_q_var=contract.quantum_q_var,
        write_budget_per_day=contract.write_budget_per_day,
        quiet_ms=quiet_ms(contract, reversion_s),
        energies=tuple(layout.energy_row(r) for r in inverter.energies.values()),
    )


SESSIONS = {s.name.lower(): int(s) for s in Session}
STATUSES = {str(s.name).lower(): int(s) for s in DeviceStatus}


class Layout:
    """The requests of a device, and where in their answers each value stands."""

    def __init__(self, device: DeviceMap, unit: int) -> None:
        assert device.inverter is not None
        self.device, self.unit = device, unit
        self.order = LITTLE if device.inverter.word_order == "little" else ""
        spans: dict[tuple[int | None, int], list[Span]] = {}
        for place in device.inverter.places():
            spans.setdefault(self.asked(place), []).append(Span(place.at, TYPES[place.type], place.every))
        self.reads: tuple[Read, ...] = tuple(
            Read(r.function, r.address, r.count, r.every, own)
            for (own, function), group in spans.items()
            for r in plan_reads(function, group, device.max_words)
        )
        for place in device.inverter.energies.values():
            own, function = self.asked(place)
            self.reads += by_clock(self.reads, function, [Span(place.at, TYPES[place.type])], device.max_words, own)

    def asked(self, place: Place) -> tuple[int | None, int]:
        """(unit of its own, function) of a request for this value."""
        own = place.unit_id if place.unit_id not in (0, self.unit) else None
        return own, place.function or self.device.function

    def find(self, place: Place) -> tuple[int, int]:
        """(index of the read that holds it, first word inside its answer)."""
        own, function = self.asked(place)
        words = TYPES[place.type]
        for i, r in enumerate(self.reads):
            inside = r.address <= place.at and place.at + words <= r.address + r.count
            if inside and (r.unit, r.function) == (own, function):
                return i, place.at - r.address
        raise AssertionError(f"no read covers {words} words at {place.at:#06x}")

    def kind(self, place: Place) -> str:
        """The type of its row: with the order of its words."""
        return place.type + (self.order if TYPES[place.type] > 1 else "")

    def energy_row(self, r: InverterRegister) -> Decode:
        """The row of a counter."""
        return energy_row(r.name, *self.find(r), self.kind(r), r)

    def row(self, r: InverterRegister) -> Decode:
        read, word = self.find(r)
        target, valid = field_word(DeviceState, r.name), int(DEVICE_QUANTITIES[r.name][0])
        return Decode(read, word, self.kind(r), r.scale, r.low, r.high, target, valid, absent=r.absent)

    def words(
        self, table: WordTable, field: str, valid: DeviceValid, codes: Mapping[str, int], replace: bool
    ) -> Sequence[Flag]:
        """First a row that always matches: it says "unknown". replace: the value is one word, not bits."""
        read, word = self.find(table)
        target, mask = field_word(DeviceState, field), (1 << 16 * TYPES[table.type]) - 1
        rows = [Flag(read, word, self.kind(table), 0, 0, target, 0, int(valid), set=True)]
        for raw, names in table.values.items():
            bits = sum({codes[name] for name in names})
            rows.append(Flag(read, word, self.kind(table), mask, raw, target, bits, int(valid), set=replace))
        return rows


def _write(frame: Frame, reversion_s: int, little: bool) -> Write:
    words: list[int] = []
    encodes: list[Encode] = []
    for field in frame.fields:
        if field.source is not None:
            kind = field.type + (LITTLE if little and TYPES[field.type] > 1 else "")
            encodes.append(Encode(len(words), kind, field.scale, field.source, field.low, field.high))
        words += _words(field, reversion_s, little)
    verify = READ_HOLDING if frame.readback else 0
    return Write(frame.function, frame.at, tuple(words), tuple(encodes), frame.unit_id or None, verify)


def _words(field: FrameField, reversion_s: int, little: bool) -> Sequence[int]:
    """The words of a constant; of a commanded quantity those of 0."""
    value = reversion_s * TIMER_UNITS[field.timer] if field.timer else field.to or 0
    count = TYPES[field.type]
    try:
        words = struct.unpack(f">{count}H", struct.pack(f">{FORMATS[field.type]}", value))
    except struct.error as error:
        raise MapError(f"reversion_s = {reversion_s} does not fit type {field.type}") from error
    return words[::-1] if little else words
