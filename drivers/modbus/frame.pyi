from collections.abc import Sequence
from enum import IntEnum

class Fault(IntEnum):
    OK = 0
    SHORT = 1
    BAD_TRANSACTION = 2
    BAD_PROTOCOL = 3
    BAD_LENGTH = 4
    BAD_UNIT = 5
    BAD_FUNCTION = 6
    BAD_ECHO = 7
    EXCEPTION = 8
    TIMEOUT = 9
    CLOSED = 10
    NOT_CONNECTED = 11
    STOPPED = 12
    BAD_CRC = 13
    NOISE = 14

def read_request(transaction: int | None, unit: int, function: int, address: int, count: int) -> bytes: ...
def write_request(transaction: int | None, unit: int, function: int, address: int, words: Sequence[int]) -> bytes: ...
def exchange_request(
    transaction: int | None, unit: int, address: int, count: int, to_address: int, words: Sequence[int]
) -> bytes: ...
def check_reply(raw: bytes, transaction: int | None, unit: int, function: int, address: int, count: int) -> Fault: ...
def crc_of(raw: bytes) -> int: ...
