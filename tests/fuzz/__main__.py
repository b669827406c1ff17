"""python -m tests.fuzz [--seconds 30] [--target NAME] [--jobs N]: every parser under libFuzzer for so long in all.

Seeds    tests/fuzz/seeds/TARGET; what is found on the way stays in build/fuzz/corpus, a failing input in build/fuzz.
Exit     0 nothing found, 1 an input broke a parser (its file and the report are named), 2 it cannot run here.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.build import LIBRARY, ROOT, BuildError, built, runtime

FOLDER = ROOT / "build" / "fuzz"
SEEDS = Path(__file__).with_name("seeds")
TARGETS = ("whole_tcp", "whole_rtu", "stream_tcp", "stream_rtu", "can_decode", "can_encode")
LONGEST = 1200  # bytes of an input: more than two whole frames
EXIT_OK, EXIT_BROKEN, EXIT_CANNOT = 0, 1, 2


@dataclass(frozen=True)
class Outcome:
    """What became of one target. report: the sanitizer's own words when it broke."""

    target: str
    runs: int
    edges: int
    broke: bool
    report: str


def fuzz(tree: Path, target: str, seconds: int, seed: int = 1) -> Outcome:
    """One target for so long, seeds first."""
    corpus = FOLDER / "corpus" / target
    corpus.mkdir(parents=True, exist_ok=True)
    folders = [str(corpus), *([str(SEEDS / target)] if (SEEDS / target).is_dir() else [])]
    options = [
        f"-max_total_time={seconds}",
        f"-max_len={LONGEST}",
        f"-seed={seed}",
        f"-artifact_prefix={FOLDER}/{target}-",
        "-print_final_stats=1",
        "-timeout=5",
        *folders,
    ]
    code = f"from tests.fuzz.harness import run; run({target!r}, {options!r})"
    environment = os.environ | {
        "LD_PRELOAD": f"{tree / LIBRARY} {runtime('libclang_rt.asan-x86_64.so')}",
        "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=0:handle_abort=1:verify_asan_link_order=0",
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "PYTHONPATH": str(tree),
        "PYTHONMALLOC": "malloc",
    }
    ran = subprocess.run([sys.executable, "-c", code], env=environment, cwd=tree, capture_output=True, text=True)
    said = ran.stderr
    runs = re.search(r"stat::number_of_executed_units:\s+(\d+)", said)
    edges = [int(n) for n in re.findall(r"cov: (\d+)", said)]
    return Outcome(target, int(runs[1]) if runs else 0, max(edges, default=0), ran.returncode != 0, said)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="The frame parsers under libFuzzer.")
    parser.add_argument("--seconds", type=int, default=30, help="for all targets together (default 30)")
    parser.add_argument("--target", action="append", choices=TARGETS, help="this one only; may be given again")
    parser.add_argument("--seed", type=int, default=1, help="of libFuzzer's random numbers")
    options = parser.parse_args()
    targets = options.target or TARGETS
    try:
        print("building the parsers with sanitizers (half a minute, once)", file=sys.stderr)
        tree = built(FOLDER)
    except BuildError as error:
        print(f"tests.fuzz: {error}", file=sys.stderr)
        return EXIT_CANNOT
    broken = []
    for target in targets:
        print(f"{target}: {max(options.seconds // len(targets), 1)} s", file=sys.stderr, flush=True)
        outcome = fuzz(tree, target, max(options.seconds // len(targets), 1), options.seed)
        print(
            f"{target:<12} {outcome.runs:>12} inputs  {outcome.edges:>5} edges  {'BROKEN' if outcome.broke else 'ok'}"
        )
        if outcome.broke:
            broken.append(target)
            print(outcome.report[-4000:], file=sys.stderr)
    return EXIT_BROKEN if broken else EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
