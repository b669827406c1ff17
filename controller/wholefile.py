"""Files that are never half: a small one that others read while it is written, and the torn end of a longer one."""

from __future__ import annotations

import os
from io import FileIO


def write_whole(path: str | os.PathLike[str], text: str, durable: bool = False) -> None:
    """Put it there at once. durable: it is on the disk on return, which may take seconds. Raises OSError."""
    temporary = f"{os.fspath(path)}.tmp"
    with open(temporary, "w", encoding="utf-8") as file:  # noqa: PTH123  # without pathlib: the core loads this too
        file.write(text)
        if durable:
            file.flush()
            os.fsync(file.fileno())
    os.replace(temporary, path)  # noqa: PTH105  # as above


def cut_off(file: FileIO, size: int) -> None:
    """Take off a torn end, if there is one. On the disk on return: what is written next would else share pages with it,
    and a second power cut could leave the torn one in the middle of the new. Raises OSError.
    """
    if os.fstat(file.fileno()).st_size > size:
        file.truncate(size)
        os.fsync(file.fileno())
