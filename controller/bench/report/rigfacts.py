"""What the records say of the rig: its instruments by name, how soon the source answered, how often the meter read.

Percentiles over all cases; a value is a fact of the rig, never judged here.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from controller.bench.plan import Case
from controller.bench.record import CaseRecord
from controller.bench.report.steps import stays
from controller.response.formula import Floats

PERCENTS = (50, 99, 100)


@dataclass(frozen=True, slots=True)
class Latency:
    """One kind of delay, ms: half of them are no longer, 99 % are no longer, the longest."""

    name: str
    count: int
    p50_ms: float
    p99_ms: float
    most_ms: float


@dataclass(slots=True)
class RigFacts:
    """Collects case by case. instruments: {"meter": ["the one that was there", "and the one that came later"]}"""

    instruments: dict[str, list[str]] = field(default_factory=dict)
    source_s: list[Floats] = field(default_factory=list)
    meter_s: list[Floats] = field(default_factory=list)

    def add(self, case: Case, record: CaseRecord) -> None:
        """A ramp's own time is no delay: its steps do not count for the source."""
        for name, words in ((n, w) for e in record.events if e.kind == "case" for n, w in e.data.items() if n != "id"):
            known = self.instruments.setdefault(name, [])
            known += [str(words)] if str(words) not in known else []
        run = stays(record)
        at_once = [s for s in case.steps if not (s.ramp_hz_s or s.ramp_v_s) and s.name in run]
        self.source_s.append(np.array([run[s.name].arrived_s - run[s.name].begin_s for s in at_once]))
        self.meter_s.append(np.diff(np.unique(record.samples["t_ns"])) / 1e9)

    def latencies(self) -> list[Latency]:
        """Those of which there is at least one."""
        named = {
            "From the begin of a step to the source at its point (settings and read-back included)": self.source_s,
            "From one value of the meter to the next": self.meter_s,
        }
        return [row for name, parts in named.items() for row in _row(name, parts)]


def _row(name: str, parts: list[Floats]) -> list[Latency]:
    every = np.concatenate([*parts, np.empty(0)])
    every = every[np.isfinite(every)] * 1e3
    return [Latency(name, len(every), *map(float, np.percentile(every, PERCENTS)))] if len(every) else []
