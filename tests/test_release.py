"""What is given out names everything that is in it: the list of parts, and the section of the changelog."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / ".ci/release.py"
PROJECT = {"name": "v2g-controller", "version": "1.2.3", "license": "Apache-2.0"}
LOCK = """\
first==1.0 \\
    --hash=sha256:{a} \\
    --hash=sha256:{b}
Second-Part==2.0.post1 ; python_version < "3.12" \\
    --hash=sha256:{c}
""".format(a="a" * 64, b="b" * 64, c="c" * 64)


@pytest.fixture(scope="module")
def release() -> ModuleType:
    spec = importlib.util.spec_from_file_location("release", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_bill_of_a_small_lock(release: ModuleType) -> None:
    """By hand; the shape is CycloneDX 1.5, purls are those of the purl specification: lower case for PyPI."""
    bill = release.sbom(PROJECT, LOCK)
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.5")
    assert bill["metadata"]["component"]["purl"] == "pkg:pypi/v2g-controller@1.2.3"
    first, second = bill["components"]
    assert [h["content"] for h in first["hashes"]] == ["a" * 64, "b" * 64]
    assert (second["purl"], second["version"]) == ("pkg:pypi/second-part@2.0.post1", "2.0.post1")
    assert second["properties"] == [{"name": "python:marker", "value": 'python_version < "3.12"'}]


@pytest.mark.parametrize("lock", sorted((ROOT / "locks").glob("*.txt")), ids=lambda lock: lock.name)
def test_nothing_of_a_lock_is_left_out(release: ModuleType, lock: Path) -> None:
    """Counted another way: every line that is no hash names one package; every hash belongs to one."""
    text = lock.read_text()
    components = list(release.components(text))
    names = [line.partition("==")[0] for line in text.splitlines() if re.match(r"[A-Za-z]", line)]
    assert [c["name"] for c in components] == names
    assert sum(len(c["hashes"]) for c in components) == text.count("--hash=sha256:")
    assert all(c["hashes"] for c in components)
    assert len({c["bom-ref"] for c in components}) == len(components)


CHANGES = "# Changelog\n\n## Unreleased\n\n- c\n\n## 1.2.3 - 2026-01-01\n\n### Added\n\n- b\n\n## 1.2.2\n\n- a\n"
# fmt: off
SECTIONS = [
    # version  its part               why
    ("1.2.3",  "### Added\n\n- b\n",  "up to the next version"),
    ("1.2.2",  "- a\n",               "up to the end"),
    ("1.2",    None,                  "no beginning of another"),
    ("1.2.4",  None,                  "not there yet"),
]
# fmt: on


@pytest.mark.parametrize(("version", "part", "why"), SECTIONS, ids=[c[-1] for c in SECTIONS])
def test_the_changelogs_section(release: ModuleType, version: str, part: str | None, why: str) -> None:
    assert release.section(CHANGES, version) == part, why


def test_without_its_tag_nothing_is_made(tmp_path: Path) -> None:
    """A copy with a repository of its own: everything committed, no tag."""
    for name in ("pyproject.toml", "CHANGELOG.md", ".ci/release.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    for words in (
        ("init", "-q"),
        ("add", "."),
        ("-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", "all"),
    ):
        subprocess.run(["git", "-C", tmp_path, *words], check=True)
    done = subprocess.run(
        [sys.executable, tmp_path / ".ci/release.py"], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 2
    assert re.search(r"^release: this commit has no tag v\d", done.stderr, re.MULTILINE)
    assert "not committed" not in done.stderr
    assert not (tmp_path / "dist").exists()
