# A Modbus TCP connection, or the same frames over UDP: open, and what stands in the input. See tcp.pyx.

from libc.stdint cimport int64_t

from drivers.modbus.frame cimport request_t
from drivers.modbus.types cimport wire_t

cdef enum:
    LATE_WINDOW = 8                 # an answer this few transactions old is late, an older one out of step

# 1 with a connected descriptor in w.fd; 0 with perhaps one that is not.
cdef int tcp_open(wire_t* w, int64_t deadline_ns) noexcept nogil
# A UDP socket that sends to the device and hears nobody else; 1 whether or not it is there.
cdef int udp_open(wire_t* w) noexcept nogil
# What stands in w.input: the answer (OK, a fault) or, late answers dropped, still SHORT.
cdef int tcp_judge(wire_t* w, const request_t* ask) noexcept nogil
# The same of one datagram, which is w.input as a whole.
cdef int udp_judge(wire_t* w, const request_t* ask) noexcept nogil
