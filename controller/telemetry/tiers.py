"""The outbox's files: a quick one in memory and one on disk, with one name and one numbering. See outbox.py.

quick    in the runtime folder: no wear, survives a killed process, gone after a reboot. None: disk takes all at once.
disk     in the state folder. Its id is the outbox's; a quick file of another id gives its rows new numbers.
next     the number that the next row gets. After a reboot, or without a quick file from now on, the numbers go on JUMP
         above the newest that the disk has heard of, since quick is gone and knew better; unless that was `exact`.
Errors   DatabaseRefusedError at the first opening: newer schema, held by another process, or neither file can be used.
         Later a file that cannot be used is missing until it can; a damaged one is set aside and begun anew.
"""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path
from typing import Any

from controller.telemetry.database import DatabaseRefusedError, UnwritableError, move_aside
from controller.telemetry.tier import Tier
from controller.telemetry.wire import to_ranges

log = logging.getLogger(__name__)

RETRY_MS = 5_000
JUMP = 10_000_000  # numbers the disk may not have heard of while it refused: 115 days at one a second
MARK_EVERY = 10_000  # numbers after which the disk hears of the newest one, when nothing else is written there
MARK_MS = 600_000
AT_ONCE = 1000  # rows moved in one transaction
DROPPED = {"live": "dropped", "event": "dropped_events"}


class Tiers:
    """Either file may be missing, never both at the beginning. progress, dropped: the outbox's, kept in both."""

    def __init__(self, disk: Path, quick: Path | None, site: str) -> None:
        self.disk_path, self.quick_path, self.site = disk, quick, site
        self.id = ""
        self.quick: Tier | None = None
        self.disk: Tier | None = None
        self.next = self._marked = 1
        self.exact = quick is None  # the disk hears of each number
        self._marked_ms = 0
        self.dropped = {"live": 0, "event": 0}
        self.progress: dict[str, Any] = {}
        self.retry_ms = 0  # no file that has refused is tried again before
        self.failed = 0  # writes, of files that are no longer there
        self._said: dict[Path, str] = {}
        try:
            self.open()
            if not self.all():
                raise DatabaseRefusedError("; ".join(self._said.values()))
        except DatabaseRefusedError:
            for tier in self.all():
                tier.close()
            raise
        self.first = self.next  # of this process

    def all(self) -> list[Tier]:
        """Those that are there, in the order in which they are tried."""
        return [tier for tier in (self.quick, self.disk) if tier is not None]

    @property
    def missing(self) -> bool:
        """A file cannot be used now."""
        return self.disk is None or (self.quick is None and self.quick_path is not None)

    def position(self, **dropped: int) -> dict[str, Any]:
        """What a file keeps beside its rows. dropped: so many more of a kind."""
        counts = {key: self.dropped[kind] + dropped.get(kind, 0) for kind, key in DROPPED.items()}
        return {"next": self.next, "progress": self.progress, "exact": self.exact, **counts}

    def spill(self, where: str, now_ms: int) -> None:
        """Rows of the quick file move to disk; they stay where they are while it refuses."""
        if self.quick is None or self.disk is None or now_ms < self.retry_ms:
            return
        while rows := self.quick.select(f"{where} ORDER BY seq", (), AT_ONCE):
            if not self.disk.insert(rows):
                self.retry_ms = now_ms + RETRY_MS
                return
            if not self.quick.delete(to_ranges(row.seq for row in rows)):
                return

    def mark(self, now_ms: int, after: int = 0) -> None:
        """The disk hears of the newest number when `after` have been given, so that no other run gives it again.

        And each MARK_MS: the progress counts energy, which a power cut must not take back by hours.
        """
        due = self.next - self._marked >= after or (self.next > self._marked and now_ms - self._marked_ms >= MARK_MS)
        if self.disk is None or now_ms < self.retry_ms or not due:
            return
        if self.disk.insert((), self.position()):
            self._marked, self._marked_ms = self.next, now_ms
        else:
            self.retry_ms = now_ms + RETRY_MS

    def open(self) -> None:
        """Open what is missing and can be opened."""
        if self.quick is None and self.quick_path is not None:
            self.quick = self._tier(self.quick_path, lasting=False)  # a power cut takes the whole file anyway
        if self.disk is None:
            self.disk = self._tier(self.disk_path, lasting=True)
        if self.all():
            self._join()

    def mend(self) -> bool:
        """Begin anew in place of a damaged file. -> whether there was one."""
        damaged = [tier for tier in self.all() if tier.damaged]
        for tier in damaged:
            self._give_up(tier)
        if damaged:
            self.quick = None if self.quick in damaged else self.quick
            self.disk = None if self.disk in damaged else self.disk
            self.open()
        return bool(damaged)

    def close(self) -> None:
        """All rows to disk; let the files go."""
        self.retry_ms = 0
        self.spill("1", 0)
        self.exact = True
        self.mark(0)
        for tier in self.all():
            tier.close()

    def _give_up(self, tier: Tier) -> None:
        self.failed += tier.failed
        for kind, amount in tier.amounts.items():
            self.dropped[kind] += amount.rows
        tier.close()
        log.error("V2G-OUTBOX-DAMAGED %s: set aside with %d rows, a new one begins", tier.path, tier.rows)
        with contextlib.suppress(OSError):  # a disk that lets nobody rename: it is refused when it is opened
            move_aside(tier.path)

    def _tier(self, path: Path, lasting: bool) -> Tier | None:
        try:
            tier = Tier(path, self.site, lasting)
        except UnwritableError as error:
            if self._said.get(path) != str(error):
                log.error("V2G-OUTBOX-DISK %s", error)
            self._said[path] = str(error)
            return None
        if self._said.pop(path, None):
            log.warning("V2G-OUTBOX-DISK %s: writable again", path)
        return tier

    def _join(self) -> None:
        """One id and one numbering over the files that are there."""
        positions = [tier.position for tier in self.all()]
        newest = max(positions, key=lambda position: int(position.get("next", 1)))
        floor = self._floor()
        self.id = self.disk.id if self.disk is not None else self.all()[0].id
        if self.quick is not None and self.quick.id != self.id and not self.quick.move_to(self.id, floor):
            self.quick.close()
            self.quick = None
        self.next = max(self.next, floor, int(newest.get("next", 1)), self.quick.newest + 1 if self.quick else 1)
        self.progress = newest.get("progress", {})
        for kind, key in DROPPED.items():
            self.dropped[kind] = max(self.dropped[kind], *(int(position.get(key, 0)) for position in positions))
        self.mark(0)

    def _floor(self) -> int:
        """Lower numbers may have been given under the disk's id, by a quick file that is gone."""
        if self.disk is None or not (said := self.disk.position):
            return 1
        if self.quick_path is None and said.get("exact"):
            return 1
        known = {self.id, self.quick.id if self.quick is not None else ""}
        return 1 if self.disk.id in known else int(said["next"]) + JUMP
