"""Line coverage of the compiled step: a traced copy runs the step's tests; every line that did not run is named.

python -m tests.coverage [--keep FOLDER] [-- pytest's arguments]
Exit 0 every line ran, 1 some did not or a test failed, 2 it cannot be measured here.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from tests.coverage.build import compile_traced, copy_tree, generated_c
from tests.coverage.lines import judge, report
from tests.coverage.step_files import ENDS_AT, step_sources, traced_lines

ROOT = Path(__file__).parents[2]
EXIT_OK, EXIT_MISSED, EXIT_USER = 0, 1, 2
# threads, real time and shared memory: they run the loop's files, which are not the step
OTHER_TESTS = ("mailbox", "ring", "loop", "host")
# thousands of random cases each: last, for what the written-down cases have left
RANDOM_TESTS = ("step_properties", "step_garbage", "reference")
OPTIONS = ["-m", "not system and not nightly", "-p", "no:cacheprovider"]


def selection(tree: Path) -> list[str]:
    """The step's tests, a file each, in the order in which they run. pytest ends once every line has run."""
    files = {p.stem.removeprefix("test_"): str(p) for p in sorted((tree / "tests/cython_core").glob("test_*.py"))}
    first = [name for name in files if name not in OTHER_TESTS + RANDOM_TESTS]
    return [files[name] for name in (*first, *RANDOM_TESTS)] + OPTIONS


def say(text: str, begin_s: float) -> None:
    print(f"[{time.monotonic() - begin_s:4.0f} s] {text}", file=sys.stderr, flush=True)


def run_tests(tree: Path, more: list[str]) -> tuple[int, dict[str, set[int]]]:
    """pytest's exit code, and file -> lines that ran. What pytest prints goes to stderr."""
    result = tree / "ran.json"
    command = [sys.executable, "-m", "tests.coverage.collect", str(result), *selection(tree), *more]
    code = subprocess.run(command, cwd=tree, stdout=sys.stderr, check=False).returncode
    ran: dict[str, set[int]] = {}
    for name, line in json.loads(result.read_text()) if result.exists() else []:
        ran.setdefault(name, set()).add(line)
    return code, ran


def measure(tree: Path, more: list[str]) -> int:
    begin_s = time.monotonic()
    copy_tree(ROOT, tree)
    say("compiling the core with line tracing (half a minute)", begin_s)
    try:
        compile_traced(tree)
    except subprocess.CalledProcessError:
        print("tests.coverage: the core does not compile with line tracing; see the lines above", file=sys.stderr)
        return EXIT_USER
    say("running the step's tests, about ten times slower than usual", begin_s)
    code, ran = run_tests(tree, more)
    say("done", begin_s)
    traced = traced_lines(generated_c(tree))
    none: set[int] = set()
    files = [
        judge(name, text, traced.get(name, none), ran.get(name, none), ENDS_AT.get(name, ""))
        for name, text in step_sources(tree).items()
    ]
    print("\n".join(report(files)))
    if code:
        print(f"FAILED: the step's tests ended with {code} in the traced build")
    missed = sum(len(f.missed) for f in files)
    print(f"{'MISSED' if missed else 'ok'}: {missed} lines of the step did not run (allowed: 0)")
    return EXIT_MISSED if code or missed else EXIT_OK


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.coverage", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="build there and leave it; must not exist yet")
    parser.add_argument("more", nargs="*", metavar="-- PYTEST ARGUMENT", help="such as -- -k droop")
    args = parser.parse_args()
    if args.keep and args.keep.exists():
        print(f"tests.coverage: --keep {args.keep} exists already; name a new folder", file=sys.stderr)
        return EXIT_USER
    if args.keep:
        args.keep.mkdir(parents=True)
    place: AbstractContextManager[str] = (
        nullcontext(str(args.keep)) if args.keep else tempfile.TemporaryDirectory(prefix="v2g-coverage-")
    )
    with place as folder:
        return measure(Path(folder).resolve(), args.more)


if __name__ == "__main__":
    sys.exit(main())
