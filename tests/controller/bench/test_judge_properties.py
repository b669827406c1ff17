"""What holds for any curve, any unit and any noise: the exact unit passes, and what leaves the window fails."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from controller.bench.accuracy import ENGINEERING, STANDARD
from controller.bench.judge import judge_case
from controller.bench.judgement import Verdict
from controller.bench.judgementfile import as_text
from controller.bench.plan import Case, Curve, Steady
from controller.bench.rule import allowed
from tests.controller.bench.golden import EUT
from tests.controller.bench.records import case, record, step
from tests.controller.bench.scenes import VOLT_VAR, q_of, settled, volt_var

ROOT = Path(__file__).parents[3]
VOLTS = st.floats(211.2, 264.0)
VARS = st.floats(-4400.0, 4400.0)
SEEDS = st.integers(0, 2**32 - 1)


@st.composite
def curves(draw: st.DrawFn) -> Curve:
    """Two to six points at least 2 V apart, rising, falling or turning."""
    xs = sorted(draw(st.lists(st.integers(105, 132), min_size=2, max_size=6, unique=True)))
    return Curve("v_v", tuple((2.0 * x, draw(VARS)) for x in xs))


def steps_of(curve: Curve, volts: list[float], t_r_s: float) -> Case:
    sample_s = t_r_s / 20.0
    rules = settled("q_var", curve, t_r_s)
    return case(*(step(f"s{n}", *rules, v_v=v, hold_s=4.0 * t_r_s, sample_s=sample_s) for n, v in enumerate(volts)))


@given(curves(), st.lists(VOLTS, min_size=1, max_size=4), st.sampled_from([0.5, 1.0, 5.0, 90.0]), SEEDS)
def test_exact_unit_passes(curve: Curve, volts: list[float], t_r_s: float, seed: int) -> None:
    of = steps_of(curve, volts, t_r_s)
    found = judge_case(of, EUT, record(of, q_of(curve, t_r_s=t_r_s), seed))
    assert (found.reasons, found.verdict) == ((), Verdict.PASS)


@given(curves(), VOLTS, st.sampled_from([-1.0, 1.0]), SEEDS)
def test_the_window_is_where_pass_becomes_fail(curve: Curve, v_v: float, way: float, seed: int) -> None:
    """All readings shifted to 5 var inside of a limit, and to 5 var outside."""
    of = case(step("s", Steady("q_var", (curve,), "both", 10.0, 20.0), v_v=v_v))
    taken = record(of, q_of(curve), seed)
    exact = judge_case(of, EUT, taken).checks[0]
    assert exact.standard is not None
    assert exact.y is not None
    limit = exact.standard.high if way > 0.0 else exact.standard.low
    assert limit is not None
    for beyond, verdict in ((-5.0, Verdict.PASS), (5.0, Verdict.FAIL)):
        samples = taken.samples.copy()
        samples["q_var"] += limit - exact.y + way * beyond
        assert judge_case(of, EUT, replace(taken, samples=samples)).verdict is verdict


@given(curves(), VOLTS)
def test_windows_hold_their_target_and_each_other(curve: Curve, v_v: float) -> None:
    wide, narrow = (allowed([curve], {"v_v": v_v}, EUT, "q_var", exact) for exact in (STANDARD, ENGINEERING))
    assert wide.low <= narrow.low <= narrow.target <= narrow.high <= wide.high
    assert wide.target == narrow.target
    turned = Curve("v_v", tuple((x, -y) for x, y in curve.points))
    mirror = allowed([turned], {"v_v": v_v}, EUT, "q_var", STANDARD)
    assert (mirror.low, mirror.high) == (-wide.high, -wide.low)


@settings(max_examples=20)
@given(curves(), st.lists(VOLTS, min_size=1, max_size=3), SEEDS)
def test_same_record_same_bytes(curve: Curve, volts: list[float], seed: int) -> None:
    of = steps_of(curve, volts, 1.0)
    texts = [as_text([judge_case(of, EUT, record(of, q_of(curve, t_r_s=1.0), seed))]) for _ in range(2)]
    assert texts[0] == texts[1]


JUDGE_ONE = """
import sys
from tests.controller.bench import scenes
from tests.controller.bench.golden import EUT
from tests.controller.bench.records import record
from controller.bench.judge import judge_case
from controller.bench.judgementfile import as_text
of = scenes.volt_var({"h": 248.4, "i": 252.0})
taken = record(of, scenes.q_of(scenes.VOLT_VAR))
sys.stdout.write(as_text([judge_case(of, EUT, taken)]))
"""


def test_same_bytes_in_another_process() -> None:
    """Another order of sets and dictionaries' hashes changes nothing."""
    texts = {
        subprocess.run(
            [sys.executable, "-c", JUDGE_ONE], cwd=ROOT, env={"PYTHONHASHSEED": seed}, check=True, capture_output=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(texts) == 1
    assert texts.pop().startswith(b'{\n "cases": [')


@settings(max_examples=20)
@given(SEEDS, SEEDS)
def test_another_record_other_bytes(one: int, other: int) -> None:
    """Or the test above could not fail."""
    assume(one != other)
    of = volt_var({"h": 248.4})
    texts = [as_text([judge_case(of, EUT, record(of, q_of(VOLT_VAR), seed))]) for seed in (one, other)]
    assert texts[0] != texts[1]


@pytest.mark.parametrize("n", [1, 2, 3])
def test_adding_a_curve_never_raises_the_target(n: int) -> None:
    flat = Curve("v_v", ((200.0, 1000.0 * n),))
    alone = allowed([VOLT_VAR], {"v_v": 224.4}, EUT, "q_var", STANDARD)
    both = allowed([VOLT_VAR, flat], {"v_v": 224.4}, EUT, "q_var", STANDARD)
    assert both.target == min(alone.target, 1000.0 * n)
    assert both.high - both.target == pytest.approx(alone.high - alone.target)
