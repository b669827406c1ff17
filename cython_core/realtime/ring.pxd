# The ring: a mapped file of step records. One writer that never looks at a reader; the oldest are overwritten.
#
# File     64-bit words. Words 0 ... 15 header, info text (JSON) from INFO_AT, the newest state snapshot from
#          SNAPSHOT_AT, slots from SLOTS_AT. A slot is its own sequence and one step record; step n lies in slot
#          n mod n_slots with the sequence n + 1, or -(n + 1) while it is being written.
# Readers  see a torn or overwritten slot by its sequence, and count what is missing from the gap in n.

from libc.stdint cimport int64_t

from cython_core.structs cimport step_record_t

cdef enum:
    RING_VERSION = 1
    INFO_AT = 4096
    SNAPSHOT_AT = 32768
    SLOTS_AT = 65536

cdef enum:                       # header words
    H_MAGIC = 0
    H_VERSION = 1
    H_LAYOUT = 2
    H_EPOCH = 3
    H_SLOTS = 4
    H_HEAD = 5                   # steps written
    H_INFO_BYTES = 6
    H_SNAPSHOT_SEQ = 7           # odd while it is being written
    H_SNAPSHOT_N = 8
    H_SNAPSHOT_BYTES = 9

cdef struct ring_t:
    int64_t* words
    int64_t n_slots              # a power of two

cdef void ring_push(ring_t* ring, const step_record_t* record) noexcept nogil
# The core's state before step n.
cdef void ring_snapshot(ring_t* ring, int64_t n, const void* state, int64_t n_bytes) noexcept nogil


cdef class RingWriter:
    cdef ring_t ring
    cdef readonly int64_t epoch
    cdef object map
    cdef str path
    cdef int take(self) except -1


cdef class RingReader:
    cdef ring_t ring
    cdef object map
    cdef object path
    cdef object inode
    cdef readonly object info
    cdef readonly int64_t epoch
    cdef public int64_t next_n
