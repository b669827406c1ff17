"""Every check of a soak on samples and steps made by hand: it passes what is right and names what is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from cython_core.bulk import STEP
from tests.soak.checks import (
    Age,
    Sample,
    count_grows,
    drifts,
    fitted_growth,
    gaps,
    jump,
    lateness_out_of_range,
    losses,
    memory_grows,
    off_the_grid,
)

PERIOD_NS = 10_000_000
MIB = 2**20
HOUR = [float(t) for t in range(3600)]


# ---- memory ----


def samples(rss: Callable[[float], float], fds: Callable[[float], int] = lambda _: 9) -> list[Sample]:
    """One a second for an hour."""
    return [Sample(t, round(rss(t)), round(rss(t)), fds(t), 4, 0.0) for t in HOUR]


def noise(t: float) -> float:
    """Of a tenth of a MiB, the same in every run."""
    return (t * 7919 % 1000 / 1000 - 0.5) * 0.1 * MIB


# fmt: off
MEMORY = [
    # bytes over seconds                                          grows   why
    (lambda _: 20 * MIB,                                          False,  "flat"),
    (lambda t: 20 * MIB + noise(t),                               False,  "flat with noise"),
    (lambda t: 20 * MIB + 0.3 * MIB * t / 3600,                   False,  "1.5 % in the hour: within the bound"),
    (lambda t: 20 * MIB + 0.5 * MIB * t / 3600 + noise(t),        True,   "2.5 % in the hour under noise: a leak"),
    (lambda t: 20 * MIB + 0.5 * MIB * (t > 2400),                 True,   "one step that stays, late"),
    (lambda t: 20 * MIB + 0.5 * MIB * (t > 600),                  True,   "one step that stays, early"),
    (lambda t: 20 * MIB + 9 * MIB * (1700 < t < 1800),            False,  "a hill that goes away"),
    (lambda t: 20 * MIB - 1 * MIB * t / 3600,                     False,  "shrinking is no leak"),
]
# fmt: on


@pytest.mark.parametrize(("rss", "grows", "why"), MEMORY, ids=[c[-1] for c in MEMORY])
def test_memory(rss: Callable[[float], float], grows: bool, why: str) -> None:
    found = memory_grows(samples(rss), "RSS", lambda s: s.rss_bytes)
    assert bool(found) == grows, why
    assert all(line.startswith("RSS: grew 1.0") and line.endswith("in 3599 s") for line in found)


def test_the_fit_is_the_line_and_odd_samples_do_not_move_it() -> None:
    line = [100.0 + t / 36.0 for t in HOUR]  # 100 ... 200
    assert fitted_growth(HOUR, line) == pytest.approx(2.0, rel=0.02)
    odd = [1e6 if i % 600 < 60 else y for i, y in enumerate(line)]  # a tenth of them
    assert fitted_growth(HOUR, odd) == pytest.approx(2.0, rel=0.02)
    assert fitted_growth([1.0], [5.0]) == 1.0


def test_the_jump_compares_the_ends() -> None:
    assert jump([1.0] * 50 + [3.0] * 50) == 3.0
    assert jump([2.0]) == 1.0


@pytest.mark.parametrize("check", [memory_grows, count_grows])
def test_no_samples_are_no_proof(check: Callable[..., list[str]]) -> None:
    (line,) = check([], "RSS", lambda s: s.rss_bytes)
    assert line.endswith("after the warm-up; run longer")


# fmt: off
COUNTS = [
    # descriptors over seconds                     grows  why
    (lambda _: 9,                                  None,  "always the same"),
    (lambda t: 10 - (t % 20 < 3),                  None,  "a connection that goes and comes"),
    (lambda t: 9 + int(t // 900),                  (9, 12), "one more each quarter of an hour"),
    (lambda t: 9 + (t > 1000),                     (9, 10), "one more, early, that stays"),
    (lambda t: 9 + (t > 3500),                     (9, 10), "one more in the last minutes"),
    (lambda t: 9 + (t > 3590),                     None,  "one more for a few seconds"),
    (lambda t: 12 - int(t // 900),                 None,  "fewer"),
]
# fmt: on


@pytest.mark.parametrize(("fds", "grows", "why"), COUNTS, ids=[c[-1] for c in COUNTS])
def test_counts(fds: Callable[[float], int], grows: tuple[int, int] | None, why: str) -> None:
    found = count_grows(samples(lambda _: MIB, fds), "descriptors", lambda s: s.fds)
    line = "descriptors: {} in the first quarter of the run, {} in the last"
    assert found == ([] if grows is None else [line.format(*grows)]), why


# ---- steps ----


def rows(n: int, *changes: tuple[int, str, int], first: int = 100) -> Any:
    """n steps on the grid from step `first`, none skipped; changes: (index, field, value)."""
    steps = np.zeros(n, STEP)
    steps["n"] = np.arange(first, first + n)
    steps["t_ns"] = 5_000_000_123 + PERIOD_NS * np.arange(n)
    steps["k"], steps["lateness_ns"] = 1, 60_000
    for i, name, value in changes:
        steps[name][i] = value
    return steps


def skipping(steps: Any, at: int, points: int) -> Any:
    """The same, but before step `at` so many grid points were skipped."""
    steps["k"][at] = 1 + points
    steps["skipped"][at:] += points
    steps["t_ns"][at:] += points * PERIOD_NS
    return steps


def test_steps_on_the_grid_pass_every_check() -> None:
    good = skipping(skipping(rows(50), 10, 3), 30, 1)
    assert off_the_grid(good, good[0], PERIOD_NS) == []
    assert gaps(good, None) == gaps(good[20:], good[19]) == []
    assert lateness_out_of_range(good, PERIOD_NS) == []
    assert off_the_grid(good[40:], good[0], PERIOD_NS) == []  # the grid of the first step of all


# fmt: off
OFF = [
    # steps                                   lines                                     why
    (rows(5, (2, "t_ns", 5_020_000_124)),     ["step 102: 1 ns off the grid"],          "a nanosecond"),
    (rows(5, (2, "t_ns", 5_019_999_123)),     ["step 102: -1000 ns off the grid"],      "early"),
    (rows(3, (2, "skipped", 1)),              ["step 102: -10000000 ns off the grid"],  "counted, not skipped"),
    (rows(3, (2, "t_ns", 5_030_000_123)),     ["step 102: 10000000 ns off the grid"],   "skipped, not counted"),
]
GAPS = [
    (rows(4, (2, "n", 103), (3, "n", 104)),   ["step 103 follows step 101"],            "one is missing"),
    (rows(3, (2, "n", 101)),                  ["step 101 follows step 101"],            "one came twice"),
    (rows(3, (1, "k", 3)),
     ["step 101: k = 3, but 0 skipped grid points were counted"],                       "k without a count"),
    (rows(3, (1, "skipped", 2), (2, "skipped", 2)),
     ["step 101: k = 1, but 2 skipped grid points were counted"],                       "a count without k"),
]
LATE = [
    (rows(3, (1, "lateness_ns", -1)),
     ["step 101: lateness -1 ns is outside 0 ... 10000000 ns"],                         "before its time"),
    (rows(3, (1, "lateness_ns", PERIOD_NS)),
     ["step 101: lateness 10000000 ns is outside 0 ... 10000000 ns"],                   "this is a skip"),
]
# fmt: on


@pytest.mark.parametrize(("steps", "lines", "why"), OFF, ids=[c[-1] for c in OFF])
def test_off_the_grid(steps: Any, lines: list[str], why: str) -> None:
    assert off_the_grid(steps, steps[0], PERIOD_NS) == lines, why


@pytest.mark.parametrize(("steps", "lines", "why"), GAPS, ids=[c[-1] for c in GAPS])
def test_gaps(steps: Any, lines: list[str], why: str) -> None:
    assert gaps(steps, None) == lines, why


def test_a_gap_between_two_looks() -> None:
    steps = rows(10)
    assert gaps(steps[6:], steps[4]) == ["step 106 follows step 104"]


@pytest.mark.parametrize(("steps", "lines", "why"), LATE, ids=[c[-1] for c in LATE])
def test_lateness(steps: Any, lines: list[str], why: str) -> None:
    assert lateness_out_of_range(steps, PERIOD_NS) == lines, why


def test_losses() -> None:
    assert losses(0, 500) == []
    assert losses(7, 500) == ["7 steps before step 500 were overwritten, though this reader keeps up"]


# ---- grid against the clock ----


def ages(*ms: float) -> list[Age]:
    """240 looks a minute; one minute for each number, which is its youngest; the others 1 ms more each."""
    return [Age(60.0 * m + 0.25 * i, round((low + i) * 1e6)) for m, low in enumerate(ms) for i in range(240)]


# fmt: off
CLOCK = [
    # ages                         lines                                                     why
    (ages(0.1, 0.1, 0.1),          [],                                                       "on the clock"),
    (ages(0.0, 9.9),               [],                                                       "the edges"),
    (ages(0.1, 10.0),
     ["from 60 s: the grid is 10000000 ns behind the clock for 60 s"],                       "behind"),
    ([Age(1.0, -1), *ages(0.1)],   ["1.0 s: a step is there 1 ns before its grid time"],     "ahead"),
    (ages(50.0)[:19],              [],                                                       "too few to say"),
    ([],                           [],                                                       "none"),
]
# fmt: on


@pytest.mark.parametrize(("seen", "lines", "why"), CLOCK, ids=[c[-1] for c in CLOCK])
def test_drift(seen: list[Age], lines: list[str], why: str) -> None:
    assert drifts(seen, PERIOD_NS) == lines, why
