"""What the buses have counted, on its way into a live frame."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from controller.telemetry.buses import Sets, read_told, sets_of
from controller.telemetry.points import flatten
from drivers.can.statistics import CanStats
from drivers.modbus.statistics import BusStats
from tests.controller.telemetry.makers import WALL_MS, info

NOW_NS = 5_000_000_000  # of the core; 5 s into the run
T_MS = WALL_MS + 5000
HOUR_NS = 3_600_000_000_000
MODBUS = {name: i + 1 for i, name in enumerate(BusStats.__dataclass_fields__)} | {
    "connected": 1, "t_success_ns": NOW_NS - 40_000_000, "t_day_ns": NOW_NS - 3 * HOUR_NS,
    "last_turnaround_ns": 12_500_000, "min_turnaround_ns": 9_000_000, "mean_turnaround_ns": 11_250_000,
}  # fmt: skip
CAN = {name: i + 1 for i, name in enumerate(CanStats.__dataclass_fields__)} | {"connected": 0, "t_success_ns": 0}


def read_buses(path: Path, facts: dict[str, Any], t_ms: int) -> Sets:
    """As the telemetry process reads and sends them."""
    return sets_of(read_told(path, facts, t_ms))


def told(folder: Path, inverter: dict[str, int], **head: Any) -> Path:
    path = folder / "buses.json"
    whole = {"v": 1, "epoch": 7, "boot_id": "b", "t_ns": NOW_NS, "meter": MODBUS | {"budget": 0}, "inverter": inverter}
    path.write_text(json.dumps(whole | head))
    return path


def test_every_counter_is_sent_with_its_unit(tmp_path: Path) -> None:
    sets = read_buses(told(tmp_path, MODBUS | {"budget": 100}), info(), T_MS)
    fields = dict(flatten({"bus": sets}))
    assert fields["bus_meter_turnaround_ms"] == 12.5
    assert fields["bus_meter_turnaround_ms_min"] == 9.0
    assert fields["bus_meter_turnaround_ms_mean"] == 11.25
    assert fields["bus_inverter_answer_age_ms"] == 40.0
    assert fields["bus_inverter_connected"] is True
    assert fields["bus_inverter_budget"] == 100
    assert fields["bus_inverter_budget_day_left_s"] == 21 * 3600.0
    # fmt: off
    whole = ("attempts", "answers", "timeouts", "exceptions", "bad_frames", "late", "reconnects", "writes",
             "write_errors", "refused", "expired", "held", "spent", "changes", "last_error", "last_exception")
    # fmt: on
    for name in whole:
        assert fields[f"bus_inverter_{name}"] == MODBUS[name], name
    meter = {name for name in fields if name.startswith("bus_meter_")}
    times = {"answer_age_ms", "turnaround_ms", "turnaround_ms_min", "turnaround_ms_mean"}
    assert meter == {f"bus_meter_{name}" for name in (*whole, "connected", *times)}, "a meter has no budget"


def test_can_has_its_own_counters(tmp_path: Path) -> None:
    fields = dict(flatten({"bus": read_buses(told(tmp_path, CAN | {"budget": 0}), info(), T_MS)}))
    ours = {name.removeprefix("bus_inverter_") for name in fields if name.startswith("bus_inverter_")}
    assert ours == set(CanStats.__dataclass_fields__) - {"beats", "t_success_ns"}, "no answer yet: no age"
    assert fields["bus_inverter_bus_off"] == CAN["bus_off"]
    assert fields["bus_inverter_connected"] is False


# fmt: off
OTHERS = [
    # file's head                 frame's time   why
    ({"epoch": 8},                T_MS,          "of another run"),
    ({"v": 2},                    T_MS,          "of a later program"),
    ({},                          T_MS + 60_000, "of a core that has ended"),
    ({},                          T_MS - 60_000, "newer than this frame: telemetry is catching up"),
    ({"meter": None},             T_MS,          "not the shape that was promised"),
    ({"t_ns": "soon"},            T_MS,          "no time"),
]
# fmt: on


@pytest.mark.parametrize(("head", "t_ms", "why"), OTHERS, ids=[c[-1] for c in OTHERS])
def test_what_is_not_of_this_moment_is_not_sent(tmp_path: Path, head: dict[str, Any], t_ms: int, why: str) -> None:
    path = told(tmp_path, CAN | {"budget": 0}, **head)
    assert read_buses(path, info(), t_ms) == {}, why


def test_without_a_file_nothing_is_sent(tmp_path: Path) -> None:
    assert read_buses(tmp_path / "buses.json", info(), T_MS) == {}
