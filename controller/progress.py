"""Progress on anything that takes more than 2 s: one line, rewritten, on stderr."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import TextIO, TypeVar

T = TypeVar("T")


class Progress:
    """`with Progress("replay", sys.stderr) as progress: progress(done, total)`. Silent for the first 2 s."""

    def __init__(self, name: str, stream: TextIO) -> None:
        self.name, self.stream = name, stream
        self.started = self.shown = time.monotonic()

    def __enter__(self) -> Progress:
        return self

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self.started < 2.0 or now - self.shown < 0.2 or not total:
            return
        self.shown = now
        left_s = (now - self.started) * (total - done) / max(done, 1)
        self.stream.write(f"\r{self.name}: {100 * done // total:3d} %, {left_s:.0f} s left \x1b[K")
        self.stream.flush()

    def over(self, things: Sequence[T]) -> Iterator[T]:
        """Each of them, shown once it has been dealt with."""
        for n, thing in enumerate(things, 1):
            yield thing
            self(n, len(things))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.shown != self.started:
            self.stream.write("\n")
