"""A copy of the core that counts how often each line of its C ran (gcc's --coverage), compiled without optimization.

Never the build that ships. Counters are written when a process ends, beside its object files; gcov reads them.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

COPIED = ("cython_core", "config", "tests", "setup.py", "pyproject.toml", "README.md")
LEFT = shutil.ignore_patterns("*.so", "*.c", "__pycache__", ".*")
FLAGS = {"CFLAGS": "-O0 --coverage", "LDFLAGS": "--coverage"}


def copy_tree(root: Path, target: Path, names: Sequence[str] = COPIED) -> None:
    """Sources without what was built. By default what the core and its tests need; setup.py compiles what it finds."""
    for name in names:
        if (root / name).is_dir():
            shutil.copytree(root / name, target / name, ignore=LEFT)
        else:
            shutil.copy(root / name, target / name)


def compile_counting(tree: Path) -> None:
    """Raises CalledProcessError when it does not compile; the compiler's words are on stderr."""
    command = [sys.executable, "-W", "ignore", "setup.py", "-q", "build_ext", "--inplace"]
    # -O0 stands before setup.py's own -O2, and the last one counts: so it is taken out of the copy
    setup = tree / "setup.py"
    setup.write_text(setup.read_text().replace('"-O2"', '"-O0"'))
    subprocess.run(command, cwd=tree, env={**os.environ, **FLAGS}, check=True, stdout=subprocess.DEVNULL)


def generated_c(tree: Path) -> dict[str, str]:
    """Path of each generated C file, relative to the tree -> its text."""
    return {p.relative_to(tree).as_posix(): p.read_text() for p in sorted((tree / "build" / "cython").rglob("*.c"))}


def counts(tree: Path) -> dict[str, dict[int, int]]:
    """Generated C file -> line -> how often it ran; every line that holds code is there."""
    found: dict[str, dict[int, int]] = {}
    for data in sorted(tree.rglob("*.gcda")):
        printed = subprocess.run(
            ["gcov", "--json-format", "--stdout", str(data)], cwd=tree, capture_output=True, text=True, check=True
        )
        for file in json.loads(printed.stdout)["files"]:
            lines = found.setdefault(file["file"], {})
            for line in file["lines"]:
                lines[line["line_number"]] = lines.get(line["line_number"], 0) + line["count"]
    return found
