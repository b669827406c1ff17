"""The drill on a rig: a site's own meter and inverter, over TCP, in shadow: nothing is ever written to them.

House    a fault proxy before each device, the controller with --watch-only behind them, a broker, bridge and telemetry
         of this run's own; folders of its own too.
Answers  those that step records show. A fault that only a written inverter could answer, or that would put values into
         registers which are the simulator's, is named and not judged.
Safety   shadow, --watch-only, and no fault that writes (WireFace). The site's own controller must not run: its lock is
         held meanwhile, as many devices serve one master only.
Errors   InputError: a device is not on Modbus TCP, or a controller of this site runs. ProcessError: as of a Demo.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from controller.demo import READY_S, Demo, Plan
from controller.drill import ANSWERS, SEEN_IN_SHADOW, Answer, bits
from controller.errors import InputError
from controller.lifetime import lock_folder
from controller.site import Site
from cython_core.records import Mode, Reason
from drivers.modbus.link import TcpLink
from drivers.sim.faultwords import WireFace
from drivers.sim.proxy import TcpProxy

NAN = float("nan")
RIG_ANSWERS: Mapping[str, Answer] = {
    **{name: ANSWERS[name] for name in SEEN_IN_SHADOW},
    "inverter gone": Answer(
        "no more commands", lambda t: t.inverter_lost_s + t.in_flight_s,
        lambda case: case.first_s(lambda s: bits(Reason.DEVICE_LOST)(s) & (s["mode"] == Mode.SILENT)),
    ),
}  # fmt: skip


def on_tcp(site: Site) -> Site:
    """The same site in shadow; InputError when a proxy cannot stand before its devices."""
    for role in ("meter", "inverter"):
        wire = getattr(site, role)
        if type(getattr(wire, "wire", wire.link)) is not TcpLink:  # UDP is a kind of it
            raise InputError(f"{site.where(f'{role}.host', role)}: a drill on a rig needs Modbus TCP: `host`")
    return replace(site, start_mode="shadow")


class DrillRig(Demo):
    """A Demo whose devices are not ours."""

    devices_words = "putting a proxy before each device"

    def __init__(self, plan: Plan, folder: Path, site: Site) -> None:
        self.lock = lock_folder(site.runtime_dir, "core")
        if self.lock is None:
            raise InputError(f"{site.runtime_dir}: the controller of this site is running; stop it first")
        super().__init__(plan, folder, site, proxied=True)

    def start_devices(self) -> None:
        """One proxy for each address: two units behind a gateway share it."""
        faces: dict[tuple[str, int], dict[str, WireFace]] = {}
        for role, wire in (("meter", self.site.meter), ("inverter", self.site.inverter)):
            faces.setdefault((wire.host or "", wire.port), {})[role] = WireFace(wire.unit)
        for (host, port), roles in faces.items():
            proxy = TcpProxy(roles, port, host=host)
            proxy.start()
            for role in roles:
                self.proxies[role], self.ports[role] = proxy, proxy.port

    def wait_until_settled(self) -> None:
        """A site that enters service by itself has its delay and ramp."""
        enter = self.site.settings.enter_service
        own_s = enter.delay_s + enter.random_s + enter.ramp_s if enter.owner == "controller" else 0.0
        self.family.wait_until(self.is_settled, "the controller in service", READY_S + own_s)

    def command(self, part: str) -> tuple[str, ...]:
        return (*super().command(part), *(("--watch-only",) if part == "controller" else ()))

    def unit_w(self) -> tuple[float, float]:
        """Nothing is commanded: what the unit gives is its own affair."""
        return NAN, NAN

    def start(self, say: Callable[[str], None]) -> None:
        say("SHADOW: nothing is written to the inverter; the site's own controller must stay off meanwhile")
        super().start(say)

    def stop(self) -> None:
        super().stop()
        if self.lock is not None:
            self.lock.close()
            self.lock = None
