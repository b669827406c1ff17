"""The core process: bus threads, loop and ring put together, watched, and stopped in a safe order.

Start    lock memory, find the devices (waiting for them, aloud), start the bus threads, then the loop, then publish the
         ring. Nothing is written to the inverter before every input is fresh; in shadow nothing is ever written.
Stop     SIGTERM: ramp to 0, hand control back to the inverter, read back, close. The loop goes on until the end.
Errors   InputError: the site's choice cannot be met here. A device that does not answer is waited for.
Imports  no numpy, pymodbus, paho, influxdb: this process stays small (a test looks).
"""

from __future__ import annotations

import gc
import logging
import mmap
import random
import struct
import time
from pathlib import Path
from typing import Any

from controller.alarms import Alarms
from controller.build import build_id
from controller.errors import InputError
from controller.lifetime import lock_folder, stop_on_signals
from controller.notify import notify
from controller.site import Site
from cython_core.realtime.host import IdleStates, kernel_kind, lock_memory
from cython_core.realtime.loop import Loop
from cython_core.realtime.mailbox import Mailbox
from cython_core.realtime.ring import RingReader, RingWriter
from cython_core.records import (
    Command,
    DeviceState,
    Measurement,
    Mode,
    Order,
    StepRecord,
    Stop,
    Wish,
    WishSource,
    kinds,
)
from cython_core.settings import to_mapping
from cython_core.step import Core
from drivers.base import DriverError
from drivers.mapfile import load_map
from drivers.modbus.bus import Bus
from drivers.modbus.probe import measure_turnaround_ms
from drivers.registermap import meter_plan
from drivers.sunspec import discover_in_child
from drivers.tables import Plan

log = logging.getLogger(__name__)

WATCH_S = 0.25
BOX_BYTES = 512
FIND_AGAIN_S = 2.0
STOP_LIMIT_S = 15.0
HAND_BACK_S = 2.0
TURNAROUND_MS = 2.0  # of a meter that has not been asked yet


def boot_id() -> str:
    """Names this boot of the host: monotonic times of another one mean nothing here."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def plan_of_meter(site: Site, turnaround_ms: float) -> Plan:
    """The meter's tables. At the house connection its power is the house's: asked for that connection's limits only."""
    meter = site.meter
    house = "house" if site.settings.site_limits.enable else "none"
    power = "unit" if meter.location == "inverter" else house
    baud = meter.baud if meter.serial else 0
    return meter_plan(load_map(meter.map), meter.unit, meter.phases, meter.timeout_ms, turnaround_ms, baud, power)


def measured_plan(site: Site) -> tuple[Plan, float | None]:
    """The meter's tables for the turnaround it shows now, ms; None when it does not answer."""
    first = plan_of_meter(site, TURNAROUND_MS)
    turnaround_ms = measure_turnaround_ms(site.meter.link, first)
    return (first if turnaround_ms is None else plan_of_meter(site, turnaround_ms)), turnaround_ms


def wish_boxes(path: Path) -> dict[int, Mailbox]:
    """One mailbox for each source of wishes, in a file that other processes may map."""
    size = BOX_BYTES * len(WishSource)
    with path.open("a+b") as file:
        file.truncate(size)
        shared = mmap.mmap(file.fileno(), size)
    return {int(s): Mailbox(Wish, shared, int(s) * BOX_BYTES) for s in WishSource if s is not WishSource.DEFAULT}


class Runtime:
    """One controller. run() returns the process's exit code."""

    def __init__(self, site: Site, watch_only: bool = False) -> None:
        self.site = site
        self.writes = site.start_mode != "shadow" and not watch_only
        self.alarms = Alarms()
        self.meter_box, self.device_box = Mailbox(Measurement), Mailbox(DeviceState)
        self.order_box, self.command_box = Mailbox(Order), Mailbox(Command)

    # ---- start ----

    def run(self) -> int:
        """Until SIGTERM or SIGINT."""
        self.stopping = stop_on_signals()
        lock = lock_folder(self.site.runtime_dir, "core")
        if lock is None:
            raise InputError(f"{self.site.runtime_dir}: another controller of this site is running; stop it first")
        grants = {"kernel": kernel_kind(), "memory": lock_memory()}
        idle = IdleStates()
        grants["idle states"] = idle.text
        inverter_plan = self.find_inverter()
        if inverter_plan is not None:
            self.start(inverter_plan, grants)
            self.watch()
            self.stop()
        idle.close()
        lock.close()
        return 0

    def find_inverter(self) -> Plan | None:
        """Wait for the inverter; None when we are stopped meanwhile. The answer's first fault is said once."""
        site, said = self.site.inverter, ""
        while not self.stopping.is_set():
            try:
                return discover_in_child(site.link, site.unit, site.reversion_s, 5.0, site.timeout_ms)
            except DriverError as error:
                if str(error) != said:
                    log.warning("V2G-INVERTER-NOT-FOUND %s; trying again every %g s", error, FIND_AGAIN_S)
                    notify(f"STATUS=waiting for the inverter: {error}")
                said = str(error)
            self.stopping.wait(FIND_AGAIN_S)
        return None

    def start(self, inverter_plan: Plan, grants: dict[str, str]) -> None:
        """Buses, loop, ring; then collected garbage is not looked at again."""
        site = self.site
        commands = self.command_box if self.writes else Mailbox(Command)  # shadow: nobody writes to the bus's own box
        meter_plan, turnaround_ms = measured_plan(site)
        self.buses = {link: Bus(link) for link in dict.fromkeys((site.meter.link, site.inverter.link))}
        self.meter = self.buses[site.meter.link].meter(meter_plan, site.meter.poll_ms, self.meter_box)
        self.inverter = self.buses[site.inverter.link].inverter(
            inverter_plan, site.inverter.poll_ms, self.device_box, commands
        )
        for link, bus in self.buses.items():
            grants[f"bus {link}"] = bus.start()
        core = Core(site.settings, site.period_ms * 1e-3)
        info = self.facts(core, grants) | {"meter_turnaround_ms": turnaround_ms, "meter_reads": len(meter_plan.reads)}
        path = site.runtime_dir / "ring"
        ring = RingWriter(path, info, site.period_ms * 1_000_000, publish=False)
        self.order_box.put(Order(t_ns=time.monotonic_ns()))
        wishes = wish_boxes(site.runtime_dir / "wishes")
        self.loop = Loop(core, ring, self.meter_box, self.device_box, self.order_box, self.command_box, wishes)
        grants["core"] = self.loop.start()
        self.refuse_without_realtime(grants)
        ring.publish(info)
        self.reader = RingReader(path)
        self.say_grants(grants)
        gc.collect()
        gc.freeze()
        gc.disable()
        notify("READY=1", f"STATUS={site.start_mode}: running")
        mode = "writing set-points" if self.writes else "watching only, nothing is written"
        log.info("V2G-START %s: start mode %s, %s, step %d ms", site.name, site.start_mode, mode, site.period_ms)

    def facts(self, core: Core, grants: dict[str, str]) -> dict[str, Any]:
        """What every reader of the ring needs to know of this run."""
        site, now_ns = self.site, time.monotonic_ns()
        wall_ns = time.time_ns()
        return {
            "v": 1,
            "site": site.name,
            "start_mode": site.start_mode,
            "writes": self.writes,
            "epoch": wall_ns // 1_000_000 * 1000 + random.randrange(1000),
            "wall_offset_ns": wall_ns - now_ns,
            "boot_id": boot_id(),
            "period_ns": site.period_ms * 1_000_000,
            "settings": to_mapping(site.settings),
            "settings_digest": core.digest,
            "profile": site.profile,
            "unverified": site.unverified,
            "build": build_id(),
            "maps": {"meter": site.meter.map, "inverter": site.inverter.map},
            "meter_location": site.meter.location,
            "reversion_s": site.inverter.reversion_s,
            "realtime": grants,
        }

    def refuse_without_realtime(self, grants: dict[str, str]) -> None:
        refused = [f"{name}: {text}" for name, text in grants.items() if text.startswith(("other", "none:"))]
        if refused and self.site.require_realtime:
            self.halt()
            raise InputError(f"{self.site.path}: require_realtime is set, but " + "; ".join(refused))

    def say_grants(self, grants: dict[str, str]) -> None:
        """Every right that was refused, once, with the line that grants it."""
        for name, text in grants.items():
            if "refused" in text or text.startswith("other"):
                log.warning("V2G-NO-REALTIME %s: %s", name, text)

    # ---- run ----

    def watch(self) -> None:
        """Feed systemd while step and bus threads advance; log changes. A silent device keeps its bus attempting."""
        before = [-1] * (1 + len(self.buses))
        while not self.stopping.wait(WATCH_S):
            now = [self.loop.steps, *(bus.beats for bus in self.buses.values())]
            if all(n > b for n, b in zip(now, before, strict=True)):
                notify("WATCHDOG=1")
                before = now
            newest = self.newest()
            if newest is not None:
                self.alarms.update(newest.reasons, time.monotonic())

    def newest(self) -> StepRecord | None:
        """The newest step, or None when it is just being written."""
        raw = self.reader.newest()
        return None if raw is None else StepRecord(*struct.unpack("<" + kinds(StepRecord), raw))

    # ---- stop ----

    def stop(self) -> None:
        """Ramp to 0, hand back, close. A second signal does not hurry it: the ramp is bounded."""
        notify("STOPPING=1", "STATUS=ramping to 0")
        log.info("V2G-STOP ramping to 0, then handing control back to the inverter")
        self.order_box.put(Order(t_ns=time.monotonic_ns(), stop=int(Stop.RAMP)))
        deadline = time.monotonic() + STOP_LIMIT_S
        while time.monotonic() < deadline and not self.is_at_rest():
            time.sleep(0.05)
        newest = self.newest()
        commanded = newest is not None and newest.mode != Mode.SILENT  # else nothing of ours is in force there
        if self.writes and commanded and not self.inverter.hand_back(HAND_BACK_S):
            log.warning("V2G-NOT-HANDED-BACK the inverter did not confirm; its own timer brings it to 0 W")
        self.halt()

    def is_at_rest(self) -> bool:
        """The command is 0, and the inverter says so too (or cannot be asked)."""
        newest = self.newest()
        if newest is None or newest.o_stop != Stop.RAMP:
            return False
        small_w = 0.02 * self.site.settings.rating.p_rated_w
        return newest.p_cmd_w == 0.0 and (not self.writes or newest.fresh_d > 0 or abs(newest.d_p_w) <= small_w)

    def halt(self) -> None:
        """End all threads; the inverter keeps what it was last told until its own timer runs out."""
        self.loop.stop()
        for bus in self.buses.values():
            bus.stop()
