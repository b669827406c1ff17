"""The files of the step, and where in them the step ends."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tests.coverage.lines import ran, statements

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


def lines_run(c_sources: Mapping[str, str], counted: Mapping[str, Mapping[int, int]]) -> dict[str, dict[int, bool]]:
    """Source file -> each line with code -> whether it ran. An inline function of a .pxd is in every module that uses
    it: it is enough that one of them ran it."""
    found: dict[str, dict[int, bool]] = {}
    for c_name, text in c_sources.items():
        for name, lines in ran(text, counted.get(c_name, {})).items():
            for number, done in lines.items():
                of_file = found.setdefault(name, {})
                of_file[number] = of_file.get(number, False) or done
    return found
