"""make install, upgrade and uninstall in a running Debian with systemd, each test of install_guest.py one here.

Nightly: the program is compiled twice. The older one is the last tag's, or of the first commit that can be installed.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.need import missing
from tests.system import roots
from tests.system.guests import Results, assert_passed, names_of_tests, results_of

pytestmark = pytest.mark.nightly
GUEST = Path(__file__).with_name("install_guest.py")
FIRST = "bfb2383"  # has systemd/install
LONGEST_S = 3600.0


def older() -> str:
    """The last release, but not this very commit."""
    tag = roots.git("describe", "--tags", "--abbrev=0", "--match=v*", "HEAD^").decode().strip()
    commit = roots.git("rev-parse", "--verify", "--quiet", f"{tag or FIRST}^{{commit}}").decode().strip()
    return commit or missing(f"the older commit {FIRST}", "a clone with its history")


def add_trees(root: Path) -> None:
    """An older commit, and this tree as it is now."""
    (root / "trees/old").mkdir(parents=True)
    subprocess.run(["tar", "-x", "-C", root / "trees/old"], input=roots.git("archive", older()), check=True)
    roots.copy_sources(root / "trees/new")


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    folder = tmp_path_factory.mktemp("install")
    root = roots.copy_of(roots.base(f"{roots.PACKAGES},{roots.COMPILER}"), folder / "root")
    add_trees(root)
    shutil.copytree(roots.wheels(), root / "wheels")
    for part in roots.PARTS:  # the simulated devices are of this build
        ignored = shutil.ignore_patterns("*.c", "__pycache__")
        shutil.copytree(roots.ROOT / part, root / "src" / part, ignore=ignored)
    offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/wheels"}
    said = roots.boot(root, folder / "out", GUEST.name, "/usr/bin/python3", LONGEST_S, **offline)
    return results_of(folder / "out/result.xml", said)


@pytest.mark.parametrize("name", names_of_tests(GUEST))
def test_in_the_guest(name: str, results: Results) -> None:
    assert_passed(results, name)
