"""The launcher: `v2g run` until the core begins. It finds the devices, compiles all there is to know, becomes the core.

Two images of one program follow each other in one process. This one is ordinary Python, with YAML, maps and all
settings; the second one (controller.runtime) holds what the core needs and no more. Process id, folder lock, open
serial ports and blocked signals go over from one to the other.
Errors   InputError, SettingError, MapError: the site's choice cannot be met. DriverError: a port cannot be opened. A
         device that does not answer is waited for.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import struct
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import fields, replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import IO, Any, NoReturn, TypeVar

from controller import budgetfile, buswatch, nextsettings
from controller.alarms import CODES
from controller.build import build_id
from controller.departure import of_site
from controller.epoch import new_epoch
from controller.errors import InputError
from controller.handed import ROOT, Handed, stamp
from controller.lifetime import lock_folder, stop_on_signals, stops
from controller.notify import notify
from controller.ownfunctions import agreed
from controller.plantcard import standing
from controller.services.wishes import BOX_BYTES
from controller.site import Site
from controller.sitedata import WireSite
from controller.sitemaps import coarse_faults
from controller.wiretime import TURNAROUND_MS
from controller.writebudget import Moment, Spent, spent_before
from cython_core.compiled import compiled
from cython_core.realtime.host import clock_synchronized, kernel_kind
from cython_core.realtime.ring import RingReader, RingWriter
from cython_core.records import REASON_TEXT, RECORDS, Reason, StepRecord, WishSource
from cython_core.settings import digest, to_mapping
from drivers.base import DriverError, OwnControlError
from drivers.can import compiled as can_devices
from drivers.can.canmap import CanMap
from drivers.can.dbc import can_plan_in_child
from drivers.can.interface import need_up
from drivers.can.link import CanLink
from drivers.can.statistics import CanStats
from drivers.can.tables import Plan as CanPlan
from drivers.devicemap import DeviceMap
from drivers.inverterplan import register_plan
from drivers.mapfile import load_map
from drivers.modbus import compiled as devices
from drivers.modbus.probe import measure_turnaround_ms
from drivers.modbus.serial_port import ask_low_latency
from drivers.modbus.statistics import BusStats
from drivers.modbus.wire import opened
from drivers.registermap import meter_plan
from drivers.sunspec import discover_in_child
from drivers.sunspec.meter import discover_meter
from drivers.tables import ENERGIES, Plan

log = logging.getLogger(__name__)
Found = TypeVar("Found")

NO_INVERTER = "V2G-INVERTER-NOT-FOUND"
OWN_CONTROL = "V2G-INVERTER-OWN-CONTROL"
FIND_S = 5.0
FIND_AGAIN_S = 2.0
OWN_CONTROL_AGAIN_S = 30.0  # somebody has to go there first
AT_REST_PU = 0.02
HAND_BACK_S = 2.0  # at least
T_NS = [f.name for f in fields(StepRecord)].index("t_ns")
# -S: nothing that a .pth file of some other package starts runs in the core; its own packages lie in ROOT
CORE = (
    "-SPc",
    "import sys; sys.path.append(sys.argv[1]); from controller.runtime import main; sys.exit(main(int(sys.argv[2])))",
)


def launch(site: Site, watch_only: bool) -> int:
    """Become the core of this site. Returns the exit code when we are stopped before."""
    as_loaded = stamp()
    stopping = stop_on_signals()
    lock = only_one(site)
    inverter_plan = find_inverter(site, stopping)
    meter = find_meter(site, stopping)
    if inverter_plan is None or meter is None:
        return 0
    site = in_force(site, watch_only)
    writes = site.start_mode != "shadow" and not watch_only
    if site.start_mode == "live" and not agreed(site, stopping):
        return 0
    handed = hand_over(site, writes, inverter_plan, meter, as_loaded)
    signal.pthread_sigmask(signal.SIG_BLOCK, stops())  # from here on they wait for the core
    if stopping.is_set():
        return 0
    return become_core(site, handed, lock.fileno())


def in_force(site: Site, watch_only: bool) -> Site:
    """The site in the start mode that it will really be in: whoever only watches real devices is in shadow."""
    return replace(site, start_mode="shadow") if watch_only and site.start_mode == "live" else site


def only_one(site: Site) -> IO[bytes]:
    """Hold it as long as this site is controlled from here. InputError: another process controls it."""
    lock = lock_folder(site.runtime_dir, "core")
    if lock is None:
        raise InputError(f"{site.runtime_dir}: another controller of this site is running; stop it first")
    return lock


def become_core(site: Site, handed: Handed, lock_fd: int) -> NoReturn:
    """Replace this program by the core; nothing else of it is left."""
    for fd in (lock_fd, *(fd for _, _, fd in handed.wires if fd >= 0)):
        os.set_inheritable(fd, True)
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, *CORE, ROOT, str(handed.write()), "v2g", "run", str(site.path)])


# ---- the devices ----


def find_inverter(site: Site, stopping: threading.Event) -> Plan | CanPlan | None:
    """The inverter's tables; it is waited for until we are stopped."""
    return searched(inverter_search(site), NO_INVERTER, "inverter", stopping)


def inverter_search(site: Site) -> Callable[[], Plan | CanPlan]:
    """What looks once. A device with plain registers is known by its map, SunSpec and a CAN interface must be there."""
    inverter, device = site.inverter, load_map(site.inverter.map)
    link, unit, reversion_s, timeout_ms = inverter.wire, inverter.unit, inverter.reversion_s, inverter.timeout_ms
    if device.inverter is not None:
        return partial(register_plan, device, unit, reversion_s, timeout_ms)
    if isinstance(link, CanLink):
        assert isinstance(device, CanMap)  # what is no map of a CAN device has been refused
        plan = can_plan_in_child(inverter.map, unit, reversion_s, inverter.poll_ms, timeout_ms)
        return partial(on_can, plan, link, device.bitrate)
    ours_q = site.settings.reactive.owner == "controller"
    asked = (link, unit, reversion_s, FIND_S, timeout_ms, inverter.map, ours_q)
    return partial(discover_in_child, *asked)


def on_can(plan: CanPlan, link: CanLink, bitrate: int) -> CanPlan:
    """The plan, once its interface is up."""
    need_up(link, bitrate)
    return plan


def find_meter(site: Site, stopping: threading.Event) -> DeviceMap | None:
    """The meter's map; one that speaks SunSpec is waited for, and what it says is checked."""
    device = searched(meter_search(site), "V2G-METER-NOT-FOUND", "meter", stopping)
    return fine_enough(site, device) if device else None


def meter_search(site: Site) -> Callable[[], DeviceMap]:
    """What looks once. Only a meter that speaks SunSpec must be there: its map alone does not know its registers."""
    meter, found = site.meter, load_map(site.meter.map)
    if not found.models:
        return lambda: found
    return partial(discover_meter, meter.link, meter.unit, found, FIND_S, meter.timeout_ms, meter.nth)


def fine_enough(site: Site, device: DeviceMap) -> DeviceMap:
    """The meter, unless it has turned out too coarse for a function: InputError."""
    faults = coarse_faults(site, device) if load_map(site.meter.map).models else []  # of the others the site file knows
    if faults:
        raise InputError("\n".join(f"{site.where(*keys)}: {message}" for message, *keys in faults))
    return device


def searched(find: Callable[[], Found], code: str, what: str, stopping: threading.Event) -> Found | None:
    """What `find` finds, however long it takes; None when we are stopped meanwhile."""
    said = ""
    while not stopping.is_set():
        try:
            return find()
        except DriverError as error:
            own = isinstance(error, OwnControlError)
            again_s = OWN_CONTROL_AGAIN_S if own else FIND_AGAIN_S
            if str(error) != said:
                log.warning("%s %s; trying again every %g s", OWN_CONTROL if own else code, error, again_s)
                notify(f"STATUS=waiting for the {what}: {error}")
            said = str(error)
        stopping.wait(again_s)
    return None


def plan_of_meter(site: Site, device: DeviceMap, turnaround_ms: float) -> Plan:
    """The meter's tables. At the house connection its power is the house's: asked for that connection's limits only."""
    meter = site.meter
    house = "house" if site.settings.site_limits.enable else "none"
    power = "unit" if meter.location == "inverter" else house
    baud = meter.baud if meter.serial else 0
    return meter_plan(device, meter.unit, meter.phases, meter.timeout_ms, turnaround_ms, baud, power)


def measured_plan(site: Site, device: DeviceMap) -> tuple[Plan, float | None]:
    """The meter's tables for the turnaround it shows now, ms; None when it does not answer."""
    first = plan_of_meter(site, device, TURNAROUND_MS)
    turnaround_ms = measure_turnaround_ms(site.meter.link, first)
    return (first if turnaround_ms is None else plan_of_meter(site, device, turnaround_ms)), turnaround_ms


# ---- what the core is told ----


def hand_over(site: Site, writes: bool, inverter_plan: Plan | CanPlan, meter: DeviceMap, as_loaded: int) -> Handed:
    """Everything, compiled; the files that the core shares with others are there, and its serial ports are open."""
    meter_plan, turnaround_ms = measured_plan(site, meter)
    links, inverter = [site.meter.link], site.inverter
    counters: type[BusStats | CanStats] = BusStats
    if isinstance(inverter_plan, CanPlan):
        found = (len(links), can_devices.inverter(inverter_plan, inverter.poll_ms))
        counters, budget = CanStats, 0
    else:
        links = list(dict.fromkeys((*links, inverter.link)))
        budget = inverter_plan.write_budget_per_day
        spent = already_spent(site, budget)
        device = devices.inverter(inverter_plan, inverter.poll_ms, spent.count, spent.t_day_ns)
        found = (links.index(inverter.link), device)
    about = facts(site, writes) | {
        "meter_turnaround_ms": turnaround_ms,
        "meter_reads": sum(r.every > 0 for r in meter_plan.reads),
    }
    before = ring_before(site.runtime_dir / "ring")
    last_record = left_behind(before, site.inverter.reversion_s)
    wishes = room_for_wishes(site.runtime_dir / "wishes", before is not None)
    RingWriter(site.runtime_dir / "ring", about, site.period_ms * 1_000_000, publish=False)
    mode = "writing set-points" if writes else "watching only, nothing is written"
    return Handed(
        stamp=as_loaded,
        start_mode=site.start_mode,
        started=f"V2G-START {site.name}: start mode {site.start_mode}, {mode}, step {site.period_ms} ms, "
        f"plant card {standing(site)}",
        writes=writes,
        small_w=AT_REST_PU * site.settings.rating.p_rated_w,
        realtime_required=f"{site.path}: require_realtime is set, but " if site.require_realtime else "",
        granted={"kernel": kernel_kind()} | low_latency(site),
        settings=compiled(site.settings, site.period_ms * 1e-3),
        resume=last_record,
        wires=[opened(link) for link in links],
        can=inverter.can or "",
        meter=(links.index(site.meter.link), devices.meter(meter_plan, site.meter.poll_ms)),
        inverter=found,
        words={record.__name__: len(fields(record)) for record in RECORDS},
        ring=str(site.runtime_dir / "ring"),
        next_settings=str(nothing_waits(site.runtime_dir / nextsettings.NAME)),
        facts=json.dumps(about),
        wishes=str(wishes),
        wish_sources=[int(s) for s in WishSource if s is not WishSource.DEFAULT],
        box_bytes=BOX_BYTES,
        hand_back_s=hand_back_s(inverter_plan),
        departures=of_site(site, time.time(), clock_synchronized()),
        alarms=[(int(Reason[name]), code, REASON_TEXT[Reason[name]]) for name, code in CODES.items()],
        counters={"meter": names_of(BusStats), "inverter": names_of(counters)},
        energies={"meter": energies_of(meter_plan), "inverter": energies_of(inverter_plan)},
        counts_head=f'"v": 1, "epoch": {about["epoch"]}, "boot_id": {json.dumps(about["boot_id"])}',
        counts_file=str(site.runtime_dir / buswatch.NAME),
        write_budget=budget,
        budget_file=str(site.state_dir / budgetfile.NAME),
        writes_failing_s=inverter.reversion_s / 3,
    )


def names_of(counters: type[BusStats | CanStats]) -> list[str]:
    """What a bus counts, in the order in which its threads give it."""
    return [f.name for f in fields(counters)]


def energies_of(plan: Plan | CanPlan) -> list[str]:
    """The names of what Device.energies() gives, in its order; none when the device keeps no such counter."""
    return list(ENERGIES) if isinstance(plan, Plan) and plan.energies else []


def already_spent(site: Site, budget: int) -> Spent:
    """Of the day's write budget, by the runs before; said when there is something to say."""
    at = Moment(time.monotonic_ns(), time.time(), clock_synchronized(), boot_id())
    spent = spent_before(budget, site.runtime_dir / buswatch.NAME, site.state_dir / budgetfile.NAME, at)
    if spent.line:
        log.log(spent.level, "%s", spent.line)
    return spent


def nothing_waits(path: Path) -> Path:
    """Settings that the run before did not take over are not for this one: it has read the site file itself."""
    path.unlink(missing_ok=True)
    return path


def hand_back_s(plan: Plan | CanPlan) -> float:
    """Every stop write and every read behind them, each tried twice, with the rests that the device wants."""
    if isinstance(plan, CanPlan):
        return HAND_BACK_S
    asked = len(plan.reads) + sum(3 if w.verify else 1 for w in plan.stop)
    return max(HAND_BACK_S, asked * (2 * plan.timeout_ms + plan.min_gap_ms) / 1000)


def room_for_wishes(path: Path, same_boot: bool) -> Path:
    """One mailbox for each source. What was wished in another boot would come into force at the same hour of this."""
    if not same_boot:
        path.unlink(missing_ok=True)
    path.touch()
    with path.open("r+b") as file:  # on the disk now, or a full one would end the core with a signal
        os.posix_fallocate(file.fileno(), 0, BOX_BYTES * len(WishSource))
    return path


def ring_before(ring: Path) -> RingReader | None:
    """Of the run before, if it was in this boot of the host: times of another one mean nothing here."""
    try:
        reader = RingReader(ring)
    except (OSError, ValueError):  # none, or of another build
        return None
    return reader if reader.info.get("boot_id") == boot_id() else None


def left_behind(ring: RingReader | None, within_s: float) -> bytes:
    """The last step record of the run before; empty unless it ended so short a time ago."""
    record = ring.newest() if ring else None
    if record is None:
        return b""
    (t_ns,) = struct.unpack_from("<q", record, 8 * T_NS)
    return record if 0 <= time.monotonic_ns() - t_ns <= within_s * 1e9 else b""


def low_latency(site: Site) -> dict[str, str]:
    """What became of the latency timers of USB adapters."""
    devices: dict[str, WireSite] = {"meter": site.meter, "inverter": site.inverter}
    asked = {f"latency_{role}": ask_low_latency(wire.serial) for role, wire in devices.items() if wire.serial}
    return {name: text for name, text in asked.items() if text}


def facts(site: Site, writes: bool) -> dict[str, Any]:
    """What every reader of the ring needs to know of this run, but for what the host grants."""
    now_ns = time.monotonic_ns()
    wall_ns = time.time_ns()
    return {
        "v": 1,
        "site": site.name,
        "start_mode": site.start_mode,
        "writes": writes,
        "plant_card": standing(site),
        "epoch": new_epoch(wall_ns),
        "wall_offset_ns": wall_ns - now_ns,
        "boot_id": boot_id(),
        "period_ns": site.period_ms * 1_000_000,
        "settings": to_mapping(site.settings),
        "settings_digest": digest(site.settings, site.period_ms * 1_000_000),
        "profile": site.profile,
        "unverified": site.unverified,
        "build": build_id(),
        "maps": {"meter": site.meter.map, "inverter": site.inverter.map},
        "devices": sha256(repr((site.meter, site.inverter)).encode()).hexdigest()[:16],
        "meter_location": site.meter.location,
        "reversion_s": site.inverter.reversion_s,
    }


def boot_id() -> str:
    """Names this boot of the host: monotonic times of another one mean nothing here."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
