"""What the measurements read from others, and the work they hand to them. Nothing is timed."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from controller.journal import read_journal
from controller.replay import replay
from cython_core.bulk import STEP
from cython_core.records import Reason, State
from tests.performance import facts, run
from tests.performance.core_process import cpu_ns, mapped_bytes
from tests.performance.loop_lateness import samples_us
from tests.performance.loop_process import PERIOD_NS, waited_for, woken
from tests.performance.replay import ANSWER_STEPS, QUICK_STEPS, ordinary_day, outcome, record


def test_cyclictest_later_than_its_histogram_stands_as_its_end() -> None:
    thread = {"histogram": {"20000": 2, "35500": 1}, "cycles": 5}
    assert samples_us(thread) == [20.0, 20.0, 35.5, 1000.0, 1000.0]


def test_a_skipped_deadline_is_late_by_all_of_it() -> None:
    rows = np.zeros(3, dtype=STEP)
    rows["k"], rows["lateness_ns"] = (1, 3, 1), (40, 50, 60)
    assert waited_for(rows.tobytes()).tolist() == [40, 50 + 2 * PERIOD_NS, 60]


# fmt: off
WOKEN = [
    # late by, periods  next, periods  why
    (0.5,               1,             "in time for the next one"),
    (2.5,               3,             "two are skipped"),
    (-0.5,              1,             "too early is not late"),
]
# fmt: on


@pytest.mark.parametrize(("late", "periods", "why"), WOKEN, ids=[c[-1] for c in WOKEN])
def test_a_loop_in_python_skips_as_ours_does(
    monkeypatch: pytest.MonkeyPatch, late: float, periods: int, why: str
) -> None:
    noted = waited_for(b"")
    monkeypatch.setattr(time, "monotonic_ns", lambda: 10**9 + round(late * PERIOD_NS))
    assert woken(10**9, noted) == 10**9 + periods * PERIOD_NS, why
    assert noted.tolist() == [round(late * PERIOD_NS)]


# ---- replay ----


def test_the_day_that_is_replayed_is_an_ordinary_one(tmp_path: Path) -> None:
    record(tmp_path / "j.v2gj", QUICK_STEPS)
    result = replay(read_journal(tmp_path / "j.v2gj"), keep=True)
    rows = result.runs[0].records
    assert outcome(result) == (True, QUICK_STEPS)
    assert set(rows["state"]) == {int(State.IN_SERVICE)}
    assert np.mean(rows["reasons"] & int(Reason.DROOP) != 0) == pytest.approx(0.1, abs=0.02)
    held = rows["m_f_hz"][1:] == rows["m_f_hz"][:-1]
    assert np.mean(held) == pytest.approx(1.0 - 1.0 / ANSWER_STEPS, abs=0.01)
    assert len(set(rows["lateness_ns"])) > QUICK_STEPS / 2


def test_a_replay_that_differs_is_seen(tmp_path: Path) -> None:
    record(tmp_path / "j.v2gj", 200)
    journal = read_journal(tmp_path / "j.v2gj")
    journal.runs[0].info["settings"]["freq_droop"]["k_of"] = 0.03
    assert outcome(replay(journal)) == (False, 0)


def test_inputs_alone_are_in_the_day() -> None:
    rows = ordinary_day(20)
    assert not rows["p_cmd_w"].any()
    assert np.isfinite(rows["m_f_hz"]).all()


# ---- the machine ----


def test_mapped_bytes_are_what_the_kernel_calls_resident() -> None:
    status = Path(f"/proc/{os.getpid()}/status").read_text()
    resident = 1024 * int(status.partition("VmRSS:")[2].split()[0])
    mapped = mapped_bytes(os.getpid())
    assert sum(mapped.values()) == pytest.approx(resident, rel=0.05)
    assert any(name.endswith(".so") for name in mapped)


def test_cpu_time_is_that_of_all_threads() -> None:
    before, before_ns = time.process_time_ns(), cpu_ns(os.getpid())
    while time.process_time_ns() - before < 20_000_000:
        pass
    assert cpu_ns(os.getpid()) - before_ns == pytest.approx(time.process_time_ns() - before, rel=0.2)


@pytest.mark.parametrize("ticks", [[0] * 10, [0, 0, 0, 0, 0, 0, 0, 0, 90, 90]], ids=["nothing passed", "guests"])
def test_nothing_was_stolen(monkeypatch: pytest.MonkeyPatch, ticks: list[int]) -> None:
    assert stolen_percent(monkeypatch, ticks) == 0.0


def test_a_tenth_was_stolen(monkeypatch: pytest.MonkeyPatch) -> None:
    assert stolen_percent(monkeypatch, [50, 0, 10, 30, 0, 0, 0, 10, 50, 0]) == 10.0


def stolen_percent(monkeypatch: pytest.MonkeyPatch, passed: list[int]) -> float:
    answers = iter([[7] * 10, [7 + n for n in passed]])
    monkeypatch.setattr(facts, "ticks", lambda _: next(answers))
    with facts.stolen(0) as into:
        pass
    return float(into["stolen_percent"])


def test_facts_name_this_run() -> None:
    told = facts.facts(["--quick"], quick=True)
    assert told["command"] == "python -m tests.performance --quick"
    assert all(isinstance(value, str) and value for value in told.values())


@pytest.mark.parametrize("module", run.modules().values(), ids=list(run.modules()))
def test_every_measurement_can_be_set_up(module: object) -> None:
    """Their contestants and gates, not one of them run."""
    measurements: Callable[[bool], tuple[object, ...]] = module.measurements  # type: ignore[attr-defined]
    assert measurements(True)
