"""Play every fault on simulated devices, or on a rig in shadow: is the unit safe in time, and calm again?"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

from controller.commands.demo import script_of
from controller.demo import Demo, Plan
from controller.drill import ANSWERS, CASES, Result, drill
from controller.drillrig import RIG_ANSWERS, DrillRig, on_tcp
from controller.errors import InputError
from controller.processes import ProcessError
from controller.site import Site, load_site
from controller.telemetry.broker import BrokerError
from drivers.sim.clock import ClockError
from drivers.sim.faultscript import Action, parse
from drivers.sim.scenario import Trace

SIMULATED = {"meter": "eastron-sdm630", "inverter": "sunspec-7xx"}
DAY_S = 86400.0
WIDTH = 32


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """[SITE] [--rig] [--faults FILE] [--folder DIR] [--json]"""
    parser.add_argument(
        "site", type=Path, nargs="?", default=Path("drill"),
        help="whose numbers are used; its devices are simulated, so it must be in start mode demo (default: drill)",
    )  # fmt: skip
    parser.add_argument(
        "--rig", action="store_true",
        help="on the site's own devices over Modbus TCP, in shadow: nothing is written; its controller must be off",
    )  # fmt: skip
    parser.add_argument("--faults", type=Path, metavar="FILE", help="only the faults of this script, without its times")
    parser.add_argument("--folder", type=Path, help="where to keep the run; default: nowhere")
    parser.add_argument("--json", action="store_true", help="print the results as JSON on stdout")


def simulated(site: Site) -> Site:
    """The same site on simulated devices; InputError when it may not or cannot be played there."""
    if site.start_mode != "demo":
        raise InputError(
            f"{site.where('start_mode')}: start_mode = {site.start_mode}; a drill breaks things on purpose and is for "
            "simulated devices only: `start_mode: demo`; on its own devices, in shadow: --rig"
        )
    for role, name in SIMULATED.items():
        found = getattr(site, role).map
        if found != name:
            raise InputError(f"{site.where(f'{role}.map')}: map = {found}; the simulator is a {name}")
    if (site.meter.location, site.meter.phases) != ("inverter", "L1"):
        raise InputError(f"{site.where('meter.location')}: the simulator's meter has location: inverter, phases: L1")
    meter = replace(site.meter, serial=None, host="127.0.0.1", unit=1)
    return replace(site, meter=meter, inverter=replace(site.inverter, serial=None, host="127.0.0.1", unit=1))


def cases(args: argparse.Namespace) -> tuple[Action, ...]:
    """Each once, in order."""
    if args.faults:
        script = script_of(args.faults)
    else:
        script = parse("\n".join(f"at 0s: {line}" for line in CASES.splitlines()), "drill")
    return tuple({action.text: action for action in script}.values())


def quiet(site: Site, folder: Path) -> Plan:
    """A grid at its nominal frequency for a day."""
    f_hz = site.settings.rating.f_nom_hz
    path = folder / "quiet.csv"
    path.write_text(f"t_s,f_hz\n0,{f_hz:g}\n{DAY_S:g},{f_hz:g}\n", encoding="utf-8")
    trace = Trace("quiet", (0.0, DAY_S), (f_hz, f_hz), (1.0, 1.0), (1.0, 1.0))
    return Plan(trace, ("--trace", str(path)), "a quiet grid", 0.0, DAY_S)


def head() -> str:
    return f"{'fault':<{WIDTH}}{'owed':<42}{'by, s':>7}{'safe, s':>9}{'calm, s':>9}  verdict"


def line(result: Result) -> str:
    """One row of the table."""
    verdict = {True: "ok", False: f"MISSED: {result.why}", None: f"not played: {result.why}"}[result.passed]
    by = f"{result.limit_s:.1f}" if result.limit_s else "-"
    return (
        f"{result.fault:<{WIDTH}}{result.owed:<42}{by:>7}{number(result.safe_s):>9}{number(result.recovery_s):>9}"
        f"  {verdict}"
    )


def number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def played(demo: Demo, actions: tuple[Action, ...], say: bool) -> Iterator[Result]:
    """Results as they come, with a line of progress on a terminal."""
    answers = RIG_ANSWERS if isinstance(demo, DrillRig) else ANSWERS
    for i, result in enumerate(drill(demo, actions, answers), start=1):
        if say and sys.stderr.isatty():
            following = f": {actions[i].text}" if i < len(actions) else ""
            print(f"\rdrill {i} of {len(actions)}{following}\x1b[K", end="", file=sys.stderr, flush=True)
        yield result


def run(args: argparse.Namespace) -> int:
    """Exit 0 all answered, 1 a fault was missed, 2 site or script is wrong, 3 a process did not start."""
    loaded, actions = load_site(args.site), cases(args)
    site = on_tcp(loaded) if args.rig else simulated(loaded)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # by way of `finally`, as Ctrl-C does
    with tempfile.TemporaryDirectory(prefix="v2g-drill-") as place:
        folder = args.folder or Path(place)
        folder.mkdir(parents=True, exist_ok=True)
        plan = quiet(site, folder)
        demo = DrillRig(plan, folder, site) if args.rig else Demo(plan, folder, site, proxied=True)
        try:
            results = play(demo, actions, args.json)
        except (ProcessError, BrokerError) as error:
            print(f"v2g drill: {error}", file=sys.stderr)
            return 3
        finally:
            demo.stop()
    missed = [r for r in results if r.passed is False]
    if args.json:
        print(json.dumps([asdict(r) | {"passed": r.passed} for r in results]))
    else:
        print(f"{len(results)} faults, {len(missed)} missed")
    return 1 if missed else 0


def play(demo: Demo, actions: tuple[Action, ...], as_json: bool) -> list[Result]:
    """Start the house, then one fault after the other; the table grows as they are judged."""
    with suppress(ClockError):
        demo.with_clock()
    on_rig = isinstance(demo, DrillRig)
    mark = "RIG" if on_rig else "DEMO"
    where = f"the devices of {demo.site.name}, in shadow" if on_rig else "simulated devices on this machine"
    print(f"{mark} drill: {where}", file=sys.stderr)
    demo.start(lambda text: print(f"{mark} {text}", file=sys.stderr, flush=True))
    if not as_json:
        print(head(), flush=True)
    results = []
    for result in played(demo, actions, say=True):
        results.append(result)
        if not as_json:
            print(f"\r\x1b[K{line(result)}" if sys.stderr.isatty() else line(result), flush=True)
    return results
