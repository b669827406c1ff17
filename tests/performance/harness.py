"""Cost of one implementation as a ratio to another's, on a machine that is never quiet. Pure: the clock is an argument.

Measurement  contestants that do the same work from the same inputs, and gates: the cost of one over that of another.
measure()    compares outputs first: contestants that disagree are not timed, their gate has failed. Then rounds: one
             slice of each contestant a round, in turns, so that what disturbs the machine disturbs all of them. A round
             gives one ratio; the median of the rounds is gated. p99 is reported and never gated.
Costs        a unit's share of the clock over one run (CPU time, ns), or what a contestant measured itself: latencies,
             bytes. Only their ratio is judged.
Errors       HarnessError: the measurement itself is wrong; its author must act.
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from statistics import median
from typing import Any

Clock = Callable[[], int]
ROUNDS = 5
MOST_RUNS = 100_000  # of one contestant in one slice


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
    outputs: Callable[[Any], Any] = as_it_is  # what a run returned -> what is compared; untimed
    samples: Callable[[Any], Sequence[float]] | None = None  # what a run returned -> its own cost of each unit


@dataclass(frozen=True, slots=True)
class Absent:
    """A contestant that is not installed here: its gates cannot be judged, and that is said."""

    name: str
    remedy: str  # the one line that brings it


@dataclass(frozen=True, slots=True)
class Gate:
    """cost(over) / cost(under) must be at least `gate`, or at most with at_most; the aim is what we would like."""

    over: str
    under: str
    gate: float
    aim: float
    at_most: bool = False
    differ: Callable[[Any, Any], str] = equal  # outputs of over, of under -> where they differ, or an empty text

    def holds(self, ratio: float, limit: float) -> bool:
        return ratio <= limit if self.at_most else ratio >= limit  # NaN holds nothing


@dataclass(frozen=True, slots=True)
class Measurement:
    """name: its module's; unit: what the costs are, such as "ns/step"."""

    name: str
    unit: str
    contestants: tuple[Contestant | Absent, ...]
    gates: tuple[Gate, ...]


class Verdict(Enum):
    AIM = "ok, aim reached"
    OK = "ok"
    MISSED = "MISSED"
    DIFFERS = "OUTPUTS DIFFER"
    ABSENT = "NOT RUN"


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one unit of work: the median of the rounds' medians, and p99 of all runs."""

    p50: float
    p99: float


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

    @property
    def ratio(self) -> float:
        return median(self.ratios) if self.ratios else math.nan


def measure(
    m: Measurement,
    *,
    slice_ns: int,
    rounds: int = ROUNDS,
    clock: Clock = time.process_time_ns,
    tidy: Callable[[], object] = gc.collect,
) -> list[Row]:
    """One row a gate, in their order. A slice lasts about slice_ns, at least one run; tidy() comes before each."""
    by_name = {c.name: c for c in m.contestants}
    for gate in m.gates:
        for name in (gate.over, gate.under):
            if name not in by_name:
                raise HarnessError(f"{m.name}: a gate names '{name}'; its contestants: {', '.join(by_name)}")
    if rounds < ROUNDS:
        raise HarnessError(f"{m.name}: {rounds} rounds; a median needs at least {ROUNDS}")
    present = [c for c in m.contestants if isinstance(c, Contestant)]
    outputs = {c.name: c.outputs(c.start()()) for c in present}
    refused = {gate: refusal(m, gate, by_name, outputs) for gate in m.gates}
    agree = [g for g, row in refused.items() if row is None or row.verdict is Verdict.ABSENT]
    wanted = {name for gate in agree for name in (gate.over, gate.under)}
    costs = timed([c for c in present if c.name in wanted], slice_ns, rounds, clock, tidy)
    return [judge(m, gate, refused[gate], costs) for gate in m.gates]


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
    verdict = Verdict.MISSED
    if gate.holds(median(ratios), gate.gate):
        verdict = Verdict.AIM if gate.holds(median(ratios), gate.aim) else Verdict.OK
    return Row(m.name, m.unit, gate, verdict, "", over, under, ratios)


def cost(m: Measurement, name: str, rounds: Costs) -> Cost:
    p50 = [median(samples) for samples in rounds]
    if not all(c > 0.0 for c in p50):
        raise HarnessError(f"{m.name}: {name}: a cost is not above 0; is its run too short for the clock?")
    return Cost(median(p50), percentile(rounds, 0.99))


def percentile(rounds: Costs, share: float) -> float:
    """The smallest sample that is not below this share of all samples."""
    ordered = sorted(cost for samples in rounds for cost in samples)
    return ordered[math.ceil(share * len(ordered)) - 1]


def failed(row: Row, on_ci: bool) -> bool:
    """Missed or disagreeing always; a contestant that is not installed only where everything must be."""
    return row.verdict in (Verdict.MISSED, Verdict.DIFFERS) or (on_ci and row.verdict is Verdict.ABSENT)
