"""What counts as a line and what as missed: on a source to be counted by hand, and once in a real traced build."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.coverage.build import compile_traced, generated_c
from tests.coverage.lines import judge, report, statements, traceable
from tests.coverage.step_files import step_sources, traced_lines, wanted_lines

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

# one file with its trace calls and one with those of a cimported .pxd, as Cython 3.3 writes them
GENERATED = """
static const char* const __pyx_f[] = {
  "cython_core/limits.pyx",
  "cython_core/functions/signals.pxd",
};
  __Pyx_TraceLine(17,4,1,__PYX_ERR(1, 17, __pyx_L1_error))
    __Pyx_TraceLine(31,0,1,__PYX_ERR(0, 31, __pyx_L1_error))
  __Pyx_TraceLine(32,5,0,__PYX_ERR(0, 32, __pyx_L1_error))
"""


@pytest.mark.parametrize(("number", "line"), list(enumerate(SOURCE, 1)), ids=[c[-1] for c in SOURCE])
def test_what_counts_as_a_line(number: int, line: tuple[str, bool, str]) -> None:
    assert (number in statements(TEXT)) == line[1], line[0]


def test_what_follows_the_step_is_not_counted() -> None:
    assert statements(TEXT, above="cdef class Root") == {n for n in COUNTED if n < 26}


def test_trace_calls_belong_to_the_file_they_name() -> None:
    assert traceable(GENERATED) == {"cython_core/limits.pyx": {31, 32}, "cython_core/functions/signals.pxd": {17}}
    twice = traced_lines([GENERATED, GENERATED.replace("17", "18")])
    assert twice["cython_core/functions/signals.pxd"] == {17, 18}


def test_c_without_trace_calls_has_no_lines() -> None:
    assert traceable("int main(void) { return 0; }") == {}


def test_a_line_that_did_not_run_is_named_with_its_text() -> None:
    file = judge("root.pyx", TEXT, COUNTED, COUNTED - {19})
    assert (file.statements, file.missed, file.untraced) == (len(COUNTED), {19: "return -1.0"}, frozenset())
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
    stages = {"step", "fresh", "arbiter", "limits", "spans", "compiled", "functions/freq_droop", "functions/volt_var"}
    assert {f"cython_core/{name}.pyx" for name in stages} <= names
    assert "cython_core/functions/signals.pxd" in names
    assert not any("realtime" in name for name in names)
    text = (ROOT / "cython_core" / "step.pyx").read_text().splitlines()
    core = next(n for n, line in enumerate(text, 1) if line.startswith("cdef class Core"))
    assert 0 < max(n for name, n in wanted_lines(ROOT, {}) if name == "cython_core/step.pyx") < core


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
TINY_RUN = """
import json, tiny
from tests.coverage.collect import Collector
collector = Collector({("tiny.pyx", 4)})
collector.start()
ran = []
for x in (3.0, -3.0):
    tiny.run(x)
    ran.append(sorted(line for file, line in collector.ran if file == "tiny.pyx"))
print(json.dumps([*ran, sorted(collector.left)]))
"""


def test_a_real_build_sees_inside_a_function_without_the_interpreter(tmp_path: Path) -> None:
    """The line that no call reaches is missing from what ran, and there once a call does reach it."""
    (tmp_path / "setup.py").write_text(TINY_SETUP)
    (tmp_path / "tiny.pyx").write_text(TINY)
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    compile_traced(tmp_path)
    assert traced_lines(generated_c(tmp_path))["tiny.pyx"] >= {3, 4, 5, 9, 10}
    command = [sys.executable, "-c", TINY_RUN]
    answer = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
    first, second, left = json.loads(answer.stdout)
    body = {3, 4, 5, 9, 10}
    assert (body & set(first), body & set(second), left) == (body - {4}, body, [])
