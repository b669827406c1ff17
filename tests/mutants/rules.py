"""The errors: one statement -> every small change of it that still compiles. Pure.

comparison   < <=, > >=, == !=                         sign      + -, a unary minus dropped
constant     c -> 1.01 c and 0, n -> n + 1 and 0, a    min/max   min max, fabs dropped, the ends of a clip exchanged
             named one -> the next number or bit       logic     and or, `not` dropped
index        [i] -> [i - 1] and [i + 1], a field ->    dropped   the whole statement
             the one of the same type with the most similar name
"""

from __future__ import annotations

import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import pairwise

from tests.mutants.source import CLOSE, OPEN, Fields, Statement, Structs, Token

KINDS = ("comparison", "sign", "constant", "min/max", "index", "logic", "dropped")
COMPARISONS = {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "=="}
SIGNS = {"+": "-", "-": "+", "+=": "-=", "-=": "+="}
EXTREMES = {"min": "max", "max": "min", "fmin": "fmax", "fmax": "fmin"}
NOT_NUMBERS = {"NAN", "INFINITY", "NULL", "MUTANT"}
FIXED = {"else", "pass", "break", "continue", "with", "while"}  # statements that are left as they are


@dataclass(frozen=True)
class Edit:
    """text[start:end] becomes new."""

    kind: str
    start: int
    end: int
    new: str

    def applied(self, text: str) -> str:
        return text[: self.start] + self.new + text[self.end :]


def edits(line: Statement, types: Fields, shapes: Structs, arrays: set[str]) -> list[Edit]:
    """Every error of one statement. arrays: what the function indexes by more than [0], which may be a pointer's *p."""
    tokens = mutable(line)
    if line.tokens[0].text == "for":
        return list(shorter(list(line.tokens)))
    found = [*comparison(tokens), *sign(tokens), *constant(tokens, types), *extreme(tokens), *logic(tokens)]
    found += [*index(tokens, line.text, arrays), *neighbour(tokens, types, shapes), *dropped(line)]
    unique = {e.applied(line.text): e for e in reversed(found)}
    return [e for e in reversed(unique.values()) if e.applied(line.text) != line.text]


def mutable(line: Statement) -> list[Token]:
    """The tokens that may change: conditions, right-hand sides, results, arguments."""
    tokens = list(line.tokens)
    first = tokens[0]
    if first.kind == tokenize.STRING or first.text in FIXED:
        return []
    if first.text in ("if", "elif"):
        return tokens[1:-1]
    if first.text == "cdef":
        at = next((i for i, t in enumerate(tokens) if t.text == "="), len(tokens))
        rest = tokens[at + 1 :]
        return [] if any(True for _ in top_level_commas(rest)) else rest
    return tokens[1:] if first.text == "return" else tokens


def shorter(tokens: list[Token]) -> Iterator[Edit]:
    """A loop that leaves out its first or its last turn: one more turn would read memory that is nobody's."""
    at = next((i for i, t in enumerate(tokens) if t.text == "range"), None)
    if at is None:
        return
    inside = tokens[at + 2 : -2]
    ends = [-1, *top_level_commas(inside), len(inside)]
    bounds = [inside[a + 1 : b] for a, b in pairwise(ends)]
    down = len(bounds) == 3 and bounds[2][0].text == "-"
    for i, bound in enumerate(bounds[:2]):
        is_start = len(bounds) > 1 and i == 0
        step = "- 1" if is_start == down else "+ 1"
        yield Edit("constant", bound[0].at, bound[-1].end, f"{spelled(bound)} {step}")


def top_level_commas(tokens: list[Token]) -> Iterator[int]:
    depth = 0
    for i, token in enumerate(tokens):
        depth += (token.text in OPEN) - (token.text in CLOSE)
        if depth == 0 and token.text == ",":
            yield i


def closing(tokens: list[Token], at: int) -> int:
    """Index of the bracket that closes the one at `at`."""
    depth = 0
    for i in range(at, len(tokens)):
        depth += (tokens[i].text in OPEN) - (tokens[i].text in CLOSE)
        if depth == 0:
            return i
    raise ValueError(f"no end of {tokens[at].text} at {tokens[at].at}")


def comparison(tokens: list[Token]) -> Iterator[Edit]:
    cast = False  # between the angle brackets of <double>
    for before, token in pairwise([Token(tokenize.OP, "", 0), *tokens]):
        if token.text == "<" and not before.is_operand:
            cast = True
        elif token.text == ">" and cast:
            cast = False
        elif token.text in COMPARISONS:
            yield Edit("comparison", token.at, token.end, COMPARISONS[token.text])


def sign(tokens: list[Token]) -> Iterator[Edit]:
    for before, token in pairwise([Token(tokenize.OP, "", 0), *tokens]):
        if token.text in SIGNS and (before.is_operand or "=" in token.text):
            yield Edit("sign", token.at, token.end, SIGNS[token.text])
        elif token.text == "-":
            yield Edit("sign", token.at, token.end, "")


def constant(tokens: list[Token], types: Fields) -> Iterator[Edit]:
    depth = 0  # of [ ]: an index has its own rule
    for i, token in enumerate(tokens):
        depth += (token.text == "[") - (token.text == "]")
        if depth == 0 and token.kind == tokenize.NUMBER:
            for new in other_numbers(token.text):
                yield Edit("constant", token.at, token.end, new)
        elif token.kind == tokenize.NAME and token.text.isupper() and token.text not in NOT_NUMBERS:
            if types.get(token.text) == "double":
                yield Edit("constant", token.at, token.end, f"(1.01 * {token.text})")
                continue
            around = [t.text for t in tokens[max(i - 1, 0) : i + 2]]
            step = "<< 1" if {"&", "|", "|="} & set(around) else "+ 1"
            yield Edit("constant", token.at, token.end, f"({token.text} {step})")


def other_numbers(text: str) -> list[str]:
    try:
        n = int(text, 0)
    except ValueError:
        value = float(text)
        return ["1.0"] if value == 0.0 else [repr(1.01 * value), "0.0"]
    return ["1", "0"][n : n + 1] or [f"{n + 1:#x}" if "x" in text else str(n + 1), "0"]  # 2 would be as true as 1


def extreme(tokens: list[Token]) -> Iterator[Edit]:
    for i, (token, after) in enumerate(pairwise(tokens)):
        if after.text != "(":
            continue
        if token.text in EXTREMES:
            yield Edit("min/max", token.at, token.end, EXTREMES[token.text])
        elif token.text == "fabs":
            yield Edit("min/max", token.at, token.end, "")
        elif token.text == "clip":
            yield exchanged_ends(tokens, i + 1)


def exchanged_ends(tokens: list[Token], at: int) -> Edit:
    """clip(x, lo, hi) -> clip(x, hi, lo)"""
    end = closing(tokens, at)
    commas = [at + 1 + i for i in top_level_commas(tokens[at + 1 : end])]
    low, high = tokens[commas[0] + 1 : commas[1]], tokens[commas[1] + 1 : end]
    return Edit("min/max", low[0].at, high[-1].end, f"{spelled(high)}, {spelled(low)}")


def spelled(tokens: list[Token]) -> str:
    text = ""
    for token in tokens:
        text += " " * (token.at - tokens[0].at - len(text)) + token.text
    return text


def logic(tokens: list[Token]) -> Iterator[Edit]:
    for token in tokens:
        if token.text in ("and", "or"):
            yield Edit("logic", token.at, token.end, "or" if token.text == "and" else "and")
        elif token.text == "not":
            yield Edit("logic", token.at, token.end + 1, "")


def subscripts(tokens: list[Token]) -> Iterator[tuple[int, int]]:
    """(index of [, index of ]) of every subscript."""
    for i, (before, token) in enumerate(pairwise(tokens), start=1):
        if token.text == "[" and before.is_operand:
            yield i, closing(tokens, i)


def arrays_of(body: list[Statement]) -> set[str]:
    """Names indexed by something else than 0: an array, not a pointer."""
    tokens = [list(line.tokens) for line in body]
    return {row[i - 1].text for row in tokens for i, end in subscripts(row) if spelled(row[i + 1 : end]) != "0"}


def index(tokens: list[Token], text: str, arrays: set[str]) -> Iterator[Edit]:
    for i, end in subscripts(tokens):
        inside = text[tokens[i].end : tokens[end].at]
        if inside.isdigit():
            new = [str(int(inside) - 1)] if inside != "0" else ["1"] if tokens[i - 1].text in arrays else []
        else:
            new = [f"{inside} - 1", f"{inside} + 1"]
        for other in new:
            yield Edit("index", tokens[i].end, tokens[end].at, other)


def neighbour(tokens: list[Token], types: Fields, shapes: Structs) -> Iterator[Edit]:
    """a.lo -> a.hi: the field of the same type in the same struct whose name is the most similar."""
    for i, (before, token) in enumerate(pairwise(tokens), start=1):
        if before.text != "." or token.kind != tokenize.NAME:
            continue
        fields = shapes.get(type_of(tokens, i - 2, types, shapes) or "", {})
        name = token.text
        others = [f for f, kind in fields.items() if kind == fields.get(name) and f != name]
        if others:
            best = max(others, key=lambda f: SequenceMatcher(None, name, f).ratio())
            yield Edit("index", token.at, token.end, best)


def type_of(tokens: list[Token], i: int, types: Fields, shapes: Structs) -> str | None:
    """Type of the chain of names, dots and subscripts that ends at token i; None when it is not known."""
    if tokens[i].text == "]":
        opened = next(j for j, end in subscripts(tokens) if end == i)
        return (type_of(tokens, opened - 1, types, shapes) or "").partition("[")[0]
    if i > 0 and tokens[i - 1].text == ".":
        return shapes.get(type_of(tokens, i - 2, types, shapes) or "", {}).get(tokens[i].text)
    return types.get(tokens[i].text)


def dropped(line: Statement) -> Iterator[Edit]:
    """An assignment or a call that is not made."""
    first = line.tokens[0]
    if first.kind == tokenize.NAME and first.text not in FIXED | {"if", "elif", "cdef", "return", "for"}:
        yield Edit("dropped", 0, len(line.text), "pass")
