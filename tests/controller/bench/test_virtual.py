"""The rig in virtual time: the exact core at the reference's golden numbers, look-ahead that leaves no trace, faults.

Numbers  golden unit of the procedures' reference: 240 V, 10 kVA; Q of the volt-var curve by its straight lines.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from controller.bench.brains import Brain, StepBrain
from controller.bench.folder import RunFolder
from controller.bench.plan import Case, Observed
from controller.bench.ports import RigError
from controller.bench.record import CaseRecord
from controller.bench.runner import run_cases
from controller.bench.virtual import VirtualRig, period_of
from controller.bench.world import Flaws, World
from cython_core.step import Core
from drivers.sim.plant import Inverter
from tests.controller.bench.golden import EUT
from tests.controller.bench.plans import OFF, VOLT_VAR_V, at, case, plan, step, volt_var
from tests.cython_core.reference import Reference


def record_of(rig: VirtualRig, one: Case, path: Path) -> CaseRecord:
    folder = RunFolder.create(path / "run", plan(one), {})
    run_cases([one], rig.open, folder, lambda _: None)
    record = folder.record(one.id)
    assert record is not None
    assert record.events[-1].kind == "done", record.events[-1]
    return record


def window(record: CaseRecord, name: str, from_s: float, to_s: float) -> Any:
    """Samples of a step, by time after arrival."""
    arrived_ns = next(e.t_ns for e in record.events if e.kind == "arrived" and e.data["name"] == name)
    t_s = (record.samples["t_ns"] - arrived_ns) / 1e9
    return record.samples[(t_s >= from_s - 1e-9) & (t_s <= to_s + 1e-9)]


def ask(one: Case, path: Path, **more: Any) -> CaseRecord:
    return record_of(VirtualRig(EUT, 1, **more), one, path)


# --- the exact core through a whole case ---

Q_VAR = {241.2: 0, 248.4: -1100, 252.0: -2200, 255.6: -3300, 260.4: -4400, 240.0: 0, 238.8: 0, 231.6: 1100,
         228.0: 2200, 224.4: 3300, 217.2: 4400, 214.8: 4400}  # fmt: skip


def test_volt_var_of_the_exact_core_is_at_the_golden_numbers(tmp_path: Path) -> None:
    record, before_var = ask(volt_var(), tmp_path), 0.0
    for name, v_v in VOLT_VAR_V:
        target = Q_VAR[v_v]
        settled, at_t_r = window(record, name, 10.0, 20.0), window(record, name, 5.0, 5.0)
        assert settled["v1_v"].mean() == pytest.approx(v_v, abs=0.01)
        assert settled["q_var"].mean() == pytest.approx(target, abs=0.01 * abs(target - before_var) + 1.0)  # at 2 T_r
        assert at_t_r["q_var"][0] == pytest.approx(before_var + 0.9 * (target - before_var), abs=15.0)
        assert settled["p_w"].mean() == pytest.approx(6600.0, abs=1.0)
        before_var = target


def test_droop_answers_in_its_time_along_a_ramp(tmp_path: Path) -> None:
    """Char. 1 from 10 kW: 61.2 Hz leaves 6120 W; 5 s after the ramp's end 90 % of the way is done, and more."""
    up = step("k", at(f_hz=61.2), 20.0, ramp_hz_s=3.0)
    record = ask(case("droop", {**OFF, "freq_droop.enable": True}, 10_000.0, up), tmp_path)
    assert window(record, "k", 15.0, 20.0)["p_w"].mean() == pytest.approx(6120.0, abs=10.0)
    assert 6120.0 < window(record, "k", 5.0, 5.0)["p_w"][0] < 10_000.0 - 0.9 * 3880.0 + 50.0


# --- nothing of the look-ahead shows ---


def stepped(make: Any) -> Any:
    def brain(phases: int, period_s: float) -> Brain:
        return StepBrain("stepped", phases, period_s, make)

    return brain


def busy() -> Case:
    """Everything that can change on the way, at times beside the grid of the brain."""
    return case(
        "busy", {**OFF, "reactive.mode": "volt_var"}, 3000.0,
        step("volts", at(252.0), 1.37),
        step("demand", at(252.0), 0.613, demand_w=-2000.0),
        step("ramp", at(252.0, 60.4), 0.7, ramp_hz_s=1.0, settings={"freq_droop.enable": True}),
        step("silent", at(228.0, 60.0), 2.0, faults=("at 0s: meter.silent 1200ms",)),
        step("limit", at(228.0), 0.9, ap_limit_pu=0.2, demand_w=5000.0),
        step("turn", replace(at(), a1_deg=40.0), 0.5),
        step("off", at(), 0.4, permit=False),
        start_s=1.0,
    )  # fmt: skip


STEPPED = [("the core, a step at a time", Core), ("the plain-Python reference", Reference)]


@pytest.mark.parametrize(("_what", "make"), STEPPED, ids=[w for w, _ in STEPPED])
def test_chunks_that_were_taken_back_leave_what_single_steps_leave(_what: str, make: Any, tmp_path: Path) -> None:
    def in_service(settings: Any, period_s: float) -> Any:
        return make(settings, period_s, True)

    chunks = ask(busy(), tmp_path / "chunks")
    single = ask(busy(), tmp_path / "single", brain=stepped(in_service))
    assert chunks.samples.tobytes() == single.samples.tobytes()  # NaN is a phase the unit lacks
    assert np.ptp(chunks.samples["p_w"]) > 4000.0  # and something did happen
    assert np.ptp(chunks.samples["q_var"]) > 500.0


# fmt: off
PERIODS = [
    # smallest sample_s   period_s   why
    (0.9,                 0.1,       "the core steps at most every 100 ms"),
    (0.1,                 0.1,       "a sample a step"),
    (0.05,                0.05,      "T_r of 5 s sampled at 1 %"),
    (0.03,                0.02,      "the next faster one"),
    (0.01,                0.01,      "T_r of 1 s"),
    (0.002,               0.01,      "no faster than the product's own step"),
]
# fmt: on


@pytest.mark.parametrize(("sample_s", "period_s", "why"), PERIODS, ids=[c[-1] for c in PERIODS])
def test_period(sample_s: float, period_s: float, why: str) -> None:
    judged, quick = step("s", at(), 1.0, sample_s, criteria=(Observed(1.0),)), step("not judged", at(), 1.0, 0.001)
    assert period_of(case("c", OFF, 0.0, quick, judged)) == period_s, why


# --- physics that a test of ours must not get wrong ---


def test_current_is_limited_at_once_in_a_sag(tmp_path: Path) -> None:
    """10 kVA at V_L = 211.2 V are 47.35 A; at 105.6 V they stay so, hence 5 kW, from the first sample on."""
    record = ask(case("sag", OFF, 10_000.0, step("sag", at(105.6), 0.3, 0.01)), tmp_path)
    sag = window(record, "sag", 0.01, 0.3)
    assert sag["i_a"].max() <= 47.36
    assert sag["p_w"][0] == pytest.approx(5000.0, abs=5.0)


def test_a_phase_jump_is_a_frequency_error_while_it_passes_through_the_meters_window(tmp_path: Path) -> None:
    """+6 deg in 0.1 s look like +0.167 Hz: droop may answer for a moment, and forgets it."""
    jump = step("jump", replace(at(), a1_deg=6.0), 10.0, 0.01)
    settings = {**OFF, "freq_droop.enable": True, "freq_droop.t_response_s": 0.2, "freq_droop.refresh_s": 0.0}
    record = ask(case("angle", settings, 8000.0, jump), tmp_path)
    p_w = window(record, "jump", 0.0, 10.0)["p_w"]
    assert p_w.min() < 7900.0
    assert p_w[-1] == pytest.approx(8000.0, abs=5.0)


# --- rig faults, for whoever judges ---


def held(**flaws: Any) -> VirtualRig:
    return VirtualRig(EUT, 1, flaws=Flaws(**flaws))


def test_flaws_of_the_rig_show_in_the_record(tmp_path: Path) -> None:
    one = case("c", OFF, 5000.0, step("s", at(), 4.0, 0.05))
    off = record_of(held(source_gain=1.02), one, tmp_path / "source")
    assert off.samples["v1_v"].mean() == pytest.approx(244.8, abs=0.05)
    assert off.samples["set_v1_v"].mean() == 240.0
    frozen = record_of(held(frozen_after_s=12.0), one, tmp_path / "frozen")
    assert len(np.unique(frozen.samples["p_w"][-30:])) == 1
    assert len(np.unique(frozen.samples["t_ns"])) == len(frozen.samples)
    slow = record_of(held(refresh_s=1.0), one, tmp_path / "slow")
    assert np.diff(np.unique(slow.samples["t_ns"])).min() == 1_000_000_000
    gain = record_of(held(meter_gain=0.9), one, tmp_path / "gain")
    assert window(gain, "s", 1.0, 4.0)["p_w"].mean() == pytest.approx(4500.0, abs=2.0)


# fmt: off
FAULTS = [
    # line                      least_w  most_w   why
    ("at 0s: meter.silent 6s",         -50.0,   4000.0,  "a meter that is silent for seconds: power is taken back"),
    ("at 2s: inverter.fault 3s",       -50.0,   50.0,    "a faulty inverter is not commanded"),
    ("at 0s: inverter.unplug",         -50.0,   50.0,    "no car, no power"),
    ("at 0s: inverter.soc_glitch 2%",  -50.0,   50.0,    "an empty battery gives nothing"),
    ("at 1s: inverter.discharge_limit 1200W 9s", 1150.0, 1250.0, "no more than the car gives"),
    ("at 0s: inverter.charge_limit 1200W",       4950.0, 5050.0, "it is not charged"),
]
# fmt: on


@pytest.mark.parametrize(("line", "least_w", "most_w", "why"), FAULTS, ids=[c[-1] for c in FAULTS])
def test_faults_reach_the_controller(line: str, least_w: float, most_w: float, why: str, tmp_path: Path) -> None:
    record = ask(case("c", OFF, 5000.0, step("before", at(), 1.0), step("s", at(), 6.0, faults=(line,))), tmp_path)
    assert window(record, "before", 0.5, 1.0)["p_w"].mean() == pytest.approx(5000.0, abs=5.0)
    assert least_w < window(record, "s", 0.0, 6.0)["p_w"].min() < most_w, why
    assert any(e.kind == "fault" and e.data == {"line": line} for e in record.events)


WRONG = [
    ("at 0s: broker.down 5s", "no such part"),
    ("at 0s: meter.off", "allowed"),
    ("at 0s: inverter.silent reads", "no such part"),
]


@pytest.mark.parametrize(("line", "text"), WRONG, ids=[line for line, _ in WRONG])
def test_a_fault_that_cannot_be_shown_is_rig_trouble(line: str, text: str) -> None:
    one = case("c", OFF, 0.0, step("s", at(), 1.0))
    with VirtualRig(EUT, 1).open(one) as rig, pytest.raises(RigError, match=text):
        rig.unit.fault(line)


def test_settings_are_read_back_from_what_is_in_force() -> None:
    one = case("c", OFF, 0.0, step("s", at(), 1.0))
    with VirtualRig(EUT, 1).open(one) as rig:
        assert rig.unit.write({"volt_var.v4_pu": 1.07}) == {"volt_var.v4_pu": 1.07}
        with pytest.raises(RigError, match=r"k_of = 0.5 is outside"):
            rig.unit.write({"freq_droop.k_of": 0.5})


# --- an inverter that nothing moves is not stepped ---


@pytest.mark.parametrize("dead_s", [0.0, 0.25])
def test_sleep_leaves_no_trace(dead_s: float) -> None:
    """Commands that stand, change, and come back while one is on its way: the same bits as with every step."""
    commands = [(5000.0, 0.0)] * 60 + [(5000.0, 100.0)] + [(5000.0, 0.0)] * 40 + [(0.0, 0.0)] * 60 + [(-1.0, 5.0)] * 40
    always, world = (
        Inverter(dead_s=dead_s),
        World(StepBrain("", 1, 0.1, Reference), Inverter(dead_s=dead_s), 0.1, 211.2, Flaws()),
    )
    stepped = []
    for v_pu, (p_w, q_var) in zip([1.0] * 100 + [0.5] * 101, commands, strict=True):
        always.step(0.1, p_w, q_var, v_pu=v_pu)
        world.obey([(p_w, q_var)], v_pu)
        stepped.append(world.asleep is None)
        assert (world.inverter.p_w, world.inverter.q_var) == (always.p_w, always.q_var)
    assert not all(stepped)  # it did sleep
