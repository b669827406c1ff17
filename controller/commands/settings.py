"""Show, change, compare, check, import, export, draw settings; push them into the inverter."""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

from controller.errors import InputError
from controller.settings import epri
from controller.settings.change import set_in_file
from controller.settings.page import as_json, difference_lines, differences, page
from controller.settings.profile import profile_text
from controller.settings.source import load
from controller.settings.sunspec import carried, to_device
from cython_core.checks import FIELDS
from cython_core.epri import without_name
from cython_core.settings import Settings

WIDTH = 80
WHAT = "site or profile: a name or a file; also an EPRI CSV or a SunSpec JSON file"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    def action(name: str, text: str) -> argparse.ArgumentParser:
        return actions.add_parser(name, help=text, description=text)

    one = action("show", "Every setting: value, range, clause, where it comes from, name in EPRI's format.")
    one.add_argument("source", type=Path, help=WHAT)
    one.add_argument("--group", choices=list(FIELDS), metavar="G", help=f"one of {', '.join(FIELDS)}")
    one.add_argument("--json", action="store_true", help="for programs: a JSON list on stdout")
    one = action("set", "Change one line of your own site or profile file, after checking the result.")
    one.add_argument("file", type=Path, help="a YAML file, or the name of one in /etc/v2g")
    one.add_argument("key", help="group.name, as freq_droop.k_of")
    one.add_argument("value")
    one.add_argument("--dry-run", action="store_true", help="check and print, but write nothing")
    one = action("diff", "Which settings differ, from the first to the second.")
    one.add_argument("a", type=Path, help=WHAT)
    one.add_argument("b", type=Path)
    one.add_argument("--json", action="store_true", help="for programs: a JSON list on stdout")
    one = action("validate", "Check a file of settings; every mistake at once, with its line.")
    one.add_argument("file", type=Path, help=WHAT)
    one = action("import", "Make a profile of an EPRI CSV or SunSpec JSON file.")
    one.add_argument("file", type=Path)
    one.add_argument("--base", type=Path, help="site or profile that has what the file does not say (else: defaults)")
    one.add_argument("--out", type=Path, help="profile to write (else: stdout)")
    one = action("export", "Write settings for other programs.")
    one.add_argument("source", type=Path, help=WHAT)
    one.add_argument("--format", choices=("epri", "sunspec"), required=True)
    one.add_argument("--suffix", choices=("AS", "SS", "none"), default="AS", help="of EPRI lines: applied, specified")
    one.add_argument("--out", type=Path, help="file to write (else: stdout)")
    one = action("push", "Compare the inverter's own grid functions with a site's settings; --write brings them in.")
    one.add_argument("site", type=Path, help="site file, or the name of one in /etc/v2g/sites")
    one.add_argument("--write", action="store_true", help="write what differs, adopt it, read it back")
    one.add_argument(
        "--installer",
        action="store_true",
        help="trip curves and enter service as well, which belong to the certified installer",
    )
    one.add_argument("--json", action="store_true", help="for programs: one JSON object on stdout")
    one = action("plot", "Draw every curve with an operating point on it.")
    one.add_argument("source", type=Path, help=WHAT)
    one.add_argument("--out", type=Path, required=True, help="FILE.png or FILE.svg")
    one.add_argument("--f-hz", type=float, help="frequency of the operating point (default: nominal)")
    one.add_argument("--v-pu", type=float, default=1.0, help="voltage (default 1)")
    one.add_argument("--p-pu", type=float, default=0.5, help="power before the functions, + = export (default 0.5)")


def run(args: argparse.Namespace) -> int:
    """0: done; 1: push finds differences and writes nothing. Your input was wrong: InputError."""
    actions: dict[str, Callable[[argparse.Namespace], int | None]]
    actions = {"show": show, "set": set_value, "diff": diff, "validate": validate}
    actions |= {"import": import_file, "export": export, "plot": plot, "push": push}
    return actions[args.action](args) or 0


def show(args: argparse.Namespace) -> None:
    source = load(args.source)
    groups = [args.group] if args.group else list(FIELDS)
    if args.json:
        print(json.dumps([as_json(source, g, k) for g in groups for k in FIELDS[g]], indent=1))
    else:
        print("\n".join(page(source, groups)))


def set_value(args: argparse.Namespace) -> None:
    print(set_in_file(args.file, args.key, args.value, args.dry_run))


def diff(args: argparse.Namespace) -> None:
    rows = differences(load(args.a).settings, load(args.b).settings)
    if args.json:
        print(json.dumps(rows, indent=1))
    else:
        print("\n".join(difference_lines(rows)))


def validate(args: argparse.Namespace) -> None:
    source = load(args.file)
    if source.late:
        raise InputError(source.late)
    kinds = {"epri": "EPRI file", "sunspec": "SunSpec device"}
    print(f"{source.path}: right ({kinds.get(source.kind, source.kind)}, {len(source.origins)} settings of its own)")


def import_file(args: argparse.Namespace) -> None:
    base = load(args.base).settings if args.base else None
    source = load(args.file, base)
    if source.kind not in ("epri", "sunspec"):
        raise InputError(f"{source.path} is a {source.kind} already: nothing to import")
    rest = f"what it does not say is from {args.base}" if args.base else "what it does not say is the default"
    title = f"Imported from {source.path.name}"
    named = source.origins if source.kind == "epri" else set(source.origins) & set(carried())
    text = profile_text(source.settings, title, f"read from a file, {rest}", named, source.kept)
    if args.out is None:
        print(text, end="")
        return
    if args.out.exists():
        raise InputError(f"{args.out} is there already: name another file, or remove it first")
    args.out.write_text(text, encoding="utf-8")
    print(f"{args.out}: {len(named)} settings of {source.path.name}; {rest}")


def export(args: argparse.Namespace) -> None:
    source = load(args.source)
    if args.format == "epri":
        text = epri.csv_text(source.settings, source.kept, "" if args.suffix == "none" else args.suffix)
        tell_left_out("EPRI's format", without_name(), source.settings)
    else:
        text = json.dumps(to_device(source.settings, source.path.stem), indent=1) + "\n"
        left = [f"{g}.{k}" for g, keys in FIELDS.items() for k in keys if f"{g}.{k}" not in carried()]
        tell_left_out("SunSpec's models", left, source.settings)
    if args.out is None:
        sys.stdout.write(text)
        return
    if args.out.exists() and args.out.samefile(source.path):
        raise InputError(f"{args.out} is the file the settings come from: name another")
    with args.out.open("w", encoding="utf-8", newline="") as stream:
        stream.write(text)


def tell_left_out(where: str, names: list[str], settings: Settings) -> None:
    """On stderr: what the other program will not see."""
    changed_here = [n for n in names if value_of(settings, n) != value_of(Settings(), n)]
    print(f"{where} cannot carry {len(names)} settings; import takes them from --base.", file=sys.stderr)
    detail = ", ".join(changed_here) or "none"
    print(textwrap.fill(f"Of them, not the default here: {detail}.", WIDTH), file=sys.stderr)


def value_of(settings: Settings, name: str) -> Any:
    group, key = name.split(".")
    return getattr(getattr(settings, group), key)


def plot(args: argparse.Namespace) -> None:
    from controller.settings.plot import Point, draw  # here: matplotlib is an extra

    source = load(args.source)
    f_nom = source.settings.rating.f_nom_hz
    f_hz = f_nom if args.f_hz is None else args.f_hz
    for name, value, low, high in (
        ("--f-hz", f_hz, f_nom - 20.0, f_nom + 20.0),
        ("--v-pu", args.v_pu, 0.0, 1.5),
        ("--p-pu", args.p_pu, -1.5, 1.5),
    ):
        if not low <= value <= high:
            raise InputError(f"{name} = {value} is outside {low:g} ... {high:g}")
    if args.out.suffix not in (".png", ".svg"):
        raise InputError(f"--out {args.out}: the name must end in .png or .svg")
    draw(source.settings, Point(f_hz, args.v_pu, args.p_pu), str(args.source), args.out)
    print(args.out)


def push(args: argparse.Namespace) -> int:
    """1: differences, and nothing was written. What the inverter does not take over is an AdoptionError."""
    from controller import ownfunctions  # here: only this action talks to a device
    from controller.settings.sunspec_own import ACTING
    from controller.site import load_site
    from drivers.sunspec.adopt import AdoptionError

    if args.installer and not args.write:
        raise InputError("--installer says what --write may write: give both")
    site = load_site(args.site)
    inverter = ownfunctions.Inverter(site)
    try:
        if args.write:
            print(f"WRITES to {inverter.where}", file=sys.stderr)
        done = inverter.push(args.installer) if args.write else []
        found = inverter.compare()
    finally:
        inverter.close()
    if args.json:
        print(json.dumps(ownfunctions.as_json(inverter.where, done, found), indent=1))
    else:
        print(ownfunctions.page(site, inverter.where, done, found))
    left = [d for d in found if d.function in ACTING]
    if left and args.write:
        raise AdoptionError("\n".join(f"{inverter.where}: {d}" for d in left))
    return 1 if left else 0
