"""Wishes: the mailboxes through which other processes wish for power, one slot a source, in <runtime_dir>/wishes.

One process writes a slot. The file is opened anew each time: a restarted controller may have made another one.
Errors   OSError, ValueError: there is no controller to wish of, or the file is none of ours.
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass, replace
from pathlib import Path

from cython_core.realtime.mailbox import Mailbox
from cython_core.records import Wish, WishSource

BOX_BYTES = 512  # of each source
NEVER_NS = 2**62  # 146 years after the host's start
MAX_SEQ = 2**62


@dataclass(frozen=True, slots=True)
class Wishes:
    """All slots of one controller."""

    path: Path

    def newest(self, source: WishSource) -> Wish | None:
        """What stands in a slot, expired or not; None: nothing yet."""
        wish: Wish | None = self._box(source).get()
        return wish

    def put(self, wish: Wish) -> int:
        """Wish it, with a number above that of the one before. -> its number."""
        box = self._box(WishSource(wish.source))
        before: Wish | None = box.get()
        seq = 1 if before is None else before.seq + 1
        if not 0 < seq < MAX_SEQ:
            raise ValueError(f"{self.path}: slot {wish.source} holds no wish of ours (seq {seq - 1})")
        box.put(replace(wish, seq=seq))
        return seq

    def release(self, source: WishSource) -> int:
        """A wish that never becomes valid takes the place of the one before."""
        return self.put(Wish(source, 0.0, 0.0, 0.0, 0.0, NEVER_NS, NEVER_NS + 1))

    def _box(self, source: WishSource) -> Mailbox:
        with self.path.open("r+b") as file:
            shared = mmap.mmap(file.fileno(), 0)
        return Mailbox(Wish, shared, int(source) * BOX_BYTES)
