"""Pace of remote commands: a hijacked aggregator cannot make many units move, or swing, in one instant."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from controller.services.pace import Limits
from cython_core.records import WishSource
from tests.controller.services.test_remote import BOUNDS, NOW_MS, Rig

AGGREGATOR = WishSource.AGGREGATOR


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path, bounds=replace(BOUNDS, sources=("home", "aggregator")), spread_s=30.0)


# fmt: off
DRAWN = [
    # drawn  waits, s
    (0.0,    0.0),
    (0.25,   7.5),
    (1.0,    30.0),
]
# fmt: on


@pytest.mark.parametrize(("drawn", "wait_s"), DRAWN)
def test_a_wish_of_the_aggregator_begins_after_a_wait_of_this_unit(rig: Rig, drawn: float, wait_s: float) -> None:
    rig.drawn = drawn
    facts = rig.send("power", p_w=2000, source="aggregator")
    assert (facts["event"], facts["from_ms"]) == ("command_accepted", NOW_MS + round(wait_s * 1000))
    if wait_s:
        assert rig.power(AGGREGATOR) is None
        rig.turn(0.5, after_s=wait_s - 0.001)
        assert rig.power(AGGREGATOR) is None
    rig.turn(0.5, after_s=0.001)
    assert rig.power(AGGREGATOR) == (-7000.0, 5000.0, 2000.0)
    wish = rig.wish(AGGREGATOR)
    assert wish is not None
    assert wish.expires_ns - rig.now.mono_ns == 600 * 10**9 - (round(wait_s * 1000) + (0 if wait_s else 1)) * 10**6


def test_what_was_wished_before_stays_until_the_wait_is_over(rig: Rig) -> None:
    rig.drawn = 0.0
    rig.send("power", p_w=1000, source="aggregator")
    rig.turn(0.5)
    rig.drawn = 1.0
    rig.send("power", p_w=-2000, source="aggregator")
    rig.turn(0.5, after_s=29.0)
    assert rig.power(AGGREGATOR) == (-7000.0, 5000.0, 1000.0), "no jump to the default wish between"
    rig.turn(0.5, after_s=1.0)
    assert rig.power(AGGREGATOR) == (-7000.0, 5000.0, -2000.0)


def test_a_wait_goes_on_over_a_restart_and_its_number_is_used_up(rig: Rig) -> None:
    rig.drawn = 1.0
    rig.send("power", p_w=2000, source="aggregator", seq=9)
    rig.restart()
    assert rig.send("power", p_w=2000, source="aggregator", seq=9)["reason"] == "replayed"
    rig.turn(0.5, after_s=30.0)
    assert rig.power(AGGREGATOR) == (-7000.0, 5000.0, 2000.0)
    assert rig.send("power", p_w=2000, source="aggregator", seq=9)["reason"] == "replayed"


def test_a_stop_never_waits_and_ends_what_waits(rig: Rig) -> None:
    rig.drawn = 1.0
    rig.send("power", p_w=2000, source="aggregator")
    assert "from_ms" not in rig.send("stop", source="aggregator")
    assert rig.power(AGGREGATOR) == (0.0, 0.0, 0.0)
    rig.turn(0.5, after_s=31.0)
    assert rig.power(AGGREGATOR) == (0.0, 0.0, 0.0)


def test_a_resume_waits_too(rig: Rig) -> None:
    rig.drawn = 1.0
    rig.send("stop", source="aggregator")
    rig.send("resume", source="aggregator")
    assert rig.send("power", p_w=1, source="aggregator")["reason"] == "stopped"
    rig.turn(0.5, after_s=30.0)
    assert rig.send("power", p_w=1, source="aggregator")["event"] == "command_accepted"


def test_a_wish_that_could_be_over_before_it_begins_is_refused(rig: Rig) -> None:
    """Else short lives would make all units move at once."""
    assert rig.send("power", p_w=1, source="aggregator", expires_ms=NOW_MS + 30_000)["reason"] == "lifetime"
    assert rig.send("power", p_w=1, source="aggregator", expires_ms=NOW_MS + 30_001)["event"] == "command_accepted"


def test_the_house_does_not_wait(rig: Rig) -> None:
    rig.drawn = 1.0
    assert "from_ms" not in rig.send("power", p_w=2000)
    assert rig.power() == (-7000.0, 5000.0, 2000.0)


def test_a_reserve_neither_waits_nor_ends_what_waits(rig: Rig) -> None:
    rig.drawn = 1.0
    rig.send("power", p_w=-2000, source="aggregator")
    rig.send("reserve", soc_pu=0.3, source="aggregator")
    rig.turn(0.5, after_s=30.0)
    assert rig.power(AGGREGATOR) == (-7000.0, 5000.0, -2000.0)


def test_who_commands_many_waits_however_he_signs() -> None:
    limits = Limits(12, 12, 30.0)
    assert [limits.spread_ms(s) for s in ("aggregator", "ems", "home", "operator")] == [30_000, 0, 0, 0]


def test_a_wish_turns_so_many_times_an_hour(tmp_path: Path) -> None:
    rig = Rig(tmp_path, turns_per_hour=2)
    powers = [1000, -1000, 0, 1000]  # the first has no direction before it; 0 W between hides none
    assert [rig.send("power", p_w=p)["event"] for p in powers] == ["command_accepted"] * 4
    assert rig.send("power", p_w=-1000)["reason"] == "turns"
    assert rig.send("mode", mode="auto")["reason"] == "turns", "the default wish charges"
    assert rig.send("power", p_w=2000)["event"] == "command_accepted", "the same way: no turn"
    assert rig.send("stop")["event"] == "command_accepted"
    rig.send("resume")
    rig.advance(3600.0)
    assert rig.send("resume")["event"] == "command_accepted", "an hour later"


def test_a_wish_that_ends_by_itself_hides_no_turn(tmp_path: Path) -> None:
    """Else short wishes, one after the other, would swing a unit as often as commands may come."""
    rig = Rig(tmp_path, turns_per_hour=3)
    for _ in range(2):
        assert rig.send("power", p_w=5000, expires_ms=rig.now.wall_ms + 2000)["event"] == "command_accepted"
        rig.advance(10.0)  # it has charged meanwhile
    assert rig.send("power", p_w=5000)["reason"] == "turns", "out, in, out, in: three, and this would be the fourth"
    assert rig.send("power", p_w=-5000)["event"] == "command_accepted"


def test_a_wish_that_another_source_outlives_is_no_turn(tmp_path: Path) -> None:
    rig = Rig(tmp_path, turns_per_hour=0)
    assert rig.send("power", p_w=1000, source="operator")["event"] == "command_accepted"
    rig.send("power", p_w=2000, expires_ms=rig.now.wall_ms + 2000)
    rig.advance(10.0)
    assert rig.send("power", p_w=2000)["event"] == "command_accepted", "it has discharged all the time"
