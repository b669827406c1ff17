"""A copy of the core whose every line reports that it ran.

Cython writes a trace call before each statement (directive linetrace) and the C compiler keeps it, in functions without
the interpreter too (CYTHON_TRACE_NOGIL: each takes the interpreter's lock to report). Never the build that ships.
`python -m tests.coverage.build`, started inside the copy, compiles it with the project's own setup.py.
"""

from __future__ import annotations

import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

COPIED = ("cython_core", "config", "tests", "setup.py", "pyproject.toml", "README.md")
LEFT = shutil.ignore_patterns("*.so", "*.c", "__pycache__", ".*")
CFLAGS = "-O0 -DCYTHON_TRACE=1 -DCYTHON_TRACE_NOGIL=1"


def copy_tree(root: Path, target: Path) -> None:
    """What the core and its tests need; setup.py compiles the packages it finds."""
    for name in COPIED:
        if (root / name).is_dir():
            shutil.copytree(root / name, target / name, ignore=LEFT)
        else:
            shutil.copy(root / name, target / name)


def compile_traced(tree: Path) -> None:
    """Raises CalledProcessError when it does not compile; the compiler's words are on stderr."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.coverage.build"]
    subprocess.run(command, cwd=tree, env={**os.environ, "CFLAGS": CFLAGS}, check=True, stdout=subprocess.DEVNULL)


def generated_c(tree: Path) -> list[str]:
    return [path.read_text() for path in sorted((tree / "build" / "cython").rglob("*.c"))]


def main() -> None:
    from Cython.Compiler.Options import get_directive_defaults  # the way Cython's manual names, "Enabling line tracing"

    get_directive_defaults()["linetrace"] = True  # type: ignore[no-untyped-call]
    sys.argv = ["setup.py", "-q", "build_ext", "--inplace"]
    sys.path.insert(0, "")
    runpy.run_path("setup.py", run_name="__main__")


if __name__ == "__main__":
    main()
