# A serial line: open it again, wait for its silence, and what stands in the input. See rtu.pyx.

from libc.stdint cimport int64_t

from drivers.modbus.frame cimport request_t
from drivers.modbus.types cimport wire_t

# 1 with the port in w.fd; 0 with perhaps one that is not usable.
cdef int rtu_open(wire_t* w) noexcept nogil
# OK once the line has been silent long enough to begin this frame; NOISE, CLOSED or STOPPED when it never is.
# again: the same request as the one before, which had no answer.
cdef int rtu_silence(wire_t* w, const request_t* ask, bint again) noexcept nogil
# What stands in w.input: the answer (OK, a fault) or still SHORT.
cdef int rtu_judge(wire_t* w, const request_t* ask) noexcept nogil
# Time of so many characters on the line.
cdef int64_t rtu_wire_ns(const wire_t* w, int chars) noexcept nogil
