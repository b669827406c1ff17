"""Outbox: rows wait here, numbered, until the consumer says that they are stored. SQLite, in two tiers.

Tiers    New rows go to the quick file, in memory; events move on to disk at once, live rows when one has waited
         SPILL_MS, all at close(). A row lies in one of them. A power cut costs SPILL_MS of live rows and no event.
         See tiers.py.
Numbers  seq never comes twice within one outbox id, whichever file is lost; `id` is new with every new file on disk.
Bounds   of each file: the oldest live rows go first, counted in `dropped`; events only beyond a bound of their own,
         which is that of a broken machine, loudly and counted in `dropped_events`.
Held     rows whose time is not yet known are not sent before release().
Errors   nothing here raises into the loop after opening. While a file cannot be written the other one serves, and with
         none the rows wait in memory; it is tried again every RETRY_MS. DatabaseRefusedError at opening.
What was sent when is not kept: after a restart everything is sent again, and each send would wear the card.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from controller.telemetry.tier import Amount, Kept, Tier
from controller.telemetry.tiers import AT_ONCE, MARK_EVERY, RETRY_MS, Tiers
from controller.telemetry.wire import Draft, Ranges, Row

log = logging.getLogger(__name__)

SPILL_MS = 5_000
MIB = 1024 * 1024
MOST = Amount(300_000, 800 * MIB)  # live rows on disk: three days of one a second
QUICK = Amount(20_000, 32 * MIB)  # live rows in the quick file while the disk refuses: they are the host's memory
EVENTS = Amount(100_000, 64 * MIB)  # of either file; an ordinary day has some hundred
IN_MEMORY = {"live": 1000, "event": 10_000}  # rows kept while no file takes them


@dataclass(frozen=True, slots=True)
class Counters:
    """Since this process began, except waiting, held, on_disk (now) and what was dropped (since the file began)."""

    added: int = 0
    acknowledged: int = 0
    waiting: int = 0
    held: int = 0
    on_disk: int = 0
    dropped: int = 0
    dropped_events: int = 0
    failed_writes: int = 0


class Outbox:
    """Used by one thread of one process. most: live rows on disk, and their bytes."""

    def __init__(self, path: Path, site: str, most: Amount = MOST, *, quick: Path | None = None) -> None:
        self.path, self.site, self.most = path, site, most
        self.tiers = Tiers(path, quick, site)
        self._pending: list[Kept] = []  # without a number yet
        self._added = self._acknowledged = 0
        self._last: Counters | None = None  # of a closed one

    @property
    def id(self) -> str:
        """Names this outbox on the wire."""
        return self.tiers.id

    # ---- in ----

    def add(self, drafts: Sequence[Draft], now_ms: int, progress: Mapping[str, Any] | None = None) -> bool:
        """Number and keep rows, together with how far the source has been read. False: they wait in memory."""
        tiers = self.tiers
        refused = bool(self._pending) and now_ms < tiers.retry_ms
        self._pending += [kept(draft, now_ms) for draft in drafts]
        tiers.mend()
        tier = None if refused else self._keep(progress)
        if tier is None and tiers.mend():  # it was damaged; there is a new one now
            tier = self._keep(progress)
        if tier is None:
            tiers.retry_ms = tiers.retry_ms if refused else now_ms + RETRY_MS
            self._bound_memory()
            return False
        self._bound(tier)
        if tier is tiers.quick and tier.amounts["event"].rows:
            self._spill("kind = 'event'", now_ms)
        return True

    def tend(self, now_ms: int) -> None:
        """Each turn: what has waited long enough goes to disk; what was refused is tried again."""
        tiers = self.tiers
        tiers.mend()
        if (tiers.missing or self._pending) and now_ms >= tiers.retry_ms:
            tiers.open()
            self.add((), now_ms)
            if tiers.missing:
                tiers.retry_ms = now_ms + RETRY_MS
        # what an earlier process has left is old, whatever its clock said
        if tiers.quick is not None and tiers.quick.any("seq < ? OR created_ms <= ?", tiers.first, now_ms - SPILL_MS):
            self._spill("1", now_ms)
        if tiers.quick is not None:
            tiers.mark(now_ms, MARK_EVERY)

    def release(self, stamp: Callable[[dict[str, Any], int], None], now_ms: int) -> None:
        """Held rows may go. stamp(body, wall offset it was stamped with) puts the right time into the body."""
        if now_ms < self.tiers.retry_ms:
            return
        for tier in self.tiers.all():
            while rows := tier.select("held_ns IS NOT NULL ORDER BY seq", (), AT_ONCE):
                if not tier.rewrite([restamped(row, stamp) for row in rows]):
                    self.tiers.retry_ms = now_ms + RETRY_MS
                    break

    def progress(self) -> dict[str, Any]:
        """What the last add() said, also from before a restart; {} in a new file."""
        return self.tiers.progress

    # ---- out ----

    def fresh(self, after_seq: int, since_ms: int, limit: int = 1000) -> list[Row]:
        """Rows of this process with a higher number and not older than since_ms: events first."""
        where = "seq > ? AND created_ms >= ? AND held_ns IS NULL ORDER BY kind = 'live', seq"
        rows = self._select(where, (max(after_seq, self.tiers.first - 1), since_ms), limit)
        return sorted(rows, key=lambda row: (row.kind == "live", row.seq))[:limit]

    def next_batch(self, limit: int, skip: Collection[int] = ()) -> list[Row]:
        """What waits: events in order, then live rows newest first, but not the numbers in `skip`."""
        batch: list[Row] = []
        for kind, order, sign in (("event", "ASC", 1), ("live", "DESC", -1)):
            room = limit - len(batch)
            if room > 0:
                where = f"kind = '{kind}' AND held_ns IS NULL ORDER BY seq {order}"
                rows = [row for row in self._select(where, (), room + len(skip)) if row.seq not in skip]
                batch += sorted(rows, key=lambda row: sign * row.seq)[:room]
        return batch

    def newest_seq(self) -> int:
        """The highest number given so far, 0 in a new file."""
        return self.tiers.next - 1

    def acknowledge(self, outbox_id: str, ranges: Ranges) -> int:
        """Delete rows the consumer has stored; another outbox's numbers are ignored. -> rows deleted."""
        if outbox_id != self.id:
            return 0
        gone = sum(tier.delete(ranges) for tier in self.tiers.all())
        self._acknowledged += gone
        return gone

    def counters(self) -> Counters:
        """For the status file and the frames; once it is closed, as they were then."""
        if self._last is not None:
            return self._last
        tiers = self.tiers
        waiting = sum(tier.rows for tier in tiers.all()) + len(self._pending)
        on_disk = tiers.disk.rows if tiers.disk is not None else 0
        failed = tiers.failed + sum(tier.failed for tier in tiers.all())
        held = sum(tier.held for tier in tiers.all())
        return Counters(self._added, self._acknowledged, waiting, held, on_disk, tiers.dropped["live"],
                        tiers.dropped["event"], failed)  # fmt: skip

    def close(self) -> None:
        """Everything to disk. Rows that no file has taken to the end are lost here, and only these."""
        self.tiers.retry_ms = 0
        if self._pending and not self.add((), 0):
            log.error("V2G-OUTBOX-DISK %s: %d rows could not be written and are lost", self.path, len(self._pending))
        self._last = self.counters()
        self.tiers.close()

    # ---- rows and their bounds ----

    def _keep(self, progress: Mapping[str, Any] | None) -> Tier | None:
        """What is pending gets its numbers and goes into the first file that takes it."""
        tiers = self.tiers
        rows = [row._replace(seq=seq) for seq, row in enumerate(self._pending, tiers.next)]
        position = tiers.position() | {"next": tiers.next + len(rows)}
        if progress is not None:
            position["progress"] = dict(progress)
        tier = next((tier for tier in tiers.all() if tier.insert(rows, position)), None)
        if tier is not None:
            self._pending.clear()
            tiers.next, tiers.progress = position["next"], position["progress"]
            self._added += len(rows)
        return tier

    def _select(self, where: str, values: tuple[int, ...], limit: int) -> list[Row]:
        rows = [row for tier in self.tiers.all() for row in tier.select(where, values, limit)]
        return [Row(self.id, row.seq, row.kind, row.created_ms, row.body) for row in rows]

    def _spill(self, where: str, now_ms: int) -> None:
        self.tiers.spill(where, now_ms)
        if self.tiers.disk is not None:
            self._bound(self.tiers.disk)

    def _bound(self, tier: Tier) -> None:
        for kind, most in (("live", self.most if tier is self.tiers.disk else QUICK), ("event", EVENTS)):
            excess = tier.amounts[kind] - most
            if excess.rows > 0 or excess.bytes > 0:
                self._count_dropped(kind, tier.drop_oldest(kind, excess, partial(self._after_drop, kind)))

    def _after_drop(self, kind: str, gone: int) -> dict[str, Any]:
        return self.tiers.position(**{kind: gone})

    def _count_dropped(self, kind: str, gone: int) -> None:
        if gone and kind == "event" and not self.tiers.dropped[kind]:
            log.error("V2G-OUTBOX-EVENTS %s: more than %d events wait; the oldest are dropped", self.path, EVENTS.rows)
        self.tiers.dropped[kind] += gone

    def _bound_memory(self) -> None:
        for kind, most in IN_MEMORY.items():
            of_kind = [i for i, row in enumerate(self._pending) if row.kind == kind]
            gone = set(of_kind[: max(0, len(of_kind) - most)])
            self._pending = [row for i, row in enumerate(self._pending) if i not in gone]
            self._count_dropped(kind, len(gone))


def kept(draft: Draft, at_ms: int) -> Kept:
    """A draft as it lies in a file, but for its number. Its body is ASCII: so many characters, so many bytes."""
    body = json.dumps(draft.body, separators=(",", ":"), allow_nan=False)
    return Kept(0, draft.kind, at_ms, body, len(body), draft.held_ns)


def restamped(row: Kept, stamp: Callable[[dict[str, Any], int], None]) -> Kept:
    """A held row with the time that is right."""
    body = json.loads(row.body)
    stamp(body, row.held_ns or 0)
    text = json.dumps(body, separators=(",", ":"), allow_nan=False)
    return row._replace(body=text, bytes=len(text), held_ns=None)
