"""Live frames and events from step records: expected numbers by pencil. Ten steps a second, windows of one second."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from controller.telemetry.frames import Carry, FrameBuilder
from cython_core.records import Freshness, Mode, Reason, State
from tests.controller.telemetry.makers import WALL_MS, info, records

NAN = float("nan")
NEVER_NS = 0x3FFFFFFFFFFFFFFF  # the core's age of what was never measured


def builder(carry: Carry | None = None, p_at_meter: bool = True) -> FrameBuilder:
    return FrameBuilder(info(), 1000, p_at_meter, carry)


def one_window(**columns: Any) -> dict[str, Any]:
    """The live frame of steps 0 ... 9."""
    frames = builder()
    frames.add(records(0, 10, **columns))
    return frames.flush()[-1].body


RAMP, T0 = np.arange(10.0), WALL_MS
STEPS = np.arange(1, 11) * 100_000_000
SIGN = "+ = out of the inverter into the grid"
# fmt: off
LIVE = [
    # columns                                    path in the frame   expected     why
    ({},                                         "n_first",          0,           "first step of the window"),
    ({},                                         "n_last",           9,           "last step of the window"),
    ({},                                         "steps",            10,          "ten steps a second"),
    ({},                                         "t_ms",             T0 + 900,    "source time of the newest step"),
    ({},                                         "t_first_ms",       T0,          "source time of the oldest step"),
    ({"f_hz": 50.0 + RAMP / 100},                "f_hz.newest",      50.09,       "the last of 50.00 ... 50.09"),
    ({"f_hz": 50.0 + RAMP / 100},                "f_hz.min",         50.0,        "the first"),
    ({"f_hz": 50.0 + RAMP / 100},                "f_hz.mean",        50.045,      "(50.00 + 50.09) / 2"),
    ({"f_hz": [NAN] * 5 + [50.0] * 5},           "f_hz.mean",        50.0,        "what is absent does not count"),
    ({"f_hz": [50.0] * 5 + [NAN] * 5},           "f_hz.newest",      None,        "absent now, whatever it was"),
    ({"f_hz": NAN},                              "f_hz.max",         None,        "never known in this window"),
    ({"fresh_f": int(Freshness.STALE)},          "f_hz.newest",      None,        "a frozen number is no measurement"),
    ({"fresh_f": int(Freshness.HELD)},           "f_hz.newest",      50.0,        "held still counts"),
    ({"v_pu": float("inf")},                     "v_pu.max",         None,        "infinity is no number on the wire"),
    ({"m_p_w": 3600.0},                          "energy_out_wh",    1.0,         "3600 W x 1 s"),
    ({"m_p_w": 3600.0},                          "energy_in_wh",     0.0,         "nothing flowed in"),
    ({"m_p_w": -7200.0},                         "energy_in_wh",     2.0,         "7200 W x 1 s of charging"),
    ({"m_p_w": [3600.0] * 5 + [-3600.0] * 5},    "energy_out_wh",    0.5,         "half a second out ..."),
    ({"m_p_w": [3600.0] * 5 + [-3600.0] * 5},    "energy_in_wh",     0.5,         "... and in: no netting"),
    ({"m_p_w": NAN, "d_p_w": 360.0},             "p_w.mean",         360.0,       "no meter: the inverter's own P"),
    ({"m_p_w": 3600.0, "k": [1] * 9 + [11]},     "energy_out_wh",    2.0,         "each grid point counts: 20 x 0.1 s"),
    ({"k": [1] * 9 + [4]},                       "skipped",          3,           "k = 4: three grid points skipped"),
    ({"skipped": 12},                            "skipped_total",    12,          "since the start of the core"),
    ({"age_f_ns": [9_000_000] + [25_000] * 9},   "age_ms.f.newest",  0.025,       "ns -> ms"),
    ({"age_f_ns": [9_000_000] + [25_000] * 9},   "age_ms.f.max",     9.0,         "the oldest it was"),
    ({"age_v_ns": NEVER_NS},                     "age_ms.v.newest",  None,        "never measured has no age"),
    ({"m_t_f_ns": STEPS, "m_f_hz": 50.0 + RAMP}, "meter_refresh_ms", 100.0,       "another reading in each step"),
    ({"m_t_f_ns": STEPS, "m_q_var": RAMP // 5},  "meter_refresh_ms", None,        "one change tells no interval"),
    ({"m_t_f_ns": STEPS, "m_i1_a": RAMP // 3},   "meter_refresh_ms", 300.0,       "at steps 3, 6 and 9"),
    ({"m_t_f_ns": STEPS, "m_v2_v": NAN},         "meter_refresh_ms", None,        "absent all the time: no change"),
    ({"lateness_ns": RAMP * 1000},               "late_us.p50",      4.5,         "median of 0 ... 9 us"),
    ({"lateness_ns": RAMP * 1000},               "late_us.max",      9.0,         "the worst"),
    ({"reasons": [int(Reason.RAMP)] + [0] * 9},  "reasons",          0,           "bits of the newest step"),
    ({"reasons": [int(Reason.RAMP)] + [0] * 9},  "reasons_or",       1 << 26,     "bits seen in the window"),
    ({"reasons": [int(Reason.RAMP)] + [0] * 9},  "why",              ["RAMP"],    "the same by name"),
    ({"reasons": int(Reason.STARTING)},          "reasons",          1 << 35,     "beyond 32 bits"),
    ({"state": int(State.DEGRADED)},             "state_name",       "DEGRADED",  "code and name"),
    ({"state": 99},                              "state_name",       "99",        "a newer core's state"),
    ({"mode": int(Mode.ACTIVE)},                 "mode_name",        "ACTIVE",    "code and name"),
    ({"dp_w": -125.0},                           "dp_w.newest",      -125.0,      "droop answer, + = out"),
    ({},                                         "start_mode",       "demo",      "visible everywhere"),
    ({},                                         "sign",             SIGN,        "said in every frame"),
]
# fmt: on


@pytest.mark.parametrize(("columns", "path", "expected", "why"), LIVE, ids=[f"{c[1]}: {c[-1]}" for c in LIVE])
def test_live_frame(columns: dict[str, Any], path: str, expected: Any, why: str) -> None:
    value: Any = one_window(**columns)
    for key in path.split("."):
        value = value[key]
    assert value == (pytest.approx(expected, rel=1e-7) if isinstance(expected, float) else expected), why


def test_a_meter_at_the_house_connection_says_nothing_of_the_inverter() -> None:
    frames = builder(p_at_meter=False)
    frames.add(records(0, 10, m_p_w=-3000.0, d_p_w=500.0))
    assert frames.flush()[-1].body["p_w"]["newest"] == 500.0


def test_nothing_known_still_makes_a_frame_without_nan() -> None:
    floats = [name for name, (kind, *_) in (records(0, 1).dtype.fields or {}).items() if kind == np.float64]
    body = one_window(**dict.fromkeys(floats, NAN))
    assert "NaN" not in json.dumps(body, allow_nan=False)
    assert body["energy_out_wh"] == 0.0


def test_a_meter_slower_than_a_window_has_a_refresh_too() -> None:
    frames = builder()
    t_ns = np.arange(1, 61) * 100_000_000
    drafts = frames.add(records(0, 60, m_t_f_ns=t_ns, m_f_hz=50.0 + np.arange(60) // 15)) + frames.flush()
    found = [d.body["meter_refresh_ms"] for d in drafts if d.kind == "live"]
    assert found == [None, None, None, 1500.0, 1500.0, None]  # changes at steps 15, 30 and 45


# ---- windows ----


def test_windows_are_whole_seconds_of_source_time() -> None:
    drafts = builder().add(records(0, 25))
    assert [(d.body["n_first"], d.body["n_last"]) for d in drafts if d.kind == "live"] == [(0, 9), (10, 19)]


@pytest.mark.parametrize("piece", [1, 3, 10, 25, 100], ids=lambda p: f"{p} records at a time")
def test_the_same_records_make_the_same_drafts_however_they_come(piece: int) -> None:
    rows = records(0, 100, reasons=[int(Reason.DROOP)] * 50 + [0] * 50, state=[1] * 33 + [2] * 67)
    whole, parts = builder(), builder()
    expected = whole.add(rows) + whole.flush()
    drafts = [d for i in range(0, 100, piece) for d in parts.add(rows[i : i + piece])] + parts.flush()
    assert drafts == expected


def test_flush_of_nothing_is_nothing() -> None:
    assert builder().flush() == []


@pytest.mark.parametrize("kill_at", [1, 10, 15, 20, 39])
def test_restart_from_the_carry_repeats_and_skips_nothing(kill_at: int) -> None:
    rows = records(0, 60, reasons=[0] * 5 + [int(Reason.DROOP)] * 20 + [0] * 35, state=[1] * 12 + [2] * 48)
    whole = builder()
    expected = whole.add(rows) + whole.flush()
    before = builder()
    drafts = before.add(rows[:kill_at])
    stored = json.loads(json.dumps(before.carry.to_dict()))  # as the outbox keeps it
    after = builder(Carry.from_dict(stored))
    assert drafts + after.add(rows) + after.flush() == expected


# ---- events ----

DROOP, RAMPING, SKIPPED = int(Reason.DROOP), int(Reason.RAMP), int(Reason.SKIPPED)
BEGIN, END, VOLT_VAR = "frequency_begin", "frequency_end", int(Reason.VOLT_VAR)
# fmt: off
CHANGES = [
    # columns of steps 0 ... 59                      events (name, step)             why
    ({},                                             [],                             "a quiet minute says nothing"),
    ({"state": [2] * 30 + [3] * 30},                 [("state", 30)],                "the step where it changed"),
    ({"state": [2] * 30 + [3] * 2 + [2] * 28},       [("state", 30), ("state", 32)], "each transition on its own"),
    ({"reasons": [0] * 7 + [RAMPING] * 53},          [("reasons", 7)],               "a reason rose"),
    ({"reasons": [RAMPING, 0] * 5 + [0] * 50},       [("reasons", 0)],               "flapping: one event a window"),
    ({"reasons": [SKIPPED, 0] * 30},                 [],                             "skips are counted in frames"),
]
GRID = [
    # reasons of steps 0 ... 59                        events (name, step)                             why: gap
    ([0] * 5 + [DROOP] * 5 + [0] * 50,                 [(BEGIN, 5), (END, 9)],                         "first, last"),
    ([DROOP] * 5 + [0] * 18 + [DROOP] * 5 + [0] * 32,  [(BEGIN, 0), (END, 27)],                        "1.9 s: one"),
    ([DROOP] * 5 + [0] * 19 + [DROOP] * 5 + [0] * 31,  [(BEGIN, 0), (END, 4), (BEGIN, 24), (END, 28)], "2.0 s: two"),
    ([0] * 50 + [DROOP] * 10,                          [(BEGIN, 50)],                                  "not over yet"),
    ([VOLT_VAR] * 5 + [0] * 55,                        [("voltage_begin", 0), ("voltage_end", 4)],     "volt-var too"),
]
# fmt: on


def all_events(**columns: Any) -> list[tuple[str, int]]:
    frames = builder(Carry(n_last=-1, state=int(State.IN_SERVICE)))
    drafts = frames.add(records(0, 60, **columns)) + frames.flush()
    return [(d.name, d.body["n"]) for d in drafts if d.kind == "event" and d.name != "start"]


@pytest.mark.parametrize(("columns", "expected", "why"), CHANGES, ids=[c[-1] for c in CHANGES])
def test_changes(columns: dict[str, Any], expected: list[tuple[str, int]], why: str) -> None:
    assert all_events(**columns) == expected, why


@pytest.mark.parametrize(("reasons", "expected", "why"), GRID, ids=[c[-1] for c in GRID])
def test_grid_events(reasons: list[int], expected: list[tuple[str, int]], why: str) -> None:
    assert [e for e in all_events(reasons=reasons) if e[0] != "reasons"] == expected, why


def test_first_window_of_an_epoch_names_the_run() -> None:
    first = builder().add(records(0, 20))[0]
    assert (first.name, first.body["n"], first.body["build"]) == ("start", 0, "0.1.0+test")


def test_end_of_a_grid_event_carries_how_far_it_went() -> None:
    frames = builder()
    f_hz = [49.9, 49.7, 49.8] + [50.0] * 57
    drafts = frames.add(records(0, 60, f_hz=f_hz, reasons=[DROOP] * 3 + [0] * 57))
    end = next(d.body for d in drafts if d.name == "frequency_end")
    assert (end["f_hz_min"], end["f_hz_max"], end["n_begin"], end["duration_s"]) == (49.7, 49.9, 0, 0.2)


def test_state_flapping_is_shown_eight_times_and_counted() -> None:
    frames = builder(Carry(n_last=-1, state=3))
    drafts = frames.add(records(0, 10, state=[2, 3] * 5)) + frames.flush()
    states = [d.body for d in drafts if d.name == "state"]
    assert (len(states), states[-1]["more"]) == (8, 2)


# fmt: off
GAPS = [
    # carry's last n   steps that arrive        lost ranges        why
    (-1,               [range(5)],              [],                "from the beginning"),
    (-1,               [range(3, 9)],           [(0, 2)],          "the ring had already dropped the first three"),
    (4,                [range(5, 9)],           [],                "goes on where it stopped"),
    (4,                [range(3, 9)],           [],                "overlap after a restart is no loss"),
    (4,                [range(7, 9)],           [(5, 6)],          "lost while we were away"),
    (-1,               [range(3), range(5, 9)], [(3, 4)],          "a hole between two readings"),
]
# fmt: on


@pytest.mark.parametrize(("n_last", "arrivals", "expected", "why"), GAPS, ids=[c[-1] for c in GAPS])
def test_lost_records_are_counted_and_named(
    n_last: int, arrivals: list[range], expected: list[tuple[int, int]], why: str
) -> None:
    frames = builder(Carry(n_last=n_last, state=2))
    for part in arrivals:
        frames.add(records(part.start, len(part)))
    lost = [(d.body["n_first"], d.body["n_last"]) for d in frames.flush() if d.name == "lost"]
    assert lost == expected, why
    assert frames.lost == sum(last - first + 1 for first, last in expected)


def test_skipped_grid_points_are_an_event_each_window() -> None:
    frames, rows = builder(Carry(n_last=-1)), records(0, 10)
    rows["k"] = [1, 1, 3, 1, 2, 1, 1, 1, 1, 1]  # 2 and 1 grid points without a step
    frames.add(rows)
    (overrun,) = [d.body for d in frames.flush() if d.name == "overrun"]
    assert (overrun["n"], overrun["skipped"], overrun["longest"]) == (2, 3, 2)
