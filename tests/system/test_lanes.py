"""The lanes of `make system`: every test of the tier is in one of them, and what failed is found again."""

from __future__ import annotations

import json
from pathlib import Path

from tests.system import __main__ as tier

LANES = (tier.ALONE, tier.DEMONSTRATIONS, tier.MACHINES, tier.others())


def test_every_file_of_the_tier_is_in_one_lane() -> None:
    marked = {p for p in tier.TESTS.rglob("test_*.py") if p.parent.name == "system" or tier.MARK in p.read_text()}
    assert len(marked) > 40
    for path in marked:
        name = str(path.relative_to(tier.ROOT))
        assert [any(name.startswith(part) for part in lane) for lane in LANES].count(True) == 1, name


def test_every_name_in_a_lane_is_there() -> None:
    assert [name for lane in LANES for name in lane if not (tier.ROOT / name).exists()] == []


def test_files_that_have_failed_are_played_whole(tmp_path: Path) -> None:
    """pytest's own note: the identity of each test."""
    (tmp_path / "v/cache").mkdir(parents=True)
    noted = {"tests/system/test_b.py::test_x[1]": True, "tests/system/test_b.py::test_y": True, "tests/a.py": True}
    (tmp_path / "v/cache/lastfailed").write_text(json.dumps(noted))
    assert tier.failed_files(tmp_path) == ["tests/a.py", "tests/system/test_b.py"]
