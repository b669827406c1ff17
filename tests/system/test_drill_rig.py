"""`v2g drill --rig` against devices that it did not start: it judges what shadow can show, and writes nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from controller.telemetry.broker import free_port
from tests.drivers.sim.conftest import Simulation, simulation, until
from tests.faults.demos import v2g

__all__ = ["simulation"]  # a fixture
pytestmark = pytest.mark.system

SITE = """\
schema: 1
name: rig
start_mode: live
i_accept: [real-power, unproven-map, slow-response]
runtime_dir: {folder}/run
state_dir: {folder}/state
meter: {{map: eastron-sdm630, host: 127.0.0.1, port: {meter}, location: inverter, phases: L1, poll_ms: 50,
         timeout_ms: 100, refresh_ms: 100}}
inverter: {{map: sunspec-7xx, host: 127.0.0.1, port: {inverter}, poll_ms: 100, timeout_ms: 100, reversion_s: 5}}
settings:
  rating: {{f_nom_hz: 50, v_nom_v: 230, p_rated_w: 7000, p_charge_rated_w: 7000, s_rated_va: 7000}}
  default_wish: {{charge_w: 1400, soc_target_pu: 0.9}}
"""
# fmt: off
FAULTS = [
    # fault                        judged   why
    ("meter.silent",               True,    "no answer any more"),
    ("inverter.reset",             True,    "every request is cut"),
    ("process.kill telemetry",     True,    "nobody notices"),
    ("meter.scale10",              False,   "what its registers are is not known"),
    ("inverter.overwrite 3000W",   False,   "would write"),
    ("inverter.silent writes",     False,   "nothing is written that could be silent"),
    ("inverter.unplug",            False,   "nobody here pulls its plug"),
    ("process.kill controller",    False,   "its timer is not running: nothing was written"),
]
# fmt: on


def test_a_rig_is_drilled_in_shadow_and_never_written(simulation: Simulation) -> None:
    folder: Path = simulation.folder
    (folder / "grid.csv").write_text("t_s,f_hz\n0,50\n600,50\n")
    simulation.grid("--trace", str(folder / "grid.csv"))
    ports = {part: free_port() for part in ("meter", "inverter")}
    for part, port in ports.items():
        simulation.start(part, "--port", str(port), "--port-file", str(folder / f"{part}.port"))
        until((folder / f"{part}.port").exists, part)
    (folder / "rig.yaml").write_text(SITE.format(folder=folder, **ports))
    (folder / "faults.txt").write_text("".join(f"at 0s: {fault}\n" for fault, _, _ in FAULTS))
    done = v2g("drill", "--rig", "rig.yaml", "--faults", "faults.txt", "--json", cwd=folder)
    assert done.returncode == 0, done.stderr + done.stdout
    results = {r["fault"]: r for r in json.loads(done.stdout)}
    assert {fault: r["played"] for fault, r in results.items()} == {fault: judged for fault, judged, _ in FAULTS}
    assert all(r["passed"] for r in results.values() if r["played"])
    assert done.stderr.startswith("RIG drill: the devices of rig, in shadow\nRIG SHADOW: nothing is written")
    assert simulation.bar.get("writes") == 0.0, "live in the site file, and yet no write"
    assert simulation.bar.get("p_w") == 0.0
