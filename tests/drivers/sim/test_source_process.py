"""The simulated grid simulator's process in the grid's place: what SCPI sets, the Modbus meter and inverter see."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path

import pytest
from pymodbus.client import ModbusTcpClient

from drivers.gridsource.point import GridPoint
from drivers.gridsource.profile import load_profile
from drivers.gridsource.scpi import ScpiSource
from drivers.gridsource.wire import wire_of
from tests.drivers.sim.conftest import Simulation, until

FREQUENCY, V1 = 0x0046, 0x0000  # of an SDM630


def shown(meter: ModbusTcpClient, at: int) -> float:
    (value,) = struct.unpack(">f", struct.pack(">2H", *meter.read_input_registers(at, count=2).registers))
    return float(value)


def source_of(simulation: Simulation, phases: int, *options: str) -> ScpiSource:
    port_file = simulation.folder / "source.port"
    process = simulation.start("source", "--port-file", str(port_file), "--phases", str(phases), *options)
    until(lambda: port_file.exists() or process.poll() is not None, "the source's port file")
    wire = wire_of(f"tcp://127.0.0.1:{port_file.read_text().strip()}", 5.0)
    return ScpiSource(load_profile("simulated"), wire, phases)


def test_source_meter_and_inverter_are_processes_of_one_grid(simulation: Simulation) -> None:
    source = source_of(simulation, 1)
    meter = simulation.serve("meter", "--refresh-s", "0.02")
    simulation.serve("inverter", "--v-nom", "240", "--f-nom", "60")
    until(lambda: simulation.bar.runs("grid_s"), "the source's heartbeat")
    assert simulation.bar.grid().v_v == (0.0, 0.0, 0.0)
    source.on(GridPoint(248.4, 0.0, 0.0, 60.021))
    until(lambda: shown(meter, V1) > 248.0, "the meter to see the voltage")
    assert shown(meter, V1) == pytest.approx(248.4, abs=0.15)  # the meter's own noise
    assert shown(meter, FREQUENCY) == pytest.approx(60.021, abs=0.003)
    source.safe()
    until(lambda: shown(meter, V1) == 0.0, "the output to open")
    assert simulation.bar.grid().f_hz == 0.0


def test_it_slews(simulation: Simulation) -> None:
    """1 kV/s from 0 V takes 232 ms: on the way it is seen in between."""
    source = source_of(simulation, 3, "--slew-v-s", "1000")
    source.on(GridPoint(230.0, 231.0, 232.0, 50.0))
    seen = []
    until(lambda: seen.append(simulation.bar.get("v3_v")) or seen[-1] == 232.0, "the end of the slew")  # type: ignore[func-returns-value]  # append gives None
    assert any(0.0 < v < 232.0 for v in seen)
    assert simulation.bar.grid().v_v == (230.0, 231.0, 232.0)
    assert [simulation.bar.get(f"share{i}") for i in (1, 2, 3)] == pytest.approx([1 / 3] * 3)


def test_a_busy_port_is_one_line(tmp_path: Path, simulation: Simulation) -> None:
    source_of(simulation, 1)
    port = (simulation.folder / "source.port").read_text().strip()
    command = [sys.executable, "-m", "drivers.sim.server", "source", "--bar", str(tmp_path / "bar"), "--port", port]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"127.0.0.1:{port}: Address already in use; allowed: a free --port, or 0 for any\n"
