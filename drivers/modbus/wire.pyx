"""One wire, TCP, UDP or serial, to its Modbus devices: connect, ask, retry, reconnect. No interpreter, no allocation.

Rules    one request in flight; each try has one absolute deadline (CLOCK_MONOTONIC) for its connect, and one for send
         and all bytes of the answer, on a serial line the time of the characters besides; one retry. Back-off between
         connects 0.1 ... 2 s, reset by an answer, not by a connect.
Stale    what comes after its deadline is never taken for another answer: tcp.pyx and rtu.pyx say how.
Errors   a Fault of frame.pxd; counters say how often. Wire() raises BusError: look at name, cable and port.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t
from libc.string cimport memcpy, memset

from cython_core.realtime.mailbox cimport v2g_load, v2g_store
from drivers.modbus cimport posix
from drivers.modbus.codes cimport Fault
from drivers.modbus.frame cimport (
    MBAP, fill_exchange, fill_request, fill_words, is_write, mbap_build, pdu_answer_size, pdu_build, request_t,
    rtu_build,
)
from drivers.modbus.posix cimport now_ns
from drivers.modbus.rtu cimport rtu_judge, rtu_open, rtu_silence, rtu_wire_ns
from drivers.modbus.tcp cimport tcp_judge, tcp_open, udp_judge, udp_open
from drivers.modbus.types cimport INPUT_BYTES, MAX_TURNS, RTU, TCP, UDP, counters_t, link_t, wire_t
from drivers.modbus.waits cimport count_up, wait_for, wire_rest

from drivers.base import BusError

cdef int64_t FIRST_BACKOFF_NS = 100000000
cdef int64_t LAST_BACKOFF_NS = 2000000000


cdef void wire_init(wire_t* w, const link_t* link, int fd) noexcept nogil:
    memset(w, 0, sizeof(wire_t))
    memcpy(&w.link, link, sizeof(link_t))
    w.count = &w.own
    w.fd = fd
    if fd >= 0:                         # a serial port that is open already
        note_connected(w)


cdef void wire_use(wire_t* w, counters_t* count, int64_t timeout_ns, int64_t gap_ns) noexcept nogil:
    w.count = count
    w.timeout_ns = timeout_ns
    w.gap_ns = gap_ns


cdef void wire_close(wire_t* w) noexcept nogil:
    if w.fd >= 0:
        posix.close(w.fd)
    w.fd = -1
    w.n_in = 0
    w.silent = 0
    v2g_store(&w.connected, 0)


cdef void note_connected(wire_t* w) noexcept nogil:
    count_up(&w.connects)
    v2g_store(&w.connected, 1)


cdef int opened_anew(wire_t* w, int64_t deadline_ns) noexcept nogil:
    if w.link.kind == RTU:
        return rtu_open(w)
    return tcp_open(w, deadline_ns) if w.link.kind == TCP else udp_open(w)


cdef int connected(wire_t* w, int64_t deadline_ns) noexcept nogil:
    cdef int64_t now = now_ns()
    if w.fd >= 0:
        return 1
    if now < w.t_connect_ns:
        return 0
    w.t_connect_ns = now + w.backoff_ns
    w.backoff_ns = min(max(2 * w.backoff_ns, FIRST_BACKOFF_NS), LAST_BACKOFF_NS)
    if not opened_anew(w, deadline_ns):
        wire_close(w)
        w.t_connect_ns = now_ns() + w.backoff_ns
        return 0
    note_connected(w)
    return 1


cdef int build(wire_t* w, const request_t* ask, const uint16_t* words) noexcept nogil:
    """The request in w.output; its length."""
    if w.link.kind == RTU:
        return rtu_build(w.output, ask.unit, pdu_build(w.output + 1, ask, words))
    w.transaction = (w.transaction + 1) & 0xFFFF
    return mbap_build(w.output, w.transaction, ask.unit, pdu_build(w.output + MBAP, ask, words))


cdef int send_all(wire_t* w, int n, int64_t deadline_ns) noexcept nogil:
    cdef int sent = 0
    cdef int _turn
    cdef ssize_t done
    for _turn in range(MAX_TURNS):
        if w.link.kind != RTU:
            done = posix.send(w.fd, w.output + sent, n - sent, posix.MSG_NOSIGNAL)
        else:
            done = posix.write(w.fd, w.output + sent, n - sent)
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
    if w.link.kind == RTU:
        return rtu_judge(w, ask)
    return tcp_judge(w, ask) if w.link.kind == TCP else udp_judge(w, ask)


cdef int receive(wire_t* w, const request_t* ask, int64_t deadline_ns) noexcept nogil:
    cdef int fault, _turn
    cdef ssize_t got
    w.n_in = 0
    if w.link.kind == RTU and not wait_for(w, posix.POLLIN, deadline_ns):   # it is never there at once
        return Fault.TIMEOUT
    for _turn in range(MAX_TURNS):
        got = posix.read(w.fd, w.input + w.n_in, INPUT_BYTES - w.n_in)
        if got < 0 and (posix.errno == posix.EAGAIN or posix.errno == posix.EINTR):
            if not wait_for(w, posix.POLLIN, deadline_ns):
                return Fault.TIMEOUT if w.n_in == 0 else Fault.SHORT
            continue
        if got <= 0:
            return Fault.CLOSED
        w.t_answer_ns = now_ns()
        w.n_in += <int> got
        fault = judge(w, ask)
        if fault != Fault.SHORT:
            return fault
    return Fault.BAD_LENGTH


cdef int64_t on_the_wire_ns(const wire_t* w, int n, const request_t* ask) noexcept nogil:
    """Time of the characters of a request and its answer with the silence between; 0 on TCP."""
    return rtu_wire_ns(w, n + 3 + pdu_answer_size(ask)) + w.link.silence_ns if w.link.kind == RTU else 0


cdef int transact(wire_t* w, const request_t* ask, const uint16_t* words, bint again) noexcept nogil:
    cdef int64_t deadline_ns, wire_ns, t_sent_ns
    cdef int fault, n
    wire_rest(w, w.t_free_ns)
    if v2g_load(&w.stop):
        return Fault.STOPPED
    if not connected(w, now_ns() + w.timeout_ns):
        return Fault.NOT_CONNECTED
    if w.link.kind == RTU:
        fault = rtu_silence(w, ask, again)
        if fault != Fault.OK:
            return fault
    n = build(w, ask, words)
    wire_ns = on_the_wire_ns(w, n, ask)
    t_sent_ns = now_ns()
    deadline_ns = t_sent_ns + wire_ns + w.timeout_ns
    fault = send_all(w, n, deadline_ns)
    if fault == Fault.OK:
        fault = receive(w, ask, deadline_ns)
    if fault != Fault.OK and v2g_load(&w.stop):
        return Fault.STOPPED
    w.t_free_ns = now_ns() + max(w.gap_ns, w.link.silence_ns) if w.gap_ns or w.link.silence_ns else 0
    if fault == Fault.OK or fault == Fault.EXCEPTION:
        note_answer(w, max(w.t_answer_ns - t_sent_ns - wire_ns, 0))
    return fault


cdef void note_answer(wire_t* w, int64_t turnaround_ns) noexcept nogil:
    w.silent = 0
    w.backoff_ns = 0
    w.t_connect_ns = 0
    v2g_store(&w.count.last_turnaround_ns, turnaround_ns)
    v2g_store(&w.count.sum_turnaround_ns, w.count.sum_turnaround_ns + turnaround_ns)
    if w.count.min_turnaround_ns == 0 or turnaround_ns < w.count.min_turnaround_ns:
        v2g_store(&w.count.min_turnaround_ns, max(turnaround_ns, 1))


cdef void note_fault(wire_t* w, const request_t* ask, int fault) noexcept nogil:
    """Count, and close where only a new connection helps."""
    v2g_store(&w.count.last_error, fault)
    if fault == Fault.TIMEOUT or fault == Fault.SHORT or fault == Fault.BAD_FUNCTION:   # noise: no answer came yet
        w.late_until_ns[ask.unit] = now_ns() + w.timeout_ns
    if fault == Fault.TIMEOUT or fault == Fault.SHORT:
        count_up(&w.count.timeouts)
    elif fault != Fault.CLOSED and fault != Fault.NOT_CONNECTED:
        count_up(&w.count.bad_frames)
    w.silent += 1
    if fault == Fault.CLOSED or fault == Fault.NOT_CONNECTED:
        wire_close(w)
    elif w.link.kind != RTU and (fault != Fault.TIMEOUT or w.silent >= SILENT_TRIES):
        wire_close(w)


cdef int count_result(wire_t* w, const request_t* ask, int fault) noexcept nogil:
    if fault == Fault.OK:
        v2g_store(&w.count.t_success_ns, w.t_answer_ns)
        count_up(&w.count.answers)
    elif fault == Fault.STOPPED:
        wire_close(w)
    elif fault == Fault.EXCEPTION:
        v2g_store(&w.count.last_error, fault)
        v2g_store(&w.count.last_exception, w.input[2 if w.link.kind == RTU else MBAP + 1])
        count_up(&w.count.exceptions)
    else:
        note_fault(w, ask, fault)
    return fault


cdef int wire_try(wire_t* w, const request_t* ask, const uint16_t* words) noexcept nogil:
    count_up(&w.count.attempts)
    return count_result(w, ask, transact(w, ask, words, 0))


cdef int wire_again(wire_t* w, const request_t* ask, const uint16_t* words) noexcept nogil:
    count_up(&w.count.attempts)
    return count_result(w, ask, transact(w, ask, words, 1))


cdef bint wire_can_mend(int fault) noexcept nogil:
    return fault != Fault.OK and fault != Fault.EXCEPTION and fault != Fault.NOT_CONNECTED and fault != Fault.STOPPED


cdef int wire_ask(wire_t* w, const request_t* ask, const uint16_t* words) noexcept nogil:
    cdef int fault = wire_try(w, ask, words)
    if not wire_can_mend(fault) or (w.fd < 0 and is_write(ask)):
        return fault
    return wire_again(w, ask, words)


cdef const uint8_t* wire_data(const wire_t* w) noexcept nogil:
    return w.input + (3 if w.link.kind == RTU else MBAP + 2)


# --- the Python side ------------------------------------------------------------------------------------------------

def resolve(str host, int port):
    """The IPv4 address of a host as 4 bytes. Asked once, before a thread starts: a name server must not stop a bus."""
    import socket as sockets
    if not 1 <= port <= 65535:
        raise ValueError(f"{host}: port {port} is outside 1 ... 65535")
    try:
        found = sockets.getaddrinfo(host, port, sockets.AF_INET, sockets.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise BusError(f"{host}:{port}: no IPv4 address of this name ({error})") from None
    return sockets.inet_aton(found[0][4][0])


cdef int open_link(link_t* to, object link) except? -2:
    from drivers.modbus.link import TcpLink, UdpLink
    cdef bytes address
    memset(to, 0, sizeof(link_t))
    if isinstance(link, TcpLink):
        address = resolve(link.host, link.port)
        to.kind, to.port = UDP if isinstance(link, UdpLink) else TCP, link.port
        to.ip = (<uint32_t*> (<char*> address))[0]
        return -1
    from drivers.modbus.serial_port import open_port            # pyserial only where there is a serial line
    address = link.path.encode()
    to.kind, to.char_ns, to.silence_ns, to.has_rs485 = RTU, link.char_ns, link.silence_ns, link.rs485
    memcpy(to.path, <char*> address, len(address))              # a link's path is shorter than the array
    fd = open_port(link)
    posix.tcgetattr(fd, &to.line)
    if link.rs485:
        posix.ioctl(fd, posix.TIOCGRS485, &to.rs485)
    return fd


def opened(link):
    """A TcpLink, UdpLink or SerialLink -> (its name, link_t as bytes, the descriptor of its port or -1)."""
    cdef link_t to
    fd = open_link(&to, link)
    return str(link), (<const char*> &to)[:sizeof(link_t)], fd


cdef list counts_of(const wire_t* w, const counters_t* c):
    """A reading of the counters, in the order of BusStats; the thread is not touched."""
    cdef int64_t answers = v2g_load(&c.answers) + v2g_load(&c.exceptions)
    return [
        v2g_load(&w.beats), v2g_load(&c.attempts), v2g_load(&c.answers), v2g_load(&c.timeouts),
        v2g_load(&c.exceptions), v2g_load(&c.bad_frames), v2g_load(&c.late),
        max(v2g_load(&w.connects) - 1, 0), v2g_load(&w.connected),
        v2g_load(&c.writes), v2g_load(&c.write_errors), v2g_load(&c.refused), v2g_load(&c.expired),
        v2g_load(&c.held), v2g_load(&c.spent), v2g_load(&c.t_day_ns), v2g_load(&c.changes),
        v2g_load(&c.last_turnaround_ns), v2g_load(&c.min_turnaround_ns),
        v2g_load(&c.sum_turnaround_ns) // answers if answers else 0,
        v2g_load(&c.last_error), v2g_load(&c.last_exception), v2g_load(&c.t_success_ns),
    ]


cdef object stats_of(const wire_t* w, const counters_t* c):
    """The same with its names."""
    from drivers.modbus.statistics import BusStats
    return BusStats(*counts_of(w, c))


cdef object face(int fault):
    from drivers.modbus.codes import Fault as Face
    return Face(fault)


cdef class Wire:
    """One wire for tests and tools: the same code as a bus thread, in the caller's thread, without the GIL."""
    cdef wire_t wire

    def __cinit__(self):
        self.wire.fd = -1           # or a failed __init__ would close descriptor 0

    def __init__(self, link, int timeout_ms=300, int min_gap_ms=0):
        cdef link_t to
        fd = open_link(&to, link)
        wire_init(&self.wire, &to, fd)
        wire_use(&self.wire, &self.wire.own, timeout_ms * 1000000, min_gap_ms * 1000000)

    def __dealloc__(self):
        wire_close(&self.wire)

    def close(self):
        """Close the connection; the next request opens another."""
        wire_close(&self.wire)

    def read(self, int unit, int function, int address, int count):
        """(Fault, words); no words unless OK."""
        cdef request_t ask
        if function not in (3, 4):
            raise ValueError(f"function {function} is none of 3, 4")
        fill_request(&ask, unit, function, address, count)
        return self.words_of(&ask, NULL)

    def write(self, int unit, int function, int address, words):
        """The Fault of writing these words; function 6 exactly one."""
        cdef uint16_t[123] values
        cdef request_t ask
        cdef int fault
        if function not in (6, 16) or function == 6 and len(words) != 1:
            raise ValueError(f"function {function} cannot write {len(words)} words; known: 6 (1 word), 16 (1 ... 123)")
        fill_request(&ask, unit, function, address, words[0] if function == 6 else len(words))
        fill_words(values, words)
        with nogil:
            fault = wire_ask(&self.wire, &ask, values)
        return face(fault)

    def exchange(self, int unit, int address, int count, int to_address, words):
        """(Fault, words): write these at to_address, then read `count` words at address, all by function 23."""
        cdef uint16_t[123] values
        cdef request_t ask
        fill_exchange(&ask, unit, address, count, to_address, len(words))
        fill_words(values, words)
        return self.words_of(&ask, values)

    cdef object words_of(self, const request_t* ask, const uint16_t* values):
        cdef const uint8_t* data = wire_data(&self.wire)
        cdef int fault
        with nogil:
            fault = wire_ask(&self.wire, ask, values)
        if fault != Fault.OK:
            return face(fault), ()
        return face(fault), tuple((data[2 * <int> i] << 8) | data[2 * <int> i + 1] for i in range(ask.count))

    def skip_transactions(self, int n):
        """Count on as if n requests had been sent: a test need not send 65536."""
        self.wire.transaction = (self.wire.transaction + n) & 0xFFFF

    def stats(self):
        """The counters so far."""
        return stats_of(&self.wire, &self.wire.own)
