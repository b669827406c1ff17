"""An inverter's own functions over real sockets: an SCPI source, a Modbus meter and a Modbus inverter, each a process.

Cases are shortened, not eased: fewer steps, samples a busy machine can take, the same targets and times.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from time import monotonic, sleep

import pytest

from controller.bench.inverterrig import opened
from controller.bench.judge import judge_case
from controller.bench.judgement import CaseJudgement, Verdict
from controller.bench.ownfit import fitted_case
from controller.bench.plan import Case
from controller.bench.rig import RigFile, load_rig
from controller.bench.runner import run_case
from controller.processes import Family
from drivers.sim.bar import Bar
from tests.conformance.bench import Memory, case_of

pytestmark = pytest.mark.system
RIG = load_rig("inverter")
READY_S = 30.0


def short(name: str, steps: int, sample_s: float) -> Case:
    case = fitted_case(case_of(RIG.eut, name), RIG.eut)
    few = tuple(replace(step, sample_s=sample_s) for step in case.steps[:steps])
    return replace(case, start=replace(case.start, hold_s=5.0, sample_s=sample_s), steps=few)


@contextmanager
def devices(folder: Path, *more: str) -> Iterator[RigFile]:
    """The rig of the product with devices on free ports. more: of the inverter."""
    eut, family = RIG.eut, Family(folder)
    ratings = ("--s-max-va", eut.s_rated_va, "--p-charge-w", eut.p_charge_rated_w, "--q-max-var", eut.q_inject_var)
    grid = ("--v-nom", eut.v_nom_v, "--f-nom", eut.f_nom_hz, "--v-low-pu", eut.v_low_pu)
    options = {"source": (), "meter": (), "inverter": (*ratings, *grid, "--dead-s", 0, "--lag-s", 0.05, *more)}
    files = {name: folder / f"{name}.port" for name in options}
    try:
        for name, own in options.items():
            place = ("--bar", str(folder / "bar"), "--port-file", str(files[name]))
            family.start(name, "drivers.sim.server", name, *place, *map(str, own))
        for name, file in files.items():
            family.wait_until(file.exists, f"the simulated {name}", READY_S)
        at = {name: f"tcp://127.0.0.1:{file.read_text().strip()}" for name, file in files.items()}
        assert RIG.source is not None
        assert RIG.meter is not None
        yield replace(
            RIG,
            unit=replace(RIG.unit, address=at["inverter"]),
            source=replace(RIG.source, address=at["source"]),
            meter=replace(RIG.meter, address=at["meter"]),
        )
    finally:
        family.stop()


def judged(case: Case, rig: RigFile) -> CaseJudgement:
    memory = Memory()
    with opened(rig, rig.eut, lambda: None) as ports:
        run_case(case, ports, memory)
    return judge_case(case, rig.eut, memory.record())


def test_its_own_volt_var_passes(tmp_path: Path) -> None:
    with devices(tmp_path) as rig:
        found = judged(short("volt_var-char_2-discharge-66", 6, 0.1), rig)
        bar, end_s = Bar(tmp_path / "bar"), monotonic() + 5.0
        while (left := (bar.get("p_w"), bar.get("p_set_w"), bar.get("source_v"))) != (0.0, 0.0, 0.0):
            assert monotonic() < end_s, f"the inverter is not stopped, or the source still on: {left}"
            sleep(0.05)
    assert found.verdict is Verdict.PASS, found


def test_half_the_gain_fails_volt_watt(tmp_path: Path) -> None:
    with devices(tmp_path, "--gain", "0.5") as rig:
        found = judged(short("volt_watt-char_3-discharge-66", 2, 0.05), rig)
    assert found.verdict is Verdict.FAIL, found
    assert {check.quantity for check in found.checks if check.verdict is Verdict.FAIL} == {"p_w"}
