"""`v2g demo` as a newcomer starts it: it passes, it can be stopped at any moment, and it leaves nothing behind."""

from __future__ import annotations

import signal

import pytest

from tests.faults.demos import Demos, Play, Played, v2g

FULL = Play(())
MUST_PASS = {
    "Time to initiate",
    "Time to deliver",
    "Direction, under-frequency",
    "Droop, under-frequency",
    "Dead band, under-frequency",
    "Power against command before an event",
    "Core's droop against the formula",
    "Core's lag against the formula",
    "Longest telemetry gap, by source time",
    "Longest telemetry gap, by arrival",
    "Step numbers absent from the record",
    "Steps that replay did not compute to equal bits",
}


@pytest.mark.parametrize("played", [FULL], indirect=True, ids=["60 s"])
def test_the_full_demonstration_passes(played: Played) -> None:
    assert played.code == 0, played.err
    verdict = played.verdict
    assert {check["name"] for check in verdict["checks"] if check["passed"]} >= MUST_PASS
    assert [check["name"] for check in verdict["checks"] if check["passed"] is False] == []
    assert verdict["replay"].startswith(f"identical over {verdict['steps']} steps")
    assert verdict["steps"] >= 6000
    assert (played.folder / "report.html").read_text().count("DEMO") > 0
    assert played.left == ()


@pytest.mark.parametrize("played", [FULL], indirect=True, ids=["60 s"])
def test_its_terminal_lines_say_demo_and_where_the_report_is(played: Played) -> None:
    lines = played.err.splitlines()
    assert all(line.startswith("DEMO ") for line in lines), lines
    assert sum("Hz" in line for line in lines) > 50, "one line a second"
    assert played.verdict["report"] == str(played.folder / "report.html")


# fmt: off
STOPPED = [
    # the play                                                       code  why
    (Play((), signal.SIGINT, "DEMO 1/", group=True),                 130,  "Ctrl-C in a terminal: all of the group hear it"),
    (Play((), signal.SIGTERM, "DEMO 1/"),                            143,  "kill, or the end of a CI job"),
    (Play((), signal.SIGINT, "DEMO starting the simulated"),         130,  "before anything listens"),
    (Play((), signal.SIGTERM, "DEMO starting telemetry"),            143,  "while half of it starts"),
    (Play(("--duration", "5"), signal.SIGINT, "DEMO stopping"),      130,  "while it stops already"),
    (Play((), signal.SIGKILL, "DEMO 1/"),                            -9,   "then each part sees that it is alone"),
]
# fmt: on


@pytest.mark.parametrize(("played", "code", "why"), STOPPED, indirect=["played"], ids=[c[-1] for c in STOPPED])
def test_stopped_in_the_middle_it_leaves_nothing_behind(played: Played, code: int, why: str) -> None:
    assert played.left == (), why
    assert played.code == code, played.err
    assert "Traceback" not in played.err


def test_a_stopped_run_has_a_journal_that_computes_to_equal_bits(demos: Demos) -> None:
    played = demos.of(STOPPED[1][0])
    done = v2g("replay", played.journal, cwd=played.folder)
    assert done.stdout.splitlines()[-1] == "identical", done.stdout + done.stderr
    assert done.returncode == 0
