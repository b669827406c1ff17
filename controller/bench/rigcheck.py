"""What a rig file says in one group against what it says in another. Each mistake goes to `problems` with its line.

top      key of the file -> (value or section, line)
groups   name of a group -> its dataclass of rig.py, None where it is wrong in itself
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from drivers.gridsource.envelope import mistakes
from drivers.yamlfile import Problems

NEEDED = ("source", "meter", "envelope")  # of a rig in real time


def check_groups(top: Mapping[str, Any], groups: Mapping[str, Any], problems: Problems) -> None:
    """A rig in real time has wires, or devices that the bench starts; one in virtual time has none."""
    real = said(top, "time") == "real"
    groups = {name: group for name, group in groups.items() if group is not None}
    for name in NEEDED:
        if real and name not in top:
            problems.add(0, f"time: real needs the group '{name}'")
    for name in (*NEEDED, "emergency_stop", "devices"):
        if not real and name in top:
            problems.add(top[name][1], f"time: virtual has no {name}: everything is simulated")
    if "envelope" in groups:
        for mistake in mistakes(groups["envelope"]):
            problems.add(top["envelope"][1], f"envelope: {mistake}")
    if "unit" in groups:
        for mistake in unit_mistakes(groups["unit"], real):
            problems.add(top["unit"][1], f"unit: {mistake}")
    if real:
        check_wires(top, groups, problems)


def unit_mistakes(unit: Any, real: bool) -> Iterator[str]:
    """What is tested, and how it is reached, must fit each other and the rig's time."""
    time, kinds = ("real", ("controller", "inverter")) if real else ("virtual", ("core", "inverter"))
    if unit.kind not in kinds:
        yield f"kind = {unit.kind}; allowed with time: {time}: {', '.join(kinds)}"
    if (unit.kind == "controller") != bool(unit.site):
        yield "site belongs to kind: controller, and is needed there"
    if (unit.kind == "inverter" and real) != bool(unit.address):
        yield "address belongs to kind: inverter with time: real, and is needed there"


def check_wires(top: Mapping[str, Any], groups: Mapping[str, Any], problems: Problems) -> None:
    """Addresses where somebody has wired devices, and none where the bench starts them."""
    ours = said(top, "devices") == "simulated"
    source = groups.get("source")
    by_hand = source is not None and source.kind == "manual"
    for name in ("source", "meter"):
        if name in groups and bool(groups[name].address) == (ours or (name == "source" and by_hand)):
            which = "takes none with devices: simulated or kind: manual" if groups[name].address else "is missing"
            problems.add(top[name][1], f"{name}: address {which}")
    if ours and source is not None and (source.kind, source.profile) != ("scpi", "simulated"):
        problems.add(top["source"][1], "source: allowed with devices: simulated: kind: scpi, profile: simulated")
    if by_hand and "emergency_stop" in top:
        problems.add(top["emergency_stop"][1], "emergency_stop: a source by hand obeys nobody; allowed: kind: scpi")


def said(top: Mapping[str, Any], name: str) -> Any:
    return top.get(name, (None, 0))[0]
