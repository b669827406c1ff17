"""Real systemd as process 1 with the installed units: a small Debian is booted, and tests run in it, each one here.

Made once by mmdebstrap, then booted without a network: systemd_guest.py by systemd-nspawn; rights_guest.py, at night,
with a kernel of its own, because a container grants neither real time nor locked memory.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.system import roots
from tests.system.guests import Results, assert_passed, names_of_tests, results_of

HERE = Path(__file__).parent
GUEST, RIGHTS = HERE / "systemd_guest.py", HERE / "rights_guest.py"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A system with everything but the tests."""
    root = roots.copy_of(roots.base(), tmp_path_factory.mktemp("systemd") / "root")
    roots.install_tree(root)
    return root


@pytest.fixture(scope="module")
def results(installed: Path) -> Results:
    root, out = roots.copy_of(installed, installed.with_name("container")), installed.with_name("container.out")
    return results_of(out / "result.xml", roots.boot(root, out, GUEST.name))


@pytest.fixture(scope="module")
def of_kernel(installed: Path) -> Results:
    root, out = roots.copy_of(installed, installed.with_name("kernel")), installed.with_name("kernel.out")
    return results_of(out / "result.xml", roots.boot_kernel(root, out, RIGHTS.name))


@pytest.mark.parametrize("name", names_of_tests(GUEST))
def test_in_the_container(name: str, results: Results) -> None:
    assert_passed(results, name)


@pytest.mark.nightly
@pytest.mark.parametrize("name", names_of_tests(RIGHTS))
def test_with_a_kernel_of_its_own(name: str, of_kernel: Results) -> None:
    assert_passed(of_kernel, name)
