"""A Debian 12 for arm64 in a folder, whose programs run under qemu-user; on an arm64 machine they run by themselves.

Kept    in $V2G_CACHE (default ~/.cache/v2g), outside the tree: the system, made by mmdebstrap; the locked packages for
        aarch64, those of the tests unpacked by pip on this machine, those of the program as wheels for the guest's own
        pip. All are only read afterwards.
Work    a copy of the sources, which the guest compiles with its own Cython and gcc, and tests in.
Errors  a missing tool or right ends the test as tests.need has it.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from tests.need import missing, tool

ROOT = Path(__file__).parents[2]
CACHE = Path(os.environ.get("V2G_CACHE", Path.home() / ".cache/v2g"))
SUITE, PYTHON = "bookworm", "3.11"
PACKAGES = "python3,python3-venv,python3-dev,gcc,libc6-dev"
LOCK, LOCK_OF_TESTS = ROOT / "locks/py311.txt", ROOT / "locks/py311-dev.txt"
WHEELS = ("manylinux_2_28_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64")
BINFMT = Path("/proc/sys/fs/binfmt_misc")
RULE = Path(
    "/usr/lib/binfmt.d/qemu-aarch64.conf"
)  # of Debian's qemu-user-static: the interpreter stays open for chroots
FOR_ARM64 = ["--require-hashes", "--only-binary=:all:", *(word for name in WHEELS for word in ("--platform", name)),
             "--python-version", PYTHON, "--implementation", "cp",
             "--abi", "cp311", "--abi", "abi3", "--abi", "none"]  # fmt: skip
PARTS = ("cython_core", "drivers", "controller", "config", "docs", "tests", "systemd", "locks", ".ci")
FILES = ("setup.py", "pyproject.toml", "README.md", "CHANGELOG.md", "Makefile", "LICENSE", "MANIFEST.in")
LEFT_OUT = shutil.ignore_patterns("*.so", "__pycache__", "images", "evidence")


@contextmanager
def emulation() -> Iterator[None]:
    """The kernel starts arm64 programs by qemu; afterwards everything is as it was."""
    if platform.machine() == "aarch64" or (BINFMT / "qemu-aarch64").exists():
        yield
        return
    if not RULE.exists():
        missing("qemu-user-static", "make deps-system")
    mounted = not (BINFMT / "register").exists()
    if mounted and subprocess.run(["mount", "-t", "binfmt_misc", "binfmt_misc", BINFMT], check=False).returncode:
        missing("binfmt_misc", "a kernel and a container that may mount it")
    try:
        (BINFMT / "register").write_text(RULE.read_text().strip())
        yield
    finally:
        if (BINFMT / "qemu-aarch64").exists():
            (BINFMT / "qemu-aarch64").write_text("-1")
        if mounted:
            subprocess.run(["umount", BINFMT], check=False)


def system() -> Path:
    """The kept root; made at the first call (six minutes, with network)."""
    if os.geteuid() != 0:
        missing("root", "sudo, or a container")
    made = CACHE / f"{SUITE}-arm64-{short(PACKAGES)}"
    command = [
        tool("mmdebstrap"),
        "--quiet",
        "--variant=minbase",
        "--architectures=arm64",
        f"--include={PACKAGES}",
        SUITE,
    ]
    return keep(made, command)


def packages() -> Path:
    """What the tests need, to be imported from there; made with network."""
    made = CACHE / f"arm64-packages-{short(LOCK_OF_TESTS.read_text())}"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile"]
    return keep(made, [*pip, *FOR_ARM64, "-r", str(LOCK_OF_TESTS), "--target"])


def wheels() -> Path:
    """What the program needs, to be installed in the guest; fetched with network."""
    made = CACHE / f"arm64-wheels-{short(LOCK.read_text())}"
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    return keep(made, [*pip, *FOR_ARM64, "-r", str(LOCK), "--dest"])


def keep(made: Path, command: list[str]) -> Path:
    """The folder `made`; if it is not there, what the command puts into a folder that is its last argument."""
    if made.exists():
        return made
    CACHE.mkdir(parents=True, exist_ok=True)
    unfinished = CACHE / f"{made.name}.{os.getpid()}"
    done = subprocess.run([*command, str(unfinished)], capture_output=True, text=True, timeout=3600, check=False)
    if done.returncode != 0:
        shutil.rmtree(unfinished, ignore_errors=True)
        missing(made.name, f"it could not be made: {done.stderr.strip()[-300:]}")
    unfinished.rename(made)
    return made


def short(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:8]


class Guest:
    """The system with a copy of the sources at /src."""

    def __init__(self, work: Path) -> None:
        self.root, self.work = system(), work
        self.folders = {"/opt/packages": packages(), "/opt/wheels": wheels()}
        for place in ("/src", *self.folders):
            (self.root / place[1:]).mkdir(exist_ok=True)
        for part in PARTS:
            shutil.copytree(ROOT / part, work / part, ignore=LEFT_OUT)
        for name in FILES:
            shutil.copy2(ROOT / name, work / name)

    def run(self, *command: str, limit_s: float = 7200.0, **environment: str) -> subprocess.CompletedProcess[str]:
        """A program of the guest, in its copy of the sources, without a network; its stderr is in its stdout."""
        names = {"PYTHONPATH": "/src:/opt/packages", "PYTHONDONTWRITEBYTECODE": "1", **environment}
        call = [tool("systemd-nspawn"), "--quiet", "-D", str(self.root), "--read-only", "--register=no", "--keep-unit",
                "--private-network", "--console=pipe", "--chdir=/src", "--tmpfs=/tmp", f"--bind={self.work}:/src",
                *(f"--bind-ro={folder}:{place}" for place, folder in self.folders.items()),
                *(f"--setenv={name}={text}" for name, text in names.items()), *command]  # fmt: skip
        return subprocess.run(
            call, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            timeout=limit_s, check=False,
        )  # fmt: skip
