"""The telemetry process: ring -> journal, captures; ring -> frames -> outbox -> delivery. The core runs on in any case.

A turn takes what is new, hands over what is due, and writes <runtime_dir>/telemetry.json once a second. It waits for
nobody: a dead broker or store leaves rows in the outbox, a missing ring is looked for again.
Restart: the journal says its last step, the outbox how far the frames have come; the older of both is where to begin.
Clock: looked at once a second; see wallclock.py.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from controller.buswatch import NAME as BUSES
from controller.notify import notify
from controller.seal import Seal
from controller.telemetry.buses import Sets, read_told, sets_of
from controller.telemetry.delivery import Delivery
from controller.telemetry.follow import Chunk, Journal, RingFollower
from controller.telemetry.frames import Carry, FrameBuilder
from controller.telemetry.outbox import Outbox
from controller.telemetry.pump import Pump
from controller.telemetry.scopefile import Scope
from controller.telemetry.wallclock import WAIT_NS, WAITING, ClockMap, Reading
from controller.telemetry.wire import VERSION, Draft
from controller.wholefile import write_whole
from cython_core.records import Freshness

if TYPE_CHECKING:
    from controller.telemetry.desk import Desk

log = logging.getLogger(__name__)

STATUS_MS = 1000
CLOCK_NS = 1_000_000_000
OF_OUTBOX = ("dropped", "dropped_events", "failed_writes", "waiting")  # in every frame


class Telemetry:
    """Everything injected; turn() is called about ten times a second.

    desk: for sites that take commands. scope: captures around events. seal: keeps the record that cannot be changed
    unseen. clock_wait_ns: 0 holds no row for its time.
    """

    def __init__(self, ring: RingFollower, journal: Journal, outbox: Outbox, delivery: Delivery, live_ms: int,
                 p_at_meter: bool, runtime_dir: Path, desk: Desk | None = None, seal: Seal | None = None,
                 scope: Scope | None = None, clock_wait_ns: int = WAIT_NS) -> None:  # fmt: skip
        self.ring, self.journal, self.outbox, self.delivery = ring, journal, outbox, delivery
        self.live_ms, self.p_at_meter, self.scope = live_ms, p_at_meter, scope
        self.status_path, self.buses_path = runtime_dir / "telemetry.json", runtime_dir / BUSES
        self.buses: Sets = {}
        self.pump = Pump(outbox)
        self.frames = self.lost_records = 0
        self._builder: FrameBuilder | None = None
        self._clock: ClockMap | None = None
        self._now: Reading | None = None
        self.clock_wait_ns = clock_wait_ns
        self.journal_failures = 0
        self._connection = 0
        self.desk, self.seal = desk, seal
        self._soc_pu: float | None = None
        self._told_ms = self._ahead_ms = 0  # of the epoch's time before the steady one
        self._newest_n = -1
        self._fed_ms = self._status_ms = 0

    def turn(self, now_ms: int, now: Reading | None = None) -> None:
        """One round. now_ms: steady, from Unix time on. now: the clocks as they are; None: right since the ring."""
        due = now is not None and (self._now is None or now.t_ns - self._now.t_ns >= CLOCK_NS)
        self._now = now if due else self._now
        if self.ring.reader is None:
            self.ring.open(self._start_n)
        if due:
            self._look(now_ms)
            if self._clock is not None and now is not None:
                self._ahead_ms = (self._clock.newest.offset_ns + now.t_ns) // 1_000_000 - now_ms
        for chunk in self.ring.chunks():
            self._take(chunk, now_ms)
        if self._builder is not None and self.ring.reader is None:
            self._close_scope(now_ms)
            self._keep(self._builder.end(), now_ms)  # a new core has taken over
            self._builder = self._soc_pu = None
        elif self._builder is not None and now_ms - self._fed_ms > self.live_ms:
            self._keep(self._builder.flush(), now_ms)  # the core has stopped
        self.outbox.tend(now_ms)
        self.deliver(now_ms)
        if self.desk is not None:
            self._tell(self.desk.turn(self._soc_pu), now_ms)
        if self.seal is not None and self.seal.turn(now_ms + self._ahead_ms):
            self._tell([("sealed", self.seal.head)], now_ms)
        if now_ms - self._status_ms >= STATUS_MS:
            self._status_ms = now_ms
            self.write_status(now_ms)
            notify("READY=1", "WATCHDOG=1")  # each second anew: by this turn, never by a timer

    def finish(self, now_ms: int, now: Reading | None = None) -> None:
        """Take what is left, close the open window, hand over once more."""
        self.turn(now_ms, now)
        if self._builder is not None:
            self._keep(self._builder.flush(), now_ms)
        self._close_scope(now_ms)
        self._write_journal(self.journal.close)
        if self.seal is not None:
            self.seal.close(now_ms + self._ahead_ms)
        self.deliver(now_ms)
        self.write_status(now_ms)

    def write_status(self, now_ms: int) -> None:
        """For whoever watches; a reader sees the old file or the new one, never half."""
        try:
            write_whole(self.status_path, json.dumps(self.status(now_ms + self._ahead_ms)))
        except OSError as error:
            log.debug("%s: %s", self.status_path, error)

    def status(self, t_ms: int) -> dict[str, Any]:
        """The numbers of this process."""
        counters = asdict(self.outbox.counters())
        own = {"frames": self.frames, "sent": self.pump.sent, "lost_records": self.lost_records,
               "journal_failures": self.journal_failures, "newest_n": self._newest_n}  # fmt: skip
        to = {"delivery": self.delivery.name, "connected": self.delivery.connected, **self.delivery.counters()}
        info = {} if self._builder is None else self._builder.info
        of_run = {
            "run": info.get("epoch"),
            "epoch": None if self._builder is None else self._builder.epoch,
            "unverified": info.get("unverified", ""),
            "realtime": info.get("realtime"),
        }
        return {"v": 1, "pid": os.getpid(), "t_ms": t_ms, **of_run, **own, **counters, **to, "bus": self.buses}

    def _start_n(self, info: dict[str, Any]) -> int:
        """An epoch begins, or goes on after our restart. -> the first step that journal or frames still need."""
        epoch = int(info["epoch"])
        progress = self.outbox.progress()
        carry = Carry.from_dict(progress["carry"]) if "carry" in progress else Carry()
        carry = carry if progress.get("epoch") == epoch else carry.next_run()
        self._builder = FrameBuilder(info, self.live_ms, self.p_at_meter, carry)
        self._clock = ClockMap.begin(info, progress.get("clock"))
        self._look(self._fed_ms)
        written_to = self.journal.resume_n(epoch) or 0
        scope_n = None if self.scope is None else self.scope.begin(info, progress.get("scope", {}))
        return min(n for n in (carry.n_last + 1, written_to, scope_n) if n is not None)

    def _look(self, now_ms: int) -> None:
        """At the clocks: what they change is kept before any row that rests on it is sent."""
        if self._clock is None or self._now is None:
            return
        if self._clock.look(self._now, self.clock_wait_ns):
            self.outbox.add((), now_ms, self._progress())
        if self._clock.newest.clock != WAITING:
            self.outbox.release(self._clock.stamp, now_ms)

    def _take(self, chunk: Chunk, now_ms: int) -> None:
        assert self._builder is not None
        assert self._clock is not None
        self._builder.know(chunk.info)
        if self.seal is not None:
            self.seal.settings(chunk.info, now_ms + self._ahead_ms)
        self._write_journal(lambda: self._journal(chunk))
        self._newest_n, self._fed_ms = int(chunk.records["n"][-1]), now_ms
        newest = chunk.records[-1]
        soc_known = newest["fresh_d"] <= Freshness.HELD and np.isfinite(newest["d_soc_pu"])
        self._soc_pu = float(newest["d_soc_pu"]) if soc_known else None
        for segment, records in self._clock.split(chunk.records):
            drafts = self._builder.at(segment.epoch, segment.offset_ns)
            captures = [] if self.scope is None else self.scope.record(records, segment.offset_ns)
            drafts += [self._builder.oscillography(*capture) for capture in captures]
            self._keep(drafts + self._builder.add(records), now_ms)

    def _close_scope(self, now_ms: int) -> None:
        """Write the capture under way as far as it has come."""
        if self.scope is not None and self._builder is not None:
            captures = self.scope.close(self._builder.offset_ns)
            self._keep([self._builder.oscillography(*capture) for capture in captures], now_ms)

    def _journal(self, chunk: Chunk) -> None:
        """Steps that are there already, of a restart of ours, begin no run."""
        if int(chunk.records["n"][-1]) >= (self.journal.resume_n(int(chunk.info["epoch"])) or 0):
            self.journal.begin(chunk.info)
            self.journal.append(chunk.raw, chunk.snapshot)

    def _write_journal(self, work: Callable[[], None]) -> None:
        try:
            work()
        except OSError as error:
            if not self.journal_failures:
                log.error("V2G-JOURNAL-DISK %s", error)
            self.journal_failures += 1

    def _keep(self, drafts: list[Draft], now_ms: int) -> None:
        if not drafts or self._builder is None:
            return
        self.lost_records += sum(d.body["records"] for d in drafts if d.name == "lost")
        counters = self.outbox.counters()
        own = {name: getattr(counters, name) for name in OF_OUTBOX} | self.delivery.counters()
        for draft in [d for d in drafts if d.kind == "live"]:
            self.frames += 1
            draft.body["telemetry"] = {**own, "lost_records": self.lost_records}
            told = read_told(self.buses_path, self._builder.timed_info, draft.t_ms)
            self.buses = sets_of(told)
            if self.buses:
                draft.body["bus"] = self.buses
            drafts += self._builder.of_devices(draft, told)
            if self.desk is not None:
                self.desk.live(draft.body)
        drafts = self._timed(drafts)
        self._seal_events(drafts)
        self.outbox.add(drafts, now_ms, self._progress())

    def _timed(self, drafts: list[Draft]) -> list[Draft]:
        """What their times are worth is said in each, or it is held."""
        known = self._now is not None and self._clock is not None
        return [self._clock.timed(draft) for draft in drafts] if known and self._clock else drafts

    def _progress(self) -> dict[str, Any]:
        """What a restart of ours needs."""
        assert self._builder is not None
        assert self._clock is not None
        progress = {"epoch": self._builder.info["epoch"], "carry": self._builder.carry.to_dict(),
                    "clock": self._clock.to_dict()}  # fmt: skip
        return progress if self.scope is None else progress | {"scope": self.scope.state()}

    def _seal_events(self, drafts: Sequence[Draft]) -> None:
        for draft in drafts:
            if self.seal is not None and draft.kind == "event":
                self.seal.event(draft.body, draft.t_ms)

    def _tell(self, events: Sequence[tuple[str, dict[str, Any]]], now_ms: int) -> None:
        """Events of our own, each at a time of its own: two of one name and time would be one row to the store."""
        info = {} if self._builder is None else self._builder.info
        drafts = []
        for name, facts in events:
            self._told_ms = max(self._told_ms + 1, now_ms + self._ahead_ms)
            head = {"v": VERSION, "kind": "event", "site": self.outbox.site, "run": info.get("epoch", 0),
                    "epoch": info.get("epoch", 0) if self._clock is None else self._clock.newest.epoch,
                    "t_ms": self._told_ms, "start_mode": info.get("start_mode", "unknown"), "event": name}  # fmt: skip
            drafts.append(Draft("event", name, self._told_ms, {**head, **facts}))
        if drafts:
            self._seal_events(drafts)
            self.outbox.add(self._timed(drafts), now_ms)

    def deliver(self, now_ms: int) -> None:
        """Acknowledgements in, due rows out."""
        if self.delivery.connection != self._connection:
            self._connection = self.delivery.connection
            self.pump.connected(now_ms)
        for outbox_id, ranges in self.delivery.acks():
            self.pump.acknowledged(outbox_id, ranges, now_ms)
        if self.delivery.connected:
            self.delivery.send(self.pump.due(now_ms))
