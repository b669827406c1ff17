# What a request came to, and what the write rules say: for C, and as IntEnum for whoever imports the module. The bus
# threads' own process does not: an IntEnum brings `enum` along.

cpdef enum Fault:
    OK = 0
    # what check_* find in a reply
    SHORT = 1                       # not whole (yet)
    BAD_TRANSACTION = 2
    BAD_PROTOCOL = 3                # not Modbus, or out of step
    BAD_LENGTH = 4                  # not as long as the request makes it
    BAD_UNIT = 5
    BAD_FUNCTION = 6
    BAD_ECHO = 7                    # a write acknowledged with another address, count or value
    BAD_CRC = 13
    NOISE = 14                      # a serial line that is never silent
    EXCEPTION = 8                   # the device says no; its code is in the reply
    # what the wire finds
    TIMEOUT = 9
    CLOSED = 10                     # by the device, or a socket error
    NOT_CONNECTED = 11              # connect failed, or its back-off is running
    STOPPED = 12                    # our own side wants to end

cpdef enum Due:
    WAIT = 0                        # nothing to write now
    WRITE = 1
    URGENT = 2                      # power to 0: the minimum interval does not hold it back
    SILENT = 3                      # the core wants nothing written
    EXPIRED = 4                     # older than its valid_ms
    REFUSED = 5                     # not finite
    SPENT = 6                       # the day's budget of writes is used up: held back
    ZERO = 7                        # the same while power stands in the device: 0 W and 0 var are written instead
