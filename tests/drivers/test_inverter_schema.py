"""Map files of inverters with plain registers: what a right one becomes, and every mistake with its line."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

import drivers.invertermap
import drivers.mapfile
from drivers.base import MapError
from drivers.devicemap import DeviceMap, Frame, FrameField, WriteContract
from drivers.inverterplan import register_plan
from drivers.mapfile import load_map, map_names, parse_map
from drivers.modbus.compiled import inverter
from drivers.registermap import encode
from drivers.writecontract import quiet_ms, refresh_ms

MAPS = Path(drivers.mapfile.__file__).parent / "maps"
GOOD = """schema: 1
device: acme
kind: inverter
source: "made up"
proven: document
function: 4
max_words: 20
registers:
  p_w: {at: 10, type: s32, unit: W, range: [-9000, 9000], scale: -1}
  soc_pu: {at: 20, type: u16, unit: pu, range: [0, 1], scale: 0.01, unit_id: 100, every: 10}
session:
  at: 30
  type: u16
  values: {0: unplugged, 1: charging}
status: {at: 30, type: u16, values: {1: [running, connected]}}
writes: {storage: ram, min_write_interval_ms: 200, quantum_p_w: 10, quantum_q_var: 10, timer_s: [3, 300]}
start:
  - {at: 40, type: u16, timer: s}
setpoint:
  - at: 50
    fields:
      - {type: s16, from: p_w, scale: -1, range: [-7400, 7400]}
      - {type: s16, from: q_var, scale: 1, range: [-3000, 3000]}
      - {type: u16, timer: ms}
stop:
  - {at: 50, type: s16, to: 0, function: 6}
"""


def changed(old: str, new: str) -> str:
    assert GOOD.count(old) == 1, old
    return GOOD.replace(old, new)


def complaints(text: str) -> list[str]:
    with pytest.raises(MapError) as error:
        parse_map(text, "i.yaml")
    return str(error.value).splitlines()


def test_a_right_file() -> None:
    found = parse_map(GOOD, "i.yaml").inverter
    assert found is not None
    assert found.registers["soc_pu"].unit_id == 100
    assert found.session is not None
    assert found.session.values == {0: ("unplugged",), 1: ("charging",)}
    assert found.start == (Frame(at=40, readback=True, fields=(FrameField(type="u16", timer="s"),)),)
    assert [f.readback for f in found.setpoint] == [False]
    assert (found.stop[0].function, found.stop[0].readback) == (6, True)
    assert (found.takes("p_w"), found.takes("q_var")) == ((-7400.0, 7400.0), (-3000.0, 3000.0))


def test_p_q_and_the_timer_in_one_request() -> None:
    plan = register_plan(parse_map(GOOD, "i.yaml"), 1, 20)
    [write] = plan.setpoint
    assert encode(write, {"p_w": -3500.0, "q_var": -700.0}) == (3500, 0x10000 - 700, 20_000)
    assert plan.start[0].words == (20,)
    assert inverter(plan, 100)


# fmt: off
ORDERS = [
    # word_order  type   p_w       words              why
    ("big",       "s32", -3500.0,  (0xFFFF, 0xF254),  "high word first"),
    ("little",    "s32", -3500.0,  (0xF254, 0xFFFF),  "low word first"),
    ("little",    "s16", -3500.0,  (0xF254,),         "one word has no order"),
    ("big",       "f32", -3500.0,  (0xC55A, 0xC000),  "-3500 = -1.708984375 x 2^11"),
]
# fmt: on


@pytest.mark.parametrize(("order", "kind", "p_w", "words", "why"), ORDERS, ids=[o[-1] for o in ORDERS])
def test_word_order_of_a_set_point(order: str, kind: str, p_w: float, words: tuple[int, ...], why: str) -> None:
    text = changed("function: 4", f"function: 4\nword_order: {order}")
    text = text.replace("type: s16, from: p_w, scale: -1", f"type: {kind}, from: p_w, scale: 1")
    written = encode(register_plan(parse_map(text, "i.yaml"), 1, 20).setpoint[0], {"p_w": p_w, "q_var": 0.0})
    assert written[: len(words)] == words, why


WORD = "high word first, or low word first"
CHOICE = "running | connected | fault | alarm | local (what status means to us)"
ALONE = "a field holds one of to, timer, from; here: "
TOGETHER = "from, scale (not 0) and range belong together: the direction is written out"

MISTAKES = [
    # replace                          by                                      the one line that is told
    ("function: 4", "function: 4\nword_order: mixed", f"7: word_order = mixed is not one of big | little ({WORD})"),
    ("  p_w: {at", "  f_hz: {at", "9: unknown key 'f_hz'; known: e_dc_in_wh, e_dc_out_wh, p_max_charge_w,"),
    (", scale: -1}\n  soc", "}\n  soc", "9: p_w: missing key 'scale': -1000000000 ... 1000000000 (1 if"),
    ("at: 10,", "at: 65535,", "9: at = 65535 is outside 0 ... 65534 (type s32)"),
    ("max_words: 20", "max_words: 1", "9: p_w: s32 has 2 words, max_words = 1 cannot read it"),
    ("unit_id: 100", "unit_id: 248", "10: unit_id = 248 is outside 1 ... 247 (Modbus unit, if not"),
    ("1: charging", "1: loading", "14: 1 = loading is not one of unplugged | handshake |"),
    ("1: charging", "1: [ready, charging]", "14: 1 holds 2 values instead of 1;"),
    ("1: charging", "one: charging", "14: session: 'one' is no raw value of type u16"),
    ("1: charging", "65536: charging", "14: session: '65536' is no raw value of type u16"),
    ("1: charging", "0: charging", "14: key '0' stands twice; the first is in line 14"),
    ("type: u16\n  values", "type: s16\n  values", "11: session: type = s16 is not one of u16 | u32"),
    ("[running, connected]", "[running, happy]", f"15: 1 = happy is not one of {CHOICE}"),
    ("storage: ram", "storage: flash", "16: writes: storage = flash: cyclic set-points would wear it out"),
    ("storage: ram", "storage: unknown", "16: writes: storage = unknown needs write_budget_per_day"),
    (
        "storage: ram",
        "storage: unknown, write_budget_per_day: 9",
        "16: writes: storage = unknown with a timer: feeding",
    ),
    (
        "storage: ram",
        "storage: ram, write_budget_per_day: 9",
        "16: writes: write_budget_per_day belongs to storage: unknown",
    ),
    (", timer_s: [3, 300]", "", "16: writes: missing key 'timer_s': [shortest, longest]"),
    ("timer_s: [3, 300]", "timer_s: [3, 300], timer: none", "16: writes: timer_s belongs to a device that has a timer"),
    ("timer_s: [3, 300]", "timer: none", "16: writes: timer = none writes no timer"),
    ("timer_s: [3, 300]", "timer_s: [3, 300], timer: own", "16: writes: timer = own writes no timer"),
    ("interval_ms: 200", "interval_ms: 2000", "16: writes: timer_s: 3 s is less than three writes"),
    ("timer: s}", "to: 1, timer: s}", f"18: start: {ALONE}to, timer"),
    ("timer: s}", "readback: true}", f"18: start: {ALONE}none"),
    ("timer: s}", "from: p_w, scale: 1, range: [0, 1]}", "18: start: from = p_w belongs to setpoint"),
    ("timer: s}", "to: 65536}", "18: start: to = 65536 is outside 0 ... 65535 (type u16)"),
    ("timer: s}", "to: -1}", "18: start: to = -1 is outside 0 ... 65535 (type u16)"),
    ("timer: s}", "timer: min}", "18: timer = min is not one of s | ms (the site's reversion_s"),
    ("type: u16, timer: s}", "type: f32, to: 1}", "18: start: to = 1: of type f32 only 0 can be written"),
    ("at: 40", "at: 65535, function: 5", "18: function = 5 is outside 6 ... 16 (Modbus function that"),
    ("at: 40", "at: 40, function: 7", "18: start: function = 7 is not one of 6 | 16"),
    (
        "type: u16, timer: s}",
        "type: u32, timer: s, function: 6}",
        "18: start: 2 words in one write; function 6 takes 1 ... 1",
    ),
    ("at: 50\n", "at: 65534\n", "20: setpoint: 3 words from 0xfffe leave the addresses"),
    ("at: 50\n", "to: 1\n", "20: unknown key 'to'; known: at, fields, function, readback"),
    ("from: p_w, scale: -1", "from: p_w", f"22: setpoint: {TOGETHER}"),
    ("from: p_w, scale: -1", "from: p_w, scale: 0", f"22: setpoint: {TOGETHER}"),
    ("[-7400, 7400]", "[100, 7400]", "22: setpoint: range [100, 7400] does not hold 0"),
    ("from: p_w", "from: soc_pu", "22: from = soc_pu is not one of p_w | q_var"),
    (
        "{type: s16, from: p_w, scale: -1, range: [-7400, 7400]}",
        "{type: s16, to: 0}",
        "19: setpoint: no field has from: p_w",
    ),
    ("setpoint:\n", "set_point:\n", "19: unknown key 'set_point'; known: device, function,"),
    (
        "stop:\n  - {at: 50, type: s16, to: 0, function: 6}\n",
        "",
        "1: map: missing key 'stop': writes that hand control back",
    ),
    ("stop:\n  - {at: 50, type: s16, to: 0, function: 6}\n", "stop: 5\n", "25: stop needs its keys below it, indented"),
]


@pytest.mark.parametrize(("old", "new", "line"), MISTAKES, ids=[m[-1][:60] for m in MISTAKES])
def test_a_mistake_is_told_with_its_line_and_what_is_allowed(old: str, new: str, line: str) -> None:
    parse_map(GOOD, "i.yaml")
    told = complaints(changed(old, new))
    assert any(text.startswith(f"i.yaml:{line}") for text in told), told


def test_something_has_to_be_asked_in_each_poll() -> None:
    text = re.sub(r"(session|status):(?:\n  .*)+|status: .*", "", GOOD).replace(
        "scale: -1}\n  soc", "scale: -1, every: 2}\n  soc"
    )
    assert complaints(text)[0].endswith("registers: nothing is asked in each poll (every: 1)")


@pytest.mark.parametrize("name", [n for n in map_names(["inverter"]) if load_map(n).inverter])
def test_a_damaged_map_is_a_map_error_and_nothing_else(name: str) -> None:
    """Each line in turn left out, cut in half, or moved one level in."""
    lines = (MAPS / "inverters" / f"{name}.yaml").read_text().splitlines()
    for i, line in enumerate(lines):
        for damaged in ([], [line[: len(line) // 2]], ["  " + line]):
            told = told_of("\n".join([*lines[:i], *damaged, *lines[i + 1 :]]))
            assert all(text.startswith("m.yaml:") for text in told)


@pytest.mark.parametrize(
    "value", ["12:30", "", "[]", "{}", "[[1]]", "on", "-1", "1e99", "99999999999999999999999", "!x 1"]
)
def test_any_value_replaced_is_a_map_error_or_a_map(value: str) -> None:
    """Each value in turn made something that YAML reads in its own way."""
    places = list(re.finditer(r"(?<=: )(\[[^]]*\]|[^\s,{}\[]+)|(?<=\w:)\n(?= )", GOOD))
    assert len(places) > 40
    for place in places:
        told = told_of(GOOD[: place.start()] + f" {value}\n" + GOOD[place.end() :])
        assert all(text.startswith("m.yaml:") for text in told)


def told_of(text: str) -> list[str]:
    """What is said of a file; nothing if it is right."""
    try:
        parse_map(text, "m.yaml")
    except MapError as error:
        return str(error).splitlines()
    return []


def test_template_explains_every_key_and_is_a_valid_map() -> None:
    text = (MAPS / "TEMPLATE.yaml").read_text()
    marked = "\n".join(line[3:] if line.startswith("#> ") else "" for line in text.splitlines())
    found = parse_map(marked, "TEMPLATE.yaml")
    assert inverter(register_plan(found, 1, 10), 100)
    schema = drivers.invertermap
    groups = (
        schema.INVERTER_KEYS,
        schema.TABLE_KEYS,
        schema.FIELD_KEYS,
        schema.FRAME_KEYS,
        *schema.REGISTER_KEYS.values(),
    )
    keys = {*drivers.mapfile.WRITE_KEYS, *(key for group in groups for key in group)}
    assert not [key for key in keys if f"{key}:" not in marked and f"{key}:" not in text]
    words = {*schema.SESSION_WORDS, *schema.STATUS_WORDS}
    assert not [word for word in words if word not in marked]


# ---- timers ----

CONTRACT = WriteContract(
    storage="ram", min_write_interval_ms=0, quantum_p_w=1, quantum_q_var=1, timer_low_s=10, timer_high_s=60
)
REFRESHES = [
    # contract                                         reversion_s  refresh_ms   quiet_ms  falls to 0  why
    ({}, 30, 10_000, 0, True, "a third of the timer we set"),
    ({"timer": "own"}, 30, 3_333, 0, True, "a third of the shortest it may be"),
    ({"timer": "own", "timer_then": "local"}, 30, 3_333, 0, False, "its own mode may be any power"),
    ({"timer_then": "idle"}, 30, 10_000, 0, True, "idle is 0 W"),
    ({"refresh_ms": 2000}, 30, 2_000, 0, True, "as the map says"),
    ({"refresh_ms": 20_000}, 30, 10_000, 0, True, "but never later than a third"),
    ({"timer_fed_by": "any"}, 30, 10_000, 31_000, True, "and a second for its counting"),
    ({"timer": "none"}, 30, 1_000, 0, False, "each second: nothing runs out"),
    ({"timer": "none", "timer_fed_by": "any"}, 30, 1_000, 0, False, "no timer is fed by nothing"),
    ({"timer": "none", "storage": "unknown"}, 30, 86_400_000, 0, False, "for a change only"),
]


@pytest.mark.parametrize(
    ("change", "reversion_s", "refresh", "quiet", "zero", "why"), REFRESHES, ids=[r[-1] for r in REFRESHES]
)
def test_what_follows_from_a_timer(
    change: dict[str, object], reversion_s: int, refresh: int, quiet: int, zero: bool, why: str
) -> None:
    contract = replace(CONTRACT, **change)  # type: ignore[arg-type]  # keys of the table above
    assert refresh_ms(contract, reversion_s) == refresh, why
    assert quiet_ms(contract, reversion_s) == quiet, why
    assert contract.falls_to_zero is zero, why


@pytest.mark.parametrize("reversion_s", [2, 301])
def test_a_timer_that_the_device_does_not_take(reversion_s: int) -> None:
    with pytest.raises(MapError, match=rf"i.yaml:1: reversion_s = {reversion_s} is outside 3 ... 300 s"):
        register_plan(parse_map(GOOD, "i.yaml"), 1, reversion_s)


def test_a_timer_that_does_not_fit_its_register() -> None:
    with pytest.raises(MapError, match="reversion_s = 70 does not fit type u16"):
        register_plan(parse_map(GOOD, "i.yaml"), 1, 70)  # 70 000 ms in one word


def test_a_sunspec_map_has_no_plain_registers() -> None:
    sunspec: DeviceMap = load_map("sunspec-7xx")
    with pytest.raises(MapError, match="sunspec-7xx has no plain registers"):
        register_plan(sunspec, 1, 10)
