"""Devices with plain registers: nothing in them need say whose they are. Pure.

Fits     a meter's map when frequency and voltage are a grid's, an inverter's when all its values are plausible.
Alike    several may fit: a map's probe says that it is this one, without a match the nameplate tells them apart.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from controller.scanunit import GRID_V, TIMEOUT_MS, Found, Unit, finite, known_maps, record, reversion_s
from cython_core.records import DeviceState, Measurement, Session
from drivers.devicemap import METER_QUANTITIES, DeviceMap
from drivers.inverterplan import register_plan
from drivers.registermap import PHASES, meter_plan
from drivers.tables import TYPES

GRID_HZ = (45.0, 65.0)
SMALL_W = 50.0  # phases and total may have been read at different times
NOT_SIGNED = ("p_max_discharge_w", "p_max_charge_w", "s_max_va", "soc_pu")  # 0 in them says nothing


@dataclass(frozen=True, slots=True)
class Fit:
    """A map of plain registers that a unit's answers fit. size: how many values it has."""

    size: int
    name: str
    device: DeviceMap
    seen: Mapping[str, float]


def meter_values(unit: Unit, device: DeviceMap, power: str = "house") -> dict[str, float] | None:
    """Everything that a meter shows, + = out of the inverter."""
    phases = [p for p, names in PHASES.items() if all(v in device.registers for v in names)][-1]
    values = record(unit, meter_plan(device, unit.number, phases, TIMEOUT_MS, power=power), Measurement)
    return values and finite({q: values[q] for q in METER_QUANTITIES})


def is_of_a_grid(seen: Mapping[str, float]) -> bool:
    return GRID_HZ[0] <= seen.get("f_hz", 0.0) <= GRID_HZ[1] and GRID_V[0] <= seen.get("v1_v", 0.0) <= GRID_V[1]


def register_meter(unit: Unit) -> list[Found]:
    """At most one: the maps whose frequency and voltage are a grid's, with the most phases that carry voltage."""
    fitting: list[Fit] = []
    for name, device in known_maps("meter"):
        if device.models:
            continue
        first = replace(device, registers={q: device.registers[q] for q in ("f_hz", "v1_v")})  # two, before all
        if not is_of_a_grid(meter_values(unit, first, power="none") or {}):
            continue
        seen = meter_values(unit, device)
        if seen and is_of_a_grid(seen) and adds_up(seen):
            fitting.append(Fit(len(device.registers), name, device, seen))
    most = max((wires(fit.seen) for fit in fitting), default=0)
    return one_of(unit, "meter", [fit for fit in fitting if wires(fit.seen) == most])


def wires(seen: Mapping[str, float]) -> int:
    """Phases that carry voltage."""
    return sum(seen.get(name, 0.0) >= GRID_V[0] for name in PHASES["L1L2L3"])


def adds_up(seen: Mapping[str, float]) -> bool:
    """Whether the phases' powers make the total. A single-phase meter read as one of three shows a total of 0."""
    phases = [seen[f"p{i}_w"] for i in (1, 2, 3) if f"p{i}_w" in seen]
    if not phases or "p_w" not in seen:
        return True
    return math.isclose(sum(phases), seen["p_w"], rel_tol=0.2, abs_tol=SMALL_W)


def register_inverter(unit: Unit) -> list[Found]:
    """At most one: the maps whose values are all plausible. A few numbers without power or state prove nothing."""
    fitting: list[Fit] = []
    for name, device in known_maps("inverter"):
        inverter = device.inverter
        if inverter is None or not (inverter.session or inverter.status or "p_w" in inverter.registers):
            continue
        seen = inverter_values(unit, device)
        if seen is not None:
            fitting.append(Fit(len(inverter.places()), name, device, seen))
    return one_of(unit, "inverter", fitting)


def inverter_values(unit: Unit, device: DeviceMap) -> dict[str, float] | None:
    """What it shows, if that is believable. The state of charge may be absent: there may be no car."""
    inverter = device.inverter
    assert inverter is not None
    state = record(unit, register_plan(device, unit.number, reversion_s(device)), DeviceState)
    if state is None:
        return None
    seen = finite({q: state[q] for q in inverter.registers})
    words_known = (inverter.session is None or state["session"] != Session.UNKNOWN) and (
        inverter.status is None or state["status"] != 0
    )
    complete = set(inverter.registers) <= {*seen, "soc_pu"}
    return seen if words_known and complete and any(seen.get(q, 0.0) > 0.0 for q in NOT_SIGNED) else None


def one_of(unit: Unit, kind: str, fitting: list[Fit]) -> list[Found]:
    """A find with the maps that their probes say it is, else with all of them; the one that says most first."""
    said = [fit for fit in fitting if says_so(unit, fit.device)]
    told = sorted(said or fitting, key=lambda fit: (-fit.size, fit.name))
    names = tuple(fit.name for fit in told)
    return [Found(unit=unit.number, kind=kind, maps=names, sure=bool(said), seen=fit.seen) for fit in told[:1]]


def says_so(unit: Unit, device: DeviceMap) -> bool:
    """Whether the unit shows what the map's probe wants. Any other answer says nothing: firmware differs."""
    probe = device.probe
    if probe is None:
        return False
    words = unit.words(probe.function or device.function, probe.at, TYPES[probe.type])
    return words is not None and int.from_bytes(b"".join(w.to_bytes(2) for w in words)) in probe.values
