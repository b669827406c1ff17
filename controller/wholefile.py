"""A small file that others read while it is written: they see the old one or the new one, never half."""

from __future__ import annotations

import os


def write_whole(path: str | os.PathLike[str], text: str, durable: bool = False) -> None:
    """Put it there at once. durable: it is on the disk on return, which may take seconds. Raises OSError."""
    temporary = f"{os.fspath(path)}.tmp"
    with open(temporary, "w", encoding="utf-8") as file:  # noqa: PTH123  # without pathlib: the core loads this too
        file.write(text)
        if durable:
            file.flush()
            os.fsync(file.fileno())
    os.replace(temporary, path)  # noqa: PTH105  # as above
