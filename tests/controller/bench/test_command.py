"""`v2g bench` as a user meets it: tables, exit codes, a run from plan to report, resume, and a signal on the way."""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from controller.bench.folder import RunFolder
from controller.cli import main
from tests.controller.bench.test_rig import REAL, written

TINY = """\
schema: 1
title: Volt-var, two steps
clause: 1547.1-2020 5.14.4
criteria: 1547.1-2020 4.2
cases:
  direction:
    columns: [P_full]
    discharge: P_rated
    charge: -P_charge
settings:
  reactive: {mode: volt_var}
  volt_var: {olrt_s: 1}
curves:
  volt_var: {x: v, points: [[0.92, 0.44 * S], [0.98, 0], [1.02, 0], [1.08, -0.44 * S]]}
start: {v: 1, f: f_N, p: 0.6 * P_full, hold: 8}
hold: 4
judge:
  - steady: {y: q, lowest_of: volt_var, bound: both, from: 2, to: 4}
  - response: {y: q, t_r: 1, bound: both, from: 2, to: 4}
steps:
  - {step: i, v: 1.05}
  - {step: u, v: 0.95}
"""
IDS = ["tiny-discharge", "tiny-charge"]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A procedure of somebody's own: two cases of two steps."""
    file = tmp_path_factory.mktemp("procedures") / "tiny.yaml"
    file.write_text(TINY, encoding="utf-8")
    return str(file)


def test_list_says_what_is_for_this_unit(capsys: pytest.CaptureFixture[str]) -> None:
    some = ["volt_var", "volt_var_unbalanced"]
    assert main(["bench", "list", *some]) == 0
    text = capsys.readouterr().out
    assert "Volt-var (1547.1-2020 5.14.4): 18 cases, 13:36:24" in text  # about 14 h of laboratory time
    assert "not run: for units with phases = 3; this one has 1" in text
    assert main(["bench", "list", *some, "--json"]) == 0
    assert [len(p["cases"]) for p in json.loads(capsys.readouterr().out)["procedures"]] == [18, 0]


def test_plan_shows_every_case_with_its_time(tiny: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "plan", tiny]) == 0
    *rows, total = capsys.readouterr().out.splitlines()
    assert [row.split()[0] for row in rows[1:]] == IDS
    assert total.startswith("2 cases, 0:00:32")


@pytest.fixture(scope="module")
def ran(tiny: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the two small cases, in two processes."""
    out = tmp_path_factory.mktemp("ran") / "run"
    assert main(["bench", "run", tiny, "--out", str(out), "--jobs", "2"]) == 0
    return out


def test_from_plan_to_report(tiny: str, ran: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ran
    files = {
        "plan.json",
        "rig.json",
        "judgement.json",
        "report.html",
        "results.csv",
        "results.json",
        "junit.xml",
        "cases",
    }
    assert {f.name for f in out.iterdir()} == files
    first = (out / "judgement.json").read_bytes()
    assert main(["bench", "judge", str(out)]) == 0
    assert (out / "judgement.json").read_bytes() == first
    assert capsys.readouterr().out.splitlines()[-1] == "2 cases: 2 pass"
    assert main(["bench", "report", str(out), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["files"]) == 4
    assert main(["bench", "run", tiny, "--out", str(out)]) == 2
    assert f"{out}: is there already" in capsys.readouterr().err


def test_one_process_or_two_give_the_same_bytes(
    tiny: str, ran: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert main(["bench", "run", tiny, "--out", str(out), "--jobs", "1"]) == 0
    assert "2 cases, 0:00:32" in capsys.readouterr().err  # the plan stands before the run
    names = [f.relative_to(ran) for f in sorted(ran.rglob("*")) if f.is_file()]
    assert len(names) >= 11  # two cases of two files, and the rest
    assert [(ran / n).read_bytes() for n in names] == [(out / n).read_bytes() for n in names]


def test_a_unit_that_is_wrong_fails(tiny: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An inverter of 4 s beside T_r of 1 s: the same core, too slow."""
    slow = Path("config/rigs/virtual.yaml").read_text().replace("kind: core", "kind: core\n  lag_s: 4")
    one = [tiny, "--only", "tiny-charge"]
    assert main(["bench", "run", *one, "--rig", written(slow, tmp_path), "--out", str(tmp_path / "run")]) == 1
    assert "1 case: 1 fail" in capsys.readouterr().out


def test_a_record_that_is_another_one_since_is_not_reported_with_the_old_verdict(
    tiny: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line taken out by hand; a case that a `resume` has begun anew and Ctrl-C has stopped."""
    out = tmp_path / "run"
    assert main(["bench", "run", tiny, "--out", str(out)]) == 0
    for name, cut in (("samples.csv", -2), ("events.jsonl", -1)):
        file = out / "cases" / IDS[0] / name
        whole = file.read_bytes()
        file.write_bytes(b"".join(whole.splitlines(keepends=True)[:cut]))
        assert main(["bench", "report", str(out)]) == 2
        assert f"{file.parent}: not the record that was judged: `v2g bench judge {out}`" in capsys.readouterr().err
        file.write_bytes(whole)
    assert main(["bench", "report", str(out)]) == 0
    file.write_bytes(whole.splitlines(keepends=True)[0])
    assert main(["bench", "judge", str(out)]) == 3
    assert main(["bench", "report", str(out)]) == 0


def test_resume_runs_what_was_invalid_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Run to its end, but the meter has 10 ms between two values where 5 ms are asked; the other case is left alone."""
    blind = tmp_path / "blind.yaml"
    blind.write_text(TINY.replace("judge:", "judge:\n  - {when: P_full < 0, observed: {every: 0.005}}"))
    out = tmp_path / "run"
    assert main(["bench", "run", str(blind), "--out", str(out)]) == 3
    files = [out / "cases" / name / "samples.csv" for name in ("blind-discharge", "blind-charge")]
    before = [f.stat().st_mtime_ns for f in files]
    capsys.readouterr()
    assert main(["bench", "resume", str(out)]) == 3
    assert capsys.readouterr().out.splitlines()[-1] == "2 cases: 1 pass, 1 invalid"
    assert [f.stat().st_mtime_ns == old for f, old in zip(files, before, strict=True)] == [True, False]


def test_a_run_whose_rig_is_not_known_is_not_resumed(
    ran: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    shutil.copytree(ran, out)
    (out / "rig.json").write_text('{"name": "virtual"}')
    assert main(["bench", "resume", str(out)]) == 2
    assert f"{out}: its rig.json is not one of `v2g bench run`; start a new run" in capsys.readouterr().err


# fmt: off
WRONG = [
    (["bench", "plan", "nothing"],                   "nothing: no such procedure",  "an unknown procedure"),
    (["bench", "plan", "volt_var", "--only", "x*"],  "--only x*: no such case",     "a pattern that fits nothing"),
    (["bench", "plan", "--rig", "nowhere"],          "--rig nowhere: no such rig",  "an unknown rig"),
    (["bench", "judge", "."],                        "plan.json is missing",        "a folder that is no run"),
    (["bench", "source-check"],                      "simulated in virtual time",   "a rig without a source"),
]
# fmt: on


@pytest.mark.parametrize(("arguments", "line", "why"), WRONG, ids=[w[-1] for w in WRONG])
def test_mistakes_have_one_line_and_exit_code_2(
    arguments: list[str], line: str, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2, why
    assert line in capsys.readouterr().err


# fmt: off
ANSWERS = [
    # typed         the line                                            why
    (None,          "standard input is no terminal, so nobody can",     "no terminal"),
    ("yes\n",       "`energise` was not typed; nothing was switched on", "another word"),
    ("ENERGISE\n",  "`energise` was not typed; nothing was switched on", "a word in passing is written otherwise"),
    ("\n",          "`energise` was not typed; nothing was switched on", "Enter alone"),
    ("\x04",        "`energise` was not typed; nothing was switched on", "Ctrl-D"),
]
# fmt: on


@pytest.mark.parametrize(("typed", "line", "why"), ANSWERS, ids=[a[-1] for a in ANSWERS])
@pytest.mark.parametrize("command", [("run",), ("source-check", "--energise")], ids=" ".join)
def test_real_hardware_is_not_switched_on_without_the_word(
    tiny: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    command: tuple[str, ...], typed: str | None, line: str, why: str,
) -> None:  # fmt: skip
    rig = written(
        REAL.replace("f_nom_hz: 50", "f_nom_hz: 60").replace("f_low_hz: 49, f_high_hz: 51", "p_min_w: 0"), tmp_path
    )
    of_run = (tiny, "--out", str(tmp_path / "run")) if command == ("run",) else ()
    keyboard, terminal = pty.openpty()
    os.write(keyboard, (typed or "").encode())
    with open(os.devnull if typed is None else os.ttyname(terminal)) as stdin:  # noqa: PTH123  # a device
        monkeypatch.setattr("sys.stdin", stdin)
        assert main(["bench", *command, *of_run, "--rig", rig]) == 2, why
    os.close(keyboard)
    os.close(terminal)
    told = capsys.readouterr().err
    assert line in told
    assert "nothing was switched on" in told
    assert ("0 ... 280 V, 45 ... 55 Hz" in told) == (typed is not None), "who is asked has read what will happen"
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("words", [(), ("--yes-energise",)], ids=["asked", "not asked"])
def test_words_that_are_not_proven_are_said_before_the_source_is_switched_on(
    tiny: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
) -> None:  # fmt: skip
    """Nobody is at the keyboard, or the meter is none: it ends before anything is switched on."""
    source = "{kind: scpi, phases: 1, profile: chroma-61800, accept_unverified: chroma-61800, address: 'tcp://[::1]:9'}"
    text = REAL.replace("{kind: manual, phases: 1}", source).replace("eastron-sdm630", "no-such-meter")
    text = text.replace("f_nom_hz: 50", "f_nom_hz: 60").replace("f_low_hz: 49, f_high_hz: 51", "p_min_w: 0")
    with open(os.devnull) as stdin:  # noqa: PTH123  # a device
        monkeypatch.setattr("sys.stdin", stdin)
        assert (
            main(["bench", "run", tiny, "--rig", written(text, tmp_path), "--out", str(tmp_path / "run"), *words]) == 2
        )
    told = "UNVERIFIED GRID SIMULATOR PROFILE chroma-61800, accepted by the rig file"
    assert told in capsys.readouterr().err
    assert not words or told in (tmp_path / "run" / "rig.json").read_text(), "and the report's front page has it"


def test_a_signal_ends_the_run_and_resume_finishes_it(tmp_path: Path) -> None:
    out = tmp_path / "run"
    arguments = ["bench", "run", "volt_var", "--only", "volt_var-char_*-discharge-*", "--out", str(out), "--jobs", "1"]
    child = subprocess.Popen(
        [sys.executable, "-m", "controller.cli", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60.0
    while time.monotonic() < deadline and not list(out.glob("cases/*/samples.csv")):
        time.sleep(0.01)
    child.send_signal(signal.SIGTERM)
    _, complaints = child.communicate(timeout=60.0)
    assert child.returncode == 128 + signal.SIGTERM
    assert "stopped by SIGTERM; the source is safe, permit service is off" in complaints
    folder = RunFolder(out)
    done = [case.id for case in folder.plan().cases if folder.done(case.id)]
    assert len(done) < len(folder.plan().cases)
    assert all(folder.record(path.name) is not None for path in (out / "cases").iterdir())
