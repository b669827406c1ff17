"""Gaps: what is not in the store, since when, until when, and why. Pure, over the rows that are there.

A frame names the steps it is made of (n_first ... n_last), so that within a run of the core a gap is a hole in the
steps, whatever the wall clock did. Between two runs it is the time from the end of one to the beginning of the next.

cause    STOPPED   the controller did not run: the run before had been read to its end, or the host has booted since
         LOST      the telemetry was away for longer than the ring is deep (it says so itself), or while the controller
                   restarted: then nobody knows when the run before ended
         DROPPED   the outbox was full: the oldest went, as its counter says
         MISSING   none of these: still on its way, or gone on the way
Inputs   live and event rows of one site, from before to behind the window; times Unix ms.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from controller.telemetry.wire import Arrival

STOPPED, LOST = "controller not running", "lost before telemetry"
DROPPED, MISSING = "dropped by a full outbox", "not in the store"
Steps = tuple[int, int]  # first, last


@dataclass(frozen=True, slots=True)
class Gap:
    """Nothing is known of the time between, Unix ms. epoch: whose clock it is; 0: not told. steps: None: of no run."""

    begin_ms: int
    end_ms: int
    cause: str
    epoch: int = 0
    steps: int | None = None

    @property
    def seconds(self) -> float:
        return (self.end_ms - self.begin_ms) / 1e3

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"begin_ms": self.begin_ms, "end_ms": self.end_ms, "cause": self.cause}


def find_gaps(live: Iterable[Arrival], events: Iterable[Arrival], begin_ms: int, end_ms: int) -> list[Gap]:
    """In order of time, cut to the window. A gap whose length the clock does not tell, as it was set back, has none."""
    frames, said = list(live), list(events)
    if not frames:
        return [Gap(begin_ms, end_ms, MISSING, 0)]
    full = {row.outbox: int(row.body["telemetry"]["dropped"]) for row in sorted(frames, key=lambda row: row.seq)}
    runs = by_run(frames)
    gaps = [gap for rows in runs for gap in within(rows, said, full)]
    gaps += [between(before, after, said) for before, after in pairwise(runs)]
    gaps += edges(runs, said, begin_ms, end_ms)
    return sorted(cut(gaps, begin_ms, end_ms), key=lambda gap: (gap.begin_ms, gap.end_ms))


def edges(runs: Sequence[Sequence[Arrival]], events: Sequence[Arrival], begin_ms: int, end_ms: int) -> Iterator[Gap]:
    """Before the first run and after the last one."""
    began_ms, end = min(begin_of(rows) for rows in runs), end_of(runs[-1], events)
    newest = end or max((row for rows in runs for row in rows), key=lambda row: row.t_ms)
    if began_ms > begin_ms:
        yield Gap(begin_ms, began_ms, STOPPED, runs[0][0].epoch)
    if newest.t_ms < end_ms:
        yield Gap(newest.t_ms, end_ms, STOPPED if end else MISSING, newest.epoch)


def cut(gaps: Iterable[Gap], begin_ms: int, end_ms: int) -> Iterator[Gap]:
    """To the window; what lies outside is left out."""
    for gap in gaps:
        inside = replace(gap, begin_ms=max(gap.begin_ms, begin_ms), end_ms=min(gap.end_ms, end_ms))
        if inside.begin_ms < inside.end_ms or (gap.begin_ms == gap.end_ms and begin_ms <= gap.end_ms < end_ms):
            yield inside


def by_run(frames: Sequence[Arrival]) -> list[list[Arrival]]:
    """The frames of each run in order of their steps; the runs as they followed each other in their outbox."""
    since_ms: dict[str, int] = {}
    runs: dict[int, list[Arrival]] = {}
    for row in frames:
        since_ms[row.outbox] = min(row.t_ms, since_ms.get(row.outbox, row.t_ms))
        runs.setdefault(row.body["run"], []).append(row)
    ordered = [sorted(rows, key=lambda row: int(row.body["n_first"])) for rows in runs.values()]
    return sorted(ordered, key=lambda rows: (since_ms[rows[0].outbox], rows[0].seq))


def within(rows: Sequence[Arrival], events: Sequence[Arrival], full: Mapping[str, int]) -> Iterator[Gap]:
    """Holes in the steps of one run, at its beginning and its end too."""
    lost = [(e.body["n_first"], e.body["n_last"]) for e in of_run(rows, events, "lost")]
    first, last, end = rows[0], rows[-1], end_of(rows, events)
    if first.body["n_first"] > 0:
        hole = Gap(begin_of(rows), first.body["t_first_ms"], cause_of(None, first, full), first.epoch)
        yield from pieces(hole, (0, first.body["n_first"] - 1), lost)
    for before, after in pairwise(rows):
        steps = (before.body["n_last"] + 1, after.body["n_first"] - 1)
        to_ms = after.body["t_first_ms"]
        same = before.epoch == after.epoch
        from_ms = before.t_ms if same else to_ms - round((steps[1] - steps[0] + 2) * pace_ms(before))
        yield from pieces(Gap(from_ms, to_ms, cause_of(before, after, full), after.epoch), steps, lost)
    if end is not None:
        hole = Gap(last.t_ms, end.t_ms, cause_of(last, last, full), last.epoch)
        yield from pieces(hole, (last.body["n_last"] + 1, end.body["n"]), lost)


def pieces(hole: Gap, steps: Steps, lost: Sequence[Steps]) -> Iterator[Gap]:
    """A hole of these steps, divided into what the telemetry says it has lost and the rest."""
    first, last = steps
    inside = [(max(a, first), min(b, last)) for a, b in sorted(lost) if a <= last and b >= first]
    length_ms = hole.end_ms - hole.begin_ms

    def piece(a: int, b: int, cause: str) -> Gap:
        begin, end = ((n - first) / (last - first + 1) for n in (a, b + 1))
        return Gap(hole.begin_ms + round(begin * length_ms), hole.begin_ms + round(end * length_ms), cause, hole.epoch,
                   b - a + 1)  # fmt: skip

    n = first
    for a, b in [*inside, (last + 1, last)]:
        if n < a:
            yield piece(n, a - 1, hole.cause)
        if a <= b:
            yield piece(a, b, LOST)
        n = b + 1


def between(before: Sequence[Arrival], after: Sequence[Arrival], events: Sequence[Arrival]) -> Gap:
    """Two runs, one after the other."""
    end = end_of(before, events)
    boots = [{e.body.get("boot_id") for e in of_run(rows, events, "start")} for rows in (before, after)]
    to_ms = begin_of(after)
    from_ms = min(end.t_ms if end else before[-1].t_ms, to_ms)
    return Gap(from_ms, to_ms, STOPPED if end or boots[0] != boots[1] else LOST, after[0].epoch)


def cause_of(before: Arrival | None, after: Arrival, full: Mapping[str, int]) -> str:
    """DROPPED when the outbox has dropped rows since. The oldest go first: an older hole is not still waiting there."""
    count = before.body["telemetry"]["dropped"] if before is not None else 0
    return DROPPED if full[after.outbox] > count else MISSING


def begin_of(rows: Sequence[Arrival]) -> int:
    """When the run began; from the pace of its first frame if its beginning is not there."""
    body = rows[0].body
    return int(body["t_first_ms"] - round(body["n_first"] * pace_ms(rows[0])))


def pace_ms(row: Arrival) -> float:
    """From one step to the next in this frame."""
    steps = row.body["n_last"] - row.body["n_first"]
    return float((row.t_ms - row.body["t_first_ms"]) / steps) if steps else 0.0


def end_of(rows: Sequence[Arrival], events: Sequence[Arrival]) -> Arrival | None:
    """The event that says where the run ended, if it was read so far."""
    return next(iter(of_run(rows, events, "end")), None)


def of_run(rows: Sequence[Arrival], events: Sequence[Arrival], name: str) -> list[Arrival]:
    """Events of one name and of these rows' run."""
    return [e for e in events if e.name == name and e.body["run"] == rows[0].body["run"]]
