"""The files of the step, and where in them the step ends."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tests.coverage.lines import required, statements, traceable

# the loop's own files have tests with threads and real time; class Core and what follows is the Python face of the step
NOT_THE_STEP = "realtime"
ENDS_AT = {"cython_core/step.pyx": "cdef class Core"}


def step_sources(tree: Path) -> dict[str, str]:
    """Name relative to the tree -> text, of every .pyx and .pxd of the step that has a statement."""
    found = {}
    for path in sorted((tree / "cython_core").rglob("*.p[yx][xd]")):
        name, text = path.relative_to(tree).as_posix(), path.read_text()
        if NOT_THE_STEP not in path.parts and statements(text, ENDS_AT.get(name, "")):
            found[name] = text
    return found


def traced_lines(c_sources: Iterable[str]) -> dict[str, set[int]]:
    """An inline function of a .pxd has its trace calls in every module that uses it: one set a file."""
    found: dict[str, set[int]] = {}
    for c_source in c_sources:
        for name, lines in traceable(c_source).items():
            found.setdefault(name, set()).update(lines)
    return found


def wanted_lines(tree: Path, traced: dict[str, set[int]]) -> set[tuple[str, int]]:
    """(file, line) of everything in the step that must run."""
    none: set[int] = set()
    return {
        (name, n)
        for name, text in step_sources(tree).items()
        for n in required(text, traced.get(name, none), ENDS_AT.get(name, ""))
    }
