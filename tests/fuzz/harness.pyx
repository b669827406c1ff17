"""What libFuzzer calls: bytes -> the product's own parsers, and what must hold of every answer they accept.

A broken claim, a read outside the bytes, or undefined behaviour ends the process; libFuzzer keeps the input.
Input    one byte each for the way of cutting, function and unit; two each for address, count or value; then the reply.
CAN      targets of their own, in can_frames.pyx.
"""

from libc.stdint cimport uint8_t
from libc.stdlib cimport abort, free, malloc
from libc.string cimport memcmp, memcpy, memset

from drivers.modbus.frame cimport Fault, MBAP, pdu_answer_size, reply_check, request_t, rtu_check
from drivers.modbus.rtu cimport rtu_judge
from drivers.modbus.tcp cimport tcp_judge
from drivers.modbus.types cimport INPUT_BYTES, RTU, TCP, wire_t
from tests.fuzz.can_frames cimport can_decode, can_encode, misreads_a_field

cdef extern from *:
    """
    #include <sanitizer/asan_interface.h>
    typedef int (*v2g_target)(const uint8_t *data, size_t size);
    int LLVMFuzzerRunDriver(int *argc, char ***argv, v2g_target target);
    """
    int LLVMFuzzerRunDriver(int* argc, char*** argv, int (*target)(const uint8_t*, size_t) noexcept nogil) nogil
    void __asan_poison_memory_region(const void* at, size_t size) nogil
    void __asan_unpoison_memory_region(const void* at, size_t size) nogil

cdef enum:
    HEAD = 7
    TRANSACTION = 0x1501

cdef wire_t wire
cdef uint8_t[256] written           # stands in wire.output, right behind the input: nobody may touch it


cdef void claim(bint holds) noexcept nogil:
    if not holds:
        abort()


cdef int by_definition(const uint8_t* data, size_t n) noexcept nogil:
    """The CRC bit by bit (Modbus over serial line v1.02, 6.2.1)."""
    cdef unsigned int crc = 0xFFFF
    cdef size_t i
    cdef int _bit
    for i in range(n):
        crc ^= data[i]
        for _bit in range(8):
            crc = (crc >> 1) ^ 0xA001 if crc & 1 else crc >> 1
    return <int> crc


cdef int word_at(const uint8_t* at) noexcept nogil:
    return (at[0] << 8) | at[1]


cdef request_t request_of(const uint8_t* data) noexcept nogil:
    """A request that fill_request would let pass."""
    cdef request_t ask
    cdef int[5] functions = [3, 4, 6, 16, 23]
    memset(&ask, 0, sizeof(ask))
    ask.function = functions[data[1] % 5]
    ask.unit = data[2]
    ask.address = word_at(data + 3)
    ask.count = word_at(data + 5)
    if ask.function != 6:
        ask.count = 1 + ask.count % (123 if ask.function == 16 else 125)
    return ask


cdef void pdu_was_right(const uint8_t* pdu, size_t n, const request_t* ask) noexcept nogil:
    """Every claim about an accepted PDU, from the specification and not from the code."""
    claim(n == <size_t> pdu_answer_size(ask) and pdu[0] == ask.function)
    if ask.function == 6 or ask.function == 16:
        claim(n == 5 and word_at(pdu + 1) == ask.address and word_at(pdu + 3) == ask.count)
    else:
        claim(pdu[1] == 2 * ask.count and n == 2 + <size_t> pdu[1])


cdef int whole_tcp(const uint8_t* data, size_t size) noexcept nogil:
    """A frame as it may come from a socket."""
    cdef request_t ask
    cdef const uint8_t* adu = data + HEAD
    cdef int fault
    if size < HEAD:
        return 0
    ask = request_of(data)
    fault = reply_check(adu, <int> (size - HEAD), TRANSACTION, &ask)
    claim(Fault.OK <= fault <= Fault.EXCEPTION)
    if fault == Fault.OK or fault == Fault.EXCEPTION:
        claim(word_at(adu) == TRANSACTION and word_at(adu + 2) == 0 and adu[6] == ask.unit)
        claim(size - HEAD == 6 + <size_t> word_at(adu + 4))
    if fault == Fault.OK:
        pdu_was_right(adu + MBAP, size - HEAD - MBAP, &ask)
    if fault == Fault.EXCEPTION:
        claim(size - HEAD == MBAP + 2 and adu[7] == (ask.function | 0x80))
    return 0


cdef void rtu_was_right(const uint8_t* adu, size_t n, const request_t* ask, int fault) noexcept nogil:
    if fault != Fault.OK and fault != Fault.EXCEPTION:
        return
    claim(adu[0] == ask.unit and by_definition(adu, n - 2) == (adu[n - 2] | (adu[n - 1] << 8)))
    if fault == Fault.OK:
        pdu_was_right(adu + 1, n - 3, ask)
    else:
        claim(n == 5 and adu[1] == (ask.function | 0x80))


cdef int whole_rtu(const uint8_t* data, size_t size) noexcept nogil:
    """A frame as it may come from a serial line; for each second input its CRC is made right, or none ever were."""
    cdef request_t ask
    cdef uint8_t* copy
    cdef size_t n
    cdef int fault, crc
    if size < HEAD:
        return 0
    ask = request_of(data)
    n = size - HEAD
    copy = <uint8_t*> malloc(n + 1)             # +1: malloc(0) may be NULL
    memcpy(copy, data + HEAD, n)
    if data[0] & 1 and n > 2:
        crc = by_definition(copy, n - 2)
        copy[n - 2], copy[n - 1] = <uint8_t> (crc & 0xFF), <uint8_t> (crc >> 8)
    __asan_poison_memory_region(copy + n, 1)
    fault = rtu_check(copy, <int> n, &ask)
    claim(Fault.OK <= fault <= Fault.BAD_CRC)
    rtu_was_right(copy, n, &ask, fault)
    __asan_unpoison_memory_region(copy + n, 1)
    free(copy)
    return 0


cdef int judged(const request_t* ask) noexcept nogil:
    """One look at the input, of which only n_in bytes may be read."""
    cdef int fault
    cdef int before = wire.n_in
    __asan_poison_memory_region(wire.input + wire.n_in, INPUT_BYTES - wire.n_in)
    fault = tcp_judge(&wire, ask) if wire.link.kind == TCP else rtu_judge(&wire, ask)
    __asan_unpoison_memory_region(wire.input, INPUT_BYTES)
    claim(0 <= wire.n_in <= before)
    claim(memcmp(wire.output, written, sizeof(written)) == 0)
    return fault


cdef int stream(const uint8_t* data, size_t size, int kind) noexcept nogil:
    """Bytes in pieces, as a wire brings them, until there is a verdict."""
    cdef request_t ask
    cdef size_t at = HEAD
    cdef size_t piece
    cdef int fault
    if size < HEAD:
        return 0
    ask = request_of(data)
    wire.link.kind = kind
    wire.transaction = TRANSACTION
    wire.n_in = 0
    while at < size:
        piece = min(1 + <size_t> data[0] % 61, min(size - at, <size_t> (INPUT_BYTES - wire.n_in)))
        if piece == 0:
            return 0
        memcpy(wire.input + wire.n_in, data + at, piece)
        wire.n_in += <int> piece
        at += piece
        fault = judged(&ask)
        if fault == Fault.SHORT:
            continue
        if kind == RTU and fault == Fault.OK:
            rtu_was_right(wire.input, pdu_answer_size(&ask) + 3, &ask, fault)
        if kind == TCP and fault == Fault.OK:
            claim(word_at(wire.input) == TRANSACTION and wire.input[6] == ask.unit)
            pdu_was_right(wire.input + MBAP, wire.n_in - MBAP, &ask)
        return 0
    return 0


cdef int stream_tcp(const uint8_t* data, size_t size) noexcept nogil:
    return stream(data, size, TCP)


cdef int stream_rtu(const uint8_t* data, size_t size) noexcept nogil:
    return stream(data, size, RTU)


cdef int reads_too_far(const uint8_t* data, size_t size) noexcept nogil:
    """Not the product: proof that an over-read by one byte is seen."""
    wire.n_in = data[size]
    return 0


cdef int accepts_anything(const uint8_t* data, size_t size) noexcept nogil:
    """Not the product: proof that an accepted frame with a wrong CRC is seen."""
    cdef request_t ask
    if size > HEAD + 8:
        ask = request_of(data)
        rtu_was_right(data + HEAD, size - HEAD, &ask, Fault.EXCEPTION)
    return 0


TARGETS = {"whole_tcp": "a TCP frame", "whole_rtu": "an RTU frame", "stream_tcp": "TCP bytes in pieces",
           "stream_rtu": "serial bytes in pieces", "can_decode": "CAN frames", "can_encode": "a CAN frame to send"}
BROKEN = {"reads_too_far": "an over-read of one byte", "accepts_anything": "an accepted frame with a wrong CRC",
          "misreads_a_field": "a CAN field read one bit beside its place"}


def run(str name, list arguments):
    """libFuzzer's own main with these arguments; it ends the process."""
    cdef char* argv[64]
    cdef char** argv_at = argv
    cdef int argc = len(arguments) + 1
    cdef int code
    cdef int (*target)(const uint8_t*, size_t) noexcept nogil
    kept = [name.encode(), *(a.encode() for a in arguments)]
    if argc > 63:
        raise ValueError(f"{len(arguments)} arguments are more than 62")
    for i, text in enumerate(kept):
        argv[<int> i] = text
    argv[argc] = NULL
    if name == "whole_tcp":
        target = whole_tcp
    elif name == "whole_rtu":
        target = whole_rtu
    elif name == "stream_tcp":
        target = stream_tcp
    elif name == "stream_rtu":
        target = stream_rtu
    elif name == "can_decode":
        target = can_decode
    elif name == "can_encode":
        target = can_encode
    elif name == "misreads_a_field":
        target = misreads_a_field
    elif name == "reads_too_far":
        target = reads_too_far
    elif name == "accepts_anything":
        target = accepts_anything
    else:
        raise ValueError(f"{name} is none of {', '.join([*TARGETS, *BROKEN])}")
    with nogil:
        code = LLVMFuzzerRunDriver(&argc, &argv_at, target)
    return code


memset(&wire, 0, sizeof(wire))
wire.count = &wire.own
memset(written, 0xA5, sizeof(written))
memcpy(wire.output, written, sizeof(written))
