# CAN targets of the harness; see can_frames.pyx.

from libc.stdint cimport uint8_t

cdef int can_decode(const uint8_t* data, size_t size) noexcept nogil
cdef int can_encode(const uint8_t* data, size_t size) noexcept nogil
cdef int misreads_a_field(const uint8_t* data, size_t size) noexcept nogil
