"""The plant card: what `v2g commission` measured of a site's devices, and whether it still speaks of them.

File     STATE_DIR/plant.yaml, whole or not there. Each number stands with how it was measured; absent: not seen.
Standing passed | open (nothing was proven, nothing is wrong) | failed | stale (of another map, wire or place) | none.
Errors   a card that is not right is a mistake at file:line, among those of the site that reads it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drivers.mapfile import map_digest
from drivers.yamlfile import Problems, Section, read_yaml
from drivers.yamlkeys import choice, integer, keys_of, nested, number, read_values, several, text, version

if TYPE_CHECKING:
    from controller.sitedata import InverterSite, MeterSite, Site

SCHEMA = 1
NAME = "plant.yaml"
PASSED, OPEN, FAILED, STALE, NONE = "passed", "open", "failed", "stale", "none"
PULSE_RESULTS = (PASSED, FAILED, "not tested")
ZERO, NEVER, UNTESTED = "zero", "never", "not tested"
HEAD = """\
# Plant card: written by `v2g commission`, read by `v2g check` and `v2g run`. It counts for these maps and wires only.
# + = out of the inverter into the grid. A number that is not here was not seen.
"""


def words(how: str, default: Any = "") -> Any:
    """Any line of text."""
    return text(how, default, pattern=r".*")


def measured(unit: str, how: str, low: float = 0.0) -> Any:
    """A number that may be absent. how: how it was measured, which the card says beside it."""
    return number(unit, low, 1e9, how, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class CardDevice:
    """Whom the card speaks of."""

    map: str = text("the map's name", pattern=r".+")
    sha256: str = text("SHA-256 of the map file", pattern=r"[0-9a-f]{64}")
    wire: str = text("where it was found", pattern=r".+")
    unit: int = integer("", 0, 255, "Modbus unit")
    place: str = words("meter: where it stands")


@dataclass(frozen=True, slots=True, kw_only=True)
class CardTimes:
    """What was measured of the wires and of the answers to a pulse; of several, the slowest."""

    meter_poll_ms: float | None = measured("ms", "mean time from one answer of the meter to the next")
    meter_refresh_ms: float | None = measured("ms", "mean time between readings of the meter that differ")
    meter_turnaround_ms: float | None = measured("ms", "mean time from the meter's request to its whole answer")
    inverter_poll_ms: float | None = measured("ms", "mean time from one state of the inverter to the next")
    inverter_turnaround_ms: float | None = measured("ms", "mean time from the inverter's request to its whole answer")
    inverter_refresh_ms: float | None = measured("ms", "mean time between powers of the inverter that differ, moving")
    write_ms: float | None = measured("ms", "longest time from a step's changed command to the acknowledged write")
    readback_ms: float | None = measured("ms", "longest time from a write to its set-point read back")
    dead_ms: float | None = measured("ms", "from the acknowledged write to the first movement, by fit")
    tau_ms: float | None = measured("ms", "from the first movement to 63 % of the answer, by fit")
    lag_ms: float | None = measured("ms", "from the acknowledged write to 90 % of the answer: dead + 2.303 tau")


@dataclass(frozen=True, slots=True, kw_only=True)
class CardPulse:
    """One pulse."""

    result: str = choice(PULSE_RESULTS, "what it proved")
    why: str = words("what is wrong, or why it was not tested")
    commanded_w: float | None = measured("W", "the power the core commanded", -1e9)
    inverter_w: float | None = measured("W", "change of the inverter's own power, mean of the settled part", -1e9)
    meter_w: float | None = measured("W", "change of the meter's power, mean of the settled part", -1e9)


@dataclass(frozen=True, slots=True, kw_only=True)
class CardTimer:
    """The inverter's own timer, with a pulse on and nobody writing any more."""

    result: str = choice((ZERO, NEVER, UNTESTED), "whether it goes to 0 W by itself")
    why: str = words("what was seen")
    set_s: float | None = measured("s", "the timer as the site sets it")
    after_s: float | None = measured("s", "from the last acknowledged write to rest")


@dataclass(frozen=True, slots=True, kw_only=True)
class PlantCard:
    """One card. faults: what failed, a line each."""

    path: Path
    schema: int = version(SCHEMA, "version of this file's shape", SCHEMA)
    site: str = text("the site's name", pattern=r".+")
    date: str = text("when, UTC", pattern=r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
    build: str = text("the program that measured", pattern=r".+")
    verdict: str = choice((PASSED, OPEN, FAILED), "of sign and scale")
    faults: tuple[str, ...] = several(words("what failed", ()))
    meter: CardDevice
    inverter: CardDevice
    times: CardTimes = field(default_factory=CardTimes)
    discharge: CardPulse
    charge: CardPulse
    own_timer: CardTimer


GROUPS: Mapping[str, type[Any]] = {
    "meter": CardDevice,
    "inverter": CardDevice,
    "times": CardTimes,
    "discharge": CardPulse,
    "charge": CardPulse,
    "own_timer": CardTimer,
}
KEYS = keys_of(PlantCard) | {name: nested(f"{name}'s own keys") for name in GROUPS}


# ---- the file ----


def read_card(path: Path, problems: Problems) -> PlantCard | None:
    """The card of a site; None when there is none, or with the reasons among the problems."""
    if not path.exists():
        return None
    own = problems.beside(str(path))
    before = len(problems)
    tree = read_yaml(path, own)
    values = {name: value for name, (value, _) in read_values(KEYS, tree, own, "card").items()} if tree.entries else {}
    for name, kind in GROUPS.items():
        if isinstance(values.get(name), Section):
            found = read_values(keys_of(kind), values[name], own, name)
            complete = len(problems) == before
            values[name] = kind(**{key: value for key, (value, _) in found.items()}) if complete else None
    return PlantCard(path=path, **values) if len(problems) == before else None


def card_text(card: PlantCard) -> str:
    """YAML, each number with how it was measured behind it."""
    lines = [*group_lines(card, "")]
    for name in GROUPS:
        lines += [f"{name}:", *group_lines(getattr(card, name), "  ")]
    return HEAD + "\n".join(lines) + "\n"


def group_lines(group: Any, indent: str) -> Iterator[str]:
    for f in fields(group):
        value = getattr(group, f.name)
        if not f.metadata or value is None or value in ("", ()):
            continue
        how = f"   # {f.metadata['unit']}, {f.metadata['clause']}" if isinstance(value, float) else ""
        yield f"{indent}{f.name}: {scalar(value)}{how}"


def scalar(value: Any) -> str:
    """As YAML reads it back: text in quotes (JSON's are YAML's too), plain decimals."""
    if isinstance(value, float):
        return f"{value:.3f}".rstrip("0").rstrip(".")
    return json.dumps(value, ensure_ascii=False)


def write_card(card: PlantCard) -> None:
    """Whole or not at all, and on the disk when this returns. OSError: the folder cannot hold it."""
    part = card.path.with_name(f".{NAME}.part")
    with part.open("w", encoding="utf-8") as file:
        file.write(card_text(card))
        file.flush()
        os.fsync(file.fileno())
    part.replace(card.path)


# ---- whom it speaks of ----


def device_of(wire: MeterSite | InverterSite, way: object, place: str = "") -> CardDevice:
    """How a device of a site stands in a card."""
    return CardDevice(map=wire.map, sha256=map_digest(wire.map), wire=str(way), unit=wire.unit, place=place)


def devices_of(site: Site) -> dict[str, CardDevice]:
    """Both devices as the site file has them now."""
    meter, inverter = site.meter, site.inverter
    return {
        "meter": device_of(meter, meter.link, f"{meter.location} {meter.phases}"),
        "inverter": device_of(inverter, inverter.wire),
    }


def changes(site: Site, card: PlantCard) -> list[str]:
    """What is no longer as the card says; nothing: it still counts."""
    told = []
    for role, now in devices_of(site).items():
        then = getattr(card, role)
        for f in fields(CardDevice):
            was, found = getattr(then, f.name), getattr(now, f.name)
            if was != found and f.name == "sha256":
                told.append(f"the map {now.map} has changed")
            elif was != found:
                told.append(f"the {role}'s {f.name} is {found}, was {was}")
    return told


def standing(site: Site) -> str:
    """One word for the site's card."""
    if site.card is None:
        return NONE
    return STALE if changes(site, site.card) else site.card.verdict


def about(site: Site) -> str:
    """The same for people: `passed on 2026-11-26T16:00:00Z`."""
    if site.card is None:
        return "none: v2g commission makes one"
    word = standing(site)
    why = {STALE: changes(site, site.card), FAILED: site.card.faults}.get(word, ())
    return f"{word}, of {site.card.date}" + (f" ({'; '.join(why)})" if why else "")
