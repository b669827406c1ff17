"""Results -> tables, survivors with their reasons, the verdict. Pure but for reading survivors.yaml.

survivors.yaml: a list of {file, function, was, now, nth (when not 1), why}.
Errors   SurvivorError: the file is wrong; the line says which entry and why.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.mutants.generate import Key, Mutant

SURVIVORS = Path(__file__).with_name("survivors.yaml")
LEAST = 0.95  # share of the sample that must be killed
TEXTS = {"file", "function", "was", "now", "why"}
Reasons = dict[Key, str]


class SurvivorError(Exception):
    """survivors.yaml needs its author."""


@dataclass(frozen=True)
class Result:
    """What became of one mutant: killed, timeout or survived, and by which test."""

    mutant: Mutant
    result: str
    by: str
    seconds: float


def explained(text: str) -> Reasons:
    """The survivors that are known, each with its reason."""
    reasons: Reasons = {}
    for i, entry in enumerate(yaml.safe_load(text) or [], start=1):
        keys = set(entry) if isinstance(entry, dict) else set()
        if not TEXTS <= keys <= TEXTS | {"nth"} or not all(isinstance(entry[k], str) and entry[k] for k in TEXTS):
            raise SurvivorError(f"survivors.yaml: entry {i} needs the texts {sorted(TEXTS)} and at most nth besides")
        key = Key(entry["file"], entry["function"], entry["was"], entry["now"], entry.get("nth", 1))
        if key in reasons:
            raise SurvivorError(f"survivors.yaml: entry {i} stands there twice: {key}")
        reasons[key] = " ".join(entry["why"].split())
    return reasons


def unknown(reasons: Reasons, mutants: Sequence[Mutant]) -> list[Key]:
    """Entries that name no mutant of today's code: the line has changed and the reason must be thought of anew."""
    return sorted(set(reasons) - {m.key for m in mutants}, key=str)


def table(title: str, results: Sequence[Result], name: Callable[[Mutant], str]) -> Iterator[str]:
    rows: dict[str, Counter[str]] = defaultdict(Counter)
    for r in results:
        rows[name(r.mutant)][r.result] += 1
        rows["all"][r.result] += 1
    yield f"{title:40s} {'mutants':>8s} {'killed':>8s} {'timeout':>8s} {'survived':>8s}"
    for row in sorted(rows, key=lambda n: (n == "all", n)):
        c = rows[row]
        yield f"{row:40s} {c.total():8d} {c['killed']:8d} {c['timeout']:8d} {c['survived']:8d}"
    yield ""


def report(results: Sequence[Result], reasons: Reasons) -> Iterator[str]:
    """Every line of the report."""
    yield from table("file", results, lambda m: m.key.file)
    yield from table("kind", results, lambda m: m.kind)
    survivors = [r.mutant for r in results if r.result == "survived"]
    if survivors:
        yield "survivors"
    for m in survivors:
        yield f"{m.n:5d} {m.key.file}:{m.line}: {m.key.function}: {m.kind}"
        yield f"      - {m.key.was}"
        yield f"      + {m.key.now}"
        yield f"      {reasons.get(m.key, 'NOT EXPLAINED: write the test that is missing, or the reason')}"
    yield ""
    yield from verdict(results, reasons)


def share(results: Sequence[Result]) -> float:
    return sum(r.result != "survived" for r in results) / max(len(results), 1)


def verdict(results: Sequence[Result], reasons: Reasons) -> Iterator[str]:
    yield f"{share(results):.1%} of {len(results)} mutants killed (at least {LEAST:.0%})"
    for fault in faults(results, reasons):
        yield f"FAULT  {fault}"


def faults(results: Sequence[Result], reasons: Reasons) -> list[str]:
    """Why the run is not good; empty when it is."""
    found = []
    if share(results) < LEAST:
        found.append(f"fewer than {LEAST:.0%} are killed")
    for r in results:
        if r.result == "survived" and r.mutant.key not in reasons:
            found.append(f"survived without a reason in survivors.yaml: {r.mutant.key}")
        if r.result != "survived" and r.mutant.key in reasons:
            found.append(f"listed in survivors.yaml, but {r.by} notices it: {r.mutant.key}")
    return found


def as_data(results: Sequence[Result], reasons: Reasons, stillborn: Sequence[Mutant]) -> Mapping[str, object]:
    """The whole run for a program."""
    return {
        "killed_share": share(results),
        "faults": faults(results, reasons),
        "stillborn": [str(m.key) for m in stillborn],
        "mutants": [one(r, reasons) for r in results],
    }


def one(r: Result, reasons: Reasons) -> Mapping[str, object]:
    k = r.mutant.key
    where = {"n": r.mutant.n, "file": k.file, "line": r.mutant.line, "function": k.function, "kind": r.mutant.kind}
    text = {"was": k.was, "now": k.now, "nth": k.nth}
    return {**where, **text, "result": r.result, "by": r.by, "seconds": r.seconds, "why": reasons.get(k)}
