"""The devices of a rig that has none: a simulated source, an inverter and two meters, a process each, on loopback.

with simulated(rig, logs) as wired: the same rig with the addresses of what was started, and its site with their ports
and with folders of its own, which are gone at the end. One meter is the controller's, the other the bench's.
Errors   InputError: the site's devices are others than the simulated ones. RigError: one of them did not start.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from controller.bench.between import Between
from controller.bench.plan import Eut
from controller.bench.ports import RigError
from controller.bench.rig import RigFile, UnitSpec
from controller.errors import InputError
from controller.processes import Family, ProcessError
from controller.site import load_site
from controller.sitedata import MqttSite
from controller.sitewrite import site_text

METER, INVERTER = "eastron-sdm630", "sunspec-7xx"
READY_S = 30.0


@contextmanager
def simulated(rig: RigFile, logs: Path | None = None, with_broker: bool = False) -> Iterator[RigFile]:
    """logs: what the devices say; None: not kept. with_broker: a broker beside them, for telemetry."""
    with tempfile.TemporaryDirectory(prefix="v2g-bench-") as place:
        folder = Path(place)
        family = Family(logs or folder / "logs")
        try:
            between = Between(folder, started(family, folder, options(rig.eut, rig.unit)), with_broker)
            try:
                yield wired(rig, folder, between)
            finally:
                between.close()
        except ProcessError as error:
            raise RigError(str(error)) from None
        finally:
            family.stop()


def options(eut: Eut, unit: UnitSpec) -> dict[str, tuple[str, ...]]:
    """Name of a device -> which one it is, and as what."""
    phases = ("--phases", f"{eut.phases}")
    numbers = {
        "v-nom": eut.v_nom_v, "f-nom": eut.f_nom_hz, "s-max-va": eut.s_rated_va, "p-discharge-w": eut.p_rated_w,
        "p-charge-w": eut.p_charge_rated_w, "q-max-var": max(eut.q_inject_var, eut.q_absorb_var),
        "dead-s": unit.dead_s, "lag-s": unit.lag_s,
    }  # fmt: skip
    inverter = [text for name, value in numbers.items() for text in (f"--{name}", f"{value:g}")]
    return {
        "source": ("source", *phases),
        "meter": ("meter", *phases),
        "bench-meter": ("meter", *phases, "--seed", "2", "--refresh-s", "0.02"),  # as fast as it is asked at best
        "inverter": ("inverter", *phases, *inverter),
    }


def started(family: Family, folder: Path, devices: Mapping[str, tuple[str, ...]]) -> dict[str, int]:
    """Name of a device -> its port."""
    files = {name: folder / f"{name}.port" for name in devices}
    for name, (device, *own) in devices.items():
        where = ("--bar", str(folder / "bar"), "--port-file", str(files[name]))
        family.start(name, "drivers.sim.server", device, *where, *own)
    for name, file in files.items():
        family.wait_until(file.exists, f"the simulated {name}", READY_S)
    return {name: int(file.read_text()) for name, file in files.items()}


def wired(rig: RigFile, folder: Path, between: Between) -> RigFile:
    """The rig as if somebody had connected these devices and written their addresses down."""
    assert rig.source is not None
    assert rig.meter is not None
    ports = between.ports
    return replace(
        rig,
        devices="wired",
        between=between,
        unit=replace(rig.unit, site=str(site_of(rig.unit.site, folder, between))),
        source=replace(rig.source, address=f"tcp://127.0.0.1:{ports['source']}"),
        meter=replace(rig.meter, address=f"tcp://127.0.0.1:{ports['bench-meter']}"),
    )


def site_of(name: str, folder: Path, between: Between) -> Path:
    site = load_site(Path(name))
    for role, known in (("meter", METER), ("inverter", INVERTER)):
        wire = getattr(site, role)
        if (wire.map, getattr(wire, "serial", None)) != (known, None):
            where = site.where(f"{role}.map", role)
            raise InputError(f"{where}: with `devices: simulated` the {role} is a {known} on Modbus TCP")
    ports, broker = between.ports, between.broker
    telemetry = site.telemetry
    if broker is not None:
        telemetry = replace(telemetry, mqtt=MqttSite(host="127.0.0.1", port=broker.port, keepalive_s=5), store=None)
    made = replace(
        site,
        telemetry=telemetry,
        meter=replace(site.meter, host="127.0.0.1", port=ports["meter"], unit=1),
        inverter=replace(site.inverter, host="127.0.0.1", port=ports["inverter"], unit=1),
        runtime_dir=folder / "run",
        state_dir=folder / "state",
    )
    path = folder / "site.yaml"
    path.write_text(site_text(made), encoding="utf-8")
    return path
