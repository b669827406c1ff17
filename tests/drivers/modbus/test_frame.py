"""Frames against the examples of the Modbus Application Protocol v1.1b3 (6.3, 6.4, 6.6, 6.12, 6.17); MBAP by pencil.

RTU against the CRC of Modbus over serial line v1.02 (6.2.2) and, for any bytes, against its definition bit by bit.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.modbus.codes import Fault
from drivers.modbus.frame import check_reply, crc_of, exchange_request, read_request, write_request

# fmt: off
READS = [
    # function  address  count  request                                why
    (3,         0x006B,  3,     "1501 0000 0006 ff 03 006b 0003",      "6.3: holding registers 108 ... 110"),
    (4,         0x0008,  1,     "1501 0000 0006 ff 04 0008 0001",      "6.4: input register 9"),
    (4,         0xFF83,  125,   "1501 0000 0006 ff 04 ff83 007d",      "the longest read, up to the last register"),
]
WRITES = [
    # function  address  words          request                                              why
    (6,         0x0001,  (3,),          "1501 0000 0006 ff 06 0001 0003",                    "6.6: register 2 := 3"),
    (16,        0x0001,  (10, 0x0102),  "1501 0000 000b ff 10 0001 0002 04 000a 0102",       "6.12: registers 2 and 3"),
]
REFUSED = [
    # function  address  words    what is said
    (6,         0,       (1, 2),  "function 6 writes 1 word, not 2"),
    (16,        0,       (),      "count 0 is outside 1 ... 123"),
    (16,        0,       (0,) * 124, "count 124 is outside 1 ... 123"),
    (16,        0xFFFF,  (1, 2),  "leave 0 ... 65535"),
    (16,        0,       (65536,), "word 65536 is outside 0 ... 65535"),
    (6,         0,       (-1,),   "value -1 is outside 0 ... 65535"),
    (5,         0,       (1,),    "function 5 is none of 6, 16"),
]
# each row corrupts one thing of a right reply:   15 01 | 00 00 | length | unit | function ...
READ_REPLIES = [
    # reply to: read 3 words at 0x006B, function 3    fault                  why
    ("1501 0000 0009 ff 03 06 022b 0000 0064",        Fault.OK,              "the example of 6.3"),
    ("",                                              Fault.SHORT,           "nothing"),
    ("1501 0000 00",                                  Fault.SHORT,           "not even a length"),
    ("1501 0000 0009 ff 03 06 022b 0000 00",          Fault.SHORT,           "the last byte is missing"),
    ("1502 0000 0009 ff 03 06 022b 0000 0064",        Fault.BAD_TRANSACTION, "the answer to another question"),
    ("1500 0000 0009 ff 03 06 022b 0000 0064",        Fault.BAD_TRANSACTION, "the answer to the question before"),
    ("1501 0001 0009 ff 03 06 022b 0000 0064",        Fault.BAD_PROTOCOL,    "protocol 1 is not Modbus"),
    ("1501 0000 0002 ff 03",                          Fault.BAD_LENGTH,      "a frame of a function and nothing else"),
    ("1501 0000 00ff ff 03 06 022b 0000 0064",        Fault.BAD_LENGTH,      "longer than any frame can be"),
    ("1501 0000 0009 ff 03 06 022b 0000 0064 00",     Fault.BAD_LENGTH,      "a byte too many"),
    ("1501 0000 0009 01 03 06 022b 0000 0064",        Fault.BAD_UNIT,        "another unit behind the same gateway"),
    ("1501 0000 0009 ff 04 06 022b 0000 0064",        Fault.BAD_FUNCTION,    "another function"),
    ("1501 0000 0007 ff 03 04 022b 0000",             Fault.BAD_LENGTH,      "two words where three were asked for"),
    ("1501 0000 0009 ff 03 04 022b 0000 0064",        Fault.BAD_LENGTH,      "its byte count contradicts its length"),
    ("1501 0000 0003 ff 83 02",                       Fault.EXCEPTION,       "illegal data address"),
    ("1501 0000 0004 ff 83 02 00",                    Fault.BAD_LENGTH,      "an exception has one byte"),
    ("1501 0000 0003 ff 84 02",                       Fault.BAD_FUNCTION,    "the exception of another function"),
]
WRITE_REPLIES = [
    # reply to: write 2 words at 0x0001, function 16  fault                  why
    ("1501 0000 0006 ff 10 0001 0002",                Fault.OK,              "the example of 6.12"),
    ("1501 0000 0006 ff 10 0002 0002",                Fault.BAD_ECHO,        "another address"),
    ("1501 0000 0006 ff 10 0001 0001",                Fault.BAD_ECHO,        "one word was taken, not two"),
    ("1501 0000 0005 ff 10 0001 00",                  Fault.BAD_LENGTH,      "a byte short"),
    ("1501 0000 0003 ff 90 03",                       Fault.EXCEPTION,       "illegal data value"),
]
# fmt: on


@pytest.mark.parametrize(("function", "address", "count", "request_hex", "why"), READS, ids=[c[-1] for c in READS])
def test_a_read_request(function: int, address: int, count: int, request_hex: str, why: str) -> None:
    assert read_request(0x1501, 0xFF, function, address, count) == bytes.fromhex(request_hex), why


@pytest.mark.parametrize(("function", "address", "words", "request_hex", "why"), WRITES, ids=[c[-1] for c in WRITES])
def test_a_write_request(function: int, address: int, words: tuple[int, ...], request_hex: str, why: str) -> None:
    assert write_request(0x1501, 0xFF, function, address, words) == bytes.fromhex(request_hex), why


@pytest.mark.parametrize(("function", "address", "words", "said"), REFUSED, ids=[c[-1] for c in REFUSED])
def test_a_request_nobody_may_send(function: int, address: int, words: tuple[int, ...], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        write_request(1, 1, function, address, words)


@pytest.mark.parametrize(("reply", "fault", "why"), READ_REPLIES, ids=[c[-1] for c in READ_REPLIES])
def test_a_reply_to_a_read(reply: str, fault: Fault, why: str) -> None:
    assert check_reply(bytes.fromhex(reply), 0x1501, 0xFF, 3, 0x006B, 3) is fault, why


@pytest.mark.parametrize(("reply", "fault", "why"), WRITE_REPLIES, ids=[c[-1] for c in WRITE_REPLIES])
def test_a_reply_to_a_write(reply: str, fault: Fault, why: str) -> None:
    assert check_reply(bytes.fromhex(reply), 0x1501, 0xFF, 16, 0x0001, 2) is fault, why


def test_a_single_write_is_acknowledged_with_its_value() -> None:
    same = bytes.fromhex("1501 0000 0006 ff 06 0001 0003")
    assert check_reply(same, 0x1501, 0xFF, 6, 0x0001, 3) is Fault.OK
    assert check_reply(same, 0x1501, 0xFF, 6, 0x0001, 4) is Fault.BAD_ECHO


REQUESTS = st.tuples(
    st.integers(0, 0xFFFF), st.integers(0, 255), st.sampled_from([3, 4, 16]), st.integers(0, 65000), st.integers(1, 123)
)


@given(raw=st.binary(max_size=300), ask=REQUESTS)
def test_no_bytes_crash_and_an_ok_says_what_was_asked(raw: bytes, ask: tuple[int, int, int, int, int]) -> None:
    transaction, unit, function, *_ = ask
    if check_reply(raw, *ask) is Fault.OK:
        assert raw[:2] == transaction.to_bytes(2)
        assert raw[6:8] == bytes([unit, function])


@given(ask=REQUESTS, other=st.integers(0, 0xFFFF), data=st.data())
def test_the_right_reply_under_another_transaction_is_never_ok(
    ask: tuple[int, int, int, int, int], other: int, data: st.DataObject
) -> None:
    transaction, unit, function, address, count = ask
    body = bytes([2 * count]) + data.draw(st.binary(min_size=2 * count, max_size=2 * count))
    if function == 16:
        body = address.to_bytes(2) + count.to_bytes(2)
    raw = other.to_bytes(2) + bytes(2) + (len(body) + 2).to_bytes(2) + bytes([unit, function]) + body
    assert check_reply(raw, *ask) is (Fault.OK if other == transaction else Fault.BAD_TRANSACTION)


@given(ask=REQUESTS, data=st.data())
def test_one_flipped_bit_of_the_header_is_never_ok(ask: tuple[int, int, int, int, int], data: st.DataObject) -> None:
    transaction, unit, function, address, count = ask
    body = address.to_bytes(2) + count.to_bytes(2) if function == 16 else bytes([2 * count]) + bytes(2 * count)
    raw = bytearray(transaction.to_bytes(2) + bytes(2) + (len(body) + 2).to_bytes(2) + bytes([unit, function]) + body)
    bit = data.draw(st.integers(0, 8 * 9 - 1))  # header, function and the first byte behind it
    raw[bit // 8] ^= 1 << bit % 8
    assert check_reply(bytes(raw), *ask) is not Fault.OK


def test_a_write_and_a_read_in_one() -> None:
    """6.17: read 6 registers from 4, write 3 from 15."""
    request = "1501 0000 0011 ff 17 0003 0006 000e 0003 06 00ff 00ff 00ff"
    assert exchange_request(0x1501, 0xFF, 3, 6, 0x0E, [0xFF] * 3) == bytes.fromhex(request)
    reply = "1501 0000 000f ff 17 0c 00fe 0acd 0001 0003 000d 00ff"
    assert check_reply(bytes.fromhex(reply), 0x1501, 0xFF, 23, 3, 6) is Fault.OK
    assert check_reply(bytes.fromhex(reply), 0x1501, 0xFF, 23, 3, 5) is Fault.BAD_LENGTH
    with pytest.raises(ValueError, match=r"count 122 is outside 1 ... 121 to write for function 23"):
        exchange_request(1, 1, 0, 1, 0, [0] * 122)


# ---- RTU ----

# fmt: off
RTU_REPLIES = [
    # reply to: read 2 words, unit 1, function 3; its CRC by the definition below
    #                      change of the right bytes            fault               why
    (lambda b: b,                                               Fault.OK,           "as it is"),
    (lambda b: b[:0],                                           Fault.SHORT,        "nothing"),
    (lambda b: b[:-1],                                          Fault.SHORT,        "the last byte is missing"),
    (lambda b: b + b"\0",                                       Fault.BAD_LENGTH,   "a byte too many"),
    (lambda b: bytes([2]) + b[1:],                              Fault.BAD_UNIT,     "another unit"),
    (lambda b: b[:1] + bytes([4]) + b[2:],                      Fault.BAD_FUNCTION, "another function"),
    (lambda b: b[:-2] + b[:-3:-1],                              Fault.BAD_CRC,      "CRC with its high byte first"),
    (lambda b: b[:3] + bytes([b[3] ^ 1]) + b[4:],               Fault.BAD_CRC,      "a flipped bit"),
    (lambda b: with_crc(b[:2] + bytes([6]) + b[3:-2]),          Fault.BAD_LENGTH,   "a byte count not asked for"),
    (lambda _: with_crc(bytes([1, 0x83, 2])),                   Fault.EXCEPTION,    "an exception"),
    (lambda _: with_crc(bytes([1, 0x83, 2]))[:-1] + b"\0",      Fault.BAD_CRC,      "an exception with a wrong CRC"),
]
# fmt: on


def crc_by_definition(data: bytes) -> int:
    """6.2.1: shift right, and where a 1 falls out exclusive or with 0xA001."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0xA001 if crc & 1 else crc >> 1
    return crc


def with_crc(data: bytes) -> bytes:
    return data + crc_by_definition(data).to_bytes(2, "little")


def test_the_crc_of_the_document() -> None:
    """6.2.2: unit 2, function 7: 41 12 on the wire."""
    assert crc_of(bytes([0x02, 0x07])) == 0x1241


@given(data=st.binary(max_size=256))
def test_the_crc_of_any_bytes(data: bytes) -> None:
    assert crc_of(data) == crc_by_definition(data)


def test_an_rtu_request() -> None:
    assert read_request(None, 1, 3, 0x006B, 3) == with_crc(bytes.fromhex("01 03 006b 0003"))
    assert write_request(None, 1, 16, 1, (10, 0x0102)) == with_crc(bytes.fromhex("01 10 0001 0002 04 000a 0102"))


@pytest.mark.parametrize(("change", "fault", "why"), RTU_REPLIES, ids=[c[-1] for c in RTU_REPLIES])
def test_an_rtu_reply(change: Callable[[bytes], bytes], fault: Fault, why: str) -> None:
    right = with_crc(bytes.fromhex("01 03 04 1234 5678"))
    assert check_reply(change(right), None, 1, 3, 0, 2) is fault, why


@given(unit=st.integers(1, 247), words=st.lists(st.integers(0, 0xFFFF), min_size=1, max_size=125), data=st.data())
def test_three_flipped_bits_of_an_rtu_reply_are_always_seen(unit: int, words: list[int], data: st.DataObject) -> None:
    """The CRC finds every odd number of flips and every pair in a frame: 16 bits, Hamming distance 4 at this length."""
    right = with_crc(bytes([unit, 3, 2 * len(words)]) + b"".join(w.to_bytes(2) for w in words))
    assert check_reply(right, None, unit, 3, 0, len(words)) is Fault.OK
    raw = bytearray(right)
    for bit in data.draw(st.sets(st.integers(0, 8 * len(right) - 1), min_size=1, max_size=3)):
        raw[bit // 8] ^= 1 << bit % 8
    assert check_reply(bytes(raw), None, unit, 3, 0, len(words)) is not Fault.OK
