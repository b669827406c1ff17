# One nogil thread per wire: reads of its devices into mailboxes, and, for an inverter, writes of the newest command.

from libc.stdint cimport int64_t

from cython_core.realtime.host cimport pthread_t
from cython_core.realtime.mailbox cimport Box
from drivers.modbus.poller cimport bus_t, device_t
from drivers.modbus.types cimport link_t


cdef class Bus:
    cdef bus_t b
    cdef link_t to
    cdef int fd                     # of a serial port that waits for its thread
    cdef pthread_t thread
    cdef bint running
    cdef readonly object link
    cdef list devices               # as they were compiled
    cdef list boxes                 # (out, command) of each: kept alive as long as the thread may touch them
    cdef int check(self, bytes compiled, Box out, Box command) except -1
    cdef void renew(self, int i)
    cdef void reset(self)
    cdef bint wait_until(self, int64_t* word, int64_t least, double timeout_s) except? 0


cdef class Device:
    cdef Bus bus                    # which owns *d
    cdef device_t* d
