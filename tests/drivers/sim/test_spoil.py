"""What each fault makes of one answer: bytes and times, worked out by hand. No socket."""

from __future__ import annotations

import struct

import pytest

from drivers.sim.faultscript import parse
from drivers.sim.faultwords import Face, InverterFace, MeterFace
from drivers.sim.rawframe import Frame, RtuFraming, TcpFraming, crc, read_answer, write_request
from drivers.sim.spoil import Standing, spoiled

TCP, RTU = TcpFraming(), RtuFraming()
METER, INVERTER = MeterFace(), InverterFace()
ASK_F = Frame(1, bytes.fromhex("0400460002"), 7)  # function 4, address 70, 2 words
SAYS_60 = Frame(1, bytes.fromhex("040442700000"), 7)  # 60.0
RAW_60 = bytes.fromhex("000700000007 01 040442700000")


def standing(text: str, face: Face = METER) -> Standing:
    return Standing(parse(f"at 0s: {text}", "f")[0], face)


def sent(*faults: str, ask: Frame = ASK_F, answer: Frame = SAYS_60) -> list[tuple[float, bytes]]:
    return spoiled([standing(f) for f in faults], ask, answer, TCP)


def frame_of(pdu: str, number: str = "0007", unit: str = "01") -> bytes:
    body = bytes.fromhex(unit + pdu)
    return bytes.fromhex(number) + struct.pack(">HH", 0, len(body)) + body


# fmt: off
ANSWERS = [
    # faults                  what is sent, and how much later                                why
    ((),                      [(0.0, RAW_60)],                                                "as it came"),
    (("meter.delay 400ms",),  [(0.4, RAW_60)],                                                "later"),
    (("meter.truncate",),     [(0.0, RAW_60[:6])],                                            "6 of 13 bytes"),
    (("meter.duplicate",),    [(0.0, RAW_60), (0.005, RAW_60)],                                 "twice"),
    (("meter.wrong_id",),     [(0.0, frame_of("040442700000", number="0008"))],               "7 + 1"),
    (("meter.wrong_unit",),   [(0.0, frame_of("040442700000", unit="02"))],                   "1 + 1"),
    (("meter.nan",),          [(0.0, frame_of("04047fc00000"))],                              "IEEE 754 quiet NaN"),
    (("meter.inf f",),        [(0.0, frame_of("04047f800000"))],                              "IEEE 754 infinity"),
    (("meter.scale10",),      [(0.0, frame_of("040444160000"))],                              "600.0"),
    (("meter.out_of_range",), [(0.0, frame_of("04044e6e6b28"))],                              "1e9"),
    (("meter.nan v",),        [(0.0, RAW_60)],                                                "no voltage in it"),
    (("meter.duplicate", "meter.delay 1s"), [(1.0, RAW_60), (1.005, RAW_60)],                   "together"),
    (("meter.nan", "meter.truncate"), [(0.0, frame_of("04047fc00000")[:6])],                  "values before bytes"),
]
# fmt: on


@pytest.mark.parametrize(("faults", "expected", "why"), ANSWERS, ids=["+".join(c[0]) or "none" for c in ANSWERS])
def test_one_answer(faults: tuple[str, ...], expected: list[tuple[float, bytes]], why: str) -> None:
    assert sent(*faults) == expected, why


def test_the_unit_after_the_last_is_the_first() -> None:
    """255 is a usual unit of Modbus TCP."""
    answer = Frame(255, SAYS_60.pdu, 7)
    assert sent("meter.wrong_unit", answer=answer) == [(0.0, frame_of("040442700000", unit="00"))]


def test_drip_is_every_byte_and_each_later_than_the_last() -> None:
    chunks = sent("meter.drip 20ms")
    assert b"".join(raw for _, raw in chunks) == RAW_60
    assert [later_s for later_s, _ in chunks] == [pytest.approx(0.02 * i) for i in range(13)]


def test_garbage_has_the_length_and_depends_on_the_seed_alone() -> None:
    ((_, one),), ((_, again),) = sent("meter.garbage"), sent("meter.garbage")
    assert one == again != RAW_60
    assert len(one) == len(RAW_60)


def test_freeze_repeats_the_first_answer_to_each_question() -> None:
    frozen = standing("meter.freeze")
    other = Frame(1, bytes.fromhex("0400000002"), 8)
    assert spoiled([frozen], ASK_F, SAYS_60, TCP) == [(0.0, RAW_60)]
    later = Frame(1, bytes.fromhex("040442710000"), 9)
    again = Frame(1, ASK_F.pdu, 9)
    assert spoiled([frozen], again, later, TCP) == [(0.0, frame_of("040442700000", number="0009"))]
    assert spoiled([frozen], other, Frame(1, later.pdu, 8), TCP) == [(0.0, frame_of("040442710000", number="0008"))]


def test_reorder_holds_every_second_answer_back() -> None:
    held = standing("meter.reorder")
    second = Frame(1, SAYS_60.pdu, 8)
    assert spoiled([held], ASK_F, SAYS_60, TCP) == []
    assert spoiled([held], Frame(1, ASK_F.pdu, 8), second, TCP) == [(0.0, TCP.pack(second)), (0.005, RAW_60)]
    assert spoiled([held], ASK_F, SAYS_60, TCP) == []


# ---- the inverter: SunSpec from 40000 on; 701 begins at 40070, W is its word 10, its scale factor 1 ----

W_AT = 40080
SOC_AT = 40070 + 155 + 52 + 67 + 2 + 2  # behind 701, 702 and 704: ID, L, WHRtg, WHAvail, SoC


def shown(fault: str, at: int, word: int) -> int:
    """What becomes of one holding register."""
    ask = Frame(1, struct.pack(">BHH", 3, at, 1), 1)
    answer = Frame(1, read_answer(3, [word]), 1)
    ((_, raw),) = spoiled([standing(fault, INVERTER)], ask, answer, TCP)
    return int(struct.unpack(">H", raw[-2:])[0])


# fmt: off
REGISTERS = [
    # fault                       at       word     becomes  why
    ("inverter.nan",              W_AT,    0xFF74,  0x8000,  '"not implemented" of an int16'),
    ("inverter.nan soc",          SOC_AT,  600,     0xFFFF,  '"not implemented" of a uint16'),
    ("inverter.nan soc",          W_AT,    0xFF74,  0xFF74,  "another part"),
    ("inverter.scale10 p",        W_AT,    0xFF74,  0xFA88,  "-140 -> -1400: of 10 W each"),
    ("inverter.scale10 p",        W_AT,    5000,    0x7FFF,  "what an int16 can hold"),
    ("inverter.out_of_range p",   W_AT,    0,       0x7FFF,  "327 kW"),
    ("inverter.soc_glitch 100%",  SOC_AT,  600,     1000,    "tenths of a percent"),
    ("inverter.fault",            40073,   3,       3,       "701.St is not InvSt"),
    ("inverter.fault",            40074,   3,       6,       "701.InvSt: fault"),
]
# fmt: on


@pytest.mark.parametrize(
    ("fault", "at", "word", "becomes", "why"), REGISTERS, ids=[f"{c[0]} {c[1]}" for c in REGISTERS]
)
def test_one_register_of_the_inverter(fault: str, at: int, word: int, becomes: int, why: str) -> None:
    assert shown(fault, at, word) == becomes, why


def test_a_part_of_the_requests() -> None:
    write = Frame(1, write_request(100, [1]), 3)
    answer = Frame(1, bytes.fromhex("1000640001"), 3)
    assert spoiled([standing("inverter.truncate reads", INVERTER)], write, answer, TCP) == [(0.0, TCP.pack(answer))]
    half = spoiled([standing("inverter.truncate writes", INVERTER)], write, answer, TCP)
    assert half == [(0.0, TCP.pack(answer)[:6])]


def test_another_masters_set_point() -> None:
    """704.WSet: int32 in tens of watts, address 40000 + 2 + 68 + 155 + 52 + 2 + 22."""
    assert INVERTER.set_point(-3000.0) == (40301, [0xFFFF, 0xFED4])


# ---- frames ----


def test_tcp_frames_are_cut_out_of_a_stream() -> None:
    held = bytearray(RAW_60 + RAW_60[:5])
    assert TCP.answers(held) == [SAYS_60]
    assert held == RAW_60[:5]
    held += RAW_60[5:]
    assert TCP.answers(held) == [SAYS_60]


def test_a_stream_that_is_no_modbus_is_dropped() -> None:
    held = bytearray(b"GET / HTTP/1.1\r\n")
    assert TCP.requests(held) == []
    assert held == b""


# fmt: off
LINE = [
    # request                            answer                    why
    ("01 04 0046 0002 901e",             "01 04 04 42700000 ee27",       "a read; CRCs by pymodbus"),
    ("01 10 0000 0002 04 00010002 23ae", "01 10 0000 0002 41c8",         "16: its byte count"),
]
# fmt: on


@pytest.mark.parametrize(("request_hex", "answer_hex", "why"), LINE, ids=[c[-1] for c in LINE])
def test_serial_frames_end_where_their_function_says(request_hex: str, answer_hex: str, why: str) -> None:
    for raw, cut in ((bytes.fromhex(request_hex), RTU.requests), (bytes.fromhex(answer_hex), RTU.answers)):
        held = bytearray(raw[:-1])
        assert cut(held) == []
        held += raw[-1:] + b"\x01"
        (frame,) = cut(held)
        assert RTU.pack(frame) == raw
        assert held == b"\x01"


def test_a_crc_that_does_not_fit_drops_what_is_held() -> None:
    held = bytearray.fromhex("01 04 0046 0002 901f")
    assert RTU.requests(held) == []
    assert held == b""


def test_the_crc_of_the_specification() -> None:
    """Modbus over serial line v1.02, appendix B: 02 07 -> 41 12."""
    assert crc(bytes([2, 7])) == 0x1241
