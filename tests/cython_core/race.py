"""The compiled writers and readers of the race tests: *_race.pyx, built once a run with the product's declarations.

Every word of what they write is the same number, so that half of a value shows by itself.
"""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import numpy as np

from cython_core.bulk import STEP

STEP_WORDS = STEP.itemsize // 8
SOURCES = ("mailbox_race", "ring_race")
CODE = """
import sys
from pathlib import Path
from Cython.Build import cythonize
from setuptools import Extension, setup

names = sys.argv.pop(1).split(",")
modules = [Extension(n, [n + ".pyx"], extra_compile_args=["-O2"]) for n in names]
# the declarations are found where the compiled core is: in the source tree, or where the wheel has been unpacked
directives = {"language_level": 3, "boundscheck": False, "wraparound": False, "cdivision": True}
setup(name="race", ext_modules=cythonize(modules, include_path=sys.path, quiet=True, compiler_directives=directives))
"""


def compile_into(folder: Path, cflags: str = "", import_from: Path | None = None) -> None:
    """Both modules. import_from: another tree whose declarations they use."""
    for name in SOURCES:
        shutil.copy(Path(__file__).with_name(f"{name}.pyx"), folder)
    paths = [str(import_from)] if import_from else [p for p in sys.path if p]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "CFLAGS": cflags}
    command = [sys.executable, "-c", CODE, ",".join(SOURCES), "-q", "build_ext", "--inplace", "--parallel", "2"]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr


def load(folder: Path, name: str) -> ModuleType:
    """One of them, from where it was compiled."""
    spec = spec_from_file_location(name, folder / f"{name}{EXTENSION_SUFFIXES[0]}")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def race_folder() -> Path:
    """Where this run has compiled them; gone when it ends."""
    folder = Path(tempfile.mkdtemp(prefix="v2g-race-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    compile_into(folder)
    return folder


def steps_of(raw: bytes) -> list[int]:
    """The numbers of raw step records that ring_race has pushed."""
    words = np.frombuffer(raw, dtype="<i8").reshape(-1, STEP_WORDS)
    assert (words == words[:, :1]).all(), "torn"
    return [int(n) for n in words[:, 0]]
