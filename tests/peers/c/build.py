"""Compile the C programs of this folder, once for each content.

built(name)  the program's path, compiled when its source, a header here or the flags have changed.
Errors       NotHereError: no compiler, or no libmodbus; its text is the remedy. A program that does not compile is a
             CalledProcessError with the compiler's own words on stderr.
"""

from __future__ import annotations

import shutil
import subprocess
from functools import cache
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

HERE = Path(__file__).parent
BUILT = HERE.parents[2] / "build" / "peers"
FLAGS = ("-O2", "-Wall", "-Wextra", "-Werror", "-pthread")
LIBMODBUS = "modbus/modbus.h"


class NotHereError(Exception):
    """A tool is not installed; whoever set the machine up must act."""


@cache
def built(name: str) -> Path:
    """The program of NAME.c; safe to ask from several processes at once."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise NotHereError("a C compiler: apt-get install gcc libc6-dev")
    source = HERE / f"{name}.c"
    text = source.read_bytes()
    libraries = ("-lmodbus",) if LIBMODBUS.encode() in text else ()
    if (
        libraries
        and subprocess.run([compiler, "-E", "-include", LIBMODBUS, "-xc", "/dev/null"], capture_output=True).returncode
    ):
        raise NotHereError("libmodbus: apt-get install libmodbus-dev")
    digest = sha256(repr((FLAGS, libraries)).encode() + text)
    for header in sorted(HERE.glob("*.h")):
        digest.update(header.read_bytes())
    target = BUILT / f"{name}-{digest.hexdigest()[:12]}"
    if not target.exists():
        BUILT.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=BUILT) as folder:
            part = Path(folder) / name
            subprocess.run([compiler, *FLAGS, "-o", str(part), str(source), *libraries], check=True)
            part.replace(target)
    return target
