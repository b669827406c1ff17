"""Modbus requests and replies as bytes: build and check, nothing else. Functions 3, 4, 6 and 16.

Shapes   PDU = function + data, at most 253 bytes; ADU on TCP = 7 bytes MBAP + PDU. Words are big-endian.
Output   request: its length. Reply: a Fault; the data of a read that is OK start at byte MBAP + 2.
Errors   none on the hot side: a fault is a value. The Python face raises ValueError for a request nobody may send.
Source   Modbus Application Protocol v1.1b3, section 6; Modbus Messaging on TCP/IP v1.0b, section 3.1.3.
"""

from libc.stdint cimport uint8_t, uint16_t


cdef inline void put_word(uint8_t* to, int word) noexcept nogil:
    to[0] = <uint8_t> (word >> 8)
    to[1] = <uint8_t> (word & 0xFF)


cdef inline int get_word(const uint8_t* at) noexcept nogil:
    return (at[0] << 8) | at[1]


cdef int pdu_read(uint8_t* pdu, const request_t* ask) noexcept nogil:
    pdu[0] = <uint8_t> ask.function
    put_word(pdu + 1, ask.address)
    put_word(pdu + 3, ask.count)
    return 5


cdef int pdu_write(uint8_t* pdu, const request_t* ask, const uint16_t* words) noexcept nogil:
    cdef int i
    pdu[0] = <uint8_t> ask.function
    put_word(pdu + 1, ask.address)
    put_word(pdu + 3, ask.count)
    if ask.function == 6:           # count is the value
        return 5
    pdu[5] = <uint8_t> (2 * ask.count)
    for i in range(ask.count):
        put_word(pdu + 6 + 2 * i, words[i])
    return 6 + 2 * ask.count


cdef int mbap_build(uint8_t* adu, int transaction, int unit, int n_pdu) noexcept nogil:
    put_word(adu, transaction)
    put_word(adu + 2, 0)
    put_word(adu + 4, n_pdu + 1)    # the unit is counted
    adu[6] = <uint8_t> unit
    return MBAP + n_pdu


cdef int mbap_size(const uint8_t* adu, int n) noexcept nogil:
    cdef int length
    if n < 6:
        return 0
    if get_word(adu + 2) != 0:
        return -Fault.BAD_PROTOCOL
    length = get_word(adu + 4)
    if length < 3 or length > MAX_PDU + 1:      # unit, function and at least one byte
        return -Fault.BAD_LENGTH
    return 6 + length


cdef int mbap_transaction(const uint8_t* adu) noexcept nogil:
    return get_word(adu)


cdef int mbap_check(const uint8_t* adu, int n, int transaction, int unit) noexcept nogil:
    cdef int size = mbap_size(adu, n)
    if size < 0:
        return -size
    if size == 0 or n < size:
        return Fault.SHORT
    if n > size:
        return Fault.BAD_LENGTH
    if mbap_transaction(adu) != transaction:
        return Fault.BAD_TRANSACTION
    if adu[6] != unit:
        return Fault.BAD_UNIT
    return Fault.OK


cdef int pdu_check(const uint8_t* pdu, int n, const request_t* ask) noexcept nogil:
    if n < 2:
        return Fault.SHORT
    if pdu[0] == (ask.function | 0x80):
        return Fault.EXCEPTION if n == 2 else Fault.BAD_LENGTH
    if pdu[0] != ask.function:
        return Fault.BAD_FUNCTION
    if ask.function == 3 or ask.function == 4:
        return Fault.OK if n == 2 + 2 * ask.count and pdu[1] == 2 * ask.count else Fault.BAD_LENGTH
    if n != 5:
        return Fault.BAD_LENGTH
    if get_word(pdu + 1) != ask.address or get_word(pdu + 3) != ask.count:
        return Fault.BAD_ECHO
    return Fault.OK


cdef int reply_check(const uint8_t* adu, int n, int transaction, const request_t* ask) noexcept nogil:
    cdef int fault = mbap_check(adu, n, transaction, ask.unit)
    if fault != Fault.OK:
        return fault
    return pdu_check(adu + MBAP, n - MBAP, ask)


# --- the Python face: for tests, fuzzers and tools ------------------------------------------------------------------

cdef int fill_request(request_t* ask, int unit, int function, int address, int count) except -1:
    """Check at the door: past it a request is straight-line code."""
    most = {3: MAX_READ_WORDS, 4: MAX_READ_WORDS, 6: 0xFFFF, 16: MAX_WRITE_WORDS}.get(function)
    if most is None:
        raise ValueError(f"function {function} is none of 3, 4, 6, 16")
    if not 0 <= unit <= 255:
        raise ValueError(f"unit {unit} is outside 0 ... 255")
    least = 0 if function == 6 else 1
    last = address if function == 6 else address + count - 1
    if not least <= count <= most:
        what = "value" if function == 6 else "count"
        raise ValueError(f"{what} {count} is outside {least} ... {most} for function {function}")
    if not 0 <= address <= last <= 0xFFFF:
        raise ValueError(f"address {address} and {count} words leave 0 ... 65535")
    ask.unit, ask.function, ask.address, ask.count = unit, function, address, count
    return 0


def read_request(int transaction, int unit, int function, int address, int count):
    """The bytes that ask for `count` words."""
    cdef uint8_t[260] adu
    cdef request_t ask
    if function not in (3, 4):
        raise ValueError(f"function {function} is none of 3, 4")
    fill_request(&ask, unit, function, address, count)
    return (<char*> adu)[:mbap_build(adu, transaction & 0xFFFF, unit, pdu_read(adu + MBAP, &ask))]


def write_request(int transaction, int unit, int function, int address, words):
    """The bytes that write `words`: function 6 exactly one, function 16 up to 123."""
    cdef uint8_t[260] adu
    cdef uint16_t[123] values
    cdef request_t ask
    if function not in (6, 16):
        raise ValueError(f"function {function} is none of 6, 16")
    if function == 6 and len(words) != 1:
        raise ValueError(f"function 6 writes 1 word, not {len(words)}")
    fill_request(&ask, unit, function, address, words[0] if function == 6 else len(words))
    for i, word in enumerate(words):
        if not 0 <= word <= 0xFFFF:
            raise ValueError(f"word {word} is outside 0 ... 65535")
        values[<int> i] = word
    return (<char*> adu)[:mbap_build(adu, transaction & 0xFFFF, unit, pdu_write(adu + MBAP, &ask, values))]


def check_reply(const uint8_t[::1] raw, int transaction, int unit, int function, int address, int count):
    """The Fault of these bytes as the reply to a request. count: words, or the value of function 6."""
    cdef request_t ask
    cdef uint8_t nothing = 0
    cdef int n = <int> min(raw.shape[0], 1 << 20)
    fill_request(&ask, unit, function, address, count)
    return Fault(reply_check(&raw[0] if n else &nothing, n, transaction, &ask))
