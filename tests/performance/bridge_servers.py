"""CPU time that one message costs the bridge, the broker and each database, all of them real. Printed, not gated.

A process of its own publishes frames of SITES homes with QoS 1 as fast as Mosquitto takes them, and hears their
acknowledgements; the bridge, with paho and all its threads, is in this process and stores them. With so many homes
nearly every message has an acknowledgement of its own, as in a fleet. What is measured of whom: CPU time from the first
message to the last row's yes. Each run is an hour later than the one before: its rows are new to the database, their
series are not, except in its first run. Merging comes later and is not counted.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from shutil import which

from controller.telemetry.bridge import Bridge
from controller.telemetry.broker import find_mosquitto, start_broker
from controller.telemetry.link import Access
from controller.telemetry.setup import set_up
from controller.telemetry.store import Store
from controller.telemetry.stores import make_store
from tests.need import SYSTEM_PATH
from tests.performance.core_process import cpu_ns
from tests.performance.frames import payloads
from tests.performance.harness import Absent, Contestant, Gate, Measurement
from tests.system.servers import Influx1, VictoriaMetrics, choice_of, wait_for

MESSAGES, QUICK_MESSAGES = 5_000, 2_000
SITES = 1_000
BRIDGE, BROKER, VICTORIA, INFLUX = "bridge", "Mosquitto", "VictoriaMetrics", "InfluxDB 1"
HERE = {
    BRIDGE: bool(find_mosquitto() and which("influxd", path=SYSTEM_PATH)),
    BROKER: bool(find_mosquitto() and which("influxd", path=SYSTEM_PATH)),
    VICTORIA: bool(find_mosquitto() and which("victoria-metrics", path=SYSTEM_PATH)),
    INFLUX: bool(find_mosquitto() and which("influxd", path=SYSTEM_PATH)),
}


class Servers:
    """Those that are installed, for as long as they are measured."""

    def __init__(self, messages: int) -> None:
        self.messages = messages
        self.hours_ms = count(0, 3_600_000)
        self.stores: dict[str, Store] = {}
        self.pids: dict[str, int] = {BRIDGE: os.getpid()}

    @contextmanager
    def running(self) -> Iterator[None]:
        with ExitStack() as stack:
            self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            frames = payloads(self.messages, SITES)
            (self.folder / "messages").write_bytes(b"\n".join(topic.encode() + b" " + body for topic, body in frames))
            if HERE[BROKER]:
                self.broker = start_broker(self.folder / "broker", kind="mosquitto")
                self.pids[BROKER] = self.broker.process.pid
                stack.callback(self.broker.stop)
            for name, kind in ((VICTORIA, VictoriaMetrics), (INFLUX, Influx1)):
                if HERE[name]:
                    self.start(name, kind(self.folder / name), stack)
            yield

    def start(self, name: str, database: VictoriaMetrics | Influx1, stack: ExitStack) -> None:
        database.start()
        stack.callback(database.stop)
        assert database.process.child is not None
        self.pids[name] = database.process.child.pid
        choice = choice_of(database)
        set_up(choice, self.folder)
        self.stores[name] = make_store(choice, self.folder / f"quarantine of {name}")
        stack.callback(self.stores[name].close)

    def cost(self, name: str) -> Callable[[], Sequence[float]]:
        """Connected, in a thread; the work is to take all messages. -> us a message, of one of them."""
        bridge = Bridge(
            self.stores[VICTORIA if name == VICTORIA else INFLUX], Access("127.0.0.1", self.broker.port, 30)
        )
        stopping = threading.Event()
        thread = threading.Thread(target=bridge.run, args=(stopping,))
        thread.start()
        wait_for(lambda: bridge.link.connected, "the bridge is connected")
        time.sleep(0.3)  # its subscription is under way

        def work() -> Sequence[float]:
            begin_ns = cpu_ns(self.pids[name])
            flood = [sys.executable, "-m", "tests.performance.flood", str(self.folder / "messages")]
            subprocess.run([*flood, str(self.broker.port), str(next(self.hours_ms))], check=True)
            while bridge.counters.stored < self.messages:
                time.sleep(0.005)
            used_ns = cpu_ns(self.pids[name]) - begin_ns
            stopping.set()
            thread.join()
            return [used_ns / self.messages / 1000.0]

        return work


def measurements(quick: bool) -> tuple[Measurement, ...]:
    servers = Servers(QUICK_MESSAGES if quick else MESSAGES)

    def contestant(name: str) -> Contestant | Absent:
        if not HERE[name]:
            return Absent(name, "make deps-system")
        return Contestant(name, 1, lambda: servers.cost(name), None, list)

    names = (BRIDGE, BROKER, VICTORIA, INFLUX)
    gates = tuple(Gate(name, BRIDGE) for name in names[1:])
    return (Measurement("bridge_servers", "us of CPU", tuple(map(contestant, names)), gates, servers.running),)
