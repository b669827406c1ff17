"""The processes of the loss table that are not commands of ours, each by itself so that it can be killed.

python -m tests.system.loss_child feed FOLDER COUNT      a ring, one step each 5 ms, as a core would write it
python -m tests.system.loss_child telemetry SITE STEPS   `v2g telemetry` with a frame for so many steps
python -m tests.system.loss_child publish FOLDER PORT COUNT      plain paho: QoS 1, the same rate
python -m tests.system.loss_child consume FOLDER PORT            plain paho: a persistent session into SQLite
"""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from threading import Semaphore

import numpy as np
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from controller.lifetime import die_with_parent, stop_on_signals
from controller.security import KeyFiles, load_context
from controller.site import load_site
from controller.telemetry.wiring import run_telemetry
from cython_core.realtime.ring import RingWriter
from tests.controller.telemetry.makers import info, records

STEP_NS = 5_000_000  # 200 messages a second
RING_S = 300.0  # deeper than any fault: the ring is not what is tested here
PLAIN_TOPIC = "plain/n"
DIGITS = 10


def paced(first: int, count: int) -> Iterator[int]:
    """first ... count - 1, one each 5 ms; what is late comes at once."""
    began_ns = time.monotonic_ns()
    for n in range(first, count):
        ahead_ns = began_ns + (n - first) * STEP_NS - time.monotonic_ns()
        if ahead_ns > 0:
            time.sleep(ahead_ns / 1e9)
        yield n


def feed(folder: Path, count: int) -> None:
    """All quiet: every step differs by its number and time alone."""
    rows = records(0, count, t_ns=np.arange(count) * STEP_NS)
    about = info() | {"period_ns": STEP_NS, "wall_offset_ns": time.time_ns() // STEP_NS * STEP_NS}
    ring = RingWriter(folder / "run" / "ring", about, STEP_NS, RING_S)
    for n in paced(0, count):
        ring.push(rows[n].tobytes())


def telemetry(site_file: Path, steps: int) -> int:
    """The command's own code; frames so close are more than a site file allows."""
    site = load_site(site_file)
    return run_telemetry(
        replace(site, telemetry=replace(site.telemetry, live_s=steps * STEP_NS / 1e9)), parent_death=True
    )


def client(folder: Path, name: str, clean: bool) -> mqtt.Client:
    """As a careful user of paho would set it up: nothing is thrown away for want of room."""
    made = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=name, clean_session=clean, protocol=mqtt.MQTTv311)
    made.tls_set_context(load_context(KeyFiles(folder / "ca.pem", folder / "plain.pem", folder / "plain.key")))
    made.connect_timeout = 5.0
    made.reconnect_delay_set(1, 2)
    made.max_queued_messages_set(0)
    made.max_inflight_messages_set(500)
    return made


def publish(folder: Path, port: int, count: int) -> None:
    """Goes on after the last number it gave to paho; ends when paho says that all has been sent."""
    sender, answered = client(folder, "plain-publisher", clean=True), Semaphore(0)
    sender.on_publish = lambda *_: answered.release()
    sender.connect_async("127.0.0.1", port, 5)
    sender.loop_start()
    said = os.open(folder / "plain.progress", os.O_RDWR | os.O_CREAT)
    first = int(os.read(said, DIGITS) or -1) + 1
    body = "x" * 1500  # as long as a frame
    for n in paced(first, count):
        sender.publish(PLAIN_TOPIC, json.dumps({"n": n, "body": body}), qos=1)
        os.pwrite(said, b"%0*d" % (DIGITS, n), 0)  # in one piece: whenever we are killed, the file has a number
    for _ in range(first, count):
        answered.acquire()


def consume(folder: Path, port: int) -> None:
    """A table without a key: what comes twice is seen."""
    stopping = stop_on_signals()
    database = sqlite3.connect(folder / "plain.sqlite", check_same_thread=False, isolation_level=None)
    database.executescript("PRAGMA journal_mode=WAL; CREATE TABLE IF NOT EXISTS came (n INTEGER)")
    reader = client(folder, "plain-consumer", clean=False)
    reader.on_connect = lambda connected, *_: connected.subscribe(PLAIN_TOPIC, 1)

    def keep(_client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        database.execute("INSERT INTO came VALUES (?)", (json.loads(message.payload)["n"],))

    reader.on_message = keep
    reader.connect_async("127.0.0.1", port, 5)
    reader.loop_start()
    stopping.wait()


def main(what: str, folder: Path, *numbers: int) -> int:
    """-> exit code."""
    if what == "telemetry":
        return telemetry(folder, *numbers)
    work: dict[str, Callable[..., None]] = {"feed": feed, "publish": publish, "consume": consume}
    work[what](folder, *numbers)
    return 0


if __name__ == "__main__":
    die_with_parent()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    sys.exit(main(sys.argv[1], Path(sys.argv[2]), *map(int, sys.argv[3:])))
