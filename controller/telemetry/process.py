"""The telemetry process: ring -> journal, and ring -> frames -> outbox -> delivery. The core runs on in any case.

A turn takes what is new, hands over what is due, and writes <runtime_dir>/telemetry.json once a second. It waits for
nobody: a dead broker or store leaves rows in the outbox, a missing ring is looked for again.
Restart: the journal says its last step, the outbox how far the frames have come; the older of both is where to begin.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from controller.buswatch import NAME as BUSES
from controller.notify import notify
from controller.telemetry.buses import Sets, read_buses
from controller.telemetry.delivery import Delivery
from controller.telemetry.follow import Chunk, Journal, RingFollower
from controller.telemetry.frames import Carry, FrameBuilder
from controller.telemetry.outbox import Outbox
from controller.telemetry.pump import Pump
from controller.telemetry.wire import Draft
from controller.wholefile import write_whole

log = logging.getLogger(__name__)

STATUS_MS = 1000


class Telemetry:
    """Everything injected; turn(now_ms) is called about ten times a second."""

    def __init__(self, ring: RingFollower, journal: Journal, outbox: Outbox,
                 delivery: Delivery, live_ms: int, p_at_meter: bool, runtime_dir: Path) -> None:  # fmt: skip
        self.ring, self.journal, self.outbox, self.delivery = ring, journal, outbox, delivery
        self.live_ms, self.p_at_meter = live_ms, p_at_meter
        self.status_path, self.buses_path = runtime_dir / "telemetry.json", runtime_dir / BUSES
        self.buses: Sets = {}
        self.pump = Pump(outbox)
        self.frames = self.lost_records = 0
        self._builder: FrameBuilder | None = None
        self.journal_failures = 0
        self._connection = 0
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
            self._builder = None
        self.deliver(now_ms)
        if now_ms - self._status_ms >= STATUS_MS:
            self._status_ms = now_ms
            self.write_status(now_ms)
            notify("READY=1", "WATCHDOG=1")  # each second anew: by this turn, never by a timer

    def finish(self, now_ms: int) -> None:
        """Take what is left, close the open window, hand over once more."""
        self.turn(now_ms)
        if self._builder is not None:
            self._keep(self._builder.flush(), now_ms)
        self._write_journal(self.journal.close)
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
        to = {"delivery": self.delivery.name, "connected": self.delivery.connected}
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
        written_to = self.journal.resume_n(epoch) or 0
        self._write_journal(lambda: self.journal.begin(info))
        return min(carry.n_last + 1, written_to)

    def _take(self, chunk: Chunk, now_ms: int) -> None:
        assert self._builder is not None
        self._write_journal(lambda: self.journal.append(chunk.raw, chunk.snapshot))
        self._newest_n, self._fed_ms = int(chunk.records["n"][-1]), now_ms
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
        own = {"dropped": counters.dropped, "failed_writes": counters.failed_writes, "waiting": counters.waiting}
        for draft in drafts:
            if draft.kind == "live":
                self.frames += 1
                draft.body["telemetry"] = {**own, "lost_records": self.lost_records}
                self.buses = read_buses(self.buses_path, self._builder.info, draft.t_ms)
                if self.buses:
                    draft.body["bus"] = self.buses
        progress = {"epoch": self._builder.info["epoch"], "carry": self._builder.carry.to_dict()}
        self.outbox.add(drafts, now_ms, progress)

    def deliver(self, now_ms: int) -> None:
        """Acknowledgements in, due rows out."""
        if self.delivery.connection != self._connection:
            self._connection = self.delivery.connection
            self.pump.connected(now_ms)
        for outbox_id, ranges in self.delivery.acks():
            self.pump.acknowledged(outbox_id, ranges, now_ms)
        if self.delivery.connected:
            self.delivery.send(self.pump.due(now_ms))
