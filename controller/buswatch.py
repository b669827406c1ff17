"""What the bus threads know, told: their counters to readers, alarms to people, the spent budget to the next run.

Reads    each device's counters, by the core's main thread; the bus threads are not touched.
Tells    buses.json in the runtime directory, once a second: {"v", "epoch", "boot_id", "t_ns", "meter": {name: count},
         "inverter": {...}} with the names of BusStats or CanStats, times in ns of CLOCK_MONOTONIC; for
         controller.telemetry.buses and for the launcher of the next run. Alarms about writing (ALARMS).
Imports  as controller.runtime: part of the core process.
"""

from __future__ import annotations

import time

from controller.alarms import Alarms
from controller.budgetfile import Keeper
from controller.logs import say
from controller.wholefile import write_whole
from cython_core.realtime.loop import SILENT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from controller.handed import Handed
    from drivers.can.bus import Device as CanDevice
    from drivers.modbus.bus import Device

NAME = "buses.json"
TELL_NS = 1_000_000_000
DAY_NS = 86_400_000_000_000
HELD = 1  # of records.Freshness: up to here a state is good
HALF, LOW, SPENT, FAILING = 1, 2, 4, 8
ALARMS = [
    (HALF, "V2G-WRITE-BUDGET-HALF", "half of the set-points that the inverter's memory bears in a day are sent; "
     "look for what moves its power so often"),
    (LOW, "V2G-WRITE-BUDGET-LOW", "nine tenths of the day's set-points are sent; after the last its power goes to 0 W"),
    (SPENT, "V2G-WRITE-BUDGET-SPENT", "the day's set-points are sent: 0 W, and only emergencies until the day is over"),
    (FAILING, "V2G-WRITES-FAILING", "the inverter answers when it is read, but takes no set-point: its own timer will "
     "bring it to 0 W; see whether control by Modbus or CAN is allowed in its menu"),
]  # fmt: skip


class WriteAlarms:
    """Which bits of ALARMS stand. budget: set-points in 24 h, 0: any number; limit_s: how long writes may fail."""

    def __init__(self, budget: int, limit_s: float) -> None:
        self.budget, self.limit_s = budget, limit_s
        self.acknowledged = self.failed = 0
        self.failing_since_s = float("inf")

    def update(self, count: Mapping[str, int], commanded: bool, reads_good: bool, now_ns: int) -> int:
        """count: of the inverter; commanded: the core wants a power there; reads_good: its state is fresh or held."""
        return self._budget(count, now_ns) | self._failing(count, commanded, reads_good, now_ns * 1e-9)

    def _budget(self, count: Mapping[str, int], now_ns: int) -> int:
        if not self.budget or now_ns - count["t_day_ns"] >= DAY_NS:
            return 0
        spent = count["spent"]
        return (
            HALF * (2 * spent >= self.budget)
            | LOW * (10 * spent >= 9 * self.budget)
            | SPENT * (spent >= self.budget)
        )  # fmt: skip

    def _failing(self, count: Mapping[str, int], commanded: bool, reads_good: bool, now_s: float) -> int:
        failed = count["write_errors"] + count["refused"]
        if count["writes"] != self.acknowledged or not commanded:
            self.acknowledged, self.failed, self.failing_since_s = count["writes"], failed, float("inf")
        elif failed != self.failed:
            self.failed, self.failing_since_s = failed, min(self.failing_since_s, now_s)
        return FAILING * (reads_good and now_s - self.failing_since_s > self.limit_s)


class BusWatch:
    """look() a few times a second, close() at the end. devices: "meter" and "inverter"."""

    def __init__(self, handed: Handed, devices: dict[str, Device | CanDevice]) -> None:
        self.handed, self.devices = handed, devices
        self.rules = WriteAlarms(handed.write_budget, handed.writes_failing_s)
        self.alarms = Alarms(ALARMS, say)
        self.keeper = Keeper(handed.budget_file, say)
        self.next_ns = 0

    def look(self, newest: Any, now_ns: int) -> None:
        """newest: the newest step, or None."""
        counts = self.counts()
        commanded = self.handed.writes and newest is not None and newest.mode != SILENT
        reads_good = newest is not None and newest.fresh_d <= HELD
        self.alarms.update(self.rules.update(counts["inverter"], commanded, reads_good, now_ns), now_ns * 1e-9)
        if now_ns >= self.next_ns:
            self.next_ns = now_ns + TELL_NS
            self.tell(counts, now_ns)
        if self.handed.write_budget:
            self.keeper.keep(*self.spent(counts), now_ns * 1e-9)

    def close(self) -> None:
        """The last counts, when the buses have ended."""
        counts = self.counts()
        self.tell(counts, time.monotonic_ns())
        if self.handed.write_budget:
            self.keeper.close(*self.spent(counts))

    def counts(self) -> dict[str, dict[str, int]]:
        """What each device's bus has counted until now."""
        names = self.handed.counters
        return {role: dict(zip(names[role], device.counts(), strict=True)) for role, device in self.devices.items()}

    def spent(self, counts: dict[str, dict[str, int]]) -> tuple[int, int]:
        """(set-points sent in the day under way, its begin in Unix seconds)"""
        of = counts["inverter"]
        return of["spent"], round(time.time() - (time.monotonic_ns() - of["t_day_ns"]) * 1e-9)

    def tell(self, counts: dict[str, dict[str, int]], now_ns: int) -> None:
        """JSON without its module. A reader that finds nothing new goes without: no reason to stop."""
        counts["inverter"]["budget"] = self.handed.write_budget
        sets = str(counts).replace("'", '"')  # names and whole numbers only
        try:
            write_whole(self.handed.counts_file, f'{{{self.handed.counts_head}, "t_ns": {now_ns}, {sets[1:]}')
        except OSError:
            return
