"""The generator of mutants: what counts as a step, which errors a statement gets, and that they run in one build."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from ctypes import addressof, c_int
from pathlib import Path
from types import ModuleType

import pytest

from tests.mutants import build, report
from tests.mutants.generate import Key, Mutant, generate, sample
from tests.mutants.report import Result
from tests.mutants.rules import KINDS
from tests.mutants.weave import SWITCH, weave

SHAPES = """
cdef struct span_t:
    double lo
    double hi

cdef struct box_t:
    span_t span
    double[4] x
    long count
"""

# fmt: off
ERRORS = [
    # statement                 kind          what it may become                       why
    ("if a < b:",               "comparison", {"if a <= b:"},                          "the edge moves"),
    ("if a == b:",              "comparison", {"if a != b:"},                          "the claim is turned round"),
    ("c = <double> n",          "comparison", set(),                                   "a cast is no comparison"),
    ("c = a - b",               "sign",       {"c = a + b"},                           "between two operands"),
    ("c = -a",                  "sign",       {"c = a"},                               "in front of one"),
    ("c = (b) - a",             "sign",       {"c = (b) + a"},                         "after a )"),
    ("c = f(a, -b)",            "sign",       {"c = f(a, b)"},                         "after a comma"),
    ("c += a",                  "sign",       {"c -= a"},                              "an update"),
    ("c = 2.0 * a",             "constant",   {"c = 2.02 * a", "c = 0.0 * a"},         "1 % and nothing"),
    ("c = a + 0.0",             "constant",   {"c = a + 1.0"},                         "0 has no 1 %"),
    ("n = 1",                   "constant",   {"n = 0"},                               "2 is as true as 1"),
    ("n = 3",                   "constant",   {"n = 4", "n = 0"},                      "whole numbers"),
    ("n = 0x1F",                "constant",   {"n = 0x20", "n = 0"},                   "in any base"),
    ("n = 10_000",              "constant",   {"n = 10001", "n = 0"},                  "with marks"),
    ("c = KEEP * a",            "constant",   {"c = (1.01 * KEEP) * a"},               "a named double"),
    ("n = STATE_OFF",           "constant",   {"n = (STATE_OFF + 1)"},                 "a named number"),
    ("if n & M_F:",             "constant",   {"if n & (M_F << 1):"},                  "a named bit"),
    ("c = NAN",                 "constant",   set(),                                   "not a number: left"),
    ("c = x[2]",                "constant",   set(),                                   "an index is none"),
    ("c = min(a, b)",           "min/max",    {"c = max(a, b)"},                       ""),
    ("c = fabs(a)",             "min/max",    {"c = (a)"},                             "the magnitude"),
    ("c = clip(a, f(b, 1), c)", "min/max",    {"c = clip(a, c, f(b, 1))"},             "the ends exchanged"),
    ("c = x[i]",                "index",      {"c = x[i - 1]", "c = x[i + 1]"},        ""),
    ("c = x[0]",                "index",      {"c = x[1]"},                            "x is an array: [i] elsewhere"),
    ("c = ptr[0]",              "index",      set(),                                   "a pointer: [1] is nobody's"),
    ("c = x[3]",                "index",      {"c = x[2]"},                            "never beyond its end"),
    ("c = box.span.lo",         "index",      {"c = box.span.hi"},                     "the other field"),
    ("c = box.x[i]",            "index",      {"c = box.x[i - 1]", "c = box.x[i + 1]"}, "no other field of its type"),
    ("if a and not b:",         "logic",      {"if a or not b:", "if a and b:"},       ""),
    ("c = a",                   "dropped",    {"pass"},                                "not assigned"),
    ("f(a)",                    "dropped",    {"pass"},                                "not called"),
    ("return a",                "dropped",    set(),                                   "a result is needed"),
    ("cdef double d = a",       "dropped",    set(),                                   "a declaration is needed"),
    ("cdef double d = 0.0",     "constant",   {"cdef double d = 1.0"},                 "its value may be wrong"),
    ("for i in range(7, 0, -1):", "constant", {"for i in range(7 - 1, 0, -1):",
                                               "for i in range(7, 0 + 1, -1):"},       "one turn less at an end"),
    ("for i in range(N):",      "constant",   {"for i in range(N - 1):"},              "the last turn"),
]
# fmt: on


def source(statement: str) -> str:
    """A function with this statement in it."""
    block = "\n        pass" if statement.endswith(":") else ""
    return (
        SHAPES + "cdef double KEEP = 0.8\n\n\n"
        "cdef double g(const box_t* box, double* x, const double* ptr, double a, long n) noexcept nogil:\n"
        f'    """Words: a < b."""\n    c = x[i]            # a comment: a < b\n    {statement}{block}\n'
    )


@pytest.mark.parametrize(("statement", "kind", "expected", "why"), ERRORS, ids=[f"{c[0]} {c[1]}" for c in ERRORS])
def test_errors_of_a_statement(statement: str, kind: str, expected: set[str], why: str) -> None:
    found = [m for m in generate({"a.pyx": source(statement)}) if m.line > generate_line() and m.kind == kind]
    assert {m.key.now for m in found} == expected, why


def generate_line() -> int:
    """The line before the statement under test."""
    return source("pass").splitlines().index("    pass")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("cdef void f_init(a_t* cfg, object settings):\n    cfg.x = 1\n", "loads settings: needs the interpreter"),
        ("def f(a):\n    return a + 1\n", "Python"),
        ("cdef class A:\n    cdef double f(self) noexcept nogil:\n        return 1.0\n", "a class for tests"),
        ("cdef double f(double x) noexcept nogil\n", "a declaration"),
        ('cdef extern from *:\n    """\n    int x = 1;\n    """\n    int X "x"\n', "C"),
    ],
)
def test_what_a_step_cannot_call_is_left_alone(text: str, why: str) -> None:
    assert generate({"a.pyx": text}) == [], why


def test_a_statement_over_several_lines_is_one_line() -> None:
    text = "cdef void f(double a,\n            double b) noexcept nogil:\n    g(a,  # why\n      b)\n"
    (mutant,) = generate({"a.pyx": text})
    assert mutant.key == Key("a.pyx", "f", "g(a, b)", "pass")


def test_a_key_does_not_depend_on_the_line_but_on_the_order_of_equal_statements() -> None:
    text = "cdef void f() noexcept nogil:\n    g(a)\n    g(a)\n"
    keys = [m.key for m in generate({"a.pyx": text})]
    assert [k.nth for k in keys] == [1, 2]
    assert keys == [m.key for m in generate({"a.pyx": "# one line more\n" + text})]


# --- the sample ---


@pytest.fixture(scope="module")
def everything() -> list[Mutant]:
    """Every mutant of today's core."""
    return build.mutants()


def test_the_sample_is_spread_over_all_kinds_and_files_and_the_same_every_time(everything: list[Mutant]) -> None:
    chosen = sample(everything, 200, seed=1)
    assert len({m.n for m in chosen}) == 200
    assert {m.kind for m in chosen} == {m.kind for m in everything} == set(KINDS)
    assert {m.key.file for m in chosen} == {m.key.file for m in everything}
    assert chosen == sample(everything, 200, seed=1)
    assert chosen != sample(everything, 200, seed=2)


def test_more_than_there_are_is_all_of_them(everything: list[Mutant]) -> None:
    assert sample(everything[:7], 200, seed=1) == everything[:7]


def test_every_survivor_is_named_once_has_a_reason_and_is_in_todays_code(everything: list[Mutant]) -> None:
    reasons = report.explained(report.SURVIVORS.read_text())
    assert report.unknown(reasons, everything) == []


# --- the verdict ---


def results(mutants: list[Mutant], survived: int) -> list[Result]:
    return [Result(m, "survived" if i < survived else "killed", "a test", 1.0) for i, m in enumerate(mutants)]


@pytest.mark.parametrize(
    ("survived", "known", "faults", "why"),
    [
        (0, 0, 0, "all are killed"),
        (1, 1, 0, "one survives, with its reason"),
        (1, 0, 1, "one survives without"),
        (2, 2, 1, "two of 20 are more than 5 %"),
        (0, 1, 1, "a reason for one that a test notices is wrong"),
    ],
)
def test_verdict(survived: int, known: int, faults: int, why: str, everything: list[Mutant]) -> None:
    mutants = everything[:20]
    reasons = {m.key: "the same result" for m in mutants[:known]}
    assert len(report.faults(results(mutants, survived), reasons)) == faults, why


@pytest.mark.parametrize(
    "text",
    ["- 1", "- {file: a, function: f, was: x, now: y}", "- {file: a, function: f, was: x, now: y, why: '', nth: 1}"],
)
def test_a_survivor_without_a_reason_is_refused(text: str) -> None:
    with pytest.raises(report.SurvivorError, match="entry 1"):
        report.explained(text)


# --- one build ---

PROGRAM = """
cdef double KEEP = 0.5


cdef double at(double* x, double a, int n) noexcept nogil:
    cdef double sum = 0.0
    cdef int i
    for i in range(1, n):
        if a > x[i] and i & 1:
            sum += x[i] * KEEP
        elif a == 3.0:
            sum = -a
    return min(sum, 100.0)


def answer(values, double a):
    cdef double[8] x
    for i in range(8):
        x[i] = values[i]
    return at(x, a, 4)
"""
CALLS = [([float(v) for v in (9, 1, 2, 4, 8, 16, 32, 64)], a) for a in (0.0, 1.0, 2.0, 3.0, 5.0, 400.0)]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """PROGRAM with all its mutants, compiled once."""
    folder = tmp_path_factory.mktemp("mutants")
    (folder / "cython_core").mkdir()
    (folder / "cython_core" / "__init__.pxd").touch()
    (folder / "cython_core" / "mutant.pxd").write_text(SWITCH)
    woven = weave(PROGRAM, generate({"program.pyx": PROGRAM}))
    (folder / "program.pyx").write_text("\n".join(line for line, _ in woven))
    code = (
        "from setuptools import Extension, setup; from Cython.Build import cythonize;"
        "e = Extension('program', ['program.pyx'], extra_compile_args=['-O1']);"
        "setup(name='program', ext_modules=cythonize([e], quiet=True, compiler_directives={'language_level': 3}))"
    )
    command = [sys.executable, "-c", code, "-q", "build_ext", "--inplace"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(folder.glob("*.so"))


def test_every_mutant_is_in_the_build_and_is_chosen_at_run_time(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    number = c_int(-1)
    monkeypatch.setitem(os.environ, "V2G_MUTANT_AT", f"{addressof(number):x}")
    program = loaded(built)
    original = [program.answer(*c) for c in CALLS]
    assert original == [0.0, 0.0, 0.5, -3.0, 2.5, 2.5]  # 1/2, then 1/2 + 4/2 from a = 5 on; a = 3 itself: -3
    survivors = set()
    for mutant in generate({"program.pyx": PROGRAM}):
        number.value = mutant.n
        if [program.answer(*c) for c in CALLS] == original:
            survivors.add(mutant.key.now)
    assert survivors == {"return min(sum, 101.0)"}  # no sum comes near 100
    number.value = -1
    assert [program.answer(*c) for c in CALLS] == original


def loaded(binary: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("program", binary)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
