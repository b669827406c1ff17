"""The wheel, built from the source distribution, carries all it needs and works far from the source tree."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("cython_core", "drivers", "controller", "config")
DATA = {".acl", ".conf", ".yaml", ".csv", ".html", ".j2", ".json", ".pyi", ".pyx", ".pxd"}
PROBES = ("drivers/maps/meters/probe.yaml", "config/scenarios/probe.csv", "controller/report/probe.html.j2")


def run(*command: str | Path, cwd: Path, **env: str) -> str:
    """Run to the end; its standard output, or its whole complaint."""
    done = subprocess.run(
        command, cwd=cwd, env={**os.environ, **env}, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel's content: tree -> sdist -> wheel -> unpacked. Neither step may write into the tree."""
    folder = tmp_path_factory.mktemp("wheel")
    tree = folder / "tree"
    shutil.copytree(
        ROOT,
        tree,
        ignore=shutil.ignore_patterns(".git", ".venv*", ".stamps", "build", "*.so", "*.egg-info", "__pycache__"),
    )
    for probe in PROBES:  # data of each kind in each place, whatever the tree holds today
        (tree / probe).parent.mkdir(parents=True, exist_ok=True)
        (tree / probe).write_text("")
    run(sys.executable, "setup.py", "-q", "sdist", "-d", folder, cwd=tree)
    (source,) = folder.glob("*.tar.gz")
    pip = (sys.executable, "-m", "pip", "wheel", "-q", "--no-index", "--no-deps", "--no-build-isolation")
    run(*pip, "-w", folder, source, cwd=folder)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def tracked(*suffixes: str) -> set[str]:
    """Our package files with these suffixes, as the tree has them."""
    paths = (p for package in PACKAGES for p in (ROOT / package).rglob("*") if "__pycache__" not in p.parts)
    return {str(p.relative_to(ROOT)) for p in paths if p.suffix in suffixes}


def test_every_module_data_file_and_stub_is_in_it(site: Path) -> None:
    packed = {str(p.relative_to(site)) for p in site.rglob("*")}
    assert (tracked(".py", *DATA) | set(PROBES)) - packed == set()


def test_every_pyx_is_there_compiled(site: Path) -> None:
    compiled = {str(p.relative_to(site)).partition(".")[0] for p in site.rglob("*.so")}
    assert compiled == {source.removesuffix(".pyx") for source in tracked(".pyx")}


def test_no_generated_c_and_nothing_of_the_tests(site: Path) -> None:
    assert list(site.rglob("*.c")) == []
    assert {p.name for p in site.iterdir() if not p.name.endswith(".dist-info")} == set(PACKAGES)


def test_the_licence_and_the_command_are_named(site: Path) -> None:
    (info,) = site.glob("*.dist-info")
    assert "License-Expression: Apache-2.0" in (info / "METADATA").read_text()
    assert "v2g = controller.cli:main" in (info / "entry_points.txt").read_text()
    assert list(info.rglob("LICENSE"))


# one of each kind: the numbers of the standard, arrays, memory shared with others, threads
SOME = tuple(f"tests/cython_core/test_{name}.py" for name in ("worked_examples", "bulk", "mailbox", "ring", "loop"))
# the second implementation compares the same code elsewhere, and takes its time
ALL = ("tests/cython_core", "--ignore", "tests/cython_core/test_reference.py")


@pytest.mark.parametrize(
    "which", [pytest.param(SOME, id="some"), pytest.param(ALL, id="all", marks=pytest.mark.nightly)]
)
def test_core_tests_pass_on_it(site: Path, tmp_path: Path, which: tuple[str, ...]) -> None:
    """A copy of the core's tests, with only the wheel's content to import."""
    for name in ("__init__.py", "need.py", "conftest.py", "cython_core"):
        source = ROOT / "tests" / name
        target = tmp_path / "tests" / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            target.parent.mkdir(exist_ok=True)
            shutil.copy(source, target)
    code = "import sys, cython_core.functions.volt_var as v; print(v.__file__)"
    assert str(site) in run(sys.executable, "-c", code, cwd=tmp_path, PYTHONPATH=str(site))
    pytest_ = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not system and not nightly")
    assert " passed" in run(*pytest_, *which, cwd=tmp_path, PYTHONPATH=str(site))
