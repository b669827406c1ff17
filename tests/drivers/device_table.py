"""The table of meters in docs/devices.md, from the maps and their answers: `python -m tests.drivers.device_table`."""

from __future__ import annotations

import re
from pathlib import Path

import drivers.mapfile
from controller.sitemaps import FREQUENCY_STEP_HZ
from drivers.devicemap import DeviceMap
from drivers.mapfile import load_map, map_names
from drivers.mapproof import read_answers

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/devices.md"
CAPTURES = ROOT / "tests/captures"
MAPS = Path(drivers.mapfile.__file__).parent / "maps/meters"
BEGIN, END = "<!-- meters: python -m tests.drivers.device_table -->\n", "<!-- end of meters -->\n"
HEAD = (
    "| map | meters | proven | read from a device | frequency response | refresh | Q |\n"
    "| --- | --- | --- | --- | --- | --- | --- |\n"
)


def table() -> str:
    """One row a map."""
    return HEAD + "".join(row(name) for name in map_names(["meter"]))


def row(name: str) -> str:
    device = load_map(name)
    text = (MAPS / f"{name}.yaml").read_text()
    meters = re.sub(r" Keys: \S+$", "", text.splitlines()[0].removeprefix("# ")).rstrip(".")
    cells = (
        f"[{name}](../drivers/maps/meters/{name}.yaml)",
        meters,
        f"`{device.proven}`",
        seen(name),
        frequency(device),
        f"{device.refresh_ms} ms",
        "yes" if {"q_var"} & {*device.registers, *device.quantities} else "no",
    )
    return f"| {' | '.join(cells)} |\n"


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


def page_with(text: str, rows: str) -> str:
    """The page with these rows between its two marks."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + rows + END + after


if __name__ == "__main__":
    PAGE.write_text(page_with(PAGE.read_text(), table()))
