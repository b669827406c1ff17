"""The bus bar: what one process writes another reads, and a part that stopped counts as off."""

from __future__ import annotations

from pathlib import Path
from time import monotonic

import pytest

from drivers.sim.bar import SILENT_S, WORDS, Bar, BarError, Grid


def test_two_mappings_see_one_word(tmp_path: Path) -> None:
    one, other = Bar(tmp_path / "bar"), Bar(tmp_path / "bar")
    one.set("f_hz", 49.987)
    assert other.get("f_hz") == 49.987


def test_a_new_bar_is_off_everywhere(tmp_path: Path) -> None:
    bar = Bar(tmp_path / "bar")
    assert bar.grid() == Grid(0.0, (0.0, 0.0, 0.0))
    assert bar.unit_power() == (0.0, 0.0)


# fmt: off
HEARTBEATS = [
    # age_s            runs    why
    (0.0,              True,   "just now"),
    (SILENT_S + 0.1,   False,  "its process was stopped"),
    (-1000.0,          False,  "from before a reboot: the clock began anew"),
]
# fmt: on


@pytest.mark.parametrize(("age_s", "runs", "why"), HEARTBEATS, ids=[c[-1] for c in HEARTBEATS])
def test_a_part_counts_while_its_heart_beats(tmp_path: Path, age_s: float, runs: bool, why: str) -> None:
    bar = Bar(tmp_path / "bar")
    bar.update(p_w=3000.0, q_var=100.0, f_hz=50.0, v1_v=230.0)
    bar.update(unit_s=monotonic() - age_s, grid_s=monotonic() - age_s)
    assert bar.unit_power() == ((3000.0, 100.0) if runs else (0.0, 0.0))
    assert bar.grid().f_hz == (50.0 if runs else 0.0)


def test_another_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "bar"
    file.write_text("precious")
    with pytest.raises(BarError, match="8 bytes; allowed: a bar of"):
        Bar(file)
    assert file.read_text() == "precious"


def test_a_bar_of_another_version_is_refused(tmp_path: Path) -> None:
    Bar(tmp_path / "bar").set("version", 99.0)
    with pytest.raises(BarError, match="version 99; allowed: 4"):
        Bar(tmp_path / "bar")


def test_names_are_unique_and_unknown_ones_refused(tmp_path: Path) -> None:
    assert len(set(WORDS)) == len(WORDS)
    with pytest.raises(KeyError):
        Bar(tmp_path / "bar").set("nosuch", 1.0)
