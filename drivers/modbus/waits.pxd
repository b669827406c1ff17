# How a bus thread waits: never longer than NAP_NS without a beat, never past `stop`.

from libc.stdint cimport int64_t

from drivers.modbus.types cimport wire_t

cdef void count_up(int64_t* counter) noexcept nogil
# Sleep to this moment, with beats; not beyond stop.
cdef void wire_rest(wire_t* w, int64_t until_ns) noexcept nogil
# 1: ready (or in error, which the next call on it will tell); 0: the deadline has passed, or stop.
cdef int wait_for(wire_t* w, short event, int64_t deadline_ns) noexcept nogil
