"""Flat C tables: answers -> record; command -> words. Pure; no sockets, no time. compiled.pyx makes them of a Plan.

Output   a record as 64-bit words in the order of its fields. Absent, not finite, out of range: NaN (0 for an integer)
         and a cleared valid bit. The record is built from nothing each time, so no bit outlives its answer.
Errors   values. Encoding never wraps: a misfit is refused.
"""

from libc.math cimport isfinite, ldexp, nearbyint
from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from cython_core.realtime.mailbox cimport v2g_store


cdef inline int words_of(int type) noexcept nogil:
    return 1 if (type & ~LOW_FIRST) <= S16 else (2 if (type & ~LOW_FIRST) <= F32 else 4)


cdef inline int place(int i, int n, int type) noexcept nogil:
    """Where the i-th word of n stands, the high word being the first."""
    return n - 1 - i if type & LOW_FIRST else i


cdef uint64_t raw_at(const uint8_t* data, int word, int type) noexcept nogil:
    cdef int n = words_of(type)
    cdef uint64_t raw = 0
    cdef int i, at
    for i in range(n):
        at = 2 * (word + place(i, n, type))
        raw = (raw << 16) | (<uint64_t> data[at] << 8) | data[at + 1]
    return raw


cdef inline double f32_of(uint32_t bits) noexcept nogil:
    cdef float value
    memcpy(&value, &bits, 4)
    return value


cdef inline double value_of(uint64_t raw, int type) noexcept nogil:
    if type == S16:
        return <int16_t> raw
    if type == S32:
        return <int32_t> raw
    if type == S64:
        return <double> (<int64_t> raw)
    if type == F32:
        return f32_of(<uint32_t> raw)
    return <double> raw


cdef void decode_one(const decode_t* d, const uint8_t* data, int64_t* record, int valid) noexcept nogil:
    cdef uint64_t raw = raw_at(data, d.word, d.type)
    cdef double value
    cdef int i
    for i in range(d.n_absent):
        if raw == d.absent[i]:
            return
    value = value_of(raw, d.type & ~LOW_FIRST) * d.scale
    if not (isfinite(value) and d.low <= value <= d.high):
        return
    if d.to_int:
        record[d.target] = <int64_t> nearbyint(value)
    else:
        memcpy(&record[d.target], &value, 8)
    record[valid] |= d.valid


cdef void decode_record(const tables_t* t, const answer_t* answers, int64_t* record) noexcept nogil:
    cdef const flag_t* f
    cdef int i
    memcpy(record, t.blank, t.n_words * 8)
    for i in range(t.n_decodes):
        if answers[t.decodes[i].read].have:
            decode_one(&t.decodes[i], answers[t.decodes[i].read].data, record, t.valid)
    for i in range(t.n_flags):
        f = &t.flags[i]
        if not answers[f.read].have or (raw_at(answers[f.read].data, f.word, f.type) & f.mask) != f.equals:
            continue
        record[f.target] = f.bits if f.set else record[f.target] | f.bits
        record[t.valid] |= f.valid


cdef int decode_energies(const tables_t* t, int read, const uint8_t* data, int64_t* words) noexcept nogil:
    cdef int64_t[5] found               # and their valid bits
    cdef int n = 0
    cdef int i
    found[MAX_ENERGIES] = 0
    for i in range(t.n_energies):
        if t.energies[i].read == read:
            decode_one(&t.energies[i], data, found, MAX_ENERGIES)
    for i in range(MAX_ENERGIES):
        if (found[MAX_ENERGIES] >> i) & 1:
            v2g_store(&words[i], found[i])
            n += 1
    return n


cdef int encode_one(int type, double value, uint16_t* words) noexcept nogil:
    cdef int kind = type & ~LOW_FIRST
    cdef int n = words_of(type)
    cdef uint64_t raw = 0
    cdef uint32_t bits
    cdef float narrow = <float> value
    cdef double whole = nearbyint(value)        # half to even: the default rounding of C
    cdef int i
    if not isfinite(value):
        return 0
    if kind == F32:
        if not isfinite(narrow):
            return 0
        memcpy(&bits, &narrow, 4)
        raw = bits
    elif kind == S16 or kind == S32 or kind == S64:
        if not -ldexp(1.0, 16 * n - 1) <= whole < ldexp(1.0, 16 * n - 1):
            return 0
        raw = <uint64_t> (<int64_t> whole)
    else:
        if not 0.0 <= whole < ldexp(1.0, 16 * n):
            return 0
        raw = <uint64_t> whole
    for i in range(n):
        words[place(i, n, type)] = <uint16_t> (raw >> (16 * (n - 1 - i)))
    return 1


cdef int encode_write(const write_t* write, double p_w, double q_var, uint16_t* words) noexcept nogil:
    cdef const encode_t* e
    cdef double value
    cdef int i
    memcpy(words, write.words, write.count * 2)
    for i in range(write.n_encodes):
        e = &write.encodes[i]
        value = q_var if e.source == FROM_Q else p_w
        if not (e.low <= value <= e.high and encode_one(e.type, value * e.scale, words + e.word)):
            return 0
    return 1


cdef class Tables:
    """One plan's tables for tests and tools: answers (the data bytes of each read, or None) -> record, and back."""
    cdef tables_t t
    cdef object plan
    cdef object record

    def __init__(self, plan, record):
        from drivers.modbus.compiled import tables
        cdef bytes raw = tables(plan, record)
        memcpy(&self.t, <const char*> raw, sizeof(tables_t))
        self.plan = plan
        self.record = record

    def decode(self, answers):
        """The record these answers make; its times are 0."""
        from cython_core.records import kinds
        cdef answer_t[16] newest
        cdef int64_t[16] words
        memset(newest, 0, sizeof(newest))
        for i, (read, data) in enumerate(zip(self.plan.reads, answers, strict=True)):
            if data is not None:
                if len(data) != 2 * read.count:
                    raise ValueError(f"plan: answer {i}: {len(data)} bytes instead of {2 * read.count}")
                memcpy(newest[<int> i].data, <const char*> data, len(data))
                newest[<int> i].have = 1
        decode_record(&self.t, newest, words)
        values = [(<double*> words)[<int> i] if k == "d" else words[<int> i] for i, k in enumerate(kinds(self.record))]
        return self.record(*values)

    def energies(self, answers):
        """{name: Wh} of the counters in these answers."""
        from drivers.tables import ENERGIES
        cdef int64_t[4] words
        cdef double nan = float("nan")
        for i in range(MAX_ENERGIES):
            memcpy(&words[<int> i], &nan, 8)
        for i, data in enumerate(answers):
            if data is not None:
                decode_energies(&self.t, i, <const uint8_t*> <const char*> <bytes> data, words)
        return {name: (<double*> words)[<int> i] for i, name in enumerate(ENERGIES) if (<double*> words)[<int> i] >= 0}

    def encode(self, double p_w, double q_var):
        """The words of each set-point write, or None when a value does not fit."""
        cdef uint16_t[123] words
        result = []
        for i in range(self.t.setpoint.n):
            if not encode_write(&self.t.setpoint.items[<int> i], p_w, q_var, words):
                return None
            result.append([words[<int> k] for k in range(self.t.setpoint.items[<int> i].count)])
        return result
