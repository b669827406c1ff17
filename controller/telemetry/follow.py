"""Follow: the ring's records in order, across restarts of the core and of ourselves."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from cython_core import bulk

log = logging.getLogger(__name__)

MOST = 4096  # records a read
READS = 32  # a turn: more than a full ring at 100 steps a second, less than a second's work


class Reader(Protocol):
    """cython_core.realtime.ring.RingReader, as far as it is used here."""

    info: dict[str, Any]
    epoch: int
    next_n: int

    def read(self, most: int = ...) -> tuple[bytes, int]:
        """Raw records, and how many were lost before them."""
        ...

    def snapshot(self) -> tuple[int, bytes] | None:
        """The core's state before some step."""
        ...

    def replaced(self) -> bool:
        """A restarted core has put a new ring there."""
        ...


class Journal(Protocol):
    """controller.journal.JournalWriter, as far as it is used here."""

    def begin(self, info: dict[str, Any]) -> None:
        """A run begins, unless it is the one this journal already writes."""

    def resume_n(self, epoch: int) -> int | None:
        """The first step of this epoch that is not yet safely in the file; None: the epoch is new there."""
        ...

    def append(self, raw: bytes, snapshot: tuple[int, bytes] | None = None) -> None:
        """Keep records as the ring gives them; steps that are there already are ignored."""

    def close(self) -> None:
        """Write what is still in memory."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Records of one epoch, raw and as rows (what is lost shows as a hole in n). snapshot: the core's state."""

    raw: bytes
    records: NDArray[Any]
    snapshot: tuple[int, bytes] | None


class RingFollower:
    """open_reader: RingReader. Which step to begin with is asked for whenever a ring is opened."""

    def __init__(self, path: Path, open_reader: Callable[[Path], Reader]) -> None:
        self.path, self.open_reader = path, open_reader
        self.reader: Reader | None = None
        self._said = ""

    def open(self, start_n: Callable[[dict[str, Any]], int]) -> None:
        """Sets `reader` when there is a ring to read."""
        try:
            reader = self.open_reader(self.path)
        except FileNotFoundError:
            self._say("V2G-RING-ABSENT", "no ring yet; waiting for the controller")
        except (OSError, ValueError) as error:
            self._say("V2G-RING-REFUSED", str(error))
        else:
            reader.next_n = start_n(reader.info)
            self.reader = reader
            self._say("V2G-RING-OPEN", f"epoch {reader.epoch}, from step {reader.next_n}")

    def chunks(self) -> Iterator[Chunk]:
        """What is new. Afterwards `reader` is None when the ring has been replaced and this one is read to its end."""
        if self.reader is None:
            return
        replaced = self.reader.replaced()  # asked first: a replaced ring gets no further records
        for _ in range(READS):
            raw, _ = self.reader.read(MOST)
            if raw:
                yield Chunk(raw, bulk.from_bytes(raw), self.reader.snapshot())
            elif replaced:
                self.reader = None
                return
            else:
                return

    def _say(self, code: str, text: str) -> None:
        if code != self._said:
            log.log(logging.INFO if code == "V2G-RING-OPEN" else logging.WARNING, "%s %s: %s", code, self.path, text)
        self._said = code
