"""One step: (state, settings, inputs, grid time, k) -> record and command. Pure: the same bits everywhere.

Order    1 fresh, 2 state, 3 power wish, 4 frequency, 5 voltage, 6 limits, 7 command.
Inputs   inputs_t; t_ns is the grid deadline, never the wake-up time; k = 1 + skipped grid points, dt = k periods.
State    core_state_t; all zero is a valid start: waiting until every input is fresh, then from the present power.
Output   step_record_t: every input, every stage's answer, the reasons bits of every stage that bound.
Errors   none in a step: a fault is a bit in reasons. Core() raises SettingError, load() ValueError.
"""

import struct

from libc.math cimport isfinite
from libc.stdint cimport int64_t
from libc.string cimport memcpy, memset

from cython_core.arbiter cimport arbiter_accept, arbiter_power, narrow, span_t
from cython_core.codes cimport *
from cython_core.compiled cimport settings_init
from cython_core.fresh cimport stage_fresh
from cython_core.functions.active_limit cimport active_limit_step
from cython_core.functions.freq_droop cimport freq_droop_release, freq_droop_step
from cython_core.functions.signals cimport approach, clip
from cython_core.functions.volt_var cimport volt_var_release, volt_var_step
from cython_core.limits cimport holdable, inside_capability, inside_circle, limits_found, slow_span
from cython_core.spans cimport hard_span, ramped_span, soc_known
from cython_core.structs cimport device_state_t
from cython_core.records import Order, StepRecord, kinds

cdef double SAFE_S = 10.0        # lost meter: from full discharge to full charge within this time


# ---- 2 state: may we command at all ----

cdef int commandable(const device_state_t* device, step_record_t* rec) noexcept nogil:
    """Never command a device that is lost, faulty, not running and connected, or under somebody's local control."""
    if rec.fresh_d == FRESH_LOST:
        return 0
    if not device.valid & D_STATUS:
        return 1
    if device.status & STATUS_LOCAL:
        rec.reasons |= LOCAL_CONTROL
        return 0
    if (device.status & (STATUS_RUNNING | STATUS_CONNECTED | STATUS_FAULT)) != (STATUS_RUNNING | STATUS_CONNECTED):
        rec.reasons |= NOT_RUNNING
        return 0
    return 1


cdef double present_w(const core_state_t* st, const inputs_t* inputs) noexcept nogil:
    if st.device.valid & D_P and isfinite(st.device.p_w):
        return st.device.p_w
    if inputs.meter.valid & M_P and isfinite(inputs.meter.p_w):
        return inputs.meter.p_w
    return 0.0


cdef double present_q_pu(const core_state_t* st, const settings_t* cfg) noexcept nogil:
    if st.device.valid & D_Q and isfinite(st.device.q_var):
        return clip(st.device.q_var / cfg.limits.s_rated_va, -1.0, 1.0)
    return 0.0


cdef void start_from(core_state_t* st, double p_w, double q_pu) noexcept nogil:
    st.p_base_w = p_w
    st.p_cmd_w = p_w
    st.limits.slow.lo = min(p_w, 0.0)
    st.limits.slow.hi = max(p_w, 0.0)
    st.droop.side = 0
    st.droop.waiting = 0
    st.droop.dp_pu = 0.0
    st.volt_var.q_pu = q_pu
    limits_found(&st.limits, p_w)


cdef void stage_state(core_state_t* st, const settings_t* cfg, const inputs_t* inputs,
                      step_record_t* rec) noexcept nogil:
    cdef int degraded = rec.fresh_f >= FRESH_STALE or rec.fresh_v >= FRESH_STALE or rec.fresh_d >= FRESH_STALE
    if not commandable(&st.device, rec):
        st.state = STATE_STARTING                       # and from the present power again once it can be commanded
        rec.reasons |= STARTING
        return
    if inputs.order.permit == 0 or inputs.order.stop == STOP_EMERGENCY and st.state < STATE_IN_SERVICE:
        st.state = STATE_OFF                            # commanded to 0, whatever the meter says
        return
    if st.state == STATE_OFF or st.state == STATE_STARTING:
        if rec.fresh_f or rec.fresh_v or rec.fresh_d:
            st.state = STATE_STARTING
            rec.reasons |= STARTING
            return
        if st.state == STATE_OFF and rec.n > 0:         # we said 0; an older reading may still show what was before
            start_from(st, 0.0, 0.0)
        else:
            start_from(st, present_w(st, inputs), present_q_pu(st, cfg))
    st.state = STATE_DEGRADED if degraded else STATE_IN_SERVICE


# ---- 3 power wish: nested clamp, strongest first ----

cdef double stage_wish(core_state_t* st, const settings_t* cfg, const inputs_t* inputs, span_t* hard, double dt_s,
                       int64_t t_ns, step_record_t* rec) noexcept nogil:
    """Returns the wished power; leaves in *hard what also binds droop (all but the active power limit)."""
    cdef span_t slow_target, economic
    cdef double ramp_w = cfg.limits.ramp_pu_s * cfg.limits.p_rated_w * dt_s
    cdef double slow_w = ramp_w
    cdef double ceiling_w, down_w
    if rec.reasons & METER_LOST:
        slow_w = max(ramp_w, (cfg.limits.p_rated_w + cfg.limits.p_charge_rated_w) / SAFE_S * dt_s)
    rec.reasons |= arbiter_accept(&st.arbiter, &cfg.arbiter, &inputs.wish, t_ns)
    hard_span(hard, st, cfg, inputs, rec)
    slow_target = hard[0]
    ramped_span(&slow_target, st, cfg, inputs, t_ns, rec)
    slow_span(&st.limits.slow, &slow_target, st.p_cmd_w, slow_w)
    if st.limits.slow.lo != slow_target.lo or st.limits.slow.hi != slow_target.hi:
        rec.reasons |= RAMP
    narrow(hard, st.limits.slow.lo, st.limits.slow.hi)
    st.limits.slow = hard[0]                            # what a hard limit took comes back at the ramp rate
    economic = hard[0]
    ceiling_w = cfg.limits.p_rated_w * active_limit_step(&st.active_limit, &cfg.active_limit,
                                                         inputs.order.ap_limit_pu, dt_s)
    if ceiling_w < economic.hi:
        rec.reasons |= ACTIVE_LIMIT
        narrow(&economic, economic.lo, ceiling_w)
    rec.p_lo_w = hard.lo
    rec.p_hi_w = hard.hi
    rec.p_wish_w = arbiter_power(&st.arbiter, &cfg.arbiter, economic, st.device.soc_pu,
                                 soc_known(&st.device), t_ns, &rec.reasons)
    if st.droop.side == 0:
        # a ceiling that came down during an event is approached as well, at its own pace when that is the quicker one
        down_w = max(ramp_w, cfg.active_limit.rate_pu_s * cfg.limits.p_rated_w * dt_s)
        economic.hi = clip(st.p_base_w - down_w, economic.hi, hard.hi)
        st.p_base_w = approach(st.p_base_w, rec.p_wish_w, ramp_w)
        if st.p_base_w != rec.p_wish_w:
            rec.reasons |= RAMP
        st.p_base_w = clip(st.p_base_w, economic.lo, economic.hi)
    rec.w_source = st.arbiter.source
    rec.w_seq = st.arbiter.seq
    rec.w_p_w = st.arbiter.p_w
    return st.p_base_w


# ---- 4 frequency ----

cdef double stage_frequency(core_state_t* st, const settings_t* cfg, double p_now_w, const span_t* hard, double dt_s,
                            int64_t t_ns, int64_t k, step_record_t* rec) noexcept nogil:
    cdef double rated_w = cfg.limits.p_rated_w
    cdef double p_w
    if rec.fresh_f >= FRESH_STALE:
        freq_droop_release(&st.droop, &cfg.droop, dt_s)
    elif rec.fresh_f == FRESH_FRESH:
        freq_droop_step(&st.droop, &cfg.droop, st.signals.f_hz, st.signals.t_f_ns, t_ns, k, p_now_w / rated_w)
    if st.droop.waiting:
        rec.reasons |= DROOP_WAITING
    if st.droop.side:
        rec.reasons |= DROOP
        st.p_base_w = st.droop.p_pre_pu * rated_w       # frozen; after the event the ramp leads from here to the wish
    rec.p_pre_w = st.p_base_w
    rec.dp_target_w = st.droop.target_pu * rated_w
    rec.dp_w = st.droop.dp_pu * rated_w
    p_w = clip(st.p_base_w + rec.dp_w, hard.lo, hard.hi)
    if st.droop.side and p_w != st.p_base_w + rec.dp_w:
        rec.reasons |= DROOP_LIMITED
    rec.p_freq_w = p_w
    return p_w


# ---- 5 voltage ----

cdef double stage_voltage(core_state_t* st, const settings_t* cfg, const inputs_t* inputs, double dt_s, int64_t k,
                          step_record_t* rec) noexcept nogil:
    cdef double s_va = cfg.limits.s_rated_va
    if inputs.order.stop != STOP_RUN or inputs.order.permit == 0 or rec.fresh_v >= FRESH_STALE:
        volt_var_release(&st.volt_var, &cfg.volt_var, dt_s)
    elif rec.fresh_v == FRESH_FRESH:
        volt_var_step(&st.volt_var, &cfg.volt_var, st.signals.v_pu, k)
    if st.volt_var.target_pu != 0.0:
        rec.reasons |= VOLT_VAR
    rec.q_target_var = st.volt_var.target_pu * s_va
    rec.q_lag_var = st.volt_var.q_pu * s_va
    return rec.q_lag_var


# ---- 6 limits ----

cdef void stage_limits(core_state_t* st, const settings_t* cfg, const inputs_t* inputs, const span_t* hard, double p_w,
                       double q_var, double s_max_va, int64_t t_ns, step_record_t* rec) noexcept nogil:
    cdef double smallest_w = 0.0
    cdef double inside_w, most_w
    if st.device.valid & D_P_MIN_ABS and isfinite(st.device.p_min_abs_w):
        smallest_w = st.device.p_min_abs_w
    st.q_cmd_var = inside_capability(q_var, &cfg.limits, s_max_va)
    if inputs.order.stop == STOP_EMERGENCY or inputs.order.permit == 0:
        st.q_cmd_var = 0.0
        st.volt_var.q_pu = 0.0                          # and it comes back by its lag
    elif st.q_cmd_var != q_var:
        rec.reasons |= REACTIVE_LIMIT
    inside_w = inside_circle(p_w, st.q_cmd_var, s_max_va)
    if inside_w != p_w:
        rec.reasons |= APPARENT_POWER
    most_w = inside_circle(hard.hi if inside_w > 0.0 else -hard.lo, st.q_cmd_var, s_max_va)
    inside_w = holdable(&st.limits, &cfg.limits, inside_w, smallest_w, most_w, t_ns, &rec.reasons)
    if rec.reasons & REVERSAL_DWELL and st.droop.side == 0:
        st.p_base_w = 0.0                               # the ramp waits too: it begins at 0 when the direction may turn
    st.p_cmd_w = clip(inside_w, hard.lo, hard.hi)
    if limited_by_device(&st.device, st.p_base_w if st.droop.side else rec.w_p_w, rec.dp_w, st.p_cmd_w):
        rec.reasons |= DEVICE_LIMIT


cdef int limited_by_device(const device_state_t* device, double base_w, double dp_w, double p_w) noexcept nogil:
    """More was asked for than the inverter says it can, and what it can is commanded."""
    cdef double asked_w = base_w + dp_w
    if device.valid & D_P_MAX_DISCHARGE and asked_w > device.p_max_discharge_w:
        return p_w >= max(device.p_max_discharge_w, 0.0)
    if device.valid & D_P_MAX_CHARGE and asked_w < -device.p_max_charge_w:
        return p_w <= -max(device.p_max_charge_w, 0.0)
    return 0


# ---- 7 command ----

cdef void stage_command(core_state_t* st, const settings_t* cfg, const inputs_t* inputs,
                        step_record_t* rec) noexcept nogil:
    rec.state = st.state
    rec.p_cmd_w = st.p_cmd_w
    rec.q_cmd_var = st.q_cmd_var
    rec.valid_ms = cfg.valid_ms
    if st.state == STATE_STARTING:
        rec.mode = MODE_SILENT
    elif inputs.order.stop != STOP_RUN or inputs.order.permit == 0:
        rec.mode = MODE_STOP
    elif rec.reasons & METER_LOST:
        rec.mode = MODE_SAFE
    else:
        rec.mode = MODE_ACTIVE


cdef void silent(core_state_t* st, step_record_t* rec) noexcept nogil:
    """Nothing is commanded: the droop state is dropped, the record says what is measured."""
    st.p_base_w = st.p_cmd_w = st.q_cmd_var = 0.0
    st.droop.side = st.droop.waiting = 0
    st.droop.dp_pu = st.droop.target_pu = 0.0
    st.volt_var.q_pu = 0.0
    rec.w_source = -1
    rec.p_lo_w = rec.p_hi_w = rec.p_wish_w = rec.p_pre_w = rec.p_freq_w = 0.0


cdef void record_inputs(step_record_t* rec, const inputs_t* inputs) noexcept nogil:
    memcpy(&rec.m_t_f_ns, &inputs.meter, sizeof(inputs.meter))
    memcpy(&rec.d_t_ns, &inputs.device, sizeof(inputs.device))
    memcpy(&rec.o_t_ns, &inputs.order, sizeof(inputs.order))
    memcpy(&rec.i_source, &inputs.wish, sizeof(inputs.wish))


cdef void recorded_inputs(inputs_t* inputs, const step_record_t* rec) noexcept nogil:
    memcpy(&inputs.meter, &rec.m_t_f_ns, sizeof(inputs.meter))
    memcpy(&inputs.device, &rec.d_t_ns, sizeof(inputs.device))
    memcpy(&inputs.order, &rec.o_t_ns, sizeof(inputs.order))
    memcpy(&inputs.wish, &rec.i_source, sizeof(inputs.wish))


cdef void step(core_state_t* st, const settings_t* cfg, const inputs_t* inputs, int64_t t_ns, int64_t k,
               step_record_t* rec) noexcept nogil:
    cdef double dt_s = <double> (k * cfg.period_ns) * 1e-9
    cdef span_t hard
    cdef double p_w, q_var, s_max_va
    memset(rec, 0, sizeof(step_record_t))
    record_inputs(rec, inputs)
    st.skipped += k - 1
    rec.n = st.n
    rec.t_ns = t_ns
    rec.k = k
    rec.skipped = st.skipped
    rec.settings_digest = cfg.digest
    rec.reasons = SKIPPED if k > 1 else 0
    st.n += 1
    stage_fresh(st, cfg, inputs, t_ns, rec)
    stage_state(st, cfg, inputs, rec)
    if st.state == STATE_STARTING:
        rec.reasons |= arbiter_accept(&st.arbiter, &cfg.arbiter, &inputs.wish, t_ns)
        silent(st, rec)
    else:
        s_max_va = cfg.limits.s_rated_va
        if st.device.valid & D_S_MAX and isfinite(st.device.s_max_va):
            s_max_va = clip(st.device.s_max_va, 0.0, s_max_va)
        p_w = stage_wish(st, cfg, inputs, &hard, dt_s, t_ns, rec)
        p_w = inside_circle(p_w, st.q_cmd_var, s_max_va)
        p_w = stage_frequency(st, cfg, p_w, &hard, dt_s, t_ns, k, rec)
        q_var = stage_voltage(st, cfg, inputs, dt_s, k, rec)
        stage_limits(st, cfg, inputs, &hard, p_w, q_var, s_max_va, t_ns, rec)
    stage_command(st, cfg, inputs, rec)


cdef class Core:
    """The compiled step with its state and settings: in the loop, in a spreadsheet and in a replay the same."""

    def __init__(self, settings, double period_s, bint in_service=False):
        """settings: Settings; period_s: of the grid. in_service: start in service, as if every input had been fresh."""
        if not 0.001 <= period_s <= 0.1:
            raise ValueError(f"period_s = {period_s} is outside 0.001 ... 0.1 s")
        self.settings = settings
        self.period_s = period_s
        memset(&self.st, 0, sizeof(core_state_t))
        settings_init(&self.cfg, settings, period_s)
        if in_service:
            self.st.state = STATE_IN_SERVICE
            self.st.limits.slow.lo = -self.cfg.limits.p_charge_rated_w
            self.st.limits.slow.hi = self.cfg.limits.p_rated_w

    @property
    def digest(self):
        """63 bits that name the settings and the period."""
        return self.cfg.digest

    @property
    def n(self):
        """Number of the next step."""
        return self.st.n

    def assume_power(self, double p_w):
        """Begin at this power, without a ramp: for virtual time."""
        self.st.p_base_w = self.st.p_cmd_w = p_w

    def state(self):
        """The whole state as bytes: a replay continues from here."""
        return (<const char*> &self.st)[:sizeof(core_state_t)]

    def load(self, bytes state):
        """Take back what state() gave. Raises ValueError when the size differs."""
        if len(state) != sizeof(core_state_t):
            raise ValueError(f"a state of {len(state)} bytes; this build has {sizeof(core_state_t)}")
        memcpy(&self.st, <const char*> state, sizeof(core_state_t))

    def step(self, int64_t t_ns, meter, device, order=None, wish=None, int64_t k=1):
        """One step at grid time t_ns. Records in, StepRecord out; wish: the one that arrived, or None."""
        cdef step_record_t rec
        cdef inputs_t inputs
        cdef bytes raw = pack(meter) + pack(device) + pack(Order() if order is None else order)
        memset(&inputs, 0, sizeof(inputs_t))
        inputs.wish.source = -1
        memcpy(&inputs, <const char*> raw, len(raw))
        if wish is not None:
            raw = pack(wish)
            memcpy(&inputs.wish, <const char*> raw, sizeof(inputs.wish))
        step(&self.st, &self.cfg, &inputs, t_ns, k, &rec)
        return StepRecord(*struct.unpack("<" + kinds(StepRecord), (<const char*> &rec)[:sizeof(step_record_t)]))

    def replay(self, const unsigned char[::1] raw):
        """Raw step records -> the same steps computed anew from their recorded inputs, as bytearray.

        Read: inputs, t_ns, k; lateness_ns is copied. Everything else comes from this core's state and settings.
        """
        cdef Py_ssize_t size = sizeof(step_record_t)
        cdef Py_ssize_t count = raw.shape[0] // size
        cdef Py_ssize_t i
        cdef bytearray out = bytearray(count * size)
        cdef step_record_t* target = <step_record_t*> <char*> out
        cdef const step_record_t* source
        cdef inputs_t inputs
        if raw.shape[0] % size:
            raise ValueError(f"{raw.shape[0]} bytes are not whole step records of {size} bytes")
        if count == 0:
            return out
        source = <const step_record_t*> &raw[0]
        with nogil:
            for i in range(count):
                recorded_inputs(&inputs, &source[i])
                step(&self.st, &self.cfg, &inputs, source[i].t_ns, source[i].k, &target[i])
                target[i].lateness_ns = source[i].lateness_ns
        return out

    def run(self, arrays):
        """Virtual time: arrays of one element a step -> structured array of step records (bulk.run)."""
        from cython_core import bulk
        return bulk.run(self, arrays)


def pack(record):
    """One record as bytes, one 64-bit word a field."""
    return struct.pack("<" + kinds(type(record)), *(getattr(record, name) for name in record.__dataclass_fields__))
