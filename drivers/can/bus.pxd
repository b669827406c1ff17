# One nogil thread per CAN interface: frames of its one device into a mailbox, the newest command into frames.

from libc.stdint cimport int64_t

from cython_core.realtime.host cimport pthread_t
from cython_core.realtime.mailbox cimport Box
from drivers.can.poller cimport can_bus_t


cdef class Bus:
    cdef can_bus_t b
    cdef bytes name                 # of the interface
    cdef pthread_t thread
    cdef bint running
    cdef readonly object link
    cdef bytes compiled
    cdef Box out                    # kept alive as long as the thread may touch them
    cdef Box command
    cdef bint wait_until(self, int64_t* word, int64_t least, double timeout_s) except? 0


cdef class Device:
    cdef Bus bus
