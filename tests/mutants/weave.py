"""All mutants of one file in one text, each behind `MUTANT == n` on a line of its own: an error names it. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby

from tests.mutants.generate import Mutant

# The number stands in the memory of the process that runs the tests; every module finds it when it is loaded.
SWITCH = '''cdef extern from *:
    """
    #include <stdlib.h>
    static int v2g_original = -1;
    static int *v2g_mutant = &v2g_original;
    __attribute__((constructor)) static void v2g_find_mutant(void) {
        const char *at = getenv("V2G_MUTANT_AT");
        if (at) v2g_mutant = (int *) strtoull(at, NULL, 16);
    }
    """
    int MUTANT "(*v2g_mutant)"
'''
IMPORT = "from cython_core.mutant cimport MUTANT"
CODE = re.compile(r"(from|import|cimport|cdef|def|class) ")

Woven = list[tuple[str, list[int]]]  # lines, each with the numbers of the mutants in it


def weave(text: str, mutants: Sequence[Mutant]) -> Woven:
    """The text of a file and its mutants in order -> lines of the text that holds them all."""
    source = text.splitlines()
    out: Woven = []
    done = 0
    for first, group in groupby(mutants, key=lambda m: m.statement.first):
        here = list(group)
        out += [(line, []) for line in source[done : first - 1]]
        out += statement(here)
        done = here[0].statement.last
    out += [(line, []) for line in source[done:]]
    at = next((i for i, (line, _) in enumerate(out) if CODE.match(line)), len(out))
    return [*out[:at], (IMPORT, []), *out[at:]] if mutants else out


def statement(mutants: list[Mutant]) -> Woven:
    line = mutants[0].statement
    first = line.tokens[0].text
    if first in ("if", "elif"):
        return condition(mutants, first)
    if first == "for":
        return loop(mutants)
    if first == "cdef":
        return declaration(mutants)
    return alternatives(line.indent, [(m.n, m.key.now) for m in mutants], line.text)


def alternatives(indent: str, mutated: list[tuple[int, str]], was: str) -> Woven:
    words = ["if", *["elif"] * len(mutated)]
    lines = [(f"{indent}{word} MUTANT == {n}: {now}", [n]) for word, (n, now) in zip(words, mutated, strict=False)]
    return [*lines, (f"{indent}else: {was}", [])]


def declaration(mutants: list[Mutant]) -> Woven:
    """cdef double x = a  ->  cdef double x, then x = a in its alternatives"""
    line = mutants[0].statement
    declared = line.text.partition("=")[0].rstrip()
    skipped = declared.rindex(declared.replace("*", " ").split()[-1])
    return [
        (line.indent + declared, []),
        *alternatives(line.indent, [(m.n, m.key.now[skipped:]) for m in mutants], line.text[skipped:]),
    ]


def condition(mutants: list[Mutant], word: str) -> Woven:
    """if a  ->  if not (not b if MUTANT == 3 else not a): `not` makes one C type of what `and` and `&` give"""
    line = mutants[0].statement
    deeper = line.indent + " " * 8
    body = slice(len(word) + 1, -1)
    choices = [(f"{deeper}(not ({m.key.now[body]})) if MUTANT == {m.n} else", [m.n]) for m in mutants]
    return [(f"{line.indent}{word} not (", []), *choices, (f"{deeper}(not ({line.text[body]}))):", [])]


def loop(mutants: list[Mutant]) -> Woven:
    """for i in range(7, 0, -1)  ->  range((8 if MUTANT == 3 else 7), 0, -1)"""
    line = mutants[0].statement
    text = line.text
    for (start, end), group in reversed([(k, list(g)) for k, g in groupby(mutants, key=lambda m: place(m))]):
        choices = "".join(f"{m.edit.new} if MUTANT == {m.n} else " for m in group)
        text = f"{text[:start]}({choices}{text[start:end]}){text[end:]}"
    return [(line.indent + text, [m.n for m in mutants])]


def place(mutant: Mutant) -> tuple[int, int]:
    return mutant.edit.start, mutant.edit.end
