"""Follow: the ring's records in order, across restarts of the core and of ourselves."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from controller.nextsettings import named
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
    """Records of one run under the same settings, raw and as rows (what is lost shows as a hole in n).

    snapshot: the core's state. info: the facts of the run, with these settings.
    """

    raw: bytes
    records: NDArray[Any]
    snapshot: tuple[int, bytes] | None
    info: dict[str, Any]


class RingFollower:
    """open_reader: RingReader. Which step to begin with is asked for whenever a ring is opened."""

    def __init__(self, path: Path, open_reader: Callable[[Path], Reader]) -> None:
        self.path, self.open_reader = path, open_reader
        self.reader: Reader | None = None
        self._said = ""
        self._settings: dict[int, dict[str, Any]] = {}  # by digest, of those that were reloaded

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
                yield from self._by_settings(raw, self.reader)
            elif replaced:
                self.reader = None
                return
            else:
                return

    def _by_settings(self, raw: bytes, reader: Reader) -> Iterator[Chunk]:
        records, snapshot = bulk.from_bytes(raw), reader.snapshot()
        cuts = [0, *(np.flatnonzero(np.diff(records["settings_digest"])) + 1).tolist(), len(records)]
        for begin, end in pairwise(cuts):
            part, size = records[begin:end], records.itemsize
            info = self._with_settings(reader.info, int(part[0]["settings_digest"]))
            yield Chunk(raw[begin * size : end * size], part, snapshot, info)

    def _with_settings(self, info: dict[str, Any], digest: int) -> dict[str, Any]:
        """The ring tells of the settings it began with; `v2g reload` has left the others beside it."""
        if info.get("settings_digest", digest) == digest:
            return info
        if digest not in self._settings:
            path = self.path.parent / named(digest)
            try:
                self._settings[digest] = json.loads(path.read_text(encoding="utf-8"))["settings"]
            except (OSError, ValueError, KeyError, TypeError) as error:
                log.error("V2G-SETTINGS-UNKNOWN %s: %s; steps under them cannot be computed again", path, error)
                self._settings[digest] = {}
        return {**info, "settings": self._settings[digest], "settings_digest": digest}

    def _say(self, code: str, text: str) -> None:
        if code != self._said:
            log.log(logging.INFO if code == "V2G-RING-OPEN" else logging.WARNING, "%s %s: %s", code, self.path, text)
        self._said = code
