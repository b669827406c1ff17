"""arm64: built, installed, tested in a Debian 12 for arm64; a journal has the same bits on both processors, each way.

Not shown   times, and the order of memory accesses: qemu has neither of the real processor (tests/test_memory_order.py
            looks at the second in the sources). The loop, which asks the kernel for what qemu does not pass on.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.commands.replay import summary
from controller.journal import read_journal
from controller.replay import replay
from tests.nightly.arm64 import ROOT, Guest, emulation

CASES = 200
# fmt: off
TESTS = [
    # what runs in the guest                        at least  why
    ("tests/cython_core/test_worked_examples.py",   300,      "every function of the standard by its worked examples"),
    ("tests/cython_core/test_curves.py",            10,       "curves"),
    ("tests/cython_core/test_freq_droop.py",        35,       "the droop"),
    ("tests/cython_core/test_trips.py",             250,      "trips and ride-through"),
    ("tests/cython_core/test_step_failsafe.py",     80,       "late, stale and lost signals"),
    ("tests/cython_core/test_signals.py",           30,       "lags, ramps, timers: the series that stands for exp"),
    ("tests/cython_core/test_reference.py",         15,       "the second implementation, bit by bit"),
    ("tests/cython_core/test_bulk.py",              20,       "dataclass, C struct and NumPy row have one layout"),
    ("tests/cython_core/test_ring.py",              50,       "the ring's file"),
    ("tests/drivers/test_map_proofs.py",            400,      "each map against recorded bytes"),
    ("tests/drivers/test_registermap.py",           65,       "register maps"),
    ("tests/drivers/modbus/test_frame.py",          50,       "Modbus frames"),
    ("tests/drivers/can/test_frame.py",             60,       "CAN frames"),
    ("tests/controller/test_journal.py",            20,       "the journal"),
    ("tests/controller/test_columns.py",            20,       "its packing"),
]
# fmt: on


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    """Built: each compiled module is there, and is arm64."""
    with emulation():
        guest = Guest(tmp_path_factory.mktemp("arm64"))
        done = guest.run("python3", "setup.py", "-q", "build_ext", "--inplace", "--parallel", "2")
        assert done.returncode == 0, done.stdout[-3000:]
        yield guest


def test_every_module_is_compiled_for_arm64(guest: Guest) -> None:
    modules = {
        p.relative_to(ROOT).with_suffix("")
        for q in ("cython_core", "drivers", "controller")
        for p in (ROOT / q).rglob("*.pyx")
    }
    built = {p.relative_to(guest.work) for p in guest.work.rglob("*.cpython-311-aarch64-linux-gnu.so")}
    assert {Path(str(p).partition(".")[0]) for p in built if p.parts[0] != "build"} == modules
    assert all((guest.work / p).read_bytes()[18:20] == b"\xb7\x00" for p in built), "EM_AARCH64"


@pytest.mark.parametrize(("tests", "least", "why"), TESTS, ids=[t[0] for t in TESTS])
def test_core_and_drivers(guest: Guest, tests: str, least: int, why: str) -> None:
    done = guest.run(
        "python3", "-m", "pytest", "-p", "no:cacheprovider", "-m", "not system and not nightly", tests, V2G_CASES="100"
    )
    assert done.returncode == 0, done.stdout[-3000:]
    passed = re.search(r"^(\d+) passed", done.stdout, re.MULTILINE)
    assert passed is not None, done.stdout
    assert int(passed[1]) >= least, done.stdout


INSTALL = """
python3 setup.py -q bdist_wheel
DESTDIR=/src/machine WHEEL=$(echo dist/*.whl) PIP_NO_INDEX=1 PIP_FIND_LINKS=/opt/wheels systemd/install install
unset PYTHONPATH
cd /
/src/machine/opt/v2g/current/bin/python -m controller.cli --version
/src/machine/opt/v2g/current/bin/python -m controller.cli check demo-60hz
"""


def test_it_is_installed_as_on_a_machine(guest: Guest) -> None:
    """`make install` into a folder, as for an image: the wheel of this build, its packages by the guest's own pip."""
    done = guest.run("sh", "-euc", INSTALL)
    assert done.returncode == 0, done.stdout[-3000:]
    assert "is in use, start mode shadow" in done.stdout
    assert re.search(r"^v2g \d+\.\d+\.\d+", done.stdout, re.MULTILINE), "from its own environment"
    assert "demo-60hz" in done.stdout.partition("\nv2g ")[2]


# ---- a journal, each way ----


@pytest.fixture(scope="module")
def journals(guest: Guest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same cases, recorded here and there."""
    here, there = tmp_path_factory.mktemp("here") / "here.v2gj", guest.work / "there.v2gj"
    command = ("-m", "tests.nightly.recording")
    subprocess.run([sys.executable, *command, here, str(CASES)], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    done = guest.run("python3", *command, "there.v2gj", str(CASES))
    assert done.returncode == 0, done.stdout
    (guest.work / "here.v2gj").write_bytes(here.read_bytes())
    return {"here": here, "there": there}


def test_recorded_here_it_replays_there(guest: Guest, journals: dict[str, Path]) -> None:
    done = guest.run("python3", "-m", "controller.cli", "replay", "here.v2gj")
    assert "identical" in done.stdout.splitlines(), done.stdout  # nspawn adds a line of its own
    assert len(re.findall(r"identical over [1-9]\d* steps", done.stdout)) == CASES


def test_recorded_there_it_replays_here(journals: dict[str, Path]) -> None:
    result = replay(read_journal(journals["there"]))
    assert result.identical, summary(result)
    assert len(result.runs) == CASES


def test_both_have_recorded_the_same_file(journals: dict[str, Path]) -> None:
    assert journals["there"].read_bytes() == journals["here"].read_bytes()
