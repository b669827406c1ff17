"""The mutated copy of the tree: written below build/mutants and compiled there with the flags of setup.py.

Errors   BuildError: the compiler refuses something that is not the fault of single mutants.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.mutants.generate import Mutant, generate
from tests.mutants.weave import SWITCH, weave

ROOT = Path(__file__).parents[2]
TREE = ROOT / "build" / "mutants"
PACKAGE = "cython_core"
NOT_STEP = {"realtime", "loop", "mailbox", "ring", "host", "epri", "strategies"}  # folders and tests
CYTHON_ERROR = re.compile(rf"^({PACKAGE}/\S+\.p(?:yx|xd)):(\d+):\d+: ", re.M)


class BuildError(Exception):
    """The mutated tree cannot be compiled: the generator needs a look."""


def sources() -> dict[str, str]:
    """Path -> text of everything a step may be made of."""
    files = sorted((ROOT / PACKAGE).rglob("*.p[yx][xd]"))
    return {str(f.relative_to(ROOT)): f.read_text() for f in files if not NOT_STEP & set(f.relative_to(ROOT).parts)}


def mutants() -> list[Mutant]:
    """Every mutant of the tree as it stands."""
    return generate(sources())


def suite() -> list[str]:
    """The step tests: what has to notice a mutant."""
    files = sorted((ROOT / "tests" / PACKAGE).glob("test_*.py"))
    return [str(f.relative_to(ROOT)) for f in files if f.stem.removeprefix("test_") not in NOT_STEP]


def build(all_mutants: Sequence[Mutant]) -> set[int]:
    """Write and compile the copy. Returns the stillborn: mutants the compiler refused, which are left out."""
    copy_tree()
    stillborn: set[int] = set()
    while True:
        lines = write(all_mutants, stillborn)
        command = [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace", "--parallel", "2"]
        done = subprocess.run(command, cwd=TREE, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return stillborn
        said = done.stdout + done.stderr
        refused = {n for file, line in CYTHON_ERROR.findall(said) for n in lines[file][int(line) - 1]}
        if not refused - stillborn:
            raise BuildError(f"{TREE}: the mutated build fails and no single mutant is to blame:\n{said[-3000:]}")
        stillborn |= refused


def copy_tree() -> None:
    """What the tests need besides the mutated sources; all else is found in the real tree."""
    TREE.mkdir(parents=True, exist_ok=True)
    for name in ("setup.py", "pyproject.toml"):
        shutil.copy2(ROOT / name, TREE / name)
    skip = shutil.ignore_patterns("*.so", "*.c", "*.pyx", "*.pxd", "__pycache__", "realtime")
    shutil.rmtree(TREE / "tests", ignore_errors=True)
    shutil.copytree(ROOT / "tests", TREE / "tests", ignore=skip)
    shutil.copytree(ROOT / PACKAGE, TREE / PACKAGE, ignore=skip, dirs_exist_ok=True)
    write_changed(TREE / PACKAGE / "mutant.pxd", SWITCH)


def write(all_mutants: Sequence[Mutant], stillborn: set[int]) -> dict[str, list[list[int]]]:
    """Every source with its mutants. Returns path -> for every line the mutants in it."""
    lines = {}
    texts = sources()
    for path, text in texts.items():
        here = [m for m in all_mutants if m.key.file == path and m.n not in stillborn]
        woven = weave(text, here)
        write_changed(TREE / path, "\n".join(line for line, _ in woven) + "\n")
        lines[path] = [numbers for _, numbers in woven]
    for old in (TREE / PACKAGE).rglob("*.p[yx][xd]"):
        if str(old.relative_to(TREE)) not in texts and old.name != "mutant.pxd":
            old.unlink()
    return lines


def write_changed(path: Path, text: str) -> None:
    """An unchanged file keeps its time, so that it is not compiled again."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text() != text:
        path.write_text(text)
