"""Plan -> flat C tables; answers -> record; command -> words. Pure; no sockets, no time.

Input    registermap.Plan, and the record type it fills: Measurement or DeviceState.
Output   a record as 64-bit words in the order of its fields. Absent, not finite, out of range: NaN (0 for an integer)
         and a cleared valid bit. The record is built from nothing each time, so no bit outlives its answer.
Errors   fill_tables raises ValueError naming the entry and the limit. Encoding never wraps: a misfit is refused.
"""

import math
from dataclasses import fields

from libc.math cimport isfinite, ldexp, nearbyint
from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from cython_core.records import kinds
from drivers.registermap import TYPES

TYPE_CODES = {"u16": U16, "s16": S16, "u32": U32, "s32": S32, "f32": F32, "u64": U64, "s64": S64}
SOURCES = {"p_w": FROM_P, "q_var": FROM_Q}


cdef inline int words_of(int type) noexcept nogil:
    return 1 if type <= S16 else (2 if type <= F32 else 4)


cdef inline uint64_t raw_at(const uint8_t* data, int word, int type) noexcept nogil:
    cdef uint64_t raw = 0
    cdef int i
    for i in range(2 * words_of(type)):
        raw = (raw << 8) | data[2 * word + i]
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
    if d.has_absent and raw == d.absent:
        return
    value = value_of(raw, d.type) * d.scale
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


cdef int encode_one(int type, double value, uint16_t* words) noexcept nogil:
    cdef int n = words_of(type)
    cdef uint64_t raw = 0
    cdef uint32_t bits
    cdef float narrow = <float> value
    cdef double whole = nearbyint(value)        # half to even: the default rounding of C
    cdef int i
    if not isfinite(value):
        return 0
    if type == F32:
        if not isfinite(narrow):
            return 0
        memcpy(&bits, &narrow, 4)
        raw = bits
    elif type == S16 or type == S32 or type == S64:
        if not -ldexp(1.0, 16 * n - 1) <= whole < ldexp(1.0, 16 * n - 1):
            return 0
        raw = <uint64_t> (<int64_t> whole)
    else:
        if not 0.0 <= whole < ldexp(1.0, 16 * n):
            return 0
        raw = <uint64_t> whole
    for i in range(n):
        words[i] = <uint16_t> (raw >> (16 * (n - 1 - i)))
    return 1


cdef int encode_write(const write_t* write, double p_w, double q_var, uint16_t* words) noexcept nogil:
    cdef const encode_t* e
    cdef int i
    memcpy(words, write.words, write.count * 2)
    for i in range(write.n_encodes):
        e = &write.encodes[i]
        if not encode_one(e.type, (q_var if e.source == FROM_Q else p_w) * e.scale, words + e.word):
            return 0
    return 1


# --- from Plan, once, at the door ------------------------------------------------------------------------------------

def check(bint ok, str text):
    """One line to check a table entry: what is wrong, and what is allowed."""
    if not ok:
        raise ValueError(f"plan: {text}")


def check_count(what, items, int most):
    """No table may be longer than its C array."""
    check(len(items) <= most, f"{len(items)} {what} are more than the {most} a bus holds")


def check_place(what, plan, entry):
    """A quantity lies inside the answer it is read from."""
    check(entry.type in TYPES, f"{what}: type {entry.type!r} is none of {', '.join(TYPES)}")
    check(0 <= entry.read < len(plan.reads), f"{what}: read {entry.read} is outside 0 ... {len(plan.reads) - 1}")
    count = plan.reads[entry.read].count
    check(0 <= entry.word <= count - TYPES[entry.type],
          f"{what}: {entry.type} at word {entry.word} leaves the {count} words of read {entry.read}")


def check_target(what, record, entry, str kind):
    """The word is one of the record's quantities, not a time or the valid bits, and of the right kind."""
    names = [f.name for f in fields(record)]
    allowed = [i for i, n in enumerate(names) if kinds(record)[i] == kind and n != "valid" and not n.startswith("t_")]
    text = ", ".join(f"{i} {names[i]}" for i in allowed) or "none"
    check(entry.target in allowed, f"{what}: word {entry.target} of {record.__name__} is none of {text}")


def unsigned(what, value, str type):
    """A raw pattern as the unsigned number of its type; a negative one is meant as two's complement."""
    bits = 16 * TYPES[type]
    check(-(1 << (bits - 1)) <= value < (1 << bits), f"{what}: {value:#x} does not fit {type}")
    return value & ((1 << bits) - 1)


cdef void fill_writes(writes_t* to, what, writes) except *:
    cdef int i, k
    check_count(f"{what} writes", writes, MAX_WRITES)
    to.n = len(writes)
    for i, w in enumerate(writes):
        name = f"{what} write {i}"
        check(w.function in (6, 16, 23), f"{name}: function {w.function} is none of 6, 16, 23")
        most = {6: 1, 16: 123, 23: 121}[w.function]
        check(1 <= len(w.words) <= most, f"{name}: {len(w.words)} words are outside 1 ... {most}")
        check(0 <= w.address <= 65536 - len(w.words), f"{name}: address {w.address} is outside 0 ... 65535")
        check_count(f"encodes of {name}", w.encodes, MAX_ENCODES)
        to.items[i].function, to.items[i].address = w.function, w.address
        to.items[i].count, to.items[i].n_encodes = len(w.words), len(w.encodes)
        for k, word in enumerate(w.words):
            check(0 <= word <= 0xFFFF, f"{name}: word {word} is outside 0 ... 65535")
            to.items[i].words[k] = word
        for k, e in enumerate(w.encodes):
            check(e.type in TYPES, f"{name}: type {e.type!r} is none of {', '.join(TYPES)}")
            check(e.source in SOURCES, f"{name}: source {e.source!r} is none of {', '.join(SOURCES)}")
            check(0 <= e.word <= len(w.words) - TYPES[e.type], f"{name}: {e.type} at word {e.word} leaves its words")
            check(math.isfinite(e.scale) and e.scale != 0.0, f"{name}: scale {e.scale} is 0 or not finite")
            to.items[i].encodes[k] = encode_t(e.word, TYPE_CODES[e.type], SOURCES[e.source], e.scale)


cdef void fill_reads(tables_t* t, plan) except *:
    cdef int i
    check_count("reads", plan.reads, MAX_READS)
    check(any(r.every == 1 for r in plan.reads), "no read has every = 1: a bus needs a fast list")
    t.n_reads = len(plan.reads)
    for i, r in enumerate(plan.reads):
        check(r.function in (3, 4), f"read {i}: function {r.function} is none of 3, 4")
        check(1 <= r.count <= 125, f"read {i}: {r.count} words are outside 1 ... 125")
        check(0 <= r.address <= 65536 - r.count, f"read {i}: address {r.address} is outside 0 ... 65535")
        check(1 <= r.every <= 100_000, f"read {i}: every = {r.every} is outside 1 ... 100000")
        t.reads[i] = read_t(r.function, r.address, r.count, r.every)


cdef void fill_tables(tables_t* t, object plan, object record) except *:
    cdef int i
    cdef double nan = float("nan")
    memset(t, 0, sizeof(tables_t))
    check(0 <= plan.unit <= 255, f"unit {plan.unit} is outside 0 ... 255")
    t.unit = plan.unit
    t.n_words = len(fields(record))
    t.valid = [f.name for f in fields(record)].index("valid")
    for i, kind in enumerate(kinds(record)):
        if kind == "d":
            memcpy(&t.blank[i], &nan, 8)
    fill_reads(t, plan)
    check_count("decodes", plan.decodes, MAX_DECODES)
    check_count("flags", plan.flags, MAX_FLAGS)
    t.n_decodes, t.n_flags = len(plan.decodes), len(plan.flags)
    for i, d in enumerate(plan.decodes):
        check_place(f"decode {i}", plan, d)
        check_target(f"decode {i}", record, d, "q" if d.to_int else "d")
        check(math.isfinite(d.scale) and d.scale != 0.0, f"decode {i}: scale {d.scale} is 0 or not finite")
        check(not d.to_int or -2**53 <= d.low <= d.high <= 2**53, f"decode {i}: an integer needs a range inside 2^53")
        absent = 0 if d.absent is None else unsigned(f"decode {i}: absent", d.absent, d.type)
        t.decodes[i] = decode_t(d.read, d.word, TYPE_CODES[d.type], d.target, d.to_int, d.absent is not None, absent,
                                d.valid, d.scale, d.low, d.high)
    for i, f in enumerate(plan.flags):
        check_place(f"flag {i}", plan, f)
        check_target(f"flag {i}", record, f, "q")
        mask, equals = unsigned(f"flag {i}: mask", f.mask, f.type), unsigned(f"flag {i}: equals", f.equals, f.type)
        t.flags[i] = flag_t(f.read, f.word, TYPE_CODES[f.type], f.target, f.set, mask, equals, f.bits, f.valid)
    fill_writes(&t.start, "start", plan.start)
    fill_writes(&t.setpoint, "setpoint", plan.setpoint)
    fill_writes(&t.stop, "stop", plan.stop)


cdef class Tables:
    """One plan's tables for tests and tools: answers (the data bytes of each read, or None) -> record, and back."""
    cdef tables_t t
    cdef object plan
    cdef object record

    def __init__(self, plan, record):
        fill_tables(&self.t, plan, record)
        self.plan = plan
        self.record = record

    def decode(self, answers):
        """The record these answers make; its times are 0."""
        cdef answer_t[16] newest
        cdef int64_t[16] words
        memset(newest, 0, sizeof(newest))
        for i, (read, data) in enumerate(zip(self.plan.reads, answers, strict=True)):
            if data is not None:
                check(len(data) == 2 * read.count, f"answer {i}: {len(data)} bytes instead of {2 * read.count}")
                memcpy(newest[<int> i].data, <const char*> data, len(data))
                newest[<int> i].have = 1
        decode_record(&self.t, newest, words)
        values = [(<double*> words)[<int> i] if k == "d" else words[<int> i] for i, k in enumerate(kinds(self.record))]
        return self.record(*values)

    def encode(self, double p_w, double q_var):
        """The words of each set-point write, or None when a value does not fit."""
        cdef uint16_t[123] words
        result = []
        for i in range(self.t.setpoint.n):
            if not encode_write(&self.t.setpoint.items[<int> i], p_w, q_var, words):
                return None
            result.append([words[<int> k] for k in range(self.t.setpoint.items[<int> i].count)])
        return result
