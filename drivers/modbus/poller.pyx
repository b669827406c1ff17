"""One turn of a bus thread: ask what is due, publish what is answered, write what the rules allow. No interpreter.

Reads    on an absolute grid of period_ns (0: back to back); each answer is published at once. An exception reply is
         silence: nothing is published and ages grow. A slow read that fails three times leaves the record.
Writes   a chance after each read, successful or not, and each millisecond of the wait for the next (setpoint.pyx).
Errors   values and counters.
"""

from libc.stdint cimport int64_t, uint16_t
from libc.string cimport memcpy

from cython_core.realtime.mailbox cimport mailbox_get, mailbox_put, v2g_load, v2g_load_acquire, v2g_store_release
from drivers.modbus.frame cimport Fault, request_t
from drivers.modbus.posix cimport now_ns
from drivers.modbus.setpoint cimport (
    Due, setpoint_acknowledged, setpoint_due, setpoint_forget, setpoint_read, setpoint_tried,
)
from drivers.modbus.tables cimport answer_t, decode_record, encode_write, read_t, write_t, writes_t
from drivers.modbus.wire cimport NAP_NS, count_up, wire_ask, wire_can_mend, wire_data, wire_rest, wire_try

cdef int64_t LOOK_NS = 1000000          # how often an idle bus looks for a new command


cdef void notice_connection(bus_t* b) noexcept nogil:
    """A new connection may be a restarted device: start writes, set-point and slow list are due again."""
    cdef int i
    if b.connects == b.wire.count.connects:
        return
    b.connects = b.wire.count.connects
    b.started = 0
    b.rounds = 0
    setpoint_forget(&b.setpoint)
    for i in range(b.tables.n_reads):
        if b.tables.reads[i].every > 1:
            b.answers[i].have = 0


cdef int64_t oldest(const bus_t* b, int64_t carriers) noexcept nogil:
    """The time of the oldest answer among these reads; 0 when none has answered."""
    cdef int64_t t_ns = 0
    cdef int i
    for i in range(b.tables.n_reads):
        if (carriers >> i) & 1 and b.answers[i].have and (t_ns == 0 or b.answers[i].t_ns < t_ns):
            t_ns = b.answers[i].t_ns
    return t_ns


cdef void publish(bus_t* b) noexcept nogil:
    cdef int64_t[16] record
    cdef int i
    decode_record(&b.tables, b.answers, record)
    if b.is_meter:
        for i in range(3):                      # t_f_ns, t_v_ns, t_p_ns stand first
            record[i] = oldest(b, b.carriers[i])
    else:
        record[0] = oldest(b, b.carriers[0])    # t_ns
        record[1] = b.t_echo_ns
    mailbox_put(b.out, record)


cdef int write_all(bus_t* b, const writes_t* writes, double p_w, double q_var) noexcept nogil:
    """1 when the device has acknowledged every one of them."""
    cdef uint16_t[123] words
    cdef request_t ask
    cdef const write_t* w
    cdef int i
    for i in range(writes.n):
        w = &writes.items[i]
        if not encode_write(w, p_w, q_var, words):
            return 0
        ask.unit, ask.function, ask.address = b.tables.unit, w.function, w.address
        ask.count = words[0] if w.function == 6 else w.count
        if wire_ask(&b.wire, &ask, words) != Fault.OK:
            return 0
    return 1


cdef int encodable(const writes_t* writes, double p_w, double q_var) noexcept nogil:
    cdef uint16_t[123] words
    cdef int i
    for i in range(writes.n):
        if not encode_write(&writes.items[i], p_w, q_var, words):
            return 0
    return 1


cdef void write_failed(bus_t* b) noexcept nogil:
    count_up(&b.wire.count.write_errors)
    setpoint_forget(&b.setpoint)


cdef void write_setpoint(bus_t* b, int due) noexcept nogil:
    setpoint_tried(&b.setpoint, due, now_ns())
    if not b.started:
        b.started = write_all(b, &b.tables.start, b.newest.p_w, b.newest.q_var)
        if not b.started:
            write_failed(b)
            return
        if setpoint_due(&b.setpoint, &b.newest, now_ns()) == Due.EXPIRED:       # the start writes took too long
            return
    if not write_all(b, &b.tables.setpoint, b.newest.p_w, b.newest.q_var):
        write_failed(b)
        return
    count_up(&b.wire.count.writes)
    b.t_echo_ns = b.wire.t_answer_ns
    setpoint_acknowledged(&b.setpoint, &b.newest, b.t_echo_ns)
    if oldest(b, b.carriers[0]):
        publish(b)


cdef void judged_once(bus_t* b, int64_t* counter) noexcept nogil:
    """A command that is not written counts once, not once a look."""
    if b.judged != b.seen:
        b.judged = b.seen
        count_up(counter)


cdef void offer_write(bus_t* b) noexcept nogil:
    """Write the newest command if the rules say so now. Without a connection nothing: the next read opens it."""
    cdef int due
    if b.command == NULL or v2g_load_acquire(&b.hand_back) != NOT_ASKED:
        return
    mailbox_get(b.command, &b.newest, &b.seen)
    if b.seen == 0 or b.wire.fd < 0:
        return
    due = setpoint_due(&b.setpoint, &b.newest, now_ns())
    if due == Due.EXPIRED:
        judged_once(b, &b.wire.count.expired)
    elif due == Due.REFUSED:
        judged_once(b, &b.wire.count.refused)
    elif due == Due.WRITE or due == Due.URGENT:
        if not (encodable(&b.tables.start, b.newest.p_w, b.newest.q_var)
                and encodable(&b.tables.setpoint, b.newest.p_w, b.newest.q_var)):
            judged_once(b, &b.wire.count.refused)
        else:
            write_setpoint(b, due)


cdef int read_try(bus_t* b, int i) noexcept nogil:
    """One try of one read: its Fault."""
    cdef const read_t* r = &b.tables.reads[i]
    cdef answer_t* answer = &b.answers[i]
    cdef request_t ask
    cdef int fault
    ask.unit, ask.function, ask.address, ask.count = b.tables.unit, r.function, r.address, r.count
    fault = wire_try(&b.wire, &ask, NULL)
    notice_connection(b)
    setpoint_read(&b.setpoint)
    if fault == Fault.OK:
        memcpy(answer.data, wire_data(&b.wire), 2 * ask.count)
        answer.t_ns = b.wire.t_answer_ns
        answer.have = 1
        answer.misses = 0
        publish(b)
    return fault


cdef int read_one(bus_t* b, int i) noexcept nogil:
    """A read and its one retry, with a chance to write between: a device that is slow to answer must still be told."""
    cdef int fault = read_try(b, i)
    if wire_can_mend(fault):
        offer_write(b)
        fault = read_try(b, i)
    if fault == Fault.OK:
        return 1
    b.answers[i].misses += 1
    if b.tables.reads[i].every > 1 and b.answers[i].misses >= SLOW_MISSES:
        b.answers[i].have = 0
    return 0


cdef void hand_back_now(bus_t* b) noexcept nogil:
    """The stop writes, once, and every register read again after them."""
    cdef int ok = write_all(b, &b.tables.stop, 0.0, 0.0)
    cdef int i
    if not ok:
        count_up(&b.wire.count.write_errors)
    elif b.tables.stop.n:
        b.t_echo_ns = b.wire.t_answer_ns
    b.started = 0
    for i in range(b.tables.n_reads):
        if v2g_load(&b.wire.stop) or not read_one(b, i):
            ok = 0
            break
    v2g_store_release(&b.hand_back, HANDED_BACK if ok else FAILED)


cdef void one_round(bus_t* b) noexcept nogil:
    """All reads that are due, a chance to write after each."""
    cdef int64_t number = b.rounds
    cdef int i
    b.rounds += 1                               # 0 again when a new connection is made on the way
    for i in range(b.tables.n_reads):
        if number % b.tables.reads[i].every != 0:
            continue
        read_one(b, i)
        offer_write(b)
        if b.wire.fd < 0 or v2g_load(&b.wire.stop) or v2g_load_acquire(&b.hand_back) == ASKED:
            return


cdef void wait_for_next(bus_t* b) noexcept nogil:
    """Sleep to the next point of the poll grid; missed points are skipped, never caught up."""
    cdef int64_t now = now_ns()
    cdef int64_t look_ns = LOOK_NS if b.command != NULL and b.wire.fd >= 0 else NAP_NS
    if b.period_ns == 0:
        b.t_due_ns = now
    elif now >= b.t_due_ns:
        b.t_due_ns += ((now - b.t_due_ns) // b.period_ns + 1) * b.period_ns
    if b.wire.fd < 0:
        b.t_due_ns = max(b.t_due_ns, min(max(now, b.wire.t_connect_ns), now + NAP_NS))
    while now < b.t_due_ns and not v2g_load(&b.wire.stop) and v2g_load_acquire(&b.hand_back) != ASKED:
        wire_rest(&b.wire, min(b.t_due_ns, now + look_ns))
        offer_write(b)
        now = now_ns()


cdef void poller_turn(bus_t* b) noexcept nogil:
    one_round(b)
    if v2g_load_acquire(&b.hand_back) == ASKED:
        hand_back_now(b)
    else:
        wait_for_next(b)
