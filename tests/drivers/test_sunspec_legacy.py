"""SunSpec models before 701: a storage inverter commanded by model 124. Expected words from a pencil."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from cython_core.records import DeviceState, DeviceStatus, DeviceValid
from drivers.base import DiscoveryError
from drivers.mapfile import load_map
from drivers.modbus.compiled import inverter as compiled
from drivers.registermap import Plan, Write, decode, encode
from drivers.sunspec import inverter_plan, walk
from tests.drivers.sunspec_words import NOT_GIVEN, Body, WordReader, lay_out, own_map

MAP = "sunspec-12x"
LAYOUT = load_map(MAP)
AT_103, AT_122, AT_124 = 40070, 40182, 40228
REVERSION_S = 12
LENGTHS = {"m1": 66, "m103": 50, "m120": 26, "m121": 30, "m122": 44, "m124": 24}


def storage(**changes: Mapping[int, int]) -> list[Body]:
    """A 5 kW hybrid: models at 40002 (1), 40070 (103), 40122 (120), 40150 (121), 40182 (122), 40228 (124)."""
    # fmt: off
    m103 = {14: 0x10000 - 250, 15: 1, 38: 4, 40: 0, 41: 0}       # -2500 W, MPPT, no event
    m120 = {5: 600, 6: 1}
    m121 = {7: 550, 26: 1}                                       # VAMax 5500
    m122 = {4: 1}                                                # connected
    m124 = {2: 500, 5: 0, 8: 6350, 12: 10000, 13: 10000, 14: 0, 15: 0, 17: 0,
            18: 1, 22: 0x10000 - 2, 25: 0x10000 - 2}             # WChaMax 5000 W, 63.5 %, rates in hundredths
    # fmt: on
    plain = {"m1": {}, "m103": m103, "m120": m120, "m121": m121, "m122": m122, "m124": m124}
    return [(int(n[1:]), LENGTHS[n], {**words, **changes.get(n, {})}) for n, words in plain.items()]


def without(model: int, bodies: Sequence[Body]) -> list[Body]:
    return [b for b in bodies if b[0] != model]


def plan_of(bodies: Sequence[Body], reversion_s: int = REVERSION_S, map_name: str = MAP) -> Plan:
    words = lay_out(bodies)
    return inverter_plan(walk(WordReader(words)), words, unit=1, reversion_s=reversion_s, map_name=map_name)


def state_of(bodies: Sequence[Body]) -> dict[str, Any]:
    words = lay_out(bodies)
    plan = plan_of(bodies)
    return decode(plan, [[words[r.address + i] for i in range(r.count)] for r in plan.reads], DeviceState)


def frames(writes: Sequence[Write], p_w: float = 0.0) -> list[tuple[int, tuple[int, ...]]]:
    assert all(w.function == 16 for w in writes)
    return [(w.address - AT_124, encode(w, {"p_w": p_w, "q_var": 0.0})) for w in writes]


# ---- the layout

ORACLE_TYPES = {
    "u16": {"uint16", "enum16", "bitfield16"},
    "s16": {"int16", "sunssf"},
    "u32": {"uint32", "bitfield32"},
}


@pytest.mark.parametrize("model", [m for m in sorted(LAYOUT.models) if LAYOUT.models[m].points])
def test_layout_equals_the_public_model_definitions(model: int) -> None:
    sunspec2: Any = pytest.importorskip("sunspec2", reason="pysunspec2 brings the model definitions to compare with")
    file = Path(sunspec2.__file__).parent / "models" / "json" / f"model_{model}.json"
    at, points = 0, {}
    for p in json.loads(file.read_text())["group"]["points"]:
        points[p["name"]] = (at, p["type"], p.get("sf"))
        at += p["size"]
    for name, point in LAYOUT.models[model].points.items():
        offset, kind, factor = points[name]
        assert (point.at, point.factor) == (offset, factor), name
        assert kind in ORACLE_TYPES[point.type], name
    assert LAYOUT.models[model].lengths == (at - 2,)


# ---- reading


def test_values_signs_and_scales() -> None:
    state = state_of(storage())
    assert state["p_w"] == -2500.0  # raw -250, factor 1: it charges
    assert state["p_set_readback_w"] == pytest.approx(5000.0)  # 100.00 % of WChaMax
    assert state["p_max_discharge_w"] == state["p_max_charge_w"] == 5000.0
    assert state["s_max_va"] == 5500.0
    assert state["soc_pu"] == pytest.approx(0.635)
    assert state["status"] == DeviceStatus.RUNNING | DeviceStatus.CONNECTED
    said = DeviceValid.P | DeviceValid.P_SET | DeviceValid.P_MAX_CHARGE | DeviceValid.P_MAX_DISCHARGE
    assert state["valid"] == said | DeviceValid.S_MAX | DeviceValid.SOC | DeviceValid.STATUS  # no Q, no session


# fmt: off
STATES = [
    # changed                                    status                         why
    ({"m103": {38: 4}},                          "RUNNING CONNECTED",           "MPPT"),
    ({"m103": {38: 5}},                          "RUNNING CONNECTED",           "throttled"),
    ({"m103": {38: 1}},                          "CONNECTED",                   "off"),
    ({"m103": {38: 8}},                          "CONNECTED",                   "standby"),
    ({"m103": {38: 7}},                          "CONNECTED FAULT",             "fault"),
    ({"m103": {38: 9}},                          "CONNECTED",                   "a state that no model has"),
    ({"m122": {4: 0}},                           "RUNNING",                     "disconnected"),
    ({"m122": {4: 3}},                           "RUNNING CONNECTED",           "the other bits say something else"),
    ({"m103": {40: 0, 41: 1}},                   "RUNNING CONNECTED ALARM",     "ground fault, bit 0 of 32"),
    ({"m103": {40: 0, 41: 0x8000}},              "RUNNING CONNECTED ALARM",     "hardware test failure, bit 15"),
]
# fmt: on


@pytest.mark.parametrize(("changes", "status", "why"), STATES, ids=[s[-1] for s in STATES])
def test_states(changes: dict[str, dict[int, int]], status: str, why: str) -> None:
    assert state_of(storage(**changes))["status"] == sum(DeviceStatus[w] for w in status.split()), why


# ---- writing


# fmt: off
SETPOINTS = [
    # p_w      out               in                 why
    (3000.0,   6000,             0x10000 - 6000,    "60.00 %: discharging at most and charging at most -60 %"),
    (-2000.0,  0x10000 - 4000,   4000,              "40.00 %: the other way round"),
    (0.0,      0,                0,                 "neither"),
    (5000.0,   10000,            0x10000 - 10000,   "all there is"),
    (-5000.0,  0x10000 - 10000,  10000,             "all there is"),
    (1.2,      2,                0x10000 - 2,       "rounded to half a watt"),
]
# fmt: on


@pytest.mark.parametrize(("p_w", "out", "into", "why"), SETPOINTS, ids=[str(s[0]) for s in SETPOINTS])
def test_setpoint_frames(p_w: float, out: int, into: int, why: str) -> None:
    assert frames(plan_of(storage()).setpoint, p_w) == [(12, (out, into, 0, REVERSION_S)), (5, (3,))], why


@pytest.mark.parametrize("p_w", [5000.5, -5000.5])
def test_more_than_it_can_is_not_sent(p_w: float) -> None:
    with pytest.raises(ValueError, match=r"is outside -5000 \.\.\. 5000"):
        frames(plan_of(storage()).setpoint, p_w)


def test_start_lets_it_charge_from_the_grid_and_moves_no_power() -> None:
    [start] = plan_of(storage()).start
    assert (frames([start]), start.verify) == ([(17, (1,))], 3)


def test_stop_is_0_first_then_what_was_before() -> None:
    stop = plan_of(storage()).stop
    assert frames(stop, p_w=4000.0) == [
        (12, (0, 0, 0, REVERSION_S)),
        (5, (0,)),  # no limit is in force: its own mode
        (12, (10000, 10000, 0, 0)),  # 100.00 % and no timer
        (17, (0,)),
    ]
    assert frames(plan_of(storage(m124={17: 1})).stop)[-1] == (17, (1,))


def test_the_rest_of_the_plan() -> None:
    plan = plan_of(storage())
    assert (plan.write_refresh_ms, plan.min_write_interval_ms, plan.quantum_p_w) == (4000, 1000, 20.0)
    assert plan_of(storage(m124={25: 0, 12: 100, 13: 100})).quantum_p_w == 50.0  # one percent of 5000 W
    assert compiled(plan, 200)
    every = {a: r.every for r in plan.reads for a in range(r.address, r.address + r.count)}
    assert [every[a] for a in (AT_103 + 14, AT_103 + 38, AT_103 + 41, AT_122 + 4, AT_124 + 12)] == [1] * 5


def test_the_contract_of_a_map_of_your_own_reaches_the_bus(tmp_path: Path) -> None:
    own = own_map(tmp_path, MAP, storage="unknown", write_budget_per_day="5", timer="none", timer_s="", timer_then="")
    assert plan_of(storage(), map_name=own).write_budget_per_day == 5
    own = own_map(tmp_path, MAP, timer_fed_by="any")
    assert plan_of(storage(), map_name=own).quiet_ms == 1000 * REVERSION_S + 1000


@pytest.mark.parametrize("model", [101, 102])
def test_one_and_split_phase_devices(model: int) -> None:
    bodies = [(model, *b[1:]) if b[0] == 103 else b for b in storage()]
    assert state_of(bodies)["p_w"] == -2500.0


LIMITS_ONLY = "without it the device takes limits of generation only: nobody can tell it to charge or discharge"
UNFIT = [
    # device                                            the one line that is told
    (without(124, storage()), f"model 124 is missing; found: 1, 103, 120, 121, 122; {LIMITS_ONLY}"),
    (without(122, storage()), "model 122 is missing; found: 1, 103, 120, 121, 124"),
    (
        [(113, 60, {}), *without(103, storage())],
        "models 101, 102, 103: none found, one is needed; a device set to float",
    ),
    ([(101, 50, {}), *storage()], "models 101, 102, 103: 101, 103 found, one is needed;"),
    (storage(m124={12: NOT_GIVEN}), "model 124: OutWRte is not implemented; without it nobody can tell it to"),
    (storage(m124={13: NOT_GIVEN}), "model 124: InWRte is not implemented; without it nobody can tell it to"),
    (storage(m124={15: 0xFFFF}), "model 124: InOutWRte_RvrtTms is not implemented; without it the device has"),
    (storage(m124={17: 0xFFFF}), "model 124: ChaGriSet is not implemented; without it charging from the grid"),
    (storage(m124={2: 0xFFFF}), "model 124: WChaMax is not implemented; without it the size"),
    (storage(m124={25: 0x10000 - 3}), "model 124: InOutWRte_SF = -3: no 100 %; allowed: -2 ... 2"),
    (storage(m124={25: 3}), "model 124: InOutWRte_SF = 3: no 100 %; allowed: -2 ... 2"),
    (storage(m124={2: 0}), "model 124: WChaMax = 0; a set-point is a percentage of it"),
    (storage(m124={25: NOT_GIVEN}), "model 124: InOutWRte_SF is not implemented (0x8000); without it the size"),
    (storage(m124={18: NOT_GIVEN}), "model 124: WChaMax_SF is not implemented (0x8000); without it the size"),
    (storage(m122={4: 0xFFFF}), "model 122: ECPConn is not implemented; it must say that the inverter"),
]


@pytest.mark.parametrize(("bodies", "line"), UNFIT, ids=[u[-1][:50] for u in UNFIT])
def test_what_it_cannot_do_is_refused_by_name(bodies: list[Body], line: str) -> None:
    with pytest.raises(DiscoveryError) as error:
        plan_of(bodies)
    assert any(told.startswith(line) for told in str(error.value).splitlines()), str(error.value)


def test_an_older_device_is_not_taken_for_a_newer_one() -> None:
    words = lay_out(storage())
    with pytest.raises(DiscoveryError, match="model 704 is missing"):
        inverter_plan(walk(WordReader(words)), words, unit=1, reversion_s=REVERSION_S)


def test_fronius_is_the_same_with_rests() -> None:
    fronius = load_map("fronius-gen24")
    assert (fronius.models, fronius.quantities) == (LAYOUT.models, LAYOUT.quantities)
    assert (fronius.min_gap_ms, LAYOUT.min_gap_ms) == (200, 0)
    words = lay_out(storage())
    plan = inverter_plan(walk(WordReader(words)), words, 1, REVERSION_S, map_name="fronius-gen24")
    assert plan.setpoint == plan_of(storage()).setpoint
