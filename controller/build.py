"""Which build is this: the version and a name for the exact machine code of the core."""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from importlib import resources
from pathlib import Path

VERSION = "0.1.0"


@cache
def build_id() -> str:
    """Version and 12 hex digits of all compiled files of cython_core: the same digits, the same bits."""
    digest = sha256()
    root = Path(str(resources.files("cython_core")))
    for path in sorted(root.rglob("*.so")):
        digest.update(path.relative_to(root).as_posix().encode())
        digest.update(path.read_bytes())
    return f"{VERSION}+{digest.hexdigest()[:12]}"
