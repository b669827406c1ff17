"""Flat C tables: CAN frames -> record; command -> CAN frames. Pure; no sockets, no time. compiled.pyx makes them.

Bytes    a frame's eight bytes are one number, byte 0 lowest; a Motorola field is read from the same bytes turned round.
Output   a record as 64-bit words in the order of its fields. Absent, not finite, out of range: NaN and a cleared valid
         bit. The record is built from nothing each time, so no bit outlives its frame.
Errors   values. Encoding never wraps: a misfit is refused.
"""

from libc.math cimport NAN, isfinite, ldexp, nearbyint
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset


cdef uint64_t data_of(const uint8_t* bytes, int length) noexcept nogil:
    cdef uint64_t data = 0
    cdef int i
    for i in range(min(length, 8)):
        data |= <uint64_t> bytes[i] << (8 * i)
    return data


cdef void bytes_of(uint64_t data, uint8_t* bytes) noexcept nogil:
    cdef int i
    for i in range(8):
        bytes[i] = <uint8_t> (data >> (8 * i))


cdef inline uint64_t turned(uint64_t data) noexcept nogil:
    """Byte 0 becomes the highest."""
    cdef uint64_t found = 0
    cdef int i
    for i in range(8):
        found = (found << 8) | ((data >> (8 * i)) & 0xFF)
    return found


cdef inline uint64_t ones(int length) noexcept nogil:
    return <uint64_t> 0xFFFFFFFFFFFFFFFF >> (64 - length)


cdef uint64_t raw_of(uint64_t data, const bits_t* bits) noexcept nogil:
    return ((turned(data) if bits.motorola else data) >> bits.shift) & ones(bits.length)


cdef inline uint64_t with_raw(uint64_t data, const bits_t* bits, uint64_t raw) noexcept nogil:
    cdef uint64_t mask = ones(bits.length) << bits.shift
    data = turned(data) if bits.motorola else data
    data = (data & ~mask) | ((raw << bits.shift) & mask)
    return turned(data) if bits.motorola else data


cdef inline double f32_of(uint32_t raw) noexcept nogil:
    cdef float value
    memcpy(&value, &raw, 4)
    return value


cdef inline double f64_of(uint64_t raw) noexcept nogil:
    cdef double value
    memcpy(&value, &raw, 8)
    return value


cdef double number_of(uint64_t raw, const bits_t* bits) noexcept nogil:
    if bits.kind == FLOAT:
        return f32_of(<uint32_t> raw) if bits.length == 32 else f64_of(raw)
    if bits.kind == SIGNED and raw >> (bits.length - 1):
        return <double> (<int64_t> (raw | ~ones(bits.length)))
    return <double> raw


cdef int find_frame(const can_tables_t* t, uint32_t id, int length, uint64_t data) noexcept nogil:
    cdef int i
    for i in range(t.n_frames):
        if t.frames[i].id != id:
            continue
        if t.frames[i].length != length:
            return WRONG_LENGTH
        if (data & t.frames[i].mask) == t.frames[i].equals:
            return i
    return UNKNOWN


cdef double value_now(const can_tables_t* t, const answer_t* answers, int value) noexcept nogil:
    """NaN: its frame is not here."""
    cdef const value_t* v = &t.values[value]
    if not answers[v.frame].have:
        return NAN
    return number_of(raw_of(answers[v.frame].data, &v.bits), &v.bits) * v.factor + v.offset


cdef void decode_record(const can_tables_t* t, const answer_t* answers, int64_t* record) noexcept nogil:
    cdef const field_t* f
    cdef const flag_t* g
    cdef double value
    cdef int i
    memcpy(record, t.blank, t.n_words * 8)
    for i in range(t.n_fields):
        f = &t.fields[i]
        value = value_now(t, answers, f.first) * f.scale
        if f.second >= 0:
            value *= value_now(t, answers, f.second)
        if isfinite(value) and f.low <= value <= f.high:
            memcpy(&record[f.target], &value, 8)
            record[t.valid] |= f.valid
    for i in range(t.n_flags):
        g = &t.flags[i]
        if answers[g.frame].have and raw_of(answers[g.frame].data, &g.where) == g.equals:
            record[g.target] = g.bits if g.set else record[g.target] | g.bits


cdef int raw_for(const bits_t* bits, double value, uint64_t* raw) noexcept nogil:
    """1 and the raw number, when the value fits."""
    cdef float narrow = <float> value
    cdef double whole = nearbyint(value)        # half to even: the default rounding of C
    cdef uint32_t low
    if not isfinite(value):
        return 0
    if bits.kind == FLOAT:
        if bits.length == 64:
            memcpy(raw, &value, 8)
            return 1
        memcpy(&low, &narrow, 4)
        raw[0] = low
        return isfinite(narrow)
    if bits.kind == SIGNED:
        if not -ldexp(1.0, bits.length - 1) <= whole < ldexp(1.0, bits.length - 1):
            return 0
        raw[0] = <uint64_t> (<int64_t> whole)
        return 1
    if not 0.0 <= whole < ldexp(1.0, bits.length):
        return 0
    raw[0] = <uint64_t> whole
    return 1


cdef int encode_send(const send_t* send, const sources_t* sources, uint64_t* data) noexcept nogil:
    cdef const put_t* p
    cdef uint64_t raw
    cdef int i
    data[0] = send.data
    for i in range(send.n_puts):
        p = &send.puts[i]
        if p.source == FROM_COUNTER:
            raw = sources.counter
        elif p.source == FROM_DIRECTION:
            raw = p.high if sources.direction else p.low
        elif p.source == FROM_RUN:
            raw = p.high if sources.run else p.low
        elif not raw_for(&p.bits, sources.numbers[p.source] * p.scale + p.offset, &raw):
            return 0
        data[0] = with_raw(data[0], &p.bits, raw)
    return 1


cdef class Frames:
    """One plan's tables for tests and tools: frames -> record, and command -> frames."""
    cdef can_tables_t t

    def __init__(self, plan):
        from drivers.can.compiled import tables
        cdef bytes raw = tables(plan)
        memcpy(&self.t, <const char*> raw, sizeof(can_tables_t))

    def find(self, int id, bint extended, bytes data):
        """The place of this frame among the plan's; -1: not one of them, -2: it has another length."""
        cdef uint32_t flagged = id | (0x80000000 if extended else 0)
        return find_frame(&self.t, flagged, len(data), data_of(<const uint8_t*> <const char*> data, len(data)))

    def decode(self, frames):
        """The DeviceState that these frames make: (place, bytes) each; its times are 0."""
        from cython_core.records import DeviceState, kinds
        cdef answer_t[32] newest
        cdef int64_t[16] words
        memset(newest, 0, sizeof(newest))
        for place, data in frames:
            newest[<int> place].data = data_of(<const uint8_t*> <const char*> data, len(data))
            newest[<int> place].have = 1
        decode_record(&self.t, newest, words)
        of = kinds(DeviceState)
        return DeviceState(*((<double*> words)[<int> i] if k == "d" else words[<int> i] for i, k in enumerate(of)))

    def encode(self, str which, double p_w, double q_var=0.0, double v_dc=NAN, direction=0, run=1, counter=0):
        """The (identifier, bytes) of `start`, `setpoint`, `stop` or `heartbeat`; None: a number does not fit."""
        cdef sources_t s
        cdef sends_t* sends = &self.t.heartbeat
        cdef uint64_t data
        cdef uint8_t[8] raw
        if which != "heartbeat":
            sends = &self.t.start if which == "start" else (&self.t.setpoint if which == "setpoint" else &self.t.stop)
        s.numbers[FROM_P], s.numbers[FROM_Q], s.numbers[FROM_ABS_P] = p_w, q_var, abs(p_w)
        s.numbers[FROM_A], s.numbers[FROM_ABS_A] = p_w / v_dc, abs(p_w) / v_dc
        s.direction, s.run, s.counter = direction, run, counter
        found = []
        for i in range(sends.n):
            if not encode_send(&sends.items[<int> i], &s, &data):
                return None
            bytes_of(data, raw)
            send = sends.items[<int> i]
            found.append((send.id & 0x1FFFFFFF, (<const char*> raw)[:send.length]))
        return found
