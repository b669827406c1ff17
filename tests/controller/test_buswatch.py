"""Alarms about writing, from what a bus counts: a table, time as an argument. And the file for readers."""

from __future__ import annotations

import pytest

from controller.alarms import CODES
from controller.buswatch import ALARMS, DAY_NS, FAILING, HALF, HELD, LOW, SPENT, WriteAlarms
from cython_core.records import Freshness

S = 1_000_000_000
HOUR_NS = 3600 * S
LIMIT_S = 4.0  # a third of an inverter's timer of 12 s


def counts(**changed: int) -> dict[str, int]:
    return {"writes": 0, "write_errors": 0, "refused": 0, "spent": 0, "t_day_ns": 0} | changed


# fmt: off
BUDGETS = [
    # budget  spent  hours  stands              why
    (100,     0,     0,     0,                  "nothing sent"),
    (100,     49,    1,     0,                  "not yet half"),
    (100,     50,    1,     HALF,               "half, to the write"),
    (100,     89,    1,     HALF,               "not yet nine tenths"),
    (100,     90,    1,     HALF | LOW,         "nine tenths: it is still half as well"),
    (100,     99,    1,     HALF | LOW,         "one is left"),
    (100,     100,   23.9,  HALF | LOW | SPENT, "the last one"),
    (100,     104,   23.9,  HALF | LOW | SPENT, "emergencies go beyond"),
    (100,     100,   24,    0,                  "the day is over, even if nothing was written since"),
    (3,       1,     1,     0,                  "a third"),
    (3,       2,     1,     HALF,               "an odd budget: two of three are above half"),
    (0,       9999,  1,     0,                  "a memory that bears any number"),
]
# fmt: on


@pytest.mark.parametrize(("budget", "spent", "hours", "stands", "why"), BUDGETS, ids=[c[-1] for c in BUDGETS])
def test_the_budget(budget: int, spent: int, hours: float, stands: int, why: str) -> None:
    rules = WriteAlarms(budget, LIMIT_S)
    assert rules.update(counts(spent=spent, t_day_ns=7), True, True, 7 + round(hours * HOUR_NS)) == stands, why


# Five set-points were acknowledged a second ago. One look a row:
# (second, acknowledged, failed, refused, commanded, reads good) -> does it stand?
# fmt: off
STORIES = {
    "writes fail for longer than the limit": [
        (0.0, 5, 0, 0, True, True, False), (1.0, 5, 1, 0, True, True, False), (5.0, 5, 4, 0, True, True, False),
        (5.1, 5, 4, 0, True, True, True)],
    "the first failure counts, not the newest": [
        (0.0, 5, 1, 0, True, True, False), (3.9, 5, 9, 0, True, True, False), (4.1, 5, 10, 0, True, True, True)],
    "one that is acknowledged ends it": [
        (0.0, 5, 1, 0, True, True, False), (4.1, 5, 2, 0, True, True, True), (4.3, 6, 2, 0, True, True, False),
        (9.0, 6, 2, 0, True, True, False)],
    "fails now and then, but is acknowledged in between": [
        (0.0, 5, 1, 0, True, True, False), (3.0, 6, 2, 0, True, True, False), (6.0, 7, 3, 0, True, True, False),
        (9.0, 8, 4, 0, True, True, False)],
    "old failures of a run that goes well": [
        (0.0, 6, 9, 0, True, True, False), (9.0, 6, 9, 0, True, True, False)],
    "set-points that cannot be sent at all": [
        (0.0, 5, 0, 1, True, True, False), (4.1, 5, 0, 7, True, True, True)],
    "reads fail too: that has an alarm of its own": [
        (0.0, 5, 1, 0, True, True, False), (4.1, 5, 3, 0, True, False, False), (4.3, 5, 3, 0, True, True, True)],
    "nothing is commanded any more": [
        (0.0, 5, 1, 0, True, True, False), (4.1, 5, 2, 0, True, True, True), (4.3, 5, 2, 0, False, True, False),
        (9.0, 5, 2, 0, True, True, False)],
}
# fmt: on


@pytest.mark.parametrize("why", STORIES)
def test_writes_that_fail(why: str) -> None:
    rules = WriteAlarms(0, LIMIT_S)
    assert rules.update(counts(writes=5), True, True, -S) == 0
    for at_s, writes, errors, refused, commanded, reads_good, stands in STORIES[why]:
        now = counts(writes=writes, write_errors=errors, refused=refused)
        found = rules.update(now, commanded, reads_good, round(at_s * S))
        assert found == FAILING * stands, f"{why}: at {at_s} s"


def test_each_alarm_has_a_bit_and_a_code_of_its_own() -> None:
    bits, codes = [row[0] for row in ALARMS], [row[1] for row in ALARMS]
    assert sorted(bits) == [HALF, LOW, SPENT, FAILING]
    assert len({*codes, *CODES.values()}) == len(codes) + len(CODES)


def test_a_state_is_good_up_to_held() -> None:
    assert HELD == Freshness.HELD


def test_a_day_has_24_hours() -> None:
    assert DAY_NS == 24 * HOUR_NS
