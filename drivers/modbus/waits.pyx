"""How a bus thread waits: with beats that a watchdog can feed on, an absolute deadline and an eye on `stop`."""

from libc.stdint cimport int64_t

from cython_core.realtime.mailbox cimport v2g_load, v2g_store
from drivers.modbus cimport posix
from drivers.modbus.posix cimport now_ns
from drivers.modbus.types cimport NAP_NS, wire_t


cdef void count_up(int64_t* counter) noexcept nogil:
    v2g_store(counter, v2g_load(counter) + 1)       # one writer: no read-modify-write needed


cdef void wire_rest(wire_t* w, int64_t until_ns) noexcept nogil:
    cdef int64_t now = now_ns()
    while now < until_ns and not v2g_load(&w.stop):
        count_up(&w.beats)
        posix.sleep_until(min(until_ns, now + NAP_NS))
        now = now_ns()


cdef int wait_for(wire_t* w, short event, int64_t deadline_ns) noexcept nogil:
    cdef posix.pollfd p
    cdef posix.timespec nap
    cdef int64_t now = now_ns()
    p.fd, p.events, p.revents = w.fd, event, 0
    while now < deadline_ns and not v2g_load(&w.stop):
        count_up(&w.beats)
        nap = posix.as_timespec(min(deadline_ns - now, NAP_NS))
        if posix.ppoll(&p, 1, &nap, NULL) != 0:     # -1: a signal; the caller tries and comes back
            return 1
        now = now_ns()
    return 0
