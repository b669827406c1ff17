"""A SunSpec inverter that is its own meter's face too: one unit, one wire, one chain; the simulator's real process."""

from __future__ import annotations

import time

import pytest

from cython_core.realtime.mailbox import Mailbox
from cython_core.records import Command, DeviceState, Measurement, Mode
from drivers.mapfile import load_map
from drivers.modbus.bus import Bus
from drivers.modbus.link import TcpLink
from drivers.registermap import meter_plan
from drivers.sunspec import discover_in_child
from drivers.sunspec.meter import discover_meter
from tests.drivers.sim.conftest import PATIENCE_S, Simulation, until
from tests.drivers.sim.test_server import STEADY, trace


@pytest.mark.parametrize(("phases", "wires", "model"), [(1, "L1", 201), (2, "split", 202), (3, "L1L2L3", 203)])
def test_meter_and_inverter_of_one_unit(simulation: Simulation, phases: int, wires: str, model: int) -> None:
    simulation.grid("--trace", trace(simulation.folder, STEADY), "--phases", str(phases))
    client = simulation.serve("inverter", "--own-meter", "--phases", str(phases))
    link = TcpLink("127.0.0.1", int((simulation.folder / "inverter.port").read_text()))
    device = discover_meter(link, 1, load_map("sunspec-meter"), PATIENCE_S, 2000)
    at = device.registers["f_hz"].at - 16
    assert list(client.read_holding_registers(at, count=2).registers) == [model, 105]

    out, state, commands = Mailbox(Measurement), Mailbox(DeviceState), Mailbox(Command)
    bus = Bus(link)
    bus.meter(meter_plan(device, 1, wires, 300), 20, out)
    bus.inverter(discover_in_child(link, 1, 30, PATIENCE_S), 20, state, commands)
    commands.put(Command(1, time.monotonic_ns(), -3000.0, 0.0, Mode.ACTIVE, 30000))

    seen: dict[str, Measurement | DeviceState] = {}

    def charges() -> bool:
        """Each look empties the boxes."""
        seen.update(
            {name: new for name, box in (("meter", out), ("inverter", state)) if (new := box.get()) is not None}
        )
        return len(seen) == 2 and all(abs(one.p_w + 3000.0) < 20.0 for one in seen.values())

    bus.start()
    try:
        until(charges, "3 kW into the battery, seen by both")
    finally:
        bus.stop()
    m = seen["meter"]
    assert isinstance(m, Measurement)
    assert m.f_hz == pytest.approx(50.02, abs=0.005)
    volts = [v for v in (m.v1_v, m.v2_v, m.v3_v) if v == v]
    assert len(volts) == phases
    assert volts == pytest.approx([volts[0]] * phases, abs=0.2)
