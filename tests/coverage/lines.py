"""Which lines must run, and which did. Pure: text in, sets of line numbers out.

statements(source)   the lines of a .pyx or .pxd on which a statement of a function begins: what a reader calls code.
traceable(c_source)  file -> the lines for which Cython wrote a trace call into one generated C file.
required(...)        the statements that must run. One without a trace call counts too: an inline function that nobody
                     calls leaves nothing in the C, and must not vanish from the count. The exception is an `elif`: of
                     a chain over one whole number Cython makes a C switch, and only what stands below a label reports.
"""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

FILES = re.compile(r"^static const char\* const __pyx_f\[\] = \{\n((?:.*\n)*?)\};", re.MULTILINE)
TRACE = re.compile(r"__Pyx_TraceLine\((\d+),\d+,[01],__PYX_ERR\((\d+), ")
FUNCTION, CLASS, OTHER = "function", "class", "other"
# these lines carry no code of their own; a declaration does only when it gives a value
BARE = re.compile(r"(?:else|try|finally|with nogil)\s*:|pass$|global\b|@")
DECLARATION = re.compile(r"cdef\b[^=]*$")
LAYOUT = {tokenize.INDENT, tokenize.DEDENT, tokenize.COMMENT, tokenize.NL, tokenize.ENDMARKER}


@dataclass(frozen=True, slots=True)
class Line:
    """One logical line: where it begins, how deep, its text without comments and strings."""

    number: int
    depth: int
    text: str
    is_string: bool


def logical_lines(source: str) -> Iterator[Line]:
    """Cython reads like Python to the tokenizer; brackets, strings and comments are its business."""
    depth, parts = 0, list[tokenize.TokenInfo]()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        depth += (token.type == tokenize.INDENT) - (token.type == tokenize.DEDENT)
        if token.type == tokenize.NEWLINE:
            text = " ".join('""' if t.type == tokenize.STRING else t.string for t in parts)
            yield Line(parts[0].start[0], depth, text, all(t.type == tokenize.STRING for t in parts))
            parts = []
        elif token.type not in LAYOUT:
            parts.append(token)


def kind_of_block(text: str) -> str:
    if re.match(r"(?:def|cdef|cpdef)\b.*\(.*\).*:$", text):
        return FUNCTION
    return CLASS if re.match(r"(?:cdef )?class\b", text) else OTHER


def statements(source: str, above: str = "") -> set[int]:
    """Lines on which a statement inside a function begins; above: stop at the line that begins with this text."""
    found: set[int] = set()
    blocks: list[tuple[int, str]] = []  # depth and kind of what encloses the line
    for line in logical_lines(source):
        if above and line.text.startswith(above):
            break
        while blocks and blocks[-1][0] >= line.depth:
            blocks.pop()
        inside = any(kind == FUNCTION for _, kind in blocks)
        if line.text.endswith(":"):
            blocks.append((line.depth, kind_of_block(line.text)))
        if inside and not (line.is_string or BARE.match(line.text) or DECLARATION.match(line.text)):
            found.add(line.number)
    return found


def traceable(c_source: str) -> dict[str, set[int]]:
    """Source file as Cython names it -> lines with a trace call in this C file."""
    block = FILES.search(c_source)
    names = re.findall(r'"([^"]*)"', block[1]) if block else []
    found: dict[str, set[int]] = {}
    for line, file in TRACE.findall(c_source):
        found.setdefault(names[int(file)], set()).add(int(line))
    return found


@dataclass(frozen=True, slots=True)
class FileCoverage:
    """One file of the step: its statements, and those that did not run with the reason."""

    name: str
    statements: int
    missed: dict[int, str]  # line -> its text
    untraced: frozenset[int]  # those of them that left no code at all

    @property
    def percent(self) -> float:
        return 100.0 * (1.0 - len(self.missed) / self.statements) if self.statements else 100.0


def required(source: str, traced: set[int], above: str = "") -> set[int]:
    """Lines of a source that must run, given those with a trace call."""
    text = source.splitlines()
    return {n for n in statements(source, above) if n in traced or not text[n - 1].lstrip().startswith("elif ")}


def judge(name: str, source: str, traced: set[int], ran: set[int], above: str = "") -> FileCoverage:
    """Compare what should run with what did. Lines that were traced outside of functions (imports) are not counted."""
    wanted = required(source, traced, above)
    text = source.splitlines()
    missed = {n: text[n - 1].strip() for n in sorted(wanted - ran)}
    return FileCoverage(name, len(wanted), missed, frozenset(wanted - traced))


def report(files: Iterable[FileCoverage]) -> list[str]:
    """The table, then every missed line with its text."""
    files = list(files)
    rows = [f"{'file':<44} {'lines':>6} {'missed':>7} {'covered':>8}"]
    rows += [f"{f.name:<44} {f.statements:6d} {len(f.missed):7d} {f.percent:7.1f}%" for f in files]
    total, gone = sum(f.statements for f in files), sum(len(f.missed) for f in files)
    rows.append(f"{'all':<44} {total:6d} {gone:7d} {100.0 * (total - gone) / max(total, 1):7.1f}%")
    for f in files:
        for number, text in f.missed.items():
            why = "  (no code was generated: nobody calls this function)" if number in f.untraced else ""
            rows.append(f"{f.name}:{number}: {text}{why}")
    return rows
