"""The parsers compiled by clang with AddressSanitizer, UndefinedBehaviorSanitizer and libFuzzer's coverage, in a copy.

Built anew only when a source has changed. `python -m tests.fuzz.build` is started inside the copy.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
COPIED = ("cython_core", "drivers", "tests/fuzz")
MODULES = (
    "cython_core.realtime.mailbox",
    "drivers.modbus.frame",
    "drivers.modbus.waits",
    "drivers.modbus.tcp",
    "drivers.modbus.rtu",
    "drivers.can.frame",
    "tests.fuzz.can_frames",
    "tests.fuzz.harness",
)
SANITIZERS = ["-fsanitize=address,undefined,fuzzer-no-link", "-fno-sanitize-recover=all", "-shared-libasan"]


LIBRARY = "libfuzzer.so"


class BuildError(Exception):
    """clang or its runtime is not there, or the sources do not compile."""


def runtime(name: str) -> Path:
    """A library of clang's own. BuildError when it is not installed."""
    asked = subprocess.run(["clang", f"-print-file-name={name}"], capture_output=True, text=True, check=False)
    path = Path(asked.stdout.strip())
    if asked.returncode or not path.is_absolute() or not path.exists():
        raise BuildError(f"clang has no {name}; on Debian: apt-get install clang libfuzzer-14-dev libclang-rt-14-dev")
    return path


def sources() -> list[Path]:
    found = [p for name in COPIED for p in (ROOT / name).rglob("*") if p.suffix in (".pyx", ".pxd", ".py", ".h")]
    return sorted(found)


def built(folder: Path) -> Path:
    """The tree with the sanitized modules, below folder."""
    if shutil.which("clang") is None:
        raise BuildError("there is no clang; on Debian: apt-get install clang libfuzzer-14-dev libclang-rt-14-dev")
    text = b"".join(p.read_bytes() for p in sources())
    tree = folder / f"fuzz-{hashlib.sha256(text).hexdigest()[:16]}"
    if (tree / "built").exists():
        return tree
    shutil.rmtree(tree, ignore_errors=True)
    for path in sources():
        to = tree / path.relative_to(ROOT)
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, to)
    (tree / "tests/__init__.py").touch()
    environment = os.environ | {"CC": "clang", "LDSHARED": "clang -shared"}
    command = [sys.executable, "-m", "tests.fuzz.build"]
    compiled = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)
    if compiled.returncode:
        raise BuildError(f"the sanitized modules do not compile:\n{compiled.stdout[-3000:]}{compiled.stderr[-3000:]}")
    make_library(tree)
    (tree / "built").touch()
    return tree


def make_library(tree: Path) -> None:
    """libFuzzer as a library that is loaded before everything: else AddressSanitizer's stubs take its counters."""
    archive = runtime("libclang_rt.fuzzer_no_main-x86_64.a")
    command = ["clang++", "-shared", "-o", str(tree / LIBRARY), "-Wl,--whole-archive", str(archive)]
    made = subprocess.run(
        [*command, "-Wl,--no-whole-archive", "-lpthread"], capture_output=True, text=True, check=False
    )
    if made.returncode:
        raise BuildError(f"libFuzzer cannot be linked: {made.stderr[-1000:]}")


def main() -> None:
    """Inside the copy."""
    from Cython.Build import cythonize
    from setuptools import Extension, setup  # type: ignore[import-untyped]  # it ships no types

    directives = {"language_level": 3, "cdivision": True, "boundscheck": False, "wraparound": False}
    flags = ["-O1", "-g", "-ffp-contract=off", "-fno-omit-frame-pointer", *SANITIZERS]
    extensions = [
        Extension(
            name,
            [f"{name.replace('.', '/')}.pyx"],
            extra_compile_args=flags,
            extra_link_args=SANITIZERS,
        )
        for name in MODULES
    ]
    setup(
        name="fuzz",
        packages=[],
        ext_modules=cythonize(  # type: ignore[no-untyped-call]  # nor does Cython
            extensions, compiler_directives=directives, nthreads=2
        ),
        script_args=["-q", "build_ext", "--inplace", "--parallel", "2"],
    )


if __name__ == "__main__":
    main()
