"""Settings of a site into the inverter's own grid functions: what differs is written, adopted and read back.

Order      what must be off goes off first, then sets are adopted, then enables are set: two modes are never on at once.
Installer  trip curves (707 to 710) and enter service (703) are written only when asked for by name.
Errors     InputError: what this device cannot hold. AdoptionError: what it did not take over. BusError: no answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from controller.errors import InputError
from controller.settings import sunspec
from controller.settings.sunspec_own import INSTALLERS, Part, compare, points_of, wanted
from controller.settings.sunspec_read import readable
from cython_core.settings import Settings
from drivers.sunspec.adopt import Port, adopt, set_points, word_of
from drivers.sunspec.points import Table

ADOPT_LIMIT_S = 30.0
PLAIN = (703, 704)  # models without sets


@dataclass(frozen=True, slots=True)
class Wire:
    """The device, and time for the wait for an adoption."""

    port: Port
    now: Callable[[], float]
    sleep: Callable[[float], None]
    limit_s: float = ADOPT_LIMIT_S


def push(s: Settings, tables: Mapping[int, Table], wire: Wire, installer: bool) -> Iterator[str]:
    """Mend what differs, a line each thing done. installer: 703 and 707 to 710 as well."""
    wrong: list[str] = []
    differing = {(d.function, d.model) for d in compare(s, tables)}
    parts = [p for p in wanted(s) if p.model in tables and (p.function, p.model) in differing]
    parts = [p for p in parts if installer or p.function not in INSTALLERS]
    sets = {p.model: set_of(p, s, tables[p.model], wrong) if any(points_of(p, s, tables)) else {} for p in parts}
    if wrong:
        raise InputError("\n".join(wrong))
    yield from switch(parts, tables, wire, 0)
    for part in parts:
        points, table = sets[part.model], tables[part.model]
        if not points:
            continue
        if part.model in PLAIN:
            set_points(wire.port, table, points)
            yield f"model {part.model}: {len(points)} points written and read back"
        else:
            adopt(wire.port, table, points, wire.limit_s, wire.now, wire.sleep)
            yield f"model {part.model}: a set of {len(points)} points is in force"
    yield from switch(parts, tables, wire, 1)


def switch(parts: Iterable[Part], tables: Mapping[int, Table], wire: Wire, value: int) -> Iterator[str]:
    """Set the enables that must be this value and are not."""
    for part in parts:
        table = tables[part.model]
        points = [p for p, v in part.enables.items() if v == value and (table.number(p) or 0) != value]
        if points:
            set_points(wire.port, table, dict.fromkeys(points, value))
            yield f"model {part.model}: {', '.join(points)} = {value}"


def set_of(part: Part, s: Settings, table: Table, wrong: list[str]) -> dict[str, int]:
    """Points of a set, or of a model without sets, as this device's integers."""
    if not part.keys:
        return {}
    draft = draft_of(part, sunspec.Writer(s))
    factors = {path: table.number(path) for path in table.places if path.endswith("_SF")}
    points = sunspec.for_device(draft, {k: v for k, v in factors.items() if v is not None}, part.model, wrong)
    live = "" if part.model in PLAIN else f"{word_of(part.model)}.0."
    beyond = [p for p in points if live + p not in table.places]
    if beyond:
        wrong.append(f"model {part.model}: the inverter has no {readable(live + beyond[0])}, which these settings need")
        return {}
    # what the device leaves out stays out; the places of a curve's points do not
    return {p: n for p, n in points.items() if table.raw(live + p) is not None or ".Pt." in f".{p}"}


def draft_of(part: Part, w: sunspec.Writer) -> dict[str, Any]:
    """The set as controller.settings.sunspec draws it, without what only the device says."""
    match part.model:
        case 703:
            whole = sunspec.enter_service(w)
        case 704:
            return controls(part, w)
        case 705:
            whole = sunspec.volt_var(w)
        case 706:
            whole = sunspec.volt_watt(w)
        case 711:
            whole = sunspec.droop(w)
        case 712:
            whole = sunspec.watt_var(w)
        case model:
            whole = next(t for t in sunspec.trips(w) if t["ID"] == model)
    inside = whole if part.model in PLAIN else whole[word_of(part.model)][0]
    unsaid = {"ID", "L", "ReadOnly", "MayTrip", *(("MomCess",) if part.model in (709, 710) else ())}
    return {name: value for name, value in inside.items() if name not in unsaid}


def controls(part: Part, w: sunspec.Writer) -> dict[str, Any]:
    """704: constant power factor or constant Q, without a timer that would end it."""
    whole = sunspec.controls(w)
    if part.enables.get("PFWInjEna"):
        return {"PFWInj": whole["PFWInj"], "PFWAbs": whole["PFWAbs"], "PFWInjRvrtTms": 0, "PFWAbsRvrtTms": 0}
    return {name: whole[name] for name in ("VarSetMod", "VarSetPri", "VarSetPct")} | {"VarSetRvrtTms": 0}
