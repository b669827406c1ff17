# One nogil thread per wire: reads into a mailbox, and, for an inverter, writes the newest command.

from libc.stdint cimport int64_t

from cython_core.realtime.mailbox cimport Mailbox
from drivers.modbus.poller cimport bus_t
from drivers.modbus.posix cimport pthread_t


cdef class Bus:
    cdef bus_t b
    cdef pthread_t thread
    cdef bint running
    cdef Mailbox out                # kept alive as long as the thread may touch them
    cdef Mailbox command
    cdef object plan
    cdef str host
    cdef int port
    cdef int prepare(self, plan, str host, int port, int poll_ms, record, Mailbox out) except -1
    cdef int reset(self) except -1
    cdef bint wait_until(self, int64_t* word, int64_t least, double timeout_s) except? 0
