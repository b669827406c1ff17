"""One turn of a CAN bus thread: take what has come, send what is due, wait. No interpreter.

Takes    a frame of the right length, with the next number of its counter, asked for if it must be; anything else is
         counted and dropped. A quantity whose frame stays out leaves the record; the state is as old as its oldest
         carrier.
Asks     a round on each point of the poll grid, begun so early that it is answered there.
Writes   by the rules of drivers.modbus.setpoint: a poll or a frame of the device stands for "a read". A set-point, its
         start frames and the heartbeat go out only while the newest command is in force (younger than its valid_ms, not
         SILENT, and fitting their fields). The kernel never repeats a frame for us: a hung loop ends all of them.
Feeding  where any frame keeps the device's own timer from running out, questions stop with the command, until it has.
Queue    nothing new is given to the kernel before the last frame was seen on the bus; after a second it counts as lost.
         Then questions only, until any frame is seen: no set-points pile up behind a dead bus.
Errors   values and counters.
"""

from libc.math cimport fabs
from libc.stdint cimport int64_t, uint64_t

from cython_core.codes cimport D_P_SET, MODE_STOP
from cython_core.realtime.mailbox cimport mailbox_get, mailbox_put, v2g_load_acquire, v2g_store, v2g_store_release
from cython_core.structs cimport device_state_t
from drivers.can.frame cimport (
    FROM_A, FROM_ABS_A, FROM_ABS_P, FROM_P, FROM_Q, WRONG_LENGTH, can_tables_t, decode_record, encode_send, find_frame,
    raw_of, send_t, sends_t, value_now,
)
from drivers.can.wire cimport (
    GONE, NAP_NS, NOTHING, TAKEN, can_open, can_receive, can_send, can_wait, heard_t,
)
from drivers.modbus.codes cimport Due
from drivers.modbus.posix cimport now_ns
from drivers.modbus.setpoint cimport (
    setpoint_acknowledged, setpoint_due, setpoint_forget, setpoint_read, setpoint_tried,
)
from drivers.modbus.waits cimport count_up

cdef int64_t LOOK_NS = 1000000          # how often it looks for a new command
cdef int64_t MARGIN_NS = 100000         # a round is answered this long before its grid point
cdef int64_t LOST_NS = 1000000000       # a frame of ours that has not been seen on the bus for so long
cdef int64_t HAND_BACK_NS = 1500000000  # from the stop frames to a whole new state
cdef int MOST_FRAMES = 64               # in one turn


# --- taking ----------------------------------------------------------------------------------------------------------

cdef int64_t oldest_carrier(const can_device_t* d) noexcept nogil:
    """Its time; 0 until every carrier has been seen."""
    cdef int64_t t_ns = 0
    cdef int i
    for i in range(d.tables.n_frames):
        if not d.tables.frames[i].carrier:
            continue
        if not d.answers[i].have:
            return 0
        if t_ns == 0 or d.answers[i].t_ns < t_ns:
            t_ns = d.answers[i].t_ns
    return t_ns


cdef void publish(can_bus_t* b, int from_frame) noexcept nogil:
    """The state as it is known now. A read-back that shows what we wrote is the device's own acknowledgement."""
    cdef can_device_t* d = &b.device
    cdef device_state_t state
    decode_record(&d.tables, d.answers, <int64_t*> &state)
    if (from_frame == d.readback and state.valid & D_P_SET and d.setpoint.known
            and fabs(state.p_set_readback_w - d.setpoint.p_w) <= d.setpoint.quantum_p_w):
        d.t_echo_ns = d.answers[from_frame].t_ns
    state.t_ns = oldest_carrier(d)
    state.t_echo_ns = d.t_echo_ns
    mailbox_put(d.out, &state, sizeof(state))


cdef int counts_on(can_bus_t* b, int i, uint64_t data) noexcept nogil:
    """Whether its counter says that this frame is newer than the last one."""
    cdef can_device_t* d = &b.device
    cdef slot_t* slot = &d.slots[i]
    cdef int64_t modulus = <int64_t> 1 << d.tables.frames[i].counter.length
    cdef int64_t number = <int64_t> raw_of(data, &d.tables.frames[i].counter)
    cdef int64_t ahead = (number - slot.counter) & (modulus - 1)
    if slot.counter >= 0 and ahead == 0:
        count_up(&b.wire.count.duplicates)
        return 0
    if slot.counter >= 0 and ahead > modulus // 2:
        slot.strays += 1
        if slot.strays < STRAYS:
            count_up(&b.wire.count.reordered)
            return 0
    slot.strays = 0
    slot.counter = number
    return 1


cdef int is_foreign(const can_tables_t* t, const heard_t* heard) noexcept nogil:
    """The kernel lets through what we take and what we send: this is not one that we take."""
    cdef int i
    for i in range(t.n_frames):
        if t.frames[i].id == heard.id:
            return 0
    return 1


cdef void take_ack(can_bus_t* b, const heard_t* heard) noexcept nogil:
    if b.device.t_fed_ns == 0:
        count_up(&b.wire.count.unasked)
        return
    b.device.t_echo_ns = heard.t_ns
    if oldest_carrier(&b.device):
        publish(b, -1)


cdef void learn_lead(can_device_t* d, int64_t t_ns) noexcept nogil:
    """How long rounds take, when the last answer of one has come. Quickly up, slowly down, as on other wires."""
    cdef int64_t took_ns = t_ns - d.t_round_ns + MARGIN_NS
    cdef int i
    for i in range(d.tables.n_frames):
        if d.tables.frames[i].every == 1 and d.slots[i].t_ask_ns:
            return
    if d.next_ask == d.tables.n_frames and took_ns < d.period_ns // 2:
        d.lead_ns += (took_ns - d.lead_ns) // (4 if took_ns > d.lead_ns else 64)


cdef void take_frame(can_bus_t* b, const heard_t* heard) noexcept nogil:
    cdef can_device_t* d = &b.device
    cdef int i = find_frame(&d.tables, heard.id, heard.length, heard.data)
    if i == WRONG_LENGTH:
        count_up(&b.wire.count.bad_frames)
        return
    if i < 0:
        if is_foreign(&d.tables, heard):
            count_up(&b.wire.count.foreign)
        return
    if d.tables.frames[i].ack:
        take_ack(b, heard)
        return
    if d.tables.frames[i].every and d.slots[i].t_ask_ns == 0:
        count_up(&b.wire.count.unasked)
        return
    if d.tables.frames[i].has_counter and not counts_on(b, i, heard.data):
        return
    if d.slots[i].stale:                            # it may have been away, and restarted
        d.slots[i].stale = 0
        if d.tables.frames[i].carrier:
            d.started = 0
            setpoint_forget(&d.setpoint)
    if d.tables.frames[i].carrier and d.answers[i].data != heard.data:
        count_up(&b.wire.count.changes)
    d.answers[i].have, d.answers[i].t_ns, d.answers[i].data = 1, heard.t_ns, heard.data
    d.slots[i].t_ask_ns = 0
    count_up(&b.wire.count.answers)
    v2g_store(&b.wire.count.t_success_ns, heard.t_ns)
    if d.tables.frames[i].every == 1:
        learn_lead(d, heard.t_ns)
    if d.tables.frames[i].carrier:
        setpoint_read(&d.setpoint)
    publish(b, i)


cdef void take_all(can_bus_t* b) noexcept nogil:
    cdef heard_t heard
    cdef int _k, what
    for _k in range(MOST_FRAMES):
        what = can_receive(&b.wire, &heard)
        if what == TAKEN:
            take_frame(b, &heard)
        elif what == NOTHING or what == GONE:
            return


cdef void look_for_stale(can_bus_t* b, int64_t now) noexcept nogil:
    cdef can_device_t* d = &b.device
    cdef int i
    for i in range(d.tables.n_frames):
        if not d.answers[i].have or d.slots[i].stale or now - d.answers[i].t_ns <= d.tables.frames[i].timeout_ns:
            continue
        count_up(&b.wire.count.timeouts)
        d.slots[i].stale = 1
        d.slots[i].counter = -1
        d.slots[i].t_ask_ns = 0
        if not d.tables.frames[i].carrier:
            d.answers[i].have = 0
            publish(b, -1)


# --- sending ---------------------------------------------------------------------------------------------------------

cdef void notice_connection(can_bus_t* b) noexcept nogil:
    """After a connection is opened, or bus-off is over, nobody knows what is in force in the device."""
    cdef can_device_t* d = &b.device
    if d.connects == b.wire.connects:
        return
    d.connects = b.wire.connects
    d.started = d.job = d.awaiting = 0
    d.next_ask = d.tables.n_frames
    setpoint_forget(&d.setpoint)


cdef void judged_once(can_device_t* d, int64_t* counter) noexcept nogil:
    """A command that is not written counts once, not once a look."""
    if d.judged != d.seen:
        d.judged = d.seen
        count_up(counter)


cdef inline bint in_force(int due) noexcept nogil:
    return due == Due.WAIT or due == Due.WRITE or due == Due.URGENT


cdef void fill_sources(const can_device_t* d, const command_t* c, sources_t* to) noexcept nogil:
    """A current is refused (not finite) while the voltage it needs is unknown or too low."""
    cdef const can_tables_t* t = &d.tables
    cdef double v_dc = value_now(t, d.answers, t.v_dc) if t.v_dc >= 0 else 0.0
    cdef bint known = t.v_dc >= 0 and v_dc >= t.v_dc_low and not d.slots[t.values[t.v_dc].frame].stale
    to.numbers[FROM_P] = c.p_w
    to.numbers[FROM_Q] = c.q_var
    to.numbers[FROM_ABS_P] = fabs(c.p_w)
    to.numbers[FROM_A] = c.p_w / (v_dc if known else 0.0)
    if c.p_w == 0.0:                                # no voltage is needed to ask for nothing
        to.numbers[FROM_A] = 0.0
    to.numbers[FROM_ABS_A] = fabs(to.numbers[FROM_A])
    if c.p_w != 0.0:
        to.direction = c.p_w > 0.0
    to.run = not (c.mode == MODE_STOP and c.p_w == 0.0)


cdef int encodable(const sends_t* sends, const sources_t* sources) noexcept nogil:
    cdef uint64_t data
    cdef int i
    for i in range(sends.n):
        if not encode_send(&sends.items[i], sources, &data):
            return 0
    return 1


cdef int fits(const can_device_t* d, const command_t* c) noexcept nogil:
    """Whether every frame of a set-point can hold it now."""
    cdef sources_t sources = d.sources
    fill_sources(d, c, &sources)
    return encodable(&d.tables.start, &sources) and encodable(&d.tables.setpoint, &sources)


cdef int judge(can_bus_t* b, int64_t now) noexcept nogil:
    """What the rules say to the newest command now; SILENT when there is none, REFUSED as well when it does not fit."""
    cdef can_device_t* d = &b.device
    cdef int due
    if d.command == NULL or v2g_load_acquire(&d.hand_back) != NOT_ASKED:
        return Due.SILENT
    mailbox_get(d.command, &d.newest, sizeof(d.newest), &d.seen)
    if d.seen == 0:
        return Due.SILENT
    due = setpoint_due(&d.setpoint, &d.newest, now)
    if in_force(due) and not fits(d, &d.newest):
        due = Due.REFUSED
    if due == Due.EXPIRED:
        judged_once(d, &b.wire.count.expired)
    elif due == Due.REFUSED:
        judged_once(d, &b.wire.count.refused)
    return due


cdef void begin_write(can_device_t* d, int due, int64_t now) noexcept nogil:
    if d.silence_ns and now - d.t_fed_ns > d.silence_ns:        # its own timer has run out meanwhile
        d.started = 0
    setpoint_tried(&d.setpoint, due, now)
    d.job = WRITING
    d.step = d.tables.start.n if d.started else 0


cdef void begin_stop(can_device_t* d) noexcept nogil:
    cdef command_t nothing
    nothing.p_w = nothing.q_var = 0.0
    nothing.mode = MODE_STOP
    fill_sources(d, &nothing, &d.sources)
    d.job, d.step, d.awaiting = STOPPING, 0, 0
    d.started = 0
    setpoint_forget(&d.setpoint)


cdef int send_frame(can_bus_t* b, const send_t* send, int64_t now) noexcept nogil:
    """1 when it was given to the kernel."""
    cdef uint64_t data
    if not encode_send(send, &b.device.sources, &data) or not can_send(&b.wire, send.id, send.length, data):
        return 0
    b.device.t_free_ns = now + b.device.gap_ns
    return 1


cdef const send_t* of_job(can_device_t* d) noexcept nogil:
    """The next frame of the job; NULL: there is none left."""
    cdef can_tables_t* t = &d.tables
    if d.job == STOPPING:
        return &t.stop.items[d.step] if d.step < t.stop.n else NULL
    if d.step < t.start.n:
        return &t.start.items[d.step]
    return &t.setpoint.items[d.step - t.start.n] if d.step < t.start.n + t.setpoint.n else NULL


cdef void go_on_with_job(can_bus_t* b, int64_t now) noexcept nogil:
    """Its next frame, or all of them when the device needs no rest between two."""
    cdef can_device_t* d = &b.device
    # no frame of the set-point is out yet: the newest command wins, however long the start or the queue took
    if d.job == WRITING and (d.step == 0 or d.step == d.tables.start.n):
        d.writing = d.newest
        fill_sources(d, &d.writing, &d.sources)
    while of_job(d) != NULL:
        if now < d.t_free_ns or not send_frame(b, of_job(d), now):
            return
        d.step += 1
        d.t_fed_ns = now
    d.awaiting = d.job
    d.job = NO_JOB


cdef void confirm(can_bus_t* b, int64_t now) noexcept nogil:
    """All that was given to the kernel has been on the bus, or is lost."""
    cdef can_device_t* d = &b.device
    if b.wire.unconfirmed:
        if now - b.wire.t_sent_ns <= LOST_NS:
            return
        b.wire.unconfirmed = 0
        b.wire.lost = 1
        if d.awaiting or d.job:
            count_up(&b.wire.count.write_errors)
            if d.awaiting == STOPPING or d.job == STOPPING:
                v2g_store_release(&d.hand_back, FAILED)
        d.awaiting = d.job = d.started = 0
        setpoint_forget(&d.setpoint)
        return
    if d.awaiting == WRITING:
        d.started = 1
        count_up(&b.wire.count.writes)
        setpoint_acknowledged(&d.setpoint, &d.writing, max(b.wire.t_own_ns, 1))
    elif d.awaiting == STOPPING:
        d.t_stop_ns = now
        d.t_fed_ns = 0
    d.awaiting = NO_JOB


cdef void watch_hand_back(can_bus_t* b, int64_t now) noexcept nogil:
    """Asked: the stop frames, then a state that is whole and newer than they are."""
    cdef can_device_t* d = &b.device
    if v2g_load_acquire(&d.hand_back) != ASKED:
        return
    if b.wire.fd < 0 or b.wire.off:
        d.t_stop_ns = d.job = d.awaiting = 0
        v2g_store_release(&d.hand_back, FAILED)
    elif d.t_stop_ns == 0:
        if d.job != STOPPING and d.awaiting != STOPPING:
            begin_stop(d)
    elif oldest_carrier(d) > d.t_stop_ns:
        d.t_stop_ns = 0
        v2g_store_release(&d.hand_back, HANDED_BACK)
    elif now - d.t_stop_ns > HAND_BACK_NS:
        d.t_stop_ns = 0
        v2g_store_release(&d.hand_back, FAILED)


cdef int may_ask(can_device_t* d, int due, int64_t now) noexcept nogil:
    """Questions must not keep a device going whose command has lapsed."""
    if not d.fed_by_any or d.t_fed_ns == 0 or in_force(due):
        return 1
    if due == Due.REFUSED and d.setpoint.known and now - d.setpoint.t_ack_ns <= d.setpoint.refresh_ns:
        return 1                                    # what it holds need not be fed yet; a voltage may be known again
    if now - d.t_fed_ns <= d.silence_ns:
        return 0
    d.t_fed_ns = 0                                  # its own timer has acted
    return 1


cdef void end_round(can_device_t* d, int64_t now) noexcept nogil:
    """When the next one begins. Missed points are skipped, never caught up."""
    cdef int64_t point_ns = d.t_due_ns + d.lead_ns
    d.next_ask = d.tables.n_frames
    d.rounds += 1
    d.t_due_ns = max((now + d.lead_ns) // d.period_ns, point_ns // d.period_ns) * d.period_ns
    d.t_due_ns += d.period_ns - d.lead_ns


cdef int next_question(const can_device_t* d) noexcept nogil:
    """The next frame of this round that must be asked for, from next_ask on; n_frames: none."""
    cdef int i = d.next_ask
    while i < d.tables.n_frames and (d.tables.frames[i].every == 0 or d.rounds % d.tables.frames[i].every != 0):
        i += 1
    return i


cdef void ask_next(can_bus_t* b, int due, int64_t now) noexcept nogil:
    """One question of the round under way; its end when there is none left."""
    cdef can_device_t* d = &b.device
    cdef int none = d.tables.n_frames
    cdef int i
    if d.next_ask == none:
        if now < d.t_due_ns:
            return
        d.next_ask = 0
        d.t_round_ns = now
        setpoint_read(&d.setpoint)
    i = next_question(d)
    if i < none and may_ask(d, due, now):
        if not send_frame(b, &d.tables.asks[d.tables.frames[i].ask], now):
            return
        d.slots[i].t_ask_ns = now
        d.t_fed_ns = now if d.fed_by_any and d.t_fed_ns else d.t_fed_ns
        d.next_ask = i + 1
        i = next_question(d)
    else:
        i = none
    if i == none:
        end_round(d, now)


cdef void beat(can_bus_t* b, int64_t now) noexcept nogil:
    cdef can_device_t* d = &b.device
    if not send_frame(b, &d.tables.heartbeat.items[0], now):
        return
    d.sources.counter += 1
    d.t_beat_ns = d.t_fed_ns = now
    count_up(&b.wire.count.heartbeats)


cdef void send_next(can_bus_t* b, int64_t now) noexcept nogil:
    """At most one frame: of the job under way, a new set-point, the heartbeat, a question."""
    cdef can_device_t* d = &b.device
    cdef int due = judge(b, now)
    confirm(b, now)
    watch_hand_back(b, now)
    if d.job == WRITING and not in_force(due):
        d.job = NO_JOB
        setpoint_forget(&d.setpoint)
    if b.wire.off or now < d.t_free_ns:
        return
    if due == Due.URGENT or (due == Due.WRITE and d.job == NO_JOB and d.awaiting == NO_JOB):
        if (b.wire.unconfirmed == 0 or d.job == WRITING) and not b.wire.lost:
            begin_write(d, due, now)
    if d.job != NO_JOB:
        go_on_with_job(b, now)
    elif b.wire.unconfirmed:
        return
    elif d.tables.heartbeat.n and d.started and in_force(due) and now - d.t_beat_ns >= d.heartbeat_ns:
        beat(b, now)
    else:
        ask_next(b, due, now)


# --- waiting ---------------------------------------------------------------------------------------------------------

cdef int64_t next_time(const can_bus_t* b, int64_t now) noexcept nogil:
    """When there may be something to do, if nothing comes."""
    cdef const can_device_t* d = &b.device
    if b.wire.fd < 0:
        return now + NAP_NS
    if d.command != NULL or b.wire.unconfirmed or d.job != NO_JOB:
        return now + LOOK_NS
    return max(d.t_free_ns, d.t_due_ns if d.next_ask == d.tables.n_frames else now + LOOK_NS)


cdef void can_turn(can_bus_t* b) noexcept nogil:
    cdef int64_t now
    if can_open(&b.wire):
        take_all(b)
    now = now_ns()
    if b.wire.fd >= 0:
        notice_connection(b)
    look_for_stale(b, now)
    if b.wire.fd >= 0:
        send_next(b, now)
    else:
        watch_hand_back(b, now)
    can_wait(&b.wire, next_time(b, now))
