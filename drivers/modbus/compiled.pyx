"""Plan -> C structs, once, at the door. As bytes: the process of the bus threads takes them and knows no plans.

meter(), inverter()  device_t: all of a device but its mailboxes
tables(), rules(), heart()    parts of it, for tests and tools
Errors               ValueError naming the entry and the limit.
"""

import math
from dataclasses import fields

from libc.stdint cimport int64_t
from libc.string cimport memcpy, memset

from drivers.modbus.heart cimport MAX_WATCHES, heart_t, watch_t
from drivers.modbus.poller cimport device_t
from drivers.modbus.setpoint cimport setpoint_t
from drivers.modbus.tables cimport (
    F32, FROM_P, FROM_Q, LOW_FIRST, MAX_ABSENT, MAX_DECODES, MAX_ENCODES, MAX_FLAGS, MAX_READS, MAX_WRITES, S16, S32,
    S64, U16, U32, U64, decode_t, encode_t, flag_t, read_t, tables_t, writes_t,
)

from cython_core.records import DeviceState, Measurement, kinds
from drivers.tables import LITTLE, ROW_TYPES

CODES = {"u16": U16, "s16": S16, "u32": U32, "s32": S32, "f32": F32, "u64": U64, "s64": S64}
TYPE_CODES = {t: CODES[t.removesuffix(LITTLE)] | (LOW_FIRST if t.endswith(LITTLE) else 0) for t in ROW_TYPES}
SOURCES = {"p_w": FROM_P, "q_var": FROM_Q}

cdef int64_t MS = 1000000
DAY_MS = 24 * 3600 * 1000


def check(bint ok, str text):
    """One line to check a table entry: what is wrong, and what is allowed."""
    if not ok:
        raise ValueError(f"plan: {text}")


def check_count(what, items, int most):
    """No table may be longer than its C array."""
    check(len(items) <= most, f"{len(items)} {what} are more than the {most} a bus holds")


def check_place(what, plan, entry):
    """A quantity lies inside the answer it is read from."""
    check(entry.type in ROW_TYPES, f"{what}: type {entry.type!r} is none of {', '.join(ROW_TYPES)}")
    check(0 <= entry.read < len(plan.reads), f"{what}: read {entry.read} is outside 0 ... {len(plan.reads) - 1}")
    count = plan.reads[entry.read].count
    check(0 <= entry.word <= count - ROW_TYPES[entry.type],
          f"{what}: {entry.type} at word {entry.word} leaves the {count} words of read {entry.read}")


def check_target(what, record, entry, str kind):
    """The word is one of the record's quantities, not a time or the valid bits, and of the right kind."""
    names = [f.name for f in fields(record)]
    allowed = [i for i, n in enumerate(names) if kinds(record)[i] == kind and n != "valid" and not n.startswith("t_")]
    text = ", ".join(f"{i} {names[i]}" for i in allowed) or "none"
    check(entry.target in allowed, f"{what}: word {entry.target} of {record.__name__} is none of {text}")


def unsigned(what, value, str type):
    """A raw pattern as the unsigned number of its type; a negative one is meant as two's complement."""
    bits = 16 * ROW_TYPES[type]
    check(-(1 << (bits - 1)) <= value < (1 << bits), f"{what}: {value:#x} does not fit {type}")
    return value & ((1 << bits) - 1)


def unit_of(what, plan, entry):
    """Whom a request is for."""
    unit = plan.unit if entry.unit is None else entry.unit
    check(0 <= unit <= 255, f"{what}unit {unit} is outside 0 ... 255")
    return unit


cdef void fill_writes(writes_t* to, what, plan) except *:
    cdef int i, k
    writes = getattr(plan, what)
    check_count(f"{what} writes", writes, MAX_WRITES)
    to.n = len(writes)
    for i, w in enumerate(writes):
        name = f"{what} write {i}"
        check(w.function in (6, 16, 23), f"{name}: function {w.function} is none of 6, 16, 23")
        most = {6: 1, 16: 123, 23: 121}[w.function]
        check(1 <= len(w.words) <= most, f"{name}: {len(w.words)} words are outside 1 ... {most}")
        check(0 <= w.address <= 65536 - len(w.words), f"{name}: address {w.address} is outside 0 ... 65535")
        check(w.verify in (0, 3, 4), f"{name}: verify {w.verify} is none of 0, 3, 4")
        check_count(f"encodes of {name}", w.encodes, MAX_ENCODES)
        to.items[i].unit, to.items[i].verify = unit_of(f"{name}: ", plan, w), w.verify
        to.items[i].function, to.items[i].address = w.function, w.address
        to.items[i].count, to.items[i].n_encodes = len(w.words), len(w.encodes)
        for k, word in enumerate(w.words):
            check(0 <= word <= 0xFFFF, f"{name}: word {word} is outside 0 ... 65535")
            to.items[i].words[k] = word
        for k, e in enumerate(w.encodes):
            check(e.type in ROW_TYPES, f"{name}: type {e.type!r} is none of {', '.join(ROW_TYPES)}")
            check(e.source in SOURCES, f"{name}: source {e.source!r} is none of {', '.join(SOURCES)}")
            last = len(w.words) - ROW_TYPES[e.type]
            check(0 <= e.word <= last, f"{name}: {e.type} at word {e.word} leaves its words")
            check(math.isfinite(e.scale) and e.scale != 0.0, f"{name}: scale {e.scale} is 0 or not finite")
            check(e.low <= e.high, f"{name}: range {e.low} ... {e.high} is empty")
            to.items[i].encodes[k] = encode_t(e.word, TYPE_CODES[e.type], SOURCES[e.source], e.scale, e.low, e.high)


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
        t.reads[i] = read_t(r.function, r.address, r.count, r.every, unit_of(f"read {i}: ", plan, r))


cdef void fill_decode(decode_t* to, what, d) except *:
    cdef int i
    check_count(f"absent patterns of {what}", d.absent, MAX_ABSENT)
    to.read, to.word, to.type, to.target, to.to_int = d.read, d.word, TYPE_CODES[d.type], d.target, d.to_int
    to.scale, to.low, to.high, to.valid, to.n_absent = d.scale, d.low, d.high, d.valid, len(d.absent)
    for i, pattern in enumerate(d.absent):
        to.absent[i] = unsigned(f"{what}: absent", pattern, d.type)


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
        fill_decode(&t.decodes[i], f"decode {i}", d)
    for i, f in enumerate(plan.flags):
        check_place(f"flag {i}", plan, f)
        check_target(f"flag {i}", record, f, "q")
        mask, equals = unsigned(f"flag {i}: mask", f.mask, f.type), unsigned(f"flag {i}: equals", f.equals, f.type)
        t.flags[i] = flag_t(f.read, f.word, TYPE_CODES[f.type], f.target, f.set, mask, equals, f.bits, f.valid)
    fill_writes(&t.start, "start", plan)
    fill_writes(&t.setpoint, "setpoint", plan)
    fill_writes(&t.stop, "stop", plan)


cdef void fill_rules(setpoint_t* s, object plan) except *:
    memset(s, 0, sizeof(setpoint_t))
    for name, low, high in (("min_write_interval_ms", 0, 60_000), ("write_refresh_ms", 0, DAY_MS),
                            ("quantum_p_w", 0, 1e6), ("quantum_q_var", 0, 1e6),
                            ("write_budget_per_day", 0, 1_000_000)):
        if not low <= getattr(plan, name) <= high:
            raise ValueError(f"plan: {name} = {getattr(plan, name)} is outside {low} ... {high}")
    s.interval_ns = plan.min_write_interval_ms * 1000000
    s.refresh_ns = (plan.write_refresh_ms or 1000) * 1000000        # 0: no timer in the device, refresh each second
    s.quantum_p_w = plan.quantum_p_w
    s.quantum_q_var = plan.quantum_q_var
    s.budget = plan.write_budget_per_day
    s.mode = -1


cdef void fill_heart(heart_t* h, plan) except *:
    cdef int i
    memset(h, 0, sizeof(heart_t))
    check_count("watches", plan.watches, MAX_WATCHES)
    h.n_watches = len(plan.watches)
    for i, w in enumerate(plan.watches):
        check_place(f"watch {i}", plan, w)
        check_target(f"watch {i}", DeviceState, w, "q")
        check(1 <= w.within_ms <= 60_000, f"watch {i}: within_ms = {w.within_ms} is outside 1 ... 60000")
        h.watches[i] = watch_t(w.read, w.word, TYPE_CODES[w.type], w.moves, w.target, w.bits, w.within_ms * MS, 0, 0)
    check(len(plan.beat) <= 1, f"{len(plan.beat)} writes of a beat; one is the most")
    fill_writes(&h.beat, "beat", plan)
    check(all(len(w.words) == 2 for w in plan.beat), "a beat is a count of two words")


cdef void fill_device(device_t* d, plan, int poll_ms, record) except *:
    for name, value, low, high in (("poll_ms", poll_ms, 0, 10_000), ("plan: timeout_ms", plan.timeout_ms, 1, 10_000),
                                   ("plan: min_gap_ms", plan.min_gap_ms, 0, 10_000),
                                   ("plan: quiet_ms", plan.quiet_ms, 0, 600_000)):
        if not low <= value <= high:
            raise ValueError(f"{name} = {value} is outside {low} ... {high}")
    memset(d, 0, sizeof(device_t))
    fill_tables(&d.tables, plan, record)
    fill_rules(&d.setpoint, plan)
    d.period_ns = poll_ms * MS
    d.timeout_ns, d.gap_ns, d.quiet_ns = plan.timeout_ms * MS, plan.min_gap_ms * MS, plan.quiet_ms * MS


def meter(plan, int poll_ms):
    """A device that is polled into a Measurement. poll_ms: 0 = as fast as it answers."""
    cdef device_t d
    for name in ("start", "setpoint", "stop", "beat"):
        if getattr(plan, name):
            raise ValueError(f"plan: a meter is never written, but {name} has writes")
    fill_device(&d, plan, poll_ms, Measurement)
    names = list(Measurement.__dataclass_fields__)
    powers = ("p_", "q_", "p1_", "p2_", "p3_", "i1_", "i2_", "i3_")
    for i, prefix in enumerate((("f_",), ("v1_", "v2_", "v3_"), powers)):
        for row in plan.decodes:
            if names[row.target].startswith(prefix):
                d.carriers[<int> i] |= 1 << <int> row.read
    d.is_meter = 1
    return (<const char*> &d)[:sizeof(device_t)]


def inverter(plan, int poll_ms, int64_t spent=0, int64_t t_day_ns=0):
    """A device that is polled into a DeviceState, and written. spent: of its budget, in the day since t_day_ns."""
    cdef device_t d
    if not plan.setpoint:
        raise ValueError("plan: an inverter needs at least one set-point write")
    fill_device(&d, plan, poll_ms, DeviceState)
    fill_heart(&d.heart, plan)
    d.setpoint.spent = d.count.spent = spent
    d.setpoint.t_day_ns = d.count.t_day_ns = t_day_ns
    for i, r in enumerate(plan.reads):
        if r.every == 1:
            d.carriers[0] |= 1 << <int> i
    return (<const char*> &d)[:sizeof(device_t)]


def tables(plan, record):
    """tables_t alone."""
    cdef tables_t t
    fill_tables(&t, plan, record)
    return (<const char*> &t)[:sizeof(tables_t)]


def heart(plan):
    """heart_t alone."""
    cdef heart_t h
    fill_heart(&h, plan)
    return (<const char*> &h)[:sizeof(heart_t)]


def rules(plan):
    """setpoint_t alone."""
    cdef setpoint_t s
    fill_rules(&s, plan)
    return (<const char*> &s)[:sizeof(setpoint_t)]
