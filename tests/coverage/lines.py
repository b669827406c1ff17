"""Which lines must run, and which did. Pure: text in, sets of line numbers out.

statements(source)   the lines of a .pyx or .pxd on which a statement of a function begins: what a reader calls code.
ran(c_source, counts)  file -> line -> whether it ran, from one generated C file and its counts: Cython writes a comment
                     with file and line before the C of each statement.
required(...)        the statements that must run. One without C of its own counts too: an inline function that nobody
                     calls leaves nothing in the C, and must not vanish from the count. The exception is an `elif`: of
                     a chain over one whole number Cython makes a C switch, and only what stands below a label counts.
"""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

STATEMENT = re.compile(r'\s*/\* "([^"]+)":(\d+)$')
EPILOGUE = "/* function exit code */"  # what every way out of a function runs belongs to no statement
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


def ran(c_source: str, counts: Mapping[int, int]) -> dict[str, dict[int, bool]]:
    """Source file as Cython names it -> each line with C of its own -> whether any of that ran."""
    found: dict[str, dict[int, bool]] = {}
    at: tuple[str, int] | None = None
    for number, text in enumerate(c_source.splitlines(), 1):
        if statement := STATEMENT.match(text):
            at = statement[1], int(statement[2])
        elif EPILOGUE in text:
            at = None
        elif at and number in counts:
            lines = found.setdefault(at[0], {})
            lines[at[1]] = lines.get(at[1], False) or counts[number] > 0
    return found


@dataclass(frozen=True, slots=True)
class FileCoverage:
    """One file of the step: its statements, and those that did not run with the reason."""

    name: str
    statements: int
    missed: dict[int, str]  # line -> its text
    codeless: frozenset[int]  # those of them that left no C at all

    @property
    def percent(self) -> float:
        return 100.0 * (1.0 - len(self.missed) / self.statements) if self.statements else 100.0


def required(source: str, coded: set[int], above: str = "") -> set[int]:
    """Lines of a source that must run, given those with C of their own."""
    text = source.splitlines()
    return {n for n in statements(source, above) if n in coded or not text[n - 1].lstrip().startswith("elif ")}


def judge(name: str, source: str, coded: set[int], done: set[int], above: str = "") -> FileCoverage:
    """Compare what should run with what did. Lines outside of functions (imports) are not counted."""
    wanted = required(source, coded, above)
    text = source.splitlines()
    missed = {n: text[n - 1].strip() for n in sorted(wanted - done)}
    return FileCoverage(name, len(wanted), missed, frozenset(wanted - coded))


def report(files: Iterable[FileCoverage]) -> list[str]:
    """The table, then every missed line with its text."""
    files = list(files)
    rows = [f"{'file':<44} {'lines':>6} {'missed':>7} {'covered':>8}"]
    rows += [f"{f.name:<44} {f.statements:6d} {len(f.missed):7d} {f.percent:7.1f}%" for f in files]
    total, gone = sum(f.statements for f in files), sum(len(f.missed) for f in files)
    rows.append(f"{'all':<44} {total:6d} {gone:7d} {100.0 * (total - gone) / max(total, 1):7.1f}%")
    for f in files:
        for number, text in f.missed.items():
            why = "  (no code was generated: nobody calls this function)" if number in f.codeless else ""
            rows.append(f"{f.name}:{number}: {text}{why}")
    return rows
