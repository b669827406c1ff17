"""Wiring: a site's choices -> the two processes, `v2g telemetry` and `v2g bridge`. Each returns its exit code."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from controller.chain import NAME
from controller.errors import InputError
from controller.journal import JournalError
from controller.journalwriter import JournalWriter
from controller.lifetime import die_with_parent, lock_folder, stop_on_signals
from controller.seal import JOURNAL, Seal
from controller.site import Site
from controller.sitedata import BridgeSite
from controller.telemetry import scopefile
from controller.telemetry.access import AccessError, key_files, load_access
from controller.telemetry.bridge import Bridge
from controller.telemetry.database import DatabaseRefusedError, move_aside, remove
from controller.telemetry.delivery import Delivery
from controller.telemetry.follow import RingFollower
from controller.telemetry.outbox import Outbox
from controller.telemetry.process import Telemetry
from controller.telemetry.publisher import MqttDelivery
from controller.telemetry.rotation import Rotation
from controller.telemetry.scopefile import Bounds, Scope
from controller.telemetry.sqlitestore import SPARE_S
from controller.telemetry.store import Store
from controller.telemetry.stores import make_store
from controller.telemetry.tier import Amount
from controller.telemetry.wallclock import WAIT_NS, read_clock
from cython_core.realtime.ring import RingReader

if TYPE_CHECKING:
    from controller.telemetry.desk import Desk
    from controller.telemetry.link import Link

log = logging.getLogger(__name__)

EXIT_OK, EXIT_USER = 0, 2
TURN_S = 0.1
FAREWELL_S = 2.0


def run_telemetry(site: Site, parent_death: bool) -> int:
    """`v2g telemetry SITE`, until SIGTERM."""
    stopping = start(parent_death)
    lock = lock_folder(site.state_dir, "telemetry")
    if lock is None:
        return complain(f"{site.state_dir}: another telemetry process of this site is running")
    try:
        outbox = open_outbox(site)
        delivery, desk = make_delivery(site)
    except (AccessError, DatabaseRefusedError, InputError) as error:
        return complain(str(error))
    telemetry = make_telemetry(site, outbox, delivery, desk)
    rotation = make_rotation(site, delivery.link) if isinstance(delivery, MqttDelivery) else None
    delivery.start()
    clock = steady_clock()
    while not stopping.wait(TURN_S):
        telemetry.turn(clock(), read_clock())
        if rotation is not None:
            rotation.turn(time.monotonic())
    if rotation is not None:
        rotation.stop()
    say_goodbye(telemetry, delivery, clock)
    outbox.close()
    lock.close()
    return EXIT_OK


def run_bridge(site: Site, parent_death: bool, name: str | None = None) -> int:
    """`v2g bridge SITE`, until SIGTERM. It serves every site of this site's broker. name: over the site's."""
    stopping = start(parent_death)
    mqtt = site.telemetry.mqtt
    if mqtt is None:
        return complain(
            f"{site.path}: telemetry.mqtt is not set: telemetry writes to the store by itself, no bridge needed"
        )
    own = mqtt.bridge or BridgeSite()
    name = name or own.name
    lock = lock_folder(site.state_dir, f"bridge-{name}")
    if lock is None:
        return complain(f"{site.state_dir}: another bridge with the name {name} is running; --name gives it another")
    try:
        access = load_access(site, mqtt, mqtt.bridge)
        store = store_of(site)
    except (AccessError, DatabaseRefusedError, InputError) as error:
        return complain(str(error))
    bridge = Bridge(store, access, name, own.share_group)
    bridge.run(stopping, make_rotation(site, bridge.link, mqtt.bridge))
    store.close()
    lock.close()
    return EXIT_OK


def make_telemetry(site: Site, outbox: Outbox, delivery: Delivery, desk: Desk | None) -> Telemetry:
    """The process's parts, put together."""
    ring = RingFollower(site.runtime_dir / "ring", RingReader)
    p_at_meter = site.meter.location == "inverter"
    journal = open_journal(site.state_dir / JOURNAL)
    seal = Seal(site.state_dir / NAME, site.state_dir / JOURNAL, time.time_ns() // 1_000_000)
    live_ms, scope = round(site.telemetry.live_s * 1000), make_scope(site)
    wait_ns = 0 if site.start_mode == "demo" else WAIT_NS  # nobody waits ten minutes to see a demonstration
    return Telemetry(ring, journal, outbox, delivery, live_ms, p_at_meter, site.runtime_dir, desk, seal, scope, wait_ns)


def open_outbox(site: Site) -> Outbox:
    """As the site wants it to last. Raises DatabaseRefusedError."""
    choice = site.telemetry.outbox
    most = Amount(choice.max_rows, choice.max_mb * 1_000_000)
    path, quick = site.state_dir / "outbox.sqlite", site.runtime_dir / "outbox-quick.sqlite"
    if choice.durability == "spill":
        return Outbox(path, site.name, most, quick=quick)
    if quick.exists():  # until now it was `spill`: what memory still holds goes to disk
        Outbox(path, site.name, most, quick=quick).close()
        remove(quick)
    return Outbox(path, site.name, most)


def make_scope(site: Site) -> Scope | None:
    """Captures around events, unless the site wants none."""
    chosen = site.telemetry.oscillography
    if not chosen.enable:
        return None
    bounds = Bounds(
        pre_s=chosen.pre_s,
        post_s=chosen.post_s,
        most_per_hour=chosen.most_per_hour,
        most_files=chosen.most_files,
        most_bytes=chosen.most_mb * 1_000_000,
    )
    return Scope(site.state_dir / scopefile.NAME, bounds)


def open_journal(path: Path) -> JournalWriter:
    """Go on writing it; a file of another build or a damaged beginning is kept under another name. InputError: none."""
    try:
        try:
            return JournalWriter(path)
        except JournalError as error:
            moved = move_aside(path)
            log.warning("V2G-JOURNAL-MOVED %s; kept as %s, a new journal begins", error, moved.name)
            return JournalWriter(path)
    except OSError as refusal:
        raise InputError(f"{path}: a journal cannot be begun: {refusal.strerror}") from None


def store_of(site: Site) -> Store:
    """It lasts as its outbox does. Raises InputError or DatabaseRefusedError."""
    spare_s = SPARE_S if site.telemetry.outbox.durability == "spill" else 0.0
    return make_store(site.telemetry.store, site.state_dir, spare_s)


def make_delivery(site: Site) -> tuple[Delivery, Desk | None]:
    """To the broker, or straight to the store when there is none; and who answers what the broker brings."""
    mqtt = site.telemetry.mqtt
    if mqtt is None:
        from controller.telemetry.direct import StoreDelivery

        return StoreDelivery(site.name, store_of(site)), None
    from controller.telemetry.desk import make_desk, topics_of

    delivery = MqttDelivery(site.name, load_access(site, mqtt), mqtt.ack, topics_of(site))
    return delivery, make_desk(site, delivery)


def make_rotation(site: Site, link: Link, bridge: BridgeSite | None = None) -> Rotation | None:
    """For a site with certificates: new ones are taken while it runs. bridge: with what it has of its own."""
    mqtt = site.telemetry.mqtt
    if mqtt is None or mqtt.tls is None:
        return None
    files = key_files(mqtt.tls, bridge or BridgeSite())
    paths = [path for path in (files.ca, files.key, files.certificate) if path]
    return Rotation(link, paths, lambda: load_access(site, mqtt, bridge))


def say_goodbye(telemetry: Telemetry, delivery: Delivery, clock: Callable[[], int]) -> None:
    """Flush; wait a little for the last acknowledgements (what stays is sent after the next start)."""
    telemetry.finish(clock(), read_clock())
    deadline = time.monotonic() + FAREWELL_S
    while delivery.connected and telemetry.outbox.counters().waiting and time.monotonic() < deadline:
        time.sleep(0.05)
        telemetry.deliver(clock())
    telemetry.write_status(clock())
    delivery.stop()


def steady_clock() -> Callable[[], int]:
    """Unix ms as it was when we began, plus elapsed time: pauses and ages do not jump when the clock is set."""
    offset_ns = time.time_ns() - time.monotonic_ns()
    return lambda: (offset_ns + time.monotonic_ns()) // 1_000_000


def start(parent_death: bool) -> threading.Event:
    """What both processes do first."""
    if parent_death:
        die_with_parent()
    return stop_on_signals()


def complain(text: str) -> int:
    """One line on stderr."""
    print(text, file=sys.stderr)
    return EXIT_USER
