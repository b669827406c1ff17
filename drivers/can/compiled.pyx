"""A Plan compiled to what a CAN bus thread walks through, as bytes: of this build, for this machine.

The launcher compiles; the core process, which takes the bytes, needs neither this module nor what it imports.
Errors   ValueError naming the row and the limit.
"""

import math
from dataclasses import fields

from libc.stdint cimport int64_t, uint32_t
from libc.string cimport memcpy, memset

from drivers.can.frame cimport (
    MAX_FIELDS, MAX_FLAGS, MAX_FRAMES, MAX_PUTS, MAX_SENDS, MAX_VALUES, bits_t, can_tables_t, field_t, flag_t,
    frame_t, put_t, send_t, sends_t, value_t,
)
from drivers.can.poller cimport can_device_t
from drivers.can.socketcan cimport CAN_EFF_FLAG
from drivers.modbus.setpoint cimport setpoint_t

from cython_core.records import DeviceState, DeviceValid, kinds
from drivers.can.tables import KINDS, SOURCES
from drivers.modbus.compiled import rules
from drivers.tables import Plan as Rules

cdef int64_t MS = 1000000
NAMES = [f.name for f in fields(DeviceState)]


def check(bint ok, str text):
    """One line to check a row: what is wrong, and what is allowed."""
    if not ok:
        raise ValueError(f"plan: {text}")


def check_range(str what, value, low, high):
    check(low <= value <= high, f"{what} = {value} is outside {low} ... {high}")


def check_count(str what, items, int most):
    """No table may be longer than its C array."""
    check(len(items) <= most, f"{len(items)} {what} are more than the {most} a bus holds")


cdef bits_t place(str what, bits, int length) except *:
    """Where the field lies in its byte order; it must lie inside the frame."""
    check(bits.kind in KINDS, f"{what}: kind {bits.kind!r} is none of {', '.join(KINDS)}")
    check_range(f"{what}: length", bits.length, 1, 64)
    check(bits.kind != "float" or bits.length in (32, 64), f"{what}: a float has 32 or 64 bits, not {bits.length}")
    check(bits.inside(length),
          f"{what}: {bits.length} bits from {bits.start} on leave the {length} bytes of their frame")
    return bits_t(64 - bits.first - bits.length if bits.motorola else bits.first, bits.length, bits.motorola,
                  KINDS.index(bits.kind))


cdef uint32_t identifier(str what, row) except? 0:
    check_range(f"{what}: id", row.id, 0, 0x1FFFFFFF if row.extended else 0x7FF)
    check_range(f"{what}: length", row.length, 0, 8)
    return row.id | (CAN_EFF_FLAG if row.extended else 0)


cdef send_t as_send(str what, row) except *:
    cdef send_t found
    cdef int i
    memset(&found, 0, sizeof(found))
    found.id = identifier(what, row)
    check_count(f"puts of {what}", row.puts, MAX_PUTS)
    check_range(f"{what}: data", row.data, 0, (1 << (8 * row.length)) - 1)
    found.length, found.data, found.n_puts = row.length, row.data, len(row.puts)
    for i, p in enumerate(row.puts):
        check(p.source in SOURCES, f"{what}: source {p.source!r} is none of {', '.join(SOURCES)}")
        check(math.isfinite(p.scale) and p.scale != 0.0 and math.isfinite(p.offset), f"{what}: scale {p.scale} is 0 or "
              "not finite")
        most = (1 << min(p.bits.length, 64)) - 1
        for raw in (p.low, p.high):
            check_range(f"{what}: raw number", raw, 0, most)
        found.puts[i] = put_t(place(what, p.bits, row.length), SOURCES.index(p.source), p.scale, p.offset, p.low,
                              p.high)
    return found


cdef void fill_sends(sends_t* to, str what, rows) except *:
    cdef int i
    check_count(f"frames of {what}", rows, MAX_SENDS)
    to.n = len(rows)
    for i, row in enumerate(rows):
        to.items[i] = as_send(f"{what} {i}", row)


cdef void fill_frames(can_tables_t* t, plan) except *:
    cdef int i
    cdef bits_t counter
    check_count("frames", plan.frames, MAX_FRAMES)
    check(any(f.carrier and not f.ack for f in plan.frames), "no frame carries the state")
    t.n_frames = len(plan.frames)
    memset(&counter, 0, sizeof(counter))
    for i, f in enumerate(plan.frames):
        what = f"frame {i}"
        id = identifier(what, f)
        check_range(f"{what}: timeout_ms", f.timeout_ms, 1, 3_600_000)
        check_range(f"{what}: every", f.every, 1, 100_000)
        check(0 <= f.equals <= f.mask < 1 << (8 * f.length) or f.mask == f.equals == 0,
              f"{what}: mask {f.mask:#x} and equals {f.equals:#x} leave its {f.length} bytes")
        same = [g for g in plan.frames[:i] if (g.id, g.extended) == (f.id, f.extended)]
        check(all(g.length == f.length for g in same), f"{what}: another frame of this identifier has another length")
        check(all((g.equals ^ f.equals) & g.mask & f.mask for g in same),
              f"{what}: another frame with this identifier cannot be told from it")
        if f.counter is not None:
            counter = place(f"{what}: counter", f.counter, f.length)
            check(counter.kind == 0 and 2 <= counter.length <= 32, f"{what}: a counter has 2 ... 32 bits, unsigned")
        t.frames[i] = frame_t(id, f.length, f.carrier and not f.ack, f.every if f.ask is not None else 0, f.ack,
                              f.counter is not None, counter, f.mask, f.equals, f.timeout_ms * MS,
                              i if f.ask is not None else -1)
        if f.ask is not None:
            check(not f.ask.puts, f"{what}: a question carries constants only")
            t.asks[i] = as_send(f"{what}: ask", f.ask)


def check_frame(str what, plan, int frame):
    check_range(f"{what}: frame", frame, 0, len(plan.frames) - 1)


cdef void fill_values(can_tables_t* t, plan) except *:
    cdef int i
    check_count("values", plan.values, MAX_VALUES)
    check_count("fields", plan.fields, MAX_FIELDS)
    check_count("flags", plan.flags, MAX_FLAGS)
    t.n_values, t.n_fields, t.n_flags = len(plan.values), len(plan.fields), len(plan.flags)
    for i, v in enumerate(plan.values):
        check_frame(f"value {i}", plan, v.frame)
        check(math.isfinite(v.factor) and v.factor != 0.0 and math.isfinite(v.offset),
              f"value {i}: factor {v.factor} is 0 or not finite")
        t.values[i] = value_t(v.frame, place(f"value {i}", v.bits, plan.frames[v.frame].length), v.factor, v.offset)
    for i, f in enumerate(plan.fields):
        what = f"field {i}"
        check(len(f.values) in (1, 2) and all(0 <= v < len(plan.values) for v in f.values),
              f"{what}: values {f.values} are not one or two of 0 ... {len(plan.values) - 1}")
        check(0 <= f.target < len(NAMES) and kinds(DeviceState)[f.target] == "d",
              f"{what}: word {f.target} of a DeviceState is no quantity")
        check(math.isfinite(f.scale) and f.scale != 0.0, f"{what}: scale {f.scale} is 0 or not finite")
        t.fields[i] = field_t(f.values[0], f.values[1] if len(f.values) == 2 else -1, f.target, f.valid, f.scale, f.low,
                              f.high)
    for i, g in enumerate(plan.flags):
        what = f"flag {i}"
        check_frame(what, plan, g.frame)
        check(0 <= g.target < len(NAMES) and NAMES[g.target] in ("session", "status"),
              f"{what}: word {g.target} of a DeviceState is neither session nor status")
        check_range(f"{what}: equals", g.equals, 0, (1 << g.where.length) - 1)
        t.flags[i] = flag_t(g.frame, place(what, g.where, plan.frames[g.frame].length), g.equals, g.target, g.set,
                            g.bits)


cdef void fill_tables(can_tables_t* t, plan) except *:
    cdef int i
    cdef double nan = float("nan")
    memset(t, 0, sizeof(can_tables_t))
    t.n_words, t.valid = len(NAMES), NAMES.index("valid")
    for i, kind in enumerate(kinds(DeviceState)):
        if kind == "d":
            memcpy(&t.blank[i], &nan, 8)
    t.blank[t.valid] = plan.known
    fill_frames(t, plan)
    fill_values(t, plan)
    fill_sends(&t.start, "start", plan.start)
    fill_sends(&t.setpoint, "setpoint", plan.setpoint)
    fill_sends(&t.stop, "stop", plan.stop)
    fill_sends(&t.heartbeat, "heartbeat", () if plan.heartbeat is None else (plan.heartbeat,))
    sends = (*plan.start, *plan.setpoint, *plan.stop, *(f.ask for f in plan.frames if f.ask is not None))
    sends += () if plan.heartbeat is None else (plan.heartbeat,)
    taken = {(f.id, f.extended) for f in plan.frames}
    both = [f"{s.id:#x}" for s in sends if (s.id, s.extended) in taken]
    check(not both, f"identifier {', '.join(both)} is to be sent and taken")
    check_range("v_dc", plan.v_dc, -1, len(plan.values) - 1)
    by_current = any(p.source in ("a", "abs_a") for s in sends for p in s.puts)
    check(plan.v_dc >= 0 and plan.v_dc_low > 0.0 or not by_current, "a current needs v_dc, and v_dc_low above 0")
    t.v_dc, t.v_dc_low = plan.v_dc, plan.v_dc_low


def tables(plan):
    """can_tables_t alone."""
    cdef can_tables_t t
    fill_tables(&t, plan)
    return (<const char*> &t)[:sizeof(can_tables_t)]


def inverter(plan, int poll_ms):
    """A device that is listened to, asked and commanded: all of it but its mailboxes."""
    cdef can_device_t d
    cdef bytes raw
    check(len(plan.setpoint) > 0, "an inverter needs at least one set-point frame")
    memset(&d, 0, sizeof(d))
    fill_tables(&d.tables, plan)
    for name, value, low, high in (("poll_ms", poll_ms, 1, 10_000), ("min_gap_ms", plan.min_gap_ms, 0, 1000),
                                   ("silence_ms", plan.silence_ms, 0, 3_600_000),
                                   ("heartbeat_ms", plan.heartbeat_ms, 0 if plan.heartbeat is None else 1, 60_000)):
        check_range(name, value, low, high)
    raw = rules(Rules(unit=0, reads=(), decodes=(), min_write_interval_ms=plan.min_write_interval_ms,
                      write_refresh_ms=plan.write_refresh_ms, quantum_p_w=plan.quantum_p_w,
                      quantum_q_var=plan.quantum_q_var))
    memcpy(&d.setpoint, <const char*> raw, sizeof(setpoint_t))
    d.period_ns, d.gap_ns, d.heartbeat_ns = poll_ms * MS, plan.min_gap_ms * MS, plan.heartbeat_ms * MS
    d.silence_ns, d.fed_by_any = plan.silence_ms * MS, plan.fed_by_any
    d.readback = -1
    for f in plan.fields:
        if f.valid == DeviceValid.P_SET:
            d.readback = plan.values[f.values[0]].frame
    return (<const char*> &d)[:sizeof(can_device_t)]
