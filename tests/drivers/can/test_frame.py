"""Frames by hand: bytes typed from documents -> values; what may not be compiled is refused by name."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from cython_core.records import DeviceState, DeviceStatus, DeviceValid, Session
from drivers.can.compiled import inverter, tables
from drivers.can.frame import Frames
from drivers.can.tables import Bits, Field, Flag, Frame, Plan, Put, Send, Value, plan_from_json, plan_to_json

P_W, P_SET_W, SOC, SESSION, STATUS = 3, 5, 10, 11, 12
WIDE = 1e18


def number(bits: Bits, factor: float = 1.0, offset: float = 0.0, low: float = -WIDE, high: float = WIDE) -> Plan:
    """One frame of 8 bytes whose one number is p_w, and a set-point with p_w in the same place."""
    return Plan(
        frames=(Frame(0x208, False, 8, 100),),
        values=(Value(0, bits, factor, offset),),
        fields=(Field((0,), 1.0, low, high, P_W, int(DeviceValid.P)),),
        setpoint=(Send(0x100, False, 8, puts=(Put(bits, "p_w", 1.0 / factor, -offset / factor),)),),
    )


# CHAdeMO 0x208 as an emulator sends it when nothing flows: 0 A, 500 V, 15 A, 250 V. Currents count down from 255.
CHADEMO_208 = "ff f4 01 f0 00 00 fa 00"

# fmt: off
VALUES = [
    # bits                          factor  offset  frame                      value     why
    (Bits(0, 8),                     -1.0,   255.0,  CHADEMO_208,               0.0,      "255 - raw"),
    (Bits(8, 16),                    1.0,    0.0,    CHADEMO_208,               500.0,    "voltage, low byte first"),
    (Bits(24, 8),                    -1.0,   255.0,  CHADEMO_208,               15.0,     "255 - raw, another byte"),
    (Bits(48, 16),                   1.0,    0.0,    CHADEMO_208,               250.0,    "lower voltage"),
    (Bits(39, 32, True, "signed"),   0.001,  0.0,    "21 08 00 00 ff c6 04 40", -3800.0,  "mW, high byte first"),
    (Bits(7, 32, True, "float"),     1.0,    0.0,    "43 be 00 00 00 00 00 00", 380.0,    "V1.13: 2^8 x 1.484375"),
    (Bits(0, 32, False, "float"),    1.0,    0.0,    "00 00 be 43 00 00 00 00", 380.0,    "the same, low byte first"),
    (Bits(0, 64, False, "float"),    1.0,    0.0,    "00 00 00 00 00 c0 77 40", 380.0,    "in 64 bits"),
    (Bits(0, 16, False, "signed"),   1.0,    0.0,    "18 fc 00 00 00 00 00 00", -1000.0,  "two's complement"),
    (Bits(3, 1, True),               1.0,    0.0,    "08 00 00 00 00 00 00 00", 1.0,      "one bit has no order"),
    (Bits(11, 12, True, "signed"),   1.0,    0.0,    "00 0f ff 00 00 00 00 00", -1.0,     "12 bits over two bytes"),
    (Bits(0, 64),                    1.0,    0.0,    "00 00 00 00 00 00 00 01", 2.0**56,  "all 64"),
]
# fmt: on


@pytest.mark.parametrize(("bits", "factor", "offset", "frame", "value", "why"), VALUES, ids=[c[-1] for c in VALUES])
def test_a_number(bits: Bits, factor: float, offset: float, frame: str, value: float, why: str) -> None:
    frames = Frames(number(bits, factor, offset))
    assert frames.decode([(0, bytes.fromhex(frame))]).p_w == value
    encoded = frames.encode("setpoint", value)
    assert encoded is not None
    assert frames.decode([(0, encoded[0][1])]).p_w == value


def test_absent_and_out_of_range() -> None:
    frames = Frames(number(Bits(0, 8), low=10.0, high=20.0))
    for data, p_w in ((9, None), (10, 10.0), (20, 20.0), (21, None)):
        state = frames.decode([(0, bytes([data] + 7 * [0]))])
        assert (state.valid, state.p_w if p_w else None) == (int(DeviceValid.P) if p_w else 0, p_w)
    nothing = frames.decode([])
    assert nothing.valid == 0
    assert math.isnan(nothing.p_w)
    not_a_number = Frames(number(Bits(0, 32, False, "float")))
    assert not_a_number.decode([(0, bytes.fromhex("0000c07f00000000"))]).valid == 0


MUX = Plan(
    frames=(
        Frame(0x311, False, 4, 100, mask=0xFF, equals=1),
        Frame(0x311, False, 4, 100, mask=0xFF, equals=2),
        Frame(0x311, True, 6, 100),
    ),
    values=(Value(0, Bits(8, 16), 0.1), Value(1, Bits(8, 16, False, "signed"), 0.1)),
    fields=(Field((0, 1), -1.0, -WIDE, WIDE, P_W, int(DeviceValid.P)),),
    flags=(
        Flag(2, Bits(0, 4), 1, STATUS, int(DeviceStatus.RUNNING)),
        Flag(2, Bits(4, 1), 1, STATUS, int(DeviceStatus.CONNECTED)),
        Flag(2, Bits(8, 8), 3, SESSION, int(Session.CHARGING), set=True),
    ),
    known=int(DeviceValid.STATUS | DeviceValid.SESSION),
    setpoint=(Send(0x100, False, 8),),
)

# fmt: off
FOUND = [
    # identifier  extended  data            place  why
    (0x311,       False,    "01 00 00 00",  0,     "the first of the multiplexer"),
    (0x311,       False,    "02 00 00 00",  1,     "the second"),
    (0x311,       False,    "03 00 00 00",  -1,    "another one: not ours"),
    (0x311,       True,     "00 00 00 00 00 00", 2, "the same number with 29 bits is another frame"),
    (0x312,       False,    "01 00 00 00",  -1,    "another identifier"),
    (0x311,       False,    "01 00 00",     -2,    "a byte short"),
    (0x311,       False,    "01 00 00 00 00", -2,  "a byte long"),
]
# fmt: on


@pytest.mark.parametrize(("identifier", "extended", "data", "place", "why"), FOUND, ids=[c[-1] for c in FOUND])
def test_which_frame_it_is(identifier: int, extended: bool, data: str, place: int, why: str) -> None:
    assert Frames(MUX).find(identifier, extended, bytes.fromhex(data)) == place


def test_a_product_of_two_frames_needs_both() -> None:
    """3800 dV x -125 dA: -4750 W into the car, + 4750 W out of it."""
    voltage, current = (0, bytes.fromhex("01d80e00")), (1, bytes.fromhex("0283ff00"))
    frames = Frames(MUX)
    assert frames.decode([voltage, current]).p_w == pytest.approx(4750.0)
    assert frames.decode([voltage]).valid & DeviceValid.P == 0


RUNNING = DeviceStatus.RUNNING | DeviceStatus.CONNECTED

# fmt: off
FLAGS = [
    # frame               status                     session           why
    ("11 03 00 00 00 00", RUNNING,                   Session.CHARGING, "all match"),
    ("12 03 00 00 00 00", DeviceStatus.CONNECTED,    Session.CHARGING, "an unknown mode: not running"),
    ("01 09 00 00 00 00", DeviceStatus.RUNNING,      Session.UNKNOWN,  "a session nobody knows"),
    (None,                DeviceStatus(0),           Session.UNKNOWN,  "nothing heard: known not to run"),
]
# fmt: on


@pytest.mark.parametrize(("frame", "status", "session", "why"), FLAGS, ids=[c[-1] for c in FLAGS])
def test_status_and_session(frame: str | None, status: DeviceStatus, session: Session, why: str) -> None:
    state = Frames(MUX).decode([] if frame is None else [(2, bytes.fromhex(frame))])
    assert (state.status, state.session) == (status, session)
    assert state.valid == DeviceValid.STATUS | DeviceValid.SESSION  # unknown status would not hold anybody back


SENT = replace(
    number(Bits(0, 16)),
    v_dc=0,
    v_dc_low=150.0,
    setpoint=(
        Send(0x0212_0034, True, 8, data=0x0000_0000_0000_0210, puts=(Put(Bits(39, 32, True), "abs_a", 1000.0),)),
        Send(0x100, False, 3, puts=(Put(Bits(0, 4), "direction", low=1, high=2), Put(Bits(4, 1), "run", low=0, high=1),
                                    Put(Bits(8, 8), "counter"))),
        Send(0x101, False, 4, puts=(Put(Bits(0, 16, False, "signed"), "p_w", -1.0),
                                    Put(Bits(16, 16, False, "signed"), "q_var", 0.5))),
        Send(0x102, False, 2, puts=(Put(Bits(0, 16, False, "signed"), "a", 10.0),)),
    ),
)  # fmt: skip


def test_each_source() -> None:
    """-3800 W at 380 V: 10 A to charge with."""
    found = Frames(SENT).encode("setpoint", -3800.0, 90.0, v_dc=380.0, direction=0, run=1, counter=258)
    assert found is not None
    assert [(f"{i:08x}", data.hex(" ")) for i, data in found] == [
        ("02120034", "10 02 00 00 00 00 27 10"),  # |I| in mA, high byte first
        ("00000100", "11 02 00"),  # charge, run; the counter goes round
        ("00000101", "d8 0e 2d 00"),  # turned round; halved
        ("00000102", "9c ff"),  # -10.0 A
    ]
    other = Frames(SENT).encode("setpoint", 3800.0, v_dc=380.0, direction=1, run=0)
    assert other is not None
    assert other[1][1].hex(" ") == "02 00 00"


@pytest.mark.parametrize("v_dc", [math.nan, 0.0], ids=["unknown", "none"])
def test_no_current_without_a_voltage(v_dc: float) -> None:
    assert Frames(SENT).encode("setpoint", -3800.0, v_dc=v_dc) is None


def test_a_plan_is_the_same_after_its_way_through_json() -> None:
    plan = replace(MUX, heartbeat=Send(0x7, False, 1, puts=(Put(Bits(0, 8), "counter"),)), start=SENT.setpoint)
    plan = replace(plan, frames=(replace(MUX.frames[0], ask=Send(1, False, 0), counter=Bits(8, 4)), *MUX.frames[1:]))
    assert plan_from_json(plan_to_json(plan)) == plan
    for text in ("{}", "[]", '{"v": 2}', '{"v": 1, "frames": []}'):
        with pytest.raises(ValueError, match="not a plan"):
            plan_from_json(text)


FRAME = MUX.frames[0]
LONG = Send(0x100, False, 8, puts=tuple(Put(Bits(i, 1), "p_w") for i in range(7)))

REFUSED = [
    # what is changed, the complaint
    ({"frames": ()}, "no frame carries the state"),
    ({"frames": (replace(FRAME, carrier=False),)}, "no frame carries the state"),
    ({"frames": (replace(FRAME, id=0x800),)}, "frame 0: id = 2048 is outside 0 ... 2047"),
    ({"frames": (replace(FRAME, length=9),)}, "frame 0: length = 9 is outside 0 ... 8"),
    ({"frames": (replace(FRAME, timeout_ms=0),)}, "frame 0: timeout_ms = 0 is outside 1 ... 3600000"),
    ({"frames": (replace(FRAME, equals=0x100),)}, "frame 0: mask 0xff and equals 0x100 leave its 4 bytes"),
    ({"frames": (FRAME, FRAME)}, "frame 1: another frame with this identifier cannot be told from it"),
    (
        {"frames": (FRAME, replace(FRAME, equals=2, length=5))},
        "frame 1: another frame of this identifier has another length",
    ),
    ({"frames": (replace(FRAME, counter=Bits(0, 1)),)}, "frame 0: a counter has 2 ... 32 bits, unsigned"),
    ({"frames": tuple(replace(FRAME, id=i) for i in range(33))}, "33 frames are more than the 32 a bus holds"),
    (
        {"frames": (replace(FRAME, ask=Send(0x311, False, 4)), *MUX.frames[1:])},
        "identifier 0x311 is to be sent and taken",
    ),
    ({"values": (Value(3, Bits(0, 8)),)}, "value 0: frame = 3 is outside 0 ... 2"),
    ({"values": (Value(0, Bits(24, 16)),)}, "value 0: 16 bits from 24 on leave the 4 bytes of their frame"),
    ({"values": (Value(0, Bits(24, 9, True)),)}, "value 0: 9 bits from 24 on leave the 4 bytes of their frame"),
    ({"values": (Value(0, Bits(0, 65)),)}, "value 0: length = 65 is outside 1 ... 64"),
    ({"values": (Value(0, Bits(0, 16, False, "float")),)}, "value 0: a float has 32 or 64 bits, not 16"),
    ({"values": (Value(0, Bits(0, 8), 0.0), MUX.values[1])}, "value 0: factor 0.0 is 0 or not finite"),
    ({"fields": (Field((2,), 1.0, 0, 1, P_W, 1),)}, "field 0: values (2,) are not one or two of 0 ... 1"),
    ({"fields": (Field((0,), 1.0, 0, 1, STATUS, 1),)}, "field 0: word 12 of a DeviceState is no quantity"),
    ({"fields": (Field((0,), math.inf, 0, 1, P_W, 1),)}, "field 0: scale inf is 0 or not finite"),
    ({"flags": (Flag(2, Bits(0, 4), 16, STATUS, 1),)}, "flag 0: equals = 16 is outside 0 ... 15"),
    ({"flags": (Flag(2, Bits(0, 4), 1, P_W, 1),)}, "flag 0: word 3 of a DeviceState is neither session nor status"),
    ({"setpoint": ()}, "an inverter needs at least one set-point frame"),
    ({"setpoint": (LONG,)}, "7 puts of setpoint 0 are more than the 6 a bus holds"),
    ({"setpoint": (replace(LONG, length=1, data=256, puts=()),)}, "setpoint 0: data = 256 is outside 0 ... 255"),
    ({"setpoint": (replace(LONG, puts=(Put(Bits(0, 8), "price"),)),)}, "setpoint 0: source 'price' is none of"),
    (
        {"setpoint": (replace(LONG, puts=(Put(Bits(0, 4), "run", high=16),)),)},
        "setpoint 0: raw number = 16 is outside 0 ... 15",
    ),
    ({"setpoint": (replace(LONG, puts=(Put(Bits(0, 8), "abs_a"),)),)}, "a current needs v_dc, and v_dc_low above 0"),
    ({"heartbeat": Send(1, False, 0)}, "heartbeat_ms = 0 is outside 1 ... 60000"),
    ({"silence_ms": -1}, "silence_ms = -1 is outside 0 ... 3600000"),
    ({"quantum_p_w": -1.0}, "quantum_p_w = -1.0 is outside 0 ... 1000000.0"),
]


@pytest.mark.parametrize(("change", "complaint"), REFUSED, ids=[c[-1] for c in REFUSED])
def test_what_cannot_be_compiled(change: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011  # the text is compared as a whole
        inverter(replace(MUX, **change), 100)
    assert str(error.value).startswith(f"plan: {complaint}")


def test_tables_are_of_one_size() -> None:
    assert len(tables(MUX)) == len(tables(SENT))
    assert DeviceState().valid == 0
