"""The meter at the house connection, from the simulated wires to a Measurement: real map, real bus thread."""

from __future__ import annotations

import pytest

from cython_core.realtime.mailbox import Mailbox
from cython_core.records import Measurement, MeasurementValid
from drivers.mapfile import load_map
from drivers.modbus.bus import Bus
from drivers.modbus.link import TcpLink
from drivers.registermap import meter_plan
from tests.drivers.sim.conftest import Simulation, until

V = MeasurementValid
EVERYTHING = V.F | V.V1 | V.V2 | V.V3 | V.P | V.P1 | V.P2 | V.P3 | V.I1 | V.I2 | V.I3


def test_what_the_house_draws_reaches_the_core_phase_by_phase(simulation: Simulation) -> None:
    """P_conn = share x P_unit - load, + = into the grid: a unit on L2 exports 4 kW, an oven draws 2.5 kW on L1."""
    house = ("--phases", "3", "--share", "0,1,0", "--load-l1-w", "2500", "--load-l3-w", "230")
    simulation.grid("--swing", *house)
    simulation.serve("inverter", "--own-w", "4000")
    simulation.serve("meter", "--location", "connection", "--phases", "3", "--refresh-s", "0.02")
    until(lambda: simulation.bar.get("p_w") > 3995, "4 kW of export")
    port = int((simulation.folder / "meter.port").read_text())
    out = Mailbox(Measurement)
    bus = Bus(TcpLink("127.0.0.1", port))
    bus.meter(meter_plan(load_map("eastron-sdm630"), 1, "L1L2L3", 1000, power="house"), 20, out)
    bus.start()
    seen = {}

    def complete() -> bool:
        m = out.get()
        if m is not None and m.valid == EVERYTHING:
            seen["m"] = m
        return "m" in seen

    try:
        until(complete, "a reading with everything in it")
    finally:
        bus.stop()
    m = seen["m"]
    assert (m.p1_w, m.p2_w, m.p3_w) == pytest.approx((-2500, 4000, -230), abs=15)
    assert m.p_w == pytest.approx(1270, abs=30)
    assert (m.i1_a, m.i2_a, m.i3_a) == pytest.approx((2500 / m.v1_v, 4000 / m.v2_v, 230 / m.v3_v), abs=0.1)
    assert m.v2_v > m.v3_v > m.v1_v
