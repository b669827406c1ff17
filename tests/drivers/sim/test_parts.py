"""Grid, meter and inverter joined by one bar in one process: phases, house load, meter location, independence."""

from __future__ import annotations

import subprocess
import sys
from math import sqrt
from pathlib import Path
from time import monotonic

import pytest

from drivers.sim.bar import Bar
from drivers.sim.grid_process import GridProcess
from drivers.sim.inverter_process import InverterProcess
from drivers.sim.meter_process import MeterProcess
from drivers.sim.server import parser


class Bench:
    """Parts on one bar; power is put on the bar by hand."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "bar"
        self.bar = Bar(self.path)
        (folder / "trace.csv").write_text("t_s,f_hz,v1_pu,v2_pu\n0,60,1.0,0.9\n1,60,1.0,0.9\n")
        self.trace = str(folder / "trace.csv")

    def grid(self, *options: str) -> GridProcess:
        args = parser().parse_args(["grid", "--bar", str(self.path), "--trace", self.trace, *options])
        return GridProcess(args, self.bar)

    def meter(self, *options: str) -> MeterProcess:
        return MeterProcess(parser().parse_args(["meter", "--bar", str(self.path), *options]), self.bar)

    def power(self, p_w: float, q_var: float = 0.0) -> None:
        self.bar.update(p_w=p_w, q_var=q_var, unit_s=monotonic())


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def r_only(source_v: float, p_w: float) -> float:
    """One phase through 0.25 ohm, by hand."""
    return source_v / 2 + sqrt(source_v * source_v / 4 + 0.25 * p_w)


# fmt: off
PHASES = [
    # phases v1                   v2                    v3                   why
    ("1",    r_only(230, 6000),   0.0,                  0.0,                 "all on one phase, the others not wired"),
    ("2",    r_only(230, 3000),   r_only(207, 3000),    0.0,                 "half on each leg, each its own source"),
    ("3",    r_only(230, 2000),   r_only(230, 2000),    r_only(230, 2000),   "a third on each"),
]
# fmt: on


@pytest.mark.parametrize(("phases", "v1", "v2", "v3", "why"), PHASES, ids=[c[-1] for c in PHASES])
def test_power_is_shared_by_the_phases(bench: Bench, phases: str, v1: float, v2: float, v3: float, why: str) -> None:
    grid = bench.grid("--phases", phases, "--x-ohm", "0")
    bench.power(6000.0)
    grid.tick(0.01)
    assert bench.bar.grid().v_v == pytest.approx((v1, v2, v3))


# fmt: off
LOCATIONS = [
    # location       p_w       why
    ("inverter",     3000.0,   "at the unit's terminals: the unit alone"),
    ("connection",   -1500.0,  "at the house connection: the unit less the house's load"),
]
# fmt: on


@pytest.mark.parametrize(("location", "p_w", "why"), LOCATIONS, ids=[c[-1] for c in LOCATIONS])
def test_where_the_meter_sits(bench: Bench, location: str, p_w: float, why: str) -> None:
    grid = bench.grid("--load-w", "4500")
    meter = bench.meter("--location", location)
    bench.power(3000.0)
    grid.tick(0.01)
    meter.tick(0.01)
    assert meter.meter.shown.p_w == pytest.approx(p_w, abs=10.0)


def test_the_houses_load_lowers_the_voltage_for_everybody(bench: Bench) -> None:
    grid = bench.grid("--load-w", "3000", "--x-ohm", "0")
    grid.tick(0.01)
    assert bench.bar.grid().v_v[0] == pytest.approx(r_only(230, -3000))


def test_a_swinging_grid_feels_the_unit_when_it_is_small(tmp_path: Path) -> None:
    bar = Bar(tmp_path / "bar")
    options = ["--swing", "--imbalance-pu", "0", "--base-w", "100000", "--h-s", "5"]
    grid = GridProcess(parser().parse_args(["grid", "--bar", str(tmp_path / "bar"), *options]), bar)
    bar.update(p_w=5000.0, unit_s=monotonic(), play=1.0)
    grid.tick(0.01)
    grid.tick(0.01)
    assert bar.get("f_hz") == pytest.approx(50.0 + 0.25 * 0.01, abs=1e-5)  # 50 x 0.05 / (2 x 5) = 0.25 Hz/s


def test_nothing_is_on_before_the_grid_is(bench: Bench) -> None:
    meter = bench.meter()
    meter.tick(0.01)
    assert (meter.meter.shown.f_hz, meter.meter.shown.v1_v) == (0.0, 0.0)


def test_a_late_meter_shows_the_past(bench: Bench) -> None:
    meter = bench.meter("--latency-s", "1", "--refresh-s", "0.1")
    for i in range(31):
        bench.bar.update(f_hz=50.0 + i / 10, v1_v=230.0, grid_s=monotonic())
        meter.tick(0.1)
    assert meter.meter.shown.f_hz == pytest.approx(52.0, abs=0.01)


def test_ratings_and_battery_come_from_the_command_line(bench: Bench) -> None:
    options = "--s-max-va 11000 --p-discharge-w 10000 --p-charge-w 10500 --soc 0.3 --capacity-wh 80000 --phases 3"
    args = parser().parse_args(["inverter", "--bar", str(bench.path), *options.split()])
    face = InverterProcess(args, bench.bar).face
    get = face.image.get
    assert [get(f"702.{n}") for n in ("VAMax", "WDisChaRteMax", "WChaRteMax")] == [11000.0, 10000.0, 10500.0]
    assert face.unit.battery.energy_wh == pytest.approx(24000.0)


def test_the_plant_imports_nothing_of_ours_and_no_numpy() -> None:
    code = "import sys, drivers.sim.plant, drivers.sim.grid, drivers.sim.metering; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    ours = {m for m in loaded if m.partition(".")[0] in ("drivers", "cython_core", "controller", "config", "numpy")}
    parts = {"drivers.sim.plant", "drivers.sim.grid", "drivers.sim.metering"}
    assert ours == {"drivers", "drivers.sim"} | parts
