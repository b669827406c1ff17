"""The sources of a step -> all mutants, in a fixed order, and a seeded sample spread over files and kinds. Pure."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tests.mutants.rules import Edit, arrays_of, edits
from tests.mutants.source import Function, Statement, Structs, functions, structs


@dataclass(frozen=True)
class Key:
    """What a mutant is, whatever moves around it. nth: the same statement may stand in one function twice."""

    file: str
    function: str
    was: str
    now: str
    nth: int = 1

    def __str__(self) -> str:
        again = f" (the {self.nth}. of its kind)" if self.nth > 1 else ""
        return f"{self.file}: {self.function}: {self.was}  ->  {self.now}{again}"


@dataclass(frozen=True)
class Mutant:
    """One error. n: its number in this build; line: where it stands today."""

    n: int
    key: Key
    kind: str
    line: int
    edit: Edit
    statement: Statement


def generate(sources: Mapping[str, str]) -> list[Mutant]:
    """{path: text} of all .pyx and .pxd -> every mutant, numbered from 0."""
    shapes: Structs = {}
    for text in sources.values():
        shapes |= structs(text)
    found = [m for path in sorted(sources) for f in functions(sources[path]) for m in of_function(path, f, shapes)]
    return [Mutant(n, *rest) for n, rest in enumerate(found)]


def of_function(path: str, function: Function, shapes: Structs) -> Iterator[tuple[Key, str, int, Edit, Statement]]:
    arrays = arrays_of(function.body)
    seen: Counter[str] = Counter()
    for line in function.body:
        seen[line.text] += 1
        for edit in edits(line, function.types, shapes, arrays):
            key = Key(path, function.name, line.text, edit.applied(line.text), seen[line.text])
            yield key, edit.kind, line.first, edit, line


def sample(mutants: Sequence[Mutant], count: int, seed: int) -> list[Mutant]:
    """So many of them, one from every (file, kind) in turn; a change in one file does not reshuffle the others."""
    groups: dict[tuple[str, str], list[Mutant]] = defaultdict(list)
    for m in mutants:
        groups[m.key.file, m.kind].append(m)
    for name, group in groups.items():
        random.Random(f"{seed} {name}").shuffle(group)
    chosen: list[Mutant] = []
    while len(chosen) < min(count, len(mutants)):
        chosen += [groups[name].pop() for name in sorted(groups) if groups[name]]
    return sorted(chosen[:count], key=lambda m: m.n)
