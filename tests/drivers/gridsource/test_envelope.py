"""The envelope of a rig: what is outside is not sent, whatever a procedure wants. Time is an argument."""

from __future__ import annotations

import pytest

from drivers.gridsource.envelope import Envelope, Fenced, mistakes
from drivers.gridsource.point import EnvelopeError, GridPoint, SourceError

# 240 V, 60 Hz; every limit has its own value
ENVELOPE = Envelope(
    v_min_v=0.0, v_max_v=290.0, v_step_v=250.0, v_rate_v_s=500.0, v_normal_low_v=211.2, v_normal_high_v=264.0,
    low_s=21.0, high_s=13.0, f_min_hz=56.0, f_max_hz=66.0, f_step_hz=0.5, f_rate_hz_s=4.0, angle_step_deg=60.0,
)  # fmt: skip
NOMINAL = GridPoint(240.0, 240.0, 240.0, 60.0)


class Recorder:
    """A source that only remembers."""

    manual = False
    rest: GridPoint | None = None

    def __init__(self, phases: int = 1) -> None:
        self.phases, self.points, self.broken = phases, [], False

    points: list[GridPoint]

    def identity(self) -> str:
        return "recorder"

    def on(self, point: GridPoint) -> int:
        return self.set(point)

    def set(self, point: GridPoint) -> int:
        if self.broken:
            raise SourceError("broken")
        self.points.append(point)
        return 0

    def read(self) -> GridPoint | None:
        return self.points[-1]

    def safe(self) -> None:
        self.points.clear()

    def close(self) -> None: ...


class Bench:
    """A fenced recorder and its clock."""

    def __init__(self, phases: int = 1) -> None:
        self.t_s = 100.0
        self.source = Recorder(phases)
        self.fenced = Fenced(self.source, ENVELOPE, lambda: round(self.t_s * 1e9))


def at(v: float, f: float = 60.0) -> GridPoint:
    return GridPoint(v, 0.0, 0.0, f)


# fmt: off
LEVELS = [
    # point                               said                                          why
    (at(290.0),                           "",                                           "the edge is allowed"),
    (at(290.01),                          "L1: 290.01 V is outside the rig's envelope", "10 mV above"),
    (at(-1.0),                            "L1: -1 V is outside",                        "there is no negative rms"),
    (at(float("nan")),                    "L1: nan V is outside",                       "NaN is outside everything"),
    (at(240.0, 55.9),                     "frequency: 55.9 Hz is outside",              "too slow"),
    (at(240.0, 66.001),                   "frequency: 66.001 Hz is outside",            "1 mHz too fast"),
    (GridPoint(240.0, 999.0, 0.0, 60.0),  "",                                           "one phase: L2 is nothing"),
]
# fmt: on


@pytest.mark.parametrize(("point", "said", "why"), LEVELS, ids=[c[-1] for c in LEVELS])
def test_levels_hold_for_the_first_point_too(point: GridPoint, said: str, why: str) -> None:
    bench = Bench()
    if said:
        with pytest.raises(EnvelopeError, match=said):
            bench.fenced.on(point)
        assert bench.source.points == []
    else:
        bench.fenced.on(point)
        assert bench.source.points == [point]


def test_each_of_three_phases_is_looked_at() -> None:
    with pytest.raises(EnvelopeError, match="L3: 291 V"):
        Bench(3).fenced.on(GridPoint(240.0, 240.0, 291.0, 60.0))


# fmt: off
JUMPS = [
    # to                                   said                      why
    (at(0.0),                              "",                       "a dip of 240 V is inside 250 V"),
    (at(240.0, 60.5),                      "",                       "0.5 Hz at once is allowed"),
    (at(240.0, 60.501),                    "a jump of 0.501 Hz",     "1 mHz more is not"),
    (GridPoint(240, 0, 0, 60, 60.0),       "",                       "a phase jump of 60 degrees"),
    (GridPoint(240, 0, 0, 60, -60.1),      "jump of L1's angle",     "and one of 60.1"),
    (GridPoint(240, 0, 0, 60, 359.0),      "",                       "359 degrees are -1"),
]
# fmt: on


@pytest.mark.parametrize(("to", "said", "why"), JUMPS, ids=[c[-1] for c in JUMPS])
def test_jumps(to: GridPoint, said: str, why: str) -> None:
    bench = Bench()
    bench.fenced.on(NOMINAL)
    if said:
        with pytest.raises(EnvelopeError, match=said):
            bench.fenced.set(to)
    else:
        bench.fenced.set(to)
    assert bench.source.points[1:] == ([] if said else [to])


def test_a_ramp_inside_the_rate_is_let_through_and_a_faster_one_is_not() -> None:
    """3 Hz/s of category III in steps of 10 ms goes on and on; 12 Hz/s uses up 0.5 Hz after some 60 ms."""
    bench = Bench()
    bench.fenced.on(NOMINAL)
    for i in range(1, 180):
        bench.t_s += 0.01
        bench.fenced.set(at(240.0, 60.0 + 0.03 * i))
    bench = Bench()
    bench.fenced.on(NOMINAL)
    for i in range(1, 6):
        bench.t_s += 0.01
        bench.fenced.set(at(240.0, 60.0 + 0.12 * i))
    bench.t_s += 0.01
    with pytest.raises(EnvelopeError, match=r"a jump of 0\.12 Hz is more than the rig allows now: 0\.1 Hz"):
        bench.fenced.set(at(240.0, 60.72))
    # 0.5 Hz, filled by 0.04 and emptied by 0.12 each step but the first, when it is full: 0.38, 0.30, 0.22, 0.14, 0.06


def test_two_big_jumps_one_after_the_other_need_time() -> None:
    bench = Bench()
    bench.fenced.on(NOMINAL)
    bench.fenced.set(at(40.0))
    with pytest.raises(EnvelopeError, match=r"a jump of 200 V is more than the rig allows now: 50 V"):
        bench.fenced.set(NOMINAL)
    bench.t_s += 0.3  # 150 V
    bench.fenced.set(NOMINAL)


def test_switching_on_what_is_on_is_a_jump_like_any_other() -> None:
    bench = Bench()
    bench.fenced.on(NOMINAL)
    with pytest.raises(EnvelopeError, match="a jump of 1 Hz"):
        bench.fenced.on(at(240.0, 61.0))
    bench.fenced.safe()
    bench.fenced.on(at(240.0, 61.0))


def test_a_source_that_rests_at_nominal_is_still_on() -> None:
    """`rest: nominal`: what comes after safe() is a jump from there, not from 0 V."""
    bench = Bench()
    bench.source.rest = NOMINAL
    fenced = Fenced(bench.source, ENVELOPE, lambda: round(bench.t_s * 1e9))
    fenced.on(at(250.0))
    fenced.safe()
    with pytest.raises(EnvelopeError, match="a jump of 1 Hz"):
        fenced.on(at(240.0, 61.0))
    fenced.on(at(240.0, 60.5))


# fmt: off
TIMES = [
    # v       seconds  late   why
    (211.2,   1e4,     False, "the edge of the normal band is inside"),
    (211.19,  20.9,    False, "low for less than 21 s"),
    (211.19,  21.1,    True,  "low for more"),
    (264.01,  12.9,    False, "high for less than 13 s"),
    (264.01,  13.1,    True,  "high for more"),
]
# fmt: on


@pytest.mark.parametrize(("v", "seconds", "late", "why"), TIMES, ids=[c[-1] for c in TIMES])
def test_time_outside_the_normal_band(v: float, seconds: float, late: bool, why: str) -> None:
    bench = Bench()
    bench.fenced.on(NOMINAL)
    bench.fenced.set(at(v))
    bench.t_s += seconds
    assert bool(bench.fenced.overdue()) is late
    if late:
        with pytest.raises(EnvelopeError, match="and the next point leaves it there"):
            bench.fenced.set(at(v, 60.1))
    bench.fenced.set(NOMINAL)
    assert bench.fenced.overdue() == ""


def test_the_time_runs_on_from_one_low_point_to_the_next() -> None:
    bench = Bench()
    bench.fenced.on(NOMINAL)
    bench.fenced.set(at(200.0))
    bench.t_s += 15.0
    bench.fenced.set(at(120.0))
    bench.t_s += 15.0
    assert bench.fenced.overdue() == "voltage has stood below 211.2 V for more than 21 s"


def test_a_source_that_fails_while_it_goes_outside_is_taken_to_be_outside() -> None:
    bench = Bench()
    bench.fenced.on(NOMINAL)
    bench.source.broken = True
    with pytest.raises(SourceError):
        bench.fenced.set(at(270.0))
    bench.t_s += 14.0
    assert "above 264 V" in bench.fenced.overdue()
    bench.fenced.safe()
    assert bench.fenced.overdue() == ""


def test_limits_that_contradict_each_other_are_told() -> None:
    assert mistakes(ENVELOPE) == []
    wrong = Envelope(
        v_min_v=220.0, v_max_v=250.0, f_min_hz=61.0, f_max_hz=59.0, v_step_v=1.0, f_step_hz=1.0, v_normal_low_v=211.0,
        v_normal_high_v=264.0,
    )  # fmt: skip
    assert mistakes(wrong) == [
        "v_min_v = 220 is above v_normal_low_v = 211",
        "v_normal_high_v = 264 is above v_max_v = 250",
        "f_min_hz = 61 is above f_max_hz = 59",
    ]
