"""Measure a site's devices: in shadow, then with one small pulse each way; its plant card."""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from controller.build import build_id
from controller.commands.check import response
from controller.commission import Commission, Shadow
from controller.errors import InputError
from controller.launch import only_one
from controller.plantcard import (
    FAILED,
    NAME,
    NEVER,
    OPEN,
    PASSED,
    UNTESTED,
    ZERO,
    CardTimer,
    CardTimes,
    PlantCard,
    devices_of,
    write_card,
)
from controller.plantrun import Stopped, stoppable
from controller.pulse import Pulse
from controller.site import Site, SiteError, load_site
from controller.sitedata import NO_TIMER
from controller.timing import unmet

EXIT_OK, EXIT_FAIL, EXIT_USER = 0, 1, 2
WORD = "move power"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """SITE [--shadow-only | --yes-move-power] [--json]"""
    parser.add_argument("site", type=Path, nargs="?", help="site file, or the name of one in /etc/v2g/sites")
    parser.add_argument("--site", type=Path, dest="named", metavar="SITE", help="the same")
    how_far = parser.add_mutually_exclusive_group()
    how_far.add_argument("--shadow-only", action="store_true", help="measure without power and end there")
    how_far.add_argument(
        "--yes-move-power", action="store_true", help="on a bench: move power without asking for the words"
    )
    parser.add_argument("--json", action="store_true", help="for programs: one JSON object on stdout")


def run(args: argparse.Namespace) -> int:
    """0 passed; 1 failed, or a response time is not met; 2 not confirmed, or the file is wrong; 3 a device."""
    site = site_of(named_site(args))
    may_write(site)
    with only_one(site):
        try:
            return commission(site, args)
        except Stopped as stopped:
            print(f"v2g commission: {stopped}; power is at 0, control was handed back; no card", file=sys.stderr)
            return 128 + stopped.number


def site_of(path: Path) -> Site:
    """The site, also where what an earlier card has measured is too slow for it: that is measured anew."""
    try:
        return load_site(path)
    except SiteError as error:
        if error.site is None:
            raise
        return error.site


def named_site(args: argparse.Namespace) -> Path:
    """SITE or --site SITE."""
    if (args.site is None) == (args.named is None):
        raise InputError("v2g commission: give one site file: v2g commission --site SITE.yaml")
    found: Path = args.site or args.named
    return found


def may_write(site: Site) -> None:
    """Before power is moved: the card must have a place. OSError: it has none."""
    site.state_dir.mkdir(parents=True, exist_ok=True)
    probe = site.state_dir / f".{NAME}.probe"
    probe.touch()
    probe.unlink()


def commission(site: Site, args: argparse.Namespace) -> int:
    """All of it, as far as it is wanted."""
    with stoppable() as stopping:
        work = Commission(site, stopping, say)
        work.find()
        shadow = work.shadow()
    print("\n".join(shadow_page(shadow)), file=sys.stderr if args.json else sys.stdout, flush=True)
    if args.shadow_only:
        if args.json:
            known = {name: None if value != value else value for name, value in asdict(shadow).items()}  # NaN: no JSON
            print(json.dumps({"site": site.name, "shadow": known}))
        return EXIT_OK
    work.need_timer()
    why = "" if args.yes_move_power else not_confirmed(work)
    if why:
        print(f"v2g commission: {why}; no power was moved", file=sys.stderr)
        return EXIT_USER
    with stoppable() as stopping:
        work.stopping = stopping
        pulses = work.pulses()
        passed = [pulse for pulse in pulses if pulse.result == PASSED]
        if any(pulse.faults for pulse in pulses) or not passed:
            timer = CardTimer(result=UNTESTED, why="no pulse has passed", set_s=float(site.inverter.reversion_s))
        else:
            timer = work.own_timer(math.copysign(1.0, passed[-1].commanded_w))
    site = replace(site, card=card_of(site, shadow, pulses, timer))
    write_card(known_card(site))
    return told(site, args.json)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


# ---- the words ----


def question(work: Commission) -> str:
    """What will happen, in plain words."""
    site, w, hold_s = work.site, work.pulse_w, work.hold_s
    inverter = site.inverter
    return (
        f"\nNow power will be moved: the inverter at {inverter.wire} unit {inverter.unit} ({inverter.map}) will\n"
        f"give {w:.0f} W to the grid for about {hold_s:.0f} s, then take {w:.0f} W from it for about {hold_s:.0f} s, "
        f"inside\nall limits of {site.path}.\nThen, with {w:.0f} W on, nobody writes to it until its own timer acts "
        f"({inverter.reversion_s} s, at most {work.timer_limit_s:.0f} s).\n"
        f"All together about {work.longest_s:.0f} s at most. At the end, at Ctrl-C and at any fault it goes to 0 W and "
        "control is handed back to it.\nIf its map is wrong it may move more, or the other way, for about a second. "
        "Somebody should stand beside it.\n"
    )


def not_confirmed(work: Commission) -> str:
    """Why power may not be moved; nothing when the words were typed."""
    if not sys.stdin.isatty():
        return "standard input is no terminal, so nobody can confirm: start it in a terminal, or with --yes-move-power"
    print(question(work), file=sys.stderr)
    print(f"Type `{WORD}` to go on: ", end="", file=sys.stderr, flush=True)
    return "" if sys.stdin.readline().strip() == WORD else f"`{WORD}` was not typed"


# ---- the card ----


def card_of(site: Site, shadow: Shadow, pulses: list[Pulse], timer: CardTimer) -> PlantCard:
    """Everything that was measured; of several times the longest."""
    faults = tuple(fault for pulse in pulses for fault in pulse.faults)
    proven = any(pulse.result == PASSED and (pulse.meter_judged or not uses_meter(site)) for pulse in pulses)
    times = dict(shadow.times_ms)
    for pulse in pulses:
        times |= {name: max(ms, times.get(name, 0.0)) for name, ms in pulse.times_ms.items()}
    cards, devices = {pulse.name: pulse.card() for pulse in pulses}, devices_of(site)
    return PlantCard(
        path=site.state_dir / NAME,
        site=site.name,
        date=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        build=build_id(),
        verdict=FAILED if faults else PASSED if proven else OPEN,
        faults=faults,
        times=CardTimes(**times),
        meter=devices["meter"],
        inverter=devices["inverter"],
        discharge=cards["discharge"],
        charge=cards["charge"],
        own_timer=timer,
    )


def uses_meter(site: Site) -> bool:
    """Whether the meter's power is of any consequence there."""
    return site.meter.location == "inverter" or site.settings.site_limits.enable


def known_card(site: Site) -> PlantCard:
    assert site.card is not None, "made a moment ago"
    return site.card


# ---- what is told ----


def shadow_page(shadow: Shadow) -> Iterator[str]:
    yield f"state: {shadow.state}, {shadow.p_w:+.0f} W" + (
        f", state of charge {100 * shadow.soc_pu:.1f} %" if math.isfinite(shadow.soc_pu) else ""
    )
    yield from times_lines(CardTimes(**shadow.times_ms))


def times_lines(times: CardTimes) -> Iterator[str]:
    """Each time with how it was measured."""
    for f in fields(times):
        value = getattr(times, f.name)
        if value is not None:
            yield f"  {f.name:<24}{value:>9.1f}  {f.metadata['clause']}"


def told(site: Site, as_json: bool) -> int:
    """The result on stdout, what is wrong on stderr; the exit code."""
    card = known_card(site)
    wrong = [*card.faults, *timer_faults(site, card), *unmet_times(site)]
    if as_json:
        print(json.dumps(as_object(site, wrong), indent=1))
    else:
        print("\n".join(page(site)))
    sys.stdout.flush()
    for line in wrong:
        print(line, file=sys.stderr)
    return EXIT_FAIL if wrong or card.verdict != PASSED else EXIT_OK


def timer_faults(site: Site, card: PlantCard) -> list[str]:
    if card.own_timer.result != NEVER or NO_TIMER in site.accepted:
        return []
    return [f"the inverter's own timer {card.own_timer.why}; live needs `{NO_TIMER}` in i_accept, and a trip outside"]


def unmet_times(site: Site) -> list[str]:
    return [] if "slow-response" in site.accepted else unmet(site)


def page(site: Site) -> Iterator[str]:
    """The card, and what follows from it."""
    card = known_card(site)
    yield "measured, ms"
    yield from times_lines(card.times)
    for name, pulse in (("discharge", card.discharge), ("charge", card.charge)):
        seen = ((who, getattr(pulse, f"{who}_w")) for who in ("commanded", "inverter", "meter"))
        numbers = ", ".join(f"{who} {w:+.0f} W" for who, w in seen if w is not None)
        yield (
            f"{name}: {pulse.result}"
            + (f", {numbers}" if numbers else "")
            + (f": {pulse.why}" if pulse.result == UNTESTED else "")
        )
    yield f"own timer: {timer_text(card.own_timer)}"
    yield from response(site)
    yield from advice(site)
    but = ", but it has no timer of its own that works" if card.own_timer.result == NEVER else ""
    yield f"\nverdict: {card.verdict}{but}; plant card: {card.path}"


def timer_text(timer: CardTimer) -> str:
    if timer.result == ZERO and timer.after_s is not None:
        note = f"; {timer.why}" if timer.why else ""
        return f"0 W {timer.after_s:.1f} s after the last write (set: {timer.set_s:g} s){note}"
    return f"{timer.result}: {timer.why}"


def advice(site: Site) -> Iterator[str]:
    """Lines of the site file that the measurement contradicts."""
    times = known_card(site).times
    pairs = (
        ("meter", "refresh_ms", times.meter_refresh_ms, site.meter.refresh_ms),
        ("inverter", "lag_ms", times.lag_ms, site.inverter.lag_ms),
    )
    for group, key, seen, told_ms in pairs:
        if seen is not None and seen > 1.1 * told_ms:
            yield f"{site.where(f'{group}.{key}', group)}: write {group}.{key}: {math.ceil(seen)} (was {told_ms})"


def as_object(site: Site, wrong: list[str]) -> dict[str, Any]:
    """The same for a program; every measured number with how it was measured."""
    card = known_card(site)
    how = {f.name: f.metadata["clause"] for f in fields(CardTimes)}
    times = {name: {"ms": ms, "how": how[name]} for name, ms in asdict(card.times).items() if ms is not None}
    return asdict(card) | {"path": str(card.path), "times": times, "wrong": wrong}
