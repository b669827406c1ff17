"""Small Debian systems in a folder: made once and kept, copied for each run, booted with systemd as process 1.

Kept    in $V2G_CACHE (default ~/.cache/v2g), outside the tree; made by mmdebstrap from the system's package sources.
Booted  by systemd-nspawn or as user-mode Linux, with a loopback of its own: what runs in there reaches nothing else.
Errors  a missing tool or right ends the test as tests.need has it.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.need import missing, tool
from tests.system import uml
from tests.system.guests import run_guest

ROOT = Path(__file__).parents[2]
CACHE = Path(os.environ.get("V2G_CACHE", Path.home() / ".cache/v2g"))
SUITES = {(3, 11): "bookworm", (3, 13): "trixie"}  # the Debian with this Python: compiled modules fit its own
PACKAGES = "systemd,systemd-sysv,dbus,udev,python3,python3-venv,iproute2,kmod,procps"
COMPILER = "make,git,gcc,libc6-dev,python3-dev"
LONGEST_S = 300.0
UNREACHABLE = "apt-get update"  # the part of mmdebstrap that fails without network; anything later is a fault
PYTHON = "/opt/v2g/current/bin/python"
RELEASE = "opt/v2g/under-test"
PARTS = ("cython_core", "drivers", "controller", "config")
DEPENDENCIES = "srv/dependencies"
LIBRARIES = sysconfig.get_path("purelib")
INIT = """\
#!/bin/sh
mount -t hostfs -o {out} none /out
mount -t hostfs -o {libraries} none /{dependencies}
mkdir -p /usr/lib/uml
mount -t hostfs -o /usr/lib/uml none /usr/lib/uml
exec /lib/systemd/systemd "$@"
"""
PROOF = """\
[Unit]
Description=tests in the guest

[Service]
Type=oneshot
Environment=PYTHONPATH=/src:/srv/dependencies PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 {environment}
ExecStart={python} -m pytest -x -p no:cacheprovider --noconftest -c /dev/null --rootdir=/src \\
    --color=no --basetemp=/var/tmp/pytest --junitxml=/out/result.xml /src/tests/system/{tests}
ExecStopPost=/bin/systemctl poweroff --no-block
StandardOutput=append:/out/said
StandardError=inherit
TimeoutStartSec=infinity
"""


def need_root() -> None:
    """Containers, ownership of files and device nodes are root's."""
    if os.geteuid() != 0:
        missing("root", "sudo, or a container")


def base(packages: str = PACKAGES) -> Path:
    """The kept system with these packages; made at the first call (a minute, with network)."""
    need_root()
    suite = SUITES.get(sys.version_info[:2]) or missing(f"a Debian with Python {sys.version.split()[0]}", "use 3.11")
    made = CACHE / f"{suite}-{hash_of(packages):08x}"
    if made.exists():
        return made
    CACHE.mkdir(parents=True, exist_ok=True)
    unfinished = CACHE / f"{made.name}.{os.getpid()}"
    command = [tool("mmdebstrap"), "--quiet", "--variant=minbase", f"--include={packages}", suite, str(unfinished)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800, check=False)
    if done.returncode != 0:
        shutil.rmtree(unfinished, ignore_errors=True)
        if UNREACHABLE in done.stderr:
            pytest.skip(f"NO DEBIAN {suite}: none is kept in {CACHE}, and no package lists can be fetched: no network?")
        missing(f"a Debian {suite}", f"mmdebstrap could not make it: {done.stderr.strip()[-300:]}")
    unfinished.rename(made)
    return made


def wheels() -> Path:
    """Every locked package as a file, so that a guest needs no network; fetched once."""
    lock = ROOT / f"locks/{'py311' if sys.version_info < (3, 13) else 'py313'}.txt"
    made = CACHE / f"wheels-{hash_of(lock.read_text()):08x}"
    if not made.exists():
        unfinished = CACHE / f"{made.name}.{os.getpid()}"
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet", "--require-hashes"]
        done = subprocess.run([*pip, "-r", lock, "-d", unfinished], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            shutil.rmtree(unfinished, ignore_errors=True)
            missing("the locked packages", f"pip could not fetch them: {done.stderr.strip()[-300:]}")
        unfinished.rename(made)
    return made


def hash_of(text: str) -> int:
    """The same in every run."""
    return int.from_bytes(text.encode(), "big") % 0xFFFF_FFFB


def copy_of(root: Path, to: Path) -> Path:
    """A system to be changed, with a name of its own."""
    subprocess.run(["cp", "-a", root, to], check=True)
    (to / "etc/machine-id").write_text(secrets.token_hex(16) + "\n")  # a container with none does not boot
    return to


def git(*words: str) -> bytes:
    """Of this tree; nothing where it is no clone."""
    return subprocess.run(["git", "-C", ROOT, *words], capture_output=True, check=False).stdout


def copy_sources(to: Path) -> None:
    """This tree as it is now, without what was built."""
    for file in git("ls-files", "-z", "--cached", "--others", "--exclude-standard").decode().split("\0"):
        if file and (ROOT / file).is_file():
            (to / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / file, to / file)


def install_tree(root: Path) -> None:
    """The files of an installation, and this very build as its program: what `make install` makes, without pip."""
    env = {**os.environ, "DESTDIR": str(root)}
    subprocess.run([ROOT / "systemd/install", "files"], env=env, check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["chroot", root, "python3", "-m", "venv", "--without-pip", f"/{RELEASE}"], check=True)
    (packages,) = (root / RELEASE / "lib").glob("python3.*/site-packages")
    for part in PARTS:
        shutil.copytree(ROOT / part, packages / part, ignore=shutil.ignore_patterns("*.c", "__pycache__"))
    subprocess.run(["chroot", root, "python3", "-m", "compileall", "-q", f"/{packages.relative_to(root)}"], check=True)
    (packages / "dependencies.pth").write_text(f"/{DEPENDENCIES}\n")
    command = root / RELEASE / "bin/v2g"
    command.write_text(f"#!/{RELEASE}/bin/python\nimport sys\nfrom controller.cli import main\nsys.exit(main())\n")
    command.chmod(0o755)
    (root / "opt/v2g/current").symlink_to(Path(RELEASE).name)


def add_tests(root: Path, out: Path, tests: str, python: str = PYTHON, **environment: str) -> None:
    """tests: a file of this folder, run by the unit v2g-proof as root; out: where it is heard of."""
    (root / DEPENDENCIES).mkdir()
    source = root / "src/tests/system"
    source.mkdir(parents=True)
    for name in ("__init__.py", "system/__init__.py", "system/guest_words.py", f"system/{tests}"):
        shutil.copy(ROOT / "tests" / name, root / "src/tests" / name)
    unit = PROOF.format(
        python=python, tests=tests, environment=" ".join(f"{name}={text}" for name, text in environment.items())
    )
    (root / "etc/systemd/system/v2g-proof.service").write_text(unit)
    (root / "out").mkdir()
    out.mkdir(parents=True, exist_ok=True)


def boot(
    root: Path, out: Path, tests: str, python: str = PYTHON, longest_s: float = LONGEST_S, **environment: str
) -> str:
    """Run the guest to its end in a container; what it has said on its console."""
    nspawn = tool("systemd-nspawn")
    add_tests(root, out, tests, python, **environment)
    folders = (f"--bind={out}:/out", f"--bind-ro={LIBRARIES}:/{DEPENDENCIES}")
    command = [nspawn, "--quiet", f"--directory={root}", f"--machine=v2g-{secrets.token_hex(4)}", "--register=no",
               "--keep-unit", "--private-network", "--console=pipe", *folders, "--boot",
               "systemd.unit=v2g-proof.service"]  # fmt: skip
    return run_guest(command, longest_s)


def boot_kernel(root: Path, out: Path, tests: str) -> str:
    """The same with a kernel of its own, which grants what a container refuses."""
    add_tests(root, out, tests)
    init = root / "sbin/v2g-init"
    init.write_text(INIT.format(out=out, libraries=LIBRARIES, dependencies=DEPENDENCIES))
    init.chmod(0o755)
    return uml.boot(out, root, "/sbin/v2g-init", "systemd.unit=v2g-proof.service")
