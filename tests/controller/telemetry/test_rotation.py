"""What makes a running process look at its certificates again. Taking them: tests/system/test_rotation.py."""

from __future__ import annotations

from pathlib import Path

from controller.telemetry.rotation import marks


def rewrite(file: Path) -> None:
    file.write_text("other")  # as long as before


def replace(file: Path) -> None:
    file.with_name("new").write_text("first")
    file.with_name("new").replace(file)


def give_rights(file: Path) -> None:
    file.chmod(0o640)


def test_each_change_is_seen(tmp_path: Path) -> None:
    """Rights too: a key that could not be read, and now can, is tried once more."""
    file = tmp_path / "house.key"
    seen = [marks([file])]
    file.write_text("first")
    file.chmod(0o600)
    for change in (rewrite, replace, give_rights, Path.unlink):
        seen.append(marks([file]))
        change(file)
    seen.append(marks([file]))
    assert seen[0] == seen[-1] == (None,)
    assert len(set(seen[1:])) == len(seen) - 1, "each differs from all others"
