# One wire to one or more Modbus devices: one request in flight, one absolute deadline a try.

from libc.stdint cimport int64_t, uint8_t, uint16_t

from drivers.modbus.frame cimport request_t
from drivers.modbus.types cimport counters_t, link_t, wire_t

cdef enum:
    SILENT_TRIES = 4                # time-outs in a row after which a socket counts as dead

cdef void wire_init(wire_t* w, const link_t* link, int fd) noexcept nogil
# Whom the next requests are for: its counters, its time-out and its rest between an answer and the next request.
cdef void wire_use(wire_t* w, counters_t* count, int64_t timeout_ns, int64_t gap_ns) noexcept nogil
cdef void wire_close(wire_t* w) noexcept nogil
# One try. OK: the frame stands in w.input and w.t_answer_ns is its last byte. words: for a function that writes.
cdef int wire_try(wire_t* w, const request_t* ask, const uint16_t* words) noexcept nogil
# The same request once more, after wire_try had no answer and nothing else was asked.
cdef int wire_again(wire_t* w, const request_t* ask, const uint16_t* words) noexcept nogil
# A fault that another try may mend: all but an exception and a connection that is not there.
cdef bint wire_can_mend(int fault) noexcept nogil
# A try and one retry, unless w.stop. A write is not repeated on another connection: what has to precede it there is the
# caller's affair.
cdef int wire_ask(wire_t* w, const request_t* ask, const uint16_t* words) noexcept nogil
# The data bytes of a read that was OK.
cdef const uint8_t* wire_data(const wire_t* w) noexcept nogil

# Fill the C side of a link; returns the descriptor of an opened serial port, else -1.
cdef int open_link(link_t* to, object link) except? -2
cdef list counts_of(const wire_t* w, const counters_t* c)
cdef object stats_of(const wire_t* w, const counters_t* c)
