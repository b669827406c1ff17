"""One turn of a bus thread: ask what is due, publish what is answered, write what the rules allow. No interpreter.

Reads    each device has its list and its poll grid, points of CLOCK_MONOTONIC like those of the step: a round begins
         so early that it is whole at its point. Without a period: back to back. Who has waited longest comes first;
         each answer is published at once. An exception reply is silence: nothing is published and ages grow. A slow
         read that fails three times leaves the record.
Clock    a read may have a clock of its own (counters of energy, each 10 s): asked behind a round, once, without a
         retry; it delays what follows by one request. Where it fails three times it is asked thirty times less.
Writes   a chance after each read, successful or not, and as soon as a new command arrives while the wire rests;
         between two reads one at most, by turns (setpoint.pyx); beside it, once a second, our sign of life (heart.pyx).
Dead     a device that does not answer, on a wire with others, is asked rarely and once, and not written but to stop
         it, so that they keep their rate.
Silence  when the core wants nothing written, is late, or wants what does not fit, the device's own timer has to act.
         One that reads feed too is not even read for that long.
Errors   values and counters.
"""

from libc.stdint cimport int64_t, uint16_t
from libc.string cimport memcmp, memcpy

from cython_core.codes cimport MODE_STOP
from cython_core.realtime.mailbox cimport (
    mailbox_get, mailbox_put, mailbox_wait, v2g_load, v2g_load_acquire, v2g_store, v2g_store_release,
)
from drivers.modbus.codes cimport Due, Fault
from drivers.modbus.frame cimport request_t
from drivers.modbus.heart cimport heart_beat, heart_due, heart_judge
from drivers.modbus.posix cimport now_ns
from drivers.modbus.setpoint cimport (
    setpoint_acknowledged, setpoint_due, setpoint_forget, setpoint_read, setpoint_tried,
)
from drivers.modbus.tables cimport decode_energies, decode_record, encode_write, write_t, writes_t
from drivers.modbus.types cimport NAP_NS, RTU
from drivers.modbus.waits cimport count_up, wire_rest
from drivers.modbus.wire cimport wire_again, wire_ask, wire_can_mend, wire_data, wire_try, wire_use

cdef int64_t LOOK_NS = 1000000          # how often a wire with several inverters looks for their new commands
cdef int64_t MARGIN_NS = 100000         # a round is whole this long before its grid point
cdef int64_t GATEWAY_NO_PATH = 10       # exceptions of a gateway (Modbus Application Protocol v1.1b3, section 7)
cdef int64_t GATEWAY_NO_ANSWER = 11
cdef int64_t DEAD_NS = 1000000000       # a dead device is not asked more often than this


cdef void start_anew(device_t* d) noexcept nogil:
    """It may have restarted: start writes and set-point are due again."""
    d.started = 0
    setpoint_forget(&d.setpoint)


cdef void notice_connection(bus_t* b, device_t* d) noexcept nogil:
    """A new connection may be a restarted device: start writes, set-point and slow list are due again."""
    cdef int i
    if d.connects == b.wire.connects:
        return
    d.connects = b.wire.connects
    d.rounds = 0
    start_anew(d)
    for i in range(d.tables.n_reads):
        if d.tables.reads[i].every > 1:
            d.answers[i].have = 0


cdef int64_t oldest(const device_t* d, int64_t carriers) noexcept nogil:
    """The time of the oldest answer among these reads; 0 when none has answered."""
    cdef int64_t t_ns = 0
    cdef int i
    for i in range(d.tables.n_reads):
        if (carriers >> i) & 1 and d.answers[i].have and (t_ns == 0 or d.answers[i].t_ns < t_ns):
            t_ns = d.answers[i].t_ns
    return t_ns


cdef int is_told(const device_t* d) noexcept nogil:
    """Set-points are acknowledged: none is overdue by more than once its interval."""
    return d.t_echo_ns != 0 and now_ns() - d.t_echo_ns <= 2 * d.setpoint.refresh_ns


cdef void publish(device_t* d) noexcept nogil:
    cdef int64_t[16] record
    cdef int i
    decode_record(&d.tables, d.answers, record)
    if d.is_meter:
        for i in range(3):                      # t_f_ns, t_v_ns, t_p_ns stand first
            record[i] = oldest(d, d.carriers[i])
    else:
        record[0] = oldest(d, d.carriers[0])    # t_ns
        record[1] = d.t_echo_ns
        heart_judge(&d.heart, d.answers, is_told(d), record)
    mailbox_put(d.out, record, 8 * d.tables.n_words)


# --- writes ----------------------------------------------------------------------------------------------------------

cdef int same_words(const bus_t* b, const uint16_t* words, int count) noexcept nogil:
    cdef const unsigned char* back = wire_data(&b.wire)
    cdef int i
    for i in range(count):
        if ((back[2 * i] << 8) | back[2 * i + 1]) != words[i]:
            return 0
    return 1


cdef int read_back(bus_t* b, const write_t* w) noexcept nogil:
    """The Fault of reading the words that this write is about."""
    cdef request_t ask
    ask.unit, ask.function, ask.address, ask.count = w.unit, w.verify, w.address, w.count
    return wire_ask(&b.wire, &ask, NULL)


cdef int write_one(bus_t* b, const write_t* w, const uint16_t* words) noexcept nogil:
    """1 when the device has acknowledged it; where it is read back, that must be the same."""
    cdef request_t ask
    if w.verify:
        if read_back(b, w) != Fault.OK:
            return 0
        if same_words(b, words, w.count):           # nothing to write
            return 1
    ask.unit, ask.function, ask.address = w.unit, w.function, w.address
    ask.count = words[0] if w.function == 6 else w.count
    ask.to_address, ask.to_count = w.address, w.count
    if wire_ask(&b.wire, &ask, words) != Fault.OK or (w.verify and read_back(b, w) != Fault.OK):
        return 0
    return same_words(b, words, w.count) if w.verify or w.function == 23 else 1


cdef int write_all(bus_t* b, const writes_t* writes, double p_w, double q_var) noexcept nogil:
    """1 when the device has acknowledged every one of them."""
    cdef uint16_t[123] words
    cdef int i
    for i in range(writes.n):
        if not encode_write(&writes.items[i], p_w, q_var, words) or not write_one(b, &writes.items[i], words):
            return 0
    return 1


cdef int encodable(const writes_t* writes, double p_w, double q_var) noexcept nogil:
    cdef uint16_t[123] words
    cdef int i
    for i in range(writes.n):
        if not encode_write(&writes.items[i], p_w, q_var, words):
            return 0
    return 1


cdef void write_failed(device_t* d) noexcept nogil:
    count_up(&d.count.write_errors)
    d.missed += d.count.last_error != Fault.EXCEPTION       # a refusal is an answer
    setpoint_forget(&d.setpoint)


cdef void tried(bus_t* b, device_t* d) noexcept nogil:
    """Nobody on this wire writes again before the next read, but for an emergency."""
    cdef int i
    setpoint_tried(&d.setpoint, d.due, now_ns())
    v2g_store(&d.count.t_day_ns, d.setpoint.t_day_ns)
    v2g_store(&d.count.spent, d.setpoint.spent)
    d.told = 1
    for i in range(b.n_devices):
        b.devices[i].setpoint.written = 1


cdef void write_start(bus_t* b, device_t* d, const command_t* c) noexcept nogil:
    """What precedes the first set-point."""
    d.told = 1
    d.started = write_all(b, &d.tables.start, c.p_w, c.q_var)
    if not d.started:
        tried(b, d)
        write_failed(d)


cdef void write_setpoint(bus_t* b, device_t* d, const command_t* c) noexcept nogil:
    tried(b, d)
    if not write_all(b, &d.tables.setpoint, c.p_w, c.q_var):
        write_failed(d)
        return
    count_up(&d.count.writes)
    d.t_echo_ns = b.wire.t_answer_ns
    setpoint_acknowledged(&d.setpoint, c, d.t_echo_ns)
    if oldest(d, d.carriers[0]):
        publish(d)


cdef void count_judged(device_t* d) noexcept nogil:
    """A command that is not written counts once, not once a look."""
    if d.judged == d.seen or d.due < Due.EXPIRED:
        return
    d.judged = d.seen
    if d.due == Due.EXPIRED:
        count_up(&d.count.expired)
    elif d.due == Due.REFUSED:
        count_up(&d.count.refused)
    else:
        count_up(&d.count.held)


cdef void fall_silent(device_t* d) noexcept nogil:
    """We have nothing to say: the device's own timer acts, and what it stops has to be started again."""
    if d.due != Due.SILENT and d.due != Due.EXPIRED and d.due != Due.REFUSED:
        d.t_quiet_ns = 0
        return
    if d.due != Due.REFUSED:                    # one command that is refused stops nothing yet
        d.started = 0
    if d.told and d.t_quiet_ns == 0:
        d.t_quiet_ns = now_ns() + d.quiet_ns


cdef bint is_quiet(device_t* d) noexcept nogil:
    """Whether the device is left alone, so that its timer runs out: once, when the last set-point was given up."""
    if d.quiet_ns == 0 or d.t_quiet_ns == 0:
        return 0
    if now_ns() < d.t_quiet_ns:
        return 1
    d.told = d.started = 0
    d.t_quiet_ns = 0
    return 0


cdef bint is_dead(const bus_t* b, const device_t* d) noexcept nogil:
    return b.n_devices > 1 and d.missed >= DEAD_MISSES


cdef int64_t dead_pause_ns(const device_t* d) noexcept nogil:
    return max(DEAD_NS, DEAD_SHARE * d.timeout_ns)


cdef bint may_be_told(const bus_t* b, const device_t* d) noexcept nogil:
    """A dead device is told when it answers again. To stop it is told all the same, but rarely: it may hear us."""
    return not is_dead(b, d) or (d.due == Due.URGENT and now_ns() - d.setpoint.t_try_ns >= dead_pause_ns(d))


cdef int judge(device_t* d, command_t* c) noexcept nogil:
    """What the rules say to the newest command now, and with which powers. What does not fit is refused as well."""
    cdef int due = setpoint_due(&d.setpoint, c, now_ns())
    if due == Due.SPENT or due == Due.ZERO:
        c.p_w = c.q_var = 0.0
    if due == Due.SILENT or due == Due.EXPIRED:
        return due
    if not (encodable(&d.tables.start, c.p_w, c.q_var) and encodable(&d.tables.setpoint, c.p_w, c.q_var)):
        return Due.REFUSED
    return due


cdef bint offer_write(bus_t* b, device_t* d) noexcept nogil:
    """Write the newest command if the rules say so now; 1: only `start` was, and by now there may be a newer command.

    Without a connection nothing: the next read opens it.
    """
    cdef command_t c
    if d.command == NULL:
        return 0
    notice_connection(b, d)                     # a neighbour's read may have opened it
    mailbox_get(d.command, &d.newest, sizeof(d.newest), &d.seen)        # always: rest() sleeps on what is seen
    if d.seen == 0 or v2g_load_acquire(&d.hand_back) != NOT_ASKED:
        return 0
    c = d.newest
    d.due = judge(d, &c)
    fall_silent(d)
    if b.wire.fd < 0 or not may_be_told(b, d):
        return 0
    count_judged(d)
    if d.due != Due.WRITE and d.due != Due.URGENT and d.due != Due.ZERO:
        return 0
    wire_use(&b.wire, &d.count, d.timeout_ns, d.gap_ns)
    if d.started:
        write_setpoint(b, d, &c)
        return 0
    write_start(b, d, &c)
    if not d.started and d.due == Due.URGENT and c.mode == MODE_STOP:
        write_setpoint(b, d, &c)                # a stop is told even so: it may be in force from before
    return d.started


cdef void offer_beat(bus_t* b, device_t* d) noexcept nogil:
    """Our sign of life, to a device that has acknowledged a set-point on this connection and is still commanded."""
    cdef uint16_t[2] words
    if d.command == NULL or v2g_load_acquire(&d.hand_back) != NOT_ASKED or b.wire.fd < 0 or not d.setpoint.known:
        return
    if d.due == Due.REFUSED or is_dead(b, d):
        return
    if heart_due(&d.heart, &d.newest, now_ns()):
        heart_beat(&d.heart, &d.newest, words)
        wire_use(&b.wire, &d.count, d.timeout_ns, d.gap_ns)
        if not write_one(b, &d.heart.beat.items[0], words):
            count_up(&d.count.write_errors)


cdef void offer_writes(bus_t* b) noexcept nogil:
    """All devices by turns."""
    cdef device_t* d
    cdef int i
    for i in range(b.n_devices):
        d = b.devices[(b.turn + i) % b.n_devices]
        if offer_write(b, d):
            offer_write(b, d)
        offer_beat(b, d)
    b.turn = (b.turn + 1) % b.n_devices


# --- reads -----------------------------------------------------------------------------------------------------------

cdef void keep_answer(bus_t* b, device_t* d, int i) noexcept nogil:
    cdef const unsigned char* data = wire_data(&b.wire)
    cdef answer_t* answer = &d.answers[i]
    cdef int n = 2 * d.tables.reads[i].count
    if d.tables.reads[i].every == 1 and memcmp(answer.data, data, n) != 0:
        count_up(&d.count.changes)
    memcpy(answer.data, data, n)
    answer.t_ns = b.wire.t_answer_ns
    answer.have = 1
    answer.misses = 0
    d.missed = 0
    if decode_energies(&d.tables, i, data, d.energies):
        v2g_store(&d.t_energies_ns, answer.t_ns)
    if d.tables.reads[i].every:
        publish(d)


cdef int read_try(bus_t* b, device_t* d, int i, bint again) noexcept nogil:
    """One try of one read: its Fault."""
    cdef request_t ask
    cdef int fault, k
    ask.unit, ask.function = d.tables.reads[i].unit, d.tables.reads[i].function
    ask.address, ask.count = d.tables.reads[i].address, d.tables.reads[i].count
    wire_use(&b.wire, &d.count, d.timeout_ns, d.gap_ns)
    fault = wire_again(&b.wire, &ask, NULL) if again else wire_try(&b.wire, &ask, NULL)
    notice_connection(b, d)
    for k in range(b.n_devices):
        setpoint_read(&b.devices[k].setpoint)
    if fault == Fault.OK:
        keep_answer(b, d, i)
    return fault


cdef bint is_refusal(const device_t* d, int i, int fault) noexcept nogil:
    """An exception of the device itself; not the word of a gateway that it does not answer there."""
    cdef int64_t code = d.count.last_exception
    return fault == Fault.EXCEPTION and not (
        d.tables.reads[i].unit == d.tables.unit and (code == GATEWAY_NO_PATH or code == GATEWAY_NO_ANSWER))


cdef int read_one(bus_t* b, device_t* d, int i) noexcept nogil:
    """A read and its one retry, on TCP with a chance to write between: a device that is slow to answer must be told.

    On a serial line another request would have to wait for the late answer first.
    """
    cdef int fault = read_try(b, d, i, 0)
    if wire_can_mend(fault) and not is_dead(b, d):
        if b.wire.link.kind != RTU:
            offer_writes(b)
        fault = read_try(b, d, i, b.wire.link.kind == RTU)
    if fault == Fault.OK:
        return 1
    if is_refusal(d, i, fault):
        d.missed = 0
    elif fault != Fault.STOPPED:
        d.missed += 1
        if d.missed >= DEAD_MISSES:             # a serial line or a gateway stays connected all the same
            start_anew(d)
    d.answers[i].misses += 1
    if d.tables.reads[i].every > 1 and d.answers[i].misses >= SLOW_MISSES:
        d.answers[i].have = 0
    return 0


cdef void read_by_clock(bus_t* b, device_t* d) noexcept nogil:
    """One read at most that keeps its own time. Without an answer: no retry, and no device is dead for its sake."""
    cdef int64_t now = now_ns()
    cdef int64_t wait_ns
    cdef int i, fault
    if b.wire.fd < 0 or d.missed:
        return
    for i in range(d.tables.n_reads):
        wait_ns = d.tables.reads[i].every_ns * (SELDOM if d.answers[i].misses >= SLOW_MISSES else 1)
        if d.tables.reads[i].every or (d.t_asked_ns[i] and now - d.t_asked_ns[i] < wait_ns):
            continue
        d.t_asked_ns[i] = now
        fault = read_try(b, d, i, 0)
        if fault != Fault.OK and fault != Fault.STOPPED:
            d.answers[i].misses += 1
        offer_writes(b)
        return


cdef void hand_back_now(bus_t* b, device_t* d) noexcept nogil:
    """The stop writes, once, and every register read again after them."""
    cdef int ok, i
    wire_use(&b.wire, &d.count, d.timeout_ns, d.gap_ns)
    ok = write_all(b, &d.tables.stop, 0.0, 0.0)
    if not ok and b.wire.fd < 0:                # cut off: all of it again, on a new connection
        wire_rest(&b.wire, b.wire.t_connect_ns)
        ok = write_all(b, &d.tables.stop, 0.0, 0.0)
    if not ok:
        count_up(&d.count.write_errors)
    elif d.tables.stop.n:
        d.t_echo_ns = b.wire.t_answer_ns
    d.started = 0
    for i in range(d.tables.n_reads):
        if d.tables.reads[i].every == 0:
            continue
        if v2g_load(&b.wire.stop) or not read_one(b, d, i):
            ok = 0
            break
    v2g_store_release(&d.hand_back, HANDED_BACK if ok else FAILED)


# --- what is due -----------------------------------------------------------------------------------------------------

cdef void end_round(bus_t* b, device_t* d) noexcept nogil:
    """When the next one begins. Missed points are skipped, never caught up."""
    cdef int64_t now = now_ns()
    cdef int64_t point_ns = d.t_due_ns + d.lead_ns
    cdef int64_t took_ns = now - d.t_due_ns + MARGIN_NS
    d.next_read = 0
    if b.wire.fd < 0:
        d.t_due_ns = max(d.t_due_ns, min(max(now, b.wire.t_connect_ns), now + NAP_NS))
    elif is_dead(b, d):
        d.t_due_ns = now + dead_pause_ns(d)
    elif d.period_ns == 0:
        d.t_due_ns = now
    else:
        if took_ns < d.period_ns // 2:             # a time-out says nothing about the next round
            d.lead_ns += (took_ns - d.lead_ns) // (4 if took_ns > d.lead_ns else 64)     # quickly up, slowly down
        d.t_due_ns = max((now + d.lead_ns) // d.period_ns, point_ns // d.period_ns) * d.period_ns
        d.t_due_ns += d.period_ns - d.lead_ns


cdef int next_in_round(device_t* d) noexcept nogil:
    """The next read of this round, from next_read on; n_reads: none."""
    cdef int i = d.next_read
    while i < d.tables.n_reads and (d.tables.reads[i].every == 0 or d.rounds % d.tables.reads[i].every != 0):
        i += 1
    return i


cdef void read_next(bus_t* b, device_t* d) noexcept nogil:
    """One read of this device's round and the writes behind it; the round's end when it was the last."""
    cdef int i = next_in_round(d)
    d.next_read = i + 1
    read_one(b, d, i)
    offer_writes(b)
    if b.wire.fd < 0 or next_in_round(d) == d.tables.n_reads:
        d.rounds += 1
        end_round(b, d)
        read_by_clock(b, d)


cdef device_t* longest_due(bus_t* b) noexcept nogil:
    cdef device_t* found = b.devices[0]
    cdef int i
    for i in range(1, b.n_devices):
        if b.devices[i].t_due_ns < found.t_due_ns:
            found = b.devices[i]
    return found


cdef device_t* asked_to_hand_back(bus_t* b) noexcept nogil:
    cdef int i
    for i in range(b.n_devices):
        if v2g_load_acquire(&b.devices[i].hand_back) == ASKED:
            return b.devices[i]
    return NULL


cdef void rest(bus_t* b, int64_t until_ns) noexcept nogil:
    """Until the next read is due or a new command is there; not longer than a nap, so that beats go on."""
    cdef device_t* writer = NULL
    cdef int64_t nap_ns = NAP_NS
    cdef int i
    for i in range(b.n_devices):
        if b.devices[i].command != NULL:
            if writer != NULL:                      # one can sleep on one mailbox only
                nap_ns = LOOK_NS
            writer = b.devices[i]
    until_ns = min(until_ns, now_ns() + nap_ns)
    if writer == NULL or nap_ns == LOOK_NS or b.wire.fd < 0:
        wire_rest(&b.wire, until_ns)
        return
    count_up(&b.wire.beats)
    mailbox_wait(writer.command, writer.seen, until_ns)


cdef void poller_turn(bus_t* b) noexcept nogil:
    cdef device_t* d = asked_to_hand_back(b)
    if d != NULL:
        hand_back_now(b, d)
        return
    d = longest_due(b)
    if now_ns() >= d.t_due_ns:
        if is_quiet(d):
            d.t_due_ns = now_ns() + NAP_NS
        else:
            read_next(b, d)
        return
    rest(b, d.t_due_ns)
    offer_writes(b)
