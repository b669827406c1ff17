"""`v2g check --map FILE [--answers FILE]`: is a map of one's own right, and does it understand recorded answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from controller.sitemaps import FREQUENCY_STEP_HZ
from drivers.devicemap import METER_UNITS, DeviceMap
from drivers.mapfile import load_map
from drivers.mapproof import Answer, complaints, found_in, read_answers, shown
from drivers.registermap import PHASES, meter_plan
from drivers.tables import Read

DIRECTIONS = {"p_w": ("out of the inverter: export", "into the inverter: import")}


def check_map(name: str, answers: Path | None) -> tuple[list[str], list[str]]:
    """(the page, what is wrong). Raises MapError when a file cannot be read as what it should be."""
    device = load_map(name)
    page, wrong = list(about(device)), []
    for answer in read_answers(answers) if answers else ():
        told = complaints(device, answer)
        wrong += told
        page += [] if told else list(understood(device, answer))
    return page, wrong


def about(device: DeviceMap) -> Iterator[str]:
    """What the map says, and what the controller makes of it."""
    yield f"{device.file}: {device.device}, {device.kind}, proven: {device.proven}"
    if device.kind != "meter":
        return
    known = device.as_if_found()
    step = known.registers["f_hz"].step
    verdict = {None: "not known", True: "fine enough for a frequency response", False: "TOO COARSE for one"}
    fine = None if step is None else step <= FREQUENCY_STEP_HZ
    yield f"frequency in steps of {'?' if step is None else f'{step:.12g}'} Hz: {verdict[fine]}"
    phases = [p for p, names in PHASES.items() if all(v in known.registers for v in names)]
    yield f"phases: {', '.join(phases)}"
    if not device.models:
        reads = meter_plan(device, 1, phases[-1], 300).reads
        yield "reads: " + ", ".join(request(r) for r in reads)


def request(read: Read) -> str:
    """What is asked, and how often if not in each poll."""
    often = f", each {read.every_ms / 1000:g} s" if read.every == 0 else ""
    often = f", each {read.every} polls" if read.every > 1 else often
    return f"{read.count} words at {read.address:#06x} (function {read.function}{often})"


def understood(device: DeviceMap, answer: Answer) -> Iterator[str]:
    """One line a quantity."""
    yield f"{answer.where}: {answer.origin}, {len(answer.words)} words at {answer.at:#06x}"
    found = found_in(device, answer)
    width = max([6, *(len(name) + 1 for name in found)])
    for name, value in found.items():
        out, into = DIRECTIONS.get(name, ("", ""))
        direction = "" if not value or not out else f"    {out if value > 0 else into}"
        unit = "" if value is None else METER_UNITS[name]
        yield f"  {name:<{width}}{shown(value):>12} {unit}{direction}".rstrip()
