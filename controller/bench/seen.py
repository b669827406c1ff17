"""What the meter saw of each step: readings from the source's arrival to the end of the hold, and those before it.

Shapes   Seen.rows are SAMPLE rows with a t_ns of their own: a meter that repeats itself adds nothing. t_s is seconds
         after arrival. A reading taken after anything of a step was done is never one "before" it.
Errors   UnseenError: the record does not show what a criterion asks. The rig's fault, never the unit's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from controller.bench.plan import Axis, Case, Eut, Quantity, Step
from controller.bench.record import CaseRecord, Event

Floats = NDArray[np.float64]
Rows = NDArray[Any]
GAP_SAMPLES = 2.5  # of the planned time between two samples: a longer one is a gap
LEAST_READINGS = 3  # fewer are no mean
BEFORE_S = 1.0  # what "before a step" is a mean of
VISIBLE_PU = 0.05  # of nominal voltage: below it a meter may show neither frequency nor noise


class UnseenError(Exception):
    """Cannot be told from this record; the text says why."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One step that was run to its end."""

    step: Step
    begin_ns: int  # nothing of the step is done yet
    arrived_ns: int
    end_ns: int
    before: Rows  # all new readings up to begin_ns
    rows: Rows  # new readings from arrived_ns to end_ns
    t_s: Floats  # of rows, after arrival
    source_s: float = 0.0  # so much before arrival the source may already have moved

    @property
    def held_s(self) -> float:
        return (self.end_ns - self.arrived_ns) / 1e9

    def most_apart_s(self) -> float:
        """The longest time without a new reading; inf: there was none at all."""
        if not len(self.t_s):
            return math.inf
        return float(np.diff(self.t_s, prepend=0.0, append=self.held_s).max())


def see(case: Case, record: CaseRecord) -> dict[str, Seen]:
    """{step's name: what was seen}, the steps that were run to their end."""
    found = {kind: _times(record.events, kind) for kind in ("step", "arrived", "end")}
    sent = {str(e.data.get("name")): int(e.data["sent_ns"]) for e in record.events if "sent_ns" in e.data}
    rows = new_readings(record.samples)
    t_ns, seen = rows["t_ns"], {}
    for step in case.steps:
        name = step.name
        if not all(name in times for times in found.values()):
            continue
        begin, arrived, end = (found[kind][name] for kind in ("step", "arrived", "end"))
        first, last = np.searchsorted(t_ns, arrived), np.searchsorted(t_ns, end, "right")
        here, before = rows[first:last], rows[: np.searchsorted(t_ns, begin, "right")]
        t_s = (here["t_ns"] - arrived) / 1e9
        source_s = (arrived - sent.get(name, arrived)) / 1e9
        seen[name] = Seen(step, begin, arrived, end, before, here, t_s, source_s)
    return seen


def _times(events: tuple[Event, ...], kind: str) -> dict[str, int]:
    return {str(e.data.get("name")): e.t_ns for e in events if e.kind == kind}


def new_readings(samples: Rows) -> Rows:
    """Without the rows in which the meter repeats itself."""
    return np.asarray(samples[np.diff(samples["t_ns"], prepend=-1) != 0])


def values(rows: Rows, eut: Eut, name: Axis | Quantity) -> Floats:
    """One quantity of each row: mean of the phase voltages; current from P, Q and V where the meter has none."""
    if name == "v_v":
        return np.asarray(np.mean([rows[f"v{k}_v"] for k in range(1, eut.phases + 1)], axis=0))
    found = np.asarray(rows[name])
    if name != "i_a":
        return found
    v_v = values(rows, eut, "v_v")
    with np.errstate(divide="ignore", invalid="ignore"):
        derived = np.hypot(rows["p_w"], rows["q_var"]) / (eut.phases * v_v)
    return np.where(np.isnan(found) & (v_v > VISIBLE_PU * eut.v_nom_v), derived, found)


def part(seen: Seen, eut: Eut, name: Axis | Quantity, from_s: float, to_s: float) -> tuple[Floats, Floats]:
    """(t_s, values) of a window. UnseenError: the step was left before its end, it holds too little or has a hole."""
    if seen.held_s < to_s - seen.step.sample_s:
        raise UnseenError(f"the step was left after {seen.held_s:.3f} s, before its window's end at {to_s:g} s")
    inside = (seen.t_s >= from_s - 1e-9) & (seen.t_s <= to_s + 1e-9)  # 1 ns: half of the decimals are not exact
    y = values(seen.rows[inside], eut, name)
    known = np.isfinite(y)
    if known.sum() < LEAST_READINGS:
        raise UnseenError(f"{known.sum()} new readings of {name} from {from_s:g} to {to_s:g} s, not {LEAST_READINGS}")
    t_s, every_s = seen.t_s[inside], float(np.median(np.diff(seen.t_s[inside])))
    # a value beyond the meter's range reads as nothing
    hole_s = float(np.diff(t_s[known], prepend=from_s, append=min(to_s, seen.held_s)).max())
    if not known.all() and hole_s > GAP_SAMPLES * max(every_s, seen.step.sample_s):
        raise UnseenError(f"{hole_s:.3f} s without {name} from {from_s:g} to {to_s:g} s")
    return t_s[known], y[known]


def mean(y: Floats) -> float:
    """Rounded once, so it is the same bits on every machine."""
    return math.fsum(y) / len(y)


def mean_over(seen: Seen, eut: Eut, name: Axis | Quantity, from_s: float, to_s: float) -> float:
    return mean(part(seen, eut, name, from_s, to_s)[1])


def last_before(seen: Seen, eut: Eut, name: Quantity) -> float:
    """The last value before anything of the step was done."""
    y = values(seen.before[-1:], eut, name)
    if not len(y) or not np.isfinite(y[0]):
        raise UnseenError(f"no reading of {name} before the step")
    return float(y[0])


def mean_before(all_seen: Mapping[str, Seen], name: str, eut: Eut, quantity: Quantity) -> float:
    """Mean of the magnitude over the last second before a step."""
    if name not in all_seen:
        raise UnseenError(f"step {name}, before which it is measured, was not run to its end")
    seen = all_seen[name]
    y = np.abs(values(seen.before[seen.before["t_ns"] >= seen.begin_ns - round(BEFORE_S * 1e9)], eut, quantity))
    y = y[np.isfinite(y)]
    if len(y) < LEAST_READINGS:
        raise UnseenError(f"{len(y)} readings of {quantity} in the second before step {name}, not {LEAST_READINGS}")
    return mean(y)
