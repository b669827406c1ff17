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

class Due(IntEnum):
    WAIT = 0
    WRITE = 1
    URGENT = 2
    SILENT = 3
    EXPIRED = 4
    REFUSED = 5
    SPENT = 6
    ZERO = 7
