"""The fault language as far as a unit in virtual time can show it: what its controller sees differs for a while.

Errors   RigError: the line is none of the fault language, or there is no such part here (a wire, a broker, a process).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from controller.bench.brains import GOOD, Given
from controller.bench.ports import RigError
from cython_core.records import DeviceStatus, Session
from drivers.sim.faultscript import Action, ScriptError, parse_action


@dataclass(frozen=True, slots=True)
class Fault:
    """begins, ends: fields of Given, and `blind`: the controller's meter shows nothing new. for_s None: to the end."""

    begins: dict[str, Any]
    ends: dict[str, Any]
    for_s: float | None


SHOWN: dict[str, Callable[[Action, int], dict[str, Any]]] = {
    "meter.silent": lambda _, t_ns: {"blind": True, "meter_ns": t_ns},
    "meter.freeze": lambda *_: {"blind": True},
    "inverter.silent": lambda _, t_ns: {"device_ns": t_ns},
    "inverter.fault": lambda *_: {"status": int(GOOD | DeviceStatus.FAULT)},
    "inverter.local": lambda *_: {"status": int(GOOD | DeviceStatus.LOCAL)},
    "inverter.unplug": lambda *_: {"session": int(Session.UNPLUGGED)},
    "inverter.asleep": lambda *_: {"session": int(Session.ENDED_BY_CAR)},
    "inverter.soc_glitch": lambda action, _: {"soc_pu": action.value / 100.0},
}


def fault_of(line: str, t_ns: int) -> Fault:
    """t_ns: now."""
    try:
        action = parse_action(line, 0.0, "fault")
    except ScriptError as error:
        raise RigError(str(error)) from None
    begins = SHOWN.get(action.verb.name)
    if begins is None or action.part:
        raise RigError(f"fault '{line}': a rig in virtual time has no such part; it can show {', '.join(SHOWN)}")
    shown = begins(action, t_ns)
    rest = Given()
    ends = {name: None if name == "blind" else getattr(rest, name) for name in shown}
    return Fault(shown, ends, action.for_s)
