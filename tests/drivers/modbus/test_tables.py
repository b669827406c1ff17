"""Plan tables: bytes -> record and command -> words. Numbers by pencil, word order of the Modbus specification 4.2."""

from __future__ import annotations

import math
import struct
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cython_core.records import DeviceState, DeviceStatus, DeviceValid, Measurement, MeasurementValid, Session
from drivers.modbus.tables import Tables
from drivers.registermap import Decode, Encode, Flag, Plan, Read, Write

F_HZ, V1_V, P_W = 4, 5, 8  # words of a Measurement
SOC_PU, SESSION, STATUS = 10, 11, 12  # words of a DeviceState
F, P = MeasurementValid.F, MeasurementValid.P

# fmt: off
VALUES = [
    # type  bytes               scale  low    high  absent       value         why
    ("u16",  "1388",             0.01,  40.0,  70.0, None,        50.0,         "5000 x 0.01"),
    ("s16",  "fc18",             10.0,  -2e4,  2e4,  None,        -10000.0,     "-1000 x 10"),
    ("s16",  "8000",             1.0,   -1e5,  1e5,  0x8000,      None,         "SunSpec: not implemented"),
    ("s16",  "8000",             1.0,   -1e5,  1e5,  -0x8000,     None,         "the same, written as a number"),
    ("s16",  "8000",             1.0,   -1e5,  1e5,  None,        -32768.0,     "without that word it is a value"),
    ("u16",  "ffff",             1.0,   0.0,   1e5,  0xFFFF,      None,         "SunSpec: not implemented"),
    ("u32",  "00010000",         1.0,   0.0,   1e6,  None,        65536.0,      "high word first"),
    ("s32",  "fffffc18",         -1.0,  -1e6,  1e6,  None,        1000.0,       "a device with the other sign"),
    ("s32",  "80000000",         1.0,   -3e9,  3e9,  0x80000000,  None,         "SunSpec: not implemented"),
    ("f32",  "4247f5c3",         1.0,   40.0,  70.0, None,        49.99,        "a float as meters send it"),
    ("f32",  "44fa0000",         -1.0,  -5e4,  5e4,  None,        -2000.0,      "2 kW import"),
    ("f32",  "7fc00000",         1.0,   -5e4,  5e4,  None,        None,         "NaN on the wire"),
    ("f32",  "7f800000",         1.0,   -5e4,  5e4,  None,        None,         "infinity on the wire"),
    ("f32",  "42c80000",         1.0,   40.0,  70.0, None,        None,         "100 Hz is out of range"),
    ("u64",  "0000000100000000", 1.0,   0.0,   1e12, None,        4294967296.0, "four words"),
    ("s64",  "ffffffffffffffff", 1.0,   -10.0, 10.0, None,        -1.0,         "four words, signed"),
    ("u64",  "ffffffffffffffff", 1.0,   0.0,   1e20, 2**64 - 1,   None,         "SunSpec: not implemented"),
    ("s32_le", "091b0000",       0.1,   0.0,   1e3,  None,        233.1,        "low word first: 0x0000091b"),
    ("s32_le", "fc18ffff",       -1.0,  -1e6,  1e6,  None,        1000.0,       "low word first, negative"),
    ("u32_le", "00010000",       1.0,   0.0,   1e6,  None,        1.0,          "low word first"),
    ("u32_le", "ffff7fff",       1.0,   0.0,   1e20, 0x7FFFFFFF,  None,         "a pattern is of the value"),
    ("f32_le", "f5c34247",       1.0,   40.0,  70.0, None,        49.99,        "low word first"),
    ("u64_le", "0004000300020001", 1.0, 0.0,   1e20, None,        281483566841860.0, "1, 2, 3, 4 turned"),
    ("s64_le", "fffeffffffffffff", 1.0, -10.0, 10.0, None,        -2.0,         "four words, signed"),
]
EDGES = [
    # low    high    raw     valid   why
    (40.0,   70.0,   4000,   True,   "the edge belongs to the range"),
    (40.0,   70.0,   7000,   True,   "the edge belongs to the range"),
    (40.0,   70.0,   3999,   False,  "just below"),
    (40.0,   70.0,   7001,   False,  "just above"),
]
ENCODED = [
    # type   scale    p_w         words                            why
    ("s16",  1.0,     -3500.0,    [0xF254],                        "charge 3.5 kW"),
    ("s16",  0.1,     -3500.0,    [0xFEA2],                        "SunSpec scale factor 1: -350"),
    ("s16",  1.0,     2.5,        [2],                             "half to even"),
    ("s16",  1.0,     3.5,        [4],                             "half to even"),
    ("s16",  1.0,     -2.5,       [0xFFFE],                        "half to even"),
    ("s16",  1.0,     32767.4,    [0x7FFF],                        "rounded into the range"),
    ("s16",  1.0,     32767.5,    None,                            "rounded out of it: refused, not wrapped"),
    ("s16",  1.0,     -32769.0,   None,                            "refused, not wrapped"),
    ("u16",  1.0,     -1.0,       None,                            "no negative number in an unsigned register"),
    ("u16",  1.0,     -0.4,       [0],                             "rounds to 0"),
    ("u16",  1.0,     65536.0,    None,                            "refused, not wrapped"),
    ("s32",  1.0,     -3500.0,    [0xFFFF, 0xF254],                "high word first"),
    ("s32",  1.0,     2147483648.0, None,                          "refused, not wrapped"),
    ("u32",  10.0,    429496729.5, [0xFFFF, 0xFFFF],               "the largest"),
    ("f32",  0.001,   -3500.0,    [0xC060, 0x0000],                "kilowatts as a float: -3.5"),
    ("f32",  1.0,     1e39,       None,                            "no float is that large"),
    ("s64",  1.0,     -1.0,       [0xFFFF] * 4,                    "four words"),
    ("s64",  1.0,     9.3e18,     None,                            "refused, not wrapped"),
    ("u64",  1.0,     1.9e19,     None,                            "refused, not wrapped"),
    ("s32_le", 1.0,   -3500.0,    [0xF254, 0xFFFF],                "low word first"),
    ("f32_le", 0.001, -3500.0,    [0x0000, 0xC060],                "kilowatts as a float: -3.5, low word first"),
    ("u64_le", 1.0,   4294967298.0, [2, 0, 1, 0],                  "four words, the lowest first"),
    ("s16",  1.0,     math.nan,   None,                            "a number that is none"),
    ("f32",  1.0,     math.inf,   None,                            "a number that is none"),
]
# fmt: on


def meter(*decodes: Decode, count: int = 4, reads: int = 1) -> Plan:
    return Plan(unit=1, reads=tuple(Read(4, 10 * i, count) for i in range(reads)), decodes=decodes)


def inverter(*writes: Write, decodes: tuple[Decode, ...] = (), flags: tuple[Flag, ...] = (), reads: int = 1) -> Plan:
    return Plan(
        unit=1, reads=tuple(Read(3, 10 * i, 4) for i in range(reads)), decodes=decodes, flags=flags, setpoint=writes
    )


def words(text: str) -> bytes:
    return bytes.fromhex(text).ljust(8, b"\0")


@pytest.mark.parametrize(
    ("type_", "raw", "scale", "low", "high", "absent", "value", "why"), VALUES, ids=[f"{c[0]} {c[-1]}" for c in VALUES]
)
def test_a_value(
    type_: str, raw: str, scale: float, low: float, high: float, absent: int | None, value: float | None, why: str
) -> None:
    patterns = (0x1234, absent) if absent is not None else ()
    tables = Tables(meter(Decode(0, 0, type_, scale, low, high, P_W, P, absent=patterns)), Measurement)
    m = tables.decode([words(raw)])
    if value is None:
        assert m.valid == 0, why
        assert math.isnan(m.p_w), why
    else:
        assert m.valid == P, why
        assert m.p_w == pytest.approx(value, rel=1e-6), why


@pytest.mark.parametrize(("low", "high", "raw", "valid", "why"), EDGES)
def test_a_range(low: float, high: float, raw: int, valid: bool, why: str) -> None:
    tables = Tables(meter(Decode(0, 0, "u16", 0.01, low, high, F_HZ, F)), Measurement)
    m = tables.decode([struct.pack(">H6x", raw)])
    assert (m.valid == F, math.isfinite(m.f_hz)) == (valid, valid), why


def test_one_bad_quantity_leaves_the_others() -> None:
    plan = meter(Decode(0, 0, "f32", 1.0, 40, 70, F_HZ, F), Decode(0, 2, "f32", 1.0, -5e4, 5e4, P_W, P))
    m = Tables(plan, Measurement).decode([bytes.fromhex("7fc00000 44fa0000")])
    assert (m.valid, m.p_w) == (P, 2000.0)
    assert math.isnan(m.f_hz)


def test_a_read_without_an_answer_leaves_its_quantities_absent() -> None:
    plan = meter(Decode(0, 0, "u16", 1.0, 0, 1e5, V1_V, 2), Decode(1, 0, "u16", 1.0, 0, 1e5, P_W, P), reads=2)
    m = Tables(plan, Measurement).decode([words("00e6"), None])
    assert (m.valid, m.v1_v) == (2, 230.0)
    assert math.isnan(m.p_w)


FLAGS = (
    Flag(0, 0, "u16", 0xFFFF, 3, STATUS, DeviceStatus.RUNNING, DeviceValid.STATUS),
    Flag(0, 1, "u16", 0x0001, 1, STATUS, DeviceStatus.CONNECTED, DeviceValid.STATUS),
    Flag(0, 2, "u32", 0xFFFF0000, 0x00020000, STATUS, DeviceStatus.ALARM, DeviceValid.STATUS),
    Flag(0, 1, "u16", 0x0F00, 0x0100, SESSION, Session.CHARGING, DeviceValid.SESSION, set=True),
    Flag(0, 1, "u16", 0x0F00, 0x0200, SESSION, Session.FAULT, DeviceValid.SESSION, set=True),
)
# fmt: off
RUNNING, CONNECTED, ALARM = DeviceStatus.RUNNING, DeviceStatus.CONNECTED, DeviceStatus.ALARM
STATUS_WORDS = [
    # words               status               session           valid                why
    ("0003 0001 00000000", RUNNING | CONNECTED, Session.UNKNOWN,  DeviceValid.STATUS,  "two flags are one word"),
    ("0004 0001 00000000", CONNECTED,           Session.UNKNOWN,  DeviceValid.STATUS,  "an enum matches whole"),
    ("0003 f0fe 00000000", RUNNING,             Session.UNKNOWN,  DeviceValid.STATUS,  "other bits do not count"),
    ("0000 0000 00027777", ALARM,               Session.UNKNOWN,  DeviceValid.STATUS,  "32 bits, high word first"),
    ("0000 0100 00000000", 0,                   Session.CHARGING, DeviceValid.SESSION, "a state becomes the word"),
    ("0000 0200 00000000", 0,                   Session.FAULT,    DeviceValid.SESSION, "another state"),
    ("0000 0000 00000000", 0,                   Session.UNKNOWN,  0,                   "no match: absent"),
]
# fmt: on


@pytest.mark.parametrize(("raw", "status", "session", "valid", "why"), STATUS_WORDS, ids=[c[-1] for c in STATUS_WORDS])
def test_flags(raw: str, status: int, session: int, valid: int, why: str) -> None:
    state = Tables(inverter(Write(6, 0, (0,)), flags=FLAGS), DeviceState).decode([bytes.fromhex(raw)])
    assert (state.status, state.session, state.valid) == (status, session, valid), why


def test_an_integer_quantity_is_zero_when_absent() -> None:
    decode = Decode(0, 0, "u16", 1.0, 0, 8, SESSION, DeviceValid.SESSION, to_int=True)
    tables = Tables(inverter(Write(6, 0, (0,)), decodes=(decode,)), DeviceState)
    present, absent = tables.decode([words("0004")]), tables.decode([words("0009")])
    assert (present.session, present.valid) == (Session.CHARGING, DeviceValid.SESSION)
    assert (absent.session, absent.valid) == (0, 0)


@pytest.mark.parametrize(("type_", "scale", "p_w", "expected", "why"), ENCODED, ids=[f"{c[0]} {c[2]}" for c in ENCODED])
def test_an_encoded_value(type_: str, scale: float, p_w: float, expected: list[int] | None, why: str) -> None:
    write = Write(16, 100, (0, 0, 0, 0), (Encode(0, type_, scale, "p_w"),))
    encoded = Tables(inverter(write), DeviceState).encode(p_w, 0.0)
    assert (None if encoded is None else encoded[0][: len(expected or ())]) == expected, why


def test_a_template_keeps_its_constants() -> None:
    write = Write(16, 100, (1, 0, 0, 10, 0), (Encode(1, "s32", 1.0, "p_w"), Encode(4, "s16", 1.0, "q_var")))
    assert Tables(inverter(write), DeviceState).encode(-2.0, 7.0) == [[1, 0xFFFF, 0xFFFE, 10, 7]]


def test_one_value_that_does_not_fit_refuses_the_whole_set_point() -> None:
    first, second = (Write(6, a, (0,), (Encode(0, "s16", 1.0, s),)) for a, s in ((0, "p_w"), (1, "q_var")))
    assert Tables(inverter(first, second), DeviceState).encode(1.0, 40000.0) is None


@given(p_w=st.floats(allow_nan=True), type_=st.sampled_from(["u16", "s16", "u32", "s32", "u64", "s64", "f32"]))
def test_what_is_encoded_decodes_to_the_same_value(p_w: float, type_: str) -> None:
    n = struct.calcsize({"16": ">H", "32": ">I", "64": ">Q"}[type_[1:]]) // 2
    encoded = Tables(inverter(Write(16, 0, (0,) * n, (Encode(0, type_, 1.0, "p_w"),))), DeviceState).encode(p_w, 0.0)
    if encoded is None:
        return
    raw = struct.pack(f">{n}H", *encoded[0]).ljust(8, b"\0")
    back = Tables(meter(Decode(0, 0, type_, 1.0, -math.inf, math.inf, P_W, P)), Measurement).decode([raw]).p_w
    assert back == pytest.approx(p_w, rel=1e-6, abs=0.5)


def test_beyond_its_own_range_a_set_point_is_refused_not_clipped() -> None:
    limited = Encode(0, "s16", -1.0, "p_w", -7400.0, 3000.0)
    tables = Tables(inverter(Write(6, 0, (0,), (limited,))), DeviceState)
    assert tables.encode(3000.0, 0.0) == [[0x10000 - 3000]]
    assert tables.encode(-7400.0, 0.0) == [[7400]]
    assert tables.encode(3000.1, 0.0) is None
    assert tables.encode(-7400.1, 0.0) is None


def one(**change: Any) -> Decode:
    """A right decode of a state of charge, with something changed."""
    return replace(Decode(0, 0, "u16", 1.0, 0.0, 1.0, SOC_PU, DeviceValid.SOC), **change)


GOOD = inverter(Write(16, 0, (0, 0), (Encode(0, "s32", 1.0, "p_w"),)), decodes=(one(),))
# fmt: off
BAD_PLANS = [
    # what is changed                                          what is said
    ({"unit": 256},                                            "unit 256 is outside 0 ... 255"),
    ({"reads": ()},                                            "no read has every = 1"),
    ({"reads": (Read(3, 0, 4, every=2),)},                     "no read has every = 1"),
    ({"reads": (Read(3, 0, 4),) * 17},                         "17 reads are more than the 16 a bus holds"),
    ({"reads": (Read(1, 0, 4),)},                              "read 0: function 1 is none of 3, 4"),
    ({"reads": (Read(3, 0, 126),)},                            "read 0: 126 words are outside 1 ... 125"),
    ({"reads": (Read(3, 65533, 4),)},                          "read 0: address 65533 is outside"),
    ({"decodes": (one(),) * 65},                               "65 decodes are more than the 64"),
    ({"decodes": (one(read=1),)},                              "decode 0: read 1 is outside 0 ... 0"),
    ({"decodes": (one(word=3, type="s32"),)},                  "decode 0: s32 at word 3 leaves the 4 words"),
    ({"decodes": (one(word=-1),)},                             "decode 0: u16 at word -1 leaves"),
    ({"decodes": (one(type="f16"),)},                          "decode 0: type 'f16' is none of u16"),
    ({"decodes": (one(target=0),)},                            "decode 0: word 0 of DeviceState is none of 3 p_w"),
    ({"decodes": (one(target=SESSION),)},                      "decode 0: word 11 of DeviceState is none of"),
    ({"decodes": (one(target=2, to_int=True),)},               "none of 11 session, 12 status"),
    ({"decodes": (one(scale=0.0),)},                           "decode 0: scale 0.0 is 0 or not finite"),
    ({"decodes": (one(absent=(1, 2, 3, 4, 5)),)},              "5 absent patterns of decode 0 are more than"),
    ({"decodes": (one(absent=(0x10000,)),)},                      "decode 0: absent: 0x10000 does not fit u16"),
    ({"flags": (replace(FLAGS[0], target=SOC_PU),)},           "flag 0: word 10 of DeviceState is none of"),
    ({"flags": (replace(FLAGS[0], mask=0x1FFFF),)},            "flag 0: mask: 0x1ffff does not fit u16"),
    ({"setpoint": (Write(6, 0, (0, 0)),)},                     "setpoint write 0: 2 words are outside 1 ... 1"),
    ({"setpoint": (Write(5, 0, (0,)),)},                       "setpoint write 0: function 5 is none of 6, 16"),
    ({"start": (Write(16, 0, (0,) * 124),)},                   "start write 0: 124 words are outside 1 ... 123"),
    ({"stop": (Write(6, 0, (0,)),) * 9},                       "9 stop writes are more than the 8"),
    ({"setpoint": (Write(16, 0, (0,), (Encode(0, "s32", 1, "p_w"),)),)}, "s32 at word 0 leaves its words"),
    ({"setpoint": (Write(6, 0, (0,), (Encode(0, "s16", 1, "soc"),)),)},  "source 'soc' is none of p_w, q_var"),
    ({"setpoint": (Write(6, 0, (0,), (Encode(0, "s16", 1, "p_w", 5, 4),)),)}, "range 5 ... 4 is empty"),
    ({"setpoint": (Write(6, 0, (0,), unit=256),)},             "setpoint write 0: unit 256 is outside 0 ... 255"),
    ({"setpoint": (Write(6, 0, (0,), verify=6),)},             "setpoint write 0: verify 6 is none of 0, 3, 4"),
    ({"reads": (Read(3, 0, 4, unit=-1),)},                     "read 0: unit -1 is outside 0 ... 255"),
]
# fmt: on


@pytest.mark.parametrize(("change", "said"), BAD_PLANS, ids=[c[-1] for c in BAD_PLANS])
def test_a_plan_that_does_not_fit_is_refused_at_the_door(change: dict[str, Any], said: str) -> None:
    Tables(GOOD, DeviceState)
    with pytest.raises(ValueError, match=said):
        Tables(replace(GOOD, **change), DeviceState)
