"""When a set-point is written (design, section 5): rules in virtual time, each row one reason to write or not."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from cython_core.records import Command, Mode
from drivers.modbus.codes import Due
from drivers.modbus.setpoint import WriteRules
from drivers.registermap import Plan, Read, Write

MS = 1_000_000
T0 = 1_000_000 * MS
PLAN = Plan(
    unit=1,
    reads=(Read(3, 0, 1),),
    decodes=(),
    setpoint=(Write(6, 0, (0,)),),
    min_write_interval_ms=100,
    write_refresh_ms=3000,
    quantum_p_w=10.0,
    quantum_q_var=20.0,
)


def command(
    p_w: float, q_var: float = 0.0, mode: int = Mode.ACTIVE, at_ms: float = 0.0, valid_ms: int = 1000
) -> Command:
    return Command(n=1, t_ns=T0 + round(at_ms * MS), p_w=p_w, q_var=q_var, mode=mode, valid_ms=valid_ms)


# The device has acknowledged 3000 W, 500 var, mode ACTIVE at 0 ms, and a read came since then.
# fmt: off
CASES = [
    # at_ms  p_w     q_var  mode         due          why
    (500,    3000,   500,   Mode.ACTIVE, Due.WAIT,    "unchanged"),
    (500,    3009,   500,   Mode.ACTIVE, Due.WAIT,    "changed by less than the quantum of P"),
    (500,    3010,   500,   Mode.ACTIVE, Due.WRITE,   "changed by the quantum of P"),
    (500,    2990,   500,   Mode.ACTIVE, Due.WRITE,   "the same downwards"),
    (500,    3000,   519,   Mode.ACTIVE, Due.WAIT,    "changed by less than the quantum of Q"),
    (500,    3000,   480,   Mode.ACTIVE, Due.WRITE,   "changed by the quantum of Q"),
    (99,     2000,   500,   Mode.ACTIVE, Due.WAIT,    "inside the minimum interval"),
    (100,    2000,   500,   Mode.ACTIVE, Due.WRITE,   "the minimum interval is over"),
    (2999,   3000,   500,   Mode.ACTIVE, Due.WAIT,    "just before the refresh"),
    (3000,   3000,   500,   Mode.ACTIVE, Due.WRITE,   "the device's own timer is refreshed"),
    (3000,   3000,   500,   Mode.SAFE,   Due.WRITE,   "in mode SAFE too"),
    (5000,   0,      0,     Mode.SILENT, Due.SILENT,  "the core wants nothing written"),
    (5000,   0,      0,     7,           Due.SILENT,  "a mode this code does not know"),
    (5000,   0,      0,     -1,          Due.SILENT,  "a mode this code does not know"),
    (1,      0,      500,   Mode.STOP,   Due.URGENT,  "stopped: the interval does not hold power 0 back"),
    (1,      0,      500,   Mode.SAFE,   Due.URGENT,  "an emergency: power 0 with a change of mode"),
    (1,      0,      500,   Mode.ACTIVE, Due.WAIT,    "0 W as an ordinary wish waits like any other"),
    (1,      2900,   500,   Mode.STOP,   Due.WAIT,    "on its way to 0 the ramp is ordinary writing"),
    (100,    2900,   500,   Mode.STOP,   Due.WRITE,   "on its way to 0 the ramp is ordinary writing"),
    (500,    math.nan, 0,   Mode.ACTIVE, Due.REFUSED, "no number"),
    (500,    0,   math.inf, Mode.STOP,   Due.REFUSED, "no number, not even to stop"),
]
AGES = [
    # age_ms   valid_ms  due           why
    (0,        1000,     Due.WRITE,    "new"),
    (1000,     1000,     Due.WRITE,    "its last moment"),
    (1000.001, 1000,     Due.EXPIRED,  "too old: the core may be dead, the device's own timer acts"),
    (0,        0,        Due.WRITE,    "valid only now"),
    (1,        0,        Due.EXPIRED,  "valid never after"),
    (1,        -5,       Due.EXPIRED,  "a lifetime that is none"),
    (-500,     1000,     Due.WRITE,    "a grid point that is not quite reached"),
    (-1001,    1000,     Due.EXPIRED,  "from the future: not from this machine's clock"),
    (3600001,  2**62,    Due.EXPIRED,  "no command lives longer than an hour"),
]
# fmt: on


def after_a_write() -> WriteRules:
    rules = WriteRules(PLAN)
    rules.tried(Due.WRITE, T0)
    rules.acknowledged(command(3000, 500), T0)
    rules.read()
    return rules


@pytest.mark.parametrize(
    ("at_ms", "p_w", "q_var", "mode", "due", "why"), CASES, ids=[f"{c[-1]} ({c[0]} ms)" for c in CASES]
)
def test_what_is_due(at_ms: float, p_w: float, q_var: float, mode: int, due: Due, why: str) -> None:
    assert after_a_write().due(command(p_w, q_var, mode, at_ms), T0 + round(at_ms * MS)) is due, why


@pytest.mark.parametrize(("age_ms", "valid_ms", "due", "why"), AGES, ids=[c[-1] for c in AGES])
def test_the_age_of_a_command(age_ms: float, valid_ms: int, due: Due, why: str) -> None:
    rules = WriteRules(PLAN)
    assert rules.due(command(2000, valid_ms=valid_ms), T0 + round(age_ms * MS)) is due, why


def test_the_first_command_is_written_whatever_it_is() -> None:
    assert WriteRules(PLAN).due(command(0.0), T0) is Due.URGENT
    assert WriteRules(PLAN).due(command(5.0), T0) is Due.WRITE


def test_one_write_between_two_reads() -> None:
    rules, later = after_a_write(), T0 + 500 * MS
    rules.tried(Due.WRITE, later)
    assert rules.due(command(1000, at_ms=900), T0 + 900 * MS) is Due.WAIT  # the interval is over, but no read came
    rules.read()
    assert rules.due(command(1000, at_ms=900), T0 + 900 * MS) is Due.WRITE


def test_power_to_zero_may_follow_a_write_before_the_next_read_but_once() -> None:
    rules, later = after_a_write(), T0 + 500 * MS
    stop = command(0.0, mode=Mode.STOP, at_ms=500)
    rules.tried(Due.WRITE, later)
    assert rules.due(stop, later + 1) is Due.URGENT
    rules.tried(Due.URGENT, later + 1)
    assert rules.due(stop, later + 2) is Due.WAIT  # not acknowledged: again after the next read
    rules.read()
    assert rules.due(stop, later + 3) is Due.URGENT
    rules.tried(Due.URGENT, later + 3)
    rules.acknowledged(stop, later + 3)
    rules.read()
    assert rules.due(stop, later + 4) is Due.WAIT  # acknowledged: refresh from here on


# The device stands at 8 W, 15 var in mode ACTIVE: less than a quantum of each. Its own timer is fed once a day.
# fmt: off
LAST_STEPS = [
    # at_ms  p_w  q_var  mode         due          why
    (500,    0,   15,    Mode.ACTIVE, Due.WRITE,   "0 W is not 8 W: it would stand until the refresh"),
    (500,    8,   0,     Mode.ACTIVE, Due.WRITE,   "0 var is not 15 var"),
    (500,    1,   15,    Mode.ACTIVE, Due.WAIT,    "1 W is less than a quantum away"),
    (500,    -1,  15,    Mode.ACTIVE, Due.WAIT,    "past 0, and less than a quantum away"),
    (99,     0,   0,     Mode.ACTIVE, Due.WAIT,    "an ordinary 0 keeps the interval"),
]
# The device stands at 0 W, 500 var in mode ACTIVE.
ONLY_Q = [
    # at_ms  p_w  q_var  mode         due          why
    (1,      0,   0,     Mode.STOP,   Due.URGENT,  "stopped: the interval does not hold 0 var back either"),
    (1,      0,   0,     Mode.SAFE,   Due.URGENT,  "an emergency with reactive power alone"),
    (1,      0,   400,   Mode.STOP,   Due.WAIT,    "on its way to 0 var it is ordinary writing"),
    (1,      0,   0,     Mode.ACTIVE, Due.WAIT,    "an ordinary 0 keeps the interval"),
]
# fmt: on
STANDING = [((8.0, 15.0), *c) for c in LAST_STEPS] + [((0.0, 500.0), *c) for c in ONLY_Q]


@pytest.mark.parametrize(
    ("stands", "at_ms", "p_w", "q_var", "mode", "due", "why"),
    STANDING,
    ids=[f"{c[-1]} ({c[4].name})" for c in STANDING],
)
def test_the_way_to_zero(
    stands: tuple[float, float], at_ms: float, p_w: float, q_var: float, mode: Mode, due: Due, why: str
) -> None:
    rules = WriteRules(replace(PLAN, write_refresh_ms=24 * 3600 * 1000))
    rules.tried(Due.WRITE, T0)
    rules.acknowledged(command(*stands), T0)
    rules.read()
    assert rules.due(command(p_w, q_var, mode, at_ms), T0 + round(at_ms * MS)) is due, why


def test_a_failed_write_is_repeated_after_the_interval() -> None:
    rules, later = after_a_write(), T0 + 500 * MS
    rules.tried(Due.WRITE, later)
    rules.forget()
    rules.read()
    same = command(3000, 500, at_ms=500)
    assert rules.due(same, later + 99 * MS) is Due.WAIT
    assert rules.due(same, later + 100 * MS) is Due.WRITE


def test_without_a_timer_in_the_device_each_second_is_refreshed() -> None:
    rules = WriteRules(replace(PLAN, write_refresh_ms=0))
    rules.tried(Due.WRITE, T0)
    rules.acknowledged(command(3000), T0)
    rules.read()
    assert rules.due(command(3000, at_ms=999), T0 + 999 * MS) is Due.WAIT
    assert rules.due(command(3000, at_ms=1000), T0 + 1000 * MS) is Due.WRITE


def test_a_quantum_of_zero_means_any_change() -> None:
    rules = WriteRules(replace(PLAN, quantum_p_w=0.0, quantum_q_var=0.0))
    rules.acknowledged(command(3000), T0)
    assert rules.due(command(3000, at_ms=500), T0 + 500 * MS) is Due.WAIT
    assert rules.due(command(3000.001, at_ms=500), T0 + 500 * MS) is Due.WRITE


@pytest.mark.parametrize(
    "change", [{"quantum_p_w": -1.0}, {"quantum_q_var": math.nan}, {"min_write_interval_ms": 60_001}]
)
def test_rules_that_are_none_are_refused(change: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"plan: {next(iter(change))} = .* is outside"):
        WriteRules(replace(PLAN, **change))  # type: ignore[arg-type]  # the table holds values of several fields


# A budget of 3 writes a day: all three are spent at 0 ms, 3000 W and 500 var stand in the device.
DAY_MS = 24 * 3600 * 1000
# fmt: off
SPENT = [
    # at_ms        p_w    mode         due          why
    (500,          3000,  Mode.ACTIVE, Due.WAIT,    "unchanged: it may stand"),
    (500,          3009,  Mode.ACTIVE, Due.WAIT,    "not even a quantum"),
    (500,          2000,  Mode.ACTIVE, Due.ZERO,    "a power that can no longer follow must not stand"),
    (500,          0,     Mode.ACTIVE, Due.ZERO,    "0 as an ordinary wish is the same"),
    (500,          2900,  Mode.STOP,   Due.ZERO,    "the way down ends at once"),
    (500,          0,     Mode.STOP,   Due.URGENT,  "an emergency is never held back"),
    (500,          0,     Mode.SAFE,   Due.URGENT,  "an emergency is never held back"),
    (DAY_MS - 1,   2000,  Mode.ACTIVE, Due.ZERO,    "the day is not over"),
    (DAY_MS,       2000,  Mode.ACTIVE, Due.WRITE,   "a new day"),
]
# fmt: on


def after_the_last_write() -> WriteRules:
    rules = WriteRules(replace(PLAN, write_budget_per_day=3, write_refresh_ms=DAY_MS))
    for at_ms in (-200, -100, 0):  # the day began at -200 ms; what is not spent in it is not carried over
        rules.tried(Due.WRITE, T0 + at_ms * MS)
        rules.acknowledged(command(3000, 500), T0)
        rules.read()
    return rules


@pytest.mark.parametrize(("at_ms", "p_w", "mode", "due", "why"), SPENT, ids=[f"{c[-1]} ({c[0]} ms)" for c in SPENT])
def test_a_spent_budget(at_ms: int, p_w: float, mode: int, due: Due, why: str) -> None:
    at_ms -= 200 if at_ms >= DAY_MS - 1 else 0
    assert after_the_last_write().due(command(p_w, 500, mode, at_ms), T0 + at_ms * MS) is due, why


def test_once_zero_stands_a_spent_budget_writes_no_more() -> None:
    rules = after_the_last_write()
    rules.tried(Due.ZERO, T0 + 500 * MS)
    rules.acknowledged(command(0, 0, at_ms=500), T0 + 500 * MS)
    rules.read()
    assert rules.due(command(2000, at_ms=900), T0 + 900 * MS) is Due.SPENT
    assert rules.due(command(0, mode=Mode.STOP, at_ms=900), T0 + 900 * MS) is Due.WAIT  # it is there already
    rules.forget()  # a new connection: what the device does is not known
    assert rules.due(command(2000, at_ms=900), T0 + 900 * MS) is Due.ZERO


def test_a_new_day_has_a_whole_budget() -> None:
    rules = after_the_last_write()
    for n in range(3):
        at_ms = DAY_MS + 1000 * n
        assert rules.due(command(100 * n, at_ms=at_ms), T0 + at_ms * MS) is not Due.ZERO
        rules.tried(Due.WRITE, T0 + at_ms * MS)
        rules.acknowledged(command(100 * n, at_ms=at_ms), T0 + at_ms * MS)
        rules.read()
    at_ms = DAY_MS + 4000
    assert rules.due(command(900, at_ms=at_ms), T0 + at_ms * MS) is Due.ZERO


@pytest.mark.parametrize("value", [-1, 1_000_001])
def test_a_budget_outside_its_range(value: int) -> None:
    with pytest.raises(ValueError, match=rf"write_budget_per_day = {value} is outside 0 ... 1000000"):
        WriteRules(replace(PLAN, write_budget_per_day=value))
