"""The demonstration can fail: every fault gives the verdict it must, by its own check, and nothing else hides it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.faults.demos import Play, Played, run, v2g

GAPS = {"Longest telemetry gap, by source time", "Longest telemetry gap, by arrival"}
OFFSET = "Power against command before an event"  # the fault is there before the event as well


def play(fault: str) -> Play:
    """5 s of quiet, then the grid falls for 10 s."""
    return Play(("--fault", fault, "--duration", "15"))


STOPPED = r"^\+2[78]\d\d W at step"  # 1400 W the wrong way; after 10 s of that the controller lets it rest
HALF = r"k 0\.(09\d+|10\d+) measured, 0\.0500 set.*0\.5\d? x"
SLOPE = "Droop, under-frequency"
INITIATE, ARRIVAL = "Time to initiate", "Longest telemetry gap, by arrival"
# fmt: off
FAULTS = [
    # fault           must fail   its reason                                         may fail with it
    ("droop_sign",    OFFSET,     STOPPED,                                           set()),
    ("wrong_slope",   SLOPE,      HALF,                                              {OFFSET, INITIATE}),
    ("late_meter",    INITIATE,   r"worst of 1 event.*the ideal answer needs 0\.",   set()),
    ("no_telemetry",  ARRIVAL,    "not one live frame",                              GAPS),
]
# fmt: on


@pytest.mark.parametrize(
    ("played", "name", "reason", "with_it"),
    [(play(fault), *rest) for fault, *rest in FAULTS],
    indirect=["played"],
    ids=[c[0] for c in FAULTS],
)
def test_each_fault_fails_its_own_check(played: Played, name: str, reason: str, with_it: set[str]) -> None:
    assert played.code == 1, played.err
    verdict = played.verdict
    failed = {check["name"]: check for check in verdict["checks"] if check["passed"] is False}
    assert name in failed, f"failed: {list(failed)}"
    assert re.search(reason, failed[name]["reason"]), failed[name]["reason"]
    assert set(failed) - {name} <= with_it, "another failure hides this one"
    assert not verdict["passed"]
    assert verdict["replay"].startswith("identical"), "a fault of the devices is no fault of the record"
    assert played.left == ()


@pytest.mark.parametrize("played", [play("late_meter")], indirect=True, ids=["late_meter"])
def test_the_late_meter_is_measured_as_3_s_late(played: Played) -> None:
    """3 s of latency + at most 0.5 s of the ideal answer + refresh, poll, write and lag of the devices."""
    (check,) = [c for c in played.verdict["checks"] if c["name"] == "Time to initiate"]
    assert 3.0 < check["value"] < 5.0
    assert check["limit"] == 2.0


@pytest.mark.parametrize("played", [play(c[0]) for c in FAULTS], indirect=True, ids=[c[0] for c in FAULTS])
def test_the_report_names_the_injected_fault(played: Played) -> None:
    fault = re.search(r"Injected fault: (\w+)", (played.folder / "report.html").read_text())
    assert fault is not None
    assert fault[1] in {c[0] for c in FAULTS}


# ---- a script of faults ----

SCRIPT = """\
at start: meter.silent 1s
at 2s: meter.nan f 2s; inverter.delay 30ms 1s
at 5s: broker.down 1s; clock.step -1h
"""


def test_a_fault_script_is_played_named_and_computed_again(tmp_path: Path) -> None:
    """8 s from 57 s on: 3 s of quiet, then the event. What view, verdict and report say of the faults."""
    (tmp_path / "faults.txt").write_text(SCRIPT)
    options = ("--faults", str(tmp_path / "faults.txt"), "--start", "57", "--duration", "8")
    played = run(Play(options), tmp_path / "demo")
    texts = [text.strip() for line in SCRIPT.splitlines() for text in line.partition(": ")[2].split(";")]
    assert played.verdict["faults"] == texts
    assert played.verdict["replay"].startswith("identical")
    assert "  FAULT meter.nan f 2s; inverter.delay 30ms 1s" in played.err
    page = (played.folder / "report.html").read_text()
    assert re.findall(r"Injected fault: (before the start|at \d s): (\S+)", page) == [
        ("before the start", "meter.silent"), ("at 2 s", "meter.nan"), ("at 2 s", "inverter.delay"),
        ("at 5 s", "broker.down"), ("at 5 s", "clock.step"),
    ]  # fmt: skip
    assert played.left == ()


def test_a_drill_of_four_faults(tmp_path: Path) -> None:
    """All four are answered; a script takes the place of all faults, and of its times."""
    (tmp_path / "faults.txt").write_text(
        "at 0s: meter.nan f; inverter.overwrite 3000W\nat 9s: process.kill controller; clock.step +1h\n"
    )
    done = v2g("drill", "--faults", "faults.txt", "--json", cwd=tmp_path)
    results = {r["fault"]: r for r in json.loads(done.stdout)}
    assert list(results) == ["meter.nan f", "inverter.overwrite 3000W", "process.kill controller", "clock.step +1h"]
    assert all(r["passed"] for r in results.values()), done.stdout
    assert done.returncode == 0
    assert results["process.kill controller"]["safe_s"] > 1.0, "the inverter's own timer, not we"
