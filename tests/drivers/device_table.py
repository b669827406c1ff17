"""The tables of docs/devices.md, from the maps and their answers: `python -m tests.drivers.device_table`."""

from __future__ import annotations

import re
from pathlib import Path

import drivers.mapfile
from controller.siteinverter import takes_reactive
from controller.sitemaps import FREQUENCY_STEP_HZ
from drivers.can.canmap import CanMap
from drivers.devicemap import DeviceMap, WriteContract
from drivers.mapfile import FOLDERS, load_map, map_names
from drivers.mapproof import read_answers

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/devices.md"
CAPTURES = ROOT / "tests/captures"
MAPS = Path(drivers.mapfile.__file__).parent / "maps"
HEADS = {
    "meter": ("map", "meters", "proven", "read from a device", "frequency response", "refresh", "Q"),
    "inverter": ("map", "inverters and chargers", "proven", "says", "Q", "in our silence", "writes"),
}
THEN = {"zero": "0 W", "idle": "it stops", "local": "**its own mode**"}
SAYS = {"p_w": "P", "q_var": "Q", "soc_pu": "SoC", "session": "car"}


def begin(kind: str) -> str:
    return f"<!-- {FOLDERS[kind]}: python -m tests.drivers.device_table -->\n"


def end(kind: str) -> str:
    return f"<!-- end of {FOLDERS[kind]} -->\n"


def table(kind: str) -> str:
    """One row a map."""
    head = (HEADS[kind], ("---",) * len(HEADS[kind]))
    cells = {"meter": meter_cells, "inverter": inverter_cells}[kind]
    rows = ((*map_cells(kind, name), *cells(name, load_map(name))) for name in map_names([kind]))
    return "".join(f"| {' | '.join(row)} |\n" for row in (*head, *rows))


def map_cells(kind: str, name: str) -> tuple[str, ...]:
    """The map, the devices that its first line names, and its proof."""
    first = (MAPS / FOLDERS[kind] / f"{name}.yaml").read_text().splitlines()[0]
    devices = re.sub(r" Keys: \S+$", "", first.removeprefix("# ")).rstrip(".")
    return f"[{name}](../drivers/maps/{FOLDERS[kind]}/{name}.yaml)", devices, f"`{load_map(name).proven}`"


def meter_cells(name: str, device: DeviceMap) -> tuple[str, ...]:
    has_q = "q_var" in {*device.registers, *device.quantities}
    return seen(name), frequency(device), f"{device.refresh_ms} ms", "yes" if has_q else "no"


def inverter_cells(_name: str, device: DeviceMap) -> tuple[str, ...]:
    q = "commanded" if takes_reactive(device) else "no"
    if isinstance(device, CanMap):
        low, high = device.sends.timer_s
        return says(device), q, f"it stops after {span(low, high)}", device.sends.storage
    assert device.writes is not None
    return says(device), q, silence(device.writes), writes(device.writes)


def says(device: DeviceMap) -> str:
    """What it says of itself: without P the meter stands at its terminals."""
    found: set[str] = set(device.quantities)
    if isinstance(device, CanMap):
        found = {*device.can_quantities, *(["session"] if device.session else [])}
    elif device.inverter is not None:
        found = {*device.inverter.registers, *(["session"] if device.inverter.session else [])}
    return ", ".join(word for name, word in SAYS.items() if name in found) or "-"


def silence(contract: WriteContract) -> str:
    if contract.timer == "none":
        return "**holds the last power**"
    whose = "set by us" if contract.timer == "written" else "its own"
    return f"{THEN[contract.timer_then]} after {span(contract.timer_low_s, contract.timer_high_s)}, {whose}"


def span(low_s: int, high_s: int) -> str:
    return f"{low_s} s" if low_s == high_s else f"{low_s} ... {high_s} s"


def writes(contract: WriteContract) -> str:
    budget = f", {contract.write_budget_per_day} a day" if contract.write_budget_per_day else ""
    return f"{contract.storage}{budget}"


def seen(name: str) -> str:
    """The quantities of which a device's own answer lies in tests/captures."""
    captured = {q for a in read_answers(CAPTURES / f"{name}.yaml") if a.origin == "capture" for q in a.expected}
    kinds = [kind for kind, prefix in (("f", "f_"), ("V", "v"), ("P", "p"), ("Q", "q"), ("I", "i"))
             if any(q.startswith(prefix) for q in captured)]  # fmt: skip
    return ", ".join(kinds) or "-"


def frequency(device: DeviceMap) -> str:
    """Whether a function of frequency may use it, and why."""
    if device.models:
        return "if its steps are fine enough: seen when it is found"
    step = device.registers["f_hz"].step
    if step is None:
        return "not in `live` before its steps are known"
    return f"{'yes' if step <= FREQUENCY_STEP_HZ else '**no**'}, {step:.12g} Hz"


def page_with(text: str, kind: str) -> str:
    """The page with this table between its two marks."""
    before, _, rest = text.partition(begin(kind))
    _, _, after = rest.partition(end(kind))
    return before + begin(kind) + table(kind) + end(kind) + after


if __name__ == "__main__":
    for each in HEADS:
        PAGE.write_text(page_with(PAGE.read_text(), each))
