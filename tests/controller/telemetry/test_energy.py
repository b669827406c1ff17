"""Energy counters: Wh by pencil. Ten steps a second, 3600 W for one second is 1 Wh."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest

from controller.telemetry.energy import Energy
from controller.telemetry.frames import Carry, FrameBuilder
from cython_core.records import DeviceValid, Freshness, Session
from tests.controller.telemetry.makers import PERIOD_NS, info, records

NAN = float("nan")
SAID, STALE = int(DeviceValid.SESSION), int(Freshness.STALE)


def window(**columns: Any) -> Any:
    """Steps 0 ... 9; t_ns follows k, as in a core that has skipped."""
    rows = records(0, 10, **columns)
    rows["t_ns"] = np.cumsum(rows["k"]) * PERIOD_NS
    return rows


def frame(*windows: Any, carry: Carry | None = None) -> tuple[dict[str, Any], FrameBuilder]:
    """The last live frame."""
    builder = FrameBuilder(info(), 1000, True, carry)
    for rows in windows:
        builder.add(rows)
        drafts = builder.flush()
    return drafts[-1].body, builder


# fmt: off
CASES = [
    # columns                                     import  export  unknown s  why
    ({"m_p_w": 3600.0},                           0.0,    1.0,    0.0,       "out into the grid is export"),
    ({"m_p_w": -7200.0},                          2.0,    0.0,    0.0,       "charging is import"),
    ({"m_p_w": [3600.0] * 5 + [-3600.0] * 5},     0.5,    0.5,    0.0,       "no netting"),
    ({"m_p_w": 3600.0, "k": [1] * 9 + [11]},      0.0,    2.0,    0.0,       "a skipped point is the next step's"),
    ({"m_p_w": [NAN] * 4 + [3600.0] * 6},         0.0,    0.6,    0.4,       "nobody knew: seconds, not 0 W"),
    ({"m_p_w": 3600.0, "fresh_p": STALE},         0.0,    0.0,    1.0,       "a stale power is no power"),
    ({"m_p_w": NAN, "d_p_w": 360.0},              0.0,    0.1,    0.0,       "no meter: the inverter's own"),
]
# fmt: on


@pytest.mark.parametrize(("columns", "import_wh", "export_wh", "unknown_s", "why"), CASES, ids=[c[-1] for c in CASES])
def test_of_one_window(columns: dict[str, Any], import_wh: float, export_wh: float, unknown_s: float, why: str) -> None:
    body, _ = frame(window(**columns))
    found = (body["e_import_wh"], body["e_export_wh"], body["e_unknown_s"])
    assert found == pytest.approx((import_wh, export_wh, unknown_s), abs=2e-3), why


def test_lost_records_are_unknown_time() -> None:
    rows = records(0, 30, m_p_w=3600.0)
    body, _ = frame(rows[:10], rows[25:])
    assert body["e_export_wh"] == pytest.approx(1.5, abs=2e-3)
    assert body["e_unknown_s"] == pytest.approx(1.5)


def test_counters_go_on_after_a_restart_of_telemetry_and_of_the_core() -> None:
    _, first = frame(records(0, 10, m_p_w=3600.0))
    kept = Carry.from_dict(json.loads(json.dumps(first.carry.to_dict())))
    body, second = frame(records(10, 10, m_p_w=3600.0), carry=kept)
    assert (body["e_export_wh"], body["e_unknown_s"]) == (2.0, 0.0), "the same core"
    builder = FrameBuilder(info(8), 1000, True, second.carry.next_run())
    builder.add(records(0, 10, m_p_w=3600.0, t_ns=(np.arange(10) + 50) * PERIOD_NS))
    body = builder.flush()[-1].body
    assert body["e_export_wh"] == 3.0
    assert body["e_unknown_s"] == 3.0, "the core was away from 1.9 s to 4.9 s"


def test_after_a_reboot_the_time_away_is_that_of_the_wall_clock() -> None:
    energy = Energy()
    list(energy.add(records(0, 10), np.zeros(10), info()))
    rebooted = {**info(8), "boot_id": "another", "wall_offset_ns": info()["wall_offset_ns"] + 60 * 10**9}
    list(energy.add(records(0, 10), np.zeros(10), rebooted))
    assert energy.total.unknown_s == pytest.approx(60.0 - 1.0)  # 0.9 s of the first, 0.1 s of the new step


def test_a_clock_that_was_never_set_counts_for_nothing() -> None:
    energy = Energy()
    list(energy.add(records(0, 10), np.zeros(10), {**info(), "wall_offset_ns": 0}))
    list(energy.add(records(0, 10), np.zeros(10), {**info(8), "boot_id": "another"}))
    assert energy.total.unknown_s == 0.0


def test_after_a_reboot_the_time_away_is_reckoned_from_the_clock_as_it_was_set() -> None:
    """The run began with a clock 8 h behind, which was set on its way: its ring still says the old offset."""
    late = {**info(), "wall_offset_ns": info()["wall_offset_ns"] - 8 * 3600 * 10**9}
    first = FrameBuilder(late, 1000, True)
    first.at(70, info()["wall_offset_ns"])
    first.add(records(0, 10))
    first.flush()
    rebooted = {**info(8), "boot_id": "another", "wall_offset_ns": info()["wall_offset_ns"] + 60 * 10**9}
    second = FrameBuilder(rebooted, 1000, True, first.carry.next_run())
    second.add(records(0, 10))
    (live,) = [d for d in second.flush() if d.kind == "live"]
    assert live.body["e_unknown_s"] == pytest.approx(60.0 - 1.0)


S = Session
AWAY, HERE = [S.UNPLUGGED], [S.READY]
BEGIN, END = "session_begin", "session_end"
# fmt: off
SESSIONS = [
    # sessions of ten steps, 3600 W out                  events                 Wh    s     why
    (AWAY * 4 + HERE * 6,                                [BEGIN],               0.6,  0.6,  "plugged at step 4"),
    ([S.CHARGING] * 10,                                  [BEGIN],               1.0,  1.0,  "was there when we began"),
    (AWAY * 2 + HERE * 3 + AWAY * 5,                     [BEGIN, END],          0.3,  0.3,  "a past one stays shown"),
    (HERE * 3 + [S.UNKNOWN] * 4 + [S.CHARGING] * 3,      [BEGIN],               1.0,  1.0,  "unknown changes nothing"),
    (HERE * 2 + AWAY * 2 + HERE * 6,                     [BEGIN, END, BEGIN],   0.6,  0.6,  "a new car"),
    (AWAY * 10,                                          [],                    None, None, "no car yet"),
]
# fmt: on


@pytest.mark.parametrize(("sessions", "events", "export_wh", "seconds", "why"), SESSIONS, ids=[c[-1] for c in SESSIONS])
def test_a_session(sessions: list[int], events: list[str], export_wh: float, seconds: float, why: str) -> None:
    builder = FrameBuilder(info(), 1000, True)
    builder.add(records(0, 10, m_p_w=3600.0, d_valid=SAID, d_session=[int(s) for s in sessions]))
    drafts = builder.flush()
    assert [d.name for d in drafts if d.name.startswith("session")] == events
    body = drafts[-1].body
    assert body["e_session_export_wh"] == (None if export_wh is None else pytest.approx(export_wh, abs=2e-3)), why
    assert body["e_session_s"] == (None if seconds is None else pytest.approx(seconds)), why


def test_an_inverter_that_says_nothing_of_the_car_has_no_session() -> None:
    body, _ = frame(records(0, 10, d_session=int(S.CHARGING)))
    assert body["e_session_import_wh"] is None


def test_the_end_tells_what_the_session_took() -> None:
    builder = FrameBuilder(info(), 1000, True)
    states = [int(S.CHARGING)] * 5 + [int(S.UNPLUGGED)] * 5
    builder.add(records(0, 10, m_p_w=-7200.0, d_valid=SAID, d_session=states))
    (end,) = [d for d in builder.flush() if d.name == "session_end"]
    assert end.body["n"] == 5
    assert end.body["e_session_import_wh"] == pytest.approx(1.0, abs=2e-3)


def told(import_wh: float, age_s: float = 1.0, **more: float) -> dict[str, Any]:
    """buses.json, 100 s after boot."""
    counters = {"t_ns": round((100 - age_s) * 1e9), "e_import_wh": import_wh, **more}
    return {"t_ns": 100 * 10**9, "energies": {"meter": counters}}


# fmt: off
DEVICES = [
    # told before       told now                          field         fallen  why
    (told(1000.0),      told(1001.5),                     1001.5,       False,  "it counts"),
    (told(1000.0),      told(1000.0),                     1000.0,       False,  "nothing flowed"),
    (told(1000.0),      told(3.0),                        3.0,          True,   "reset, rolled over, or another meter"),
    (told(1000.0),      told(1001.5, age_s=31.0),         None,         False,  "not read for 31 s: three asks missed"),
    (told(1000.0),      {},                               None,         False,  "the core does not tell"),
    ({},                told(3.0),                        3.0,          False,  "the first value is no fall"),
]
# fmt: on


@pytest.mark.parametrize(("before", "now", "value", "fallen", "why"), DEVICES, ids=[c[-1] for c in DEVICES])
def test_counters_of_a_meter(before: dict[str, Any], now: dict[str, Any], value: float, fallen: bool, why: str) -> None:
    energy = Energy()
    energy.from_devices(before)
    energy = Energy.from_dict(json.loads(json.dumps(asdict(energy))))  # a restart between the two
    found, fell = energy.from_devices(now)
    assert found.get("e_meter_import_wh") == value, why
    assert [f["counter"] for f in fell] == (["e_meter_import_wh"] if fallen else [])


def test_a_fall_is_an_event_with_both_values() -> None:
    builder = FrameBuilder(info(), 1000, True)
    builder.add(records(0, 20))
    (live,) = [d for d in builder.flush() if d.kind == "live"]
    assert builder.of_devices(live, told(1000.0, e_export_wh=5.0)) == []
    assert (live.body["e_meter_import_wh"], live.body["e_meter_export_wh"]) == (1000.0, 5.0)
    (event,) = builder.of_devices(live, told(0.5, e_export_wh=5.0))
    assert (event.kind, event.name, event.t_ms) == ("event", "energy_reset", live.t_ms)
    assert event.body["counter"] == "e_meter_import_wh"
    assert (event.body["before_wh"], event.body["now_wh"]) == (1000.0, 0.5)


def test_two_counters_that_fall_at_once_are_two_rows_to_the_store() -> None:
    builder = FrameBuilder(info(), 1000, True)
    builder.add(records(0, 20))
    (live,) = [d for d in builder.flush() if d.kind == "live"]
    builder.of_devices(live, told(1000.0, e_export_wh=500.0))
    fallen = builder.of_devices(live, told(0.0, e_export_wh=0.0))
    assert [event.body["counter"] for event in fallen] == ["e_meter_import_wh", "e_meter_export_wh"]
    assert [event.t_ms for event in fallen] == [live.t_ms, live.t_ms + 1]
    assert [event.body["t_ms"] for event in fallen] == [event.t_ms for event in fallen]
