"""Line coverage of the compiled step: a counting copy runs the step's tests; every line that did not run is named.

python -m tests.coverage [--keep FOLDER] [-- pytest's arguments]
Exit 0 every line ran, 1 some did not or a test failed, 2 it cannot be measured here.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from tests.coverage.build import compile_counting, copy_tree, counts, generated_c
from tests.coverage.lines import judge, report
from tests.coverage.step_files import ENDS_AT, lines_run, step_sources

ROOT = Path(__file__).parents[2]
EXIT_OK, EXIT_MISSED, EXIT_USER = 0, 1, 2
# threads, real time and shared memory: they run the loop's files, which are not the step
OTHER_TESTS = ("mailbox", "ring", "loop", "host")
SELECTION = ["tests/cython_core", "-m", "not system and not nightly", "-p", "no:cacheprovider"]
SELECTION += [f"--ignore=tests/cython_core/test_{name}.py" for name in OTHER_TESTS]


def say(text: str, begin_s: float) -> None:
    print(f"[{time.monotonic() - begin_s:4.0f} s] {text}", file=sys.stderr, flush=True)


def measure(tree: Path, more: list[str]) -> int:
    begin_s = time.monotonic()
    copy_tree(ROOT, tree)
    say("compiling the core with counters (half a minute)", begin_s)
    try:
        compile_counting(tree)
    except subprocess.CalledProcessError:
        print("tests.coverage: the core does not compile with counters; see the lines above", file=sys.stderr)
        return EXIT_USER
    say("running the step's tests", begin_s)
    command = [sys.executable, "-m", "pytest", *SELECTION, *more]
    code = subprocess.run(command, cwd=tree, stdout=sys.stderr, check=False).returncode
    say("reading the counters", begin_s)
    lines = lines_run(generated_c(tree), counts(tree))
    files = []
    for name, text in step_sources(tree).items():
        of_file = lines.get(name, {})
        done = {n for n, yes in of_file.items() if yes}
        files.append(judge(name, text, set(of_file), done, ENDS_AT.get(name, "")))
    print("\n".join(report(files)))
    if code:
        print(f"FAILED: the step's tests ended with {code} in the counting build")
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
