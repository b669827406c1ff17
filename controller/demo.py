"""The demonstration: simulated devices, the real controller, its telemetry, and one grid event in real time.

Processes  grid, meter, inverter (drivers.sim.server, Modbus TCP on loopback), broker, bridge, telemetry, controller:
           the same commands that run in a house, each a process of its own.
Folder     site.yaml, run/ (ring), state/ (journal, stores), logs/, report.html.
Errors     ProcessError, BrokerError: the text says which process and why. A fault is injected into the simulated
           devices or by leaving the broker out, never into the controller.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from controller.processes import Family
from controller.report.make import Judged, judge_journal, write
from controller.site import Site, load_site
from controller.sitedata import MqttSite
from controller.sitewrite import site_text
from controller.telemetry.broker import Broker, free_port, start_broker
from controller.telemetry.store import SqliteStore
from cython_core.bulk import STEP, from_bytes
from cython_core.realtime.ring import RingReader
from cython_core.records import Reason, State
from drivers.sim.bar import Bar
from drivers.sim.scenario import Trace

HISTORY_S = 60
READY_S = 30.0
TAIL_S = 1.0

# fault -> (process it is injected into, arguments)
FAULTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "droop_sign": ("inverter", ("--sign", "-1")),
    "wrong_slope": ("inverter", ("--gain", "0.5")),
    "late_meter": ("meter", ("--latency-s", "3")),
    "no_telemetry": ("broker", ()),
}
FAULT_TEXT = {
    "droop_sign": "the simulated inverter moves the wrong way round",
    "wrong_slope": "the simulated inverter gives half of what it is told",
    "late_meter": "the simulated meter shows what was true 3 s ago",
    "no_telemetry": "there is no broker",
}


@dataclass(frozen=True, slots=True)
class Plan:
    """What is played. trace_args: how the grid process finds it."""

    trace: Trace
    trace_args: tuple[str, ...]
    title: str
    start_s: float
    duration_s: float
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Now:
    """The newest state of a running demonstration, for the view."""

    history: NDArray[Any]
    info: dict[str, Any]
    telemetry: dict[str, Any]
    elapsed_s: float


class Demo:
    """start(), then watch() until it is played, then finish(); stop() at the end, whatever happened."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self.plan, self.folder = plan, folder.resolve()
        self.family = Family(self.folder / "logs")
        self.broker: Broker | None = None
        self.reader: RingReader | None = None
        self.history = np.zeros(0, dtype=STEP)
        self.bar = self.folder / "grid.bar"

    # ---- start ----

    def start(self, say: Callable[[str], None]) -> None:
        """Start everything and wait until the controller is in service and the unit is settled."""
        self.folder.mkdir(parents=True, exist_ok=True)
        say("starting the simulated grid, meter and inverter")
        self.start_devices()
        site = self.write_site(self.start_broker(say))
        say("starting telemetry and the controller")
        path = str(site)
        if self.broker is not None:
            self.family.start("bridge", "controller.cli", "bridge", path, "--parent-death")
        self.family.start("telemetry", "controller.cli", "telemetry", path, "--parent-death")
        self.wait_for_bridge()
        self.family.start("controller", "controller.cli", "run", path, "--parent-death")
        ring = self.folder / "run" / "ring"
        self.family.wait_until(ring.exists, "the controller's ring", READY_S)
        self.reader = RingReader(ring)
        say("waiting until the controller is in service")
        self.family.wait_until(self.is_settled, "the controller in service", READY_S)

    def start_devices(self) -> None:
        plan, bar = self.plan, ("--bar", str(self.bar))
        times = ("--start-s", f"{plan.start_s:g}", "--duration-s", f"{plan.duration_s:g}")
        v_nom = ("--v-nom", f"{self.template().settings.rating.v_nom_v:g}")
        faulty, extra = FAULTS.get(plan.fault, ("", ()))
        server = "drivers.sim.server"
        self.family.start("grid", server, "grid", *bar, *plan.trace_args, *times, *v_nom)
        for name, more in (("meter", ()), ("inverter", v_nom)):
            port_file = ("--port-file", str(self.folder / f"{name}.port"))
            self.family.start(name, server, name, *bar, *port_file, *more, *(extra if faulty == name else ()))
        for name in ("meter", "inverter"):
            self.family.wait_until((self.folder / f"{name}.port").exists, f"the simulated {name}", READY_S)
        self.family.wait_until(lambda: Bar(self.bar).runs("grid_s"), "the simulated grid", READY_S)

    def start_broker(self, say: Callable[[str], None]) -> int:
        """The broker's port; with the fault no_telemetry a port where nobody listens."""
        if self.plan.fault == "no_telemetry":
            return free_port()
        self.broker = start_broker(self.folder / "broker")
        say(f"{self.broker.name} on 127.0.0.1:{self.broker.port}")
        return self.broker.port

    def template(self) -> Site:
        """The demonstration's site that comes with the program, for this grid."""
        return load_site(Path(f"demo-{self.plan.trace.f_nom_hz:.0f}hz"))

    def write_site(self, broker_port: int) -> Path:
        """The site with the ports in use and this run's folders."""
        site = self.template()
        meter_port, inverter_port = (int((self.folder / f"{n}.port").read_text()) for n in ("meter", "inverter"))
        state = self.folder / "state"
        mqtt = MqttSite(host="127.0.0.1", port=broker_port, keepalive_s=5)
        site = replace(
            site,
            meter=replace(site.meter, port=meter_port),
            inverter=replace(site.inverter, port=inverter_port),
            telemetry=replace(site.telemetry, mqtt=mqtt, store=None),
            runtime_dir=self.folder / "run",
            state_dir=state,
        )
        path = self.folder / "site.yaml"
        path.write_text(f"# Written by v2g demo for this run.\n{site_text(site)}", encoding="utf-8")
        return path

    def wait_for_bridge(self) -> None:
        """The first frame must find a consumer, or its arrival is late through no fault of the controller."""
        if self.broker is not None:
            store = self.folder / "state" / "telemetry.sqlite"
            self.family.wait_until(store.exists, "the bridge's store", READY_S)

    def is_settled(self) -> bool:
        """In service, ramp over, and the frequency seen."""
        self.read()
        if not len(self.history):
            return False
        newest = self.history[-1]
        moving = int(newest["reasons"]) & int(Reason.RAMP | Reason.STARTING)
        return bool(newest["state"] == State.IN_SERVICE and not moving)

    # ---- run ----

    def play(self) -> None:
        """Let the grid play its event."""
        Bar(self.bar).play()

    def read(self) -> None:
        """Take what the ring has; keep the last minute."""
        if self.reader is None:
            return
        raw, _ = self.reader.read()
        if raw:
            self.history = np.concatenate([self.history, from_bytes(raw)])[-HISTORY_S * 100 :]

    def now(self) -> Now:
        """The newest state. Raises ProcessError when a process has ended by itself."""
        self.family.check()
        self.read()
        try:
            telemetry = json.loads((self.folder / "run" / "telemetry.json").read_text())
        except (OSError, ValueError):
            telemetry = {}
        played = Bar(self.bar).get("play_s")
        elapsed_s = min(time.monotonic() - played, self.plan.duration_s) if played > 0 else 0.0
        info = self.reader.info if self.reader is not None else {}
        return Now(self.history, info, telemetry, elapsed_s)

    def is_over(self) -> bool:
        """All was played, and the answer had its tail."""
        played = Bar(self.bar).get("play_s")
        return played > 0 and time.monotonic() - played > self.plan.duration_s + TAIL_S

    # ---- end ----

    def finish(self, say: Callable[[str], None]) -> tuple[Judged, Path]:
        """Stop in order, then make the report from what was recorded."""
        say("stopping: the controller ramps to 0 and hands back")
        self.family.stop(("controller",))
        self.family.stop(("telemetry",))
        self.stop()
        say("computing the run again from its journal, and drawing the report")
        state = self.folder / "state"
        store = state / "telemetry.sqlite"
        if not store.exists():  # nobody stored anything: the verdict must say so, here and in a later report
            SqliteStore(store).close()
        judged = judge_journal(state / "journal.v2gj", store)
        report = self.folder / "report.html"
        write(judged, report, self.notes())
        return judged, report

    def notes(self) -> tuple[str, ...]:
        """What the report says of this run beside its numbers."""
        plan = self.plan
        played = f"Played: {plan.title}, {plan.start_s:g} s ... {plan.start_s + plan.duration_s:g} s, in real time"
        broker = self.broker.name if self.broker is not None else "none"
        fault = (f"Injected fault: {plan.fault} ({FAULT_TEXT[plan.fault]})",) if plan.fault else ()
        return (played, f"Broker: {broker}; store: SQLite", *fault)

    def stop(self) -> None:
        """End every process that still runs. Twice does no harm."""
        self.family.stop(("controller", "telemetry", "bridge"))
        if self.broker is not None:
            self.broker.stop()
        self.family.stop()
