"""A plan for an inverter that is tested by its own grid functions: what is written, what cannot be tested. Pure.

Written  of each case the settings of the functions that act in it, as far as SunSpec models 704 to 712 carry them;
         when a step switches another function on, its settings with it. The rest belongs to a controller.
Skipped  what only the certified installer writes (703, 707 to 710), and what has no model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from controller.bench.plan import Case, Eut, Plan, Step, Value
from controller.bench.unitsettings import grouped, rating_of
from controller.settings.sunspec_own import ACTING, wanted
from cython_core.settings import Settings

OWNED: dict[str, Value] = {f"{function}.owner": "inverter" for function in ACTING}
SWITCHES = ("freq_droop.enable", "volt_watt.enable", "reactive.mode")
BEYOND: dict[tuple[str, Value], str] = {
    ("voltage_trip.owner", "controller"): "trips by voltage (707, 708) are the certified installer's",
    ("frequency_trip.owner", "controller"): "trips by frequency (709, 710) are the certified installer's",
    ("enter_service.owner", "controller"): "enter service (703) is the certified installer's",
    ("ride_through.owner", "controller"): "ride-through has no switch in SunSpec models 701 to 715",
    ("active_limit.enable", True): "a standing active power limit is the controller's",
}


def fitted(plan: Plan) -> Plan:
    """The same plan for the inverter alone."""
    return replace(plan, cases=tuple(fitted_case(case, plan.eut) for case in plan.cases))


def fitted_case(case: Case, eut: Eut) -> Case:
    if case.skipped:
        return case
    stages = (case.settings, case.start.settings, *(step.settings for step in case.steps))
    beyond = next((why for key, why in BEYOND.items() if any(key in stage.items() for stage in stages)), "")
    if beyond:
        return replace(case, skipped=beyond)
    told: dict[str, Value] = {}
    said: dict[str, Value] = {}
    first = acting(case.settings, eut, said, told)
    start, *steps = (fitted_step(step, eut, said, told) for step in (case.start, *case.steps))
    return replace(case, settings=first, start=start, steps=tuple(steps))


def fitted_step(step: Step, eut: Eut, said: dict[str, Value], told: dict[str, Value]) -> Step:
    return replace(step, settings=acting(step.settings, eut, said, told)) if step.settings else step


def acting(settings: Mapping[str, Value], eut: Eut, said: dict[str, Value], told: dict[str, Value]) -> dict[str, Value]:
    """What of these the inverter is told. said: all that the case has said until now; told: what the inverter has."""
    said |= settings
    known = {
        *SWITCHES,
        *(key for part in wanted(settings_of(eut, said)) if part.function in ACTING for key in part.keys),
    }
    new = {name: said[name] for name in said if name in known and told.get(name) != said[name]}
    told |= new
    return new


def settings_of(eut: Eut, values: Mapping[str, Value]) -> Settings:
    """SettingError: a value that no unit could have."""
    return Settings.from_mapping(grouped({**rating_of(eut), **values, **OWNED}))
