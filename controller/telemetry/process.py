"""The telemetry process: ring -> journal, and ring -> frames -> outbox -> delivery. The core runs on in any case.

A turn takes what is new, hands over what is due, and writes <runtime_dir>/telemetry.json once a second. It waits for
nobody: a dead broker or store leaves rows in the outbox, a missing ring is looked for again.
Restart: the journal says its last step, the outbox how far the frames have come; the older of both is where to begin.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from controller.buswatch import NAME as BUSES
from controller.seal import Seal
from controller.telemetry.buses import Sets, read_buses
from controller.telemetry.delivery import Delivery
from controller.telemetry.desk import Desk
from controller.telemetry.follow import Chunk, Journal, RingFollower
from controller.telemetry.frames import Carry, FrameBuilder
from controller.telemetry.outbox import Outbox
from controller.telemetry.pump import Pump
from controller.telemetry.wire import VERSION, Draft
from controller.wholefile import write_whole
from cython_core.records import Freshness

log = logging.getLogger(__name__)

STATUS_MS = 1000


class Telemetry:
    """Everything injected; turn(now_ms) is called about ten times a second.

    desk: for sites that take commands. seal: keeps the record that cannot be changed unseen.
    """

    def __init__(self, ring: RingFollower, journal: Journal, outbox: Outbox, delivery: Delivery, live_ms: int,
                 p_at_meter: bool, runtime_dir: Path, desk: Desk | None = None,
                 seal: Seal | None = None) -> None:  # fmt: skip
        self.ring, self.journal, self.outbox, self.delivery = ring, journal, outbox, delivery
        self.live_ms, self.p_at_meter = live_ms, p_at_meter
        self.status_path, self.buses_path = runtime_dir / "telemetry.json", runtime_dir / BUSES
        self.buses: Sets = {}
        self.pump = Pump(outbox)
        self.frames = self.lost_records = 0
        self._builder: FrameBuilder | None = None
        self.journal_failures = 0
        self._connection = 0
        self.desk, self.seal = desk, seal
        self._soc_pu: float | None = None
        self._told_ms = 0
        self._newest_n = -1
        self._fed_ms = self._status_ms = 0

    def turn(self, now_ms: int) -> None:
        """One round. now_ms: Unix time."""
        if self.ring.reader is None:
            self.ring.open(self._start_n)
        for chunk in self.ring.chunks():
            self._take(chunk, now_ms)
        if self._builder is not None and (self.ring.reader is None or now_ms - self._fed_ms > self.live_ms):
            self._keep(self._builder.flush(), now_ms)  # the core has stopped, or a new one has taken over
        if self.ring.reader is None:
            self._builder = self._soc_pu = None
        self.deliver(now_ms)
        if self.desk is not None:
            self._tell(self.desk.turn(self._soc_pu), now_ms)
        if self.seal is not None and self.seal.turn(now_ms):
            self._tell([("sealed", self.seal.head)], now_ms)
        if now_ms - self._status_ms >= STATUS_MS:
            self._status_ms = now_ms
            self.write_status(now_ms)

    def finish(self, now_ms: int) -> None:
        """Take what is left, close the open window, hand over once more."""
        self.turn(now_ms)
        if self._builder is not None:
            self._keep(self._builder.flush(), now_ms)
        self._write_journal(self.journal.close)
        if self.seal is not None:
            self.seal.close(now_ms)
        self.deliver(now_ms)
        self.write_status(now_ms)

    def write_status(self, now_ms: int) -> None:
        """For whoever watches; a reader sees the old file or the new one, never half."""
        try:
            write_whole(self.status_path, json.dumps(self.status(now_ms)))
        except OSError as error:
            log.debug("%s: %s", self.status_path, error)

    def status(self, now_ms: int) -> dict[str, Any]:
        """The numbers of this process."""
        counters = asdict(self.outbox.counters())
        own = {"frames": self.frames, "sent": self.pump.sent, "lost_records": self.lost_records,
               "journal_failures": self.journal_failures, "newest_n": self._newest_n}  # fmt: skip
        to = {"delivery": self.delivery.name, "connected": self.delivery.connected, **self.delivery.counters()}
        info = {} if self._builder is None else self._builder.info
        of_run = {
            "epoch": info.get("epoch"),
            "unverified": info.get("unverified", ""),
            "realtime": info.get("realtime"),
        }
        return {"v": 1, "pid": os.getpid(), "t_ms": now_ms, **of_run, **own, **counters, **to, "bus": self.buses}

    def _start_n(self, info: dict[str, Any]) -> int:
        """An epoch begins, or goes on after our restart. -> the first step that journal or frames still need."""
        epoch = int(info["epoch"])
        progress = self.outbox.progress()
        carry = Carry.from_dict(progress["carry"]) if progress.get("epoch") == epoch else Carry()
        self._builder = FrameBuilder(info, self.live_ms, self.p_at_meter, carry)
        if self.seal is not None:
            self.seal.settings(info, time.time_ns() // 1_000_000)
        written_to = self.journal.resume_n(epoch) or 0
        self._write_journal(lambda: self.journal.begin(info))
        return min(carry.n_last + 1, written_to)

    def _take(self, chunk: Chunk, now_ms: int) -> None:
        assert self._builder is not None
        self._write_journal(lambda: self.journal.append(chunk.raw, chunk.snapshot))
        self._newest_n, self._fed_ms = int(chunk.records["n"][-1]), now_ms
        newest = chunk.records[-1]
        soc_known = newest["fresh_d"] <= Freshness.HELD and np.isfinite(newest["d_soc_pu"])
        self._soc_pu = float(newest["d_soc_pu"]) if soc_known else None
        self._keep(self._builder.add(chunk.records), now_ms)

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
        own = {"dropped": counters.dropped, "failed_writes": counters.failed_writes, "waiting": counters.waiting,
               **self.delivery.counters()}  # fmt: skip
        for draft in drafts:
            if draft.kind == "live":
                self.frames += 1
                draft.body["telemetry"] = {**own, "lost_records": self.lost_records}
                self.buses = read_buses(self.buses_path, self._builder.info, draft.t_ms)
                if self.buses:
                    draft.body["bus"] = self.buses
                if self.desk is not None:
                    self.desk.live(draft.body)
        progress = {"epoch": self._builder.info["epoch"], "carry": self._builder.carry.to_dict()}
        self._seal_events(drafts)
        self.outbox.add(drafts, now_ms, progress)

    def _seal_events(self, drafts: Sequence[Draft]) -> None:
        for draft in drafts:
            if self.seal is not None and draft.kind == "event":
                self.seal.event(draft.body, draft.t_ms)

    def _tell(self, events: Sequence[tuple[str, dict[str, Any]]], now_ms: int) -> None:
        """Events of our own, each at a time of its own: two of one name and time would be one row to the store."""
        info = {} if self._builder is None else self._builder.info
        drafts = []
        for name, facts in events:
            self._told_ms = max(self._told_ms + 1, now_ms)
            head = {"v": VERSION, "kind": "event", "site": self.outbox.site, "epoch": info.get("epoch", 0),
                    "t_ms": self._told_ms, "start_mode": info.get("start_mode", "unknown"), "event": name}  # fmt: skip
            drafts.append(Draft("event", name, self._told_ms, {**head, **facts}))
        if drafts:
            self._seal_events(drafts)
            self.outbox.add(drafts, now_ms)

    def deliver(self, now_ms: int) -> None:
        """Acknowledgements in, due rows out."""
        if self.delivery.connection != self._connection:
            self._connection = self.delivery.connection
            self.pump.connected(now_ms)
        for outbox_id, ranges in self.delivery.acks():
            self.pump.acknowledged(outbox_id, ranges, now_ms)
        if self.delivery.connected:
            self.delivery.send(self.pump.due(now_ms))
