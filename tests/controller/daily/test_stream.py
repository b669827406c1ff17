"""The steps of one day out of journals: which come, what is skipped, what is told of damage."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from controller.journal import JournalError
from controller.report.daily.stream import BLOCK, DAY_NS, MARGIN_NS, Block, DayStream, joined
from tests.controller.daily.maker import DAY, MINUTE, PERIOD_NS, minutes, write

BEGIN_NS = int(DAY.timestamp()) * 10**9


def taken(*files: Path) -> tuple[list[Block], DayStream]:
    stream = DayStream(files, BEGIN_NS)
    return list(stream.blocks()), stream


def wall_s(blocks: list[Block]) -> tuple[float, float]:
    """First and last step, s after the day's begin."""
    return tuple((int(blocks[i].wall_ns[i]) - BEGIN_NS) / 1e9 for i in (0, -1))  # type: ignore[return-value]  # two


def test_the_steps_are_those_of_the_core_bit_by_bit(tmp_path: Path) -> None:
    write(tmp_path / "j.v2gj", 0.1)
    blocks, stream = taken(tmp_path / "j.v2gj")
    whole = joined([records for records, _ in minutes(0.1)])
    assert joined([b.records for b in blocks]).tobytes() == whole.tobytes()
    assert all(len(b.records) <= BLOCK + 100 for b in blocks), "a day never lies in memory"
    assert (stream.identical, stream.lost, stream.adrift, stream.notes) == (6 * MINUTE, 0, 0, [])


def test_only_the_day_and_its_margins_are_computed(tmp_path: Path) -> None:
    write(tmp_path / "j.v2gj", 0.5, DAY - timedelta(minutes=15))
    blocks, stream = taken(tmp_path / "j.v2gj")
    first_s, last_s = wall_s(blocks)
    assert first_s == -MARGIN_NS / 1e9, "two minutes before midnight: an event needs its calm"
    assert last_s == pytest.approx(15 * 60 - PERIOD_NS / 1e9)
    assert stream.identical == 17 * MINUTE
    write(tmp_path / "late.v2gj", 0.5, DAY + timedelta(hours=23, minutes=45))
    assert wall_s(taken(tmp_path / "late.v2gj")[0])[1] == pytest.approx((DAY_NS + MARGIN_NS) / 1e9 - PERIOD_NS / 1e9)


def test_another_day_is_not_there_but_named(tmp_path: Path) -> None:
    write(tmp_path / "j.v2gj", 0.1, DAY - timedelta(days=2))
    blocks, stream = taken(tmp_path / "j.v2gj")
    assert blocks == []
    assert stream.identical == 0
    assert min(stream.seen_ns) == BEGIN_NS - 2 * DAY_NS


def test_a_hole_parts_the_blocks_and_the_core_begins_again_behind_it(tmp_path: Path) -> None:
    write(tmp_path / "j.v2gj", 0.1, without=[2])
    blocks, stream = taken(tmp_path / "j.v2gj")
    assert all(np.all(np.diff(b.records["n"]) == 1) for b in blocks)
    seen = joined([b.records for b in blocks])["n"]
    assert sorted(set(range(6 * MINUTE)) - set(seen.tolist())) == list(range(2 * MINUTE, 3 * MINUTE))
    assert (stream.lost, stream.identical) == (MINUTE, 5 * MINUTE)


def test_runs_follow_each_other_over_files(tmp_path: Path) -> None:
    write(tmp_path / "j.1.v2gj", 0.05, epoch=7)
    write(tmp_path / "j.v2gj", 0.05, DAY + timedelta(minutes=10), epoch=8)
    blocks, _ = taken(tmp_path / "j.1.v2gj", tmp_path / "j.v2gj")
    assert [b.info["epoch"] for b in blocks] == sorted(b.info["epoch"] for b in blocks)
    assert {(b.run, b.info["epoch"]) for b in blocks} == {(0, 7), (1, 8)}
    assert all(a.wall_ns[-1] < b.wall_ns[0] for a, b in pairwise(blocks))


def test_damage_is_a_note_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "j.v2gj"
    write(path, 0.1)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    _, stream = taken(path)
    assert any(note.startswith("j.v2gj: byte ") for note in stream.notes)
    assert stream.identical > 0
    (tmp_path / "no.v2gj").write_text("nothing of ours")
    with pytest.raises(JournalError, match="is no journal"):
        taken(tmp_path / "no.v2gj")
