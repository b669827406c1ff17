"""The demonstration can fail: every fault gives the verdict it must, by its own check, and nothing else hides it."""

from __future__ import annotations

import re

import pytest

from tests.faults.demos import Play, Played

GAPS = {"Longest telemetry gap, by source time", "Longest telemetry gap, by arrival"}
OFFSET = "Power against command before an event"  # the fault is there before the event as well


def play(fault: str) -> Play:
    """5 s of quiet, then the grid falls for 10 s."""
    return Play(("--fault", fault, "--duration", "15"))


# fmt: off
FAULTS = [
    # fault           the check that must fail       its reason                                        may fail with it
    ("droop_sign",    "Direction, under-frequency",  r"the wrong way: -1\.0\d x the formula",          {"Droop, under-frequency", "Time to initiate", OFFSET}),
    ("wrong_slope",   "Droop, under-frequency",      r"k 0\.(09\d+|10\d+) measured, 0\.0500 set.*0\.5\d? x", {OFFSET, "Time to initiate"}),
    ("late_meter",    "Time to initiate",            r"worst of 1 event.*the ideal answer needs 0\.", set()),
    ("no_telemetry",  "Longest telemetry gap, by arrival", r"not one live frame",                      GAPS),
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
