"""Skipped grid points: one step of k periods leaves the same state as k steps with the same inputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cython_core.records import NAN, Reason, Stop
from tests.cython_core.unit import Unit, reasons, running

STATE = ("dp_w", "q_lag_var", "p_lo_w", "p_hi_w", "p_pre_w", "p_freq_w", "p_cmd_w", "q_cmd_var")
VV = {"olrt_s": 2.0}
DROOP = {"t_response_s": 1.0}


def drooping() -> Unit:
    unit = running(2000.0, volt_var=VV, freq_droop=DROOP)
    unit.advance(0.5, f_hz=60.5)
    return unit


def ramping() -> Unit:
    unit = running(0.0)
    unit.wish(8000.0)
    unit.advance(0.5)
    return unit


def recovering() -> Unit:
    unit = running(6000.0)
    unit.advance(1.0, said={"p_max_discharge_w": 0.0})
    unit.step(said={})
    return unit


def limited() -> Unit:
    unit = running(8000.0, active_limit={"ramp_time_s": 20.0})
    unit.advance(1.0, ap_limit=0.2)
    return unit


# fmt: off
FROM = [
    # before       inputs                     why
    (drooping,     {"f_hz": 60.5},            "the droop's lag"),
    (drooping,     {"f_hz": 60.0},            "the droop's way back"),
    (drooping,     {"v_v": (241.5,)},         "the volt-var's lag, beside the droop's"),
    (ramping,      {},                        "the ramp of a wish"),
    (ramping,      {"stop": Stop.RAMP},       "the ramp to a stop"),
    (ramping,      {"soc": NAN},              "the span closing on an unknown battery"),
    (recovering,   {},                        "the span opening again"),
    (limited,      {"ap_limit": 0.2},         "the ramp of the active power limit"),
]
# fmt: on


@pytest.mark.parametrize("k", [2, 3, 10, 37])
@pytest.mark.parametrize(("before", "inputs", "why"), FROM, ids=[c[-1] for c in FROM])
def test_k_periods_at_once(before: Callable[[], Unit], inputs: dict[str, Any], why: str, k: int) -> None:
    each, once = before(), before()
    for unit in (each, once):
        unit.step(**inputs)
    for _ in range(k):
        each.step()
    once.step(k=k)
    assert once.t_ns == each.t_ns
    for name in STATE:
        got, want = getattr(once.last, name), getattr(each.last, name)
        assert got == pytest.approx(want, abs=1e-8), f"{why}: {name}"  # 1e-12 of the rating


def test_a_stale_signals_way_back_skips_alike() -> None:
    each, once = drooping(), drooping()
    for unit in (each, once):
        unit.advance(1.1, f_hz=NAN)
    each.advance(0.1)
    once.step(k=10)
    assert once.last.dp_w == pytest.approx(each.last.dp_w, abs=1e-8)
    assert once.last.p_cmd_w == pytest.approx(each.last.p_cmd_w, abs=1e-8)


def test_skipped_points_are_counted_and_named() -> None:
    unit = running(0.0)
    before = unit.last.skipped
    n = unit.last.n
    records = [unit.step(k=k) for k in (1, 3, 1, 10)]
    assert [r.skipped - before for r in records] == [0, 2, 2, 11]
    assert [r.k for r in records] == [1, 3, 1, 10]
    assert [bool(reasons(r) & Reason.SKIPPED) for r in records] == [False, True, False, True]
    assert [r.n - n for r in records] == [1, 2, 3, 4]  # n has no holes


@pytest.mark.parametrize("k", [65_535, 65_536, 10**9])
def test_a_very_long_gap_leaves_nothing_of_a_lag(k: int) -> None:
    unit = drooping()
    record = unit.step(k=k)
    assert record.dp_w == pytest.approx(record.dp_target_w, abs=1e-9)
