# Modbus frames as bytes. The PDU (function and data) is the same on every wire; the MBAP header is TCP's own.
# Source: Modbus Application Protocol v1.1b3, section 6; Modbus Messaging on TCP/IP v1.0b, section 3.1.3.

from libc.stdint cimport uint8_t, uint16_t

cdef enum:
    MBAP = 7                        # transaction, protocol, length (2 bytes each), unit
    MAX_PDU = 253
    MAX_ADU = 260
    MAX_READ_WORDS = 125
    MAX_WRITE_WORDS = 123

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
    EXCEPTION = 8                   # the device says no; its code is in the reply
    # what the wire finds
    TIMEOUT = 9
    CLOSED = 10                     # by the device, or a socket error
    NOT_CONNECTED = 11              # connect failed, or its back-off is running
    STOPPED = 12                    # our own side wants to end

cdef struct request_t:
    int unit
    int function                    # 3, 4: read; 6, 16: write
    int address
    int count                       # words; function 6: the value

# A PDU at `pdu`; the return is its length.
cdef int pdu_read(uint8_t* pdu, const request_t* ask) noexcept nogil
cdef int pdu_write(uint8_t* pdu, const request_t* ask, const uint16_t* words) noexcept nogil
# The header in front of a PDU that stands at adu + MBAP; the return is the length of the whole.
cdef int mbap_build(uint8_t* adu, int transaction, int unit, int n_pdu) noexcept nogil

# Bytes of the whole frame from its first 6; 0: more are needed; < 0: -Fault, these bytes are no frame.
cdef int mbap_size(const uint8_t* adu, int n) noexcept nogil
cdef int mbap_transaction(const uint8_t* adu) noexcept nogil
# OK or the first fault of a whole frame of n bytes.
cdef int mbap_check(const uint8_t* adu, int n, int transaction, int unit) noexcept nogil
cdef int pdu_check(const uint8_t* pdu, int n, const request_t* ask) noexcept nogil
cdef int reply_check(const uint8_t* adu, int n, int transaction, const request_t* ask) noexcept nogil

# ValueError for a request nobody may send.
cdef int fill_request(request_t* ask, int unit, int function, int address, int count) except -1
