"""CAN frames decoded as a bus thread does it, without the interpreter. Compiled by tests/peers/compiled.

In   frames as the kernel gives them (struct can_frame): u32 identifier with its flags, u8 length, 3 unused, 8 bytes.
Out  after each of them the whole record, its words one after the other.
"""

from cpython.bytearray cimport PyByteArray_AS_STRING
from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.string cimport memcpy, memset

from drivers.can.frame cimport answer_t, can_tables_t, data_of, decode_record, find_frame

cdef enum:
    FRAME_BYTES = 16


cdef void decode_all(const can_tables_t* t, const uint8_t* at, int n, int64_t* out) noexcept nogil:
    cdef answer_t[32] answers
    cdef uint32_t id
    cdef int i, found
    memset(answers, 0, sizeof(answers))
    for i in range(n):
        memcpy(&id, at, 4)
        found = find_frame(t, id, at[4], data_of(at + 8, at[4]))
        if found >= 0:
            answers[found].have, answers[found].data = 1, data_of(at + 8, at[4])
        decode_record(t, answers, out)
        at += FRAME_BYTES
        out += t.n_words


cdef class Decoder:
    """One plan's tables."""
    cdef can_tables_t t

    def __init__(self, plan):
        from drivers.can.compiled import tables
        cdef bytes raw = tables(plan)
        memcpy(&self.t, <const char*> raw, sizeof(can_tables_t))

    def decode(self, bytes frames):
        """The records, as bytes."""
        cdef int n = len(frames) // FRAME_BYTES
        cdef const uint8_t* at = <const uint8_t*> <const char*> frames
        records = bytearray(n * self.t.n_words * 8)
        cdef int64_t* out = <int64_t*> PyByteArray_AS_STRING(records)
        with nogil:
            decode_all(&self.t, at, n, out)
        return records
