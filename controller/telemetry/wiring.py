"""Wiring: a site's choices -> the two processes, `v2g telemetry` and `v2g bridge`. Each returns its exit code."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from controller.journal import JournalError, JournalWriter
from controller.lifetime import die_with_parent, lock_folder, stop_on_signals
from controller.site import Site, StoreSite
from controller.telemetry.bridge import Bridge
from controller.telemetry.database import DatabaseRefusedError, move_aside
from controller.telemetry.delivery import Delivery
from controller.telemetry.follow import RingFollower
from controller.telemetry.outbox import Outbox
from controller.telemetry.process import Telemetry
from controller.telemetry.store import SqliteStore, Store
from cython_core.realtime.ring import RingReader

log = logging.getLogger(__name__)

EXIT_OK, EXIT_USER = 0, 2
TURN_S = 0.1
FAREWELL_S = 2.0


class WiringError(Exception):
    """The site's choices cannot be carried out: the text says which. The site owner must act."""


def run_telemetry(site: Site, parent_death: bool) -> int:
    """`v2g telemetry SITE`, until SIGTERM."""
    stopping = start(parent_death)
    lock = lock_folder(site.state_dir, "telemetry")
    if lock is None:
        return complain(f"{site.state_dir}: another telemetry process of this site is running")
    try:
        outbox = Outbox(site.state_dir / "outbox.sqlite", site.name)
        delivery = make_delivery(site)
    except (DatabaseRefusedError, WiringError) as error:
        return complain(str(error))
    telemetry = make_telemetry(site, outbox, delivery)
    delivery.start()
    clock = steady_clock()
    while not stopping.wait(TURN_S):
        telemetry.turn(clock())
    say_goodbye(telemetry, delivery, clock)
    outbox.close()
    lock.close()
    return EXIT_OK


def run_bridge(site: Site, parent_death: bool) -> int:
    """`v2g bridge SITE`, until SIGTERM. It serves every site of this site's broker."""
    stopping = start(parent_death)
    mqtt = site.telemetry.mqtt
    if mqtt is None:
        return complain(
            f"{site.path}: telemetry.mqtt is not set: telemetry writes to the store by itself, no bridge needed"
        )
    lock = lock_folder(site.state_dir, "bridge")
    if lock is None:
        return complain(f"{site.state_dir}: another bridge of this site is running")
    try:
        store = make_store(site.telemetry.store, site.state_dir)
    except (DatabaseRefusedError, WiringError) as error:
        return complain(str(error))
    Bridge(store, mqtt.host, mqtt.port, mqtt.keepalive_s).run(stopping)
    store.close()
    lock.close()
    return EXIT_OK


def make_telemetry(site: Site, outbox: Outbox, delivery: Delivery) -> Telemetry:
    """The process's parts, put together."""
    ring = RingFollower(site.runtime_dir / "ring", RingReader)
    p_at_meter = site.meter.location == "inverter"
    journal = open_journal(site.state_dir / "journal.v2gj")
    return Telemetry(ring, journal, outbox, delivery, round(site.telemetry.live_s * 1000), p_at_meter, site.runtime_dir)


def open_journal(path: Path) -> JournalWriter:
    """Go on writing it; a file of another build or a damaged beginning is kept under another name."""
    try:
        return JournalWriter(path)
    except JournalError as error:
        moved = move_aside(path)
        log.warning("V2G-JOURNAL-MOVED %s; kept as %s, a new journal begins", error, moved.name)
        return JournalWriter(path)


def make_delivery(site: Site) -> Delivery:
    """To the broker, or straight to the store when there is none."""
    mqtt = site.telemetry.mqtt
    if mqtt is None:
        from controller.telemetry.direct import StoreDelivery

        return StoreDelivery(site.name, make_store(site.telemetry.store, site.state_dir))
    from controller.telemetry.publisher import MqttDelivery

    return MqttDelivery(site.name, mqtt.host, mqtt.port, mqtt.keepalive_s)


def make_store(choice: StoreSite | None, state_dir: Path) -> Store:
    """Raises WiringError or DatabaseRefusedError."""
    if choice is None or choice.kind == "sqlite":
        path = choice.sqlite_path if choice is not None else None
        return SqliteStore(path or state_dir / "telemetry.sqlite")
    from controller.telemetry.influx import InfluxStore
    from controller.telemetry.quarantine import Quarantine

    try:
        token = Path(choice.token_file).read_text().strip() if choice.token_file else ""
    except (OSError, UnicodeDecodeError) as error:
        raise WiringError(f"{choice.token_file}: the InfluxDB token cannot be read: {error}") from None
    quarantine = Quarantine(state_dir / "quarantine.sqlite")
    return InfluxStore(choice.url or "", choice.org or "", choice.bucket or "", token, quarantine)


def say_goodbye(telemetry: Telemetry, delivery: Delivery, clock: Callable[[], int]) -> None:
    """Flush; wait a little for the last acknowledgements (what stays is sent after the next start)."""
    telemetry.finish(clock())
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
