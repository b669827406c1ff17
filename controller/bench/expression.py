"""Arithmetic of procedure files: "V3 + a_V", "max(0.2, P_min)", and for conditions "V4 >= V_H or not storage".

Allowed  numbers, names, + - * / **, unary + and -, min, max, abs, brackets; in conditions also < <= > >= == !=, and,
         or, not. Parsed by ast; nothing else is accepted, nothing is ever executed.
Errors   ExpressionError, one line: place, the text, what is wrong, what is allowed.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

ALLOWED = "allowed: numbers, names, + - * / **, brackets, min(a, b), max(a, b), abs(a)"
ALLOWED_CONDITION = f"{ALLOWED}; < <= > >= == !=, and, or, not"
LONGEST = 200  # characters
DEEPEST = 30  # brackets inside brackets
BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}
UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {ast.UAdd: operator.pos, ast.USub: operator.neg}
COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
FUNCTIONS: dict[str, tuple[Callable[..., float], int, int]] = {  # with the fewest and most arguments
    "min": (min, 2, 9),
    "max": (max, 2, 9),
    "abs": (abs, 1, 1),
}


class ExpressionError(Exception):
    """An expression is wrong: the author of the procedure must act."""


@dataclass(frozen=True, slots=True)
class Expression:
    """One parsed expression. place: `file:line`; condition: it may compare."""

    text: str
    place: str
    tree: ast.expr
    condition: bool

    @property
    def names(self) -> tuple[str, ...]:
        """The symbols it needs, in the order they stand."""
        called = {id(node.func) for node in ast.walk(self.tree) if isinstance(node, ast.Call)}
        found = (n for n in ast.walk(self.tree) if isinstance(n, ast.Name) and id(n) not in called)
        return tuple(dict.fromkeys(n.id for n in sorted(found, key=lambda n: n.col_offset)))

    def value(self, symbols: Mapping[str, float]) -> float:
        """The number; finite, or ExpressionError."""
        try:
            result = float(evaluate(self.tree, symbols))
        except KeyError as error:
            raise self.wrong(f"unknown symbol {error.args[0]}; known: {', '.join(sorted(symbols))}") from None
        except ZeroDivisionError:
            raise self.wrong("divides by zero") from None
        except (OverflowError, TypeError):  # TypeError: a root of a negative number is complex
            raise self.wrong("is no number that can be written down") from None
        if not math.isfinite(result):
            raise self.wrong(f"gives {result}, which is not a number to work with")
        return result

    def truth(self, symbols: Mapping[str, float]) -> bool:
        """Whether the condition holds: any number but 0 is true."""
        return self.value(symbols) != 0.0

    def wrong(self, what: str) -> ExpressionError:
        return ExpressionError(f"{self.place}: '{self.text}' {what}")


def parse(text: str, place: str, condition: bool = False) -> Expression:
    """ExpressionError names what is not allowed."""
    allowed = ALLOWED_CONDITION if condition else ALLOWED
    try:
        if len(text) > LONGEST:
            raise ValueError(f"is longer than {LONGEST} characters")
        tree = ast.parse(text.strip(), mode="eval").body
        check(tree, condition, 0)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        what = str(error) if type(error) is ValueError else "is not an expression"  # Python's own words would not help
        raise ExpressionError(f"{place}: '{text[:LONGEST]}' {what}; {allowed}") from None
    return Expression(text, place, tree, condition)


def check(node: ast.expr, condition: bool, depth: int) -> None:
    """ValueError at the first part that is not in the language."""
    if depth > DEEPEST:
        raise ValueError("has too many brackets inside brackets")
    match node:
        case ast.Constant(value=bool()):
            raise ValueError(f"holds the word {node.value!r}")
        case ast.Constant(value=int() | float() as number) if math.isfinite(number):
            parts: list[ast.expr] = []
        case ast.Name():
            parts = []
        case ast.BinOp(left=left, op=op, right=right) if type(op) in BINARY:
            parts = [left, right]
        case ast.UnaryOp(op=sign, operand=operand) if type(sign) in UNARY or (condition and isinstance(sign, ast.Not)):
            parts = [operand]
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in FUNCTIONS:
            _, fewest, most = FUNCTIONS[name]
            if not fewest <= len(arguments) <= most:
                raise ValueError(f"gives {name} {len(arguments)} values")
            parts = arguments
        case ast.Compare(left=left, ops=ops, comparators=others) if condition and all(type(o) in COMPARE for o in ops):
            parts = [left, *others]
        case ast.BoolOp(values=values) if condition:
            parts = values
        case _:
            raise ValueError(f"holds '{ast.unparse(node)}'")
    for part in parts:
        check(part, condition, depth + 1)


def evaluate(node: ast.expr, symbols: Mapping[str, float]) -> Any:
    """Of a tree that check() has let through; and, or stop early, as in Python."""
    match node:
        case ast.Constant(value=value):
            return float(value)  # type: ignore[arg-type]  # check() let numbers through only
        case ast.Name(id=name):
            return symbols[name]
        case ast.BinOp(left=left, op=op, right=right):
            return BINARY[type(op)](evaluate(left, symbols), evaluate(right, symbols))
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return not evaluate(operand, symbols)
        case ast.UnaryOp(op=sign, operand=operand):
            return UNARY[type(sign)](evaluate(operand, symbols))
        case ast.Call(func=ast.Name(id=name), args=arguments):
            return FUNCTIONS[name][0](*(evaluate(a, symbols) for a in arguments))
        case ast.Compare(left=left, ops=ops, comparators=others):
            values = [evaluate(n, symbols) for n in (left, *others)]
            return all(COMPARE[type(o)](a, b) for o, a, b in zip(ops, values, values[1:], strict=False))
        case ast.BoolOp(op=ast.And(), values=values):
            return all(evaluate(v, symbols) for v in values)
        case ast.BoolOp(values=values):
            return any(evaluate(v, symbols) for v in values)
    raise AssertionError(ast.dump(node))
