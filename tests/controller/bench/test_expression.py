"""Arithmetic of procedure files: what it gives, what it refuses and in which words."""

import ast

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from controller.bench.expression import LONGEST, ExpressionError, parse

SYMBOLS = {"V3": 1.02, "a_V": 0.015, "V4": 1.08, "V_H": 1.10, "S": 10000.0, "storage": 1.0, "none": 0.0}
PLACE = "volt_var.yaml:7"
# fmt: off
VALUES = [
    # text                           value    why
    ("V3 + a_V",                     1.035,   "a step of volt-var"),
    ("(V3 + V4) / 2",                1.05,    "brackets"),
    ("-0.44 * S",                    -4400,   "unary minus"),
    ("2 ** 3 ** 2",                  512,     "powers bind to the right, as in mathematics"),
    ("-2 ** 2",                      -4,      "and stronger than the sign"),
    ("7 - 3 - 2",                    2,       "differences to the left"),
    ("max(0.2, none, -1)",           0.2,     "more than two values"),
    ("min(S, 1) + abs(-3)",          4,       "functions"),
    ("+3",                           3,       "unary plus"),
    ("1_000",                        1000,    "Python's digits groups are no harm"),
]
CONDITIONS = [
    ("V4 >= V_H",                    False,   "1.08 is below 1.10"),
    ("V4 < V_H and storage",         True,    "a number but 0 is true"),
    ("not storage or V3 == 1.02",    True,    "or"),
    ("1 < V3 < V4",                  True,    "a chain"),
    ("none != 0",                    False,   "unequal"),
    ("none and 1 / none > 1",        False,   "and stops early"),
]
REFUSED = [
    # text                        part of the line it gives
    ("__import__('os')",          "holds '__import__('os')'"),
    ("S.real",                    "holds 'S.real'"),
    ("S[0]",                      "holds 'S[0]'"),
    ("lambda: 1",                 "holds 'lambda: 1'"),
    ("'text'",                    "holds ''text''"),
    ("True",                      "holds the word True"),
    ("1j",                        "holds '1j'"),
    ("1e999",                     "holds '1e309'"),
    ("S % 3",                     "holds 'S % 3'"),
    ("S if storage else 0",       "holds 'S if storage else 0'"),
    ("min(S)",                    "gives min 1 values"),
    ("abs(1, 2)",                 "gives abs 2 values"),
    ("min(*S)",                   "gives min 1 values"),
    ("pow(2, 3)",                 "holds 'pow(2, 3)'"),
    ("V4 >= V_H",                 "holds 'V4 >= V_H'"),
    ("not storage",               "holds 'not storage'"),
    ("V3 +",                      "is not an expression"),
    ("",                          "is not an expression"),
    ("V3 = 2",                    "is not an expression"),
    ("1 + " * 60 + "1",           "is longer than 200 characters"),
    ("(" * 90 + "1" + ")" * 90,   "1"),
    ("-" * 60 + "1",              "has too many brackets inside brackets"),
]
UNFIT = [
    ("S / none",                  "divides by zero"),
    ("none ** -1",                "divides by zero"),
    ("(-1) ** 0.5",               "is no number that can be written down"),
    ("S ** 999",                  "is no number that can be written down"),
    ("S * V5",                    "unknown symbol V5; known: S, V3, V4, V_H, a_V, none, storage"),
    ("1e308 * 10",                "gives inf, which is not a number to work with"),
    ("1e308 * 10 - 1e308 * 10",   "gives nan, which is not a number to work with"),
]
# fmt: on


@pytest.mark.parametrize(("text", "value", "why"), VALUES, ids=[row[-1] for row in VALUES])
def test_value(text: str, value: float, why: str) -> None:
    assert parse(text, PLACE).value(SYMBOLS) == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize(("text", "value", "why"), CONDITIONS, ids=[row[0] for row in CONDITIONS])
def test_condition(text: str, value: bool, why: str) -> None:
    assert parse(text, PLACE, condition=True).truth(SYMBOLS) is value


@pytest.mark.parametrize(("text", "part"), REFUSED, ids=[row[0][:30] or "nothing" for row in REFUSED])
def test_refused(text: str, part: str) -> None:
    try:
        expression = parse(text, PLACE)
    except ExpressionError as error:
        line = str(error)
    else:  # brackets alone are no depth: ast has none of them left
        assert expression.value({}) == float(part)
        return
    assert line.startswith(f"{PLACE}: '{text[:200]}' {part}; allowed: numbers, names, + - * / **")
    assert "\n" not in line


@pytest.mark.parametrize(("text", "part"), UNFIT)
def test_no_number(text: str, part: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        parse(text, PLACE).value(SYMBOLS)
    assert str(caught.value) == f"{PLACE}: '{text}' {part}"


def test_names_are_what_it_needs_in_order() -> None:
    assert parse("max(V4, V3) + V4 * a_V", PLACE).names == ("V4", "V3", "a_V")


NUMBERS = st.floats(min_value=-1e6, max_value=1e6, allow_nan=False).map(lambda x: round(x, 3))
LEAVES = NUMBERS.map(lambda x: f"({x})") | st.sampled_from(sorted(SYMBOLS))
TREES = st.recursive(
    LEAVES,
    lambda inner: (
        st.tuples(inner, st.sampled_from(["+", "-", "*"]), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})")
        | st.tuples(st.sampled_from(["min", "max"]), inner, inner).map(lambda t: f"{t[0]}({t[1]}, {t[2]})")
    ),
    max_leaves=6,
)


@settings(deadline=None)  # a shared machine
@given(TREES)
def test_agrees_with_python(text: str) -> None:
    expected = eval(text, {"min": min, "max": max}, dict(SYMBOLS))  # made above of these parts alone
    assume(len(text) <= LONGEST)
    assert parse(text, PLACE).value(SYMBOLS) == expected


@settings(deadline=None)
@given(st.text(max_size=60))
def test_any_text_gives_a_number_or_one_line(text: str) -> None:
    said = ""
    try:
        parse(text, PLACE, condition=True).value(SYMBOLS)
    except ExpressionError as error:
        said = str(error)
    assert said == "" or said.startswith(f"{PLACE}: ")


@given(st.sampled_from([ast.Attribute, ast.Subscript, ast.Await, ast.NamedExpr, ast.ListComp, ast.JoinedStr]))
def test_nothing_else_of_python(kind: type[ast.expr]) -> None:
    samples = {
        ast.Attribute: "S.x", ast.Subscript: "S[1]", ast.Await: "(await S)", ast.NamedExpr: "(S := 1)",
        ast.ListComp: "[x for x in S]", ast.JoinedStr: "f'{S}'",
    }  # fmt: skip
    with pytest.raises(ExpressionError):
        parse(samples[kind], PLACE, condition=True)
