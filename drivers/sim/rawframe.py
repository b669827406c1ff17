"""Modbus frames as bytes, for the fault proxy: cut a stream into frames, put frames together. Pure.

TCP      MBAP: number, 0, length, unit, PDU.
RTU      unit, PDU, CRC; where a frame ends follows from its function.
Errors   none: bytes that are no frame are dropped, and whoever waits for them waits for ever.
Source   Modbus Application Protocol v1.1b3, section 6; Modbus over serial line v1.02, section 6.2.2 (CRC). Written
         from there, not from our driver: one mistake cannot agree with itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import pack, unpack_from
from typing import Protocol

READS = (3, 4)
LONGEST = 260


@dataclass(frozen=True, slots=True)
class Frame:
    """One request or answer. number: of the transaction, 0 on a serial line."""

    unit: int
    pdu: bytes
    number: int = 0

    @property
    def function(self) -> int:
        return self.pdu[0]

    @property
    def span(self) -> tuple[int, int]:
        """Address and count of a request that reads."""
        at, count = unpack_from(">HH", self.pdu, 1)
        return at, count

    @property
    def words(self) -> list[int]:
        """Of an answer to a read."""
        return list(unpack_from(f">{self.pdu[1] // 2}H", self.pdu, 2))


def read_answer(function: int, words: list[int]) -> bytes:
    """The PDU that answers a read."""
    return pack(f">BB{len(words)}H", function, 2 * len(words), *words)


def exception(function: int, code: int) -> bytes:
    """The PDU that refuses a request."""
    return bytes([function | 0x80, code])


def write_request(at: int, words: list[int]) -> bytes:
    """The PDU of function 16."""
    return pack(f">BHHB{len(words)}H", 16, at, len(words), 2 * len(words), *words)


class Framing(Protocol):
    """Takes whole frames out of a buffer; what is not whole yet stays in it."""

    def requests(self, held: bytearray) -> list[Frame]: ...

    def answers(self, held: bytearray) -> list[Frame]: ...

    def pack(self, frame: Frame) -> bytes: ...


class TcpFraming:
    """Requests and answers look alike."""

    def requests(self, held: bytearray) -> list[Frame]:
        found = []
        while len(held) >= 8:
            number, protocol, length, unit = unpack_from(">HHHB", held)
            if protocol != 0 or not 2 <= length <= LONGEST:
                held.clear()
            if len(held) < 6 + length:
                break
            found.append(Frame(unit, bytes(held[7 : 6 + length]), number))
            del held[: 6 + length]
        return found

    answers = requests

    def pack(self, frame: Frame) -> bytes:
        return pack(">HHHB", frame.number, 0, len(frame.pdu) + 1, frame.unit) + frame.pdu


class RtuFraming:
    """A frame whose CRC does not fit is dropped with everything behind it."""

    def requests(self, held: bytearray) -> list[Frame]:
        return self._cut(held, request_bytes)

    def answers(self, held: bytearray) -> list[Frame]:
        return self._cut(held, answer_bytes)

    def _cut(self, held: bytearray, size_of: SizeOf) -> list[Frame]:
        found = []
        while len(held) >= 2:
            size = size_of(held)
            if size > len(held):
                break
            raw = bytes(held[:size])
            if size == 0 or crc(raw) != 0:
                held.clear()
                break
            found.append(Frame(raw[0], raw[1:-2]))
            del held[:size]
        return found

    def pack(self, frame: Frame) -> bytes:
        body = bytes([frame.unit]) + frame.pdu
        return body + pack("<H", crc(body))


class SizeOf(Protocol):
    """How long the frame is that begins here: more than is held when that cannot be said yet, 0 when it is none."""

    def __call__(self, held: bytearray, /) -> int: ...


def request_bytes(held: bytearray) -> int:
    if held[1] in (3, 4, 5, 6):
        return 8
    if held[1] in (16, 23):
        at = 6 if held[1] == 16 else 10
        return at + 3 + held[at] if len(held) > at else LONGEST
    return 0


def answer_bytes(held: bytearray) -> int:
    if held[1] & 0x80:
        return 5
    if held[1] in (3, 4, 23):
        return 5 + held[2] if len(held) > 2 else LONGEST
    return 8 if held[1] in (5, 6, 16) else 0


def crc(raw: bytes) -> int:
    """CRC-16 of Modbus; 0 over a frame that ends with its own."""
    value = 0xFFFF
    for byte in raw:
        value = (value >> 8) ^ CRC_OF[(value ^ byte) & 0xFF]
    return value


def crc_of_byte(value: int) -> int:
    for _ in range(8):
        value = (value >> 1) ^ (0xA001 if value & 1 else 0)
    return value


CRC_OF = tuple(crc_of_byte(byte) for byte in range(256))
