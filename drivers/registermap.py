"""Register maps: facts about a device -> flat read, decode and write tables. Pure; no sockets.

meter_plan(map) chooses the requests and compiles the rows. decode() and encode() say in plain Python what a bus
thread does with them: they are the specification, and the oracle of the compiled bus.
Raises MapError when a map cannot serve the site; a device's wrong answer becomes an absent quantity, never an error.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from cython_core.records import NAN, DeviceState, Measurement
from drivers.base import MapError
from drivers.devicemap import (
    ENERGY_MS,
    METER_ENERGIES,
    METER_QUANTITIES,
    DeviceMap,
    InverterRegister,
    Register,
)
from drivers.mapfile import load_map, map_names, parse_map
from drivers.tables import (
    ENERGIES,
    LITTLE,
    ROW_TYPES,
    TYPES,
    Decode,
    Encode,
    Flag,
    Plan,
    Read,
    Write,
    plan_from_json,
    plan_to_json,
)

__all__ = [
    "TYPES", "Decode", "DeviceMap", "Encode", "Flag", "Plan", "Read", "Span", "Write", "connection_registers", "decode",
    "encode", "field_word", "load_map", "locate", "map_names", "meter_plan", "parse_map", "plan_from_json",
    "plan_reads", "plan_to_json",
]  # fmt: skip

FORMATS = {"u16": "H", "s16": "h", "u32": "I", "s32": "i", "f32": "f", "u64": "Q", "s64": "q"}
# phases -> the voltages measured; at the house connection power and current have the same numbers
PHASES = {"L1": ("v1_v",), "split": ("v1_v", "v2_v"), "L1L2L3": ("v1_v", "v2_v", "v3_v")}

READ_CHARS = 8 + 5  # on a serial line: a read's question, and its answer without the words
SILENCE_CHARS = 3.5  # before each


@dataclass(frozen=True, slots=True)
class Span:
    """Words that must come in one answer, asked in each `every`-th poll."""

    address: int
    words: int
    every: int = 1


def plan_reads(
    function: int, spans: Sequence[Span], max_words: int, turnaround_ms: float = 2.0, baud: int = 0
) -> tuple[Read, ...]:
    """The cheapest requests that cover all spans, fast ones first.

    A request costs the device's turnaround and, on a serial line (baud > 0), its own characters; a word costs its
    characters. So on TCP one long request wins, at 9600 baud two short ones beat a long gap. A slow span that a
    faster request covers anyway costs nothing.
    """
    word_ms = (
        2 * 10 * 1000 / baud if baud else 0.01
    )  # 10 bits a character; TCP: about what a device needs to fill it in
    request_ms = turnaround_ms + ((READ_CHARS + 2 * SILENCE_CHARS) * 10_000 / baud if baud else 0.0)
    reads: list[Read] = []
    for every in sorted({s.every for s in spans}):
        wanted = sorted({(s.address, s.words) for s in spans if s.every == every})
        left = [(at, words) for at, words in wanted if _covering(reads, at, words) is None]
        reads += [Read(function, at, count, every) for at, count in _cheapest(left, max_words, request_ms, word_ms)]
    return tuple(reads)


def by_clock(
    reads: Sequence[Read], function: int, spans: Sequence[Span], max_words: int, unit: int | None = None
) -> tuple[Read, ...]:
    """The requests each ENERGY_MS for counters that stand in none of `reads`: the whole of them in as few as can be."""
    asked = [r for r in reads if (r.function, r.unit) == (function, unit)]
    left = [s for s in spans if _covering(asked, s.address, s.words) is None]
    planned = plan_reads(function, left, max_words)
    return tuple(replace(r, every=0, every_ms=ENERGY_MS, unit=unit) for r in planned)


def _cheapest(
    spans: Sequence[tuple[int, int]], max_words: int, request_ms: float, word_ms: float
) -> list[tuple[int, int]]:
    """Cut a sorted list of spans into requests of least cost: best[i] is the answer for the first i spans."""
    best: list[tuple[float, list[tuple[int, int]]]] = [(0.0, [])]
    for end in range(1, len(spans) + 1):
        choices = []
        for begin in range(end):
            start = spans[begin][0]
            count = max(at + words for at, words in spans[begin:end]) - start
            if count <= max_words:
                cost, requests = best[begin]
                choices.append((cost + request_ms + count * word_ms, [*requests, (start, count)]))
        if not choices:
            raise MapError(f"{spans[end - 1][1]} words at {spans[end - 1][0]:#06x} do not fit max_words = {max_words}")
        best.append(min(choices, key=lambda c: (c[0], len(c[1]))))
    return best[-1][1]


def _covering(reads: Sequence[Read], address: int, words: int, function: int = 0) -> int | None:
    for i, read in enumerate(reads):
        inside = read.address <= address and address + words <= read.address + read.count
        if inside and function in (0, read.function):
            return i
    return None


def locate(reads: Sequence[Read], address: int, words: int, function: int = 0) -> tuple[int, int]:
    """(index of the read that holds these words, first word inside its answer). function 0: there is only one."""
    index = _covering(reads, address, words, function)
    if index is None:
        raise AssertionError(f"no read covers {words} words at {address:#06x}")
    return index, address - reads[index].address


def field_word(record: type[Any], name: str) -> int:
    """Which word of a record a field is."""
    return [f.name for f in fields(record)].index(name)


def meter_plan(
    device_map: DeviceMap,
    unit: int,
    phases: str,
    timeout_ms: int,
    turnaround_ms: float = 2.0,
    baud: int = 0,
    power: str = "unit",
) -> Plan:
    """A meter's reads and rows for one site. phases: L1 | split | L1L2L3; voltages outside it stay absent.

    power unit: it sees the unit's own P and Q. house: power of the house connection, of each phase too, with the
    currents. none: it sees a house whose power nobody needs; what is not needed costs no time on the wire.
    """
    _check_phases(device_map, phases)
    wanted = {"unit": ("p_w", "q_var"), "house": ("p_w",), "none": ()}[power]
    found = [r for name, r in device_map.registers.items() if name in ("f_hz", *PHASES[phases], *wanted)]
    if power == "house":
        found += connection_registers(device_map, phases).values()
    reads: tuple[Read, ...] = ()
    for function in sorted({r.function for r in found}):
        spans = [Span(r.at, TYPES[r.type], r.every) for r in found if r.function == function]
        reads += plan_reads(function, spans, device_map.max_words, turnaround_ms, baud)
    counters = [device_map.registers[name] for name in METER_ENERGIES if name in device_map.registers]
    for function in sorted({r.function for r in counters}):
        spans = [Span(r.at, TYPES[r.type]) for r in counters if r.function == function]
        reads += by_clock(reads, function, spans, device_map.max_words)
    return Plan(
        unit=unit,
        reads=reads,
        decodes=tuple(meter_row(r, reads) for r in found),
        timeout_ms=timeout_ms,
        min_gap_ms=device_map.min_gap_ms,
        energies=tuple(meter_energy_row(r, reads) for r in counters),
    )


def connection_registers(device_map: DeviceMap, phases: str) -> dict[str, Register]:
    """Power and current of each phase in use, as far as the map has them. Of one phase the total is the phase."""
    numbers = range(1, len(PHASES[phases]) + 1)
    names = [f"p{i}_w" for i in numbers] + [f"i{i}_a" for i in numbers]
    found = {name: device_map.registers[name] for name in names if name in device_map.registers}
    if phases == "L1" and "p1_w" not in found and "p_w" in device_map.registers:
        found["p1_w"] = replace(device_map.registers["p_w"], name="p1_w")
    return found


def _check_phases(device_map: DeviceMap, phases: str) -> None:
    if device_map.kind != "meter":
        raise MapError(f"{device_map.file}:1: {device_map.device} is a map of kind {device_map.kind}; allowed: meter")
    if phases not in PHASES:
        raise MapError(f"{device_map.file}:1: phases = '{phases}'; allowed: {', '.join(PHASES)}")
    missing = [v for v in PHASES[phases] if v not in device_map.registers]
    if missing:
        fits = [p for p, names in PHASES.items() if all(v in device_map.registers for v in names)]
        raise MapError(
            f"{device_map.file}:1: {device_map.device} has no {', '.join(missing)}, which phases = '{phases}' needs; "
            f"allowed for this meter: {', '.join(fits)}"
        )


def meter_row(r: Register, reads: Sequence[Read]) -> Decode:
    """The row of one quantity of a meter."""
    read, word = locate(reads, r.at, TYPES[r.type], r.function)
    target, valid = field_word(Measurement, r.name), int(METER_QUANTITIES[r.name][0])
    return Decode(read, word, _kind(r), r.scale, r.low, r.high, target, valid, absent=r.absent)


def meter_energy_row(r: Register, reads: Sequence[Read]) -> Decode:
    """The row of a meter's counter."""
    return energy_row(r.name, *locate(reads, r.at, TYPES[r.type], r.function), _kind(r), r)


def energy_row(name: str, read: int, word: int, kind: str, r: Register | InverterRegister) -> Decode:
    """The row of a counter, at its place in ENERGIES."""
    place = ENERGIES.index(name)
    return Decode(read, word, kind, r.scale, r.low, r.high, place, 1 << place, absent=r.absent)


def _kind(r: Register) -> str:
    return r.type + LITTLE if r.word_order == "little" and TYPES[r.type] > 1 else r.type


def decode(
    plan: Plan, answers: Sequence[Sequence[int] | None], record: type[Measurement] | type[DeviceState]
) -> dict[str, Any]:
    """The record's fields from the newest answer (words) of each read; None where a read was never answered.

    A read that this poll did not ask keeps its last answer. Rows work in order, decodes first, then flags.
    """
    names = [f.name for f in fields(record)]
    values: dict[str, Any] = {f.name: f.default for f in fields(record)}
    for row in plan.decodes:
        value = _value(row, answers[row.read])
        values[names[row.target]] = (0 if row.to_int else NAN) if value is None else value
        if value is not None:
            values["valid"] |= row.valid
    for flag in plan.flags:
        words = answers[flag.read]
        if words is not None and _raw(words, flag.word, flag.type) & flag.mask == flag.equals:
            old = 0 if flag.set else values[names[flag.target]]
            values[names[flag.target]] = old | flag.bits
            values["valid"] |= flag.valid
    return values


def decode_energies(plan: Plan, answers: Sequence[Sequence[int] | None]) -> dict[str, float]:
    """{name: Wh} of the counters that stand in the newest answers; those that are absent are left out."""
    found = {ENERGIES[row.target]: _value(row, answers[row.read]) for row in plan.energies}
    return {name: float(value) for name, value in found.items() if value is not None}


def _value(row: Decode, words: Sequence[int] | None) -> float | int | None:
    """One quantity, or None where it is absent."""
    if words is None:
        return None
    raw = _raw(words, row.word, row.type)
    if raw in row.absent:
        return None
    size = 2 * ROW_TYPES[row.type]
    value = struct.unpack(f">{_format(row.type)}", raw.to_bytes(size, "big"))[0] * row.scale
    if not (math.isfinite(value) and row.low <= value <= row.high):
        return None
    return round(value) if row.to_int else float(value)


def _raw(words: Sequence[int], word: int, kind: str) -> int:
    """The bits of a value as an unsigned number."""
    raw = 0
    for w in _high_first(words[word : word + ROW_TYPES[kind]], kind):
        raw = raw << 16 | w
    return raw


def _format(kind: str) -> str:
    return FORMATS[kind.removesuffix(LITTLE)]


def _high_first(words: Sequence[int], kind: str) -> Sequence[int]:
    """The words of one value, the high one first; and back again."""
    return words[::-1] if kind.endswith(LITTLE) else words


def encode(write: Write, values: Mapping[str, float]) -> tuple[int, ...]:
    """The words of a write request for p_w and q_var. Halves go to the even neighbour, as in C; a float is not rounded.

    Raises ValueError where a value is not finite or leaves its own or its type's range: such a frame is not sent.
    """
    words = list(write.words)
    for e in write.encodes:
        size, value = ROW_TYPES[e.type], values[e.source] * e.scale
        try:
            raw = struct.pack(f">{_format(e.type)}", _packable(value, e.type))
        except (OverflowError, ValueError, struct.error) as error:
            raise ValueError(f"{e.source} = {values[e.source]} does not fit {e.type} with scale {e.scale}") from error
        if not e.low <= values[e.source] <= e.high:
            raise ValueError(f"{e.source} = {values[e.source]} is outside {e.low:.12g} ... {e.high:.12g}")
        words[e.word : e.word + size] = _high_first(struct.unpack(f">{size}H", raw), e.type)
    return tuple(words)


def _packable(value: float, kind: str) -> float:
    """A whole number, or for a float type any finite one. round() refuses what is not finite."""
    return value if _format(kind) == "f" and math.isfinite(value) else round(value)
