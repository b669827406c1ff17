"""The inverter's own grid functions (SunSpec 703 to 712) and the settings of a site: what differs. Pure.

Owner      inverter: the function is enabled there, with the settings' points; controller: it is off there. Never both.
wanted()   Settings -> a Part a model: which settings its live set must show, what its enables must be.
compare()  Settings and the device's tables -> a Difference a point, in the settings' own words.
Bases      a curve's percent mean the same in both only if the ratings do: so these are compared as well (702).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from controller.settings import sunspec
from controller.settings.keys import shown, unit_of
from controller.settings.sunspec_read import MODES, PRIORITIES, SIDES, Reader
from cython_core.checks import FIELDS
from cython_core.settings import Settings, to_mapping
from drivers.sunspec.points import Table
from drivers.yamlfile import Problems

ACTING = ("freq_droop", "volt_watt", "reactive")
INSTALLERS = ("enter_service", "voltage_trip", "frequency_trip")  # of the certified installer: compared always
MODE_MODELS = {"volt_var": 705, "watt_var": 712, "constant_pf": 704, "constant_q": 704}
MODE_GROUPS = {"constant_pf": "power_factor", "constant_q": "const_var"}
# enables of the reactive modes; that of constant Q is the controller's own set-point where the mode is the controller's
ENABLES = {**{mode: (at,) for mode, at in MODES.items()}, "constant_pf": ((704, "PFWInjEna"), (704, "PFWAbsEna"))}
# what a curve's percent are of: they mean the same in both only if the ratings do
RATINGS: dict[int | str, tuple[str, ...]] = {
    705: ("v_nom_v", "s_rated_va"),
    706: ("v_nom_v", "p_rated_w"),
    711: ("p_rated_w",),
    712: ("p_rated_w", "p_charge_rated_w", "s_rated_va"),
    "constant_q": ("s_rated_va",),
}
# a device may leave these out; then it does as these values say
UNSAID: dict[str, Any] = {"volt_var.v_ref_pu": 1.0, "volt_var.v_ref_auto": False}
NEVER_MISSED = ("volt_var.v_ref_time_s", "reactive.beyond_table_7")
TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True)
class Difference:
    """One point that is not as the settings say. place: `model 705 Crv[1].Pt[2].V`, or all there is to say, without
    device and wanted; setting: its name, or ""."""

    function: str
    place: str
    device: str = ""
    wanted: str = ""
    setting: str = ""

    @property
    def model(self) -> int:
        return int(self.place.split()[1])

    def __str__(self) -> str:
        if not self.device:
            return self.place
        name = f" ({self.setting})" if self.setting else ""
        return f"{self.place}: inverter {self.device}, settings {self.wanted}{name}"


@dataclass(frozen=True, slots=True)
class Part:
    """One model of one function. keys: settings its live set must show; enables: point -> 0 or 1."""

    function: str
    model: int
    keys: tuple[str, ...] = ()
    enables: Mapping[str, int] = field(default_factory=dict)
    ratings: tuple[str, ...] = ()


# ---- what must be there ----


def keys_of(group: str, *left_out: str) -> tuple[str, ...]:
    """Settings of a group that the models carry."""
    known = sunspec.carried()
    return tuple(f"{group}.{key}" for key in FIELDS[group] if f"{group}.{key}" in known and key not in left_out)


def wanted(s: Settings) -> list[Part]:
    """Function by function; models that need not be there are not named."""
    return [*simple("freq_droop", 711, s), *simple("volt_watt", 706, s), *reactive(s), *installers()]


def simple(function: str, model: int, s: Settings) -> Iterator[Part]:
    group = getattr(s, function)
    acts = int(group.owner == "inverter" and group.enable)
    ratings = (*RATINGS[model], *(("p_charge_rated_w",) if function == "volt_watt" and group.p2_pu < 0.0 else ()))
    yield Part(function, model, keys_of(function, "enable") if acts else (), {"Ena": acts}, ratings if acts else ())


def reactive(s: Settings) -> Iterator[Part]:
    """The one mode that acts, if the inverter owns it; every other mode off."""
    ours = s.reactive.owner == "controller"
    chosen = "off" if ours else s.reactive.mode
    for model in (705, 712, 704):
        enables = {
            point: int(mode == chosen)
            for mode, places in ENABLES.items()
            for at, point in places
            if at == model and not (ours and mode == "constant_q")
        }
        if MODE_MODELS.get(chosen) != model:
            yield Part("reactive", model, (), enables)
            continue
        keys = keys_of(MODE_GROUPS.get(chosen, chosen))
        if chosen != "constant_pf":
            keys += ("reactive.beyond_table_7",)
        yield Part("reactive", model, keys, enables, RATINGS.get(chosen, RATINGS.get(model, ())))


def installers() -> Iterator[Part]:
    yield Part("enter_service", 703, keys_of("enter_service"))
    for model, (axis, levels, times, cease) in SIDES.items():
        group = "voltage_trip" if axis == "V" else "frequency_trip"
        keys = tuple(f"{group}.{key}" for key in (*levels, *times))
        yield Part(group, model, keys + ((f"ride_through.{cease}",) if cease else ()), {"Ena": 1})


# ---- what differs ----


def compare(s: Settings, tables: Mapping[int, Table]) -> list[Difference]:
    """Every point of the device that is not as the settings say; [] when all are."""
    found: list[Difference] = []
    for part in wanted(s):
        if part.model not in tables:
            if part.function in ACTING and (part.keys or any(part.enables.values())):
                text = f"model {part.model} is missing: {part.function} cannot be the inverter's own"
                found.append(Difference(part.function, text))
            continue
        found += enables_of(part, tables[part.model])
        found += points_of(part, s, tables)
        found += ratings_of(part, s, tables)
    return found


def enables_of(part: Part, table: Table) -> Iterator[Difference]:
    """A point that the device leaves out is off."""
    for point, value in part.enables.items():
        said = table.number(point) or 0
        if said != value:
            yield Difference(part.function, f"model {part.model} {point}", str(said), str(value))


def points_of(part: Part, s: Settings, tables: Mapping[int, Table]) -> Iterator[Difference]:
    """The live set, read as settings; what cannot be read is a difference too."""
    if not part.keys:
        return
    problems = Problems("")
    groups = {"rating": to_mapping(s)["rating"]}
    reader = Reader(groups, problems)
    reader.models = {part.model: tables[part.model].tree()}
    read_part(reader, part)
    for line in problems.lines():
        yield Difference(part.function, line.removeprefix(": "))
    for name in part.keys if not problems else ():
        group, key = name.split(".")
        value = reader.groups.get(group, {}).get(key, UNSAID.get(name))
        ours = getattr(getattr(s, group), key)
        idle = name == "volt_var.v_ref_time_s" and not s.volt_var.v_ref_auto
        if idle or (value is None and name in NEVER_MISSED):
            continue
        if value is None or not same(value, ours):
            place = reader.where.get((group, key), f"model {part.model}")
            yield Difference(part.function, place, in_words(name, value), in_words(name, ours), name)


def read_part(reader: Reader, part: Part) -> None:
    match part.model:
        case 703:
            reader.enter_service()
        case 704 if "const_var.q_pu" in part.keys:
            reader.const_var()
        case 704:
            reader.power_factor()
        case 705:
            reader.volt_var()
        case 706:
            reader.volt_watt()
        case 711:
            reader.droop()
        case 712:
            reader.watt_var()
        case trip:
            reader.trip(trip)
    at = (704, "VarSetPri") if part.model == 704 else (part.model, "Crv.0.Pri")
    if "reactive.beyond_table_7" in part.keys:
        reader.put(*at, "reactive", "beyond_table_7", reader.word(*at, PRIORITIES))


def ratings_of(part: Part, s: Settings, tables: Mapping[int, Table]) -> Iterator[Difference]:
    """The bases of percent: nobody but the installer can change them."""
    if not part.ratings or 702 not in tables:
        return
    reader = Reader({}, Problems(""))
    reader.models = {702: tables[702].tree()}
    reader.ratings()
    for key in part.ratings:
        said, ours = reader.groups.get("rating", {}).get(key), getattr(s.rating, key)
        if said is not None and not same(said, ours):
            name = f"rating.{key}"
            place = reader.where["rating", key]
            yield Difference(part.function, place, in_words(name, said), in_words(name, ours), name)


def same(a: Any, b: Any) -> bool:
    if isinstance(a, float) and isinstance(b, float):
        return abs(a - b) <= TOLERANCE * max(1.0, abs(b))
    return bool(a == b)


def in_words(name: str, value: Any) -> str:
    group, key = name.split(".")
    return "does not say" if value is None else f"{shown(value)} {unit_of(FIELDS[group][key])}".rstrip()
