"""Measured frequencies of two real grids, in real time: sign, slope and dead band on every sample, from the journal.

The formula is stated here once more, in plain numbers (IEEE 1547-2018, 6.5.2.7): outside the dead band
dP = -(f - f_nom -+ db) / (f_nom x k) of rated power, 0 inside it. The records are those of `v2g replay`: inputs from
the journal, computed again to equal bits.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from controller.journal import read_journal
from controller.replay import replay
from cython_core.records import Freshness, Reason, State
from drivers.sim.bar import Bar
from tests.faults.demos import SHARED, Demos, Play
from tests.faults.rig import P_RATED_W, Records, Rig
from tests.need import missing

K = 0.05
EXACT_W = 1e-6
SECONDS, QUIET_S, FEWER_S = 60, 30, 40
LEAD_S = 2  # from nominal, where the unit starts, to the first row of a trace
US, US_FROM_S = SHARED / "us_day_00-06h_1s.csv", 19905  # 47 % of the samples below the dead band of 36 mHz
IBERIA, IBERIA_FROM_S = SHARED / "iberia_2025-04-28_1100-1200_toledo_2s.csv", 1784  # -20 ... +24 mHz in 40 s


def demo(trace: Path, start_s: int, seconds: int) -> Play:
    return Play(("--trace", str(trace), "--start", str(start_s), "--duration", str(seconds)))


def need(trace: Path) -> None:
    if not trace.exists():
        missing(f"the trace {trace.name}", "it is not ours to copy: lay it into ../shared/data beside the project")


def formula_w(f_hz: float, f_nom_hz: float, dead_band_hz: float) -> float:
    """What the standard asks for at one frequency."""
    off_hz = f_hz - f_nom_hz
    if off_hz > dead_band_hz:
        return -(off_hz - dead_band_hz) / (f_nom_hz * K) * P_RATED_W
    if off_hz < -dead_band_hz:
        return (-off_hz - dead_band_hz) / (f_nom_hz * K) * P_RATED_W
    return 0.0


def from_journal(path: Path) -> Records:
    """Every step of the one run in it, in service."""
    found = replay(read_journal(path), keep=True)
    assert found.identical
    (run,) = found.runs
    records: Records = run.records[run.records["state"] == State.IN_SERVICE]
    return records


def assert_formula(records: Records, f_nom_hz: float, dead_band_hz: float, seconds: int) -> Records:
    """On every step with a fresh frequency; a missing answer must be the wait for a second reading. -> those steps."""
    fresh: Records = records[(records["fresh_f"] == Freshness.FRESH) & (records["reasons"] & Reason.STOP == 0)]
    assert len(fresh) > 0.9 * seconds * 100, "nearly every step has a fresh frequency"
    expected_w = np.array([formula_w(f, f_nom_hz, dead_band_hz) for f in fresh["m_f_hz"].tolist()])
    waiting = fresh["reasons"] & Reason.DROOP_WAITING != 0
    wrong = np.abs(fresh["dp_target_w"] - expected_w) > EXACT_W
    assert not np.any(wrong & ~waiting), fresh["n"][wrong & ~waiting][:5]
    assert np.all(fresh["dp_target_w"][waiting] == 0.0), "nothing before the second reading"
    assert longest_wait(fresh, waiting) <= 5, "two readings 0.1 s apart, at a poll of 50 ms"
    answering = np.abs(fresh["dp_target_w"]) > 0.0
    off_hz = fresh["m_f_hz"] - f_nom_hz
    assert np.all(np.sign(fresh["dp_target_w"])[answering] == -np.sign(off_hz)[answering]), "low frequency: export more"
    assert not np.any(answering & (np.abs(off_hz) <= dead_band_hz)), "the dead band is dead"
    return fresh


def longest_wait(records: Records, waiting: NDArray[np.bool_]) -> int:
    """The most distinct readings within one unbroken wait."""
    longest, seen = 0, set[int]()
    for t_ns, waits in zip(records["m_t_f_ns"].tolist(), waiting.tolist(), strict=True):
        seen = seen | {t_ns} if waits else set()
        longest = max(longest, len(seen))
    return longest


def assert_is_the_trace(records: Records, bar: Path, trace: Path, start_s: int, seconds: int, lead_s: int = 0) -> None:
    """What the meter read is what the file says of that moment: within its noise and half a second of its slope."""
    with trace.open() as file:
        rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
    t_s, f_hz = (np.array([float(row[c]) for row in rows]) for c in ("t_s", "f_hz"))
    at_s = records["m_t_f_ns"] * 1e-9 - Bar(bar).get("play_s") - lead_s + start_s
    inside = (at_s > start_s + 1) & (at_s < start_s + seconds - 1)
    assert inside.sum() > 0.9 * (seconds - 2) * 100
    steepest_hz_s = np.max(np.abs(np.diff(f_hz) / np.diff(t_s)))
    off_hz = records["m_f_hz"][inside] - np.interp(at_s[inside], t_s, f_hz)
    assert np.max(np.abs(off_hz)) < 0.0025 + 0.5 * steepest_hz_s
    assert abs(np.mean(off_hz)) < 0.001


# fmt: off
DEMOS = [
    # trace  from s          lasts    f_nom  dead band  share of samples outside it  why
    (US,     US_FROM_S,      SECONDS, 60.0,  0.036,     (0.2, 0.8),  "60 Hz: half a minute of under-frequency"),
    (IBERIA, IBERIA_FROM_S,  QUIET_S, 50.0,  0.2,       (0.0, 0.0),  "50 Hz: a quiet hour stays inside 200 mHz"),
]
# fmt: on


@pytest.mark.parametrize(
    ("played", "trace", "start_s", "seconds", "f_nom_hz", "dead_band_hz", "outside", "why"),
    [(demo(*c[:3]), *c) for c in DEMOS],
    ids=[c[-1] for c in DEMOS],
)
def test_every_sample_of_a_demonstration(
    demos: Demos, played: Play, trace: Path, start_s: int, seconds: int, f_nom_hz: float, dead_band_hz: float,
    outside: tuple[float, float], why: str,
) -> None:  # fmt: skip
    need(trace)
    run = demos.of(played)
    assert run.code == 0, run.err
    records = from_journal(run.journal)
    fresh = assert_formula(records, f_nom_hz, dead_band_hz, seconds)
    share = float(np.mean(np.abs(fresh["m_f_hz"] - f_nom_hz) > dead_band_hz))
    assert outside[0] <= share <= outside[1], why
    assert_is_the_trace(records, run.folder / "grid.bar", trace, start_s, seconds)
    assert run.left == ()


@pytest.mark.nightly
def test_every_sample_of_the_iberian_grid_with_the_narrowest_dead_band(tmp_path: Path) -> None:
    """17 mHz is the narrowest that the standard allows: these 40 s leave it on both sides."""
    need(IBERIA)
    lines = [line for line in IBERIA.read_text().splitlines() if not line.startswith("#")]
    rows = [row for row in csv.DictReader(lines) if 0 <= float(row["t_s"]) - IBERIA_FROM_S <= FEWER_S]
    played = [f"{float(row['t_s']) - IBERIA_FROM_S + LEAD_S:g},{row['f_hz']}" for row in rows]
    text = "\n".join(["t_s,f_hz", "0,50", *played])
    with Rig(tmp_path / "rig", text, profile="50hz-droop", v_nom_v=230, dead_band_hz=0.017) as rig:
        rig.start("grid", "meter", "inverter", "telemetry", "controller")
        rig.play()
        rig.wait_for(lambda: len(rig.records()) and rig.bar.get("ended"), FEWER_S + 10.0, "the end of the trace")
        bar = rig.folder / "bar"
        rig.stop("controller")
        rig.stop("telemetry")
        records = from_journal(rig.folder / "state" / "journal.v2gj")
        fresh = assert_formula(records, 50.0, 0.017, FEWER_S)
        for side in (-1, 1):
            assert np.mean(side * fresh["dp_target_w"] > 0.0) > 0.1, "both sides are answered"
        assert_is_the_trace(records, bar, IBERIA, IBERIA_FROM_S, FEWER_S, LEAD_S)
