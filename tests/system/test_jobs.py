"""The jobs of `make system`: every file of the tier is in one of them, and what failed is found again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.system import __main__ as tier

NAMES = [*tier.ALONE, *(name for job in tier.jobs() for name in job)]


def test_every_file_of_the_tier_is_in_one_job() -> None:
    marked = {p for p in tier.TESTS.rglob("test_*.py") if p.parent.name == "system" or tier.MARK in p.read_text()}
    assert len(marked) > 40
    for path in marked:
        name = str(path.relative_to(tier.ROOT))
        assert [name.startswith(part) for part in NAMES].count(True) == 1, name


def test_every_name_in_a_job_is_there() -> None:
    assert [name for name in NAMES if not (tier.ROOT / name).exists()] == []


# fmt: off
CODES = [
    # file                          code   printed            why
    ("tests/system/test_jobs.py",   0,     "passed",          "green"),
    ("tests/system/test_fresh.py",  0,     "deselected",      "all of them are nightly: nothing to play here"),
    ("tests/system/nowhere.py",     4,     "not found",       "pytest's own code for a bad call"),
]
# fmt: on


@pytest.mark.parametrize(("name", "code", "printed", "why"), CODES, ids=[row[-1] for row in CODES])
def test_the_code_of_a_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, code: int, printed: str, why: str
) -> None:
    monkeypatch.setattr(tier, "PYTEST", (*tier.PYTEST, "-k", "in_a_job or fresh"))
    got, said = tier.play((name,), tmp_path)
    assert got == code, said
    assert said.startswith("=== ")
    assert printed in said


def test_files_that_have_failed_are_played_whole(tmp_path: Path) -> None:
    """pytest's own note: the identity of each test. A job without failures has none."""
    noted = {
        "0": {"tests/system/test_b.py::test_x[1]": True, "tests/system/test_b.py::test_y": True},
        "2": {"tests/a.py": True},
    }
    for job, names in noted.items():
        (tmp_path / job / "v/cache").mkdir(parents=True)
        (tmp_path / job / "v/cache/lastfailed").write_text(json.dumps(names))
    (tmp_path / "1").mkdir()
    assert tier.failed_files(tmp_path) == ["tests/a.py", "tests/system/test_b.py"]
