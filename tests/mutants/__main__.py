"""python -m tests.mutants: see the package. Results on stdout, progress and complaints on stderr."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.mutants import build, report
from tests.mutants.generate import Mutant, sample
from tests.mutants.report import Result

EXIT_OK, EXIT_NOT_GOOD, EXIT_CANNOT = 0, 1, 2


class RunError(Exception):
    """The tests cannot be run on the mutated build."""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description="Mutants of the compiled step.")
    parser.add_argument("--count", type=int, default=200, help="size of the sample (default 200)")
    parser.add_argument("--seed", type=int, default=1, help="which sample (default 1)")
    parser.add_argument("--all", action="store_true", help="every mutant there is")
    parser.add_argument("--match", default="", metavar="TEXT", help="only those with TEXT in their line of --list")
    parser.add_argument("--only", type=int, nargs="+", metavar="N", help="these numbers of --list")
    parser.add_argument("--list", action="store_true", help="print all and stop")
    parser.add_argument("--jobs", type=int, default=min(os.cpu_count() or 1, 4), help="mutants at a time")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the whole result there")
    return parser.parse_args()


def choose(mutants: Sequence[Mutant], options: argparse.Namespace) -> list[Mutant]:
    matching = [m for m in mutants if options.match in spelled(m) and (not options.only or m.n in options.only)]
    everything = options.all or options.only or options.list
    return matching if everything else sample(matching, options.count, options.seed)


def spelled(mutant: Mutant) -> str:
    return f"{mutant.n:5d} {mutant.kind:10s} {mutant.key}"


def run(chosen: Sequence[Mutant], jobs: int) -> Iterator[Result]:
    """Every mutant through the tests. Raises RunError when the unmutated build fails them."""
    of_number = {m.n: m for m in chosen}
    log = build.TREE / "worker.log"
    command = [sys.executable, "-m", "tests.mutants.worker", str(build.ROOT), str(jobs), *build.suite()]
    with (
        log.open("w") as errors,
        subprocess.Popen(
            command, cwd=build.TREE, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
        ) as worker,
    ):
        assert worker.stdin
        assert worker.stdout
        with worker.stdin as queue:
            queue.writelines(f"{m.n} {Path(m.key.file).stem}\n" for m in chosen)
        told = 0
        for line in worker.stdout:
            answer = json.loads(line)
            n, result = answer.pop("n"), answer.pop("result")
            if n >= 0:
                told += 1
                yield Result(of_number[n], result, **answer)
            elif result != "survived":
                raise RunError(f"the unmutated build does not pass the step tests: {answer['by']} (see {log})")
    if told < len(chosen):
        raise RunError(f"the worker ended after {told} of {len(chosen)} mutants (see {log})")


def progress(results: Iterator[Result], total: int) -> Iterator[Result]:
    began_s = time.monotonic()
    survived = 0
    for done, r in enumerate(results, start=1):
        if r.result == "survived":
            survived += 1
            print(f"\rsurvived {r.mutant.n} {r.mutant.key}", file=sys.stderr)
        note = f"{done:5d} / {total}  {survived} survived  {time.monotonic() - began_s:5.0f} s"
        if sys.stderr.isatty():
            print(f"\r{note}", end="\n" if done == total else "", file=sys.stderr, flush=True)
        elif done % 20 == 0 or done == total:
            print(note, file=sys.stderr, flush=True)
        yield r


def main() -> int:
    options = arguments()
    try:
        mutants = build.mutants()
        chosen = choose(mutants, options)
        if options.list:
            print("\n".join(map(spelled, chosen)))
            return EXIT_OK
        reasons = report.explained(report.SURVIVORS.read_text())
        print(f"building {len(mutants)} mutants of {len(build.sources())} files (some minutes)", file=sys.stderr)
        stillborn = build.build(mutants)
        chosen = [m for m in chosen if m.n not in stillborn]
        results = sorted(progress(run(chosen, options.jobs), len(chosen)), key=lambda r: r.mutant.n)
    except (build.BuildError, RunError, report.SurvivorError) as e:
        print(e, file=sys.stderr)
        return EXIT_CANNOT
    print("\n".join(report.report(results, reasons)))
    if options.json:
        dead = [m for m in mutants if m.n in stillborn]
        options.json.write_text(json.dumps(report.as_data(results, reasons, dead), indent=1))
    return EXIT_NOT_GOOD if report.faults(results, reasons) else EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
