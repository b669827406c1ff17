"""No nogil function of the product reaches the interpreter: read in the C that Cython generated for this build."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import pytest

from tests.nogil import (
    Function,
    bare,
    c_bodies,
    interpreter_names,
    module_of,
    nogil_functions,
    step_calls,
    verbatim_c,
)

ROOT = Path(__file__).parents[1]
PACKAGES = ("cython_core", "drivers", "controller")
GENERATED = ROOT / "build" / "cython"


def cython_sources(*suffixes: str) -> list[Path]:
    return sorted(p for package in PACKAGES for p in (ROOT / package).rglob("*") if p.suffix in suffixes)


@cache
def declared() -> dict[str, Function]:
    """Every nogil function of ours, by its C name."""
    paths = cython_sources(".pyx", ".pxd")
    return {f.c_name: f for p in paths for f in nogil_functions(module_of(p, ROOT), p.read_text())}


@pytest.fixture(scope="module")
def bodies() -> Mapping[str, str]:
    """C name -> C text, of every generated file; an inline function is the same in each that uses it."""
    found: dict[str, str] = {}
    for pyx in cython_sources(".pyx"):
        generated = GENERATED / pyx.relative_to(ROOT).with_suffix(".c")
        assert generated.exists(), f"{generated.relative_to(ROOT)} is absent: run make build"
        assert generated.stat().st_mtime >= pyx.stat().st_mtime, f"{pyx.relative_to(ROOT)} has changed: run make build"
        found.update(c_bodies(generated.read_text()))
    return found


@pytest.mark.parametrize("c_name", sorted(declared()), ids=lambda n: f"{declared()[n].module}.{declared()[n].name}")
def test_nogil_means_no_interpreter(c_name: str, bodies: Mapping[str, str]) -> None:
    function = declared()[c_name]
    if c_name not in bodies:
        assert function.inline, f"no C found for {function}: the reader of the declarations or of the C is out of date"
        return  # an inline function that nobody uses is not compiled
    assert interpreter_names(bodies[c_name]) == []


@pytest.mark.parametrize("c_name", sorted(declared()), ids=lambda n: f"{declared()[n].module}.{declared()[n].name}")
def test_arithmetic_stays_arithmetic(c_name: str, bodies: Mapping[str, str]) -> None:
    """cython_core except realtime: no libm series (other bits on another machine), no allocation, no I/O."""
    module = declared()[c_name].module
    if module.startswith("cython_core.") and not module.startswith("cython_core.realtime."):
        assert step_calls(bodies.get(c_name, "")) == []


@pytest.mark.parametrize("path", cython_sources(".pyx", ".pxd", ".h"), ids=lambda p: str(p.relative_to(ROOT)))
def test_own_c_is_plain_c(path: Path) -> None:
    """The C inside extern blocks and headers is outside Cython's own check."""
    for text in [path.read_text()] if path.suffix == ".h" else verbatim_c(path.read_text()):
        assert interpreter_names(bare(text)) == []


def test_the_hot_modules_have_nogil_functions() -> None:
    """An empty list would pass every test above."""
    modules = {f.module for f in declared().values()}
    hot = [
        p
        for p in cython_sources(".pyx")
        if re.search(r"functions|realtime.(loop|mailbox|ring)|fresh|spans|arbiter|limits|step|bus", str(p))
        and p.stem not in ("compiled", "codes")  # before a thread begins, and numbers
    ]
    assert {module_of(p, ROOT) for p in hot} <= modules


# --- the test can fail: each of these is accepted by Cython and must be caught here ---

# fmt: off
GUILTY = {
    "with_gil": ("cdef int f(int x) noexcept nogil:\n    with gil:\n        print(x)\n    return x",
                 "PyGILState or its like: the hot thread waits for the interpreter"),
    "raises": ("cdef int f(int x) except -1 nogil:\n    if x:\n        raise ValueError\n    return x",
               "an exception is a Python object"),
    "division": ("cimport cython\n@cython.cdivision(False)\ncdef int f(int x) noexcept nogil:\n    return 10 // x",
                 "a checked division raises"),
    "bounds": ("cimport cython\n@cython.boundscheck(True)\ncdef double f(double[:] a, int i) noexcept nogil:\n"
               "    return a[i]", "a checked index raises"),
    "asserts": ("cdef int f(int x) noexcept nogil:\n    assert x > 0\n    return x", "an assertion raises"),
    "passes_on": ("cdef int g(int x) except -1 nogil:\n    return x\n\ncdef int f(int x) noexcept nogil:\n"
                  "    return g(x)", "an unraisable exception is printed by the interpreter"),
    "takes_object": ("cdef int f(object o) noexcept nogil:\n    return 1", "a Python object in a signature"),
    "method": ("cdef class C:\n    cdef int n\n    cdef int f(self) noexcept nogil:\n        with gil:\n"
               "            self.n += int('1')\n        return self.n", "a method counts as well"),
    "long_head": ("cdef int f(int x,\n           int y) noexcept nogil:\n    with gil:\n        return int(str(x))",
                  "a declaration over two lines"),
}
INNOCENT = '''
from libc.math cimport sqrt

cdef struct state_t:
    double y[4]

cdef int (*pointer)(int) noexcept nogil

cdef double f(state_t* st, double x) noexcept nogil:
    """Py_INCREF in a docstring is no call."""
    cdef int i
    for i in range(4):                  # PyGILState_Ensure in a comment neither
        st.y[i] += x / 3.0 if x > 0 else -x
    return sqrt(st.y[0])

cdef class C:
    cdef state_t st
    cdef double f(self, double x) noexcept nogil:
        return f(&self.st, x)

    def step(self, double x):
        return f(&self.st, x)           # not nogil: may do as it likes
'''
# fmt: on


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """Module name -> the C that Cython makes of the small sources above."""
    folder = tmp_path_factory.mktemp("cython")
    for name, source in {**{n: s for n, (s, _) in GUILTY.items()}, "innocent": INNOCENT}.items():
        (folder / f"{name}.pyx").write_text(source + "\n")
    files = sorted(str(p) for p in folder.glob("*.pyx"))
    subprocess.run([sys.executable, "-m", "cython", "-3", *files], check=True, cwd=folder, timeout=120)
    return {p.stem: p.read_text() for p in folder.glob("*.c")}


@pytest.mark.parametrize("name", GUILTY, ids=[why for _, why in GUILTY.values()])
def test_reaching_the_interpreter_is_caught(name: str, compiled: Mapping[str, str]) -> None:
    (function,) = [f for f in nogil_functions(name, GUILTY[name][0]) if f.name.endswith("f")]
    assert interpreter_names(c_bodies(compiled[name])[function.c_name])


def test_plain_arithmetic_is_not_accused(compiled: Mapping[str, str]) -> None:
    functions = nogil_functions("innocent", INNOCENT)
    assert [f.name for f in functions] == ["f", "C.f"]
    bodies = c_bodies(compiled["innocent"])
    assert [interpreter_names(bodies[f.c_name]) for f in functions] == [[], []]


# fmt: off
CALLS = [
    # C                              expected   why
    ("y = exp(-x / t);",             ["exp"],   "libm differs between machines"),
    ("p = malloc(8);",               ["malloc"], "allocation is not bounded in time"),
    ("y = sqrt(x) + fabs(x);",       [],        "correctly rounded everywhere"),
    ("y = __pyx_f_1a_exp(x);",       [],        "a function of ours whose name ends alike"),
]
# fmt: on


@pytest.mark.parametrize(("c", "expected", "why"), CALLS, ids=[c[-1] for c in CALLS])
def test_calls_a_step_may_not_make(c: str, expected: list[str], why: str) -> None:
    assert step_calls(c) == expected, why
