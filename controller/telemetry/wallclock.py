"""The wall clock of the telemetry: wall = offset + monotonic, one offset an epoch, so that time never runs back in it.

Epoch    a tag of every row. It begins with a run of the core, and anew when the wall clock is found more than STEP_NS
         away from its offset: set by hand or by NTP, or the host was suspended. (NTP's slewing moves both clocks.)
Known    the clock is synchronized when the kernel says so (adjtimex: chrony, ntpd, timesyncd and PTP tell it) or when
         systemd-timesyncd has left its mark since boot. That stays true until the clock is stepped.
Waiting  rows of the first WAIT_NS after boot are held until the clock is synchronized: then they get the times of the
         offset that is right, once, and say `"clock": "late"`. What goes out of an epoch that is not synchronized says
         `"clock": "unsynchronized"`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from controller.epoch import new_epoch
from controller.telemetry.wire import Draft
from cython_core.realtime.host import clock_synchronized

STEP_NS = 1_000_000_000
WAIT_NS = 600_000_000_000  # monotonic time begins with the boot
TIMESYNC = Path("/run/systemd/timesync/synchronized")
CLOSE_NS = 50_000_000  # two looks at the clocks within this time are one
KEPT = 16  # segments; a run has one, and one more for each step
WAITING, LATE, UNSYNCHRONIZED = "waiting", "late", "unsynchronized"
TIMES = ("t_ms", "t_first_ms")  # of a body


@dataclass(frozen=True, slots=True)
class Reading:
    """Both clocks at one moment, and whether somebody keeps the wall clock right."""

    t_ns: int
    wall_ns: int
    synchronized: bool

    @property
    def offset_ns(self) -> int:
        """wall - monotonic."""
        return self.wall_ns - self.t_ns


def read_clock() -> Reading:
    """The host's clocks now. Looks again when something came between."""
    while True:
        before_ns = time.monotonic_ns()
        wall_ns = time.time_ns()
        if time.monotonic_ns() - before_ns < CLOSE_NS:
            return Reading(before_ns, wall_ns, clock_synchronized() or TIMESYNC.exists())


@dataclass(frozen=True, slots=True)
class Segment:
    """From this monotonic time on wall = offset + monotonic, under this epoch. clock: "" is synchronized."""

    from_ns: int
    offset_ns: int
    epoch: int
    clock: str = ""


@dataclass(slots=True)
class ClockMap:
    """Monotonic -> wall of one run of the core: its segments in order. Pure: the clocks are an argument."""

    run: int
    boot_id: str
    segments: list[Segment]

    @classmethod
    def begin(cls, info: Mapping[str, Any], stored: Mapping[str, Any] | None = None) -> ClockMap:
        """As the ring's header says, or as it stood before our own restart if that was the same run."""
        run, boot_id = int(info["epoch"]), str(info.get("boot_id"))
        if stored and stored["run"] == run:
            return cls(run, boot_id, [Segment(**segment) for segment in stored["segments"]])
        return cls(run, boot_id, [Segment(0, int(info["wall_offset_ns"]), run, WAITING)])

    def to_dict(self) -> dict[str, Any]:
        """As JSON may hold it: kept before a row of its newest epoch is sent."""
        return asdict(self)

    @property
    def newest(self) -> Segment:
        """What holds now."""
        return self.segments[-1]

    def look(self, now: Reading, wait_ns: int, number: Callable[[int], int] = new_epoch) -> bool:
        """Begin an epoch if the clock has been stepped; see what it is worth. -> something has changed."""
        before = list(self.segments)
        if abs(now.offset_ns - self.newest.offset_ns) > STEP_NS:
            segment = Segment(now.t_ns, now.offset_ns, number(now.wall_ns), WAITING)
            self.segments = [*self.segments, segment][-KEPT:]
        if now.synchronized:
            newest = replace(self.newest, clock="")
            late = partial(replace, offset_ns=newest.offset_ns, clock=LATE)
            self.segments = [*(late(s) if s.clock == WAITING else s for s in self.segments[:-1]), newest]
        elif now.t_ns >= wait_ns:
            self.segments = [replace(s, clock=UNSYNCHRONIZED) if s.clock == WAITING else s for s in self.segments]
        return self.segments != before

    def stamp(self, body: dict[str, Any], held_ns: int) -> None:
        """Put the times of a held row right, which were made with the offset held_ns."""
        of_this_boot = body.pop("boot_id") == self.boot_id
        body["clock"] = LATE if of_this_boot and not self.newest.clock else UNSYNCHRONIZED
        shift_ns = self.newest.offset_ns - held_ns
        if body["clock"] == LATE and abs(shift_ns) > STEP_NS:
            for key in TIMES:
                if key in body:
                    body[key] += shift_ns // 1_000_000

    def timed(self, draft: Draft) -> Draft:
        """Say in the body what its times are worth, or hold the row until that is known."""
        segment = next((s for s in self.segments if s.epoch == draft.body["epoch"]), self.newest)
        if segment.clock == WAITING:
            return replace(draft, body=draft.body | {"boot_id": self.boot_id}, held_ns=segment.offset_ns)
        return replace(draft, body=draft.body | {"clock": segment.clock}) if segment.clock else draft

    def split(self, records: NDArray[Any]) -> Iterator[tuple[Segment, NDArray[Any]]]:
        """Records in order of time, cut where an epoch begins."""
        starts = np.array([segment.from_ns for segment in self.segments[1:]], dtype=np.int64)
        cuts = np.searchsorted(records["t_ns"], starts, side="left")
        for segment, part in zip(self.segments, np.split(records, cuts), strict=True):
            if len(part):
                yield segment, part
