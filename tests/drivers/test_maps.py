"""Map files: the ones we ship against bytes from devices and manuals, and every mistake an author can make."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import drivers.devicemap
import drivers.mapfile
from cython_core.records import DeviceState, Measurement
from drivers.base import MapError
from drivers.mapfile import load_map, map_names, parse_map
from drivers.registermap import decode, meter_plan

MAPS = Path(drivers.mapfile.__file__).parent / "maps"
SDM630 = load_map("eastron-sdm630")


def read_block(at: int, hex_words: str, plan_index: int, power: str = "unit") -> dict[str, Any]:
    """One captured answer at an address, the rest of its request filled with NaN patterns."""
    plan = meter_plan(SDM630, 1, "L1L2L3", 300, power=power)
    answers = [[0x7FC0, 0x0000] * (r.count // 2) for r in plan.reads]
    words = [int(hex_words[i : i + 4], 16) for i in range(0, len(hex_words), 4)]
    offset = at - plan.reads[plan_index].address
    answers[plan_index][offset : offset + len(words)] = words
    return decode(plan, answers, Measurement)


# fmt: off
CAPTURED = [
    # quantity  at      words       value     tolerance  why
    ("v1_v",    0x0000, "43663334", 230.2,    1e-4,      "Eastron manual: 01 04 04 43 66 33 34 1B 38 is 230.2 V"),
    ("v1_v",    0x0000, "4367af55", 231.685,  1e-3,      "on a bus: 01 04 04 43 67 af 55 e2 10 (mbmd issue 63)"),
    ("f_hz",    0x0046, "4247f5c3", 49.99,    1e-4,      "IEEE 754 by hand: 2^5 x 1.5621875"),
    ("f_hz",    0x0046, "42700000", 60.0,     0.0,       "60 Hz grids too"),
    ("p_w",     0x0034, "44fa0000", -2000.0,  0.0,       "the meter says 2 kW import"),
    ("p_w",     0x0034, "c4fa0000", 2000.0,   0.0,       "the meter says 2 kW export"),
    ("q_var",   0x003c, "43fa0000", -500.0,   0.0,       "the meter says 500 var drawn"),
    ("v3_v",    0x0004, "43660000", 230.0,    0.0,       "third phase"),
    ("v2_v",    0x0002, "00000000", 0.0,      0.0,       "a dead phase is data, not an error"),
]
# fmt: on


@pytest.mark.parametrize(("name", "at", "words", "value", "tolerance", "why"), CAPTURED, ids=[c[-1] for c in CAPTURED])
def test_sdm630_bytes(name: str, at: int, words: str, value: float, tolerance: float, why: str) -> None:
    values = read_block(at, words, 0 if at < 0x34 else 1)
    assert values[name] == pytest.approx(value, abs=tolerance), why
    assert bin(values["valid"]).count("1") == 1  # and nothing else came from these bytes


# fmt: off
OF_PHASES = [
    # quantity  at      words       value       why
    ("p1_w",    0x000c, "459c4000", -5000.0,    "30013: L1 imports 5 kW"),
    ("p2_w",    0x000e, "c4c80000", 1600.0,     "30015: L2 exports"),
    ("p3_w",    0x0010, "00000000", 0.0,        "30017: nothing"),
    ("i1_a",    0x0006, "41ade9bd", 21.739130,  "30007: 5000 W / 230 V"),
    ("i2_a",    0x0008, "410b214a", 8.695627,   "30009"),
    ("i3_a",    0x000a, "00000000", 0.0,        "30011"),
]
# fmt: on


@pytest.mark.parametrize(("name", "at", "words", "value", "why"), OF_PHASES, ids=[c[-1] for c in OF_PHASES])
def test_sdm630_at_a_house_connection(name: str, at: int, words: str, value: float, why: str) -> None:
    values = read_block(at, words, 0, "house")
    assert values[name] == pytest.approx(value, rel=1e-6), why
    assert bin(values["valid"]).count("1") == 1


# fmt: off
PLANS = [
    # power   reads (address, words)           rows  why
    ("unit",  [(0x0000, 6), (0x0034, 20)],     6,    "the unit's P and Q stand far behind the voltages"),
    ("house", [(0x0000, 18), (0x0034, 20)],    11,   "each phase's current and power; the house's Q is nobody's"),
    ("none",  [(0x0000, 6), (0x0046, 2)],      4,    "no power at all"),
]
# fmt: on


@pytest.mark.parametrize(("power", "reads", "rows", "why"), PLANS, ids=[c[0] for c in PLANS])
def test_only_what_is_needed_is_asked_for(power: str, reads: list[tuple[int, int]], rows: int, why: str) -> None:
    plan = meter_plan(SDM630, 1, "L1L2L3", 300, power=power)
    assert [(r.address, r.count) for r in plan.reads if r.every] == reads, why
    assert len(plan.decodes) == rows


def test_sdm630_is_read_in_two_requests_of_whole_floats() -> None:
    plan = meter_plan(SDM630, 1, "L1L2L3", 300)
    assert [(r.function, r.address, r.count) for r in plan.reads if r.every] == [
        (4, 0x0000, 6),
        (4, 0x0034, 20),
    ]  # 72 words exceed 60
    assert len(plan.decodes) == 6
    assert SDM630.resolves("f_hz", 0.01)  # 36 mHz dead band
    assert not SDM630.resolves("f_hz", 0.001)
    assert not SDM630.resolves("p_w", 100.0)  # nobody has measured it: not known is no


@pytest.mark.parametrize("name", map_names())
def test_every_map_is_named_after_its_file_and_lies_in_its_kinds_folder(name: str) -> None:
    device = load_map(name)
    assert device.device == name
    assert (MAPS / drivers.mapfile.FOLDERS[device.kind] / f"{name}.yaml").is_file()


def test_names_are_record_fields() -> None:
    assert set(drivers.devicemap.METER_QUANTITIES) <= set(Measurement.__dataclass_fields__)
    assert set(drivers.devicemap.DEVICE_QUANTITIES) <= set(DeviceState.__dataclass_fields__)


def test_template_explains_every_key_and_is_three_valid_maps(tmp_path: Path) -> None:
    text = (MAPS / "TEMPLATE.yaml").read_text()
    own = tmp_path / "mine.yaml"
    own.write_text(text)
    assert load_map(str(own)).kind == "meter"
    for mark, kind in (("#: ", "inverter"), ("#= ", "meter")):
        marked = "\n".join(line[3:] if line.startswith(mark) else "" for line in text.splitlines())
        assert parse_map(marked, "TEMPLATE.yaml").kind == kind
    schema = drivers.mapfile
    groups = (schema.KEYS, schema.REGISTER_KEYS, schema.QUANTITY_KEYS)
    keys = {k for group in groups for keys in group.values() for k in keys}
    groups_of_one = (schema.PROBE_KEYS, schema.MODEL_KEYS, schema.POINT_KEYS, schema.WRITE_KEYS)
    keys |= {*schema.METER_POINT_KEYS["f_hz"], *(k for keys_ in groups_of_one for k in keys_)}
    assert not [k for k in keys if f"{k}:" not in text]


def test_unknown_map_lists_what_exists() -> None:
    with pytest.raises(MapError) as error:
        load_map("eastron-sdm360")
    known = ", ".join(map_names())
    assert str(error.value) == f"unknown map 'eastron-sdm360'; known: {known}, or the path of a .yaml file"


def test_a_path_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(MapError, match=r"nowhere\.yaml: cannot be read: No such file"):
        load_map(str(tmp_path / "nowhere.yaml"))
    (tmp_path / "latin.yaml").write_bytes(b"device: \xfc")
    with pytest.raises(MapError, match=r"latin\.yaml:1: is not UTF-8 text"):
        load_map(str(tmp_path / "latin.yaml"))


METER = """schema: 1
device: acme-m3
kind: meter
source: "Acme manual, table 4"
proven: document
function: 4
max_words: 40
refresh_ms: 200
registers:
  f_hz: {at: 0x0046, type: f32, unit: Hz, range: [40, 70]}
  v1_v: {at: 0x0000, type: f32, unit: V, range: [0, 400]}
  p_w: {at: 0x0034, type: f32, unit: W, range: [-50000, 50000], scale: -1}
"""


def probe(text: str) -> str:
    return f"probe: {{{text}}}\nregisters:"


METER_KEYS = (
    "device, function, kind, max_words, min_gap_ms, models, probe, proven, quantities, refresh_ms, registers, schema, "
    "source, udp, word_order"
)


def read_as(text: str, number: int) -> str:
    return f'is read by YAML as {number}: quote it if it is text ("{text}"), or write the number in plain decimals'


UPDATE = "update the program, or write the file for schema 1"
FUNCTION = "allowed: 3 ... 4 (Modbus function that reads)"
PROVEN = "document | capture | bench (how the map is known to be right)"
RANGE = "allowed: -1e+12 ... 1e+12 Hz ([low, high] after the scale)"

MISTAKES = [
    # replace                 by                              the one line that is told
    ("schema: 1", "schema: 2", "1: schema = 2 is newer than this program, which reads up to 1: " + UPDATE),
    (
        "schema: 1",
        "schema: 1\nmaxwords: 4",
        "2: unknown key 'maxwords'; known: " + METER_KEYS,
    ),
    ("schema: 1", "schema: 1\nwrites: {}", "2: unknown key 'writes'; known: " + METER_KEYS),
    ("registers:", "models: {}\nregisters:", "10: registers has no place beside models: SunSpec says where and how"),
    ("registers:", "quantities: {}\nword_order: little\nregisters:", "10: word_order has no place beside models"),
    ("registers:", "registry:", "1: registers: missing key 'f_hz': the register that holds it"),
    ("max_words: 40", "max_words: 40\nword_order: mixed", "8: word_order = mixed is not one of big | little ("),
    (
        "device: acme-m3",
        "device: 12:30",
        "2: device = 12:30 " + read_as("12:30", 750),
    ),
    (
        "device: acme-m3",
        "device: on",
        '2: device = on is read by YAML as bool, not as text: quote it ("on"); allowed: the name people will use',
    ),
    ("device: acme-m3", "device:", "2: device has no value; allowed: the name people will use"),
    ("device: acme-m3", "device: a\ndevice: b", "3: key 'device' stands twice; the first is in line 2"),
    (
        'source: "Acme manual, table 4"\n',
        "",
        "1: map: missing key 'source': the document or capture a reviewer can open",
    ),
    (
        "proven: document",
        "proven: hearsay",
        "5: proven = hearsay is not one of " + PROVEN,
    ),
    (
        "proven: document",
        "proven: [document]",
        "5: proven holds a list or group; it takes one value: " + PROVEN,
    ),
    ("function: 4", "function: 6", "6: function = 6 is outside 3 ... 4 (Modbus function that reads)"),
    ("function: 4", "function: 4.0", "6: function = 4.0 is not a whole number; " + FUNCTION),
    ("function: 4", "function: '4'", "6: function = 4 is not a whole number: write it without quotes; " + FUNCTION),
    ("function: 4", "function: true", "6: function = true is not a whole number; " + FUNCTION),
    ("max_words: 40", "max_words: 126", "7: max_words = 126 is outside 1 ... 125 words (Modbus allows 125)"),
    (
        "max_words: 40",
        "max_words: 040",
        "7: max_words = 040 " + read_as("040", 32),
    ),
    (
        "refresh_ms: 200",
        "refresh_ms: 0",
        "8: refresh_ms = 0 is outside 1 ... 60000 ms (how often the device renews its values)",
    ),
    (
        "refresh_ms: 200",
        "refresh_ms: 12:30",
        "8: refresh_ms = 12:30 " + read_as("12:30", 750),
    ),
    (
        "refresh_ms: 200",
        "refresh_ms: 200\nmin_gap_ms: -1",
        "9: min_gap_ms = -1 is outside 0 ... 1000 ms (rest between two requests)",
    ),
    ("f_hz: {at", "freq: {at", "9: registers: missing key 'f_hz': the register that holds it"),
    (
        "f_hz: {at",
        "f_hertz: {at",
        "10: unknown key 'f_hertz'; known: e_export_wh, e_import_wh, f_hz, i1_a, i2_a, i3_a, p1_w, p2_w, p3_w, p_w, "
        "q_var, v1_v, v2_v, v3_v",
    ),
    ("at: 0x0046, ", "", "10: f_hz: missing key 'at': 0 ... 65535 (address on the wire, zero-based)"),
    ("at: 0x0046", "at: 65535", "10: at = 65535 is outside 0 ... 65534 (type f32)"),
    ("at: 0x0046", "at: -1", "10: at = -1 is outside 0 ... 65535 (address on the wire, zero-based)"),
    (
        "at: 0x0046",
        "at: 30071.5",
        "10: at = 30071.5 is not a whole number; allowed: 0 ... 65535 (address on the wire, zero-based)",
    ),
    ("at: 0x0046", "at: 0x0033", "12: p_w overlaps f_hz of line 10"),
    (
        "type: f32, unit: Hz",
        "type: float, unit: Hz",
        "10: type = float is not one of u16 | s16 | u32 | s32 | f32 | u64 | s64 (how it is packed)",
    ),
    ("unit: Hz", "unit: mHz", "10: unit = mHz is not one of Hz (the unit in the quantity's name)"),
    ("[40, 70]", "[70, 40]", "10: f_hz: range [70, 40] is empty; low must be below high"),
    ("[40, 70]", "[40, nan]", "10: range = nan is not a number; " + RANGE),
    ("[40, 70]", "[40, 50, 60]", "10: range holds 3 values instead of 2; " + RANGE),
    ("[40, 70]", "40", "10: range holds 1 values instead of 2; " + RANGE),
    ("[40, 70]", "[]", "10: range holds 0 values instead of 2; " + RANGE),
    (
        "[40, 70]",
        "[40, [70]]",
        "10: range holds a list or group; it takes a value or a list: " + RANGE.removeprefix("allowed: "),
    ),
    ("[40, 70]", "[40, 01:30]", "10: range = 01:30 is not a number; " + RANGE),
    (
        "[40, 70]",
        "[40, 1:30]",
        "10: range = 1:30 " + read_as("1:30", 90),
    ),
    (
        "50000]",
        "50e3]",
        "12: range = 50e3 is not a number: YAML reads it as text, write all digits (50000, not 50e3); "
        + RANGE.replace("Hz", "W"),
    ),
    (
        ", scale: -1",
        "",
        "12: p_w: missing key 'scale': -1000000000 ... 1000000000 "
        "(1 if the device counts + out of the inverter, else -1)",
    ),
    ("scale: -1", "scale: 0", "12: scale = 0 makes every value 0; any other number is allowed"),
    ("scale: -1", "scale: -1, every: 0", "12: every = 0 is outside 1 ... 1000 polls (asked in each so many-th)"),
    ("scale: -1", "scale: -1, absent: 0x1ffffffff", "12: absent = 8589934591 is outside 0 ... 4294967295 (type f32)"),
    ("scale: -1", "scale: -1, absent: [1, 0x1ffffffff]", "12: absent = 8589934591 is outside 0 ... 4294967295 (type"),
    ("scale: -1", "scale: -1, absent: [1, 2, 3, 4, 5]", "12: p_w: absent holds more than 4 patterns"),
    (
        "f32, unit: W",
        "s16, resolution: 0.5, unit: W",
        "12: p_w: resolution = 0.5, but one count of s16 is 1",
    ),
    (
        "scale: -1",
        "scale: -1, resolution: 0",
        "12: resolution = 0 is outside 1e-09 ... 1000000 (the smallest change the device shows, after the scale)",
    ),
    (
        "scale: -1",
        "scale: -1, sign: -1",
        "12: unknown key 'sign'; known: absent, at, every, function, range, resolution, scale, type, unit, word_order",
    ),
    ("{at: 0x0000, type: f32, unit: V, range: [0, 400]}", "0", "11: v1_v needs its keys below it, indented"),
    ("kind: meter", "kind: metre", "3: kind = metre is not one of meter | inverter (decides which keys follow)"),
    ("range: [40, 70]}", "range: [40, 70]", "11: is not YAML: expected ',' or '}', but got '<scalar>'"),
    ("registers:", "udp: yes\nregisters:", "9: udp = yes is not true or false (it speaks Modbus over UDP)"),
    ("registers:", probe("type: u16, values: 1"), "9: probe: missing key 'at': 0 ... 65535 (address on the wire"),
    ("registers:", probe("at: 7, type: u16, values: []"), "9: values holds 0 values instead of 1; allowed: 0 ... "),
    (
        "registers:",
        probe("at: 7, type: u16, values: [1, 65536]"),
        "9: values = 65536 is outside 0 ... 65535 (type u16)",
    ),
    ("registers:", probe("at: 7, type: s16, values: 1"), "9: type = s16 is not one of u16 | u32 (how it is packed"),
    ("registers:", probe("at: 65535, type: u32, values: 1"), "9: at = 65535 is outside 0 ... 65534 (type u32)"),
    ("registers:", probe("at: 7, type: u16, values: 1, unit: W"), "9: unknown key 'unit'; known: at, function,"),
    ("registers:", "probe: 7\nregisters:", "9: probe needs its keys below it, indented"),
    (
        "  v1_v:",
        "  e_export_wh: {at: 0x0010, type: f32, unit: Wh, range: [0, 9], scale: -1}\n  v1_v:",
        "11: e_export_wh: scale and range of a counter are not below 0",
    ),
    ("max_words: 40", "max_words: 1", "10: f_hz: f32 has 2 words, max_words = 1 cannot read it"),
]


@pytest.mark.parametrize(("old", "new", "line"), MISTAKES, ids=[m[-1][:60] for m in MISTAKES])
def test_a_mistake_is_told_with_its_line_and_what_is_allowed(old: str, new: str, line: str) -> None:
    assert METER.count(old) >= 1
    with pytest.raises(MapError) as error:
        parse_map(METER.replace(old, new, 1), "m.yaml")
    assert any(told.startswith(f"m.yaml:{line}") for told in str(error.value).splitlines()), error.value


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n"])
def test_an_empty_file(text: str) -> None:
    with pytest.raises(MapError, match=r"m\.yaml: (is empty|holds no `key: value` lines)"):
        parse_map(text, "m.yaml")


@pytest.mark.parametrize(
    "text", ["a: 1\n---\nb: 2\n", "a: &x [*x]\n", "- 1\n", "\x00", "? [a, b]\n: 1\n", "<<: {}\n", "a: *b\n"]
)
def test_odd_yaml_is_a_map_error_and_nothing_else(text: str) -> None:
    with pytest.raises(MapError, match=r"m\.yaml(:\d+)?: "):
        parse_map(text, "m.yaml")


def test_neighbours_in_any_order_do_not_overlap() -> None:
    turned = METER.replace("registers:\n", "registers:\n  v2_v: {at: 0x0002, type: f32, unit: V, range: [0, 400]}\n")
    assert set(parse_map(turned, "m.yaml").registers) == {"f_hz", "v1_v", "v2_v", "p_w"}


def test_all_mistakes_at_once_in_the_order_of_the_file() -> None:
    wrong = (
        METER.replace("function: 4", "function: 5")
        .replace("unit: V", "unit: kV")
        .replace("proven: document", "proven: no")
    )
    with pytest.raises(MapError) as error:
        parse_map(wrong, "m.yaml")
    assert [text.split(":")[1] for text in str(error.value).splitlines()] == ["5", "6", "11"]


INVERTER = """schema: 1
device: acme-sunspec
kind: inverter
source: "made up"
proven: document
function: 3
max_words: 125
models:
  701:
    length: 153
    points:
      W: {at: 10, type: s16, factor: W_SF}
      W_SF: {at: 116, type: s16}
  704: {length: [65], needed: true, points: {WSet: {at: 24, type: s32}}}
quantities:
  p_w: {point: 701.W, unit: W, range: [-9000, 9000], scale: 1}
  p_set_readback_w: {point: 704.WSet, unit: W, range: [-9000, 9000], scale: 1}
writes: {storage: ram, min_write_interval_ms: 200, quantum_p_w: 10, quantum_q_var: 10, timer_s: [3, 3600]}
"""

INVERTER_KEYS = "device, function, kind, max_words, min_gap_ms, models, proven, quantities, schema, source, udp, writes"

POINT = "model.point, like 701.W, or a point alone: of whichever model the device has"
INVERTER_MISTAKES = [
    ("  701:", "  MyModel:", "9: models: 'MyModel' is not a model number; 1 ... 65534"),
    (
        "length: 153",
        "length: 0",
        "10: length = 0 is outside 1 ... 65535 words (the L values for which this layout holds)",
    ),
    ("at: 116", "at: 155", "13: at = 155 is outside 2 ... 154 (type s16)"),
    ("{at: 10, type: s16", "{type: u64", "12: model 701 W: missing key 'at': 2 ... 65535 words (from the model's ID)"),
    ("length: 153", "length: 1", "12: at = 10 is outside 2 ... 2 (type s16)"),
    ("at: 10", "at: 1", "12: at = 1 is outside 2 ... 65535 words (from the model's ID)"),
    ("factor: W_SF", "factor: A_SF", "12: model 701 W: factor 'A_SF' is no point of this model"),
    ("needed: true", "needed: on", "14: needed = on is not true or false (a device without it is refused)"),
    ("point: 701.W", "point: 701.VA", "16: point '701.VA' is not under models; write " + POINT),
    (
        "point: 701.W",
        "point: 701.5",
        '16: point = 701.5 is read by YAML as float, not as text: quote it ("701.5"); allowed: ' + POINT,
    ),
    ("point: 704.WSet", "point: 713.SoC", "17: point '713.SoC' is not under models; write " + POINT),
    ("p_w: {point", "f_hz: {point", "15: quantities: missing key 'p_w': the point that holds it"),
    (
        "storage: ram",
        "storage: disk",
        "18: storage = disk is not one of ram | flash | unknown (where a set-point is kept)",
    ),
    ("storage: ram, ", "", "18: writes: missing key 'storage': ram | flash | unknown (where a set-point is kept)"),
    (
        "[3, 3600]",
        "60",
        "18: timer_s holds 1 values instead of 2; "
        "allowed: 1 ... 86400 s ([shortest, longest] of the device's own timer)",
    ),
    ("[3, 3600]", "[3600, 3]", "18: timer_s = [3600, 3] is empty; the shortest comes first"),
    (
        "quantum_p_w: 10",
        "quantum_p_w: 0",
        "18: quantum_p_w = 0 is outside 0.001 ... 1000000 W (a smaller change is not worth a write)",
    ),
    ("models:", "registers: {}\nmodels:", "8: unknown key 'registers'; known: " + INVERTER_KEYS),
]


@pytest.mark.parametrize(("old", "new", "line"), INVERTER_MISTAKES, ids=[m[-1][:60] for m in INVERTER_MISTAKES])
def test_a_mistake_in_an_inverter_map(old: str, new: str, line: str) -> None:
    assert parse_map(INVERTER, "i.yaml").kind == "inverter"
    with pytest.raises(MapError) as error:
        parse_map(INVERTER.replace(old, new, 1), "i.yaml")
    assert f"i.yaml:{line}" in str(error.value).splitlines()


@pytest.mark.parametrize("name", map_names())
def test_a_damaged_map_is_a_map_error_and_nothing_else(name: str) -> None:
    """Each line in turn left out, cut in half, or moved one level in."""
    [file] = MAPS.glob(f"*/{name}.yaml")
    lines = file.read_text().splitlines()
    for i, line in enumerate(lines):
        for damaged in ([], [line[: len(line) // 2]], ["  " + line]):
            told = complaints("\n".join([*lines[:i], *damaged, *lines[i + 1 :]]))
            assert all(line.startswith("m.yaml:") for line in told)


@pytest.mark.parametrize("source", [METER, INVERTER], ids=["meter", "inverter"])
@pytest.mark.parametrize(
    "value", ["12:30", "", "[]", "{}", "[[1]]", "on", "-1", "1e99", "99999999999999999999999", "!x 1"]
)
def test_any_value_replaced_is_a_map_error_and_nothing_else(source: str, value: str) -> None:
    """Each value in turn made something that YAML reads in its own way."""
    places = list(re.finditer(r"(?<=: )(\[[^]]*\]|[^\s,{}\[]+)|(?<=\w:)\n(?= )", source))
    assert len(places) > 20
    for place in places:
        told = complaints(source[: place.start()] + f" {value}\n" + source[place.end() :])
        assert all(line.startswith("m.yaml:") for line in told)


def test_a_point_without_address_in_a_model_too_short_for_its_type() -> None:
    text = INVERTER.replace("{at: 10, type: s16", "{type: u64").replace("length: 153", "length: 1")
    assert any("missing key 'at'" in line for line in complaints(text))


def complaints(text: str) -> list[str]:
    try:
        parse_map(text, "m.yaml")
    except MapError as error:
        return str(error).splitlines()
    return []
