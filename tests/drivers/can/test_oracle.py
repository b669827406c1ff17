"""Our bit fields against cantools: any signal a DBC can describe, read from its frames and written into ours."""

from __future__ import annotations

import math
import struct
from typing import Any, Literal

from cantools.database.can import Message, Signal
from cantools.database.conversion import BaseConversion
from hypothesis import given
from hypothesis import strategies as st

from cython_core.records import DeviceValid
from drivers.can.dbc import bits_of, placed
from drivers.can.frame import Frames
from drivers.can.tables import Bits, Field, Frame, Plan, Put, Send, Value

P_W = 3  # the word of DeviceState
WIDE = 1e300
FACTORS = st.sampled_from([1.0, 0.1, 0.01, 0.5, 10.0, -1.0, -0.001, 3.0])
OFFSETS = st.sampled_from([0.0, 255.0, -40.0, 0.25])


@st.composite
def signals(draw: st.DrawFn) -> tuple[Signal, int]:
    """A signal that lies inside its frame of so many bytes."""
    size = draw(st.integers(1, 8))
    is_float = size >= 4 and draw(st.booleans())
    longest = 64 if size == 8 else 32
    length = (
        draw(st.sampled_from([n for n in (32, 64) if n <= longest])) if is_float else draw(st.integers(1, 8 * size))
    )
    first = draw(st.integers(0, 8 * size - length))  # bits before it, in its own order
    motorola = draw(st.booleans())
    start = first // 8 * 8 + 7 - first % 8 if motorola else first
    conversion = BaseConversion.factory(draw(FACTORS), draw(OFFSETS), is_float=is_float)
    order: Literal["big_endian", "little_endian"] = "big_endian" if motorola else "little_endian"
    signed = not is_float and draw(st.booleans())
    return Signal("s", start, length, byte_order=order, is_signed=signed, conversion=conversion), size


def read(signal: Signal, size: int, data: bytes, scaling: bool = True) -> Any:
    """What cantools makes of the frame's one signal."""
    found: Any = Message(0x123, "m", size, [signal], strict=True).decode(data, scaling=scaling)
    return found["s"]


def plan_of(signal: Signal, size: int) -> Plan:
    """p_w is the signal; a set-point puts p_w into it."""
    bits, factor, offset = bits_of(signal), float(signal.scale), float(signal.offset)
    return Plan(
        frames=(Frame(0x123, False, size, 100),),
        values=(Value(0, bits, factor, offset),),
        fields=(Field((0,), 1.0, -WIDE, WIDE, P_W, int(DeviceValid.P)),),
        setpoint=(Send(0x124, False, size, puts=(Put(bits, "p_w", 1.0 / factor, -offset / factor),)),),
    )


@given(signals(), st.binary(min_size=8, max_size=8))
def test_what_cantools_decodes_we_decode(signal_in: tuple[Signal, int], data: bytes) -> None:
    signal, size = signal_in
    expected = float(read(signal, size, data[:size]))
    found = Frames(plan_of(signal, size)).decode([(0, data[:size])])
    if math.isfinite(expected) and abs(expected) < WIDE:
        assert math.isclose(found.p_w, expected, rel_tol=1e-12, abs_tol=1e-12)
    else:
        assert found.valid == 0


@given(signals(), st.data())
def test_what_we_encode_cantools_decodes(signal_in: tuple[Signal, int], data: st.DataObject) -> None:
    """Any raw number of the signal, as a physical value: the same one comes back, and no other bit is touched."""
    signal, size = signal_in
    n, factor, offset = signal.length, float(signal.scale), float(signal.offset)
    if signal.is_float:
        raw = data.draw(st.floats(-(2.0**90), 2.0**90, width=32).filter(lambda x: x == 0.0 or abs(x) > 2.0**-90))
    else:
        low = -(1 << (n - 1)) if signal.is_signed else 0
        raw = data.draw(st.integers(max(low, -(2**50)), min(low + (1 << n) - 1, 2**50)))
    p_w = raw * factor + offset
    ours = Frames(plan_of(signal, size)).encode("setpoint", p_w)
    assert ours is not None
    (identifier, frame) = ours[0]
    assert identifier == 0x124
    decoded = read(signal, size, frame, scaling=False)
    if signal.is_float:
        back = struct.unpack("f", struct.pack("f", (p_w - offset) / factor))[0] if n == 32 else (p_w - offset) / factor
        lost = 1e-12 + 1e-15 * abs(offset / factor)  # beside a large offset a small number has few digits
        assert math.isclose(float(decoded), back, rel_tol=1e-6, abs_tol=lost)
    else:
        assert abs(int(decoded) - raw) <= abs(raw) * 1e-12  # exact up to what a double can tell
    rest = placed(bits_of(signal), (1 << n) - 1)
    assert int.from_bytes(frame, "little") & ~rest == 0


@given(signals(), st.floats(allow_nan=True, allow_infinity=True))
def test_what_does_not_fit_is_refused(signal_in: tuple[Signal, int], p_w: float) -> None:
    """Never wrapped: either nothing is sent, or what was meant comes back to half a raw number."""
    signal, size = signal_in
    frames = Frames(plan_of(signal, size))
    ours = frames.encode("setpoint", p_w)
    if ours is None:
        return
    assert math.isfinite(p_w)
    back = frames.decode([(0, ours[0][1])]).p_w
    least = abs(float(signal.scale)) if not signal.is_float else 0.0
    assert abs(back - p_w) <= 0.5001 * least + 1e-6 * max(abs(p_w), 256.0)


def test_the_place_of_a_motorola_field() -> None:
    """Bits 4 ... 0 of byte 0 and 7 ... 5 of byte 1: a DBC says it starts at 4."""
    assert placed(Bits(4, 8, motorola=True), 0xFF) == 0x1F | 0xE0 << 8
