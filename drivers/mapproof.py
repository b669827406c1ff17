"""What a meter's map makes of answers that did not come from our simulator, against values typed by hand. Pure.

A file of answers, best beside the map it proves:

    answers:
      - at: 0x0046          # address of the first word, as on the wire; of a SunSpec meter that of the model's ID
        hex: "4247f5c3"     # the words of the answer
        from: capture       # capture: recorded from a device | manual: printed in its manual | hand: packed by hand
        source: "..."       # where a reviewer finds it
        f_hz: 49.99         # what it must come to; + is out of the inverter into the grid, whatever the meter calls it
        absent: [v2_v]      # what must count as not there

Every quantity of the map that stands in these words is named, or it is a mistake.
Raises MapError whose text holds all mistakes of a file, one a line.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cython_core.records import Measurement
from drivers.base import DiscoveryError, MapError
from drivers.devicemap import METER_ENERGIES, METER_QUANTITIES, METER_UNITS, DeviceMap
from drivers.registermap import Plan, Read, decode, decode_energies, meter_energy_row, meter_row
from drivers.sunspec.chain import Chain, Model
from drivers.sunspec.meter import registers_of
from drivers.tables import ENERGIES, TYPES
from drivers.yamlfile import Problems, Section, read_yaml
from drivers.yamlkeys import Meta, choice, integer, nested, number, read_values, several, text

MOST_WORDS = 256  # of one answer, or of several joined: a SunSpec model may need two
CLOSE = 1e-6  # a float of 32 bits has seven digits
KEYS: Mapping[str, Meta] = {
    "at": integer("", 0, 0xFFFF, "address of the first word").metadata,
    "hex": text("pairs of hex digits, two a word", pattern=r"(\s*[0-9a-fA-F]{2}){2,}\s*").metadata,
    "from": choice(("capture", "manual", "hand"), "how these words are known").metadata,
    "source": text("where a reviewer finds them", pattern=".+").metadata,
    "absent": several(choice(tuple(METER_UNITS), "what must count as not there", ())).metadata,
    **{q: number(unit, -1e15, 1e15, "what it must come to", None).metadata for q, unit in METER_UNITS.items()},
}
FILE_KEYS: Mapping[str, Meta] = {"answers": {**nested("a list, one group an answer"), "several": True}}


@dataclass(frozen=True, slots=True)
class Answer:
    """Words from an address on, and what they must come to."""

    where: str  # file:line
    at: int
    words: tuple[int, ...]
    origin: str
    source: str
    expected: Mapping[str, float]
    absent: tuple[str, ...]


def read_answers(path: Path) -> list[Answer]:
    """The answers of a file, in its order."""
    problems = Problems(str(path))
    tree = read_yaml(path, problems)
    values = read_values(FILE_KEYS, tree, problems) if tree.entries else {}
    groups = values["answers"][0] if "answers" in values else ()
    found = [answer for group in groups if (answer := _answer(group, problems)) is not None]
    if problems:
        raise MapError("\n".join(problems.lines()))
    return found


def _answer(group: Section, problems: Problems) -> Answer | None:
    before = len(problems)
    values: dict[str, Any] = {name: value for name, (value, _) in read_values(KEYS, group, problems, "answer").items()}
    raw = bytes.fromhex(values.get("hex", "0000"))
    if len(raw) % 2 or len(raw) > 2 * MOST_WORDS:
        problems.add(group.entries["hex"].line, f"hex holds {len(raw)} bytes; allowed: whole words, 1 ... {MOST_WORDS}")
    if len(problems) > before:
        return None
    line = group.entries["at"].line
    return Answer(
        where=f"{problems.file}:{line}",
        at=values["at"],
        words=tuple(int.from_bytes(raw[i : i + 2]) for i in range(0, len(raw), 2)),
        origin=values["from"],
        source=values["source"],
        expected={q: values[q] for q in METER_UNITS if q in values},
        absent=values.get("absent", ()),
    )


def block(device: DeviceMap, answer: Answer) -> tuple[Plan, tuple[int, ...]]:
    """One read, the rows of all that stands in it, and its words. Raises DiscoveryError: no such model."""
    if device.models:
        model, length = answer.words[0], answer.words[1]
        chain = Chain(answer.at, (Model(model, answer.at, length),))
        device = registers_of(device, chain, {answer.at + i: word for i, word in enumerate(answer.words)})
    end = answer.at + len(answer.words)
    inside = [r for r in device.registers.values() if answer.at <= r.at and r.at + TYPES[r.type] <= end]
    begin = min((r.at for r in inside), default=answer.at)
    count = max((r.at + TYPES[r.type] - begin for r in inside), default=1)
    reads = tuple(Read(function, begin, count) for function in sorted({r.function for r in inside}))
    words = answer.words[begin - answer.at : begin - answer.at + count]
    counters = [r for r in inside if r.name in METER_ENERGIES]
    rows = tuple(meter_row(r, reads) for r in inside if r not in counters)
    return Plan(1, reads, rows, energies=tuple(meter_energy_row(r, reads) for r in counters)), words


def found_in(device: DeviceMap, answer: Answer) -> dict[str, float | None]:
    """What stands in the answer; None where it counts as not there."""
    plan, words = block(device, answer)
    answers = [words] * len(plan.reads)
    values, counted = decode(plan, answers, Measurement), decode_energies(plan, answers)
    names = [q for q in METER_QUANTITIES if any(row.valid == METER_QUANTITIES[q][0] for row in plan.decodes)]
    found = {q: values[q] if values["valid"] & METER_QUANTITIES[q][0] else None for q in names}
    return found | {ENERGIES[row.target]: counted.get(ENERGIES[row.target]) for row in plan.energies}


def complaints(device: DeviceMap, answer: Answer) -> list[str]:
    """What the map makes of the answer and should not, one line each."""
    try:
        found = found_in(device, answer)
    except DiscoveryError as error:
        return [f"{answer.where}: {error}"]
    except LookupError:
        return [
            f"{answer.where}: {len(answer.words)} words are not the whole of a model: its ID, its length and so many"
        ]
    told = []
    for name, value in answer.expected.items():
        if name not in found:
            told.append(f"{name} does not stand in these words (at {answer.at:#06x}, {len(answer.words)} words)")
        elif not _alike(value, found[name]):
            told.append(f"{name} = {value:.12g} is expected, the map makes {shown(found[name])} of it")
    for name in answer.absent:
        if name not in found or found[name] is not None:
            told.append(f"{name} must be absent, the map makes {shown(found.get(name))} of it")
    for name in found.keys() - answer.expected.keys() - set(answer.absent):
        told.append(f"{name} stands in these words too ({shown(found[name])}): say what it must be")
    return [f"{answer.where}: {line}" for line in sorted(told)]


def _alike(expected: float, found: float | None) -> bool:
    return found is not None and math.isclose(expected, found, rel_tol=CLOSE, abs_tol=1e-9)


def shown(value: float | None) -> str:
    return "nothing" if value is None else f"{value or 0.0:.7g}"
