"""The fault language as far as a unit in virtual time can show it: what its controller sees differs for a while.

Errors   RigError: the line is none of the fault language, or there is no such part here (a wire, a broker, a process).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from controller.bench.brains import GOOD, Given
from controller.bench.ports import RigError
from cython_core.records import DeviceStatus, Session
from drivers.sim.faultscript import Action, ScriptError, parse_line


@dataclass(frozen=True, slots=True)
class Fault:
    """begins, ends: fields of Given, and `blind`: the controller's meter shows nothing new. for_s None: to the end."""

    t_ns: int
    begins: dict[str, Any]
    ends: dict[str, Any]
    for_s: float | None


SHOWN: dict[str, Callable[[Action, int], dict[str, Any]]] = {
    "meter.silent": lambda _, t_ns: {"meter_ns": t_ns, "blind": True},
    "meter.freeze": lambda *_: {"blind": True},
    "inverter.silent": lambda _, t_ns: {"device_ns": t_ns},
    "inverter.fault": lambda *_: {"status": int(GOOD | DeviceStatus.FAULT)},
    "inverter.local": lambda *_: {"status": int(GOOD | DeviceStatus.LOCAL)},
    "inverter.unplug": lambda *_: {"session": int(Session.UNPLUGGED)},
    "inverter.asleep": lambda *_: {"session": int(Session.ENDED_BY_CAR)},
    "inverter.soc_glitch": lambda action, _: {"soc_pu": action.value / 100.0},
    "inverter.charge_limit": lambda action, _: {"p_max_charge_w": action.value},
    "inverter.discharge_limit": lambda action, _: {"p_max_discharge_w": action.value},
}


def faults_of(line: str, now_ns: int) -> Iterator[Fault]:
    """`at 2s: meter.silent 5s; ...`, its times from now on."""
    try:
        actions = parse_line(line, "fault")
    except ScriptError as error:
        raise RigError(str(error)) from None
    rest = Given()
    for action in actions:
        begins = SHOWN.get(action.verb.name)
        if begins is None or action.part:
            raise RigError(f"'{action.text}': a rig in virtual time has no such part; it can show {', '.join(SHOWN)}")
        t_ns = now_ns + round(max(action.at_s, 0.0) * 1e9)
        shown = begins(action, t_ns)
        yield Fault(t_ns, shown, {name: getattr(rest, name, False) for name in shown}, action.for_s)
