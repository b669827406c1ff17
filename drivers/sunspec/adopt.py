"""Points into an inverter: written and read back; a set of a curve model through a free set and its adoption.

A curve model (705 ... 712) has numbered sets. Set 1 is in force and cannot be written: a free one is filled, read back,
asked for by its number (AdptCrvReq), and the device answers 0 in progress, 1 completed, 2 failed (AdptCrvRslt). Some
devices say "completed" of the request before; so the wait ends only when set 1 shows the new points.
Raises   AdoptionError, one line: what was not taken over and what is in force now. BusError: no answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from drivers.base import DriverError
from drivers.sunspec.chain import fetch
from drivers.sunspec.points import Table

FAILED = 2
READ_ONLY = ("ReadOnly", "VRefAuto")
MAX_WRITE_WORDS = 123  # of one request
LOOK_S = 0.2


class AdoptionError(DriverError):
    """The inverter did not take points over: its installer or vendor must act."""


class Port(Protocol):
    """One unit on a wire. Raises BusError."""

    def read(self, address: int, count: int) -> Sequence[int]: ...
    def write(self, address: int, words: Sequence[int]) -> None: ...


def word_of(model: int) -> str:
    """Droop has sets of controls, all others sets of curves."""
    return "Ctl" if model == 711 else "Crv"


def reread(port: Port, table: Table) -> Table:
    """The model as it is now."""
    return Table(table.model, fetch(port.read, [table.model]))


def inside(table: Table, i: int) -> list[str]:
    """The paths of set i (from 0), without the set's own name."""
    prefix = f"{word_of(table.model.id)}.{i}."
    return [path.removeprefix(prefix) for path in table.places if path.startswith(prefix)]


def free_set(table: Table) -> int:
    """The first set that can be written and is not the one to revert to."""
    model, word = table.model.id, word_of(table.model.id)
    number = "NCrvSet" if "NCrvSet" in table.places else f"N{word}"
    revert = table.number(f"Rvrt{word}")
    for i in range(1, table.count(number)):
        if table.number(f"{word}.{i}.ReadOnly") == 0 and i + 1 != revert:
            return i
    raise AdoptionError(f"model {model}: none of its {table.count(number)} sets can be written ({word}.ReadOnly)")


def write_points(port: Port, table: Table, values: Mapping[str, int]) -> None:
    """Neighbours in one request, and no point in two."""
    address, words = 0, list[int]()
    for path in sorted(values, key=lambda p: table.places[p].at):
        more = table.words_of(path, values[path])
        if words and (address + len(words) != table.address(path) or len(words) + len(more) > MAX_WRITE_WORDS):
            port.write(address, words)
            words = []
        if not words:
            address = table.address(path)
        words = words + more
    if words:
        port.write(address, words)


def set_points(port: Port, table: Table, values: Mapping[str, int]) -> Table:
    """Write points, read the model again: they must stand there."""
    write_points(port, table, values)
    now = reread(port, table)
    for path, value in values.items():
        if now.raw(path) != value:
            raise AdoptionError(f"model {table.model.id}: {path} reads {now.raw(path)} after {value} was written")
    return now


def adopt(
    port: Port,
    table: Table,
    points: Mapping[str, int],
    limit_s: float,
    now: Callable[[], float],
    sleep: Callable[[float], None],
) -> Table:
    """Bring these points of a set into force; what they do not name stays as it is in set 1. Returns the model then."""
    model, word, i = table.model.id, word_of(table.model.id), free_set(table)
    before = {path: table.number(f"{word}.0.{path}") for path in inside(table, 0)}
    kept = {p: n for p, n in before.items() if n is not None and p.rpartition(".")[2] not in READ_ONLY}
    wanted = kept | dict(points)
    set_points(port, table, {f"{word}.{i}.{path}": value for path, value in wanted.items()})
    port.write(table.address(f"Adpt{word}Req"), [i + 1])
    result, end = f"Adpt{word}Rslt", now() + limit_s
    while True:
        latest = reread(port, table)
        in_force = {path: latest.number(f"{word}.0.{path}") for path in inside(latest, 0)}
        if all(in_force.get(path) == value for path, value in wanted.items()):
            return latest
        failed = latest.number(result) == FAILED
        if failed or now() > end:
            what = f"it refuses set {i + 1} ({result} = {FAILED})" if failed else f"no adoption within {limit_s:g} s"
            same = all(in_force[p] == before[p] for p in kept)
            state = "the points before are still in force" if same else "AND OTHER POINTS THAN BEFORE ARE IN FORCE"
            raise AdoptionError(f"model {model}: {what}; {state}")
        sleep(LOOK_S)
