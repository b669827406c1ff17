"""Which build is this: the version, the commit, and a name for the exact machine code of the core."""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from importlib import resources
from pathlib import Path
from subprocess import DEVNULL, PIPE, run

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


def commit() -> str:
    """Of the sources: written down when they were built (setup.py), or as git has it; nothing when nobody knows."""
    root = Path(str(resources.files("controller"))).parent
    written = root / "controller" / "COMMIT"
    if written.exists():
        return written.read_text().strip()
    if not (root / ".git").exists():
        return ""
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--exclude=*", "--abbrev=12"]
    try:
        return run(command, stdout=PIPE, stderr=DEVNULL, text=True, timeout=10, check=False).stdout.strip()
    except OSError:
        return ""


def about() -> str:
    """One line for `v2g --version`."""
    return f"{VERSION}, commit {commit() or 'unknown'}, core {build_id().partition('+')[2]}"
