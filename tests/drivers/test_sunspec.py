"""SunSpec: walk a chain of words, compile it into a Plan, and do so over a socket. Expected words from a pencil.

Offsets are checked against the public model definitions twice: by hand below, and against pysunspec2's copy of them.
"""

from __future__ import annotations

import importlib
import json
import os
import random
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import drivers.mapfile
import drivers.sunspec.plan
import drivers.sunspec.wire
from cython_core.records import DeviceState, DeviceStatus, DeviceValid
from drivers.base import BusError, DiscoveryError, DriverError, MapError, OwnControlError
from drivers.mapfile import load_map
from drivers.modbus.link import TcpLink
from drivers.registermap import Plan, decode, encode, plan_to_json
from drivers.sunspec import Chain, Model, discover, discover_in_child, fetch, inverter_plan, walk
from drivers.sunspec.chain import RefusedError
from drivers.sunspec.wire import Reader
from tests.drivers.sunspec_words import Body, WordReader, inverter, lay_out, own_map, serve

LAYOUT = load_map("sunspec-7xx")
AT_701, AT_702, AT_704, AT_713, AT_715 = 40070, 40225, 40277, 40344, 40353
REVERSION_S = 12


def plan_of(bodies: Sequence[Body], reversion_s: int = REVERSION_S, **options: Any) -> Plan:
    words = lay_out(bodies)
    return inverter_plan(walk(WordReader(words)), words, unit=1, reversion_s=reversion_s, **options)


def state_of(bodies: Sequence[Body], changed: Mapping[int, int] | None = None) -> dict[str, Any]:
    """What the plan made at discovery says about the words; changed: other words since then."""
    words = lay_out(bodies) | dict(changed or {})
    plan = plan_of(bodies)
    return decode(plan, [[words[r.address + i] for i in range(r.count)] for r in plan.reads], DeviceState)


# ---- the chain


@pytest.mark.parametrize("base", [40000, 0, 50000])
def test_walk_finds_the_models_at_each_base(base: int) -> None:
    chain = walk(WordReader(lay_out([(1, 66, {}), (701, 153, {}), (64001, 3, {})], base)))
    assert chain == Chain(base, (Model(1, base + 2, 66), Model(701, base + 70, 153), Model(64001, base + 225, 3)))


def test_walk_tries_40000_first_and_stops_there() -> None:
    reader = WordReader(lay_out([(1, 66, {})], 0) | lay_out([(2, 5, {})], 40000))
    assert walk(reader).base == 40000
    assert [a for a, _ in reader.asked] == [40000, 40002, 40009]


def test_repeated_models_are_all_listed() -> None:
    chain = walk(WordReader(lay_out([(1, 66, {}), (714, 18, {}), (1, 65, {}), (714, 18, {})])))
    assert [m.at for m in chain.find(714)] == [40070, 40157]
    assert chain.ids == (1, 714, 1, 714)
    assert chain.find(701) == ()


BAD_CHAINS = [
    # words                                                        message
    ({}, r"not a SunSpec .*\(40000: refused, 0: refused, 50000: refused\)"),
    ({0: 1, 1: 2, 40000: 0x5375, 40001: 0}, r"not a SunSpec .*\(40000: 5375 0000, 0: 0001 0002, 50000: refused\)"),
    (lay_out([(1, 0, {})]), r"model 1 at 40002 has length 0"),
    (lay_out([(1, 66, {}), (0, 7, {})]), r"model 0 at 40070 has length 7"),
    (lay_out([(1, 66, {}), (701, 153, {})], end=False), r"nothing readable at 40225, behind model 701 \(length 153\)"),
    ({40000: 0x5375, 40001: 0x6E53}, r"nothing readable at 40002, behind 'SunS'"),
    (lay_out([(1, 66, {})], end=False) | {40070: 701, 40071: 65000}, r"runs past address 65535"),
    (lay_out([(9, 1, {})] * 101), r"no end mark 0xffff after 100 models"),
]


@pytest.mark.parametrize(("words", "message"), BAD_CHAINS, ids=[c[-1] for c in BAD_CHAINS])
def test_what_is_no_chain_is_refused(words: dict[int, int], message: str) -> None:
    with pytest.raises(DiscoveryError, match=message) as error:
        walk(WordReader(words))
    assert "\n" not in str(error.value)


def test_a_device_that_repeats_itself_for_ever_ends_the_walk() -> None:
    asked = []

    def echo(address: int, count: int) -> tuple[int, ...]:
        asked.append(address)
        return (0x5375, 0x6E53) if address == 40000 else (7, 1)[:count]

    with pytest.raises(DiscoveryError, match="no end mark"):
        walk(echo)
    assert len(asked) == 101


def test_silence_is_not_taken_for_a_wrong_base() -> None:
    def silent(address: int, count: int) -> tuple[int, ...]:
        raise BusError(f"no answer at {address} ({count})")

    with pytest.raises(BusError, match="no answer at 40000"):
        walk(silent)


def test_fetch_reads_long_models_in_pieces() -> None:
    reader = WordReader(lay_out([(1, 66, {}), (701, 153, {116: 3})]))
    words = fetch(reader, [Model(701, 40070, 153)])
    assert reader.asked == [(40070, 125), (40195, 30)]
    assert fetch(WordReader(reader.words), [Model(701, 40070, 153)], max_words=40) == words
    assert words[40070 + 116] == 3
    assert len(words) == 155


# ---- the layout

# fmt: off
OFFSETS = [
    # model  point            at   type   factor       (SunSpec json/model_N.json, words from the ID)
    (701,   "St",              3, "u16", None),
    (701,   "InvSt",           4, "u16", None),
    (701,   "ConnSt",          5, "u16", None),
    (701,   "Alrm",            6, "u32", None),
    (701,   "W",              10, "s16", "W_SF"),
    (701,   "Var",            12, "s16", "Var_SF"),
    (701,   "W_SF",          116, "s16", None),
    (701,   "Var_SF",        119, "s16", None),
    (702,   "WMaxRtg",         2, "u16", "W_SF"),
    (702,   "WMax",           26, "u16", "W_SF"),
    (702,   "VAMax",          31, "u16", "VA_SF"),
    (702,   "WChaRteMax",     34, "u16", "W_SF"),
    (702,   "WDisChaRteMax",  35, "u16", "W_SF"),
    (702,   "W_SF",           45, "s16", None),
    (702,   "VA_SF",          47, "s16", None),
    (704,   "WSetEna",        22, "u16", None),
    (704,   "WSetMod",        23, "u16", None),
    (704,   "WSet",           24, "s32", "WSet_SF"),
    (704,   "WSetRvrt",       26, "s32", "WSet_SF"),
    (704,   "WSetEnaRvrt",    30, "u16", None),
    (704,   "WSetRvrtTms",    31, "u32", None),
    (704,   "VarSetEna",      35, "u16", None),
    (704,   "VarSetMod",      36, "u16", None),
    (704,   "VarSetPri",      37, "u16", None),
    (704,   "VarSet",         38, "s32", "VarSet_SF"),
    (704,   "VarSetEnaRvrt",  44, "u16", None),
    (704,   "VarSetRvrtTms",  45, "u32", None),
    (704,   "WSet_SF",        55, "s16", None),
    (704,   "VarSet_SF",      57, "s16", None),
    (713,   "SoC",             4, "u16", "Pct_SF"),
    (713,   "Sta",             6, "u16", None),
    (715,   "LocRemCtl",       2, "u16", None),
]
# fmt: on


@pytest.mark.parametrize(("model", "name", "at", "kind", "factor"), OFFSETS, ids=[f"{o[0]}.{o[1]}" for o in OFFSETS])
def test_offsets_by_hand(model: int, name: str, at: int, kind: str, factor: str | None) -> None:
    point = LAYOUT.models[model].points[name]
    assert (point.at, point.type, point.factor) == (at, kind, factor)


ORACLE_TYPES = {
    "u16": {"uint16", "enum16", "bitfield16"},
    "s16": {"int16", "sunssf"},
    "u32": {"uint32", "bitfield32"},
    "s32": {"int32"},
}


@pytest.mark.parametrize("model", [m for m in sorted(LAYOUT.models) if LAYOUT.models[m].points])
def test_layout_equals_the_public_model_definitions(model: int) -> None:
    sunspec2: Any = pytest.importorskip("sunspec2", reason="pysunspec2 brings the model definitions to compare with")
    file = Path(sunspec2.__file__).parent / "models" / "json" / f"model_{model}.json"
    group = json.loads(file.read_text())["group"]
    at, points = 0, {}
    for p in group["points"]:
        points[p["name"]] = (at, p["type"], p.get("sf"))
        at += p["size"]
    for name, point in LAYOUT.models[model].points.items():
        offset, kind, factor = points[name]
        assert (point.at, point.factor) == (offset, factor), name
        assert kind in ORACLE_TYPES[point.type], name
    fixed = at + sum(p["size"] for g in group.get("groups", []) for p in g["points"] if g.get("count", 1) == 1)
    assert LAYOUT.models[model].lengths == (fixed - 2,)


def test_decode_equals_pysunspec2_on_the_same_words() -> None:
    pytest.importorskip("sunspec2", reason="pysunspec2 is the oracle")
    client = importlib.import_module("sunspec2.modbus.client")

    bodies, state = inverter(), state_of(inverter())
    words = lay_out(bodies)
    # fmt: off
    pairs = {(701, "W"): "p_w", (701, "Var"): "q_var", (702, "WDisChaRteMax"): "p_max_discharge_w",
             (702, "WChaRteMax"): "p_max_charge_w", (702, "VAMax"): "s_max_va", (704, "WSet"): "p_set_readback_w"}
    # fmt: on
    for (model, point), name in pairs.items():
        place = walk(WordReader(words)).find(model)[0]
        raw = b"".join(words[place.at + i].to_bytes(2, "big") for i in range(place.length + 2))
        theirs = client.SunSpecModbusClientModel(model_id=model, data=raw, mb_device=None)
        assert theirs.points[point].cvalue == pytest.approx(state[name], rel=1e-12), name


# ---- reading


def test_values_signs_and_scales() -> None:
    state = state_of(inverter())
    assert state["p_w"] == -3500.0  # raw -350, factor 1: the inverter absorbs
    assert state["q_var"] == 1200.0
    assert state["p_set_readback_w"] == 2000.0
    assert state["p_max_discharge_w"] == 7500.0  # the discharge setting, not WMax = 8000
    assert state["p_max_charge_w"] == 7000.0  # a magnitude
    assert state["s_max_va"] == 10000.0
    assert state["soc_pu"] == pytest.approx(0.635, abs=1e-12)
    assert state["status"] == DeviceStatus.RUNNING | DeviceStatus.CONNECTED
    everything = ~(DeviceValid.SESSION | DeviceValid.P_MIN_ABS) & (2 * DeviceValid.STATUS - 1)
    assert state["valid"] == everything


def test_power_and_status_in_each_poll_the_rest_now_and_then() -> None:
    reads = plan_of(inverter()).reads
    every = {address: r.every for r in reads for address in range(r.address, r.address + r.count)}
    for fast in (AT_701 + 3, AT_701 + 5, AT_701 + 10, AT_701 + 12, AT_704 + 24, AT_713 + 6, AT_715 + 2):
        assert every[fast] == 1
    assert every[AT_702 + 35] == 20
    assert all(r.function == 3 and r.count <= 125 for r in reads)
    status = [r for r in reads if r.address <= AT_701 + 3 < r.address + r.count]
    assert status[0].address + status[0].count >= AT_701 + 13  # status and power are of the same moment


BOTH = ("RUNNING", "CONNECTED")

# fmt: off
STATES = [
    # changed since discovery            bits that stand            why
    ({AT_701 + 4: 4},                    BOTH ,  "throttled is running"),
    ({AT_701 + 4: 7},                    ("CONNECTED",),            "standby is not running"),
    ({AT_701 + 4: 2},                    ("CONNECTED",),            "starting is not running"),
    ({AT_701 + 4: 99},                   ("CONNECTED",),            "a state nobody knows is not running"),
    ({AT_701 + 3: 0},                    ("CONNECTED",),            "St off stands against InvSt running"),
    ({AT_701 + 4: 6},                    ("CONNECTED", "FAULT"),    "fault"),
    ({AT_701 + 5: 0},                    ("RUNNING",),              "running on its own, off the grid"),
    ({AT_701 + 5: 0, AT_701 + 4: 0, AT_701 + 3: 0}, (),             "off: a valid state with no bit"),
    ({AT_701 + 7: 1 << 7},               (*BOTH, "ALARM"), "over-temperature"),
    ({AT_701 + 6: 1},                    (*BOTH, "ALARM"), "bit 16, the manufacturer's alarm"),
    ({AT_713 + 6: 1},                    (*BOTH, "ALARM"), "the battery warns"),
    ({AT_713 + 6: 2},                    (*BOTH, "FAULT"), "the battery has failed"),
    ({AT_715 + 2: 1},                    (*BOTH, "LOCAL"), "somebody stands at the device"),
]
# fmt: on


@pytest.mark.parametrize(("changed", "names", "why"), STATES, ids=[s[-1] for s in STATES])
def test_status(changed: dict[int, int], names: tuple[str, ...], why: str) -> None:
    state = state_of(inverter(), changed)
    assert {b.name for b in DeviceStatus if state["status"] & b} == set(names), why
    assert state["valid"] & DeviceValid.STATUS


def test_status_without_st_or_without_invst() -> None:
    both = DeviceStatus.RUNNING | DeviceStatus.CONNECTED
    assert state_of(inverter(m701={3: 0xFFFF}))["status"] == both
    assert state_of(inverter(m701={3: 0xFFFF}), {AT_701 + 4: 4})["status"] == both  # throttled
    assert state_of(inverter(m701={4: 0xFFFF}))["status"] == both
    assert state_of(inverter(m701={4: 0xFFFF}), {AT_701 + 3: 0})["status"] == DeviceStatus.CONNECTED


def test_an_alarm_word_that_is_not_implemented_raises_no_alarm() -> None:
    assert not state_of(inverter(m701={6: 0xFFFF, 7: 0xFFFF}))["status"] & DeviceStatus.ALARM


# fmt: off
ABSENT = [
    # changes at discovery                      quantity             value    why
    ({"m702": {35: 0xFFFF}},                    "p_max_discharge_w", 8000.0,  "no discharge setting: WMax"),
    ({"m702": {35: 0xFFFF, 26: 0xFFFF}},        "p_max_discharge_w", 9500.0,  "no settings at all: the nameplate"),
    ({"m702": {34: 0xFFFF}},                    "p_max_charge_w",    9000.0,  "the nameplate's charge rate"),
    ({"m702": {34: 0xFFFF, 10: 0xFFFF}},        "p_max_charge_w",    None,    "WMax says nothing about charging"),
    ({"m702": {45: 0x8000}},                    "p_max_discharge_w", None,    "no scale factor, no value"),
    ({"m702": {45: 0x8000}},                    "s_max_va",          10000.0, "its own scale factor is there"),
    ({"m702": {45: 0}},                         "p_max_discharge_w", 750.0,   "factor 0 is a factor"),
    ({"m702": {45: 0xFFFE}},                    "p_max_discharge_w", 7.5,     "factor -2"),
    ({"m713": {8: 0x8000}},                     "soc_pu",            None,    "SoC without its scale factor"),
    ({"m713": {4: 0xFFFF}},                     "soc_pu",            None,    "state of charge not implemented"),
    ({"m701": {12: 0x8000}},                    "q_var",             None,    "Q not implemented"),
]
# fmt: on


@pytest.mark.parametrize(("changes", "name", "value", "why"), ABSENT, ids=[a[-1] for a in ABSENT])
def test_what_the_device_lacks_is_absent(
    changes: dict[str, dict[int, int]], name: str, value: float | None, why: str
) -> None:
    found = state_of(inverter(**changes))[name]
    assert found == pytest.approx(value, nan_ok=True) if value is not None else found != found, why


def test_a_quantity_that_goes_away_later_becomes_absent() -> None:
    state = state_of(inverter(), {AT_701 + 10: 0x8000, AT_713 + 4: 0xFFFF})
    assert state["p_w"] != state["p_w"]
    assert not state["valid"] & (DeviceValid.P | DeviceValid.SOC)


def test_a_car_that_is_plugged_in_after_discovery_gets_its_state_of_charge() -> None:
    unplugged = inverter(m713={4: 0xFFFF}, m701={10: 0x8000})
    assert not state_of(unplugged)["valid"] & (DeviceValid.SOC | DeviceValid.P)
    later = state_of(unplugged, {AT_713 + 4: 800, AT_701 + 10: 25})
    assert later["soc_pu"] == pytest.approx(0.8)
    assert later["p_w"] == 250.0


def test_no_storage_model_no_state_of_charge() -> None:
    bodies = [b for b in inverter() if b[0] not in (713, 715)]
    state = state_of(bodies)
    assert not state["valid"] & DeviceValid.SOC
    assert state["status"] == DeviceStatus.RUNNING | DeviceStatus.CONNECTED


# ---- what must be refused


def without(*models: int) -> list[Body]:
    return [b for b in inverter() if b[0] not in models]


def with_length(model: int, length: int) -> list[Body]:
    return [(m, length if m == model else n, p) for m, n, p in inverter()]


REFUSED = [
    # models                                  lines
    (without(704), ["model 704 is missing; found: 1, 701, 702, 713, 715"]),
    (without(1, 701, 702), [f"model {m} is missing; found: 704, 713, 715" for m in (1, 701, 702)]),
    (with_length(701, 121), ["model 701 at 40070 has length 121; known: 153"]),
    (with_length(1, 64), ["model 1 at 40002 has length 64; known: 65 or 66"]),
    (with_length(713, 6), ["model 713 at 40344 has length 6; known: 7"]),
    (inverter() + inverter()[3:4], ["model 704 stands 2 times (at 40277, 40362); one is allowed per unit"]),
    (
        inverter(m704={22: 0xFFFF}),
        ["model 704: WSetEna is not implemented; without it no set-point in watts can be given"],
    ),
    (
        inverter(m704={30: 0xFFFF, 31: 0xFFFF, 32: 0xFFFF}),
        [
            "model 704: WSetEnaRvrt is not implemented; without it the device does not fall back to 0 W in our silence",
            "model 704: WSetRvrtTms is not implemented; without it the device has no timer of its own for our silence",
        ],
    ),
    (
        inverter(m704={55: 0x8000}),
        ["model 704: WSet_SF is not implemented (0x8000); without it the size of a set-point is unknown"],
    ),
    (inverter(m704={55: 11}), ["model 704: WSet_SF = 11 is outside -10 ... 10"]),
    (inverter(m704={55: 4}), ["model 704: WSet_SF = 4: its steps are too coarse; allowed: up to 3"]),
    (inverter(m704={57: 7}), ["model 704: VarSet_SF = 7: its steps are too coarse; allowed: up to 3"]),
    (
        inverter(m701={3: 0xFFFF, 4: 0xFFFF}),
        ["model 701: neither InvSt nor St is implemented; one of them must say that the inverter runs"],
    ),
    (inverter(m701={5: 0xFFFF}), ["model 701: ConnSt is not implemented; it must say that the inverter is connected"]),
    (
        inverter(m701={116: 0x8000}),
        ["p_w: no scale factor is implemented for W of model 701; without it no value is known"],
    ),
]


def test_the_budget_of_a_map_of_your_own_reaches_the_bus(tmp_path: Path) -> None:
    own = own_map(tmp_path, "sunspec-7xx", storage="unknown", write_budget_per_day="5", timer="none", timer_s="")
    plan = plan_of(inverter(), map_name=own)
    assert (plan.write_budget_per_day, plan.write_refresh_ms) == (5, 24 * 3600 * 1000)


def test_a_device_whose_timer_reads_feed_is_left_alone_in_our_silence(tmp_path: Path) -> None:
    own = own_map(tmp_path, "sunspec-7xx", timer_fed_by="any")
    assert plan_of(inverter(), map_name=own).quiet_ms == 1000 * REVERSION_S + 1000
    assert plan_of(inverter()).quiet_ms == 0


@pytest.mark.parametrize(("bodies", "lines"), REFUSED, ids=[r[-1][0][:60] for r in REFUSED])
def test_a_device_we_cannot_command_is_refused(bodies: list[Body], lines: list[str]) -> None:
    with pytest.raises(DiscoveryError) as error:
        plan_of(bodies)
    assert str(error.value).splitlines() == lines


FIXED_PF = (
    "it keeps a constant power factor of its own, against our reactive set-points; nothing is commanded. Switch that "
    "off at the inverter, or leave reactive power to it: `reactive.owner: inverter`"
)
# fmt: off
OWN_CONTROLS = [
    # 704            what is named                        why
    ({2: 1},         "PFWInjEna = 1",                     "while it injects"),
    ({8: 1},         "PFWAbsEna = 1",                     "while it absorbs"),
    ({2: 1, 8: 1},   "PFWInjEna = 1, PFWAbsEna = 1",      "both, in one line"),
]
# fmt: on


@pytest.mark.parametrize(("m704", "named", "why"), OWN_CONTROLS, ids=[c[-1] for c in OWN_CONTROLS])
def test_a_control_of_its_own_against_ours_is_one_line(m704: dict[int, int], named: str, why: str) -> None:
    line = f"model 704: {named}: {FIXED_PF}"
    with pytest.raises(OwnControlError) as error:
        plan_of(inverter(m704=m704))
    assert str(error.value) == line
    words = lay_out(inverter(m704=m704))
    with serve(words) as port:
        link = TcpLink("127.0.0.1", port)
        with pytest.raises(OwnControlError) as error:
            discover_in_child(link, 1, REVERSION_S, 5.0)
        assert str(error.value) == f"127.0.0.1:{port} unit 1: {line}"
        assert discover(
            link, 1, REVERSION_S, 5.0, commands_q=False
        )  # the task is its own: nothing of ours is against it


def test_what_else_is_missing_is_told_before_it() -> None:
    with pytest.raises(DiscoveryError) as error:
        plan_of(inverter(m704={2: 1, 22: 0xFFFF}))
    assert not isinstance(error.value, OwnControlError)


def test_a_second_common_block_is_no_second_inverter() -> None:
    bodies = [*inverter(), (1, 66, {})]
    assert plan_of(bodies) == plan_of(inverter())


@pytest.mark.parametrize("reversion_s", [2, 3601])
def test_a_timer_the_device_does_not_take(reversion_s: int) -> None:
    with pytest.raises(
        DiscoveryError, match=rf"reversion_s = {reversion_s} is outside 3 ... 3600 s \(sunspec-7xx.yaml\)"
    ):
        plan_of(inverter(), reversion_s)


def test_flash_is_not_written_cyclically(monkeypatch: pytest.MonkeyPatch) -> None:
    assert LAYOUT.writes is not None
    flash = replace(LAYOUT, writes=replace(LAYOUT.writes, storage="flash"))
    monkeypatch.setattr(drivers.sunspec.plan, "load_map", lambda _: flash)
    with pytest.raises(
        MapError, match=r"storage = 'flash': cyclic set-points would wear it out; allowed: ram, unknown"
    ):
        plan_of(inverter())


# ---- writing


def frames(writes: Sequence[Any], p_w: float = 0.0, q_var: float = 0.0) -> list[tuple[int, tuple[int, ...]]]:
    assert all(w.function == 16 for w in writes)
    return [(w.address - AT_704, encode(w, {"p_w": p_w, "q_var": q_var})) for w in writes]


N = 0x8000  # WSetPct and its like: what the device said at discovery is written back


def test_setpoint_frames() -> None:
    assert frames(plan_of(inverter()).setpoint, p_w=-3500.0, q_var=-700.0) == [
        # WSetMod watts, WSet -350, reversion 0 W, percentages as they were, reversion enabled, 12 s
        (23, (1, 0xFFFF, 0xFEA2, 0, 0, N, N, 1, 0, 12)),
        (22, (1,)),
        # VarSetMod vars, reactive first, VarSet -700 (factor 0), reversion 0 var, percentages, enabled, 12 s
        (36, (4, 1, 0xFFFF, 0xFD44, 0, 0, 55, N, 1, 0, 12)),
        (35, (1,)),
    ]


# fmt: off
SETPOINTS = [
    # factor   p_w       raw high, low        why
    (1,        -3500.0,  (0xFFFF, 0xFEA2),    "-3500 W / 10 = -350"),
    (0,        3000.0,   (0, 3000),           "discharge is positive, as in 701"),
    (0xFFFF,   1234.5,   (0, 12345),          "factor -1: tenths of a watt"),
    (2,        7349.0,   (0, 73),             "rounded to the device's step of 100 W"),
    (0x10000 - 3, 100000.0, (0x05F5, 0xE100), "100 kW in mW fills two words"),
]
# fmt: on


@pytest.mark.parametrize(("factor", "p_w", "raw", "why"), SETPOINTS, ids=[s[-1] for s in SETPOINTS])
def test_setpoint_scale(factor: int, p_w: float, raw: tuple[int, int], why: str) -> None:
    frame = frames(plan_of(inverter(m704={55: factor})).setpoint, p_w=p_w)[0]
    assert frame[1][1:3] == raw, why


def test_start_arms_the_reversion_and_moves_no_power() -> None:
    start = frames(plan_of(inverter()).start)
    assert start == [(26, (0, 0)), (30, (1, 0, 12)), (40, (0, 0)), (44, (1, 0, 12))]
    touched = {at + i for at, words in start for i in range(len(words))}
    assert not touched & {22, 23, 24, 25, 35, 36, 38, 39}  # no enable, no mode, no set-point


def test_stop_gives_control_back_only_after_0() -> None:
    stop = frames(plan_of(inverter()).stop, p_w=5000.0, q_var=5000.0)
    assert stop == [
        (23, (1, 0, 0, 0, 0, N, N, 1, 0, 12)),  # 0 W, whatever was commanded last
        (36, (4, 1, 0, 0, 0, 0, 55, N, 1, 0, 12)),
        (44, (0, 0, 0)),  # no timer that would take control again
        (35, (0,)),
        (30, (0, 0, 0)),
        (22, (0,)),  # last: the device's local mode has control
    ]


def test_read_only_words_are_never_written() -> None:
    plan = plan_of(inverter())
    written = {w.address - AT_704 + i for w in (*plan.start, *plan.setpoint, *plan.stop) for i in range(len(w.words))}
    assert not written & {0, 1, 6, 7, 12, 13, 20, 21, 33, 34, 47, 48, *range(53, 67)}


@pytest.mark.parametrize("change", [{35: 0xFFFF}, {57: 0x8000}], ids=["no enable", "no scale factor"])
def test_an_inverter_without_reactive_control_gets_no_reactive_writes(change: dict[int, int]) -> None:
    plan = plan_of(inverter(m704=change))
    assert [at for at, _ in frames(plan.setpoint)] == [23, 22]
    assert [at for at, _ in frames(plan.start)] == [26, 30]
    assert [at for at, _ in frames(plan.stop)] == [23, 30, 22]


def test_a_priority_the_device_lacks_is_not_written() -> None:
    assert frames(plan_of(inverter(m704={37: 0xFFFF})).setpoint)[2][1][:2] == (4, 0xFFFF)


def test_write_contract() -> None:
    plan = plan_of(inverter(m704={55: 2}), timeout_ms=400)
    assert plan.write_refresh_ms == 4000  # a third of 12 s
    assert plan.quantum_p_w == 100.0  # the device's own step
    assert plan.quantum_q_var == 10.0  # the map's
    assert plan.min_write_interval_ms == 200
    assert plan.timeout_ms == 400


# ---- over a wire


def test_discover_over_tcp_equals_the_pure_way() -> None:
    with serve(lay_out(inverter())) as port:
        assert discover(TcpLink("127.0.0.1", port), 1, REVERSION_S, 5.0) == plan_of(inverter())


def test_discover_in_a_child_equals_the_same() -> None:
    with serve(lay_out(inverter())) as port:
        assert discover_in_child(TcpLink("127.0.0.1", port), 1, REVERSION_S, 5.0, timeout_ms=400) == plan_of(
            inverter(), timeout_ms=400
        )


def test_a_childs_complaint_is_the_parents_error() -> None:
    with serve(lay_out(without(704))) as port, pytest.raises(DiscoveryError) as error:
        discover_in_child(TcpLink("127.0.0.1", port), 1, REVERSION_S, 5.0)
    assert str(error.value) == f"127.0.0.1:{port} unit 1: model 704 is missing; found: 1, 701, 702, 713, 715"


def test_nobody_listens() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound, not listening: connections are refused
        port = closed.getsockname()[1]
        with pytest.raises(BusError, match=rf"^127\.0\.0\.1:{port} unit 1: .*: no connection; check"):
            discover_in_child(TcpLink("127.0.0.1", port), 1, REVERSION_S, 1.0)


def test_a_silent_device_ends_discovery_at_its_deadline() -> None:
    with serve({}, silent=True) as port, pytest.raises(BusError) as error:
        discover(TcpLink("127.0.0.1", port), 3, REVERSION_S, 0.1)
    assert str(error.value) == f"127.0.0.1:{port} unit 3: reading 2 words at 40000: no answer in time"


def test_a_device_that_answers_slowly_cannot_stretch_the_deadline() -> None:
    now = iter([0.0, 0.1, 1.5])  # begin; ask; ask again: too late
    with serve(lay_out(inverter())) as port:
        reader = Reader(TcpLink("127.0.0.1", port), 1, 1.0, 300, clock=lambda: next(now))
        try:
            assert reader.read(40000, 2) == (0x5375, 0x6E53)
            with pytest.raises(BusError, match="no answer in time"):
                reader.read(40002, 2)
        finally:
            reader.close()


def test_an_address_that_is_not_there_is_a_refusal() -> None:
    with serve({}) as port:
        reader = Reader(TcpLink("127.0.0.1", port), 1, 5.0, 300)
        try:
            with pytest.raises(RefusedError, match=r"reading 2 words at 7: exception 2 \(illegal address\)"):
                reader.read(7, 2)
        finally:
            reader.close()


# fmt: off
WRONG = "the answer is not for this question"

ANSWERS = [
    # answer to transaction 1, unit 1, two words  message                                         why
    ("0002 0000 0007 01 03 04 5375 6e53", WRONG,                                           "another transaction"),
    ("0001 0000 0007 02 03 04 5375 6e53", WRONG,                                           "another unit"),
    ("0001 0001 0007 01 03 04 5375 6e53", WRONG,                                           "not the Modbus protocol"),
    ("0001 0000 0002 01 03",              WRONG,                                           "too short for any answer"),
    ("0001 0000 0005 01 03 02 5375",      WRONG,                                           "one word instead of two"),
    ("0001 0000 0007 01 04 04 5375 6e53", WRONG,                                           "another function"),
    ("0001 0000 0006 01 03 04 5375 6e",   WRONG,                                           "byte count against length"),
    ("0001 0000 0003 01 83 0b",           r"exception 11 \(gateway: the device behind it", "gateway"),
    ("0001 0000 0003 01 83 63",           r"exception 99 \(unknown code\)",                "a code nobody knows"),
    ("0001 0000 0007 01 03",              "the device closed the connection",              "half an answer"),
]
# fmt: on


@pytest.mark.parametrize(("answer", "message", "why"), ANSWERS, ids=[a[-1] for a in ANSWERS])
def test_a_wrong_answer_is_a_bus_error_and_never_a_refusal(answer: str, message: str, why: str) -> None:
    with serve({}, answer=bytes.fromhex(answer.replace(" ", ""))) as port:
        reader = Reader(TcpLink("127.0.0.1", port), 1, 5.0, 300)
        try:
            with pytest.raises(BusError, match=message) as error:
                reader.read(40000, 2)
            assert not isinstance(error.value, RefusedError), why
        finally:
            reader.close()


def test_a_child_that_dies_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(
        DiscoveryError, match=r"^h:1 unit 1: the discovery process failed with exit code 1: nothing on stderr$"
    ):
        discover_in_child(TcpLink("h", 1), 1, REVERSION_S, 1.0)


def test_a_child_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    hanging = tmp_path / "python"
    hanging.write_text("#!/bin/sh\nexec sleep 60\n")
    hanging.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(hanging))
    monkeypatch.setattr(drivers.sunspec.wire, "CHILD_START_S", 0.1)
    with pytest.raises(BusError, match=r"^h:1 unit 1: discovery took longer than 0\.2 s and was ended$"):
        discover_in_child(TcpLink("h", 1), 1, REVERSION_S, 0.1)


def test_a_map_of_ones_own_is_used_and_checked(tmp_path: Path) -> None:
    shipped = (Path(drivers.mapfile.__file__).parent / "maps" / "inverters" / "sunspec-7xx.yaml").read_text()
    own = tmp_path / "mine.yaml"
    own.write_text(shipped.replace("quantum_p_w: 10 ", "quantum_p_w: 50 "))
    with serve(lay_out(inverter())) as port:
        assert discover_in_child(TcpLink("127.0.0.1", port), 1, REVERSION_S, 5.0, map_name=str(own)).quantum_p_w == 50.0
    own.write_text(shipped.replace("WSetRvrtTms:", "Tms:").replace("ConnSt:", "Conn:"))
    with pytest.raises(MapError) as error:
        plan_of(inverter(), map_name=str(own))
    assert str(error.value).splitlines() == [
        f"{own}:1: model 701 lacks the points ConnSt",
        f"{own}:1: model 704 lacks the points WSetRvrtTms",
    ]
    with pytest.raises(MapError, match="eastron-sdm630 is a map of kind meter; allowed: inverter"):
        plan_of(inverter(), map_name="eastron-sdm630")
    own.write_text(shipped.replace("WSetPct:       {at: 28", "WSetPct:       {at: 60"))
    with pytest.raises(MapError, match=r"model 704: WSetPct must follow its neighbour in WSetMod, WSet, "):
        plan_of(inverter(), map_name=str(own))


def test_garbled_devices_give_a_plan_or_a_driver_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two words of a good device changed at random: whatever comes, it is one of our errors, and no write changes."""
    monkeypatch.setattr(drivers.sunspec.plan, "load_map", lambda _: LAYOUT)  # parsed once, not a thousand times
    chance = random.Random(1547)
    good = lay_out(inverter())
    plans = 0
    for _ in range(1000):
        words = dict(good)
        for _ in range(2):
            words[chance.choice(list(good))] = chance.choice([0, 1, 2, 0x7FFF, 0x8000, 0xFFFF, chance.getrandbits(16)])
        reader = WordReader(words)
        try:
            chain = walk(reader)
            found = fetch(reader, [m for m in chain.models if m.id in LAYOUT.models])
            plan = inverter_plan(chain, found, 1, REVERSION_S)
        except DriverError:
            continue
        plans += 1
        assert {w.address for w in plan.setpoint} <= {AT_704 + 22, AT_704 + 23, AT_704 + 35, AT_704 + 36}
    assert 500 < plans < 1000


def test_discovery_loads_no_modbus_library() -> None:
    code = "import sys, drivers.sunspec; print(sorted({'pymodbus', 'numpy', 'sunspec2', 'serial'} & set(sys.modules)))"
    root = Path(__file__).resolve().parents[2]
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert run.stdout.strip() == "[]"


def test_plan_of_a_real_shape_is_one_line_of_json() -> None:
    assert "\n" not in plan_to_json(plan_of(inverter()))
