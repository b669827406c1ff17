"""Which functions are declared nogil, what C Cython made of them, and what in it reaches the interpreter. Pure text.

Cython refuses Python objects in a nogil function but not what it generates itself: a range check that raises, a checked
division, an assertion or a `with gil:` block all fetch the interpreter lock, and a hot thread then waits for any
garbage collection. The C of a nogil function must name nothing of CPython.

Source   Cython's naming (3.x): `__pyx_f_` + length and name of each package, then of the class, then the function.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# a name of CPython or of Cython's Python helpers; module state, interned names, types and builtins are objects
INTERPRETER = re.compile(
    r"\b(?:Py[A-Z_]\w*|_Py\w+|__Pyx_\w+|__PYX_\w+|PYGIL\w+"
    r"|__pyx_(?:mstate|n_|kp_|builtin|int_|ptype|lineno|clineno|filename|float_|tuple_|empty_)\w*)\b"
)
HARMLESS = {"Py_ssize_t", "__Pyx_memviewslice"}  # types
# what a step may not call: not the same bits on every machine, or not bounded in time
NOT_IN_A_STEP = re.compile(
    r"(?<![\w>.])(?:exp|expm1|pow|log|log10|log2|sin|cos|tan|tanh|malloc|calloc|realloc|free"
    r"|printf|fprintf|puts|fopen|fwrite|open|read|write|send|recv|socket|nanosleep|clock_gettime)[fl]?\s*\("
)


@dataclass(frozen=True, slots=True)
class Function:
    """One nogil function as its source declares it."""

    module: str
    name: str  # Class.method for a method
    inline: bool

    @property
    def c_name(self) -> str:
        """a.b, C.f -> __pyx_f_1a_1b_1C_f"""
        *scopes, name = [*self.module.split("."), *self.name.split(".")]
        return "__pyx_f_" + "".join(f"{len(s)}{s}_" for s in scopes) + name


def logical_lines(source: str) -> Iterator[tuple[int, str]]:
    """(indent, line) without strings and comments, each bracket closed on its line."""
    blank = re.sub(r'"""(?:.|\n)*?"""|\'\'\'(?:.|\n)*?\'\'\'', '""', source)
    pending = ""
    for raw in blank.splitlines():
        line = re.sub(r"\"[^\"]*\"|'[^']*'", '""', raw).split("#")[0].rstrip()
        pending = f"{pending} {line.strip()}" if pending else line
        if pending.count("(") + pending.count("[") > pending.count(")") + pending.count("]"):
            continue
        if pending.strip():
            yield len(pending) - len(pending.lstrip()), pending.strip()
        pending = ""


def nogil_functions(module: str, source: str) -> list[Function]:
    """The nogil functions that one .pyx or .pxd declares or defines; what is `extern` is not ours."""
    found: list[Function] = []
    klass: tuple[int, str] | None = None
    extern: int | None = None
    for indent, line in logical_lines(source):
        if extern is not None and indent > extern:
            continue
        extern = indent if line.startswith("cdef extern") else None
        if klass and indent <= klass[0] and not line.startswith("@"):
            klass = None
        if m := re.match(r"(?:cdef|ctypedef)\s+class\s+(\w+)", line):
            klass = (indent, m[1])
        m = re.match(r"(?:cdef|cpdef)\s+(?P<head>[^()=]*?)\b(?P<name>\w+)\s*\((?!\s*\*).*\)(?P<tail>[^()]*)$", line)
        if m and re.search(r"\bnogil\b", m["tail"]):
            name = f"{klass[1]}.{m['name']}" if klass else m["name"]
            found.append(Function(module, name, "inline" in m["head"].split()))
    return found


def bare(c_source: str) -> str:
    """C without comments, strings and characters."""
    return re.sub(r"/\*(?:.|\n)*?\*/|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])+'", " ", c_source)


def c_bodies(c_source: str) -> dict[str, str]:
    """C name -> signature and body of each `__pyx_f_` function defined in a generated file."""
    pattern = r"^static [^;{}=]*?\b(__pyx_f_\w+)\([^;{}]*\)\s*\{\n(?:.*\n)*?\}$"
    return {m[1]: m[0] for m in re.finditer(pattern, bare(c_source), re.MULTILINE)}


def interpreter_names(c_body: str) -> list[str]:
    """What of CPython a piece of C names, sorted; empty is what we want."""
    return sorted(set(INTERPRETER.findall(c_body)) - HARMLESS)


def step_calls(c_body: str) -> list[str]:
    """What a step may not call and this piece of C does."""
    return sorted({m.rstrip("( ") for m in NOT_IN_A_STEP.findall(c_body)})


def verbatim_c(source: str) -> list[str]:
    """The C that a .pyx or .pxd carries in its extern blocks."""
    return re.findall(r'^[ ]*cdef extern from [^\n]*:\n\s*"""((?:.|\n)*?)"""', source, re.MULTILINE)


def module_of(path: Path, root: Path) -> str:
    return ".".join(path.relative_to(root).with_suffix("").parts)
