"""One site of real processes in one folder, a fault proxy before each device; verbs to break it, readers to look.

    with Rig(folder) as rig:
        rig.start()
        rig.fault("meter.nan", for_s=3)           # docs/faults.md
        rig.kill("telemetry"); rig.restart("telemetry")
        rig.wait_for(lambda: rig.newest().mode == Mode.SAFE, 10, "the safe mode")

Processes  PARTS: grid, meter, inverter (drivers.sim.server), broker, bridge, telemetry, controller, by the commands
           that run in a house. Nothing is injected into the controller: only its surroundings and its life.
Readers    records() and runs from the ring, replayed() from the journal, rows() from the store, bar from the plant.
Errors     AssertionError from wait_for, ProcessError when a part ends by itself or does not start.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from controller.injector import Injector
from controller.journal import read_journal
from controller.processes import Family, ProcessError
from controller.replay import Replay, replay
from controller.telemetry.broker import Broker, start_broker
from controller.telemetry.store import read_points
from controller.telemetry.wire import Arrival
from cython_core.bulk import STEP, from_bytes
from cython_core.realtime.ring import RingReader
from cython_core.records import Reason, State
from drivers.sim.bar import Bar
from drivers.sim.clock import Clock
from drivers.sim.faultscript import parse
from drivers.sim.faultwords import Face, InverterFace, MeterFace
from drivers.sim.proxy import Proxy, SerialProxy, TcpProxy, free_port

Records = NDArray[Any]
PARTS = ("grid", "meter", "inverter", "broker", "bridge", "telemetry", "controller")
READY_S = 40.0  # a bound for a broken build, not a figure
QUIET_GRID = "t_s,f_hz\n0,60\n600,60\n"
NAME = "rig"
BAUD = 115200
P_RATED_W, CHARGE_W, RAMP_PU_S = 7000.0, 1400.0, 0.2

# of the site file; v_nom_v of the simulated devices too
CHOICES: dict[str, Any] = {
    "profile": "ieee1547-2018-cat-b-iii",
    "v_nom_v": 240,
    "reversion_s": 3,
    "inverter_timeout_ms": 200,
    "fail_safe": "frozen_after_s: 5",
    "dead_band_hz": 0.036,
    "more": "",  # groups of settings, a line each
}
SITE = """\
schema: 1
name: {name}
start_mode: demo
profile: {profile}
runtime_dir: {folder}/run
state_dir: {folder}/state
meter: {{map: eastron-sdm630, {meter}, location: inverter, phases: L1,
         poll_ms: 50, timeout_ms: 100, refresh_ms: 100}}
inverter: {{map: sunspec-7xx, {inverter}, poll_ms: 100, timeout_ms: {inverter_timeout_ms},
            reversion_s: {reversion_s}, lag_ms: 300}}
settings:
  rating: {{v_nom_v: {v_nom_v}, p_rated_w: 7000, p_charge_rated_w: 7000, s_rated_va: 7000}}
  limits: {{ramp_pu_s: 0.2}}
  default_wish: {{charge_w: 1400, soc_target_pu: 0.8}}
  fail_safe: {{{fail_safe}}}
  freq_droop: {{db_uf_hz: {dead_band_hz}, db_of_hz: {dead_band_hz}}}
{more}
telemetry:
  live_s: 1
  mqtt: {{host: 127.0.0.1, port: {broker}, keepalive_s: 5}}
"""


class Rig:
    """start(), break things, look, stop(). The unit charges with 1400 W when nothing is wrong.

    trace: what the grid plays after play(), as the text of a CSV. serial: each device on a line of its own. choices: of
    CHOICES.
    """

    def __init__(self, folder: Path, trace: str = QUIET_GRID, serial: bool = False, **choices: Any) -> None:
        self.folder = folder.resolve()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.family = Family(self.folder / "logs")
        self.site = self.folder / "site.yaml"
        self.bar = Bar(self.folder / "bar")
        assert set(choices) <= set(CHOICES), choices
        self.choices = CHOICES | choices
        self.ports = {name: free_port() for name in ("meter", "inverter", "broker")}
        self.proxies: dict[str, Proxy] = {}
        self.ends: dict[str, tuple[str, ...]] = {}  # where each device serves, as options
        self.wires: dict[str, str] = {}  # where the controller finds it: at its proxy
        faces: dict[str, Face] = {"meter": MeterFace(), "inverter": InverterFace()}
        for name, face in faces.items():
            self._join(name, face, serial)
        self.clock: Clock | None = None
        self.injector = Injector(self)
        self.runs: dict[int, Records] = {}  # epoch -> its steps
        self._reader: RingReader | None = None
        self._broker: Broker | None = None
        (self.folder / "grid.csv").write_text(trace)

    def _join(self, name: str, face: Face, serial: bool) -> None:
        """A device's wire with its proxy."""
        proxy: TcpProxy | SerialProxy
        if serial:
            proxy = SerialProxy({name: face})
            self.ends[name] = ("--serial", proxy.far, "--baud", str(BAUD))
            self.wires[name] = f"serial: {proxy.near}, baud: {BAUD}"
        else:
            proxy = TcpProxy({name: face}, self.ports[name])
            self.wires[name] = f"host: 127.0.0.1, port: {proxy.port}"
        proxy.start()
        self.proxies[name] = proxy

    # ---- life of the parts ----

    def start(self, *parts: str) -> None:
        """These parts (all), in order; with the controller among them until it is in service and its ramp over."""
        chosen = self.choices | self.wires
        self.site.write_text(SITE.format(name=NAME, folder=self.folder, broker=self.ports["broker"], **chosen))
        for part in parts or PARTS:
            self.restart(part)
        if "controller" in (parts or PARTS):
            self.wait_for(self.is_calm, READY_S, "the controller in service")

    def restart(self, part: str) -> None:
        """Start a part that does not run, on its old port; devices and broker are waited for."""
        assert part not in self.family.members, f"{part} runs"
        if part == "broker":
            self._broker = start_broker(self.folder / "broker", self.ports["broker"])
            return
        self.family.start(part, *self._command(part))
        heartbeat = {"grid": "grid_s", "meter": "meter_s", "inverter": "unit_s"}.get(part)
        if heartbeat is not None:
            beat = self.bar.get(heartbeat)  # of its earlier life
            self.family.wait_until(lambda: self.bar.get(heartbeat) > beat, part, READY_S)
        port_file = self.folder / f"{part}.port"
        if part in ("meter", "inverter"):
            self.family.wait_until(port_file.exists, part, READY_S)

    def _command(self, part: str) -> tuple[str, ...]:
        port_file = str(self.folder / f"{part}.port")
        bar = ("--bar", str(self.folder / "bar"))
        ends = self.ends.get(part) or ("--port", str(self.ports.get(part, 0)))
        listen = (*bar, *ends, "--port-file", port_file)
        v_nom = ("--v-nom", str(self.choices["v_nom_v"]))
        server, cli, site = "drivers.sim.server", "controller.cli", (str(self.site), "--parent-death")
        return {
            "grid": (server, "grid", *bar, "--trace", str(self.folder / "grid.csv"), *v_nom),
            "meter": (server, "meter", *listen),
            "inverter": (server, "inverter", *listen, *v_nom),
            "bridge": (cli, "bridge", *site),
            "telemetry": (cli, "telemetry", *site),
            "controller": (cli, "run", *site),
        }[part]

    def kill(self, part: str) -> None:
        """SIGKILL; returns when it is gone."""
        if part == "broker":
            assert self._broker is not None
            self._broker.process.kill()
            self._broker.process.wait()
            self._broker = None
            return
        self.family.kill(part)
        (self.folder / f"{part}.port").unlink(missing_ok=True)

    def stop(self, *parts: str) -> None:
        """SIGTERM to these (all that run), in the safe order; each has its time."""
        self.records()
        self.family.stop(parts or ("controller", "telemetry", "bridge"))
        if not parts:
            if self._broker is not None:
                self._broker.stop()
            self.family.stop()

    # ---- verbs ----

    def fault(self, text: str, for_s: float | None = None) -> None:
        """Put faults in force, in the words of docs/faults.md: for a time, or until mended()."""
        for action in parse(f"at 0s: {text}", "rig"):
            self.injector.begin(action)
        if for_s is not None:
            self.run_for(for_s)
            self.mended()

    def mended(self) -> None:
        """End every fault that stands; what was killed stays so."""
        self.injector.release()

    def freeze(self, part: str) -> None:
        self.family.freeze(part)

    def thaw(self, part: str) -> None:
        self.family.thaw(part)

    def with_clock(self) -> None:
        """Before start(): the parts get a wall clock that can jump."""
        self.clock = Clock(self.folder / "clock")
        self.family.environment = self.clock.environment()

    def step_clock(self, seconds: float) -> None:
        assert self.clock is not None, "with_clock() comes before start()"
        self.clock.step(seconds)

    def play(self) -> None:
        """Let the grid's trace run; until then its first row stands."""
        self.bar.play()

    def run_for(self, seconds: float) -> None:
        """Let it run, and collect the records meanwhile."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.records()
            time.sleep(0.05)

    def wait_for(self, predicate: Callable[[], object], limit_s: float, what: str) -> None:
        """Until it is true; every part that was not killed must stay alive meanwhile."""
        deadline = time.monotonic() + limit_s
        while not predicate():
            self.family.check()
            assert time.monotonic() < deadline, f"waited {limit_s:g} s for {what}; {self.last_words()}"
            time.sleep(0.02)

    # ---- readers ----

    def records(self) -> Records:
        """Every step of the newest epoch so far."""
        while True:
            if self._reader is None and (self.folder / "run" / "ring").exists():
                self._reader = RingReader(self.folder / "run" / "ring")
            if self._reader is None:
                return np.zeros(0, dtype=STEP)
            replaced = self._reader.replaced()
            raw, lost = self._reader.read(100_000)
            assert lost == 0, f"{lost} steps were overwritten before this test looked"
            epoch = self._reader.epoch
            self.runs[epoch] = np.concatenate([self.runs.get(epoch, np.zeros(0, STEP)), from_bytes(raw)])
            if not replaced:
                return self.runs[epoch]
            self._reader = None

    def forget(self) -> None:
        """Drop all steps but the last second's: a long run would be copied at every look."""
        self.runs = {epoch: found[-100:] for epoch, found in self.runs.items()}

    def newest(self) -> Any:
        """The newest step, a structured row."""
        found = self.records()
        assert len(found), "no step yet"
        return found[-1]

    def is_calm(self) -> bool:
        """In service, nothing unusual, at its wish."""
        found = self.records()
        if not len(found):
            return False
        ordinary = int(Reason.DEFAULT_WISH | Reason.SKIPPED)
        newest = found[-1]
        return bool(newest["state"] == State.IN_SERVICE and not int(newest["reasons"]) & ~ordinary)

    def reasons_since(self, n: int) -> Reason:
        """Every reason that stood in any step from n on."""
        found = self.records()
        return Reason(int(np.bitwise_or.reduce(found["reasons"][found["n"] >= n], initial=0)))

    def n(self) -> int:
        """Number of the newest step."""
        return int(self.newest()["n"])

    def replayed(self) -> Replay:
        """The journal as it stands, computed again."""
        return replay(read_journal(self.folder / "state" / "journal.v2gj"), keep=True)

    def rows(self, kind: str) -> list[Arrival]:
        """What the store holds: "live" or "event"."""
        path = self.folder / "state" / "telemetry.sqlite"
        return read_points(path, NAME, kind) if path.exists() else []

    def telemetry(self) -> dict[str, Any]:
        """The telemetry process's own numbers."""
        try:
            found: dict[str, Any] = json.loads((self.folder / "run" / "telemetry.json").read_text())
        except (FileNotFoundError, ValueError):
            return {}
        return found

    def log(self, part: str) -> str:
        """Everything a part has said."""
        path = self.folder / "logs" / f"{part}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def last_words(self) -> str:
        """The last line of every part, for a failure's text."""
        return "; ".join(f"{part}: {self.family.last_line(part)}" for part in PARTS if part != "broker")

    # ---- end ----

    def __enter__(self) -> Rig:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """SIGKILL to all that runs."""
        for part in ("controller", "telemetry", "bridge", "broker", "inverter", "meter", "grid"):
            if part in self.family.members or (part == "broker" and self._broker is not None):
                self.kill(part)
        for proxy in self.proxies.values():
            proxy.stop()
        self.bar.close()


__all__ = ["CHARGE_W", "CHOICES", "PARTS", "P_RATED_W", "RAMP_PU_S", "ProcessError", "Records", "Rig"]
