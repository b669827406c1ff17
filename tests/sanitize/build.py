"""A copy of the tree whose compiled modules are instrumented by a sanitizer of gcc, and Python processes in it.

The C is what Cython generated for the product's own build (build/cython); only the compiler's flags differ. Python is
not instrumented: what it calls, its locks included, is seen through the sanitizer's run-time library, preloaded.
Errors   BuildError: the C is out of date or does not compile. unusable() says why a sanitizer cannot run here.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from tests.coverage.build import copy_tree

ROOT = Path(__file__).parents[2]
COPIED = ("cython_core", "drivers", "config", "tests", "pyproject.toml", "README.md")
RACES = ("mailbox_race", "ring_race")  # of tests/cython_core
CFLAGS = ("-w", "-shared", "-fPIC", "-O1", "-g1", "-fno-omit-frame-pointer")
JOBS = min(os.cpu_count() or 1, 2)


class BuildError(Exception):
    """The copy cannot be compiled: run make build, or look at the compiler's words."""


@dataclass(frozen=True, slots=True)
class Sanitizer:
    """flag: gcc's -fsanitize=. runtime: its library. options: environment."""

    flag: str
    runtime: str
    options: dict[str, str]

    def stopping_at_the_first(self) -> Sanitizer:
        """To see one is enough, and many take long."""
        return replace(self, options={name: f"{text}:halt_on_error=1" for name, text in self.options.items()})

    def environment(self) -> dict[str, str]:
        asked = subprocess.run(
            ["gcc", f"-print-file-name={self.runtime}"], capture_output=True, text=True, timeout=30, check=True
        )
        return {**os.environ, "PYTHONPATH": "", "LD_PRELOAD": asked.stdout.strip(), **self.options}


EXIT_REPORTED = 66  # of a process that would have ended well
# the scripted device of the scenes closes a socket under its own thread's hands: its way to cut the power
SUPPRESSED = "race:sock_close\n"
THREADS = Sanitizer("thread", "libtsan.so", {"TSAN_OPTIONS": f"exitcode={EXIT_REPORTED}:suppressions=suppressed"})
# Python frees little at its end, and a process that has been instrumented in part cannot tell a leak
MEMORY = Sanitizer(
    "address,undefined",
    "libasan.so",
    {"ASAN_OPTIONS": "detect_leaks=0", "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1"},
)


def unusable(sanitizer: Sanitizer) -> str:
    """Why it cannot run here, or an empty text."""
    if shutil.which("gcc") is None:
        return "there is no gcc"
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "suppressed").touch()
        done = in_tree(Path(folder), sanitizer, "-c", "print('it runs')", timeout_s=60.0)
    return "" if done.stdout == "it runs\n" else f"{sanitizer.runtime} does not run: {done.stderr.strip()[:300]}"


def in_tree(
    tree: Path, sanitizer: Sanitizer, *python: str, timeout_s: float = 300.0
) -> subprocess.CompletedProcess[str]:
    """A Python in the copy."""
    return subprocess.run(
        [*fixed_addresses(), sys.executable, *python],
        cwd=tree,
        env=sanitizer.environment(),
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def fixed_addresses() -> tuple[str, ...]:
    """Addresses must fit the shadow memory: not randomized, where a process may ask for that."""
    fixed = ("setarch", "-R")
    may = shutil.which("setarch") and subprocess.run([*fixed, "true"], capture_output=True, check=False).returncode == 0
    return fixed if may else ()


def build(tree: Path, sanitizer: Sanitizer, modules: Sequence[str] = ("cython_core", "drivers")) -> None:
    """Copy the tree and compile these modules, or all below these folders, and the race writers of the tests."""
    copy_tree(ROOT, tree, COPIED)
    (tree / "suppressed").write_text(SUPPRESSED)
    for name in RACES:
        shutil.copy(ROOT / "tests/cython_core" / f"{name}.pyx", tree)
    for pyx in (p for m in modules for p in (*ROOT.glob(f"{m}.pyx"), *(ROOT / m).rglob("*.pyx"))):
        generated = ROOT / "build/cython" / pyx.relative_to(ROOT).with_suffix(".c")
        if not generated.exists() or generated.stat().st_mtime < pyx.stat().st_mtime:
            raise BuildError(f"{generated.relative_to(ROOT)} is absent or old: run make build")
        shutil.copy(generated, tree / pyx.relative_to(ROOT).with_suffix(".c"))
    run([sys.executable, "-m", "cython", "-3", *(f"{name}.pyx" for name in RACES)], tree)
    compile_modules(tree, sanitizer, [p.relative_to(tree) for p in sorted(tree.rglob("*.c"))])


def compile_modules(tree: Path, sanitizer: Sanitizer, sources: Sequence[Path]) -> None:
    """Each .c of the copy to the module beside it."""
    suffix, include = sysconfig.get_config_var("EXT_SUFFIX"), sysconfig.get_path("include")

    def one(source: Path) -> None:
        command = ["gcc", *CFLAGS, f"-fsanitize={sanitizer.flag}", f"-I{include}", str(source)]
        run([*command, "-o", str(source.with_suffix(suffix))], tree)

    with ThreadPoolExecutor(JOBS) as pool:
        list(pool.map(one, sources))


@contextmanager
def spoiled(tree: Path, sanitizer: Sanitizer, module: str, before: str, after: str) -> Iterator[None]:
    """One module of the copy compiled from changed C, to see the sanitizer report; afterwards as it was."""
    source, binary = tree / f"{module}.c", tree / f"{module}{sysconfig.get_config_var('EXT_SUFFIX')}"
    sound_c, sound = source.read_text(), binary.read_bytes()
    assert before in sound_c, f"{module}: nothing to change"
    source.write_text(sound_c.replace(before, after))
    try:
        compile_modules(tree, sanitizer, [source.relative_to(tree)])
        yield
    finally:
        source.write_text(sound_c)
        binary.unlink()
        binary.write_bytes(sound)


def run(command: Sequence[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        raise BuildError(f"{' '.join(command[:3])}: {done.stderr[-2000:]}")
