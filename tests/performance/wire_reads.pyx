"""Reads over one wire, timed, without the interpreter and as a bus thread does them. Compiled by tests/peers/compiled.

Each read leaves its words decoded, as a C client's does. BusError: the wire cannot be opened; RuntimeError: no answer.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t
from posix.time cimport clock_gettime, clockid_t, timespec

from drivers.modbus.frame cimport Fault, fill_request, request_t
from drivers.modbus.posix cimport now_ns, sleep_until
from drivers.modbus.types cimport link_t, wire_t
from drivers.modbus.wire cimport open_link, wire_ask, wire_close, wire_data, wire_init, wire_use

from time import CLOCK_MONOTONIC

cdef enum:
    MOST = 100000
    TIMEOUT_MS = 1000

cdef int64_t[MOST] taken_ns
cdef uint16_t[125] words


cdef int64_t ns_of(clockid_t clock) noexcept nogil:
    cdef timespec t
    clock_gettime(clock, &t)
    return t.tv_sec * 1000000000 + t.tv_nsec


cdef int read_many(wire_t* w, const request_t* ask, int times, int64_t rest_ns, clockid_t clock) noexcept nogil:
    """The Fault that ended it, or OK. A rest before each read is not in its time."""
    cdef const uint8_t* data = wire_data(w)
    cdef int64_t t_ns
    cdef int fault, i, k
    for i in range(times):
        if rest_ns:
            sleep_until(now_ns() + rest_ns)
        t_ns = ns_of(clock)
        fault = wire_ask(w, ask, NULL)
        if fault != Fault.OK:
            return fault
        for k in range(ask.count):
            words[k] = <uint16_t> ((data[2 * k] << 8) | data[2 * k + 1])
        taken_ns[i] = ns_of(clock) - t_ns
    return Fault.OK


cdef class Reader:
    """One wire, open from the first read on."""
    cdef wire_t wire

    def __cinit__(self):
        self.wire.fd = -1

    def __init__(self, link):
        cdef link_t to
        fd = open_link(&to, link)
        wire_init(&self.wire, &to, fd)
        wire_use(&self.wire, &self.wire.own, TIMEOUT_MS * 1000000, 0)

    def __dealloc__(self):
        wire_close(&self.wire)

    def close(self):
        """Close the wire; the next read opens it again."""
        wire_close(&self.wire)

    def read(self, int unit, int count, int times, int rest_us=0, int clock=CLOCK_MONOTONIC):
        """(words of the last read, ns of each by this clock) of `count` input registers from 0 on."""
        cdef request_t ask
        cdef int fault
        if not 1 <= times <= MOST:
            raise ValueError(f"times = {times} is outside 1 ... {MOST}")
        fill_request(&ask, unit, 4, 0, count)
        with nogil:
            fault = read_many(&self.wire, &ask, times, rest_us * 1000, clock)
        if fault != Fault.OK:
            raise RuntimeError(f"a read ended with fault {fault}")
        return [words[<int> i] for i in range(count)], [taken_ns[<int> i] for i in range(times)]
