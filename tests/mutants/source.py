"""Cython text -> the statements a step executes, each as one line with its tokens. Pure; nothing of the core is known.

A function belongs to the step when it stands at the left margin and ends with `noexcept nogil:`: what needs the
interpreter (loading settings, classes for tests) cannot be called by a step.
"""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass, field

FUNCTION = re.compile(r"cdef (?:inline )?[\w *]*?(\w+)\((.*)\) noexcept nogil:$")
STRUCT = re.compile(r"cdef struct (\w+):$")
DECLARED = re.compile(r"(?:const )?(\w+(?:\[\w+\])?)\s*\**\s*(\w+)(\[\w+\])?")
SKIPPED = {tokenize.COMMENT, tokenize.NL, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
OPEN, CLOSE = "([{", ")]}"

Fields = dict[str, str]  # name -> type, "double" or "double[16]"
Structs = dict[str, Fields]


@dataclass(frozen=True)
class Token:
    """One token and its place in the text of its statement."""

    kind: int
    text: str
    at: int

    @property
    def end(self) -> int:
        return self.at + len(self.text)

    @property
    def is_operand(self) -> bool:
        """Something a binary operator may follow."""
        word = self.kind == tokenize.NAME and self.text not in ("and", "or", "not", "if", "else", "return", "in")
        return word or self.kind == tokenize.NUMBER or self.text in (")", "]")


@dataclass(frozen=True)
class Statement:
    """One logical line: continuation lines joined, comments gone."""

    indent: str
    first: int  # lines of the file, counted from 1
    last: int
    text: str
    tokens: tuple[Token, ...]


@dataclass
class Function:
    """One function of the step: its statements and the type of every name declared in it."""

    name: str
    body: list[Statement] = field(default_factory=list)
    types: Fields = field(default_factory=dict)


def logical_lines(text: str) -> Iterator[Statement]:
    """Every logical line of a file."""
    found: list[tokenize.TokenInfo] = []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.NEWLINE and found:
            yield joined(found)
            found = []
        elif token.type not in SKIPPED:
            found.append(token)


def joined(found: list[tokenize.TokenInfo]) -> Statement:
    text = ""
    tokens = []
    row, column = found[0].start
    for token in found:
        same_row = token.start[0] == row
        gap = " " * (token.start[1] - column) if same_row else "" if text[-1] in OPEN else " "
        text += gap + token.string
        tokens.append(Token(token.type, token.string, len(text) - len(token.string)))
        row, column = token.end
    return Statement(" " * found[0].start[1], found[0].start[0], row, text, tuple(tokens))


def functions(text: str) -> list[Function]:
    """The functions of a step in one file, in order."""
    found: list[Function] = []
    module: Fields = {}
    inside = False
    for line in logical_lines(text):
        if not line.indent:
            match = FUNCTION.match(line.text)
            inside = match is not None
            if line.text.startswith("cdef double "):
                module |= local_types(line.text)
            if match:
                found.append(Function(match[1], types=module | dict(declarations(match[2].split(",")))))
        elif inside:
            found[-1].body.append(line)
            if line.tokens[0].text == "cdef":
                found[-1].types.update(local_types(line.text))
    return found


def declarations(parts: list[str]) -> Iterator[tuple[str, str]]:
    """'const span_t* span' -> ('span', 'span_t')"""
    for part in parts:
        match = DECLARED.match(part.strip())
        if match:
            yield match[2], match[1] + (match[3] or "")


def local_types(text: str) -> Fields:
    """'cdef span_t a, b' -> both; 'cdef double x = y' -> x"""
    declared = text.removeprefix("cdef ").partition("=")[0]
    first, *more = declared.split(",")
    types = dict(declarations([first]))
    return types | {name.strip(" *"): kind for kind in list(types.values()) for name in more}


def structs(text: str) -> Structs:
    """Every C struct declared in one file: field -> type."""
    found: Structs = {}
    fields: Fields | None = None
    for line in logical_lines(text):
        if not line.indent:
            match = STRUCT.match(line.text)
            fields = found.setdefault(match[1], {}) if match else None
        elif fields is not None:
            fields.update(declarations([line.text]))
    return found
