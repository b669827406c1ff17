"""When a set-point is written to an inverter: the rules, as one pure function of command, history and time.

Rules    at most one set-point between two reads; not faster than the device's interval; only when changed by at least
         its quantum or to 0, or at refresh; the newest command wins; never one older than its valid_ms; nothing in mode
         SILENT.
Budget   a device whose memory bears so many writes a day: once they are spent 0 W is written, as a power that can no
         longer follow its limits must not stand; then nothing until the day is over, but for what is urgent.
Urgent   power to 0 (and reactive power, where no other stands), in mode STOP or with a change of mode (an emergency):
         the interval does not hold it back, and it may follow an ordinary write before the next read. The way down to 0
         is ordinary writing.
Errors   values: EXPIRED and REFUSED commands are counted by the bus, and the device's own timer acts.
"""

from libc.math cimport fabs, isfinite
from libc.stdint cimport int64_t
from libc.string cimport memcpy

from cython_core.codes cimport MODE_ACTIVE, MODE_STOP
from cython_core.structs cimport command_t
from drivers.modbus.codes cimport Due

cdef int64_t LONGEST_VALID_MS = 3600000     # and no overflow below
cdef int64_t DAY_NS = 86400000000000


cdef inline bint changed(double value, double before, double quantum) noexcept nogil:
    """Small is what is not worth a write; what must be 0 is not left standing for being small."""
    return value != before and (fabs(value - before) >= quantum or value == 0.0)


cdef bint to_zero(const setpoint_t* s, const command_t* c) noexcept nogil:
    cdef bint stands = not s.known or s.p_w != 0.0 or (s.q_var != 0.0 and c.q_var == 0.0)
    return c.p_w == 0.0 and stands and (c.mode == MODE_STOP or c.mode != s.mode)


cdef int setpoint_due(const setpoint_t* s, const command_t* command, int64_t now_ns) noexcept nogil:
    cdef int64_t age_ns = now_ns - command.t_ns
    cdef int64_t valid_ns = min(command.valid_ms, LONGEST_VALID_MS) * 1000000
    if command.mode < MODE_ACTIVE or command.mode > MODE_STOP:        # SILENT, or a mode this code does not know
        return Due.SILENT
    if age_ns > valid_ns or age_ns < -valid_ns:             # from the future: not from this machine's clock
        return Due.EXPIRED
    if not (isfinite(command.p_w) and isfinite(command.q_var)):
        return Due.REFUSED
    if to_zero(s, command) and not s.written_urgent:
        return Due.URGENT
    if s.written or s.written_urgent or (s.t_try_ns and now_ns - s.t_try_ns < s.interval_ns):
        return Due.WAIT
    if not (not s.known or now_ns - s.t_ack_ns >= s.refresh_ns
            or changed(command.p_w, s.p_w, s.quantum_p_w) or changed(command.q_var, s.q_var, s.quantum_q_var)):
        return Due.WAIT
    if s.spent < s.budget or s.budget == 0 or now_ns - s.t_day_ns >= DAY_NS:
        return Due.WRITE
    return Due.SPENT if s.known and s.p_w == 0.0 and s.q_var == 0.0 else Due.ZERO


cdef void setpoint_tried(setpoint_t* s, int due, int64_t now_ns) noexcept nogil:
    if s.spent == 0 or now_ns - s.t_day_ns >= DAY_NS:
        s.t_day_ns = now_ns
        s.spent = 0
    s.spent += 1
    s.t_try_ns = now_ns
    if due == Due.URGENT:
        s.written_urgent = 1
    else:
        s.written = 1


cdef void setpoint_acknowledged(setpoint_t* s, const command_t* command, int64_t t_ack_ns) noexcept nogil:
    s.known = 1
    s.mode = command.mode
    s.p_w = command.p_w
    s.q_var = command.q_var
    s.t_ack_ns = t_ack_ns


cdef void setpoint_read(setpoint_t* s) noexcept nogil:
    s.written = 0
    s.written_urgent = 0


cdef void setpoint_forget(setpoint_t* s) noexcept nogil:
    s.known = 0


cdef command_t as_struct(command) except *:
    return command_t(command.n, command.t_ns, command.p_w, command.q_var, command.mode, command.valid_ms)


cdef class WriteRules:
    """The rules alone, for tests and explanations: no wire, no clock."""
    cdef setpoint_t s

    def __init__(self, plan):
        from drivers.modbus.compiled import rules
        cdef bytes raw = rules(plan)
        memcpy(&self.s, <const char*> raw, sizeof(setpoint_t))

    def due(self, command, int64_t now_ns):
        """What the rules say to this command now."""
        from drivers.modbus.codes import Due as Face
        cdef command_t c = as_struct(command)
        return Face(setpoint_due(&self.s, &c, now_ns))

    def tried(self, int due, int64_t now_ns):
        """A write was sent."""
        setpoint_tried(&self.s, due, now_ns)

    def acknowledged(self, command, int64_t now_ns):
        """The device has acknowledged this command."""
        cdef command_t c = as_struct(command)
        setpoint_acknowledged(&self.s, &c, now_ns)

    def read(self):
        """A read came between."""
        setpoint_read(&self.s)

    def forget(self):
        """A new connection, or a write that failed."""
        setpoint_forget(&self.s)
