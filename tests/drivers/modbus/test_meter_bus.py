"""The meter's bus thread against a scripted device: what is published, with which time, and what silence does."""

from __future__ import annotations

import gc
import math
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise

import pytest

from cython_core.realtime.mailbox import Mailbox
from cython_core.records import Command, Measurement, MeasurementValid
from drivers.base import BusError
from drivers.modbus.bus import Bus
from drivers.modbus.bus import Device as BusDevice
from drivers.modbus.link import TcpLink
from drivers.registermap import Decode, Plan, Read, Write
from tests.drivers.modbus.scripted import HANG_UP, Device, Request, device, reply, wait

V = MeasurementValid
FAST, POWER, SLOW = 0x00, 0x34, 0x100
PLAN = Plan(
    unit=1,
    reads=(Read(4, FAST, 4), Read(4, POWER, 2), Read(4, SLOW, 1, every=5)),
    decodes=(
        Decode(0, 0, "f32", 1.0, 40, 70, 4, V.F),
        Decode(0, 2, "f32", 1.0, 0, 400, 5, V.V1),
        Decode(1, 0, "f32", -1.0, -5e4, 5e4, 8, V.P),
        Decode(2, 0, "s16", 1.0, -1e4, 1e4, 9, V.Q),
    ),
    timeout_ms=60,
)
ALL = V.F | V.V1 | V.P | V.Q


def floats(address: int, *values: float) -> dict[int, int]:
    words = struct.unpack(f">{2 * len(values)}H", struct.pack(f">{len(values)}f", *values))
    return {address + i: w for i, w in enumerate(words)}


WORDS = floats(FAST, 50.0, 230.0) | floats(POWER, 2000.0) | {SLOW: 0xFFF6}


@contextmanager
def polled(d: Device, plan: Plan = PLAN, poll_ms: int = 0) -> Iterator[tuple[BusDevice, Mailbox]]:
    out = Mailbox(Measurement)
    bus = Bus(TcpLink("127.0.0.1", d.port))
    meter = bus.meter(plan, poll_ms, out)
    bus.start()
    try:
        yield meter, out
    finally:
        bus.stop()


class Newest:
    """The newest measurement, kept while nothing newer comes."""

    def __init__(self, out: Mailbox) -> None:
        self.out, self.value = out, Measurement()

    def get(self) -> Measurement:
        self.value = self.out.get() or self.value
        return self.value


def test_a_measurement_with_the_times_of_its_answers() -> None:
    with device(WORDS) as d:
        before = time.monotonic_ns()
        with polled(d) as (_, out):
            newest = Newest(out)
            wait(lambda: newest.get().valid == ALL)
            m = newest.value
    assert (m.f_hz, m.v1_v, m.p_w, m.q_var) == (50.0, 230.0, -2000.0, -10.0)
    assert math.isnan(m.v2_v)
    assert math.isnan(m.v3_v)
    assert m.t_f_ns == m.t_v_ns  # one answer
    assert before < min(m.t_f_ns, m.t_p_ns)
    assert max(m.t_f_ns, m.t_p_ns) < time.monotonic_ns()
    assert m.t_f_ns != m.t_p_ns  # two answers: each quantity has its own time


def test_the_slow_list_is_asked_in_each_nth_round() -> None:
    with device(WORDS) as d, polled(d) as (_, _out):
        wait(lambda: len(d.requests) > 60)
    asked = [r.address for r in d.requests]
    first = asked.index(SLOW, 3)  # the first round of a connection may be asked twice
    rounds = asked[first + 1 : first + 1 + 11]
    assert rounds == [FAST, POWER] * 5 + [SLOW]


def test_a_quantity_that_is_no_number_is_published_as_absent_with_its_time() -> None:
    with device(WORDS) as d, polled(d) as (_, out):
        newest = Newest(out)
        wait(lambda: newest.get().valid == ALL)
        good = newest.value
        d.words |= floats(FAST, math.nan)
        wait(lambda: newest.get().valid == ALL & ~V.F)
        assert math.isnan(newest.value.f_hz)
        assert newest.value.v1_v == 230.0
        assert newest.value.t_f_ns > good.t_f_ns


@pytest.mark.parametrize("exception", [2, 4, 6, 11])
def test_an_exception_publishes_nothing_and_the_age_grows(exception: int) -> None:
    """Also because a gateway tells the silence of a device behind it in this way (codes 10 and 11)."""

    def rule(request: Request) -> bytes | None:
        return reply(request, bytes([request.function | 0x80, exception])) if request.address == POWER else None

    with device(WORDS) as d, polled(d) as (bus, out):
        newest = Newest(out)
        wait(lambda: newest.get().valid == ALL)
        d.rule = rule
        wait(lambda: bus.stats().exceptions > 2)
        held, seen = newest.get(), bus.stats().answers
        wait(lambda: bus.stats().answers > seen + 20 and newest.get().t_f_ns > held.t_f_ns)
        assert newest.value.t_p_ns == held.t_p_ns  # P grows old, f does not
        assert newest.value.p_w == -2000.0
        assert bus.stats().last_exception == exception
        assert bus.stats().reconnects == 0


def test_a_slow_read_that_fails_three_times_leaves_the_record() -> None:
    def rule(request: Request) -> bytes | None:
        return reply(request, b"\x84\x04") if request.address == SLOW else None

    with device(WORDS) as d, polled(d) as (_, out):
        newest = Newest(out)
        wait(lambda: newest.get().valid == ALL)
        d.rule = rule
        wait(lambda: newest.get().valid == ALL & ~V.Q)
        d.rule = lambda _request: None
        wait(lambda: newest.get().valid == ALL)


def test_silence_publishes_nothing_but_attempts_go_on() -> None:
    with device(WORDS) as d, polled(d) as (bus, out):
        newest = Newest(out)
        wait(lambda: newest.get().valid == ALL)
        d.rule = lambda _request: b""
        wait(lambda: bus.stats().timeouts >= 2)
        newest.get()
        attempts = bus.stats().attempts
        wait(lambda: bus.stats().attempts > attempts + 3)
        assert out.get() is None


def test_without_any_device_attempts_go_on() -> None:
    with device() as d:
        d.vanish()
        with polled(d) as (bus, out):
            wait(lambda: bus.stats().attempts > 5)
            assert not bus.stats().connected
            assert bus.stats().answers == 0
            assert out.get() is None


def test_a_device_that_comes_back_is_polled_again() -> None:
    with device(WORDS) as d, polled(d) as (bus, out):
        newest = Newest(out)
        wait(lambda: newest.get().valid == ALL)
        d.vanish()
        wait(lambda: not bus.stats().connected)
        held = newest.get()
        d.words |= floats(FAST, 49.5)
        d.listen()
        wait(lambda: newest.get().f_hz == 49.5 and newest.value.valid == ALL)
        assert newest.value.t_f_ns > held.t_f_ns
        assert bus.stats().reconnects >= 1


@pytest.mark.parametrize(
    "bad",
    [
        lambda d, r: d.ordinary(r)[:10],
        lambda d, r: d.ordinary(r)[:10] + HANG_UP,
        lambda _d, _r: b"\xff" * 40,
        lambda d, r: reply(r, d.ordinary(r)[7:], transaction=r.transaction + 1),
    ],
    ids=["half", "half and closed", "garbage", "another transaction"],
)
def test_a_device_that_is_wrong_now_and_then_never_makes_a_wrong_measurement(bad: object) -> None:
    def rule(request: Request) -> bytes | None:
        return bad(d, request) if len(d.requests) % 7 == 0 else None  # type: ignore[operator]  # a lambda of the table

    with device(WORDS) as d:
        d.rule = rule
        with polled(d, replace(PLAN, timeout_ms=20)) as (bus, out):
            for _ in range(20):
                wait(lambda: (m := out.get()) and m.valid == ALL and (m.f_hz, m.v1_v, m.p_w) == (50.0, 230.0, -2000.0))
            wait(lambda: bus.stats().reconnects >= 1)


@pytest.mark.parametrize(
    ("plan", "poll_ms"),
    [(replace(PLAN, timeout_ms=10_000), 0), (PLAN, 10_000), (replace(PLAN, min_gap_ms=10_000), 0)],
    ids=["in a long time-out", "in a long period", "in a long gap"],
)
def test_it_beats_and_stops_while_it_waits(plan: Plan, poll_ms: int) -> None:
    with device(WORDS) as d:
        d.rule = lambda _request: b"" if plan.timeout_ms == 10_000 else None
        with polled(d, plan, poll_ms) as (bus, _):
            wait(lambda: bus.stats().attempts > 0)
            attempts, beats = bus.stats().attempts, bus.stats().beats
            wait(lambda: bus.stats().beats > beats + 3)
            assert bus.stats().attempts <= attempts + 3
        assert bus.stats().timeouts == 0  # stopped, not timed out


def test_polls_keep_to_the_grid() -> None:
    """20 ms between rounds on an absolute grid: the spacing of answers never drifts by the time an answer takes."""
    plan = replace(PLAN, reads=PLAN.reads[:1], decodes=PLAN.decodes[:2])
    times: list[int] = []
    with device(WORDS) as d, polled(d, plan, poll_ms=20) as (bus, out):
        newest = Newest(out)
        while len(times) < 15:
            wait(lambda: newest.get().t_f_ns > (times[-1] if times else 0))
            times.append(newest.value.t_f_ns)
        assert bus.stats().attempts <= len(times) + 2
    steps = [(b - a) / 20e6 for a, b in pairwise(times)]
    assert sorted(steps)[len(steps) // 2] == pytest.approx(1.0, abs=0.25)  # the median: this machine may pause


def test_a_device_that_needs_a_rest_gets_it() -> None:
    with device(WORDS) as d, polled(d, replace(PLAN, min_gap_ms=5, timeout_ms=1000)) as (bus, _):
        wait(lambda: len(d.requests) > 15)
        answered = bus.stats().answers
    assert answered >= 14
    # from the device's side: its answer leaves after the request came, so the next request is a whole gap later
    assert all(b.t_ns - a.t_ns >= 5_000_000 for a, b in pairwise(d.requests))


def test_a_quantity_from_two_answers_is_as_old_as_the_older_one() -> None:
    plan = replace(PLAN, decodes=(*PLAN.decodes, Decode(1, 0, "f32", 0.1, 0, 400, 6, V.V2)))
    with device(WORDS) as d, polled(d, plan) as (bus, out):
        newest = Newest(out)
        wait(lambda: newest.get().valid == ALL | V.V2)
        d.rule = lambda request: reply(request, b"\x84\x04") if request.address == POWER else None
        wait(lambda: bus.stats().exceptions > 0)
        held, answers = newest.get(), bus.stats().answers
        wait(lambda: bus.stats().answers > answers + 5 and newest.get().t_f_ns > held.t_f_ns)
        assert newest.value.t_v_ns == held.t_p_ns  # V1 comes with f, V2 with P


def test_power_and_current_of_a_phase_count_as_power() -> None:
    """The house's total and its phases stand in two answers: together they are as old as the older one."""
    phases = (Decode(0, 2, "f32", -1.0, -5e4, 5e4, 10, V.P1), Decode(1, 0, "f32", 1.0, 0, 5e4, 15, V.I3))
    plan = replace(PLAN, reads=PLAN.reads[:2], decodes=(PLAN.decodes[0], *phases))
    with device(WORDS) as d, polled(d, plan) as (bus, out):
        newest = Newest(out)
        wait(lambda: newest.get().valid == V.F | V.P1 | V.I3)
        assert (newest.value.p1_w, newest.value.i3_a, newest.value.t_v_ns) == (-230.0, 2000.0, 0)
        d.rule = lambda request: reply(request, b"\x84\x04") if request.address == POWER else None
        wait(lambda: bus.stats().exceptions > 0)
        held, answers = newest.get(), bus.stats().answers
        wait(lambda: bus.stats().answers > answers + 5 and newest.get().t_f_ns > held.t_f_ns)
        assert newest.value.t_p_ns <= held.t_f_ns < newest.value.t_f_ns  # the current has not come again


def test_statistics_add_up() -> None:
    with device(WORDS) as d, polled(d) as (bus, _):
        wait(lambda: bus.stats().answers > 20)
        s = bus.stats()
        assert s.connected
        assert 0 < s.min_turnaround_ns <= s.mean_turnaround_ns
        assert s.min_turnaround_ns <= s.last_turnaround_ns
        assert 0 < s.t_success_ns <= time.monotonic_ns()
        assert (s.timeouts, s.exceptions, s.bad_frames, s.late, s.writes, s.last_error) == (0, 0, 0, 0, 0, 0)


def test_it_polls_while_python_is_busy() -> None:
    """No interpreter on the way: the thread goes on while this one holds the interpreter and collects garbage."""
    reads = threading.Event()
    with device(WORDS) as d, polled(d, replace(PLAN, timeout_ms=500)) as (bus, _):
        wait(lambda: bus.stats().answers > 5)
        d.rule = lambda _request: reads.set()
        reads.wait(5.0)
        before = bus.stats().attempts
        gc.collect()
        wait(lambda: bus.stats().attempts > before)


def test_start_stop_start() -> None:
    with device(WORDS) as d:
        out = Mailbox(Measurement)
        bus = Bus(TcpLink("127.0.0.1", d.port))
        meter = bus.meter(PLAN, 0, out)
        bus.stop()  # never started: nothing to do
        granted = bus.start(fifo_priority=0)
        assert granted == "other: not asked"
        with pytest.raises(BusError, match="is already running"):
            bus.start()
        bus.stop()
        bus.stop()
        assert not meter.stats().connected
        granted = bus.start(fifo_priority=70, cpu=0)
        assert granted.startswith(("fifo 70", "other: "))
        assert granted.endswith("; processor 0")
        newest = Newest(out)
        wait(lambda: newest.get().valid == ALL)
        bus.stop()


def test_a_bus_that_is_dropped_ends_its_thread() -> None:
    with device(WORDS) as d:
        bus = Bus(TcpLink("127.0.0.1", d.port))
        bus.meter(PLAN, 0, Mailbox(Measurement))
        bus.start()
        wait(lambda: d.requests)
        del bus
        gc.collect()
        asked = len(d.requests)
        with polled(d) as (other, _):
            wait(lambda: other.stats().answers > 20)
        connections = [r.connection for r in d.requests[asked:]]
        assert connections.count(1) <= 1  # one may have been on the wire
        assert connections.count(2) > 20


# fmt: off
REFUSED = [
    # plan                                          poll_ms  out          what is said
    (PLAN,                                          10001,   Measurement, "poll_ms = 10001 is outside 0 ... 10000"),
    (PLAN,                                          -1,      Measurement, "poll_ms = -1 is outside 0 ... 10000"),
    (replace(PLAN, timeout_ms=0),                   0,       Measurement, "timeout_ms = 0 is outside 1 ... 10000"),
    (replace(PLAN, min_gap_ms=10001),               0,       Measurement, "min_gap_ms = 10001 is outside 0 ... 10000"),
    (replace(PLAN, reads=()),                       0,       Measurement, "a bus needs a fast list"),
    (replace(PLAN, setpoint=(Write(6, 0, (0,)),)),  0,       Measurement, "a meter is never written, but setpoint has"),
    (PLAN,                                          0,       Command,     "a mailbox of Command is not one of Meas"),
]
# fmt: on


@pytest.mark.parametrize(("plan", "poll_ms", "record", "said"), REFUSED, ids=[c[-1] for c in REFUSED])
def test_what_no_bus_can_do_is_refused_at_the_door(plan: Plan, poll_ms: int, record: type, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Bus(TcpLink("127.0.0.1")).meter(plan, poll_ms, Mailbox(record))
