"""Is this host fit to run the controller? What is short, and what mends it."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from controller.doctor import Subject, examine, refused
from controller.doctor.answers import ask
from controller.doctor.finding import SHORT, UNKNOWN, Finding, Host
from controller.doctor.selftest import SelfTest, judge, length_s, measure
from controller.doctor.service import SITE_FILE
from controller.progress import Progress
from controller.site import load_site
from cython_core.realtime.host import IdleStates

FASTEST_MS = 1
LEAST_S, MOST_S = 0.1, 600.0
WIDEST, NARROWEST = 110, 40
LEFT = 9  # columns of the verdict

EPILOG = """\
Nothing is sent to a device; it may run beside a controller. Rights and limits
are those of the user who runs it.

exit codes:
  0  fit, or short of something the controller can do without: it says what
  2  the site file or an option is wrong
  3  the site file says require_realtime, and this host refuses such a right
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """[SITE] [--system] [--json] [--no-self-test] [--seconds S]"""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    parser.add_argument(
        "site", type=Path, nargs="?", help="look at this site's step, folders and devices (a file, or a name)"
    )
    parser.add_argument(
        "--system", action="store_true", help=f"look at the installed services too; SITE is {SITE_FILE} unless given"
    )
    parser.add_argument("--json", action="store_true", help="for programs: one JSON object on stdout")
    parser.add_argument("--no-self-test", action="store_true", help="do not measure how late steps are")
    parser.add_argument(
        "--seconds", type=duration, default=2.0, metavar="S", help="length of each of the two measurements (default 2)"
    )


def duration(text: str) -> float:
    """An option's value."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not LEAST_S <= value <= MOST_S:
        raise argparse.ArgumentTypeError(f"{text} is outside {LEAST_S:g} ... {MOST_S:g} s")
    return value


def run(args: argparse.Namespace) -> int:
    """0, or 3 when the site insists on a right that is refused."""
    path = args.site or (Path(SITE_FILE) if args.system and Path(SITE_FILE).exists() else None)
    subject = Subject.of_site(load_site(path)) if path else Subject()
    idle = IdleStates()
    findings = examine(Host(), ask(idle), subject, args.system)
    tests = [] if args.no_self_test else self_test(subject, args.seconds)
    idle.close()
    findings += [judge(t, subject.where("period_ms")) for t in tests if t.period_ms == subject.period_ms]
    if args.json:
        print(json.dumps(as_json(subject, findings, tests), indent=1))
    else:
        width = max(min(shutil.get_terminal_size().columns, WIDEST), NARROWEST)
        print("\n".join(page(subject, findings, tests, width)))
    return verdict(subject, findings)


def self_test(subject: Subject, seconds: float) -> list[SelfTest]:
    """At 1 ms and at the site's own period; idle states are held off meanwhile, as in the controller."""
    lengths = {ms: length_s(ms, seconds) for ms in sorted({FASTEST_MS, subject.period_ms})}
    tests: list[SelfTest] = []
    with Progress("self-test", sys.stderr) as progress:
        for ms, length in lengths.items():

            def done(now_s: float, before_s: float = len(tests) * lengths[FASTEST_MS]) -> None:
                progress(round(1000 * (before_s + now_s)), round(1000 * sum(lengths.values())))

            tests.append(measure(subject.settings, ms, length, done))
    return tests


def verdict(subject: Subject, findings: Sequence[Finding]) -> int:
    """The exit code; a refusal is said on stderr."""
    rights = refused(list(findings))
    if subject.site is None or not subject.site.require_realtime or not rights:
        return 0
    sys.stdout.flush()
    what = " and ".join(f.name for f in rights)
    place = subject.site.where("require_realtime")
    print(f"{place}: require_realtime is set, but this host refuses {what}", file=sys.stderr)
    return 3


# ---- for people ----


def page(subject: Subject, findings: Sequence[Finding], tests: Sequence[SelfTest], width: int) -> Iterator[str]:
    """The whole answer. A line that mends is never wrapped: it is there to be copied."""
    system = os.uname()
    of = f"{subject.site.path}, " if subject.site else ""
    yield f"{system.nodename}, Linux {system.release} {system.machine}: {of}one step each {subject.period_ms} ms"
    yield ""
    name_width = max(len(f.title) for f in findings) + 2
    for finding in findings:
        yield from row(finding, name_width, width)
    yield from measured(tests)
    short = [f for f in findings if f.verdict == SHORT]
    for number, finding in enumerate(short, 1):
        yield from shortfall(number, finding, width)
    yield ""
    yield from wrap(conclusion(findings), width)


def wrap(text: str, width: int) -> list[str]:
    """Lines of words; a path is never cut."""
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)


def row(finding: Finding, name_width: int, width: int) -> Iterator[str]:
    """` SHORT   governor   ondemand`"""
    mark = finding.verdict.upper() if finding.verdict == SHORT else finding.verdict
    indent = " " * (LEFT + name_width)
    lines = wrap(finding.found, max(width - len(indent), 20))
    yield f" {mark:<{LEFT - 1}}{finding.title:<{name_width}}{lines[0]}"
    yield from (indent + line for line in lines[1:])


def measured(tests: Sequence[SelfTest]) -> Iterator[str]:
    if not tests:
        return
    yield ""
    yield "self-test of the loop, on this machine now; how late steps began, in µs"
    yield f"{'step':>8}{'steps':>10}{'skipped':>10}{'p50':>10}{'p99':>10}{'worst':>10}   thread"
    for t in tests:
        late = "".join(f"{value:>10.0f}" for value in (t.late_p50_us, t.late_p99_us, t.late_max_us))
        yield f"{t.period_ms:>5} ms{t.steps:>10}{t.skipped:>10}{late}   {t.granted.partition(';')[0]}"


def shortfall(number: int, finding: Finding, width: int) -> Iterator[str]:
    """What is short, why it matters, and each line with its place."""
    yield ""
    first, *more = wrap(f"{number}. {finding.title}: {finding.found}", width - 3)
    yield first
    yield from ("   " + line for line in [*more, *wrap(finding.why, width - 3)])
    for mend in finding.mend:
        yield from ("   " + line for line in wrap(f"{mend.where}:", width - 3))
        yield f"       {mend.line}"


def conclusion(findings: Sequence[Finding]) -> str:
    short, unknown = (sum(f.verdict == v for f in findings) for v in (SHORT, UNKNOWN))
    unclear = f" {unknown} could not be found out." if unknown else ""
    if not short:
        return f"This host is fit.{unclear}"
    return f"{short} shortfall{'s' * (short > 1)}; what each costs stands with it.{unclear}"


# ---- for programs ----


def as_json(subject: Subject, findings: Sequence[Finding], tests: Sequence[SelfTest]) -> dict[str, Any]:
    """The same for a program; times in the units of their names."""
    return {
        "v": 1,
        "site": subject.site.name if subject.site else None,
        "period_ms": subject.period_ms,
        "fit": all(f.verdict != SHORT for f in findings),
        "refused": [f.name for f in refused(list(findings))],
        "checks": [asdict(finding) for finding in findings],
        "self_test": [asdict(test) for test in tests],
    }
