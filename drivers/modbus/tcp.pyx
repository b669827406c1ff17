"""Modbus TCP: connect, and tell the answer from what is late. No interpreter, no allocation.

Stale    an answer that comes after its deadline carries an old transaction id and is dropped. Where ids cannot tell
         (half a frame, bytes that are no frame, an id never sent) the caller closes the connection.
UDP      a datagram holds one whole frame or none, and nothing is ever out of step: one with another transaction id is
         dropped, whatever it is; a device may answer late, twice, or unasked.
"""

from libc.stdint cimport int64_t
from libc.string cimport memmove, memset

from drivers.modbus cimport posix
from drivers.modbus.codes cimport Fault
from drivers.modbus.frame cimport MBAP, mbap_size, mbap_transaction, reply_check, request_t
from drivers.modbus.types cimport INPUT_BYTES, wire_t
from drivers.modbus.waits cimport count_up, wait_for


cdef int begin(wire_t* w, int kind) noexcept nogil:
    """Open a socket and connect it: 1, or 0 with the reason in errno."""
    cdef posix.sockaddr_in to
    cdef int one = 1
    memset(&to, 0, sizeof(to))
    to.sin_family = <unsigned short> posix.AF_INET
    to.sin_port = posix.htons(w.link.port)
    to.sin_addr.s_addr = w.link.ip
    w.fd = posix.socket(posix.AF_INET, kind | posix.SOCK_NONBLOCK | posix.SOCK_CLOEXEC, 0)
    if w.fd < 0:
        return 0
    if kind == posix.SOCK_STREAM:
        posix.setsockopt(w.fd, posix.IPPROTO_TCP, posix.TCP_NODELAY, &one, sizeof(int))
    return posix.connect(w.fd, <posix.sockaddr*> &to, sizeof(to)) == 0


cdef int udp_open(wire_t* w) noexcept nogil:
    return begin(w, posix.SOCK_DGRAM)


cdef int tcp_open(wire_t* w, int64_t deadline_ns) noexcept nogil:
    cdef int error = 0
    cdef unsigned int size = sizeof(int)
    if begin(w, posix.SOCK_STREAM):
        return 1
    if posix.errno != posix.EINPROGRESS or not wait_for(w, posix.POLLOUT, deadline_ns):
        return 0
    return posix.getsockopt(w.fd, posix.SOL_SOCKET, posix.SO_ERROR, &error, &size) == 0 and error == 0


cdef int tcp_judge(wire_t* w, const request_t* ask) noexcept nogil:
    cdef int size, behind, _turn
    for _turn in range(INPUT_BYTES // MBAP):
        size = mbap_size(w.input, w.n_in)
        if size < 0:
            return -size
        if size == 0 or w.n_in < size:
            return Fault.SHORT
        behind = (w.transaction - mbap_transaction(w.input)) & 0xFFFF
        if behind == 0 or behind > LATE_WINDOW:
            if w.n_in > size:
                return Fault.BAD_LENGTH             # more than was asked for: out of step
            return reply_check(w.input, size, w.transaction, ask)
        count_up(&w.count.late)
        w.n_in -= size
        memmove(w.input, w.input + size, w.n_in)
    return Fault.BAD_LENGTH


cdef int udp_judge(wire_t* w, const request_t* ask) noexcept nogil:
    if mbap_size(w.input, w.n_in) == w.n_in and mbap_transaction(w.input) == w.transaction:
        return reply_check(w.input, w.n_in, w.transaction, ask)
    count_up(&w.count.late)
    w.n_in = 0
    return Fault.SHORT
