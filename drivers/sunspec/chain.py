"""The chain of models in a SunSpec device. Pure: the caller brings the function that reads words.

"SunS" stands at 40000, 0 or 50000; behind it model follows model: ID, length L, L words; ID 0xFFFF ends the chain.
Raises DiscoveryError when what is read is no such chain. Source: SunSpec Device Information Model Specification.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from drivers.base import BusError, DiscoveryError

BASES = (40000, 0, 50000)
MARK = (0x5375, 0x6E53)  # "SunS"
END = 0xFFFF
MAX_MODELS = 100  # known devices have fewer than 40

ReadWords = Callable[[int, int], Sequence[int]]  # (address, count) -> words; raises BusError


class RefusedError(BusError):
    """The device answers with a Modbus exception: it is there, but has nothing at this address."""


@dataclass(frozen=True, slots=True)
class Model:
    """One model of a device. at: the address of its ID; the body is `length` words from at + 2."""

    id: int
    at: int
    length: int


@dataclass(frozen=True, slots=True)
class Chain:
    """All models of a device, in their order; an id may come several times."""

    base: int
    models: tuple[Model, ...]

    def find(self, model_id: int) -> tuple[Model, ...]:
        return tuple(m for m in self.models if m.id == model_id)

    @property
    def ids(self) -> tuple[int, ...]:
        return tuple(m.id for m in self.models)


def walk(read: ReadWords) -> Chain:
    """Find "SunS" and list the models behind it."""
    base = _base(read)
    models: list[Model] = []
    at = base + len(MARK)
    while len(models) < MAX_MODELS:
        if at + 2 > 0x10000:
            raise DiscoveryError(f"SunSpec chain from {base}: runs past address 65535 without its end mark 0xffff")
        model_id, length = _header(read, at, models, base)
        if model_id == END:
            return Chain(base, tuple(models))
        if model_id == 0 or length == 0:
            raise DiscoveryError(
                f"SunSpec chain from {base}: model {model_id} at {at} has length {length}; neither may be 0"
            )
        models.append(Model(model_id, at, length))
        at += 2 + length
    raise DiscoveryError(f"SunSpec chain from {base}: no end mark 0xffff after {MAX_MODELS} models")


def _base(read: ReadWords) -> int:
    seen: list[str] = []
    for base in BASES:
        try:
            words = tuple(read(base, len(MARK)))
        except RefusedError:
            seen.append(f"{base}: refused")
            continue
        if words == MARK:
            return base
        seen.append(f"{base}: {' '.join(f'{w:04x}' for w in words)}")
    raise DiscoveryError(f"not a SunSpec device: no 5375 6e53 ('SunS') at any base ({', '.join(seen)})")


def _header(read: ReadWords, at: int, models: Sequence[Model], base: int) -> tuple[int, int]:
    """ID and L. A refusal here means that the last length led out of the chain."""
    try:
        model_id, length = read(at, 2)
    except RefusedError as error:
        last = f"model {models[-1].id} (length {models[-1].length})" if models else "'SunS'"
        raise DiscoveryError(f"SunSpec chain from {base}: nothing readable at {at}, behind {last}") from error
    return model_id, length


def fetch(read: ReadWords, models: Iterable[Model], max_words: int = 125) -> dict[int, int]:
    """The words of whole models, by address, read in pieces the device accepts."""
    words: dict[int, int] = {}
    for model in models:
        end = model.at + 2 + model.length
        for at in range(model.at, end, max_words):
            count = min(max_words, end - at)
            words.update(zip(range(at, at + count), read(at, count), strict=True))
    return words
