"""The bench in real time over real sockets: SCPI source, Modbus meters and inverter, controller, each a process.

A step each of volt-var and droop, judged as in virtual time: the same verdict. The source is made safe at the
end by the guard that owns it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from controller.bench.expand import make_plan
from controller.bench.folder import RunFolder
from controller.bench.judge import judge_plan
from controller.bench.judgement import Verdict
from controller.bench.plan import Case, Plan
from controller.bench.procedurefile import load_procedure
from controller.bench.rig import RigFile, load_rig
from controller.bench.runner import run_cases
from controller.bench.virtual import VirtualRig
from controller.bench.wire import run_real
from controller.processes import Family
from controller.site import load_site
from controller.sitewrite import site_text
from drivers.sim.bar import Bar

pytestmark = pytest.mark.system
INVERTER = ("--v-nom", "240", "--f-nom", "60", "--dead-s", "0", "--lag-s", "0.05")
DEVICES = {
    "source": ("source", "--phases", "1"),
    "meter": ("meter",),
    "bench": ("meter", "--seed", "2"),
    "inverter": ("inverter", *INVERTER),
}
SAMPLE_S = 0.2  # a busy machine now and then holds a process up for 0.1 s
# procedure, case, steps that are run
SHORTENED = (
    ("volt_var", "volt_var-char_1-discharge-66", ("h",)),
    ("freq_droop_above", "freq_droop_above-char_1-66", ("j",)),
)


@pytest.fixture
def devices(tmp_path: Path) -> Iterator[dict[str, int]]:
    """The port of each."""
    family = Family(tmp_path / "logs")
    try:
        for name, command in DEVICES.items():
            common = ("--bar", str(tmp_path / "bar"), "--port-file", str(tmp_path / f"{name}.port"))
            family.start(name, "drivers.sim.server", command[0], *common, *command[1:])
        for name in DEVICES:
            family.wait_until((tmp_path / f"{name}.port").exists, f"the simulated {name}", 60.0)
        yield {name: int((tmp_path / f"{name}.port").read_text()) for name in DEVICES}
    finally:
        family.stop()


def rig_of(ports: dict[str, int], path: Path) -> RigFile:
    """The product's loopback rig, with the ports that were free."""
    site = load_site(Path("demo-60hz"))
    site = replace(
        site,
        meter=replace(site.meter, port=ports["meter"]),
        inverter=replace(site.inverter, port=ports["inverter"]),
        runtime_dir=path / "run",
        state_dir=path / "state",
    )
    (path / "site.yaml").write_text(site_text(site), encoding="utf-8")
    rig = load_rig("loopback")
    assert rig.source is not None
    assert rig.meter is not None
    return replace(
        rig,
        unit=replace(rig.unit, site=str(path / "site.yaml")),
        source=replace(rig.source, address=f"tcp://127.0.0.1:{ports['source']}"),
        meter=replace(rig.meter, address=f"tcp://127.0.0.1:{ports['bench']}"),
    )


def shortened(rig: RigFile) -> Plan:
    cases: list[Case] = []
    for procedure, name, steps in SHORTENED:
        found = make_plan([load_procedure(procedure)], rig.eut, 1).cases
        case = next(c for c in found if c.id == name)
        start = replace(case.start, hold_s=min(case.start.hold_s, 12.0))
        kept = [replace(s, sample_s=max(s.sample_s, SAMPLE_S)) for s in case.steps if s.name in steps]
        cases.append(replace(case, start=start, steps=tuple(kept)))
    return Plan(rig.eut, tuple(cases), 1)


def test_real_time_over_sockets_has_the_verdict_of_virtual_time(devices: dict[str, int], tmp_path: Path) -> None:
    rig = rig_of(devices, tmp_path)
    plan = shortened(rig)
    real = RunFolder.create(tmp_path / "real", plan, {})
    run_real(rig, plan.eut, plan.cases, real, lambda _: None)
    virtual = RunFolder.create(tmp_path / "virtual", plan, {})
    run_cases(plan.cases, VirtualRig(plan.eut, 1).open, virtual, lambda _: None)
    found = {
        name: {judged.id: judged.verdict for judged in judge_plan(plan, folder.record)}
        for name, folder in (("real", real), ("virtual", virtual))
    }
    assert found["virtual"] == {case.id: Verdict.PASS for case in plan.cases}
    assert found["real"] == found["virtual"], judge_plan(plan, real.record)
    assert Bar(tmp_path / "bar").get("v1_v") == 0.0  # the source is off when all is over
