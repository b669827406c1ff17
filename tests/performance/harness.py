"""Cost of one implementation as a ratio to another's, on a machine that is never quiet. Pure: the clock is an argument.

Measurement  contestants that do the same work from the same inputs, and gates: the cost of one over that of another.
measure()    compares outputs first: contestants that disagree are not timed, their gate has failed. Then rounds: one
             slice of each contestant a round, in turns, so that what disturbs the machine disturbs all of them. A round
             gives one ratio; the median of the rounds is gated. p99 is reported and never gated.
Costs        a unit's share of the clock over one run (CPU time, ns), or what a contestant measured itself: latencies,
             bytes. Only their ratio is judged.
settled()    what misses is measured a second time, whole: the second ratio is judged, both are reported. No third time.
Errors       HarnessError: the measurement itself is wrong; its author must act.
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from enum import Enum
from statistics import median
from typing import Any

Clock = Callable[[], int]
ROUNDS = 5
MOST_RUNS = 100_000  # of one contestant in one slice
FEWEST_FOR_P999 = 1000  # samples: with fewer p99.9 is but the largest


class HarnessError(Exception):
    """A measurement names an unknown contestant, or its slice is too short for the clock. Its author must act."""


def as_it_is(result: Any) -> Any:
    return result


def equal(over: Any, under: Any) -> str:
    """Where two outputs differ, or an empty text. For lists the first place."""
    if isinstance(over, list) and isinstance(under, list) and len(over) == len(under):
        at = next((i for i, (a, b) in enumerate(zip(over, under, strict=True)) if a != b), None)
        return "" if at is None else f"output {at}: {over[at]} and {under[at]}"
    return "" if over == under else f"{str(over)[:60]} and {str(under)[:60]}"


@dataclass(frozen=True, slots=True)
class Contestant:
    """One way to do the work. start() prepares a fresh run, untimed; what it returns does the work, timed."""

    name: str
    units: int  # of work in one run
    start: Callable[[], Callable[[], Any]]
    outputs: Callable[[Any], Any] | None = as_it_is  # what a run returned -> what is compared, untimed; None: nothing
    samples: Callable[[Any], Sequence[float]] | None = None  # what a run returned -> its own costs; a run is a slice


@dataclass(frozen=True, slots=True)
class Absent:
    """A contestant that is not installed here: its gates cannot be judged, and that is said."""

    name: str
    remedy: str  # the one line that brings it


@dataclass(frozen=True, slots=True)
class Gate:
    """cost(over) / cost(under) must be at least `gate`, or at most with at_most; the aim is what we would like.

    Without a gate the ratio is printed and nothing is demanded of it.
    """

    over: str
    under: str
    gate: float | None = None
    aim: float | None = None
    at_most: bool = False
    differ: Callable[[Any, Any], str] = equal  # outputs of over, of under -> where they differ, or an empty text

    def holds(self, ratio: float, limit: float | None) -> bool:
        if limit is None:
            return False
        return ratio <= limit if self.at_most else ratio >= limit  # NaN holds nothing

    def verdict(self, ratio: float) -> Verdict:
        if self.gate is None:
            return Verdict.PRINTED
        if not self.holds(ratio, self.gate):
            return Verdict.MISSED
        return Verdict.AIM if self.holds(ratio, self.aim) else Verdict.OK


@dataclass(frozen=True, slots=True)
class Measurement:
    """name: its module's; unit: what the costs are, such as "ns/step". around: what runs beside it, for as long."""

    name: str
    unit: str
    contestants: tuple[Contestant | Absent, ...]
    gates: tuple[Gate, ...]
    around: Callable[[], AbstractContextManager[object]] = nullcontext
    rounds: int = ROUNDS


class Verdict(Enum):
    AIM = "ok, aim reached"
    OK = "ok"
    PRINTED = "not gated"
    MISSED = "MISSED"
    DIFFERS = "OUTPUTS DIFFER"
    ABSENT = "NOT RUN"


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one unit of work: the median of the rounds' medians, and p99 and p99.9 of all samples."""

    p50: float
    p99: float
    p999: float  # NaN: too few samples
    samples: Sequence[float] = field(repr=False)  # of all rounds, in order of size


@dataclass(frozen=True, slots=True)
class Row:
    """One gate, judged. No ratio where a contestant is absent; no cost either where outputs differ."""

    measurement: str
    unit: str
    gate: Gate
    verdict: Verdict
    note: str = ""
    over: Cost | None = None
    under: Cost | None = None
    ratios: tuple[float, ...] = ()  # one a round
    first: float | None = None  # the ratio that was missed, when this is the repetition

    @property
    def ratio(self) -> float:
        return median(self.ratios) if self.ratios else math.nan


def measure(
    m: Measurement,
    *,
    slice_ns: int,
    clock: Clock = time.process_time_ns,
    tidy: Callable[[], object] = gc.collect,
) -> list[Row]:
    """One row a gate, in their order. A slice lasts about slice_ns, at least one run; tidy() comes before each."""
    by_name = {c.name: c for c in m.contestants}
    for gate in m.gates:
        for name in (gate.over, gate.under):
            if name not in by_name:
                raise HarnessError(f"{m.name}: a gate names '{name}'; its contestants: {', '.join(by_name)}")
    if m.rounds < ROUNDS:
        raise HarnessError(f"{m.name}: {m.rounds} rounds; a median needs at least {ROUNDS}")
    present = [c for c in m.contestants if isinstance(c, Contestant)]
    with m.around():
        outputs = {c.name: c.outputs(c.start()()) if c.outputs else None for c in present}
        refused = {gate: refusal(m, gate, by_name, outputs) for gate in m.gates}
        agree = [g for g, row in refused.items() if row is None or row.verdict is Verdict.ABSENT]
        wanted = {name for gate in agree for name in (gate.over, gate.under)}
        costs = timed([c for c in present if c.name in wanted], slice_ns, m.rounds, clock, tidy)
    return [judge(m, gate, refused[gate], costs) for gate in m.gates]


def settled(m: Measurement, **how: Any) -> list[Row]:
    """measure(), and once more when a gate is missed: a neighbour may have had the machine. What held stays held."""
    rows = measure(m, **how)
    if all(row.verdict is not Verdict.MISSED for row in rows):
        return rows
    again = measure(m, **how)
    return [
        replace(new, first=old.ratio, note=f"{new.gate.over} / {new.gate.under}: measured twice, first {old.ratio:.4g}")
        if old.verdict is Verdict.MISSED and new.ratios
        else old
        for old, new in zip(rows, again, strict=True)
    ]


def refusal(m: Measurement, gate: Gate, by_name: dict[str, Contestant | Absent], outputs: dict[str, Any]) -> Row | None:
    """The row of a gate that is not worth timing, or None."""
    for name in (gate.over, gate.under):
        contestant = by_name[name]
        if isinstance(contestant, Absent):
            return Row(m.name, m.unit, gate, Verdict.ABSENT, f"{name} is not here: {contestant.remedy}")
    where = gate.differ(outputs[gate.over], outputs[gate.under])
    return Row(m.name, m.unit, gate, Verdict.DIFFERS, where) if where else None


Costs = list[list[float]]  # a round, then a sample: cost of one unit


def timed(
    contestants: list[Contestant], slice_ns: int, rounds: int, clock: Clock, tidy: Callable[[], object]
) -> dict[str, Costs]:
    """Slices in turns; each round begins with another contestant."""
    runs = {c.name: runs_in(c, slice_ns, clock) for c in contestants}
    costs: dict[str, Costs] = {c.name: [] for c in contestants}
    for number in range(rounds):
        first = number % len(contestants) if contestants else 0
        for c in contestants[first:] + contestants[:first]:
            tidy()  # what another one left behind is not this one's cost
            costs[c.name].append([cost for _ in range(runs[c.name]) for cost in one_run(c, clock)])
    return costs


def runs_in(c: Contestant, slice_ns: int, clock: Clock) -> int:
    """How often a slice repeats the run. The run that tells is the warm-up as well."""
    if c.samples:
        return 1
    work = c.start()
    begin_ns = clock()
    work()
    return min(max(math.ceil(slice_ns / max(clock() - begin_ns, 1)), 1), MOST_RUNS)


def one_run(c: Contestant, clock: Clock) -> Sequence[float]:
    work = c.start()
    begin_ns = clock()
    result = work()
    end_ns = clock()
    return c.samples(result) if c.samples else [(end_ns - begin_ns) / c.units]


def judge(m: Measurement, gate: Gate, refused: Row | None, costs: dict[str, Costs]) -> Row:
    """A refused gate keeps its verdict; of an absent contestant's gate the other side's cost is told all the same."""
    if refused is not None and refused.verdict is Verdict.DIFFERS:
        return refused
    over, under = (cost(m, name, costs[name]) if name in costs else None for name in (gate.over, gate.under))
    if refused is not None:
        return replace(refused, over=over, under=under)
    ratios = tuple(median(a) / median(b) for a, b in zip(costs[gate.over], costs[gate.under], strict=True))
    return Row(m.name, m.unit, gate, gate.verdict(median(ratios)), "", over, under, ratios)


def cost(m: Measurement, name: str, rounds: Costs) -> Cost:
    p50 = [median(samples) for samples in rounds]
    if not all(c > 0.0 for c in p50):
        raise HarnessError(f"{m.name}: {name}: a cost is not above 0; is its run too short for the clock?")
    ordered = sorted(sample for samples in rounds for sample in samples)
    p999 = percentile(ordered, 0.999) if len(ordered) >= FEWEST_FOR_P999 else math.nan
    return Cost(median(p50), percentile(ordered, 0.99), p999, ordered)


def percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest sample that is not below this share of all samples, which are given in order of size."""
    return ordered[math.ceil(share * len(ordered)) - 1]


def failed(row: Row, on_ci: bool) -> bool:
    """Missed or disagreeing always; a contestant that is not installed only where everything must be."""
    return row.verdict in (Verdict.MISSED, Verdict.DIFFERS) or (on_ci and row.verdict is Verdict.ABSENT)
