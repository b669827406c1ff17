"""The core process for a long time: `v2g run` against the simulator, watched from outside.

python -m tests.soak [--minutes 60] [--json FILE] [--keep FOLDER]

The grid swings and the meter falls silent in every CYCLE_S, so that functions work and connections come and go. A line
a minute on stderr, a table at the end on stdout, then every violation in a line of its own.
Exit 0 all held, 1 something did not, 2 your input.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from cython_core.realtime.ring import RingReader
from tests.faults.rig import ProcessError, Rig
from tests.soak.checks import Sample
from tests.soak.report import MIB, Finding, as_json, judge, lines, table
from tests.soak.watch import Steps, sample

EXIT_OK, EXIT_VIOLATED, EXIT_USER = 0, 1, 2
PARTS = ("grid", "meter", "inverter", "controller")
LOOK_S, SAMPLE_S = 0.25, 1.0
CYCLE_S = 20.0
SWING = ((0.0, 60.0), (3.0, 60.0), (4.0, 59.8), (6.0, 59.8), (7.0, 60.2), (9.0, 60.2), (10.0, 60.0))  # s, Hz
SILENT_S = (12.0, 15.0)


def trace(minutes: float) -> str:
    """A swing down and one up in each cycle, beyond the dead band, as a trace of the simulated grid."""
    cycles = math.ceil(minutes * 60.0 / CYCLE_S) + 1
    rows = [f"{i * CYCLE_S + at_s:g},{f_hz}" for i in range(cycles) for at_s, f_hz in SWING]
    return "\n".join(["t_s,f_hz", *rows, ""])


def disturb(rig: Rig, t_s: float) -> None:
    """The meter's silence: its connection is given up and made anew."""
    silent = SILENT_S[0] <= t_s % CYCLE_S < SILENT_S[1]
    if silent and not rig.injector.standing:
        rig.fault("meter.silent")
    elif not silent:
        rig.mended()


def looks(begin_s: float, minutes: float) -> Iterator[tuple[float, bool]]:
    """(seconds since the begin, whether another minute is full), each LOOK_S until the end."""
    full = 0
    while (t_s := time.monotonic() - begin_s) < 60.0 * minutes:
        another = t_s >= 60.0 * (full + 1)
        full += another
        yield t_s, another
        time.sleep(LOOK_S)


@dataclass
class Soak:
    """One run: start(), watch(), stop(). Afterwards steps and samples are what was seen."""

    rig: Rig
    samples: list[Sample] = field(default_factory=list)
    ended: str = ""

    def start(self) -> None:
        """ProcessError or AssertionError when a part does not come up."""
        self.rig.start(*PARTS)
        self.controller = self.rig.family.members["controller"]
        self.begin_s = time.monotonic()
        reader = RingReader(self.rig.folder / "run" / "ring")
        self.steps = Steps(reader, reader.info["period_ns"], self.begin_s)
        self.rig.play()

    def watch(self, minutes: float) -> None:
        """Until its time is over, or a process has ended by itself."""
        try:
            for t_s, another_minute in looks(self.begin_s, minutes):
                disturb(self.rig, t_s)
                self.steps.look()
                if not self.samples or t_s >= self.samples[-1].t_s + SAMPLE_S:
                    self.rig.family.check()
                    self.samples.append(sample(self.controller.pid, t_s))
                if another_minute:
                    print(self.progress(), file=sys.stderr, flush=True)
        except (ProcessError, OSError) as error:
            self.ended = f"after {time.monotonic() - self.begin_s:.0f} s: {error}"

    def stop(self) -> None:
        """As systemd stops it; its last steps are looked at too."""
        self.steps.look()
        self.rig.family.stop(("controller",))
        self.steps.look(running=False)

    def progress(self) -> str:
        first, now, steps = self.samples[0], self.samples[-1], self.steps
        p50, p99 = steps.lateness_us(50.0, 99.0)
        cpu = 100.0 * (now.cpu_s - first.cpu_s) / max(now.t_s - first.t_s, 1.0)
        return (
            f"[{now.t_s / 60.0:5.1f} min] {steps.steps} steps, {steps.skipped} skipped, {steps.lost} lost; "
            f"RSS {now.rss_bytes / MIB:.2f} MiB, own {now.anon_bytes / MIB:.2f}; {now.fds} fds, {now.threads} threads; "
            f"CPU {cpu:.1f} %; lateness p50 {p50:.0f} p99 {p99:.0f} us; {steps.wrong_count.total()} violations"
        )

    def findings(self) -> list[Finding]:
        return judge(self.steps, self.samples, self.controller.returncode, self.ended)


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60.0, help="how long (default 60)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the whole result there as well")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="run there and leave the logs; must not exist yet")
    return parser


def complaint(args: argparse.Namespace) -> str:
    """What is wrong with the input, or an empty text: said now, not after an hour."""
    if not 0.1 <= args.minutes <= 10_000.0:
        return f"--minutes {args.minutes:g} is outside 0.1 ... 10000"
    if args.keep and args.keep.exists():
        return f"--keep {args.keep} exists already; name a new folder"
    try:
        if args.json:
            args.json.touch()
    except OSError as error:
        return f"--json {args.json}: {error.strerror}"
    return ""


def main(argv: list[str] | None = None) -> int:
    args = arguments().parse_args(argv)
    wrong = complaint(args)
    if wrong:
        print(f"tests.soak: {wrong}", file=sys.stderr)
        return EXIT_USER
    place: AbstractContextManager[str] = (
        nullcontext(str(args.keep)) if args.keep else tempfile.TemporaryDirectory(prefix="v2g-soak-")
    )
    with place as folder, Rig(Path(folder), trace(args.minutes)) as rig:
        soak = Soak(rig)
        try:
            soak.start()
        except (ProcessError, AssertionError) as error:
            print(f"VIOLATED start: {error}")
            return EXIT_VIOLATED
        print(f"watching process {soak.controller.pid} for {args.minutes:g} min", file=sys.stderr, flush=True)
        soak.watch(args.minutes)
        soak.stop()
    findings = soak.findings()
    print(table(findings))
    print("\n".join(lines(findings)), end="\n" if lines(findings) else "")
    if args.json:
        args.json.write_text(json.dumps(as_json(findings, soak.steps, soak.samples, args.minutes), indent=1) + "\n")
    return EXIT_VIOLATED if lines(findings) else EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
