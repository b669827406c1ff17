"""Maps of inverters with plain registers, against the device reference, hand-packed words and hand-written frames.

The reference counts + = import and charge; ours is + = out of the inverter, so each sign below is typed by hand.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cython_core.records import DeviceState, DeviceStatus, DeviceValid, Session
from drivers.devicemap import DeviceMap, Frame
from drivers.inverterplan import register_plan
from drivers.mapfile import load_map, map_names
from drivers.modbus.compiled import inverter
from drivers.registermap import Plan, Read, Write, decode, encode
from drivers.tables import TYPES
from tests import need

REFERENCE = Path(__file__).parents[3] / "shared" / "reference" / "devices"
FILES = {
    "wallbox-quasar1": "evse-wallbox-quasar1",
    "victron-gx": "ess-victron-gx",
    "victron-gx-3ph": "ess-victron-gx",
    "sma-sbs-si": "ess-sma-sbs-sunnyisland",
    "solax-hybrid": "ess-solax",
    "ambibox-ambicharge-home": "evse-ambibox-ambicharge-home",
    "sigenergy-v2g-dc": "evse-sigenergy-v2g-dc",
    "kostal-plenticore": "ess-kostal-plenticore",
}
# what the reference lacks, from two other sources (the map names them)
FURTHER = {"kostal-plenticore": [{"name": "soc", "addr": 514, "type": "u16", "unit": "%"}]}
UNIT, REVERSION_S = 3, 30


def plan_of(name: str, unit: int = UNIT, reversion_s: int = REVERSION_S) -> Plan:
    return register_plan(load_map(name), unit, reversion_s)


def test_each_map_with_plain_registers_has_its_reference() -> None:
    assert set(FILES) == {name for name in map_names(["inverter"]) if load_map(name).inverter}


# ---- address by address ----


def reference_of(name: str) -> dict[str, Any]:
    file = REFERENCE / f"{FILES[name]}.yaml"
    if not file.is_file():
        need.missing(file.name, f"the reference of devices belongs into {REFERENCE}")
    found: dict[str, Any] = yaml.safe_load(file.read_text())
    return found


def reference_points(reference: dict[str, Any]) -> dict[int, dict[str, Any]]:
    """{address: point}, the words of a command block too."""
    further = FURTHER.get(reference["id"].removeprefix("ess-"), [])
    points: dict[int, dict[str, Any]] = {p["addr"]: p for p in (*reference["points"], *further)}
    block = reference.get("command_block")
    if block:
        at = int(block["start"], 16)
        for word in block["words"].split(", "):
            name, kind = word.split()
            points[at] = {"name": name, "addr": at, "type": kind, "unit": "", "fc": 3}
            at += TYPES[kind]
    return points


SMA_NAN = {"s32": "0x80000000", "u32": "0xFFFFFFFF"}


def owner(point: dict[str, Any]) -> int:
    """The reference's unit of a point; 0: the one that the site names."""
    unit = point.get("unit_id", 0)
    return unit if isinstance(unit, int) else 0


@pytest.mark.parametrize("name", FILES)
def test_what_is_read_stands_in_the_reference(name: str) -> None:
    reference, device = reference_of(name), load_map(name)
    points = reference_points(reference)
    assert device.inverter is not None
    for place in (*device.inverter.places(), *device.inverter.energies.values()):
        point = points[place.at]
        function = place.function or device.function
        assert (place.type, place.unit_id) == (point["type"], owner(point)), point["name"]
        assert function == point.get("fc", 3 if name == "sigenergy-v2g-dc" and place.at >= 40000 else function), point
    for quantity, r in {**device.inverter.registers, **device.inverter.energies}.items():
        point = points[r.at]
        percent = 0.01 if point["unit"] == "%" else 1.0
        assert abs(r.scale) == pytest.approx(point.get("scale", 1.0) * percent), quantity
        nan = point.get("nan", SMA_NAN[r.type] if name == "sma-sbs-si" else None)  # its quirks: of every register
        assert r.absent == (() if nan is None else (int(nan, 16),)), quantity
    order = reference.get("defaults", {}).get("word_order", "big")
    assert device.inverter.word_order == order


@pytest.mark.parametrize("name", FILES)
def test_each_word_of_the_device_has_one_of_ours(name: str) -> None:
    reference, device = reference_of(name), load_map(name)
    points = reference_points(reference)
    assert device.inverter is not None
    for table in (device.inverter.session, device.inverter.status):
        if table is not None:
            assert set(table.values) == set(points[table.at]["enum"])


def fields_of(device: DeviceMap) -> Iterator[tuple[str, Frame, int, Any]]:
    """(sequence, frame, address, field) of everything that is written."""
    assert device.inverter is not None
    for sequence in ("start", "setpoint", "stop"):
        for frame in getattr(device.inverter, sequence):
            at = frame.at
            for field in frame.fields:
                yield sequence, frame, at, field
                at += TYPES[field.type]


@pytest.mark.parametrize("name", FILES)
def test_what_is_written_stands_in_the_reference(name: str) -> None:
    reference, device = reference_of(name), load_map(name)
    points = reference_points(reference)
    for sequence, frame, at, field in fields_of(device):
        point = points[at]
        where = f"{sequence} {point['name']}"
        assert (field.type, frame.unit_id) == (point["type"], owner(point)), where
        assert point.get("access", "RW") == "RW", where
        assert frame.function == point.get("write_fc", reference["defaults"]["write_fc"]), where
        if field.to is not None and "enum" in point:
            assert field.to in point["enum"], where


# ---- values, packed by hand ----

# fmt: off
VALUES = [
    # map                 quantity             at     words               value     why
    ("wallbox-quasar1",   "p_w",               526,   [0x0DAC],           -3500.0,  "3500: it charges with 3.5 kW"),
    ("wallbox-quasar1",   "p_w",               526,   [0xF830],           2000.0,   "-2000: it discharges with 2 kW"),
    ("wallbox-quasar1",   "p_set_readback_w",  260,   [0xE318],           7400.0,   "-7400: full discharge is set"),
    ("wallbox-quasar1",   "p_max_charge_w",    514,   [0x1CE8],           7400.0,   "a magnitude"),
    ("wallbox-quasar1",   "p_max_discharge_w", 514,   [0x0564],           1380.0,   "the same register: 6 A at 230 V"),
    ("wallbox-quasar1",   "soc_pu",            538,   [63],               0.63,     "percent"),
    ("wallbox-quasar1",   "soc_pu",            538,   [0],                None,     "no power flows: not known"),
    ("wallbox-quasar1",   "soc_pu",            538,   [1],                None,     "its glitch"),
    ("wallbox-quasar1",   "soc_pu",            538,   [98],               None,     "beyond what it plausibly says"),
    ("victron-gx",        "p_w",               12,    [350],              -3500.0,  "tens of W taken from the grid"),
    ("victron-gx",        "p_w",               12,    [0xFF38],           2000.0,   "-200: fed in"),
    ("victron-gx",        "p_set_readback_w",  37,    [0xF254],           3500.0,   "-3500: feeds in"),
    ("victron-gx",        "p_max_discharge_w", 132,   [0x0000, 0x1388],   5000.0,   "rated power"),
    ("victron-gx",        "soc_pu",            843,   [55],               0.55,     "of unit 100"),
    ("victron-gx-3ph",    "soc_pu",            843,   [100],              1.0,      "of unit 100"),
    ("victron-gx-3ph",    "soc_pu",            843,   [0],                0.0,      "empty is a value"),
    ("sma-sbs-si",        "p_w",               30775, [0x0000, 0x0BB8],   3000.0,   "+ = feed-in, as ours"),
    ("sma-sbs-si",        "p_w",               30775, [0xFFFF, 0xF448],   -3000.0,  "it charges"),
    ("sma-sbs-si",        "p_w",               30775, [0x8000, 0x0000],   None,     "SMA: not a number"),
    ("sma-sbs-si",        "p_set_readback_w",  40149, [0xFFFF, 0xFE0C],   -500.0,   "it is told to charge"),
    ("sma-sbs-si",        "p_max_charge_w",    40189, [0x0000, 0x09C4],   2500.0,   "allowed charging"),
    ("sma-sbs-si",        "p_max_discharge_w", 40191, [0x0000, 0x0E74],   3700.0,   "allowed discharging"),
    ("sma-sbs-si",        "p_max_charge_w",    40189, [0xFFFF, 0xFFFF],   None,     "SMA: not a number"),
    ("sma-sbs-si",        "soc_pu",            30845, [0x0000, 0x0028],   0.4,      "percent"),
    ("sma-sbs-si",        "soc_pu",            30845, [0xFFFF, 0xFFFF],   None,     "SMA: not a number"),
    ("solax-hybrid",      "soc_pu",            28,    [77],               0.77,     "percent"),
    ("solax-hybrid",      "soc_pu",            28,    [101],              None,     "no such percentage"),
    ("ambibox-ambicharge-home", "p_set_readback_w", 3000, [0xFFFF, 0xEC78], -5000.0, "- = charge, as ours"),
    ("ambibox-ambicharge-home", "p_set_readback_w", 3000, [0x0000, 0x1388], 5000.0,  "+ = discharge"),
    ("ambibox-ambicharge-home", "soc_pu",      4054,  [0x42A1, 0x0000],   0.805,    "80.5 %: 2^6 x 1.2578125"),
    ("sigenergy-v2g-dc",  "p_set_readback_w",  40001, [0x0000, 0x2710],   10000.0,  "+ = out into the grid"),
    ("sigenergy-v2g-dc",  "p_set_readback_w",  40001, [0xFFFF, 0xD8F0],   -10000.0, "taken from the grid"),
    ("sigenergy-v2g-dc",  "soc_pu",            31504, [655],              0.655,    "tenths of a percent"),
    ("sigenergy-v2g-dc",  "p_max_charge_w",    31523, [0x0000, 0x30D4],   12500.0,  "rating of the module"),
    ("sigenergy-v2g-dc",  "p_max_discharge_w", 31525, [0x0000, 0x61A8],   25000.0,  "rating of the module"),
    ("kostal-plenticore", "p_set_readback_w",  1034,  [0x0000, 0xC2C8],   -100.0,   "-1.5625 x 2^6: it charges"),
    ("kostal-plenticore", "p_set_readback_w",  1034,  [0x8000, 0x44BB],   1500.0,   "1.46484375 x 2^10: discharge"),
    ("kostal-plenticore", "p_set_readback_w",  1034,  [0x0000, 0x7FC0],   None,     "not a number"),
    ("kostal-plenticore", "soc_pu",            514,   [42],               0.42,     "percent"),
    ("kostal-plenticore", "s_max_va",          531,   [10000],            10000.0,  "rated apparent power"),
]
# fmt: on


def state_of(plan: Plan, at: int, words: list[int]) -> dict[str, Any]:
    """What one place of the device says, the rest unanswered."""
    answers: list[list[int] | None] = []
    for read in plan.reads:
        inside = read.address <= at < read.address + read.count
        answer = [0x7FC0] * read.count
        if inside:
            answer[at - read.address : at - read.address + len(words)] = words
        answers.append(answer if inside else None)
    return decode(plan, answers, DeviceState)


@pytest.mark.parametrize(
    ("name", "quantity", "at", "words", "value", "why"), VALUES, ids=[f"{v[0]} {v[1]} {v[-1]}" for v in VALUES]
)
def test_values(name: str, quantity: str, at: int, words: list[int], value: float | None, why: str) -> None:
    state = state_of(plan_of(name), at, words)
    found = state[quantity]
    assert found == pytest.approx(value, abs=1e-9) if value is not None else found != found, why


@pytest.mark.parametrize("name", FILES)
def test_two_values_of_each_map_are_packed_by_hand(name: str) -> None:
    assert sum(row[0] == name for row in VALUES) >= 2


# fmt: off
SESSIONS = [
    # map               at     raw          session                 status                      why
    ("wallbox-quasar1",         537,   [0],      Session.UNPLUGGED,    "CONNECTED",         "no car"),
    ("wallbox-quasar1",         537,   [1],      Session.CHARGING,     "RUNNING CONNECTED", "charging"),
    ("wallbox-quasar1",         537,   [4],      Session.READY,        "RUNNING CONNECTED", "paused"),
    ("wallbox-quasar1",         537,   [11],     Session.DISCHARGING,  "RUNNING CONNECTED", "discharging"),
    ("wallbox-quasar1",         537,   [7],      Session.FAULT,        "CONNECTED FAULT",   "error"),
    ("wallbox-quasar1",         537,   [12],     Session.UNKNOWN,      "",                  "a state nobody told of"),
    ("wallbox-quasar1",         537,   [0xFFFF], Session.UNKNOWN,      "",                  "a state nobody told of"),
    ("ambibox-ambicharge-home", 4082,  [0, 5],   Session.READY,        "RUNNING CONNECTED", "the charge loop"),
    ("ambibox-ambicharge-home", 4082,  [0, 8],   Session.ENDED_BY_CAR, "CONNECTED",         "stopped"),
    ("ambibox-ambicharge-home", 4082,  [1, 5],   Session.UNKNOWN,      "",                  "both words count"),
    ("sigenergy-v2g-dc",        31513, [8],      Session.DISCHARGING,  "RUNNING CONNECTED", "discharging"),
    ("sigenergy-v2g-dc",        31513, [9],      Session.FAULT,        "CONNECTED ALARM",   "alarm"),
    ("sigenergy-v2g-dc",        31513, [11],     Session.UNKNOWN,      "",                  "a state nobody told of"),
    ("victron-gx",              33,    [3],      None,                 "RUNNING CONNECTED", "the switch is on"),
    ("victron-gx",              33,    [1],      None,                 "CONNECTED",         "charger only"),
    ("victron-gx",              33,    [4],      None,                 "CONNECTED",         "off"),
    ("victron-gx",              33,    [0],      None,                 "",                  "no such position"),
]
# fmt: on


@pytest.mark.parametrize(
    ("name", "at", "raw", "session", "status", "why"), SESSIONS, ids=[f"{s[0]} {s[2]}" for s in SESSIONS]
)
def test_words(name: str, at: int, raw: list[int], session: Session | None, status: str, why: str) -> None:
    state = state_of(plan_of(name), at, raw)
    assert state["status"] == sum(DeviceStatus[word] for word in status.split()), why
    assert state["valid"] & DeviceValid.STATUS
    if session is None:
        assert not state["valid"] & DeviceValid.SESSION
    else:
        assert state["valid"] & DeviceValid.SESSION
        assert state["session"] == session, why


# ---- frames, byte by byte ----


def pdu(write: Write, p_w: float = 0.0, q_var: float = 0.0) -> str:
    """The request behind the unit, as hex."""
    words = encode(write, {"p_w": p_w, "q_var": q_var})
    if write.function == 6:
        return struct.pack(">BHH", 6, write.address, words[0]).hex(" ")
    return struct.pack(f">BHHB{len(words)}H", 16, write.address, len(words), 2 * len(words), *words).hex(" ")


# 0 var, 30 s, target 0 %, 0 Wh, 0 W, time-out 0
SOLAX = " 00 00 00 00 00 1e 00 00 00 00 00 00 00 00 00 00 00 00"

SETPOINTS = [
    # map, p_w, unit, request, why
    ("wallbox-quasar1", -3500.0, 3, "06 01 04 0d ac", "260 = 3500: charge"),
    ("wallbox-quasar1", 7400.0, 3, "06 01 04 e3 18", "260 = -7400: discharge"),
    ("victron-gx", -2000.0, 3, "10 00 25 00 03 06 07 d0 00 00 00 00", "37 = 2000: takes from the grid"),
    ("victron-gx", 2000.0, 3, "10 00 25 00 03 06 f8 30 00 00 00 00", "37 = -2000: feeds in"),
    ("victron-gx-3ph", 3000.0, 3, "10 00 25 00 05 0a fc 18 00 00 00 00 fc 18 fc 18", "-1000 on each phase"),
    ("victron-gx-3ph", -6000.0, 3, "10 00 25 00 05 0a 07 d0 00 00 00 00 07 d0 07 d0", "2000 on each phase"),
    ("sma-sbs-si", 3000.0, 3, "10 9c d5 00 06 0c 00 00 0b b8 00 00 03 22 00 00 00 00", "+3000, 802 active, 0 var"),
    ("sma-sbs-si", -3000.0, 3, "10 9c d5 00 06 0c ff ff f4 48 00 00 03 22 00 00 00 00", "-3000: charge"),
    ("solax-hybrid", 4000.0, 3, "10 00 7c 00 0d 1a 00 01 00 01 f0 60 ff ff" + SOLAX, "-4000, low word first; 30 s"),
    ("solax-hybrid", -4000.0, 3, "10 00 7c 00 0d 1a 00 01 00 01 0f a0 00 00" + SOLAX, "+4000: charge"),
    ("ambibox-ambicharge-home", -5000.0, 3, "10 0b b8 00 02 04 ff ff ec 78", "- = charge"),
    ("ambibox-ambicharge-home", 5000.0, 3, "10 0b b8 00 02 04 00 00 13 88", "+ = discharge"),
    ("sigenergy-v2g-dc", 10000.0, 247, "10 9c 41 00 02 04 00 00 27 10", "the plant feeds in"),
    ("sigenergy-v2g-dc", -10000.0, 247, "10 9c 41 00 02 04 ff ff d8 f0", "the plant takes"),
    ("kostal-plenticore", -100.0, 3, "10 04 0a 00 02 04 00 00 c2 c8", "charge: recorded in evcc-io/evcc issue 26511"),
    ("kostal-plenticore", 1500.0, 3, "10 04 0a 00 02 04 80 00 44 bb", "discharge: 44bb8000, low word first"),
]


@pytest.mark.parametrize(
    ("name", "p_w", "unit", "request_", "why"), SETPOINTS, ids=[f"{s[0]} {s[1]:.0f} W" for s in SETPOINTS]
)
def test_set_point_frames(name: str, p_w: float, unit: int, request_: str, why: str) -> None:
    [write] = plan_of(name).setpoint
    assert pdu(write, p_w, q_var=500.0) == request_, why
    assert (UNIT if write.unit is None else write.unit) == unit


@pytest.mark.parametrize("name", FILES)
def test_a_charge_and_a_discharge_frame_of_each_map_are_written_by_hand(name: str) -> None:
    signs = {row[1] > 0.0 for row in SETPOINTS if row[0] == name}
    assert signs == {True, False}


@pytest.mark.parametrize(
    ("name", "most_w"), [("wallbox-quasar1", 7400.0), ("victron-gx", 32000.0), ("solax-hybrid", 30000.0)]
)
def test_beyond_its_range_nothing_is_sent(name: str, most_w: float) -> None:
    [write] = plan_of(name).setpoint
    for sign in (1.0, -1.0):
        assert encode(write, {"p_w": sign * most_w, "q_var": 0.0})
        with pytest.raises(ValueError, match="is outside"):
            encode(write, {"p_w": sign * (most_w + 1.0), "q_var": 0.0})


def test_the_sites_timer_stands_where_the_map_says() -> None:
    for reversion_s in (10, 60):
        [timer] = [w for w in plan_of("wallbox-quasar1", reversion_s=reversion_s).start if w.address == 88]
        assert timer.words == (reversion_s,)
        words = plan_of("solax-hybrid", reversion_s=reversion_s).setpoint[0].words
        assert words[6] == reversion_s


# ---- the rest of the plan ----

# fmt: off
RULES = [
    # map                      refresh_ms  quiet_ms  budget  why (reversion_s = 30)
    ("wallbox-quasar1",        10_000,     31_000,   0,      "a third of the timer; reads feed it too"),
    ("victron-gx",             2_000,      0,        0,      "as the map says; its own timer may be 10 s"),
    ("sma-sbs-si",             10_000,     0,        0,      "a third of the shortest, and the map's own figure"),
    ("solax-hybrid",           10_000,     0,        0,      "a third of the duration it is told"),
    ("ambibox-ambicharge-home", 86_400_000, 0,       100,    "no timer to feed, and a memory nobody knows"),
    ("sigenergy-v2g-dc",       86_400_000, 0,        100,    "the same"),
    ("kostal-plenticore",      5_000,      0,        0,      "as the map says; a third of its timer is 10 s"),
]
# fmt: on


@pytest.mark.parametrize(("name", "refresh", "quiet", "budget", "why"), RULES, ids=[r[0] for r in RULES])
def test_rules_of_writing(name: str, refresh: int, quiet: int, budget: int, why: str) -> None:
    plan = plan_of(name)
    assert (plan.write_refresh_ms, plan.quiet_ms, plan.write_budget_per_day) == (refresh, quiet, budget), why


@pytest.mark.parametrize("name", FILES)
def test_a_bus_takes_each_plan(name: str) -> None:
    assert inverter(plan_of(name), 500)


def test_a_read_never_mixes_units_or_functions() -> None:
    assert plan_of("victron-gx").reads == (Read(3, 12, 26), Read(3, 132, 2, 50), Read(3, 843, 1, 5, 100))
    assert Read(3, 843, 1, 5) in plan_of("victron-gx", unit=100).reads  # the site's own unit is no exception
    functions = {r.address: r.function for r in plan_of("ambibox-ambicharge-home").reads}
    assert functions == {3000: 3, 4054: 4}


def test_no_two_rows_of_a_table_are_for_one_value() -> None:
    for name in FILES:
        flags = plan_of(name).flags
        for a, b in itertools.combinations(flags, 2):
            assert a == b or (a.target, a.mask, a.equals) != (b.target, b.mask, b.equals)
