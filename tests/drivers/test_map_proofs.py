"""Every meter's map against answers that did not come from our simulator (tests/captures), and against the reference.

The answers are data: tests/captures/<map>.yaml, one group an answer, with its source and the values typed by hand.
A new map needs such a file and nothing here.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from cython_core.records import Measurement
from drivers.devicemap import METER_ENERGIES, DeviceMap, Register
from drivers.mapfile import NEEDED, map_names
from drivers.mapfile import load_map as load_anew
from drivers.mapproof import Answer, block, complaints, found_in, read_answers
from drivers.modbus.tables import Tables
from drivers.registermap import PHASES, meter_plan
from drivers.tables import TYPES
from tests import need

CAPTURES = Path(__file__).parents[1] / "captures"
METERS = map_names(["meter"])
load_map = cache(load_anew)
REFERENCE = Path(__file__).parents[3] / "shared" / "reference" / "devices"


@cache
def answers_of(name: str) -> tuple[Answer, ...]:
    return tuple(read_answers(CAPTURES / f"{name}.yaml"))


ANSWERS = [(name, answer) for name in METERS for answer in answers_of(name)]
EACH = pytest.mark.parametrize(
    ("name", "answer"), ANSWERS, ids=[f"{name}:{answer.where.rpartition(':')[2]}" for name, answer in ANSWERS]
)


@EACH
def test_a_map_understands_an_answer(name: str, answer: Answer) -> None:
    assert complaints(load_map(name), answer) == []


@EACH
def test_the_compiled_tables_make_the_same_of_it(name: str, answer: Answer) -> None:
    device = load_map(name)
    plan, words = block(device, answer)
    found = found_in(device, answer)
    tables, data = Tables(plan, Measurement), [b"".join(w.to_bytes(2) for w in words)] * len(plan.reads)
    counted = {q: found.pop(q) for q in METER_ENERGIES if q in found}
    assert tables.energies(data) == {q: wh for q, wh in counted.items() if wh is not None}
    measured = tables.decode(data)
    assert measured.valid == sum(int(row.valid) for row in plan.decodes if found[quantity(row.target)] is not None)
    assert {q: getattr(measured, q) for q, v in found.items() if v is not None} == {
        q: v for q, v in found.items() if v is not None
    }


def quantity(target: int) -> str:
    """The field of a Measurement that a row fills."""
    return list(Measurement.__dataclass_fields__)[target]


def names_of(device: DeviceMap) -> set[str]:
    return set(device.registers) | set(device.quantities)


@pytest.mark.parametrize("name", METERS)
def test_every_quantity_of_a_map_is_proven_and_every_power_both_ways(name: str) -> None:
    seen = [(q, value) for answer in answers_of(name) for q, value in answer.expected.items()]
    assert {q for q, _ in seen} == names_of(load_map(name))
    assert {value > 0 for q, value in seen if q == "p_w"} == {True, False}
    assert all(answer.source for answer in answers_of(name))


@pytest.mark.parametrize("name", METERS)
def test_what_a_map_calls_captured_is_captured(name: str) -> None:
    """`proven: capture` is real power's ticket: frequency, voltage and power were seen on a device."""
    seen = {q for answer in answers_of(name) if answer.origin == "capture" for q in answer.expected}
    assert (load_map(name).proven == "capture") == (set(NEEDED["meter"]) <= seen)


def test_nothing_lies_about_without_a_map() -> None:
    assert {path.stem for path in CAPTURES.glob("*.yaml")} == set(METERS)


@pytest.mark.parametrize("words", ["00cb", "00cb 0069", "00cb 0069 0000"], ids=["an ID", "a head", "a begin"])
def test_an_answer_that_is_cut_short_is_told_in_one_line(tmp_path: Path, words: str) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(f'answers:\n  - {{at: 40070, hex: "{words}", from: hand, source: pencil, f_hz: 50}}\n')
    (answer,) = read_answers(file)
    count = len(words.split())
    assert complaints(load_map("sunspec-meter"), answer) == [
        f"{file}:2: {count} words are not the whole of a model: its ID, its length and so many"
    ]


# --- the proof can fail: what a map's author may get wrong must show in its answers ---


def turned(r: Register) -> Register:
    return replace(r, scale=-r.scale)


def tenfold(r: Register) -> Register:
    return replace(r, scale=r.scale * 10)


def next_door(r: Register) -> Register:
    return replace(r, at=r.at + TYPES[r.type])


def swapped(r: Register) -> Register:
    return replace(r, word_order="big" if r.word_order == "little" else "little")


MISTAKES = [turned, tenfold, next_door, swapped]


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda m: m.__name__)
@pytest.mark.parametrize("name", [n for n in METERS if load_map(n).registers])
def test_a_mistake_in_any_register_is_seen(name: str, mistake: Any) -> None:
    device = load_map(name)
    for q, register in device.registers.items():
        if mistake is swapped and TYPES[register.type] == 1:
            continue
        wrong = replace(device, registers={**device.registers, q: mistake(register)})
        assert any(complaints(wrong, answer) for answer in answers_of(name)), q


# --- address by address ---

# fmt: off
SOURCES = [
    # map                     reference file                  its table
    ("eastron-sdm630",        "meter-eastron-sdm630",         "points"),
    ("eastron-sdm72",         "meter-eastron-sdm630",         "points"),
    ("eastron-sdm120",        "meter-eastron-sdm120-230",     "points"),
    ("eastron-sdm230",        "meter-eastron-sdm120-230",     "points"),
    ("victron-vm-3p75ct",     "meter-victron-vm-3p75ct",      "points"),
    ("schneider-iem3000",     "meter-schneider-iem3000-pm5000", "points"),
    ("schneider-pm5000",      "meter-schneider-iem3000-pm5000", "points"),
    ("carlo-gavazzi-em340",   "meter-carlo-gavazzi-em340-em530", "points"),
    ("carlo-gavazzi-em540",   "meter-carlo-gavazzi-em340-em530", "points"),
    ("carlo-gavazzi-em24-e1", "meter-carlo-gavazzi-em340-em530", "points"),
    ("carlo-gavazzi-em24",    "meter-carlo-gavazzi-em24-rs485", "points"),
    ("carlo-gavazzi-et112",   "meter-carlo-gavazzi-et112-em112", "points"),
    ("janitza-umg96rm",       "meter-janitza-umg",            "points"),
    ("janitza-umg604",        "meter-janitza-umg",            "alt_points_umg604_104"),
    ("abb-b23",               "meter-abb-b23-b24",            "points"),
    ("siemens-pac3200",       "meter-siemens-pac2200-pac3200", "points"),
    ("siemens-pac2200",       "meter-siemens-pac2200-pac3200", "points"),
]
# fmt: on
NAMES = {"f_hz": "freq", "p_w": "p_total", "q_var": "q_total"} | {
    ours: theirs
    for i in "123"
    for ours, theirs in ((f"v{i}_v", f"v_l{i}"), (f"p{i}_w", f"p_l{i}"), (f"i{i}_a", f"i_l{i}"))
}
NAMES |= {"e_import_wh": "e_import", "e_export_wh": "e_export"}
SUNSPEC_TYPES = {"int16": "s16", "sunssf": "s16", "float32": "f32", "acc32": "u32"}


def reference(file: str) -> dict[str, Any]:
    path = REFERENCE / f"{file}.yaml"
    if not path.is_file():
        need.missing(f"{file}.yaml", f"the reference of devices belongs into {REFERENCE}")
    found: dict[str, Any] = yaml.safe_load(path.read_text())
    return found


@pytest.mark.parametrize(("name", "file", "points"), SOURCES, ids=[c[0] for c in SOURCES])
def test_address_by_address(name: str, file: str, points: str) -> None:
    """Address, type, word order, function and unit of every register; the reference counts + as import, we do not."""
    device, told = load_map(name), reference(file)
    defaults, rows = told["defaults"], {point["name"]: point for point in told[points]}
    for q, r in device.registers.items():
        theirs = rows[NAMES[q]]
        sign = -1 if q[0] in "pq" else 1
        assert (r.at, r.type) == (theirs["addr"], theirs["type"]), q
        assert r.scale == pytest.approx(sign * theirs.get("scale", 1)), q
        assert r.function == theirs.get("fc", defaults["fc"]), q
        assert r.word_order == defaults["word_order"] or TYPES[r.type] == 1, q
    assert device.max_words <= told["limits"]["max_regs_per_read"]
    assert device.min_gap_ms >= told["limits"]["min_gap_ms"]


@pytest.mark.parametrize("name", ["sunspec-meter", "solaredge-meter"])
def test_sunspec_points_against_the_models(name: str) -> None:
    models = reference("sunspec-models")["models"]
    for model, layout in load_map(name).models.items():
        rows = {row[1]: row for row in models[model]["points"]}
        assert layout.lengths == (models[model]["fixed_words"] - 2,)
        for point, ours in layout.points.items():
            at, _, kind, _, factor, *_ = rows[point]
            assert (ours.at, ours.type, ours.factor) == (at, SUNSPEC_TYPES[kind], factor), f"{model}.{point}"


def test_every_meter_is_compared() -> None:
    assert {c[0] for c in SOURCES} | {"sunspec-meter", "solaredge-meter"} == set(METERS)


# --- what is asked ---

# fmt: off
PLANS = [
    # map                     phases     baud    reads (address, words)                                         why
    ("victron-vm-3p75ct",     "L1L2L3",  0,      [(0x3032, 80)],                    "one datagram: all of one moment"),
    ("schneider-pm5000",      "L1L2L3",  0,      [(3027, 84)],                      "V, P, Q and f in one answer"),
    ("carlo-gavazzi-em340",   "L1L2L3",  0,      [(0x0000, 6), (0x0028, 12)],       "50 words are the most"),
    ("carlo-gavazzi-em24",    "L1L2L3",  0,      [(0x0000, 6), (0x0028, 6), (0x0037, 1)], "11 words are the most"),
    ("carlo-gavazzi-et112",   "L1",      0,      [(0x0000, 10), (0x000F, 1)],       "16 words are too many by five"),
    ("janitza-umg96rm",       "L1L2L3",  0,      [(19000, 52)],                     "one block"),
    ("abb-b23",               "L1L2L3",  0,      [(0x5B00, 45)],                    "one block"),
]
# fmt: on


@pytest.mark.parametrize(("name", "phases", "baud", "reads", "why"), PLANS, ids=[c[0] for c in PLANS])
def test_the_requests(name: str, phases: str, baud: int, reads: list[tuple[int, int]], why: str) -> None:
    plan = meter_plan(load_map(name), 1, phases, 300, 2.0, baud)
    assert [(r.address, r.count) for r in plan.reads if r.every] == reads, why


@pytest.mark.parametrize("name", METERS)
def test_every_map_fits_a_bus_in_every_place(name: str) -> None:
    device = load_map(name).as_if_found()
    for phases in (p for p, names in PHASES.items() if all(v in device.registers for v in names)):
        for power in ("unit", "house", "none"):
            Tables(meter_plan(device, 1, phases, 300, power=power), Measurement)


# fmt: off
COUNTERS = [
    # map                      baud    each 10 s (address, words)     why
    ("eastron-sdm630",         9600,   [(0x0048, 4)],                 "one request for both"),
    ("victron-vm-3p75ct",      0,      [],                            "they stand in the one answer of each poll"),
    ("abb-b23",                9600,   [(0x5000, 8)],                 "64 bits each"),
    ("carlo-gavazzi-em340",    9600,   [(0x0034, 28)],                "a gap of 24 words costs less than a request"),
    ("carlo-gavazzi-et112",    9600,   [(0x0010, 2), (0x0020, 2)],    "11 words are the most"),
    ("schneider-iem3000",      19200,  [(3203, 8)],                   "both of 64 bits in one"),
    ("siemens-pac3200",        0,      [],                            "doubles: no row can hold them"),
]
# fmt: on


@pytest.mark.parametrize(("name", "baud", "reads", "why"), COUNTERS, ids=[c[0] for c in COUNTERS])
def test_counters_of_energy_are_asked_by_their_own_clock(
    name: str, baud: int, reads: list[tuple[int, int]], why: str
) -> None:
    plan = meter_plan(load_map(name), 1, "L1" if name.endswith("et112") else "L1L2L3", 300, 2.0, baud)
    by_clock = [r for r in plan.reads if r.every == 0]
    assert [(r.address, r.count) for r in by_clock] == reads, why
    assert {r.every_ms for r in by_clock} <= {10_000}
    assert len(plan.energies) == (0 if "pac" in name else 2)
