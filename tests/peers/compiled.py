"""Compile a .pyx that only tests use, once for each content, and import it.

It may cimport the product's modules. A struct of theirs that changes makes another program: their declarations are
part of what counts as content.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from functools import cache
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType

ROOT = Path(__file__).parents[2]
BUILT = ROOT / "build" / "peers"
SETUP = """
from setuptools import Extension, setup
from Cython.Build import cythonize
one = Extension("{name}", ["{name}.pyx"], extra_compile_args=["-O2"])
directives = dict(language_level=3, cdivision=True, boundscheck=False, wraparound=False, initializedcheck=False)
setup(name="{name}", ext_modules=cythonize([one], quiet=True, include_path=["{root}"], compiler_directives=directives))
"""


@cache
def compiled(source: Path) -> ModuleType:
    """The module of a .pyx. A CalledProcessError carries the compiler's own words on stderr."""
    digest = sha256(f"{sys.version}{SETUP}".encode() + source.read_bytes())
    for declarations in sorted([*ROOT.glob("cython_core/**/*.pxd"), *ROOT.glob("drivers/**/*.pxd")]):
        digest.update(declarations.read_bytes())
    folder = BUILT / f"{source.stem}-{digest.hexdigest()[:12]}"
    if not folder.exists():
        build(source, folder)
    (binary,) = folder.glob("*.so")
    spec = importlib.util.spec_from_file_location(source.stem, binary)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def build(source: Path, folder: Path) -> None:
    """Built aside, then put in its place whole."""
    BUILT.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=BUILT) as name:
        part = Path(name) / "built"
        part.mkdir()
        (part / source.name).write_text(source.read_text())
        code = SETUP.format(name=source.stem, root=ROOT)
        subprocess.run([sys.executable, "-c", code, "-q", "build_ext", "--inplace"], cwd=part, check=True)
        part.replace(folder)
