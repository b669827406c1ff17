"""The bench in real time over real sockets: SCPI source, Modbus meters and inverter, controller, each a process.

A step each of volt-var and droop, and a voltage trip, judged as in virtual time: the same verdict of the same unit,
right or wrong. The source is made safe at the end by the guard that owns it.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from controller.bench.expand import make_plan
from controller.bench.folder import RunFolder
from controller.bench.judge import judge_plan
from controller.bench.judgement import CaseJudgement, Verdict
from controller.bench.plan import Case, Plan, Value
from controller.bench.procedurefile import load_procedure
from controller.bench.rig import RigFile, load_rig
from controller.bench.runner import run_cases
from controller.bench.simulated import simulated
from controller.bench.virtual import VirtualRig
from controller.bench.wire import run_real
from controller.cli import main
from controller.configfiles import available
from tests.system.benches import procedure

pytestmark = pytest.mark.system
TRIP = "voltage_trip-OV1-min-min-all"  # 268.8 V, above 1.10 pu by 2 MRA
OV1, OV1_2S = "OV1: [1, 1, 0, 0, 1.10, 1.20, 1, 13]", "OV1: [1, 1, 0, 0, 1.10, 1.20, 2, 13]"  # gone after 2 s
# What a trip of the controller's takes beyond its setting: the meter's refresh 0.1 s and poll 0.05 s, write, and the
# inverter's fall to 525 W of 7000 W, 0.05 s x ln(13.3): so its owner sets it sooner than it has to be.
EARLY = {"voltage_trip.ov1_s": 1.6}
LATE = {"voltage_trip.ov1_s": 2.4}
# case, steps that are run, seconds before them, seconds between samples (a busy machine holds a process up for 0.1 s
# now and then), settings that are the unit's own, verdict, why
# fmt: off
CASES: tuple[tuple[str, tuple[str, ...], float, float, Mapping[str, Value], Verdict, str], ...] = (
    ("volt_var-char_1-discharge-66", ("h",),                   3.0, 0.2, {},        Verdict.PASS, "volt-var, T_r 5 s"),
    ("freq_droop_above-char_1-66",   ("j",),                   3.0, 0.2, {},        Verdict.PASS, "droop, T_r 5 s"),
    (TRIP,                           ("inside-1", "beyond-1"), 3.0, 0.1, EARLY,     Verdict.PASS, "gone within 2 s"),
    (TRIP,                           ("inside-1", "beyond-1"), 3.0, 0.1, LATE,      Verdict.FAIL, "a trip of 2.4 s"),
)
# fmt: on
SLOW_S = 2.0  # time constant of a wrong inverter: 7000 W fall below 525 W in 2 s x ln(13.3) = 5.2 s, 2 s are allowed


def shortened(rig: RigFile, rows: range, path: Path) -> Plan:
    trip = available("procedures")["voltage_trip"].read_text(encoding="utf-8")
    assert OV1 in trip
    (path / "voltage_trip.yaml").write_text(trip.replace(OV1, OV1_2S), encoding="utf-8")
    cases: list[Case] = []
    for i in rows:
        name, steps, start_s, sample_s, own, *_ = CASES[i]
        file = str(path / "voltage_trip.yaml") if name == TRIP else name.partition("-")[0]
        found = make_plan([load_procedure(file)], rig.eut, 1).cases
        case = next(c for c in found if c.id == name)
        kept = tuple(replace(s, sample_s=max(s.sample_s, sample_s)) for s in case.steps if s.name in steps)
        start = replace(case.start, hold_s=start_s)
        cases.append(replace(case, id=f"{i}-{name}", start=start, steps=kept, settings={**case.settings, **own}))
    return Plan(rig.eut, tuple(cases), 1)


def both(rig: RigFile, plan: Plan, path: Path) -> tuple[tuple[CaseJudgement, ...], ...]:
    """The judgements of the same cases in real time and in virtual time."""
    real, virtual = (RunFolder.create(path / name, plan, {}) for name in ("real", "virtual"))
    with simulated(rig, path / "devices") as wired:
        run_real(wired, plan.eut, plan.cases, real, lambda _: None)
        assert wired.source is not None
        assert "0.000" in at_terminals(wired.source.address)  # the source is off when all is over
    world = VirtualRig(plan.eut, 1, settings=rig.settings, dead_s=rig.unit.dead_s, lag_s=rig.unit.lag_s)
    run_cases(plan.cases, world.open, virtual, lambda _: None)
    return judge_plan(plan, real.record), judge_plan(plan, virtual.record)


def at_terminals(address: str) -> str:
    host, _, port = address.removeprefix("tcp://").partition(":")
    with socket.create_connection((host, int(port)), 5.0) as link:
        link.sendall(b"MEAS:VOLT?\n")
        return link.recv(100).decode()


def test_real_time_over_sockets_has_the_verdict_of_virtual_time(tmp_path: Path) -> None:
    rig = load_rig("loopback")
    real, virtual = both(rig, shortened(rig, range(len(CASES)), tmp_path), tmp_path)
    expected = [(row[-2], row[-1]) for row in CASES]
    assert [(j.verdict, row[-1]) for j, row in zip(virtual, CASES, strict=True)] == expected
    assert [(j.verdict, row[-1]) for j, row in zip(real, CASES, strict=True)] == expected, real
    for found in (real, virtual):
        cleared_s = [c.y for j in found[2:] for c in j.checks if c.y is not None and c.y_unit == "s"]
        assert 1.5 < cleared_s[0] < 2.0
        assert 2.3 < cleared_s[1] < 2.8


def test_an_inverter_that_is_too_slow_fails_in_both(tmp_path: Path) -> None:
    right = load_rig("loopback")
    rig = replace(right, unit=replace(right.unit, lag_s=SLOW_S))
    real, virtual = both(rig, shortened(rig, range(2, 3), tmp_path), tmp_path)
    assert [j.verdict for j in (*real, *virtual)] == [Verdict.FAIL, Verdict.FAIL], real
    for judged in (*real, *virtual):
        wrong = [check for check in judged.checks if check.verdict is Verdict.FAIL]
        assert [(check.step, check.kind) for check in wrong] == [("beyond-1", "crosses")]
        assert wrong[0].reason.startswith("|P| never stayed below 525 W")


UP = """\
schema: 1
title: Power at once
clause: none
criteria: none
start: {v: 1, f: f_N, p: 0, hold: 4}
steps:
  - {step: up, p: 0.6 * P_rated, hold: 4, sample: 0.2, judge: [JUDGE]}
"""
SLOW = "settings:\n  limits: {ramp_pu_s: 0.05}\nstart"  # 4 s lead to 0.2 of rated power
STAYS_LOW = "inside: {y: p, low: -0.1 * P_rated, high: 0.3 * P_rated, from: 0, to: 4}"
IS_UP = "crosses: {y: p, level: 0.5 * P_rated, falling: false, not_before: 0, not_after: 2}"


def test_a_case_has_nothing_of_the_settings_of_the_one_before(tmp_path: Path) -> None:
    files = {"a_slow": UP.replace("start", SLOW).replace("JUDGE", STAYS_LOW), "b_fast": UP.replace("JUDGE", IS_UP)}
    for name, text in files.items():
        (tmp_path / f"{name}.yaml").write_text(text, encoding="utf-8")
    rig = load_rig("loopback")
    plan = make_plan([load_procedure(str(tmp_path / f"{name}.yaml")) for name in files], rig.eut, 1)
    folder = RunFolder.create(tmp_path / "run", plan, {})
    run_real(rig, plan.eut, plan.cases, folder, lambda _: None)
    assert [(j.id, j.verdict) for j in judge_plan(plan, folder.record)] == [(name, Verdict.PASS) for name in files]


def test_from_an_empty_folder_to_a_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a new user, who has no rig: nothing is energised, so nothing is asked."""
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(procedure(1.05), encoding="utf-8")
    assert main(["bench", "run", "tiny.yaml", "--rig", "loopback", "--out", "RUN"]) == 0, capsys.readouterr()
    assert "1 case: 1 pass" in capsys.readouterr().out
    assert "V2G,SIMULATED GRID SOURCE" in Path("RUN/report.html").read_text(encoding="utf-8")
    assert re.search(
        r"begun</th><td>20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ<", Path("RUN/report.html").read_text(encoding="utf-8")
    )
    assert sorted(file.name for file in tmp_path.iterdir()) == ["RUN", "tiny.yaml"]


def test_the_source_is_asked_and_then_checked(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "source-check", "--rig", "loopback"]) == 0
    assert capsys.readouterr().out == ("source: V2G,SIMULATED GRID SOURCE,0,1\nputs out: 0.00 V on L1, 60.000 Hz\n")
    assert main(["bench", "source-check", "--rig", "loopback", "--energise"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line[:4] for line in lines] == ["ok  "] * 10
    assert lines[-1].endswith("measured 0 V")
