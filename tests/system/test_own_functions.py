"""owner: inverter in a closed loop of real processes: the inverter's own droop answers, and nobody answers twice.

50 Hz to 49.5 Hz: 0.464 Hz beyond the dead band of 36 mHz are 0.464 / (50 x 0.05) = 18.6 % of 7 kW, 1299 W, on top of a
charge of 1400 W.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from controller import cli
from controller.telemetry.broker import free_port
from cython_core.bulk import from_bytes
from cython_core.realtime.ring import RingReader
from cython_core.records import Reason, State
from tests.drivers.sim.conftest import Simulation, simulation, until

__all__ = ["simulation"]  # a fixture
pytestmark = pytest.mark.system

DIP = "t_s,f_hz\n0,50\n0.1,49.5\n600,49.5\n"
SITE = """\
schema: 1
name: own
start_mode: live
i_accept: [real-power, slow-response, unproven-map]
runtime_dir: {folder}/run
state_dir: {folder}/state
meter: {{map: eastron-sdm630, host: 127.0.0.1, port: {meter}, location: inverter, phases: L1, poll_ms: 50,
         refresh_ms: 100}}
inverter: {{map: sunspec-7xx, host: 127.0.0.1, port: {inverter}, poll_ms: 100, reversion_s: 5}}
settings:
  rating: {{f_nom_hz: 50, v_nom_v: 230, p_rated_w: 7000, p_charge_rated_w: 7200, s_rated_va: 7400}}
  freq_droop: {{owner: inverter, t_response_s: 1}}
  default_wish: {{charge_w: 1400, soc_target_pu: 0.9}}
"""


def test_the_inverters_own_droop_answers_alone(simulation: Simulation) -> None:
    folder = simulation.folder
    (folder / "grid.csv").write_text(DIP)
    simulation.grid("--trace", str(folder / "grid.csv"))
    ports = {part: free_port() for part in ("meter", "inverter")}
    for part, port in ports.items():
        simulation.start(part, "--port", str(port), "--port-file", str(folder / f"{part}.port"))
        until((folder / f"{part}.port").exists, part)
    site = folder / "own.yaml"
    site.write_text(SITE.format(folder=folder, **ports))
    assert cli.main(["settings", "push", str(site), "--write"]) == 0
    command = [sys.executable, "-m", "controller.cli", "run", str(site), "--parent-death"]
    log = (folder / "controller.log").open("w")
    controller = subprocess.Popen(command, stderr=log, stdout=log, cwd=Path(__file__).parents[2], env=os.environ)
    bar = simulation.bar
    try:
        until(lambda: bar.get("p_w") < -1350.0, "charging with 1400 W")
        reader = RingReader(folder / "run" / "ring")
        simulation.bar.play()
        until(lambda: bar.get("p_w") > -150.0, "the inverter's own answer of 1299 W")
        until(lambda: from_bytes(reader.read(100_000)[0])["f_hz"][-1:].min(initial=60.0) < 49.6, "the core has seen it")
        reader = RingReader(folder / "run" / "ring")
        steps = from_bytes(reader.read(100_000)[0])
        newest = steps[-1]
        assert abs(bar.get("p_w") - (1299.0 - 1400.0)) < 50.0
        assert abs(newest["p_cmd_w"] + 1400.0) < 1.0, "our set-point stays: it is what the inverter droops from"
        assert not steps["dp_w"].any()
        assert newest["state"] == State.IN_SERVICE
        assert not int(newest["reasons"]) & int(Reason.DROOP | Reason.POWER_MISMATCH)
    finally:
        controller.send_signal(signal.SIGTERM)
        assert controller.wait(30) == 0
        log.close()
