"""Build of the compiled core. Flags and directives stand here, once; everything else is in pyproject.toml."""

import os
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, find_packages, setup

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


setup(
    package_dir={"": "."},
    packages=find_packages(include=[p + suffix for p in PACKAGES for suffix in ("", ".*")]),
    # by name and not through MANIFEST.in: that finds nothing under a package_dir of "."
    include_package_data=False,
    package_data={"": [f"**/*.{suffix}" for suffix in DATA]},
    ext_modules=cythonize(extensions(), build_dir="build/cython", compiler_directives=DIRECTIVES, nthreads=JOBS),
    options={"build_ext": {"parallel": JOBS}},
)
