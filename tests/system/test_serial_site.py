"""Meter and inverter on one wire with real processes: RS-485 (a pair of pseudo-terminals), and one TCP gateway.

The simulator answers as two Modbus units; the controller finds the inverter, answers an under-frequency and hands back.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest

from controller.processes import Family
from controller.telemetry.broker import free_port
from drivers.sim.bar import Bar
from tests.peers.cable import cable
from tests.system.test_house import READY_S, wait_for

EVENT = "t_s,f_hz\n0,60\n1,60\n1.1,59\n600,59\n"
SITE = """\
schema: 1
name: one-wire
start_mode: demo
profile: ieee1547-2018-cat-b-iii
runtime_dir: {folder}/run
state_dir: {folder}/state
i_accept: slow-response
meter: {{map: eastron-sdm630, {wire}, unit: 1, location: inverter, phases: L1, poll_ms: 50, timeout_ms: 200,
         refresh_ms: 100}}
inverter: {{map: sunspec-7xx, {wire}, unit: 2, poll_ms: 100, timeout_ms: 300, reversion_s: 10, lag_ms: 300}}
settings:
  rating: {{v_nom_v: 230}}
  default_wish: {{charge_w: 1400, soc_target_pu: 0.9}}
"""


@contextmanager
def unit(folder: Path, served: tuple[str, ...], wire: str) -> Iterator[tuple[Family, Bar]]:
    """The simulator at its end of the wire, the controller at the other, charging."""
    family, bar = Family(folder / "logs"), Bar(folder / "bar")
    (folder / "grid.csv").write_text(EVENT)
    (folder / "site.yaml").write_text(SITE.format(folder=folder, wire=wire))
    common, server = ("--bar", str(folder / "bar")), "drivers.sim.server"
    family.start("grid", server, "grid", *common, "--trace", str(folder / "grid.csv"))
    family.start("pair", server, "pair", *common, *served, "--unit", "1", "--inverter-unit", "2")
    try:
        for part, beat in (("grid", "grid_s"), ("meter", "meter_s"), ("inverter", "unit_s")):
            family.wait_until(lambda beat=beat: bar.get(beat) > 0.0, part, READY_S)  # type: ignore[misc]  # a default
        family.start("controller", "controller.cli", "run", str(folder / "site.yaml"), "--parent-death")
        wait_for(lambda: bar.get("p_w") < -1350.0, READY_S)
        yield family, bar
    finally:
        family.stop(("controller",))
        family.stop()


@pytest.mark.parametrize("serial", [True, False], ids=["RS-485", "a gateway"])
def test_an_event_is_answered_over_one_wire(tmp_path: Path, serial: bool) -> None:
    """59 Hz is 0.964 Hz beyond the band: 0.964 / (60 x 0.05) x 7 kW = 2249 W above -1400 W."""
    port = free_port()
    with cable() if serial else nullcontext(("", "")) as (ours, theirs):
        served = ("--serial", theirs, "--baud", "115200") if serial else ("--port", str(port))
        wire = f"serial: {ours}, baud: 115200" if serial else f"host: 127.0.0.1, port: {port}"
        with unit(tmp_path, served, wire) as (family, bar):
            bar.play()
            wait_for(lambda: bar.get("p_w") > 0.97 * 849.0, READY_S)
            assert bar.get("p_w") < 1.03 * 849.0
            family.stop(("controller",))
            wait_for(lambda: abs(bar.get("p_w")) < 20.0, READY_S)  # handed back at 0
    assert "V2G-NOT-HANDED-BACK" not in (tmp_path / "logs" / "controller.log").read_text()
