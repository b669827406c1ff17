# Modbus frames as bytes. The PDU (function and data) is the same on every wire. TCP puts an MBAP header before it; RTU
# the unit before it and a CRC behind it.
# Source: Modbus Application Protocol v1.1b3, section 6; Modbus Messaging on TCP/IP v1.0b, section 3.1.3; Modbus over
# serial line v1.02, section 2.5.1.

from libc.stdint cimport uint8_t, uint16_t

from drivers.modbus.codes cimport Fault

cdef enum:
    MBAP = 7                        # transaction, protocol, length (2 bytes each), unit
    MAX_PDU = 253
    MAX_ADU = 260
    MAX_RTU = 256
    MAX_READ_WORDS = 125
    MAX_WRITE_WORDS = 123
    MAX_EXCHANGE_WORDS = 121        # that function 23 writes

cdef struct request_t:
    int unit
    int function                    # 3, 4: read; 6, 16: write; 23: write, then read, in one
    int address
    int count                       # words; function 6: the value
    int to_address                  # what function 23 writes
    int to_count

# A PDU at `pdu`; the return is its length. words: of function 16 or 23.
cdef int pdu_build(uint8_t* pdu, const request_t* ask, const uint16_t* words) noexcept nogil
# Bytes of the PDU that answers, when it is no exception.
cdef int pdu_answer_size(const request_t* ask) noexcept nogil
cdef bint is_write(const request_t* ask) noexcept nogil
# The header in front of a PDU that stands at adu + MBAP; the return is the length of the whole.
cdef int mbap_build(uint8_t* adu, int transaction, int unit, int n_pdu) noexcept nogil

# Bytes of the whole frame from its first 6; 0: more are needed; < 0: -Fault, these bytes are no frame.
cdef int mbap_size(const uint8_t* adu, int n) noexcept nogil
cdef int mbap_transaction(const uint8_t* adu) noexcept nogil
# OK or the first fault of a whole frame of n bytes.
cdef int mbap_check(const uint8_t* adu, int n, int transaction, int unit) noexcept nogil
cdef int pdu_check(const uint8_t* pdu, int n, const request_t* ask) noexcept nogil
cdef int reply_check(const uint8_t* adu, int n, int transaction, const request_t* ask) noexcept nogil

cdef int crc16(const uint8_t* data, int n) noexcept nogil
# Unit and CRC around a PDU that stands at adu + 1; the return is the length of the whole.
cdef int rtu_build(uint8_t* adu, int unit, int n_pdu) noexcept nogil
# Bytes of the whole frame from its first two; 0: more are needed; < 0: -Fault, it does not answer this request.
cdef int rtu_size(const uint8_t* adu, int n, const request_t* ask) noexcept nogil
# OK or the first fault of a whole frame of n bytes; SHORT while it is not whole.
cdef int rtu_check(const uint8_t* adu, int n, const request_t* ask) noexcept nogil

# ValueError for a request nobody may send.
cdef int fill_request(request_t* ask, int unit, int function, int address, int count) except -1
cdef int fill_exchange(request_t* ask, int unit, int address, int count, int to_address, int to_count) except -1
cdef int fill_words(uint16_t* to, words) except -1
