"""`v2g commission`: what it needs before it begins, its words, its verdict. No device."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from controller import cli
from controller.commands.commission import card_of, question, told, uses_meter
from controller.commission import Commission, Shadow
from controller.errors import InputError
from controller.launch import in_force
from controller.lifetime import StopEvent, lock_folder
from controller.plantcard import NAME, CardTimer
from controller.pulse import Pulse, untested
from controller.site import load_site
from controller.telemetry.broker import free_port

NO_TIMER_MAP = "ambibox-ambicharge-home"
SITE = """\
schema: 1
name: house-7
start_mode: shadow
runtime_dir: {folder}/run
state_dir: {folder}/state
meter: {{map: eastron-sdm630, host: 127.0.0.1, port: {port}, location: {location}, phases: L1, timeout_ms: 50}}
inverter: {{map: sunspec-7xx, host: 127.0.0.1, port: {port}, unit: 2, timeout_ms: 50, reversion_s: 8}}
settings: {{rating: {{v_nom_v: 230, p_rated_w: 7000}}}}
"""


def site_file(folder: Path, location: str = "inverter") -> Path:
    path = folder / "site.yaml"
    path.write_text(SITE.format(folder=folder, port=free_port(), location=location))
    return path


def work(folder: Path) -> Commission:
    return Commission(load_site(site_file(folder)), StopEvent(), lambda _: None)


# ---- before it begins ----


def test_a_device_that_is_not_there_is_one_line_and_exit_3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["commission", str(site_file(tmp_path)), "--yes-move-power"]) == 3
    looking, line = capsys.readouterr().err.splitlines()
    assert looking.startswith("looking for the inverter at 127.0.0.1:")
    assert "127.0.0.1" in line


def test_beside_a_controller_it_does_not_begin(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with lock_folder(tmp_path / "run", "core") or pytest.fail("nobody else holds it"):
        assert cli.main(["commission", str(site_file(tmp_path))]) == 2
    assert "another controller of this site is running; stop it first" in capsys.readouterr().err


def test_a_folder_that_cannot_hold_the_card_is_told_before_anything_moves(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = site_file(tmp_path)
    (tmp_path / "state").write_text("a file where the folder should be")
    assert cli.main(["commission", str(site)]) == 2
    assert str(tmp_path / "state") in capsys.readouterr().err


@pytest.mark.parametrize("given", [[], ["a.yaml", "--site", "b.yaml"]], ids=["none", "two"])
def test_one_site_is_needed(given: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["commission", *given]) == 2
    assert "give one site file" in capsys.readouterr().err


# ---- the words ----


def test_the_question_says_what_will_happen(tmp_path: Path) -> None:
    text = " ".join(question(work(tmp_path)).split())
    for words in (
        "the inverter at 127.0.0.1:", "unit 2 (sunspec-7xx)", "give 200 W to the grid", "take 200 W from it",
        "its own timer acts (8 s, at most", "At the end, at Ctrl-C and at any fault it goes to 0 W",
        "control is handed back", "If its map is wrong it may move more, or the other way",
    ):  # fmt: skip
        assert words in text


# fmt: off
HOLDS = [
    # meter refresh, inverter lag and poll, ms   s      why
    (100,  500,   200,                           3.0,   "the shortest"),
    (1000, 500,   200,                           8.0,   "eight refreshes of a slow meter"),
    (100,  2000,  200,                           8.0,   "four lags"),
    (100,  500,   1000,                          8.0,   "eight states of a slow inverter"),
    (5000, 500,   200,                           30.0,  "the longest"),
]
# fmt: on


@pytest.mark.parametrize(("refresh_ms", "lag_ms", "poll_ms", "seconds", "why"), HOLDS, ids=[c[-1] for c in HOLDS])
def test_how_long_a_pulse_stands(
    refresh_ms: int, lag_ms: int, poll_ms: int, seconds: float, why: str, tmp_path: Path
) -> None:
    commission = work(tmp_path)
    meter = replace(commission.site.meter, refresh_ms=refresh_ms)
    inverter = replace(commission.site.inverter, lag_ms=lag_ms, poll_ms=poll_ms)
    commission.site = replace(commission.site, meter=meter, inverter=inverter)
    assert commission.hold_s == seconds


def test_an_inverter_without_a_timer_moves_nothing_unless_the_site_accepts_it(tmp_path: Path) -> None:
    """Its map says `timer: none`: killed in a pulse, this program would leave it at that power for ever."""
    commission = work(tmp_path)
    commission.need_timer()
    commission.site = replace(commission.site, inverter=replace(commission.site.inverter, map=NO_TIMER_MAP))
    with pytest.raises(InputError, match=f"no power is moved: map = {NO_TIMER_MAP} has no timer of its own"):
        commission.need_timer()
    commission.site = replace(commission.site, accepted=("no-own-timer",))
    commission.need_timer()


# ---- the verdict ----

GOOD = Pulse("discharge", commanded_w=200.0, inverter_w=199.0, meter_w=201.0, times_ms={"write_ms": 30.0})
BLIND = replace(GOOD, meter_judged=False)
WRONG = replace(GOOD, faults=("discharge: the inverter's power goes the wrong way round",))
OTHER = replace(GOOD, name="charge", commanded_w=-200.0, times_ms={"write_ms": 20.0})
NO_CHARGE = untested("charge", "the battery is full, empty or unknown")
NO_DISCHARGE = untested("discharge", "the battery is full, empty or unknown")
# fmt: off
VERDICTS = [
    # pulses                       meter          verdict    code  why
    ((GOOD, OTHER),                "inverter",    "passed",  0,    "both ways"),
    ((GOOD, NO_CHARGE),            "inverter",    "passed",  0,    "one way proves sign and scale"),
    ((NO_DISCHARGE, NO_CHARGE),    "inverter",    "open",    1,    "nothing is proven"),
    ((WRONG, NO_CHARGE),           "inverter",    "failed",  1,    "a fault"),
    ((BLIND, NO_CHARGE),           "connection",  "passed",  0,    "a power of the house that nobody uses"),
]
# fmt: on


@pytest.mark.parametrize(("pulses", "location", "verdict", "code", "why"), VERDICTS, ids=[c[-1] for c in VERDICTS])
def test_the_verdict(
    pulses: tuple[Pulse, ...], location: str, verdict: str, code: int, why: str, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    site = load_site(site_file(tmp_path, location))
    shadow = Shadow({"meter_poll_ms": 100.0}, "", 0.0, 0.5, 200.0)
    timer = CardTimer(result="zero", set_s=8.0, after_s=8.4)
    card = card_of(site, shadow, list(pulses), timer)
    assert card.verdict == verdict
    assert told(replace(site, card=card), as_json=False) == code
    said = capsys.readouterr()
    assert f"verdict: {verdict}; plant card: {tmp_path / 'state' / NAME}" in said.out
    assert "own timer: 0 W 8.4 s after the last write (set: 8 s)" in said.out
    assert said.err.splitlines() == list(card.faults)


def test_of_several_times_the_slowest_counts_and_says_how(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site = load_site(site_file(tmp_path))
    shadow = Shadow({"meter_poll_ms": 100.0}, "", 0.0, 0.5, 200.0)
    card = card_of(site, shadow, [GOOD, OTHER], CardTimer(result="zero"))
    assert told(replace(site, card=card), as_json=True) == 0
    times: dict[str, Any] = json.loads(capsys.readouterr().out)["times"]
    assert {name: found["ms"] for name, found in times.items()} == {"meter_poll_ms": 100.0, "write_ms": 30.0}
    assert times["write_ms"]["how"] == "longest time from a step's changed command to the acknowledged write"


def test_a_meter_at_the_connection_counts_where_its_limits_are_kept(tmp_path: Path) -> None:
    site = load_site(site_file(tmp_path, "connection"))
    assert not uses_meter(site)
    limits = replace(site.settings.site_limits, enable=True)
    assert uses_meter(replace(site, settings=replace(site.settings, site_limits=limits)))


# ---- start modes ----

# fmt: off
MODES = [
    # start_mode  --watch-only  in force   why
    ("demo",      False,        "demo",    "simulated"),
    ("demo",      True,         "demo",    "simulated all the same"),
    ("shadow",    False,        "shadow",  "as said"),
    ("live",      False,        "live",    "as said"),
    ("live",      True,         "shadow",  "who only watches is in shadow, in every frame and on every line"),
]
# fmt: on


@pytest.mark.parametrize(("mode", "watch_only", "expected", "why"), MODES, ids=[f"{c[0]} {c[1]}" for c in MODES])
def test_the_start_mode_in_force(mode: str, watch_only: bool, expected: str, why: str, tmp_path: Path) -> None:
    site = replace(load_site(site_file(tmp_path)), start_mode=mode)
    assert in_force(site, watch_only).start_mode == expected
