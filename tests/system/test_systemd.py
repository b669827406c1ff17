"""Real systemd as process 1 with the installed units: a small Debian is booted, and tests run in it, each one here.

Made once by mmdebstrap, then booted without a network: systemd_guest.py by systemd-nspawn, all of it in one boot;
rights_guest.py, at night, with a kernel of its own, because a container grants neither real time nor locked memory;
demo_guest.py at night too.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.system import roots
from tests.system.guests import Results, assert_passed, names_of_tests, results_of

HERE = Path(__file__).parent
GUEST, RIGHTS, DEMO = (HERE / f"{name}_guest.py" for name in ("systemd", "rights", "demo"))


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A system with everything but the tests."""
    root = roots.copy_of(roots.base(), tmp_path_factory.mktemp("systemd") / "root")
    roots.install_tree(root)
    return root


def in_container(installed: Path, guest: Path) -> Results:
    root, out = roots.copy_of(installed, installed.with_name(guest.stem)), installed.with_name(f"{guest.stem}.out")
    return results_of(out / "result.xml", roots.boot(root, out, guest.name))


@pytest.fixture(scope="module")
def results(installed: Path) -> Results:
    return in_container(installed, GUEST)


@pytest.fixture(scope="module")
def of_demo(installed: Path) -> Results:
    return in_container(installed, DEMO)


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


@pytest.mark.nightly
@pytest.mark.parametrize("name", names_of_tests(DEMO))
def test_the_demonstration(name: str, of_demo: Results) -> None:
    assert_passed(of_demo, name)
