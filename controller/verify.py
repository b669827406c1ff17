"""Verify: does a site's record hold? Its chain link by link, and the journal's bytes against their digests.

Shapes   Verdict.breaks: one line each, the first is where the chain breaks; holds: up to where it is whole.
Errors   none raised for what is wrong with a record; OSError of the disk.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from controller.chain import NAME, ChainError, Line, older, read_chain
from controller.seal import JOURNAL, digest


@dataclass
class Verdict:
    """newest: the last line that holds. anchored: the hash that was given is among them; None: none was given."""

    lines: int = 0
    oldest: Line | None = None
    newest: Line | None = None
    breaks: list[str] = field(default_factory=list)
    sealed_bytes: int = 0
    unsealed_bytes: int = 0
    removed: list[int] = field(default_factory=list)  # files of the journal that its size limit has removed
    anchored: bool | None = None

    @property
    def holds(self) -> str:
        """For people."""
        if self.newest is None:
            return "holds nowhere"
        return f"holds up to n = {self.newest.n}, {utc(self.newest.t_ms)}, hash {self.newest.hash}"


@dataclass(frozen=True, slots=True)
class Part:
    """A sealed part of one file of the journal."""

    line: Line
    begin: int
    end: int
    sha256: str


def verify_record(state_dir: Path, anchor: str | None = None) -> Verdict:
    """anchor: a hash that was kept elsewhere."""
    verdict = Verdict(anchored=None if anchor is None else False)
    parts: dict[int, list[Part]] = defaultdict(list)
    for line in follow(state_dir / NAME, verdict):
        if line.hash == anchor:
            verdict.anchored = True
        if line.kind == "journal":
            body = line.body
            parts[body["file"]].append(Part(line, body["from"], body["to"], body["sha256"]))
    check_journal(state_dir, parts, verdict)
    if verdict.anchored is False:
        verdict.breaks.append(
            f"no line has the hash {anchor}: this is not the record it was taken from, or lines are gone"
        )
    return verdict


def follow(path: Path, verdict: Verdict) -> Iterator[Line]:
    """Every line up to the first break."""
    files = [one for one in (older(path), path) if one.exists()]
    if not files:
        verdict.breaks.append(f"{path}: there is no record")
    try:
        for file in files:
            for line in read_chain(file, verdict.newest):
                verdict.lines += 1
                verdict.oldest = verdict.oldest or line
                verdict.newest = line
                if line.kind == "damaged":
                    verdict.breaks.append(
                        f"{file}: n = {line.n}: found damaged when the program began: {line.body['text']}"
                    )
                yield line
    except ChainError as error:
        verdict.breaks.append(str(error))


def check_journal(state_dir: Path, parts: dict[int, list[Part]], verdict: Verdict) -> None:
    """Newest file first: each number's parts are in the file of its place, or all of them in one that was set aside."""
    journal = state_dir / JOURNAL
    places = [journal, older(journal)]
    others = sorted(set(state_dir.glob("journal*v2gj*")) - set(places))
    if not parts:
        return
    newest = max(parts)
    if first_break(journal, parts[newest]) and not first_break(older(journal), parts[newest]):
        places = places[1:]  # a new file has been begun since, and nothing of it is sealed yet
    for number in sorted(parts, reverse=True):
        place = places[newest - number] if newest - number < len(places) else None
        broken = [first_break(file, parts[number]) for file in ([place] if place else []) + others]
        if "" in broken:
            verdict.sealed_bytes += parts[number][-1].end
        elif place is not None:
            verdict.breaks.append(f"{place}: {broken[0]}")
        else:
            verdict.removed.append(number)
    sizes = [file.stat().st_size for file in {journal, places[0]} if file.exists()]
    verdict.unsealed_bytes = max(0, sum(sizes) - parts[newest][-1].end)


def first_break(file: Path, parts: list[Part]) -> str:
    """Empty: all parts are as they were sealed."""
    if not file.exists():
        return f"is not there, and n = {parts[0].line.n} of the record has sealed it"
    with file.open("rb", buffering=0) as opened:
        for part in parts:
            if digest(opened, part.begin, part.end) != part.sha256:
                sealed = f"sealed at {utc(part.line.t_ms)} by n = {part.line.n} of the record"
                return f"bytes {part.begin} ... {part.end} are not as they were {sealed}"
    return ""


def utc(t_ms: int) -> str:
    """To the second."""
    return datetime.fromtimestamp(t_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
