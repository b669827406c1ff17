"""The Infypower maps against frames typed by hand from the documents that they name: asked, answered, commanded.

Identifier: error << 26 | device 0x0A << 22 | command << 16 | destination << 8 | source; the controller is 0xF0.
"""

from __future__ import annotations

import pytest

from cython_core.records import DeviceStatus, DeviceValid
from drivers.can.dbc import can_plan
from drivers.can.frame import Frames

PLAN = can_plan("infypower-beg", 0, 10, 200, 300)
FRAMES = Frames(PLAN)
READ, READ_REPLY, WRITE, WRITE_REPLY = 0x02A300F0, 0x02A3F000, 0x02A400F0, 0x02A4F000

# fmt: off
ANSWERS = [
    # data                       field                 value     why
    ("21 08 00 00 00 39 fb c0",  "p_w",                -3800.0,  "3 800 000 mW drawn from the grid: charging"),
    ("21 08 00 00 ff c6 04 40",  "p_w",                3800.0,   "the same fed into it, if the number is signed"),
    ("11 33 00 00 01 4f b1 80",  "p_max_charge_w",     22000.0,  "rated 22 kW"),
    ("11 33 00 00 01 4f b1 80",  "p_max_discharge_w",  22000.0,  "both ways"),
    ("21 08 00 00 7f ff ff ff",  "p_w",                None,     "2.1 MW is no power of this module"),
]
# fmt: on


@pytest.mark.parametrize(("data", "field", "value", "why"), ANSWERS, ids=[c[-1] for c in ANSWERS])
def test_an_answer(data: str, field: str, value: float | None, why: str) -> None:
    raw = bytes.fromhex(data)
    place = FRAMES.find(READ_REPLY, True, raw)
    state = FRAMES.decode([(place, raw)])
    if value is None:
        assert state.valid == DeviceValid.STATUS
    else:
        assert getattr(state, field) == pytest.approx(value)


RUNNING = DeviceStatus.RUNNING | DeviceStatus.CONNECTED

# fmt: off
STATUS = [
    # bytes 5 6 7   status                                      why
    ("00 00 00",    RUNNING,                                    "on"),
    ("00 01 00",    RUNNING,                                    "byte 6 bit 0: the DC side is off"),
    ("00 02 00",    DeviceStatus.CONNECTED | DeviceStatus.FAULT, "byte 6 bit 1: a fault"),
    ("00 04 00",    RUNNING | DeviceStatus.ALARM,               "byte 6 bit 2: it protects itself"),
    ("80 01 00",    DeviceStatus.RUNNING,                       "byte 5 bit 7: the grid side is off"),
]
# fmt: on


@pytest.mark.parametrize(("bits", "status", "why"), STATUS, ids=[c[-1] for c in STATUS])
def test_status_bits(bits: str, status: DeviceStatus, why: str) -> None:
    raw = bytes.fromhex(f"11 10 00 00 00 {bits}")
    assert FRAMES.decode([(FRAMES.find(READ_REPLY, True, raw), raw)]).status == status


def test_the_questions() -> None:
    asks = [f.ask for f in PLAN.frames if f.ask is not None]
    found = [(a.id, a.extended, a.data.to_bytes(8, "little").hex(" ")) for a in asks]
    assert found == [
        (READ, True, "21 08 00 00 00 00 00 00"),
        (READ, True, "10 01 00 00 00 00 00 00"),
        (READ, True, "11 10 00 00 00 00 00 00"),
        (READ, True, "11 33 00 00 00 00 00 00"),
    ]
    assert [f.every for f in PLAN.frames if f.ask] == [1, 1, 1, 20]


def sent(which: str, p_w: float = 0.0, direction: int = 0) -> list[str]:
    frames = FRAMES.encode(which, p_w, v_dc=380.0, direction=direction)  # type: ignore[arg-type]  # one of its words
    assert frames is not None
    assert {identifier for identifier, _ in frames} == {WRITE}
    return [data.hex(" ") for _, data in frames]


def test_charging_with_3800_w_at_380_v() -> None:
    assert sent("setpoint", -3800.0, 0) == [
        "21 10 00 00 00 00 00 a0",  # rectifier
        "10 01 00 00 00 03 0d 40",  # up to 200 V: nothing flows until the owner writes his battery's voltage
        "10 02 00 00 00 00 27 10",  # 10 000 mA
    ]


def test_discharging_with_1900_w_at_380_v() -> None:
    assert sent("setpoint", 1900.0, 1) == [
        "21 10 00 00 00 00 00 a1",  # inverter
        "10 01 00 00 00 0f 42 40",  # down to 1000 V
        "10 02 00 00 00 00 13 88",  # 5 000 mA
    ]


def test_start_and_stop() -> None:
    assert sent("start") == [
        "11 22 00 00 00 00 00 a1",  # soft start
        "21 10 00 00 00 00 00 a0",
        "10 02 00 00 00 00 00 00",  # no current before the first set-point
        "11 10 00 00 00 00 00 a0",  # on
    ]
    assert sent("stop") == ["10 02 00 00 00 00 00 00", "11 10 00 00 00 00 00 a1"]


def test_the_answer_to_a_write_acknowledges_it() -> None:
    place = FRAMES.find(WRITE_REPLY, True, bytes(8))
    assert PLAN.frames[place].ack
    assert FRAMES.find(WRITE_REPLY | 3 << 26, True, bytes(8)) == -1  # error 3, data invalid: none


def test_the_modules_address() -> None:
    plan = can_plan("infypower-beg", 5, 10, 200, 300)
    assert plan.frames[0].id == 0x02A3F005
    assert plan.setpoint[0].id == 0x02A405F0


def test_its_timer_is_fed_by_any_frame() -> None:
    assert (PLAN.fed_by_any, PLAN.silence_ms, PLAN.write_refresh_ms, PLAN.min_gap_ms) == (True, 10000, 3333, 50)


# ---- V1.13: charges only ----

V113 = Frames(can_plan("infypower-v113", 0, 10, 200, 300))


def test_v113_power_is_voltage_times_current() -> None:
    """380 V = 43be0000 and 10 A = 41200000: into the battery, so out of the grid."""
    raw = bytes.fromhex("43be000041200000")
    state = V113.decode([(V113.find(0x0283F000, True, raw), raw)])
    assert state.p_w == -3800.0


def test_v113_limits() -> None:
    """Maximum 1000 V, minimum 50 V, 73.3 A, 22 kW in tens of watts."""
    raw = bytes.fromhex("03e8003202dd0898")
    assert V113.decode([(V113.find(0x028AF000, True, raw), raw)]).p_max_charge_w == 22000.0


def test_v113_commands() -> None:
    plan = can_plan("infypower-v113", 0, 10, 200, 300)
    assert [f.ask.id for f in plan.frames if f.ask] == [0x028300F0, 0x028400F0, 0x028C00F0, 0x028A00F0]
    assert V113.encode("setpoint", -3800.0, v_dc=380.0) == [(0x029C00F0, bytes.fromhex("00030d4000002710"))]
    assert V113.encode("setpoint", 0.0, v_dc=380.0) == [(0x029C00F0, bytes.fromhex("00030d4000000000"))]
    assert V113.encode("setpoint", 3800.0, v_dc=380.0) is None  # it cannot discharge
    assert V113.encode("start", 0.0) == [(0x029C00F0, bytes.fromhex("00030d4000000000")), (0x029A00F0, bytes(8))]
    off = (0x029A00F0, bytes.fromhex("0100000000000000"))
    assert V113.encode("stop", 0.0) == [(0x029C00F0, bytes.fromhex("00030d4000000000")), off]
