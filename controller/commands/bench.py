"""Test a unit by IEEE 1547.1 procedures: plan, run, judge, report; in simulation or with a grid simulator."""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from controller.bench.folder import RunFolder
from controller.bench.plan import Case, Eut, Plan
from controller.bench.rig import RigFile, load_eut, load_rig
from controller.bench.rigrun import can_of, runner_of
from controller.bench.runner import fit
from controller.bench.stopping import Stopped, stoppable
from controller.bench.tables import cases_table, procedures_table, samples_of, seconds_of, verdicts_text
from controller.errors import InputError
from controller.progress import Progress
from drivers.gridsource.spec import banner

EXIT_OK, EXIT_FAIL, EXIT_USER, EXIT_DEVICE = 0, 1, 2, 3
WORD = "energise"
BESIDE = "the unit will give and take power up to its rating"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """list | plan | run | resume | judge | report | source-check"""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, help_, function in ACTIONS:
        action = actions.add_parser(name, help=help_, description=help_)
        action.set_defaults(function=function)
        if name in ("list", "plan", "run"):
            asked(action)
        if name in ("list", "plan", "run", "source-check"):
            action.add_argument("--rig", default="virtual", help="name or file of a rig; default: virtual")
            action.add_argument("--eut", default="", metavar="FILE", help="another unit's nameplate than the rig's")
        if name in ("resume", "judge", "report"):
            action.add_argument("folder", type=Path, help="folder of a run")
        if name == "run":
            action.add_argument("--out", type=Path, metavar="DIR", help="new folder of the run; default: bench-TIME")
        if name in ("run", "resume", "judge"):
            action.add_argument("--jobs", type=int, default=2, help="processes of virtual time and judge; default 2")
        if name == "source-check":
            action.add_argument(
                "--energise", action="store_true", help="switch it on: small steps, measured and off again"
            )
        if name in ("run", "resume", "source-check"):
            action.add_argument(
                "--yes-energise", action="store_true", help="switch a real source on without asking for the word"
            )
        if name != "source-check":
            action.add_argument("--json", action="store_true", help="for programs: one JSON object on stdout")


def asked(action: argparse.ArgumentParser) -> None:
    """Which cases."""
    action.add_argument("procedures", nargs="*", metavar="PROCEDURE", help="name or file; default: all")
    action.add_argument(
        "--only", action="append", default=[], metavar="CASE", help="only these cases, * and ? allowed; may come again"
    )
    action.add_argument("--seed", type=int, default=1, help="of everything random; default 1")


def run(args: argparse.Namespace) -> int:
    """0 nothing failed; 1 a case failed; 2 your input; 3 the rig: a case is invalid."""
    try:
        return int(args.function(args))
    except Stopped as stopped:
        print(f"v2g bench: {stopped}; the source is safe, permit service is off", file=sys.stderr)
        return 128 + stopped.number


# ---- what will be run ----


def list_(args: argparse.Namespace) -> int:
    """Every procedure, for this unit."""
    from controller.bench.expand import expand
    from controller.bench.nameplate import not_for

    eut = rig_and_eut(args)[1]
    rows = [(p, expand(p, eut), not_for(p, eut)) for p in chosen(args)]
    if args.json:
        found = [
            {"name": p.name, "title": p.title, "clause": p.clause, "cases": [c.id for c in cases], "not_for_unit": why}
            for p, cases, why in rows
        ]
        print(json.dumps({"unit": eut.name, "procedures": found}))
    else:
        print("\n".join(procedures_table(eut, [(p.name, p.title, p.clause, cases, why) for p, cases, why in rows])))
    return EXIT_OK


def plan(args: argparse.Namespace) -> int:
    """Every case with its duration."""
    rig, eut = rig_and_eut(args)
    found = plan_of(args, rig, eut)
    if args.json:
        from controller.bench.planfile import plan_text

        print(plan_text(found), end="")
    else:
        print("\n".join(cases_table(found, rig.name)))
    return EXIT_OK


def rig_and_eut(args: argparse.Namespace) -> tuple[RigFile, Eut]:
    rig = load_rig(args.rig)
    return rig, load_eut(args.eut) if args.eut else rig.eut


def chosen(args: argparse.Namespace) -> Sequence[Any]:
    from controller.bench.procedurefile import load_all, load_procedure

    with Progress("v2g bench: procedures", sys.stderr) as progress:
        return [load_procedure(name) for name in progress.over(args.procedures)] or load_all(progress.over)


def plan_of(args: argparse.Namespace, rig: RigFile, eut: Eut) -> Plan:
    """The cases that were asked for, skipped where the rig cannot do them."""
    from controller.bench.expand import make_plan

    with Progress("v2g bench: plan", sys.stderr) as progress:
        found = make_plan(progress.over(chosen(args)), eut, args.seed)
    known = [case.id for case in found.cases]
    for pattern in args.only:
        if not any(fnmatchcase(name, pattern) for name in known):
            raise InputError(f"--only {pattern}: no such case; `v2g bench plan` shows all {len(known)}")
    if args.only:
        cases = tuple(c for c in found.cases if any(fnmatchcase(c.id, pattern) for pattern in args.only))
        found = replace(found, cases=cases)
    if not found.cases:
        raise InputError("v2g bench: no case: none of these procedures is for this unit (`v2g bench list` says why)")
    if rig.unit.kind == "inverter":
        from controller.bench.ownfit import fitted

        found = fitted(found)
    return fit(found, rig.name, can_of(rig))


# ---- run, resume ----


def run_(args: argparse.Namespace) -> int:
    """Plan, confirm, run, judge, report."""
    rig, eut = rig_and_eut(args)
    found = plan_of(args, rig, eut)
    out = args.out or Path(time.strftime("bench-%Y%m%dT%H%M%SZ", time.gmtime()))
    say("\n".join(cases_table(found, rig.name)))
    may_energise(args, rig)
    facts = {
        "name": rig.name, "file": str(rig.path), "time": rig.time, "text": rig.path.read_text(encoding="utf-8"),
        "can": sorted(can_of(rig)), **made_by(),
    }  # fmt: skip
    if rig.time == "real":  # virtual time has no date: the same seed, the same bytes
        facts["begun"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        facts["words of the source"] = words_of(rig) or "proven, or turned by hand"
    folder = RunFolder.create(out, found, facts)
    return carry_on(args, folder, rig, found)


def resume(args: argparse.Namespace) -> int:
    """Every case of a run that is invalid or has not been run to its end, on the same rig with the same program."""
    folder = RunFolder(args.folder)
    facts = folder.rig()
    if not {"file", "text", "program"} <= set(facts):
        raise InputError(f"{args.folder}: its rig.json is not one of `v2g bench run`; start a new run")
    rig = load_rig(str(facts["file"]))
    if rig.path.read_text(encoding="utf-8") != facts["text"]:
        raise InputError(f"{rig.path}: was changed since {args.folder} was begun; start a new run")
    if made_by()["program"] != facts["program"]:
        raise InputError(
            f"{args.folder}: was begun by {facts['program']}, this is {made_by()['program']}; start a new run"
        )
    may_energise(args, rig)
    return carry_on(args, folder, rig, folder.plan())


def made_by() -> dict[str, str]:
    from controller.build import about

    return {"program": f"v2g {about()}"}


def carry_on(args: argparse.Namespace, folder: RunFolder, rig: RigFile, found: Plan) -> int:
    left = left_of(folder, found)
    try:
        with stoppable():
            run_left(args, folder, rig, found, left)
    except Stopped:
        say(f"to go on: v2g bench resume {folder.path}")
        raise
    return judged(folder, args.json, args.jobs)


def left_of(folder: RunFolder, found: Plan) -> list[Case]:
    """Not run to their end, or invalid when they were judged: whoever resumes has mended the rig."""
    from controller.bench.judgement import Verdict
    from controller.bench.judgementfile import read_judgement

    path = folder.path / "judgement.json"
    judged = read_judgement(path) if path.is_file() else ()
    again = {j.id for j in judged if j.verdict is Verdict.INVALID and j.record in (None, folder.digest(j.id))}
    return [case for case in found.cases if not case.skipped and (case.id in again or not folder.done(case.id))]


def run_left(args: argparse.Namespace, folder: RunFolder, rig: RigFile, found: Plan, left: Sequence[Case]) -> None:
    """Progress counts what takes the time: samples in virtual time, else seconds."""
    size = samples_of if rig.time == "virtual" else seconds_of
    total, done, told_s = sum(size(case) for case in left), 0.0, time.monotonic()
    with Progress("v2g bench run", sys.stderr) as progress:

        def told(case: Case) -> None:
            nonlocal done, told_s
            done, told_s = done + size(case), time.monotonic()
            progress(round(done), round(total))

        def looked() -> None:
            if sys.stderr.isatty():
                progress(round(min(done + time.monotonic() - told_s, total)), round(total))

        runner_of(rig, found, args.jobs, looked)(left, folder, told)


def may_energise(args: argparse.Namespace, rig: RigFile, beside: str = BESIDE) -> None:
    """The word, before a real source is switched on. beside: what else happens. InputError: it was not typed."""
    if words_of(rig):
        say(words_of(rig))
    if rig.time == "virtual" or rig.devices == "simulated" or args.yes_energise:
        return
    if not sys.stdin.isatty():
        raise InputError(
            "v2g bench: standard input is no terminal, so nobody can confirm: start it in a terminal, or with "
            "--yes-energise; nothing was switched on"
        )
    assert rig.envelope is not None
    e = rig.envelope
    say(
        f"\nNow the grid simulator of rig {rig.name} will be switched on: {e.v_min_v:g} ... {e.v_max_v:g} V, "
        f"{e.f_min_hz:g} ... {e.f_max_hz:g} Hz;\n{beside}. At the end, "
        "at Ctrl-C and at any fault the source goes to its\nsafe state and permit service off. Somebody should stand "
        "beside it, with the emergency stop in reach."
    )
    print(f"Type `{WORD}` to go on: ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip() != WORD:
        raise InputError(f"v2g bench: `{WORD}` was not typed; nothing was switched on")


def words_of(rig: RigFile) -> str:
    """What must be known of a source whose words are not proven."""
    return banner(rig.source) if rig.source is not None else ""


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


# ---- judge, report ----


def judge(args: argparse.Namespace) -> int:
    """The verdict of a run, anew from its record."""
    return judged(RunFolder(args.folder), args.json, args.jobs, with_report=False)


def judged(folder: RunFolder, as_json: bool, jobs: int, with_report: bool = True) -> int:
    from controller.bench.judgement import Verdict, worst
    from controller.bench.judgementfile import as_text
    from controller.bench.judgerun import judge_run

    found = folder.plan()
    with Progress("v2g bench judge", sys.stderr) as progress:
        count = itertools.count(1)
        judgements = judge_run(folder, found, jobs, lambda _: progress(next(count), len(found.cases)))
    if with_report:
        for path in write_reports(folder.path):
            say(f"{path}")
    print(as_text(judgements) if as_json else "\n".join(verdicts_text(found, judgements)))
    verdict = worst(j.verdict for j in judgements)
    return {Verdict.FAIL: EXIT_FAIL, Verdict.INVALID: EXIT_DEVICE}.get(verdict, EXIT_OK)


def report(args: argparse.Namespace) -> int:
    """The report of a run that was judged."""
    paths = [str(path) for path in write_reports(RunFolder(args.folder).path)]
    print(json.dumps({"files": paths}) if args.json else "\n".join(paths))
    return EXIT_OK


def write_reports(folder: Path) -> list[Path]:
    from controller.bench.report.make import read_judged, write_csv, write_json, write_junit, write_report

    run = read_judged(folder)
    with Progress("v2g bench report", sys.stderr) as progress:
        return [write_report(run, progress), *(write(run) for write in (write_csv, write_json, write_junit))]


def source_check(args: argparse.Namespace) -> int:
    """Who the grid simulator is and what it puts out. It is switched on with --energise alone. 3: it is not fit."""
    rig, eut = rig_and_eut(args)
    if rig.time == "virtual":
        raise InputError(f"--rig {args.rig}: has no source of its own: it is simulated in virtual time")
    from controller.bench.wire import source_checked, source_facts

    if not args.energise:
        print("\n".join(source_facts(rig, eut)))
        return EXIT_OK
    may_energise(args, rig, "nothing but its own meter should be connected to it")
    with stoppable():
        found = source_checked(rig, eut, lambda finding: print(finding.line, flush=True))
    return EXIT_DEVICE if any(finding.good is False for finding in found) else EXIT_OK


ACTIONS: tuple[tuple[str, str, Callable[[argparse.Namespace], int]], ...] = (
    ("list", "Procedures, and how many cases each has for this unit.", list_),
    ("plan", "Every case with its duration; nothing is switched on.", plan),
    ("run", "Plan, run, judge and report.", run_),
    ("resume", "Go on with a run that was stopped.", resume),
    ("judge", "Judge a run anew from its record.", judge),
    ("report", "Write the report of a run that was judged.", report),
    ("source-check", "Ask the grid simulator who it is; with --energise: is it fit for a bench?", source_check),
)
