"""Check a site file: every setting with range and source; timing.

With --map instead of a site: a register map, and whether it understands recorded answers.
"""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from controller.errors import InputError
from controller.mapcheck import check_map
from controller.plantcard import about, standing
from controller.services.rights import Right, rights
from controller.site import Site, SiteError, load_site
from controller.sitedata import Origin
from controller.siteremote import bounds_of, told
from controller.sitewrite import of_unit
from controller.timing import Budget, Times, ages, assumed, budgets, times_of
from drivers.yamlkeys import allowed, keys_of, kind_of

WIDTH = 80
DEFAULT = Origin("default")
MODES = {
    "demo": "simulated devices on this machine",
    "shadow": "computes and records, never writes to the inverter",
    "live": "MOVES REAL POWER",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One setting as it will be used."""

    group: str
    key: str
    value: Any
    meta: Mapping[str, Any]
    origin: Origin


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("site", type=Path, nargs="?", help="site file, or the name of one in /etc/v2g/sites")
    parser.add_argument("--map", metavar="MAP", help="instead of a site: a register map, by its name or file")
    parser.add_argument("--answers", type=Path, metavar="FILE", help="recorded answers that the map must understand")
    parser.add_argument("--json", action="store_true", help="for programs: one JSON object on stdout")


def run(args: argparse.Namespace) -> int:
    """0: the unit can run so; 2: the file must change."""
    if args.map is not None:
        return run_map(args)
    if args.site is None or args.answers is not None:
        raise InputError(
            "v2g check: the following arguments are required: site, or --map MAP (and perhaps --answers FILE)"
        )
    site: Site | None
    try:
        site, problems = load_site(args.site), ""
    except SiteError as error:
        if error.site is None and not args.json:
            raise
        site, problems = error.site, str(error)
    if args.json:
        print(json.dumps(as_json(site, problems.splitlines()), indent=1))
    elif site is not None:
        print("\n".join(page(site)))
    if problems:
        sys.stdout.flush()
        print(problems, file=sys.stderr)
    return 2 if problems else 0


def run_map(args: argparse.Namespace) -> int:
    """0: the map is right and understands every answer; 2: one of the two files must change."""
    if args.site is not None or args.json:
        raise InputError("v2g check --map takes neither a site nor --json")
    page, wrong = check_map(args.map, args.answers)
    print("\n".join(page), flush=True)
    for line in wrong:
        print(line, file=sys.stderr)
    return 2 if wrong else 0


def rows(site: Site) -> Iterator[Row]:
    """Every setting, group by group."""
    groups: dict[str, Any] = {
        "": site,
        "meter": site.meter,
        "inverter": site.inverter,
        "telemetry": site.telemetry,
        "telemetry.mqtt": site.telemetry.mqtt,
        "telemetry.store": site.telemetry.store,
        "remote": site.remote,
        "home_assistant": site.home_assistant,
    }
    groups |= {name: getattr(site.settings, name) for name in site.settings.__dataclass_fields__}
    for group, values in groups.items():
        for key, meta in keys_of(type(values)).items() if values is not None else ():
            origin = site.origins.get(f"{group}.{key}" if group else key, DEFAULT)
            yield Row(group, key, getattr(values, key), of_unit(meta, site.settings.rating), origin)


def page(site: Site) -> Iterator[str]:
    """The whole answer in 80 columns."""
    yield f"{site.path}: site {site.name}"
    yield f"start mode {site.start_mode.upper()}: {MODES[site.start_mode]}"
    if site.unverified:
        yield f"UNVERIFIED PROFILE {site.unverified}, accepted by this file"
    if site.remote.enable:
        yield f"REMOTE COMMANDS: {told(bounds_of(site), site.remote)}"
    yield "Clauses are of IEEE 1547-2018. `site:8` is line 8 of the site file."
    yield f"\n{' key':<22}{'value':<15}{'from':<11}allowed (clause or meaning)"
    group = None
    for row in rows(site):
        if row.group != group:
            group = row.group
            yield f"\n{group or 'site'}"
        yield from setting_lines(row)
    yield from overridden(site)
    yield from remote(site)
    yield from freshness(site)
    yield from plant(site)
    yield from response(site)


def shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.12g}"
    if isinstance(value, tuple):
        return ", ".join(value)
    return "-" if value is None else str(value)


def setting_lines(row: Row) -> Iterator[str]:
    """`  k_of   0.05 pu/pu   site:31   0.02 ... 0.05 (clause)`, the last column wrapped; long values get their line."""
    unit = row.meta.get("unit", "") if kind_of(row.meta) in ("int", "float") else ""
    value = f"{shown(row.value)} {unit if row.value is not None else ''}".rstrip()
    range_lines = textwrap.wrap(allowed({**row.meta, "unit": ""}, brief=True), WIDTH - 48)
    if len(value) > 14:
        yield f" {row.key:<21}{value}"
        yield f"{'':<37}{row.origin!s:<11}{range_lines[0]}"
    else:
        yield f" {row.key:<21}{value:<15}{row.origin!s:<11}{range_lines[0]}"
    for more in range_lines[1:]:
        yield f"{'':<48}{more}"


def overridden(site: Site) -> Iterator[str]:
    """The profile's own note, and each line of it that the site file replaces."""
    if site.profile is None:
        return
    yield f"\nprofile {site.profile}"
    yield from textwrap.wrap(site.profile_note, WIDTH, initial_indent=" ", subsequent_indent=" ")
    replaced = [(key, origin) for key, origin in site.origins.items() if origin.over]
    for key, origin in replaced:
        yield f" {key}: line {origin.line} replaces line {origin.over.rsplit(':', 1)[1]} of the profile"
    if not replaced:
        yield " nothing of it is overridden"


def remote(site: Site) -> Iterator[str]:
    """Who may command what, how far, and until when; nothing where remote commands are not taken."""
    found = list(rights(site))
    if not found:
        return
    yield f"\n{'remote commands':<38}{'from':<11}W (+ = into the grid)"
    for one in found:
        who = "without a signature" if one.key is None else f"key {one.key}"
        far = f"{one.bounds.p_min_w:g} ... {one.bounds.p_max_w:g}"
        yield f" {who:<37}{one.origin!s:<11}{far}"
        what = f"{', '.join(one.commands)}; as {', '.join(one.sources)}"
        yield from textwrap.wrap(what, WIDTH, initial_indent="   ", subsequent_indent="   ")
    most = found[0].bounds
    until = (
        "Until when: a key or a source until it is taken out of the file; a wish until its own expiry, "
        f"{most.lifetime_ms / 60_000:g} min at most. Reserve: a state of charge of {most.soc_min_pu:g} ... "
        f"{most.soc_max_pu:g}."
    )
    yield from textwrap.wrap(until, WIDTH, initial_indent=" ", subsequent_indent=" ")


def freshness(site: Site) -> Iterator[str]:
    yield "\nage of a signal, ms      T    fresh to     held to    stale to    then"
    for a in ages(site):
        yield f" {a.signal:<18}{a.t_ms:>7.0f}{a.fresh_ms:>12.0f}{a.held_ms:>12.0f}{a.lost_ms:>12.0f}    lost"


def plant(site: Site) -> Iterator[str]:
    """What the plant card says beside what site file and maps assume."""
    yield "\nplant card"
    yield from textwrap.wrap(about(site), WIDTH, initial_indent=" ", subsequent_indent=" ")
    times = times_of(site)
    if not times.measured:
        return
    yield f" {'ms':<28}{'assumed':>10}{'measured':>10}"
    for name, guessed, seen in beside(assumed(site), times):
        yield f" {name:<28}{guessed:>10.0f}{seen:>10.0f}"


def beside(guessed: Times, seen: Times) -> Iterator[tuple[str, float, float]]:
    """(what, assumed, in force) of each part of a budget that a card may know, ms."""
    names = {"refresh_ms": "meter refresh", "poll_ms": "meter poll", "write_ms": "write", "lag_ms": "inverter lag"}
    for key, name in names.items():
        yield name, getattr(guessed, key), getattr(seen, key)


def response(site: Site) -> Iterator[str]:
    """The way from the grid to the inverter's answer, part by part; those alike are shown once."""
    yield f"\nfrom a grid event to the answer, ms ({'measured' if times_of(site).measured else 'assumed'})"
    shown_parts = None
    for budget in budgets(site):
        if budget.parts != shown_parts:
            shown_parts = budget.parts
            yield from (f" {name:<28}{ms:>8.0f}" for name, ms in budget.parts)
        yield total(site, budget)
    if shown_parts is None:
        yield " no function with a response time is enabled"


def total(site: Site, budget: Budget) -> str:
    verdict = "met" if budget.met else "NOT MET"
    accepted = " (accepted: slow-response)" if not budget.met and "slow-response" in site.accepted else ""
    return (
        f" {budget.function + ' in all':<28}{budget.total_ms:>8.0f}  of {budget.allowed_ms:.0f} "
        f"({budget.setting}): {verdict}{accepted}"
    )


def as_json(site: Site | None, problems: list[str]) -> dict[str, Any]:
    """The same for a program; times in ms, as named."""
    if site is None:
        return {"ok": False, "problems": problems}
    return {
        "ok": not problems,
        "problems": problems,
        "site": site.name,
        "start_mode": site.start_mode,
        "profile": site.profile,
        "profile_note": site.profile_note,
        "unverified": site.unverified,
        "plant_card": {"standing": standing(site), "about": about(site), "measured": times_of(site).measured},
        "settings": [setting_json(row) for row in rows(site)],
        "remote": [right_json(right) for right in rights(site)],
        "ages": [
            {"signal": a.signal, "t_ms": a.t_ms, "fresh_ms": a.fresh_ms, "held_ms": a.held_ms, "lost_ms": a.lost_ms}
            for a in ages(site)
        ],
        "response": [
            {
                "function": b.function,
                "setting": b.setting,
                "allowed_ms": b.allowed_ms,
                "total_ms": b.total_ms,
                "met": b.met,
                "parts": dict(b.parts),
            }
            for b in budgets(site)
        ],
    }


def right_json(right: Right) -> dict[str, Any]:
    """key null: without a signature."""
    bounds = right.bounds
    return {
        "key": right.key,
        "sources": right.sources,
        "commands": right.commands,
        "p_min_w": bounds.p_min_w,
        "p_max_w": bounds.p_max_w,
        "lifetime_s": bounds.lifetime_ms / 1000,
        **origin_json(right.origin),
    }


def setting_json(row: Row) -> dict[str, Any]:
    value = str(row.value) if isinstance(row.value, Path) else row.value
    known = {name: row.meta[name] for name in ("unit", "low", "high", "choices", "clause") if name in row.meta}
    return {"group": row.group, "key": row.key, "value": value, **known, **origin_json(row.origin)}


def origin_json(origin: Origin) -> dict[str, Any]:
    return {"from": origin.kind, "file": origin.file, "line": origin.line, "over": origin.over}
