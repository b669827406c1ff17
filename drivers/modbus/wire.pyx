"""One TCP connection to one Modbus device: connect, ask, reconnect. No interpreter, no allocation.

Rules    one request in flight; each try has one absolute deadline (CLOCK_MONOTONIC) for connect, send and all bytes of
         the answer; one retry. Back-off between connects 0.1 ... 2 s, reset by an answer, not by a connect.
Stale    an answer that comes after its deadline carries an old transaction id and is dropped. Where ids cannot tell
         (half a frame, bytes that are no frame, an id never sent) the connection is closed and made anew.
Errors   a Fault of frame.pxd; counters say how often. resolve() raises BusError: look at name, cable and port.
"""

import socket as sockets

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t
from libc.string cimport memmove, memset

from cython_core.realtime.mailbox cimport v2g_load, v2g_store
from drivers.modbus cimport posix
from drivers.modbus.frame cimport (
    Fault, MBAP, fill_request, mbap_build, mbap_size, mbap_transaction, pdu_read, pdu_write, reply_check, request_t,
)
from drivers.modbus.posix cimport now_ns

from drivers.base import BusError
from drivers.modbus.frame import Fault as FaultFace
from drivers.modbus.statistics import BusStats

cdef int64_t FIRST_BACKOFF_NS = 100000000
cdef int64_t LAST_BACKOFF_NS = 2000000000


cdef void count_up(int64_t* counter) noexcept nogil:
    v2g_store(counter, v2g_load(counter) + 1)       # one writer: no read-modify-write needed


cdef void wire_init(wire_t* w, uint32_t ip, int port, int64_t timeout_ns, int64_t gap_ns) noexcept nogil:
    memset(w, 0, sizeof(wire_t))
    w.fd = -1
    w.ip = ip
    w.port = <uint16_t> port
    w.timeout_ns = timeout_ns
    w.gap_ns = gap_ns


cdef void wire_close(wire_t* w) noexcept nogil:
    if w.fd >= 0:
        posix.close(w.fd)
    w.fd = -1
    w.n_in = 0
    w.silent = 0
    v2g_store(&w.count.connected, 0)


cdef void wire_rest(wire_t* w, int64_t until_ns) noexcept nogil:
    cdef int64_t now = now_ns()
    while now < until_ns and not v2g_load(&w.stop):
        count_up(&w.count.beats)
        posix.sleep_until(min(until_ns, now + NAP_NS))
        now = now_ns()


cdef int wait_for(wire_t* w, short event, int64_t deadline_ns) noexcept nogil:
    """1: ready (or in error, which the next call on it will tell); 0: the deadline has passed, or stop."""
    cdef posix.pollfd p
    cdef posix.timespec nap
    cdef int64_t now = now_ns()
    p.fd, p.events, p.revents = w.fd, event, 0
    while now < deadline_ns and not v2g_load(&w.stop):
        count_up(&w.count.beats)
        nap = posix.as_timespec(min(deadline_ns - now, NAP_NS))
        if posix.ppoll(&p, 1, &nap, NULL) != 0:     # -1: a signal; the caller tries and comes back
            return 1
        now = now_ns()
    return 0


cdef int open_socket(wire_t* w, int64_t deadline_ns) noexcept nogil:
    """A connected descriptor in w.fd, or -1 there."""
    cdef posix.sockaddr_in to
    cdef int one = 1
    cdef int error = 0
    cdef unsigned int size = sizeof(int)
    memset(&to, 0, sizeof(to))
    to.sin_family = <unsigned short> posix.AF_INET
    to.sin_port = posix.htons(w.port)
    to.sin_addr.s_addr = w.ip
    w.fd = posix.socket(posix.AF_INET, posix.SOCK_STREAM | posix.SOCK_NONBLOCK | posix.SOCK_CLOEXEC, 0)
    if w.fd < 0:
        return 0
    posix.setsockopt(w.fd, posix.IPPROTO_TCP, posix.TCP_NODELAY, &one, sizeof(int))
    if posix.connect(w.fd, <posix.sockaddr*> &to, sizeof(to)) == 0:
        return 1
    if posix.errno != posix.EINPROGRESS or not wait_for(w, posix.POLLOUT, deadline_ns):
        return 0
    return posix.getsockopt(w.fd, posix.SOL_SOCKET, posix.SO_ERROR, &error, &size) == 0 and error == 0


cdef int connected(wire_t* w, int64_t deadline_ns) noexcept nogil:
    cdef int64_t now = now_ns()
    if w.fd >= 0:
        return 1
    if now < w.t_connect_ns:
        return 0
    w.t_connect_ns = now + w.backoff_ns
    w.backoff_ns = min(max(2 * w.backoff_ns, FIRST_BACKOFF_NS), LAST_BACKOFF_NS)
    if not open_socket(w, deadline_ns):
        wire_close(w)
        w.t_connect_ns = now_ns() + w.backoff_ns
        return 0
    count_up(&w.count.connects)
    v2g_store(&w.count.connected, 1)
    return 1


cdef int send_all(wire_t* w, int n, int64_t deadline_ns) noexcept nogil:
    cdef int sent = 0
    cdef int _turn
    cdef ssize_t done
    for _turn in range(MAX_TURNS):
        done = posix.send(w.fd, w.output + sent, n - sent, posix.MSG_NOSIGNAL)
        if done >= 0:
            sent += <int> done
            if sent == n:
                return Fault.OK
        elif posix.errno != posix.EAGAIN and posix.errno != posix.EINTR:
            return Fault.CLOSED
        elif not wait_for(w, posix.POLLOUT, deadline_ns):
            break
    return Fault.CLOSED             # a device that does not even take the request: half of it may be on its way


cdef int judge(wire_t* w, const request_t* ask) noexcept nogil:
    """What stands in w.input: the answer (OK, a fault) or, late answers dropped, still SHORT."""
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


cdef int receive(wire_t* w, const request_t* ask, int64_t deadline_ns) noexcept nogil:
    cdef int fault, _turn
    cdef ssize_t got
    for _turn in range(MAX_TURNS):
        if not wait_for(w, posix.POLLIN, deadline_ns):
            return Fault.TIMEOUT if w.n_in == 0 else Fault.SHORT
        got = posix.recv(w.fd, w.input + w.n_in, INPUT_BYTES - w.n_in, 0)
        if got < 0 and (posix.errno == posix.EAGAIN or posix.errno == posix.EINTR):
            continue
        if got <= 0:
            return Fault.CLOSED
        w.t_answer_ns = now_ns()
        w.n_in += <int> got
        fault = judge(w, ask)
        if fault != Fault.SHORT:
            return fault
    return Fault.BAD_LENGTH


cdef inline bint is_write(const request_t* ask) noexcept nogil:
    return ask.function == 6 or ask.function == 16


cdef int one_try(wire_t* w, const request_t* ask, const uint16_t* words) noexcept nogil:
    cdef int64_t t_sent_ns
    cdef int64_t deadline_ns
    cdef int fault, n_pdu
    wire_rest(w, w.t_free_ns)
    if v2g_load(&w.stop):
        return Fault.STOPPED
    deadline_ns = now_ns() + w.timeout_ns
    if not connected(w, deadline_ns):
        return Fault.NOT_CONNECTED
    w.transaction = (w.transaction + 1) & 0xFFFF
    w.n_in = 0                      # always 0 here: judge() leaves nothing behind an answer
    n_pdu = pdu_write(w.output + MBAP, ask, words) if is_write(ask) else pdu_read(w.output + MBAP, ask)
    t_sent_ns = now_ns()
    fault = send_all(w, mbap_build(w.output, w.transaction, ask.unit, n_pdu), deadline_ns)
    if fault == Fault.OK:
        fault = receive(w, ask, deadline_ns)
    if fault != Fault.OK and v2g_load(&w.stop):
        return Fault.STOPPED
    w.t_free_ns = now_ns() + w.gap_ns if w.gap_ns else 0
    if fault == Fault.OK or fault == Fault.EXCEPTION:
        note_answer(w, w.t_answer_ns - t_sent_ns)
    return fault


cdef void note_answer(wire_t* w, int64_t turnaround_ns) noexcept nogil:
    w.silent = 0
    w.backoff_ns = 0
    w.t_connect_ns = 0
    v2g_store(&w.count.last_turnaround_ns, turnaround_ns)
    v2g_store(&w.count.sum_turnaround_ns, w.count.sum_turnaround_ns + turnaround_ns)
    if w.count.min_turnaround_ns == 0 or turnaround_ns < w.count.min_turnaround_ns:
        v2g_store(&w.count.min_turnaround_ns, turnaround_ns)


cdef void note_result(wire_t* w, int fault) noexcept nogil:
    """Count, and close where only a new connection helps."""
    if fault == Fault.OK:
        v2g_store(&w.count.t_success_ns, w.t_answer_ns)
        count_up(&w.count.answers)
        w.n_in = 0
        return
    if fault == Fault.STOPPED:
        wire_close(w)
        return
    v2g_store(&w.count.last_error, fault)
    if fault == Fault.EXCEPTION:
        v2g_store(&w.count.last_exception, w.input[MBAP + 1])
        count_up(&w.count.exceptions)
        w.n_in = 0
        return
    if fault == Fault.TIMEOUT or fault == Fault.SHORT:
        count_up(&w.count.timeouts)
    elif fault != Fault.CLOSED and fault != Fault.NOT_CONNECTED:
        count_up(&w.count.bad_frames)
    w.silent += 1
    if fault != Fault.TIMEOUT or w.silent >= SILENT_TRIES:
        wire_close(w)


cdef int wire_try(wire_t* w, const request_t* ask, const uint16_t* words) noexcept nogil:
    cdef int fault
    count_up(&w.count.attempts)
    fault = one_try(w, ask, words)
    note_result(w, fault)
    return fault


cdef bint wire_can_mend(int fault) noexcept nogil:
    return fault != Fault.OK and fault != Fault.EXCEPTION and fault != Fault.NOT_CONNECTED and fault != Fault.STOPPED


cdef int wire_ask(wire_t* w, const request_t* ask, const uint16_t* words) noexcept nogil:
    cdef int fault = wire_try(w, ask, words)
    if not wire_can_mend(fault) or (w.fd < 0 and is_write(ask)):
        return fault
    return wire_try(w, ask, words)


cdef const uint8_t* wire_data(const wire_t* w) noexcept nogil:
    return w.input + MBAP + 2


# --- the Python side ------------------------------------------------------------------------------------------------

def resolve(str host, int port):
    """The IPv4 address of a host as 4 bytes. Asked once, before a thread starts: a name server must not stop a bus."""
    if not 1 <= port <= 65535:
        raise ValueError(f"{host}: port {port} is outside 1 ... 65535")
    try:
        found = sockets.getaddrinfo(host, port, sockets.AF_INET, sockets.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise BusError(f"{host}:{port}: no IPv4 address of this name ({error})") from None
    return sockets.inet_aton(found[0][4][0])


cdef uint32_t resolved(str host, int port) except? 0:
    cdef bytes address = resolve(host, port)
    return (<uint32_t*> (<char*> address))[0]


cdef object stats_of(counters_t* c):
    """A reading of the counters; the thread is not touched."""
    cdef int64_t answers = v2g_load(&c.answers) + v2g_load(&c.exceptions)
    cdef int64_t connects = v2g_load(&c.connects)
    return BusStats(
        beats=v2g_load(&c.beats), attempts=v2g_load(&c.attempts),
        answers=v2g_load(&c.answers), timeouts=v2g_load(&c.timeouts),
        exceptions=v2g_load(&c.exceptions), bad_frames=v2g_load(&c.bad_frames), late=v2g_load(&c.late),
        reconnects=max(connects - 1, 0), connected=bool(v2g_load(&c.connected)),
        writes=v2g_load(&c.writes), write_errors=v2g_load(&c.write_errors),
        refused=v2g_load(&c.refused), expired=v2g_load(&c.expired),
        last_turnaround_ns=v2g_load(&c.last_turnaround_ns), min_turnaround_ns=v2g_load(&c.min_turnaround_ns),
        mean_turnaround_ns=v2g_load(&c.sum_turnaround_ns) // answers if answers else 0,
        last_error=v2g_load(&c.last_error), last_exception=v2g_load(&c.last_exception),
        t_success_ns=v2g_load(&c.t_success_ns),
    )


cdef class Wire:
    """One connection for tests and tools: the same code as a bus thread, in the caller's thread, without the GIL."""
    cdef wire_t wire

    def __cinit__(self):
        self.wire.fd = -1           # or a failed __init__ would close descriptor 0

    def __init__(self, str host, int port, int timeout_ms=300, int min_gap_ms=0):
        wire_init(&self.wire, resolved(host, port), port, timeout_ms * 1000000, min_gap_ms * 1000000)

    def __dealloc__(self):
        wire_close(&self.wire)

    def close(self):
        """Close the connection; the next request opens another."""
        wire_close(&self.wire)

    def read(self, int unit, int function, int address, int count):
        """(Fault, words); no words unless OK."""
        cdef request_t ask
        cdef const uint8_t* data = wire_data(&self.wire)
        cdef int fault
        if function not in (3, 4):
            raise ValueError(f"function {function} is none of 3, 4")
        fill_request(&ask, unit, function, address, count)
        with nogil:
            fault = wire_ask(&self.wire, &ask, NULL)
        if fault != Fault.OK:
            return FaultFace(fault), ()
        return FaultFace.OK, tuple((data[2 * <int> i] << 8) | data[2 * <int> i + 1] for i in range(count))

    def write(self, int unit, int function, int address, words):
        """The Fault of writing these words; function 6 exactly one."""
        cdef uint16_t[123] values
        cdef request_t ask
        cdef int fault
        if function not in (6, 16) or function == 6 and len(words) != 1:
            raise ValueError(f"function {function} cannot write {len(words)} words; known: 6 (1 word), 16 (1 ... 123)")
        fill_request(&ask, unit, function, address, words[0] if function == 6 else len(words))
        for i, word in enumerate(words):
            values[<int> i] = word
        with nogil:
            fault = wire_ask(&self.wire, &ask, values)
        return FaultFace(fault)

    def skip_transactions(self, int n):
        """Count on as if n requests had been sent: a test need not send 65536."""
        self.wire.transaction = (self.wire.transaction + n) & 0xFFFF

    def stats(self):
        """The counters so far."""
        return stats_of(&self.wire.count)
