"""Counters of energy on a bus thread: asked by their own clock, in nobody's way; who lacks them is left alone."""

from __future__ import annotations

import math
import time
from dataclasses import replace

import pytest

from drivers.modbus.bus import Device as BusDevice
from drivers.modbus.compiled import meter
from drivers.registermap import Decode, Plan, Read
from drivers.tables import ENERGIES, plan_from_json, plan_to_json
from tests.drivers.modbus.scripted import Device, Request, device, reply, wait
from tests.drivers.modbus.test_meter_bus import FAST, PLAN, POWER, SLOW, WORDS, Newest, floats, polled

COUNTERS = 0x48
BY_CLOCK = Read(4, COUNTERS, 4, every=0, every_ms=1000)
ROWS = (
    Decode(3, 0, "f32", 1000.0, 0, 1e10, 0, 1),
    Decode(3, 2, "f32", 1000.0, 0, 1e10, 1, 2),
)
WITH: Plan = replace(PLAN, reads=(*PLAN.reads, BY_CLOCK), energies=ROWS)
ALL_WORDS = WORDS | floats(COUNTERS, 1234.5, 87.25)


def asked(d: Device) -> list[float]:
    """When the counters were asked for, s."""
    return [r.t_ns / 1e9 for r in d.requests if r.address == COUNTERS]


def values(bus: BusDevice) -> dict[str, float]:
    return {n: v for n, v in zip(ENERGIES, bus.energies()[1], strict=True) if not math.isnan(v)}


def test_they_are_read_and_published_with_their_time() -> None:
    with device(ALL_WORDS) as d, polled(d, WITH) as (bus, _):
        wait(lambda: bus.energies()[0] > 0)
        assert values(bus) == {"e_import_wh": 1234500.0, "e_export_wh": 87250.0}
        assert 0 < time.monotonic_ns() - bus.energies()[0] < 2_000_000_000
        d.words |= floats(COUNTERS, 1235.5)
        wait(lambda: values(bus)["e_import_wh"] == 1235500.0)


def test_once_a_second_behind_a_whole_round_and_the_polls_go_on() -> None:
    with device(ALL_WORDS) as d, polled(d, WITH) as (_, _out):
        wait(lambda: len(asked(d)) >= 3, timeout_s=20.0)
    addresses = [r.address for r in d.requests]
    places = [i for i, address in enumerate(addresses) if address == COUNTERS]
    assert all(addresses[i - 1] in (POWER, SLOW) and addresses[i + 1] == FAST for i in places[1:-1])
    gaps = [b - a for a, b in zip(asked(d), asked(d)[1:], strict=False)]
    assert all(0.99 <= gap < 1.5 for gap in gaps), gaps
    assert len(addresses) > 20 * len(places)


@pytest.mark.parametrize("answer", ["exception", "silence"])
def test_a_device_without_them_is_asked_three_times_and_then_left_alone(answer: str) -> None:
    def rule(request: Request) -> bytes | None:
        if request.address != COUNTERS:
            return None
        return reply(request, bytes([request.function | 0x80, 2])) if answer == "exception" else b""

    with device(ALL_WORDS) as d:
        d.rule = rule
        with polled(d, WITH, poll_ms=50) as (bus, out):
            newest = Newest(out)
            wait(lambda: len(asked(d)) >= 3, timeout_s=20.0)
            before, t_f_ns = time.monotonic(), newest.get().t_f_ns
            wait(lambda: time.monotonic() > before + 2.5 and newest.get().t_f_ns > t_f_ns)
            assert len(asked(d)) == 3, "30 times less from now on, and no retries"
            assert (bus.energies()[0], values(bus)) == (0, {})
            assert bus.stats().reconnects < 3, "no connection ends for it; one may, of a server that had no processor"
            assert newest.value.f_hz == 50.0


def test_a_counter_in_the_answer_of_each_poll_costs_no_request() -> None:
    free = replace(PLAN, energies=(Decode(1, 0, "f32", 1.0, 0, 1e10, 0, 1),))
    with device(ALL_WORDS) as d, polled(d, free) as (bus, _):
        wait(lambda: values(bus) == {"e_import_wh": 2000.0})


# fmt: off
REFUSED = [
    # change                                                              complaint
    ({"reads": (*PLAN.reads, replace(BY_CLOCK, every_ms=0))},             "every_ms = 0 is outside 1000"),
    ({"energies": (replace(ROWS[0], target=4),)},                         "place 4 is none of e_import_wh"),
    ({"energies": (replace(ROWS[0], valid=2),)},                          "valid is not its bit"),
    ({"energies": (replace(ROWS[0], scale=-1.0),)},                       "scale -1.0 is not above 0"),
    ({"energies": (replace(ROWS[0], low=-1.0),)},                         "a counter below 0"),
    ({"energies": (replace(ROWS[0], word=3),)},                           "leaves the 4 words of read 3"),
]
# fmt: on


@pytest.mark.parametrize(("change", "complaint"), REFUSED, ids=[c[-1] for c in REFUSED])
def test_what_does_not_fit_is_refused(change: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        meter(replace(WITH, **change), 0)  # type: ignore[arg-type]  # the table holds values of several fields


def test_a_plan_survives_its_json() -> None:
    assert plan_from_json(plan_to_json(WITH)) == WITH
