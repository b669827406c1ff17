"""What counts as a line and what as missed: on a source to be counted by hand, and once in a real counting build."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.coverage.build import compile_counting, counts, generated_c
from tests.coverage.lines import judge, ran, report, required, statements
from tests.coverage.step_files import ENDS_AT, lines_run, step_sources

ROOT = Path(__file__).parents[2]

# fmt: off
SOURCE = [
    # line                                                                counts  why
    ('"""A module."""',                                                   False,  "docstring"),
    ("from libc.math cimport sqrt",                                       False,  "import"),
    ("cdef double KEEP = 0.8",                                            False,  "outside of a function"),
    ("cdef struct pair_t:",                                               False,  "a shape"),
    ("    double a",                                                      False,  "a field"),
    ("cdef double root(const pair_t* pair,",                              False,  "head, first half"),
    ("                 double x) noexcept nogil:",                        False,  "head, second half"),
    ('    """Says: return what it is."""',                                False,  "docstring of a function"),
    ("    cdef double y",                                                 False,  "declaration without a value"),
    ("    cdef double z = x",                                             True,   "declaration with a value"),
    ("    cdef int64_t state = <int64_t> 1  # cdef = in a comment",       True,   "the same with a cast"),
    ("    y = (x +",                                                      True,   "begins here"),
    ("         z)",                                                       False,  "and goes on"),
    ("    # return 0.0",                                                  False,  "comment"),
    ("",                                                                  False,  "blank"),
    ("    if y > KEEP:",                                                  True,   "condition"),
    ("        pair.a = y",                                                True,   "branch"),
    ("    elif y < 0.0:",                                                 True,   "second condition"),
    ("        return -1.0",                                               True,   "second branch"),
    ("    else:",                                                         False,  "no code of its own"),
    ("        pass",                                                      False,  "no code at all"),
    ("    with nogil:",                                                   False,  "no code of its own"),
    ("        for i in range(3):",                                        True,   "loop"),
    ("            break",                                                 True,   "jump"),
    ("    return sqrt(y)",                                                True,   "after the blocks"),
    ("cdef class Root:",                                                  False,  "class"),
    ("    cdef pair_t pair",                                              False,  "attribute"),
    ("    def __init__(self):",                                           False,  "method"),
    ("        self.pair.a = 1.0",                                         True,   "its body"),
]
# fmt: on
TEXT = "\n".join(line for line, _, _ in SOURCE) + "\n"
COUNTED = {n for n, (_, counts, _) in enumerate(SOURCE, 1) if counts}

# what Cython 3.3 writes before the C of a statement, and behind a function's last one
GENERATED = """\
  /* "cython_core/limits.pyx":31
 *     cdef double y = x
 */
  y = x;
  /* "cython_core/functions/signals.pxd":17
 *     return x
 */
  r = x;
  goto L0;
  /* "cython_core/limits.pyx":32
 */
  if (y) {
  }
  /* function exit code */
  L0:;
  return r;
"""
COUNTS = {4: 7, 8: 0, 9: 0, 12: 0, 15: 7, 16: 7}  # lines of the C with code


@pytest.mark.parametrize(("number", "line"), list(enumerate(SOURCE, 1)), ids=[c[-1] for c in SOURCE])
def test_what_counts_as_a_line(number: int, line: tuple[str, bool, str]) -> None:
    assert (number in statements(TEXT)) == line[1], line[0]


def test_what_follows_the_step_is_not_counted() -> None:
    assert statements(TEXT, above="cdef class Root") == {n for n in COUNTED if n < 26}


def test_c_belongs_to_the_statement_above_it_and_a_functions_end_to_none() -> None:
    limits = {"cython_core/limits.pyx": {31: True, 32: False}}
    assert ran(GENERATED, COUNTS) == limits | {"cython_core/functions/signals.pxd": {17: False}}


def test_a_line_ran_when_any_module_that_has_it_ran_it() -> None:
    both = lines_run({"a.c": GENERATED, "b.c": GENERATED}, {"a.c": COUNTS, "b.c": COUNTS | {9: 3}})
    assert both["cython_core/functions/signals.pxd"] == {17: True}


def test_c_that_was_never_started_ran_nothing() -> None:
    assert ran(GENERATED, {}) == {}


def test_a_line_that_did_not_run_is_named_with_its_text() -> None:
    file = judge("root.pyx", TEXT, COUNTED, COUNTED - {19})
    assert (file.statements, file.missed, file.codeless) == (len(COUNTED), {19: "return -1.0"}, frozenset())
    assert report([file])[-1] == "root.pyx:19: return -1.0"


def test_a_function_that_left_no_code_is_missed_too() -> None:
    file = judge("root.pyx", TEXT, COUNTED - {29}, COUNTED - {29})
    assert report([file])[-1].startswith("root.pyx:29: self.pair.a = 1.0  (no code was generated")


def test_an_elif_that_became_a_label_of_a_c_switch_has_no_line_of_its_own() -> None:
    """Line 18 is the elif, 19 its body: the body still must run."""
    file = judge("root.pyx", TEXT, COUNTED - {18}, COUNTED - {18, 19})
    assert (file.statements, list(file.missed)) == (len(COUNTED) - 1, [19])
    assert 18 in judge("root.pyx", TEXT, COUNTED, COUNTED - {18}).missed  # with a line of its own it must run


def test_everything_ran() -> None:
    file = judge("root.pyx", TEXT, COUNTED, COUNTED | {2, 6})
    assert (file.missed, file.percent) == ({}, 100.0)


def test_the_files_of_the_step() -> None:
    """Every stage of step.pyx's list is there, the loop is not, nothing of class Core is."""
    names = set(step_sources(ROOT))
    stages = {"step", "fresh", "arbiter", "limits", "spans", "reactive", "functions/freq_droop", "functions/volt_var"}
    assert {f"cython_core/{name}.{'pyx' if name == 'step' else 'pxd'}" for name in stages} <= names
    assert "cython_core/functions/signals.pxd" in names
    assert not any("realtime" in name for name in names)
    text = (ROOT / "cython_core" / "step.pyx").read_text().splitlines()
    core = next(n for n, line in enumerate(text, 1) if line.startswith("cdef class Core"))
    last = max(required(step_sources(ROOT)["cython_core/step.pyx"], set(), ENDS_AT["cython_core/step.pyx"]))
    assert 0 < last < core


TINY_SETUP = """
from Cython.Build import cythonize
from setuptools import Extension, setup
setup(name="tiny", ext_modules=cythonize([Extension("tiny", ["tiny.pyx"])], build_dir="build/cython", language_level=3))
"""
TINY = """
cdef double half(double x) noexcept nogil:
    if x < 0.0:
        return 0.0
    return x / 2.0

def run(double x):
    with nogil:
        x = half(x)
    return x
"""


def test_a_real_build_sees_inside_a_function_without_the_interpreter(tmp_path: Path) -> None:
    """The line that no call reaches did not run, and does once a call reaches it."""
    (tmp_path / "setup.py").write_text(TINY_SETUP)
    (tmp_path / "tiny.pyx").write_text(TINY)
    compile_counting(tmp_path)
    seen = []
    for x in (3.0, -3.0):
        subprocess.run([sys.executable, "-c", f"import tiny; tiny.run({x})"], cwd=tmp_path, check=True)
        lines = lines_run(generated_c(tmp_path), counts(tmp_path))["tiny.pyx"]
        seen.append({n for n in (3, 4, 5, 9, 10) if lines[n]})
    assert seen == [{3, 5, 9, 10}, {3, 4, 5, 9, 10}]
