"""The bench's meter over a real socket: what its registers repeat is an old value, however often it is asked."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from controller.bench.rig import MeterSpec
from controller.bench.wire import WireMeter
from tests.drivers.modbus.scripted import Device, device

V1, P, Q, F = 0x0000, 0x0034, 0x003C, 0x0046  # of an SDM630, f32 each


def show(meter: Device, at: int, value: float) -> None:
    meter.words[at], meter.words[at + 1] = struct.unpack(">HH", struct.pack(">f", value))


@contextmanager
def meters() -> Iterator[tuple[Device, WireMeter]]:
    with device() as there:
        for at, value in ((V1, 240.0), (P, -5000.0), (Q, 0.0), (F, 60.0)):
            show(there, at, value)
        meter = WireMeter(MeterSpec(map="eastron-sdm630", address=f"tcp://127.0.0.1:{there.port}"), "L1")
        yield there, meter
        meter.close()


@pytest.mark.parametrize("at", [V1, P, Q, F])
def test_a_value_has_the_time_at_which_it_came(at: int) -> None:
    """Asked every 10 ms, refreshed every second: 100 answers are one reading, or a slow meter looks like a fast one."""
    with meters() as (there, meter):
        first = meter.read()
        assert [meter.read() for _ in range(5)] == [first] * 5
        show(there, at, 59.0)
        second = meter.read()
        assert second.t_ns > first.t_ns
        assert meter.read() == second


def test_what_is_beyond_the_meters_range_is_no_value() -> None:
    with meters() as (there, meter):
        show(there, P, -200_000.0)  # its map says 100 kW at most
        assert math.isnan(meter.read().p_w)
        assert meter.read().v1_v == 240.0
