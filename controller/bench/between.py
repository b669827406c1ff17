"""What stands between a controller and the simulated devices of a rig, and can be spoiled: wires, car, processes.

The House of an injector (controller.injector). Times of a line of the fault language count from when it is given.
Errors   RigError: the line is none, or names what is not here.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from controller.bench.ports import RigError
from controller.injector import Injector
from controller.telemetry.broker import Broker, BrokerError, start_broker
from drivers.sim.bar import Bar
from drivers.sim.faultscript import ScriptError, parse_line
from drivers.sim.faultwords import InverterFace, MeterFace
from drivers.sim.proxy import Proxy, ProxyError, TcpProxy


class Life(Protocol):
    """Whoever starts and ends the controller and its telemetry."""

    def kill(self, part: str) -> None: ...

    def restart(self, part: str) -> None: ...

    def freeze(self, part: str) -> None: ...

    def thaw(self, part: str) -> None: ...


class Between:
    """ports: of the simulated devices. What the controller shall dial instead: the `ports` of this."""

    def __init__(self, folder: Path, ports: Mapping[str, int], with_broker: bool) -> None:
        self.bar, self.folder = Bar(folder / "bar"), folder
        self.proxies: dict[str, Proxy] = {}
        self.ports = dict(ports)
        self.life: Life | None = None  # whoever starts the controller says so
        try:
            self.broker: Broker | None = start_broker(folder / "broker") if with_broker else None
        except BrokerError as error:
            raise RigError(str(error)) from None
        for name, face in (("meter", MeterFace()), ("inverter", InverterFace())):
            proxy = TcpProxy({name: face}, ports[name])
            proxy.start()
            self.proxies[name], self.ports[name] = proxy, proxy.port
        self.injector = Injector(self)

    def fault(self, line: str) -> None:
        """From now on, too."""
        try:
            actions = parse_line(line, "fault")
            for action in actions:
                if action.target == "clock" or (action.target == "broker" and self.broker is None):
                    raise RigError(f"fault '{action.text}': this rig has no {action.target}")
            self.injector.add(actions)
        except (ScriptError, ProxyError) as error:
            raise RigError(str(error)) from None

    def advance(self) -> None:
        """What is due."""
        self.injector.advance()

    def close(self) -> None:
        self.injector.release()
        for proxy in self.proxies.values():
            proxy.stop()
        if self.broker is not None:
            self.broker.stop()

    # ---- the house of an injector ----

    def kill(self, part: str) -> None:
        if part != "broker":
            self.owner().kill(part)
        elif self.broker is not None:
            self.broker.process.kill()
            self.broker.process.wait()

    def restart(self, part: str) -> None:
        """The broker on its old port."""
        if part != "broker":
            self.owner().restart(part)
        elif self.broker is not None:
            self.broker = start_broker(self.folder / "broker", self.broker.port)

    def freeze(self, part: str) -> None:
        self.owner().freeze(part)

    def thaw(self, part: str) -> None:
        self.owner().thaw(part)

    def step_clock(self, seconds: float) -> None:
        raise RigError(f"clock.step {seconds:g}s: this rig has no clock of its own")

    def owner(self) -> Life:
        if self.life is None:
            raise RigError("no controller has been started")
        return self.life
