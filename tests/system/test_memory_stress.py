"""Mailbox and ring between two processes for longer: millions of values, hundreds of killed writers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.cython_core import stress


def sizes(system: int, nightly: int) -> list[Any]:
    """Seconds here, minutes at night."""
    return [system, pytest.param(nightly, marks=pytest.mark.nightly)]


@pytest.mark.parametrize("longest_rest", [0, 4095], ids=lambda n: f"rest {n}")
@pytest.mark.parametrize("count", sizes(3_000_000, 30_000_000))
def test_a_mailbox_never_gives_half_a_value(tmp_path: Path, count: int, longest_rest: int) -> None:
    """A writer that never rests, and one that mostly rests longer than a read takes."""
    values = stress.box_race(tmp_path / "box", count, longest_rest)
    print(f"{values} of {count} values seen, rests up to {longest_rest} looks")
    assert values > 0


@pytest.mark.parametrize("asleep", [True, False])
@pytest.mark.parametrize("turns", sizes(50_000, 2_000_000))
def test_no_wake_is_lost(tmp_path: Path, turns: int, asleep: bool) -> None:
    assert stress.ball_game(tmp_path / "one", tmp_path / "two", turns, asleep) == turns


@pytest.mark.parametrize("count", sizes(20_000_000, 400_000_000))
def test_a_ring_counts_every_step_that_a_reader_does_not_get(tmp_path: Path, count: int) -> None:
    seen, lost = stress.ring_race(tmp_path / "ring", count, most=4096)
    print(f"{seen} of {count} steps seen, {lost} lost")
    assert seen + lost == count
    assert seen > 0


@pytest.mark.parametrize("kills", sizes(200, 5_000))
def test_a_mailbox_survives_its_writers(tmp_path: Path, kills: int) -> None:
    met = stress.box_kills(tmp_path / "box", kills, seed=kills)
    print(dict(met))
    assert met["kills"] == kills
    assert met["half"] > kills // 100, "hardly a kill met a writer in the middle of a value"


@pytest.mark.parametrize("kills", sizes(200, 5_000))
def test_a_ring_survives_its_writers(tmp_path: Path, kills: int) -> None:
    met = stress.ring_kills(tmp_path / "ring", kills, seed=kills)
    print(dict(met))
    assert met["kills"] == kills
    assert min(met["half"], met["half a snapshot"]) > kills // 100, "hardly a kill met a writer in the middle"
