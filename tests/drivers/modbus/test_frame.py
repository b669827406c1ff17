"""Frames against the examples of the Modbus Application Protocol v1.1b3 (6.3, 6.4, 6.6, 6.12); MBAP by pencil."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.modbus.frame import Fault, check_reply, read_request, write_request

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
