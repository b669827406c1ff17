"""Build of the compiled core. Flags and directives stand here, once; everything else is in pyproject.toml."""

import os
import shutil
import subprocess
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, find_packages, setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

PACKAGES = ["cython_core", "drivers", "controller", "config"]
DATA = ["pyx", "pxd", "pyi", "h", "yaml", "dbc", "csv", "json", "html", "j2", "css", "js", "md", "conf", "acl"]

# -ffp-contract=off: no fused multiply-add, so that a Pi and a laptop round alike and a replay is equal bit for bit.
# -fno-builtin-mem*: libc copies and clears a record of a kilobyte quicker than the compiler's inline `rep movs`.
CFLAGS = [
    "-O2",
    "-ffp-contract=off",
    "-fno-builtin-memcpy",
    "-fno-builtin-memset",
    "-fno-tree-slp-vectorize",
    "-Wall",
    "-Wno-unused-function",
]

DIRECTIVES = {
    "language_level": 3,
    "cdivision": True,
    "boundscheck": False,
    "wraparound": False,
    "initializedcheck": False,
    "freethreading_compatible": False,
}

JOBS = min(os.cpu_count() or 1, 4)


def extensions() -> list[Extension]:
    """Every .pyx below the packages, named by its place."""
    sources = sorted(p for root in PACKAGES for p in Path(root).rglob("*.pyx"))
    return [Extension(".".join(p.with_suffix("").parts), [str(p)], extra_compile_args=CFLAGS) for p in sources]


COMMIT = Path("controller/COMMIT")  # in what is built, never in the tree: `v2g --version` reads it


def commit() -> str:
    """Of these sources: as whoever copied them says, as their source distribution says, or as git says."""
    if told := os.environ.get("V2G_COMMIT") or (COMMIT.read_text() if COMMIT.exists() else ""):
        return told
    if not (Path(".git").exists() and shutil.which("git")):
        return ""
    asked = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=False)
    return asked.stdout.strip()


class BuildWithCommit(build_py):
    def run(self) -> None:
        super().run()
        if not self.editable_mode and commit():
            (Path(self.build_lib) / COMMIT).write_text(commit())


class SourceWithCommit(sdist):
    def make_release_tree(self, base_dir: str, files: list[str]) -> None:
        super().make_release_tree(base_dir, files)
        if commit():
            (Path(base_dir) / COMMIT).write_text(commit())


setup(
    cmdclass={"build_py": BuildWithCommit, "sdist": SourceWithCommit},
    package_dir={"": "."},
    packages=find_packages(include=[p + suffix for p in PACKAGES for suffix in ("", ".*")]),
    # by name and not through MANIFEST.in: that finds nothing under a package_dir of "."
    include_package_data=False,
    package_data={"": [f"**/*.{suffix}" for suffix in DATA]},
    ext_modules=cythonize(extensions(), build_dir="build/cython", compiler_directives=DIRECTIVES, nthreads=JOBS),
    options={"build_ext": {"parallel": JOBS}},
)
