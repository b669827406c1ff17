"""An inverter's own functions over real sockets: an SCPI source, a Modbus meter and a Modbus inverter, each a process.

Cases are shortened, not eased: fewer steps, samples a busy machine can take, the same targets and times.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from time import monotonic, sleep

import pytest

from controller.bench.folder import RunFolder
from controller.bench.inverterrig import opened, run_inverter
from controller.bench.judge import judge_case, judge_plan
from controller.bench.judgement import CaseJudgement, Verdict
from controller.bench.ownfit import fitted_case
from controller.bench.plan import Case, Plan
from controller.bench.rig import RigFile, load_rig
from controller.bench.runner import run_case
from controller.processes import Family
from drivers.sim.bar import Bar
from tests.conformance.bench import Memory, case_of
from tests.system.benches import procedure

pytestmark = pytest.mark.system
RIG = load_rig("inverter")
READY_S = 30.0
SAFE_WITHIN_S = 2.0


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
    inverter = (*ratings, *grid, "--dead-s", 0, "--lag-s", 0.05, *more)
    options = {"source": (), "meter": ("--refresh-s", 0.02), "inverter": inverter}
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


def seconds_until_dead(bar: Bar) -> float:
    """No power, none wanted, and the source off."""
    begin_s = monotonic()
    while (left := (bar.get("p_w"), bar.get("p_set_w"), bar.get("source_v"))) != (0.0, 0.0, 0.0):
        assert monotonic() < begin_s + 10.0, f"the inverter is not stopped, or the source still on: {left}"
        sleep(0.02)
    return monotonic() - begin_s


def test_its_own_volt_var_passes(tmp_path: Path) -> None:
    with devices(tmp_path) as rig:
        found = judged(short("volt_var-char_2-discharge-66", 6, 0.1), rig)
        seconds_until_dead(Bar(tmp_path / "bar"))
    assert found.verdict is Verdict.PASS, found


def test_half_the_gain_fails_volt_watt(tmp_path: Path) -> None:
    with devices(tmp_path, "--gain", "0.5") as rig:
        found = judged(short("volt_watt-char_3-discharge-66", 2, 0.05), rig)
    assert found.verdict is Verdict.FAIL, found
    assert {check.quantity for check in found.checks if check.verdict is Verdict.FAIL} == {"p_w"}


def test_trouble_in_one_case_does_not_leave_the_next_one_a_stopped_inverter(tmp_path: Path) -> None:
    """Nothing stands on the wire that could play a fault: the first case is invalid, and the inverter is stopped."""
    good = short("volt_watt-char_3-discharge-66", 2, 0.05)
    faulty = replace(good.steps[0], faults=("at 0s: inverter.silent",))
    cases = (replace(good, id="first", steps=(faulty,)), replace(good, id="second"))
    plan = Plan(RIG.eut, cases, 1)
    folder = RunFolder.create(tmp_path / "run", plan, {})
    with devices(tmp_path) as rig:
        run_inverter(rig, rig.eut, cases, folder, lambda _: None, lambda: None)
        seconds_until_dead(Bar(tmp_path / "bar"))
    assert [j.verdict for j in judge_plan(plan, folder.record)] == [Verdict.INVALID, Verdict.PASS]


def rig_file(rig: RigFile, path: Path) -> Path:
    """The product's, with these addresses."""
    assert RIG.source is not None
    assert RIG.meter is not None
    assert rig.source is not None
    assert rig.meter is not None
    text = RIG.path.read_text(encoding="utf-8")
    for old, new in ((RIG.unit, rig.unit), (RIG.source, rig.source), (RIG.meter, rig.meter)):
        assert text.count(f'"{old.address}"') == 1
        text = text.replace(f'"{old.address}"', f'"{new.address}"')
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=lambda s: s.name)
def test_a_bench_that_ends_leaves_the_inverter_stopped_and_the_source_off(
    tmp_path: Path, number: signal.Signals
) -> None:
    """At 1.13 of nominal voltage; nobody but the guard is left after SIGKILL, and no controller ever was."""
    (tmp_path / "high.yaml").write_text(procedure(1.13).replace("hold: 3", "hold: 30"), encoding="utf-8")
    with devices(tmp_path) as rig:
        bar, file = Bar(tmp_path / "bar"), rig_file(rig, tmp_path / "rig.yaml")
        command = ("-m", "controller.cli", "bench", "run", str(tmp_path / "high.yaml"), "--rig", str(file))
        bench = subprocess.Popen(
            [sys.executable, *command, "--out", str(tmp_path / "run"), "--yes-energise"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            end_s = monotonic() + 60.0
            while not (bar.get("v1_v") > 271.0 and bar.get("p_w") > 3000.0):
                assert monotonic() < end_s, (bar.get("v1_v"), bar.get("p_w"))
                assert bench.poll() is None, bench.communicate()
                sleep(0.02)
            bench.send_signal(number)
            assert seconds_until_dead(bar) < SAFE_WITHIN_S
        finally:
            bench.kill()
            told = bench.communicate()[1]
        if number is signal.SIGKILL:
            assert "the bench is gone: grid simulator made safe, permission to be in service withdrawn" in told
