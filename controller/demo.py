"""The demonstration: simulated devices, the real controller, its telemetry, and one grid event in real time.

Processes  grid, meter, inverter (drivers.sim.server, Modbus TCP on loopback), broker, bridge, telemetry, controller:
           the same commands that run in a house, each a process of its own.
Folder     site.yaml, run/ (ring), state/ (journal, stores), logs/, report.html.
Faults     a fault of FAULTS is in the simulated devices or leaves the broker out; a script's go through
           controller.injector, with a proxy in front of each device. Never into the controller.
Errors     ProcessError, BrokerError: the text says which process and why. ClockError, ProxyError: this script cannot be
           played here.
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

from controller.injector import Injector
from controller.processes import Family
from controller.report.make import Judged, judge_journal, write
from controller.site import Site, load_site
from controller.sitedata import MqttSite
from controller.sitewrite import site_text
from controller.telemetry.broker import Broker, free_port, start_broker
from controller.telemetry.sqlitestore import SqliteStore
from cython_core.bulk import STEP, from_bytes
from cython_core.realtime.ring import RingReader
from cython_core.records import Reason, State
from drivers.sim.bar import Bar
from drivers.sim.clock import Clock
from drivers.sim.faultscript import Action
from drivers.sim.faultwords import InverterFace, MeterFace
from drivers.sim.proxy import Proxy, TcpProxy
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
    """What is played. trace_args: how the grid process finds it. script: faults on the way."""

    trace: Trace
    trace_args: tuple[str, ...]
    title: str
    start_s: float
    duration_s: float
    fault: str = ""
    script: tuple[Action, ...] = ()


@dataclass(frozen=True, slots=True)
class Now:
    """The newest state of a running demonstration, for the view."""

    history: NDArray[Any]
    info: dict[str, Any]
    telemetry: dict[str, Any]
    elapsed_s: float
    faults: str  # that stand now, in the words of the script


class Demo:
    """start(), then watch() until it is played, then finish(); stop() at the end, whatever happened.

    It is the House of its injector. site: whose numbers are used; default: the demonstration's own for this grid.
    proxied: a fault proxy stands before each device even without a script.
    """

    devices_words = "starting the simulated grid, meter and inverter"

    def __init__(self, plan: Plan, folder: Path, site: Site | None = None, proxied: bool = False) -> None:
        self.plan, self.folder = plan, folder.resolve()
        self.site = site or load_site(Path(f"demo-{plan.trace.f_nom_hz:.0f}hz"))
        self.folder.mkdir(parents=True, exist_ok=True)
        self.family = Family(self.folder / "logs")
        self.broker: Broker | None = None
        self.broker_port = 0
        self.reader: RingReader | None = None
        self.info: dict[str, Any] = {}
        self.history = np.zeros(0, dtype=STEP)
        self.bar = Bar(self.folder / "grid.bar")
        self.proxied = proxied or bool(plan.script)
        self.proxies: dict[str, Proxy] = {}
        self.ports: dict[str, int] = {}  # where the controller finds each device
        self.clock: Clock | None = None
        self.injector = Injector(self, plan.script)

    # ---- start ----

    def start(self, say: Callable[[str], None]) -> None:
        """Start everything and wait until the controller is in service and the unit is settled."""
        self.start_house(say)
        say("waiting until the controller is in service")
        self.wait_until_settled()

    def start_house(self, say: Callable[[str], None]) -> None:
        """Start everything, the controller last."""
        if any(action.target == "clock" for action in self.plan.script):
            self.with_clock()
        say(self.devices_words)
        self.start_devices()
        self.start_broker(say)
        self.write_site()
        say("starting telemetry and the controller")
        if self.broker is not None:
            self.restart("bridge")
        self.restart("telemetry")
        self.wait_for_bridge()
        self.injector.start()
        self.restart("controller")

    def with_clock(self) -> None:
        """What is started from now on gets a wall clock that can jump. Raises ClockError."""
        self.clock = Clock(self.folder / "clock")
        self.family.environment = self.clock.environment()

    def start_devices(self) -> None:
        plan, bar = self.plan, ("--bar", str(self.folder / "grid.bar"))
        times = ("--start-s", f"{plan.start_s:g}", "--duration-s", f"{plan.duration_s:g}")
        v_nom = ("--v-nom", f"{self.site.settings.rating.v_nom_v:g}")
        faulty, extra = FAULTS.get(plan.fault, ("", ()))
        server = "drivers.sim.server"
        self.family.start("grid", server, "grid", *bar, *plan.trace_args, *times, *v_nom)
        for name, more in (("meter", ()), ("inverter", v_nom)):
            port_file = ("--port-file", str(self.folder / f"{name}.port"))
            self.family.start(name, server, name, *bar, *port_file, *more, *(extra if faulty == name else ()))
        for name in ("meter", "inverter"):
            self.family.wait_until((self.folder / f"{name}.port").exists, f"the simulated {name}", READY_S)
            self.ports[name] = int((self.folder / f"{name}.port").read_text())
        self.family.wait_until(lambda: self.bar.runs("grid_s"), "the simulated grid", READY_S)
        if self.proxied:
            self.start_proxies()

    def start_proxies(self) -> None:
        """One before each device; the controller is given their ports."""
        for name, face in (("meter", MeterFace()), ("inverter", InverterFace())):
            proxy = TcpProxy({name: face}, self.ports[name])
            proxy.start()
            self.proxies[name], self.ports[name] = proxy, proxy.port

    def start_broker(self, say: Callable[[str], None]) -> None:
        """With the fault no_telemetry there is none, and nobody listens on its port."""
        if self.plan.fault == "no_telemetry":
            self.broker_port = free_port()
            return
        self.broker = start_broker(self.folder / "broker")
        self.broker_port = self.broker.port
        say(f"{self.broker.name} on 127.0.0.1:{self.broker.port}")

    # ---- the house of an injector ----

    def kill(self, part: str) -> None:
        """SIGKILL; returns when it is gone."""
        if part != "broker":
            self.family.kill(part)
        elif self.broker is not None:
            self.broker.process.kill()
            self.broker.process.wait()

    def restart(self, part: str) -> None:
        """Start a part that does not run; the broker on its old port."""
        if part == "broker":
            self.broker = start_broker(self.folder / "broker", self.broker_port)
            return
        self.family.start(part, *self.command(part))

    def command(self, part: str) -> tuple[str, ...]:
        """Of a part that is a process of ours."""
        name = "run" if part == "controller" else part
        return ("controller.cli", name, str(self.folder / "site.yaml"), "--parent-death")

    def freeze(self, part: str) -> None:
        self.family.freeze(part)

    def thaw(self, part: str) -> None:
        self.family.thaw(part)

    def unit_w(self) -> tuple[float, float]:
        """What the unit gives, and the set-point in it; NaN: nobody here knows."""
        return self.bar.get("p_w"), self.bar.get("p_set_w")

    def step_clock(self, seconds: float) -> None:
        assert self.clock is not None, "made at the start when a script has a clock"
        self.clock.step(seconds)

    # ---- its site ----

    def write_site(self) -> None:
        """The site with the ports in use and this run's folders."""
        mqtt = MqttSite(host="127.0.0.1", port=self.broker_port, keepalive_s=5)
        site = replace(
            self.site,
            meter=replace(self.site.meter, host="127.0.0.1", port=self.ports["meter"]),
            inverter=replace(self.site.inverter, host="127.0.0.1", port=self.ports["inverter"]),
            telemetry=replace(self.site.telemetry, mqtt=mqtt, store=None),
            runtime_dir=self.folder / "run",
            state_dir=self.folder / "state",
        )
        text = f"# Written by v2g demo for this run.\n{site_text(site)}"
        (self.folder / "site.yaml").write_text(text, encoding="utf-8")

    def wait_for_bridge(self) -> None:
        """The first frame must find a consumer, or its arrival is late through no fault of the controller."""
        if self.broker is not None:
            store = self.folder / "state" / "telemetry.sqlite"
            self.family.wait_until(store.exists, "the bridge's store", READY_S)

    def wait_until_settled(self) -> None:
        """Faults that stand at the start go on meanwhile, and end at their time."""

        def settled() -> bool:
            self.injector.advance()
            return self.is_settled()

        self.family.wait_until(settled, "the controller in service", READY_S)

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
        """Let the grid play its event; times of the script count from now."""
        self.bar.play()
        self.injector.play()

    def rest(self, seconds: float) -> None:
        """Let it run for so long."""
        self.injector.rest(seconds)

    def read(self) -> None:
        """Take what the ring has; keep the last minute. A restarted controller has a ring of its own."""
        ring = self.folder / "run" / "ring"
        if self.reader is None:
            if not ring.exists():
                return
            self.reader = RingReader(ring)
            self.info = self.reader.info
        replaced = self.reader.replaced()
        raw, _ = self.reader.read()
        if raw:
            self.history = np.concatenate([self.history, from_bytes(raw)])[-HISTORY_S * 100 :]
        if replaced:
            self.reader = None

    def now(self) -> Now:
        """The newest state. Raises ProcessError when a process has ended by itself."""
        self.family.check()
        self.read()
        try:
            telemetry = json.loads((self.folder / "run" / "telemetry.json").read_text())
        except (OSError, ValueError):
            telemetry = {}
        played = self.bar.get("play_s")
        elapsed_s = min(time.monotonic() - played, self.plan.duration_s) if played > 0 else 0.0
        return Now(self.history, self.info, telemetry, elapsed_s, self.injector.words)

    def is_over(self) -> bool:
        """All was played, and the answer had its tail."""
        played = self.bar.get("play_s")
        return played > 0 and time.monotonic() - played > self.plan.duration_s + TAIL_S

    # ---- end ----

    def finish(self, say: Callable[[str], None]) -> tuple[Judged, Path]:
        """Stop in order, then make the report from what was recorded."""
        self.injector.release()
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
        end_s = time.monotonic()
        played = self.injector.played if self.plan.script else []
        write(judged, report, self.notes(), ((p.text, p.begin_s, p.end_s or end_s) for p in played))
        return judged, report

    def notes(self) -> tuple[str, ...]:
        """What the report says of this run beside its numbers."""
        plan = self.plan
        played = f"Played: {plan.title}, {plan.start_s:g} s ... {plan.start_s + plan.duration_s:g} s, in real time"
        broker = self.broker.name if self.broker is not None else "none"
        fault = (f"Injected fault: {plan.fault} ({FAULT_TEXT[plan.fault]})",) if plan.fault else ()
        return (played, f"Broker: {broker}; store: SQLite", *fault, *self.fault_notes())

    def fault_notes(self) -> tuple[str, ...]:
        """Each fault of the script, when and what it is."""
        return tuple(
            f"Injected fault: {'before the start' if a.at_s < 0 else f'at {a.at_s:g} s'}: {a.text} ({a.verb.does})"
            for a in self.plan.script
        )

    def stop(self) -> None:
        """End every process that still runs. Twice does no harm."""
        self.injector.release()
        self.family.stop(("controller", "telemetry", "bridge"))
        if self.broker is not None:
            self.broker.stop()
        self.family.stop()
        for proxy in self.proxies.values():
            proxy.stop()
        self.proxies.clear()
