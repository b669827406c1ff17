"""Grid events of a stream, each measured as soon as its recovery has been seen, then forgotten. Pure.

Window   from WINDOW_NS before an event to two response times behind it, or to the next event.
Longest  an event that goes on beyond MOST_ROWS steps is measured over these, and named so: memory has a bound.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from controller.report.daily.stream import Block, Records, joined
from controller.response.detect import EventDetector, GridEvent
from controller.response.measure import EventResponse, measure_event
from controller.response.run import Run, prepare
from cython_core.settings import Settings

WINDOW_NS = 15_000_000_000  # what measuring looks at before an event, and a little more
SECOND_NS = 1_000_000_000
MOST_ROWS = 90_000  # 15 min at 10 ms; 80 MB


@dataclass(frozen=True, slots=True)
class Measured:
    """One event with its window."""

    info: dict[str, Any]
    run: Run
    response: EventResponse
    cut: bool  # it goes on behind the window: MOST_ROWS

    @property
    def begin_ns(self) -> int:
        """Unix time of its start."""
        return self.response.event.t_start_ns + int(self.info["wall_offset_ns"])


class EventStream:
    """One run: feed() its blocks, close() at its end."""

    def __init__(self, info: dict[str, Any]) -> None:
        self.info, self.settings = info, Settings.from_mapping(info["settings"])
        self.detector = EventDetector(self.settings)
        self.recovery_ns = round(2e9 * self.settings.freq_droop.t_response_s)
        self.waiting: list[GridEvent] = []  # closed, their recovery not yet over
        self.cut_n = -1  # start of an event that has been measured before its end
        self.kept: list[Records] = []

    def feed(self, block: Block) -> Iterator[Measured]:
        """Events whose window is complete."""
        self.kept.append(block.records)
        self.waiting += [e for e in self.detector.feed(block.records) if e.n_start != self.cut_n]
        newest_ns = int(block.records["t_ns"][-1])
        yield from self._ready(newest_ns)
        yield from self._too_long(newest_ns)
        self._forget(newest_ns)

    def close(self) -> Iterator[Measured]:
        """What the end of the run leaves."""
        self.waiting += [e for e in self.detector.close() if e.n_start != self.cut_n]
        self.detector.event = None
        if self.kept:
            yield from self._ready(int(self.kept[-1]["t_ns"][-1]), over=True)

    def _ready(self, newest_ns: int, over: bool = False) -> Iterator[Measured]:
        while self.waiting:
            event = self.waiting[0]
            following = self.waiting[1] if len(self.waiting) > 1 else self.detector.event
            stop_ns = min(following.t_start_ns if following else newest_ns, newest_ns)
            if not over and following is None and newest_ns < event.t_end_ns + self.recovery_ns:
                return
            del self.waiting[0]
            yield self._measured(event, stop_ns, cut=False)

    def _too_long(self, newest_ns: int) -> Iterator[Measured]:
        event = self.detector.event
        if event is None or event.n_start == self.cut_n or sum(map(len, self.kept)) < MOST_ROWS:
            return
        self.cut_n = event.n_start
        yield self._measured(replace(event, ended=False), newest_ns, cut=True)

    def _measured(self, event: GridEvent, stop_ns: int, cut: bool) -> Measured:
        records = joined(self.kept)
        t_ns = records["t_ns"]
        end_ns = max(min(stop_ns, event.t_end_ns + self.recovery_ns + SECOND_NS), event.t_end_ns)
        window = records[(t_ns >= event.t_start_ns - WINDOW_NS) & (t_ns <= end_ns)]
        run = prepare(window, self.info)
        return Measured(self.info, run, measure_event(run, event, end_ns), cut)

    def _forget(self, newest_ns: int) -> None:
        """What no event can need any more."""
        event = self.detector.event if self.detector.event and self.detector.event.n_start != self.cut_n else None
        needed = [e.t_start_ns for e in (*self.waiting, event, self.detector.waiting) if e is not None]
        from_ns = min([*needed, newest_ns]) - WINDOW_NS
        while len(self.kept) > 1 and int(self.kept[0]["t_ns"][-1]) < from_ns:
            del self.kept[0]
