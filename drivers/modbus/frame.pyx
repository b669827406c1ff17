"""Modbus requests and replies as bytes: build and check, nothing else. Functions 3, 4, 6, 16 and 23.

Shapes   PDU = function + data, at most 253 bytes; ADU on TCP = 7 bytes MBAP + PDU, on a serial line (RTU) = unit + PDU
         + CRC. Words are big-endian.
Output   request: its length. Reply: a Fault; the data of a read that is OK start 2 bytes behind the PDU's begin.
Errors   none on the hot side: a fault is a value. The Python face raises ValueError for a request nobody may send.
Source   Modbus Application Protocol v1.1b3, section 6; Modbus Messaging on TCP/IP v1.0b, section 3.1.3; Modbus over
         serial line v1.02, sections 2.5.1 and 6.2.
"""

from libc.stdint cimport uint8_t, uint16_t


cdef inline void put_word(uint8_t* to, int word) noexcept nogil:
    to[0] = <uint8_t> (word >> 8)
    to[1] = <uint8_t> (word & 0xFF)


cdef inline int get_word(const uint8_t* at) noexcept nogil:
    return (at[0] << 8) | at[1]


cdef int pdu_build(uint8_t* pdu, const request_t* ask, const uint16_t* words) noexcept nogil:
    cdef int count = ask.to_count if ask.function == 23 else ask.count
    cdef int head = 1
    cdef int i
    pdu[0] = <uint8_t> ask.function
    put_word(pdu + 1, ask.address)
    put_word(pdu + 3, ask.count)    # of function 6: the value
    if ask.function == 23:
        put_word(pdu + 5, ask.to_address)
        put_word(pdu + 7, ask.to_count)
        head = 5
    elif ask.function != 16:
        return 5
    pdu[head + 4] = <uint8_t> (2 * count)
    for i in range(count):
        put_word(pdu + head + 5 + 2 * i, words[i])
    return head + 5 + 2 * count


cdef int pdu_answer_size(const request_t* ask) noexcept nogil:
    return 5 if ask.function == 6 or ask.function == 16 else 2 + 2 * ask.count


cdef bint is_write(const request_t* ask) noexcept nogil:
    return ask.function == 6 or ask.function == 16 or ask.function == 23


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
    if n != pdu_answer_size(ask):
        return Fault.BAD_LENGTH
    if ask.function != 6 and ask.function != 16:
        return Fault.OK if pdu[1] == 2 * ask.count else Fault.BAD_LENGTH
    if get_word(pdu + 1) != ask.address or get_word(pdu + 3) != ask.count:
        return Fault.BAD_ECHO
    return Fault.OK


cdef int reply_check(const uint8_t* adu, int n, int transaction, const request_t* ask) noexcept nogil:
    cdef int fault = mbap_check(adu, n, transaction, ask.unit)
    if fault != Fault.OK:
        return fault
    return pdu_check(adu + MBAP, n - MBAP, ask)


# --- RTU -------------------------------------------------------------------------------------------------------------

cdef uint16_t[256] CRC_OF           # of one byte; filled when the module is loaded


cdef void fill_crc_table() noexcept nogil:
    """Polynomial 0xA001: 0x8005 with its bits reversed, as the bytes go out lowest bit first (2.5.1.2, 6.2)."""
    cdef int i, _bit
    cdef unsigned int crc
    for i in range(256):
        crc = <unsigned int> i
        for _bit in range(8):
            crc = (crc >> 1) ^ 0xA001 if crc & 1 else crc >> 1
        CRC_OF[i] = <uint16_t> crc


fill_crc_table()


cdef int crc16(const uint8_t* data, int n) noexcept nogil:
    cdef unsigned int crc = 0xFFFF
    cdef int i
    for i in range(n):
        crc = (crc >> 8) ^ CRC_OF[(crc ^ data[i]) & 0xFF]
    return <int> crc


cdef int rtu_build(uint8_t* adu, int unit, int n_pdu) noexcept nogil:
    cdef int crc
    adu[0] = <uint8_t> unit
    crc = crc16(adu, 1 + n_pdu)
    adu[1 + n_pdu] = <uint8_t> (crc & 0xFF)         # the low byte first, unlike every word of the PDU
    adu[2 + n_pdu] = <uint8_t> (crc >> 8)
    return n_pdu + 3


cdef int rtu_size(const uint8_t* adu, int n, const request_t* ask) noexcept nogil:
    if n >= 1 and adu[0] != ask.unit:
        return -Fault.BAD_UNIT
    if n < 2:
        return 0
    if adu[1] == (ask.function | 0x80):
        return 5                    # unit, function, code, CRC
    if adu[1] != ask.function:
        return -Fault.BAD_FUNCTION
    return pdu_answer_size(ask) + 3


cdef int rtu_check(const uint8_t* adu, int n, const request_t* ask) noexcept nogil:
    cdef int size = rtu_size(adu, n, ask)
    if size < 0:
        return -size
    if size == 0 or n < size:
        return Fault.SHORT
    if n > size:
        return Fault.BAD_LENGTH
    if crc16(adu, n - 2) != (adu[n - 2] | (adu[n - 1] << 8)):
        return Fault.BAD_CRC
    return pdu_check(adu + 1, n - 3, ask)


# --- the Python face: for tests, fuzzers and tools ------------------------------------------------------------------

cdef int fill_request(request_t* ask, int unit, int function, int address, int count) except -1:
    """Check at the door: past it a request is straight-line code."""
    most = {3: MAX_READ_WORDS, 4: MAX_READ_WORDS, 6: 0xFFFF, 16: MAX_WRITE_WORDS}.get(function)
    if most is None:
        raise ValueError(f"function {function} is none of 3, 4, 6, 16")
    if not 0 <= unit <= 255:
        raise ValueError(f"unit {unit} is outside 0 ... 255")
    what = "value" if function == 6 else "count"
    check_words(f"{what} {{}} is outside {{}} ... {{}} for function {function}", address, count, most, function == 6)
    ask.unit, ask.function, ask.address, ask.count = unit, function, address, count
    return 0


cdef int fill_exchange(request_t* ask, int unit, int address, int count, int to_address, int to_count) except -1:
    """The same for function 23, which reads `count` words at `address` after it has written `to_count` others."""
    fill_request(ask, unit, 3, address, count)
    check_words("count {} is outside {} ... {} to write for function 23", to_address, to_count, MAX_EXCHANGE_WORDS, 0)
    ask.function, ask.to_address, ask.to_count = 23, to_address, to_count
    return 0


def check_words(str text, int address, int count, int most, bint one_word):
    """The number of words (or the value of the only one), and that all of them have an address."""
    cdef int least = 0 if one_word else 1
    cdef int last = address if one_word else address + count - 1
    if not least <= count <= most:
        raise ValueError(text.format(count, least, most))
    if not 0 <= address <= last <= 0xFFFF:
        raise ValueError(f"address {address} and {count} words leave 0 ... 65535")


cdef int fill_words(uint16_t* to, words) except -1:
    for i, word in enumerate(words):
        if not 0 <= word <= 0xFFFF:
            raise ValueError(f"word {word} is outside 0 ... 65535")
        to[<int> i] = word
    return 0


cdef bytes whole(const request_t* ask, const uint16_t* words, transaction):
    """The frame of a request: with a transaction for TCP, without one (None) for a serial line."""
    cdef uint8_t[260] adu
    if transaction is None:
        return (<char*> adu)[:rtu_build(adu, ask.unit, pdu_build(adu + 1, ask, words))]
    return (<char*> adu)[:mbap_build(adu, transaction & 0xFFFF, ask.unit, pdu_build(adu + MBAP, ask, words))]


def read_request(transaction, int unit, int function, int address, int count):
    """The bytes that ask for `count` words. transaction: None for RTU."""
    cdef request_t ask
    if function not in (3, 4):
        raise ValueError(f"function {function} is none of 3, 4")
    fill_request(&ask, unit, function, address, count)
    return whole(&ask, NULL, transaction)


def write_request(transaction, int unit, int function, int address, words):
    """The bytes that write `words`: function 6 exactly one, function 16 up to 123. transaction: None for RTU."""
    cdef uint16_t[123] values
    cdef request_t ask
    if function not in (6, 16):
        raise ValueError(f"function {function} is none of 6, 16")
    if function == 6 and len(words) != 1:
        raise ValueError(f"function 6 writes 1 word, not {len(words)}")
    fill_request(&ask, unit, function, address, words[0] if function == 6 else len(words))
    fill_words(values, words)
    return whole(&ask, values, transaction)


def exchange_request(transaction, int unit, int address, int count, int to_address, words):
    """The bytes that write `words` at to_address, then read `count` words (function 23). transaction: None for RTU."""
    cdef uint16_t[123] values
    cdef request_t ask
    fill_exchange(&ask, unit, address, count, to_address, len(words))
    fill_words(values, words)
    return whole(&ask, values, transaction)


def check_reply(bytes raw, transaction, int unit, int function, int address, int count):
    """The Fault of these bytes as the reply to a request. count: words, or the value of function 6; transaction: None
    for RTU; function 23: what it reads.
    """
    from drivers.modbus.codes import Fault as Face
    cdef request_t ask
    cdef int n = <int> min(len(raw), 1 << 20)
    cdef const uint8_t* adu = raw
    if function == 23:
        fill_exchange(&ask, unit, address, count, 0, 1)
    else:
        fill_request(&ask, unit, function, address, count)
    return Face(rtu_check(adu, n, &ask) if transaction is None else reply_check(adu, n, transaction, &ask))


def crc_of(bytes raw):
    """The CRC of these bytes, which stands on the wire low byte first."""
    return crc16(raw, <int> min(len(raw), 1 << 20))
