"""The harness on a clock that only the contestants move: ratios by pencil, a missed gate, outputs that differ."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.performance import __main__ as command
from tests.performance import run
from tests.performance.harness import (
    MOST_RUNS,
    Absent,
    Contestant,
    Gate,
    HarnessError,
    Measurement,
    Row,
    Verdict,
    failed,
    measure,
    percentile,
    settled,
)
from tests.performance.plots import draw
from tests.performance.table import BEGIN, END, as_json, markdown, put_between, table


class Time:
    """A clock, and who moved it."""

    def __init__(self) -> None:
        self.now_ns = 0
        self.log: list[str] = []

    def __call__(self) -> int:
        return self.now_ns

    def contestant(
        self, name: str, cost_ns: Sequence[int] | int, answer: Any = "the same", units: int = 1, start_ns: int = 0
    ) -> Contestant:
        """A run takes cost_ns of this clock (a sequence: one run after another, then the last for ever)."""
        costs = [cost_ns] if isinstance(cost_ns, int) else list(cost_ns)

        def work() -> Any:
            self.log.append(name)
            self.now_ns += costs.pop(0) if len(costs) > 1 else costs[0]
            return answer

        def start() -> Callable[[], Any]:
            self.now_ns += start_ns
            return work

        return Contestant(name, units, start)


def quietly(m: Measurement, time: Callable[[], int], slice_ns: int = 1, **more: Any) -> list[Row]:
    return measure(m, slice_ns=slice_ns, clock=time, tidy=lambda: None, **more)


def one_gate(time: Time, theirs: Contestant | Absent, ours: Contestant, **gate: Any) -> Row:
    limits = {"gate": 100.0, "aim": 200.0, **gate}
    m = Measurement("m", "ns/step", (theirs, ours), (Gate(theirs.name, ours.name, **limits),))
    return quietly(m, time)[0]


# fmt: off
VERDICTS = [
    # theirs  ours  at most  gate   aim    verdict          why
    (20000,   100,  False,   100,   200,   Verdict.AIM,     "200: the aim itself is reached"),
    (19999,   100,  False,   100,   200,   Verdict.OK,      "just below the aim"),
    (10000,   100,  False,   100,   200,   Verdict.OK,      "100: the gate itself holds"),
    (9999,    100,  False,   100,   200,   Verdict.MISSED,  "just below the gate"),
    (80,      100,  True,    1.0,   0.8,   Verdict.AIM,     "at most: 0.8 is the aim"),
    (81,      100,  True,    1.0,   0.8,   Verdict.OK,      "at most: between aim and gate"),
    (100,     100,  True,    1.0,   0.8,   Verdict.OK,      "at most: equal holds"),
    (101,     100,  True,    1.0,   0.8,   Verdict.MISSED,  "at most: just above the gate"),
]
# fmt: on


@pytest.mark.parametrize(("theirs", "ours", "at_most", "gate", "aim", "verdict", "why"), VERDICTS)
def test_verdicts(theirs: int, ours: int, at_most: bool, gate: float, aim: float, verdict: Verdict, why: str) -> None:
    time = Time()
    row = one_gate(time, time.contestant("a", theirs), time.contestant("b", ours), gate=gate, aim=aim, at_most=at_most)
    assert (row.verdict, row.ratio) == (verdict, theirs / ours), why
    assert failed(row, on_ci=False) == (verdict is Verdict.MISSED)


def test_cost_is_that_of_one_unit() -> None:
    time = Time()
    row = one_gate(time, time.contestant("a", 6000, units=2), time.contestant("b", 60, units=3))
    assert row.over is not None
    assert row.under is not None
    assert (row.over.p50, row.under.p50, row.ratio) == (3000.0, 20.0, 150.0)


def test_getting_ready_costs_nothing() -> None:
    time = Time()
    row = one_gate(time, time.contestant("a", 15000, start_ns=77), time.contestant("b", 100, start_ns=10**6))
    assert row.ratio == 150.0


# the first two runs of each are for the outputs and the length of a slice; then one run a round
# fmt: off
DISTURBED = [
    # ours, five rounds               ratio  verdict          why
    ([100, 100, 100, 100, 100],       150.0, Verdict.OK,      "quiet"),
    ([100, 9000, 100, 9000, 100],     150.0, Verdict.OK,      "two of five rounds disturbed: the median does not move"),
    ([300, 9000, 100, 300, 100],      50.0,  Verdict.MISSED,  "three of five: it does"),
]
# fmt: on


@pytest.mark.parametrize(("ours", "ratio", "verdict", "why"), DISTURBED, ids=[c[-1] for c in DISTURBED])
def test_the_median_round_is_gated(ours: list[int], ratio: float, verdict: Verdict, why: str) -> None:
    time = Time()
    row = one_gate(time, time.contestant("a", 15000), time.contestant("b", [1, 1, *ours]))
    assert (row.ratio, row.verdict, len(row.ratios)) == (ratio, verdict, 5)


def test_a_machine_that_gets_slower_slows_both() -> None:
    """Ratios are formed within a round: costs that grow from 1 to 5 times leave every ratio where it is."""
    time = Time()
    grows = [1, 1, *range(1, 6)]
    theirs = time.contestant("a", [15000 * g for g in grows])
    row = one_gate(time, theirs, time.contestant("b", [100 * g for g in grows]))
    assert row.ratios == (150.0,) * 5
    assert row.under is not None
    assert row.under.p50 == 300.0


def test_slices_are_interleaved_and_each_round_begins_with_another() -> None:
    time = Time()
    one_gate(time, time.contestant("a", 15000), time.contestant("b", 100))
    assert "".join(time.log[4:]) == "abbaabbaab"


def test_a_slice_repeats_a_short_run_until_it_is_long_enough() -> None:
    time = Time()
    gates = (Gate("a", "b", 1, 1),)
    m = Measurement("m", "ns", (time.contestant("a", 3000), time.contestant("b", 40)), gates)
    quietly(m, time, slice_ns=1000)
    assert (time.log.count("a"), time.log.count("b")) == (2 + 5, 2 + 5 * 25)


def test_a_slice_has_an_end() -> None:
    time = Time()
    free = Contestant("free", 1, lambda: lambda: None, samples=lambda _: [1.0])
    gates = (Gate("a", "free", 1, 1),)
    m = Measurement("m", "ns", (time.contestant("a", 3, answer=None), free), gates)
    rows = quietly(m, time, slice_ns=MOST_RUNS + 1)
    assert rows[0].ratio == 3.0


# fmt: off
DIFFERENT = [
    # theirs        ours           note                                why
    ([1, 2, 3],     [1, 2, 4],     "output 2: 3 and 4",                "the first place is named"),
    ([1, 2],        [1, 2, 3],     "[1, 2] and [1, 2, 3]",             "another length"),
    (1.0,           1.0 + 2**-52,  "1.0 and 1.0000000000000002",       "one bit"),
]
# fmt: on


@pytest.mark.parametrize(("theirs", "ours", "note", "why"), DIFFERENT, ids=[c[-1] for c in DIFFERENT])
def test_outputs_that_differ_fail_before_any_timing(theirs: Any, ours: Any, note: str, why: str) -> None:
    time = Time()
    row = one_gate(time, time.contestant("a", 10**6, theirs), time.contestant("b", 1, ours))
    assert (row.verdict, row.note, row.ratios, row.over) == (Verdict.DIFFERS, note, (), None)
    assert time.log == ["a", "b"]  # once each, for the outputs
    assert failed(row, on_ci=False)


def test_a_measurement_says_what_is_near_enough() -> None:
    def near(a: float, b: float) -> str:
        return "" if abs(a - b) <= 0.5 else "too far"

    time = Time()
    theirs, far = time.contestant("a", 20000, 1.0), time.contestant("c", 20000, 3.0)
    m = Measurement(
        "m",
        "ns",
        (theirs, time.contestant("b", 100, 1.4), far),
        (Gate("a", "b", 100, 200, differ=near), Gate("c", "b", 100, 200, differ=near)),
    )
    rows = quietly(m, time)
    assert [(r.verdict, r.note) for r in rows] == [(Verdict.AIM, ""), (Verdict.DIFFERS, "too far")]
    assert time.log.count("c") == 1  # the one that disagrees is not timed; the other gate is judged


def test_a_contestant_that_is_not_here_is_said_and_fails_on_ci() -> None:
    time = Time()
    row = one_gate(time, Absent("a", "pip install a"), time.contestant("b", 100))
    assert (row.verdict, row.note, row.ratios) == (Verdict.ABSENT, "a is not here: pip install a", ())
    assert row.under is not None
    assert row.under.p50 == 100.0  # what can be measured is
    assert (failed(row, on_ci=False), failed(row, on_ci=True)) == (False, True)


def test_a_contestant_may_measure_itself_and_p99_is_not_gated() -> None:
    """Latencies in microseconds instead of the clock: 98 of 100 are 2 us, two are 1000."""
    slow = Contestant("a", 100, lambda: lambda: [2.0] * 98 + [1000.0] * 2, lambda _: None, lambda r: r)
    even = Contestant("b", 100, lambda: lambda: [2.0] * 100, lambda _: None, lambda r: r)
    m = Measurement("m", "us", (slow, even), (Gate("a", "b", 1.1, 1.0, at_most=True),))
    row = quietly(m, Time())[0]
    assert row.over is not None
    assert (row.over.p50, row.over.p99, row.ratio, row.verdict) == (2.0, 1000.0, 1.0, Verdict.AIM)


def test_percentile_is_a_sample_that_so_many_do_not_exceed() -> None:
    assert percentile([float(n) for n in range(1, 101)], 0.99) == 99.0
    assert percentile([5.0, 7.0], 0.99) == 7.0


def gated(over: str, under: str, rounds: int = 5) -> Measurement:
    time = Time()
    sides = (time.contestant("a", 1), time.contestant("b", 1))
    return Measurement("m", "ns", sides, (Gate(over, under, 1, 1),), rounds=rounds)


# fmt: off
WRONG = [
    # measurement         message                                         why
    (gated("a", "x"),     "m: a gate names 'x'; its contestants: a, b",   "unknown contestant"),
    (gated("a", "b", 4),  "m: 4 rounds; a median needs at least 5",       "too few rounds"),
    (gated("a", "b"),     "m: a: a cost is not above 0",                  "a clock that stands still"),
]
# fmt: on


@pytest.mark.parametrize(("m", "message", "why"), WRONG, ids=[c[-1] for c in WRONG])
def test_a_measurement_that_is_wrong_is_refused(m: Measurement, message: str, why: str) -> None:
    with pytest.raises(HarnessError, match=message):
        quietly(m, lambda: 0)


def test_one_that_measures_itself_runs_once_a_round_and_is_not_warmed_up() -> None:
    """It tells its outputs with its samples, or none at all: then it has no run but the rounds."""
    time = Time()
    silent = replace(time.contestant("a", 1), outputs=None, samples=lambda _: [2.0])
    told = replace(time.contestant("b", 1), samples=lambda _: [1.0])
    quietly(Measurement("m", "us", (silent, told), (Gate("a", "b", differ=lambda *_: ""),)), time, slice_ns=10**9)
    assert (time.log.count("a"), time.log.count("b")) == (5, 5 + 1)


@pytest.mark.parametrize(("samples", "p999"), [(199, math.nan), (200, 999.0)], ids=["995", "1000"])
def test_p999_needs_a_thousand_samples(samples: int, p999: float) -> None:
    """Five rounds; the largest of each are 996 ... 1000: one in a thousand is beyond 999."""
    rounds = iter(range(996, 1001))
    own = Contestant("a", 1, lambda: lambda: [1.0] * (samples - 1) + [float(next(rounds))], None, list)
    other = Contestant("b", 1, lambda: lambda: [1.0], None, list)
    row = quietly(Measurement("m", "us", (own, other), (Gate("a", "b"),)), Time())[0]
    assert row.over is not None
    assert row.over.p999 == pytest.approx(p999, nan_ok=True)


def test_what_runs_beside_a_measurement_runs_for_all_of_it_and_ends() -> None:
    time = Time()

    @contextmanager
    def around() -> Iterator[None]:
        time.log.append("begin")
        try:
            yield
        finally:
            time.log.append("end")

    sides = tuple(replace(time.contestant(n, 1), outputs=None, samples=lambda _: [1.0]) for n in "ab")
    quietly(Measurement("m", "us", sides, (Gate("a", "b"),), around), time)
    assert (time.log[0], time.log[-1], len(time.log)) == ("begin", "end", 2 + 10)
    broken = Contestant("a", 1, lambda: lambda: 1 / 0, None, list)
    with pytest.raises(ZeroDivisionError):
        quietly(Measurement("m", "us", (broken, sides[1]), (Gate("a", "b"),), around), time)
    assert time.log[-2:] == ["begin", "end"]


# ---- a miss is measured again, once ----

# fmt: off
TWICE = [
    # ratios, run by run of five rounds  ratio  first  verdict          runs  why
    ([1.1],                              1.1,   None,  Verdict.OK,      1,    "it held: once"),
    ([1.3, 1.1],                         1.1,   1.3,   Verdict.OK,      2,    "disturbed the first time"),
    ([1.3, 1.4],                         1.4,   1.3,   Verdict.MISSED,  2,    "missed twice is missed"),
    ([1.3, 1.4, 1.0],                    1.4,   1.3,   Verdict.MISSED,  2,    "there is no third time"),
]
# fmt: on


@pytest.mark.parametrize(("ratios", "ratio", "first", "verdict", "runs", "why"), TWICE, ids=[c[-1] for c in TWICE])
def test_a_miss_is_measured_twice(
    ratios: list[float], ratio: float, first: float | None, verdict: Verdict, runs: int, why: str
) -> None:
    rounds = iter([r for r in ratios for _ in range(5)])
    over = Contestant("a", 1, lambda: lambda: [next(rounds)], None, list)
    under = Contestant("b", 1, lambda: lambda: [1.0], None, list)
    m = Measurement("m", "us", (over, under), (Gate("a", "b", 1.2, 1.05, at_most=True), Gate("b", "a")))
    row, other = settled(m, slice_ns=1)
    assert (row.ratio, row.first, row.verdict) == (ratio, first, verdict), why
    assert len(list(rounds)) == 5 * (len(ratios) - runs)
    assert (other.verdict, other.first) == (Verdict.PRINTED, None)
    assert row.note == (f"a / b: measured twice, first {first}" if first else "")


# ---- what is printed and written ----


def rows_of_each_kind() -> list[Row]:
    time = Time()
    ours, slow, quick = time.contestant("ours", 100), time.contestant("slow", 123456), time.contestant("quick", 9900)
    wrong, gone = time.contestant("wrong", 5, "other"), Absent("gone", "pip install gone")
    m = Measurement(
        "cost",
        "ns/step",
        (ours, slow, quick, wrong, gone),
        (
            *(Gate(name, "ours", 100, 200) for name in ("slow", "quick", "wrong", "gone")),
            Gate("quick", "wrong", differ=lambda *_: ""),
        ),
    )
    return quietly(m, time)


TABLE = """\
measurement  contestants    p50 of each           p99           p99.9  ratio  gate    aim     verdict
cost         slow / ours    123456 / 100 ns/step  123456 / 100  - / -  1235   >= 100  >= 200  ok, aim reached
cost         quick / ours   9900 / 100 ns/step    9900 / 100    - / -  99     >= 100  >= 200  MISSED
cost         wrong / ours   - / - ns/step         - / -         - / -  -      >= 100  >= 200  OUTPUTS DIFFER
cost         gone / ours    - / 100 ns/step       - / 100       - / -  -      >= 100  >= 200  NOT RUN
cost         quick / wrong  9900 / 5 ns/step      9900 / 5      - / -  1980   -       -       not gated
OUTPUTS DIFFER: cost: other and the same
NOT RUN: cost: gone is not here: pip install gone"""


def test_table() -> None:
    assert table(rows_of_each_kind()) == TABLE


def test_json_holds_every_gate_with_its_ratios() -> None:
    text = json.dumps(as_json(rows_of_each_kind(), quick=True, cpu=1), allow_nan=False)
    got = json.loads(text)
    assert (got["v"], got["quick"], got["cpu"]) == (2, True, 1)
    assert [g["verdict"] for g in got["gates"]] == ["aim", "missed", "differs", "absent", "printed"]
    assert got["gates"][1]["ratios"] == [99.0] * 5
    assert [g["ratio"] for g in got["gates"]] == [1234.56, 99.0, None, None, 1980.0]
    assert got["gates"][0]["over"] == {"name": "slow", "p50": 123456.0, "p99": 123456.0, "p999": None}
    assert [g["gate"] for g in got["gates"]] == [100, 100, 100, 100, None]


PAGE = f"# Figures\n\nBefore.\n\n{BEGIN}\n\nold\n\n{END}\n\nAfter.\n"


def test_markdown_takes_the_place_of_what_was_measured_before() -> None:
    page = put_between(PAGE, markdown(rows_of_each_kind(), {"date": "today", "idle_states": "held at 0"}))
    assert page.startswith(f"# Figures\n\nBefore.\n\n{BEGIN}\n\n* date: today\n* idle states: held at 0\n\n| meas")
    assert "\n| cost | quick / ours | 9900 / 100 ns/step | 9900 / 100 | - / - | 99 | >= 100 | >= 200 | MISSED |" in page
    assert page.endswith(f"\n\nNOT RUN: cost: gone is not here: pip install gone\n\n{END}\n\nAfter.\n")
    assert "old" not in page
    assert put_between(page, "new") == PAGE.replace("old", "new")  # and again


@pytest.mark.parametrize("page", ["", BEGIN, END, f"{END} {BEGIN}"])
def test_a_document_without_its_marks_is_left_alone(page: str) -> None:
    with pytest.raises(ValueError, match="there is no"):
        put_between(page, "new")


def test_every_comparison_that_was_measured_is_drawn(tmp_path: Path) -> None:
    """A few samples, many samples, nothing measured."""
    time = Time()
    many = Measurement(
        "late",
        "us",
        tuple(Contestant(n, 1, lambda: lambda: [1.0, 2.0, 3.0] * 100, None, list) for n in ("ours", "peer")),
        (Gate("ours", "peer", 1.2, 1.05, at_most=True), Gate("peer", "ours")),
    )
    rows = [*rows_of_each_kind(), *quietly(many, time), rows_of_each_kind()[2]]
    written = draw(rows, tmp_path)
    assert [path.name for path in written] == ["ratios.png", "cost.png", "late.png"]
    assert all(path.read_bytes()[:4] == b"\x89PNG" for path in written)


# ---- the command ----


def fake_modules(theirs: float, answer: Any = 1) -> dict[str, Any]:
    """One measurement whose costs are what it says, so that no real time is in the test."""

    def contestant(name: str, cost: float, output: Any) -> Contestant:
        return Contestant(name, 1, lambda: lambda: output, samples=lambda _: [cost])

    m = Measurement("fake", "us", (contestant("a", theirs, answer), contestant("b", 1.0, 1)), (Gate("a", "b", 2, 4),))
    return {"fake": SimpleNamespace(__doc__="A fake.\nMore.", measurements=lambda _: (m,))}


# fmt: off
EXITS = [
    # theirs  answer  arguments                          code  printed                           why
    (4.0,     1,      [],                                0,    "ok, aim reached",                "every gate holds"),
    (1.9,     1,      [],                                1,    "MISSED",                         "a gate is missed"),
    (4.0,     2,      [],                                1,    "OUTPUTS DIFFER: fake: 2 and 1",  "outputs differ"),
    (4.0,     1,      ["--list"],                        0,    "fake                 A fake.",   "only named"),
    (4.0,     1,      ["--only", "fake", "--quick"],     0,    "ok, aim reached",                "this one"),
    (4.0,     1,      ["--only", "fakes"],               2,    "no measurement 'fakes'; known: fake",  "unknown name"),
    (4.0,     1,      ["--json", "/nowhere/x.json"],     2,    "/nowhere/x.json: No such file",  "no folder"),
    (4.0,     1,      ["--plots", "/dev/null/x"],        2,    "/dev/null/x: Not a directory",   "no folder for plots"),
    (4.0,     1,      ["--markdown", "README.md"],       2,    "README.md: there is no",         "no marks in it"),
]
# fmt: on


@pytest.mark.parametrize(("theirs", "answer", "arguments", "code", "printed", "why"), EXITS, ids=[c[-1] for c in EXITS])
def test_exit_codes(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    theirs: float,
    answer: int,
    arguments: list[str],
    code: int,
    printed: str,
    why: str,
) -> None:
    monkeypatch.setattr(run, "modules", lambda: fake_modules(theirs, answer))
    monkeypatch.setattr(run, "QUICK_SLICE_NS", 1)
    monkeypatch.setattr(run, "SLICE_NS", 1)
    assert command.main(arguments) == code
    out, err = capsys.readouterr()
    assert printed in (err if code == 2 else out), why


def test_json_is_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(run, "modules", lambda: fake_modules(4.0))
    monkeypatch.setattr(run, "SLICE_NS", 1)
    assert command.main(["--json", str(tmp_path / "x.json")]) == 0
    assert json.loads((tmp_path / "x.json").read_text())["gates"][0]["ratio"] == 4.0


def test_every_module_here_is_machinery_a_test_or_a_measurement() -> None:
    assert "step_cost" in run.modules()
    assert all(callable(module.measurements) for module in run.modules().values())
    assert all(title.endswith(".") for title in run.titles().values())


def test_pinned_to_one_cpu_and_back() -> None:
    before = os.sched_getaffinity(0)
    with run.pinned() as cpu:
        assert os.sched_getaffinity(0) == {cpu}
    assert os.sched_getaffinity(0) == before


def test_back_after_an_error_too() -> None:
    before = os.sched_getaffinity(0)
    with pytest.raises(HarnessError), run.pinned():
        raise HarnessError("a wrong measurement")
    assert os.sched_getaffinity(0) == before
