"""A SunSpec model with all its points, as a device serves it. Pure.

Table    the points of one model by path, Crv.0.Pt.1.V for the second point of the first curve: raw integers, text, or
         None where the device leaves a point out. tree() is the shape of pysunspec2's JSON.
Raises   DiscoveryError when a model's length is not that of its points.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from drivers.base import DiscoveryError
from drivers.sunspec.chain import Chain, Model, ReadWords, fetch, walk
from drivers.sunspec.device import ABSENT
from drivers.sunspec.models import MODELS, Group
from drivers.tables import TYPES

MAX_SETS = 100  # a count that is not implemented or absurd is taken for 0
SIGNED = {"s16": 16, "s32": 32, "s64": 64}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a point stands: words from the model's ID. factor: the point with its power of ten, "" without."""

    at: int
    type: str
    factor: str

    @property
    def words(self) -> int:
        return int(self.type[3:]) if self.type.startswith("str") else TYPES[self.type]


class Table:
    """One model's points. words: {address: word} of at least this model."""

    def __init__(self, model: Model, words: Mapping[int, int]) -> None:
        self.model = model
        self._words = words
        self.places = {"ID": Place(0, "u16", ""), "L": Place(1, "u16", "")}
        end = 2
        for path, place in self._layout(MODELS[model.id], "", 2):
            self.places[path] = place
            end = place.at + place.words
        if end - 2 != model.length:
            raise DiscoveryError(
                f"model {model.id} at {model.at} has length {model.length}; its points and the groups it counts have "
                f"{end - 2} words"
            )

    def _layout(self, group: Group, prefix: str, at: int) -> Iterator[tuple[str, Place]]:
        for text in group.points.split():
            name, kind, factor = [*text.split(":"), ""][:3]
            place = Place(at, kind, factor)
            yield prefix + name, place
            at += place.words
        for inner in group.groups:
            names = [f"{inner.name}.{i}" for i in range(self.count(inner.count))] if inner.count else [inner.name]
            for name in names:
                for path, place in self._layout(inner, f"{prefix}{name}.", at):
                    yield path, place
                    at = place.at + place.words

    def count(self, point: str) -> int:
        """How often a group repeats."""
        n = self.raw(point)
        return n if isinstance(n, int) and n <= MAX_SETS else 0

    def address(self, path: str) -> int:
        return self.model.at + self.places[path].at

    def raw(self, path: str) -> int | str | None:
        """The integer or text of a point; None: not implemented, or no such point."""
        place = self.places.get(path)
        if place is None or any(self.address(path) + i not in self._words for i in range(place.words)):
            return None
        words = [self._words[self.address(path) + i] for i in range(place.words)]
        if place.type.startswith("str"):
            text = b"".join(w.to_bytes(2, "big") for w in words).rstrip(b"\0").decode("ascii", "replace")
            return text or None
        raw = 0
        for word in words:
            raw = raw << 16 | word
        if raw == ABSENT[place.type]:
            return None
        bits = SIGNED.get(place.type, 0)
        return raw - (1 << bits) if bits and raw >> bits - 1 else raw

    def number(self, path: str) -> int | None:
        """The integer of a point that is none but a number."""
        raw = self.raw(path)
        return raw if isinstance(raw, int) else None

    def words_of(self, path: str, value: int) -> list[int]:
        """An integer as the words of this point."""
        count = self.places[path].words
        raw = value & (1 << 16 * count) - 1
        return [raw >> 16 * i & 0xFFFF for i in reversed(range(count))]

    def tree(self) -> dict[str, Any]:
        """{"ID": 705, ..., "Crv": [{"ActPt": 4, ..., "Pt": [{"V": 9200, "Var": 4400}, ...]}]}"""
        top: dict[str, Any] = {}
        for path in self.places:
            node: Any = top
            *way, last = path.split(".")
            for step, following in zip(way, path.split(".")[1:], strict=True):
                empty: Any = [] if following.isdigit() else {}
                if isinstance(node, list):
                    if int(step) == len(node):
                        node.append(empty)
                    node = node[int(step)]
                else:
                    node = node.setdefault(step, empty)
            node[last] = self.raw(path)
        return top


def tables(chain: Chain, words: Mapping[int, int]) -> dict[int, Table]:
    """The first of each model that we know, by its number."""
    found: dict[int, Table] = {}
    for model in chain.models:
        if model.id in MODELS and model.id not in found:
            found[model.id] = Table(model, words)
    return found


def read_tables(read: ReadWords, wanted: Iterable[int] = tuple(MODELS), max_words: int = 125) -> dict[int, Table]:
    """Walk a device and read these models whole."""
    chain = walk(read)
    models = [m for m in chain.models if m.id in set(wanted)]
    return tables(Chain(chain.base, tuple(models)), fetch(read, models, max_words))
