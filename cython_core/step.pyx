"""One step: (state, settings, inputs, grid time, k) -> record and command. Pure: the same bits everywhere.

Order    1 fresh, 2 state, 3 power wish, 4 frequency, 5 voltage, 6 limits, 7 command.
Inputs   inputs_t; t_ns is the grid deadline, never the wake-up time; k = 1 + skipped grid points, dt = k periods.
State    core_state_t; all zero is a valid start: waiting until every input is fresh, then from the present power.
Output   step_record_t: every input, every stage's answer, the reasons bits of every stage that bound.
Errors   none in a step: a fault is a bit in reasons. Core() raises SettingError, load() ValueError.

Priority IEEE 1547-2018 4.7: permit and trip, ride-through, then active power (droop replaces wish and active power
         limit, volt-watt caps droop), reactive power from the one mode, apparent power last.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytearray cimport PyByteArray_FromStringAndSize
from libc.math cimport NAN, fabs, isfinite
from libc.stdint cimport int64_t
from libc.string cimport memcpy, memset

from cython_core.arbiter cimport arbiter_accept, arbiter_power, narrow, span_t, take
from cython_core.codes cimport *
from cython_core.fresh cimport stage_fresh
from cython_core.functions.active_limit cimport active_limit_step
from cython_core.functions.enter_service cimport (
    enter_service_begin, enter_service_ramp, enter_service_resume, enter_service_step,
)
from cython_core.functions.fast_response cimport fast_response_step, inertia_step
from cython_core.functions.freq_droop cimport freq_droop_release, freq_droop_step
from cython_core.functions.ride_through cimport ride_through_step, trip_step
from cython_core.functions.signals cimport approach, clip
from cython_core.functions.volt_watt cimport volt_watt_step
from cython_core.limits cimport holdable, inside_capability, inside_circle, limits_found, share_circle, shrink_both
from cython_core.limits cimport slow_span
from cython_core.obedience cimport BESIDES, TIMES, obedience_step, obedience_told
from cython_core.reactive cimport MODE_CONSTANT_PF, MODE_CONSTANT_Q, MODE_VOLT_VAR, MODE_WATT_VAR
from cython_core.reactive cimport reactive_q, reactive_release, reactive_start, reactive_step, reactive_t
from cython_core.spans cimport hard_span, most_charging_w, ramped_span, soc_known
from cython_core.state cimport signals_t
from cython_core.structs cimport device_state_t

cdef double SAFE_S = 10.0        # lost meter: from full discharge to full charge within this time
cdef double AT_ONCE_S = 1000.0   # longer than any ramp of a ceiling


# ---- 2 state: may we command at all, and are we in service ----

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


cdef double present_w(const core_state_t* st, const settings_t* cfg, const inputs_t* inputs) noexcept nogil:
    """What the inverter says, unless the meter beside it knows of far less: a wrong scale must not be commanded."""
    # not when that meter sees the whole house
    cdef int seen = inputs.meter.valid & M_P and isfinite(inputs.meter.p_w) and not cfg.site_limits.enable
    cdef double meter_w = inputs.meter.p_w if seen else 0.0
    if not (st.device.valid & D_P and isfinite(st.device.p_w)):
        return meter_w
    if seen and fabs(st.device.p_w) > TIMES * fabs(meter_w) + BESIDES * cfg.limits.p_rated_w:
        return meter_w
    return st.device.p_w


cdef double present_q_pu(const core_state_t* st, const settings_t* cfg) noexcept nogil:
    if st.device.valid & D_Q and isfinite(st.device.q_var):
        return clip(st.device.q_var / cfg.limits.s_rated_va, -1.0, 1.0)
    return 0.0


cdef void start_from(core_state_t* st, double p_w, double q_pu) noexcept nogil:
    """In service from this power: every function starts anew."""
    st.p_base_w = p_w
    st.p_cmd_w = st.p_full_w = p_w
    st.q_cmd_var = 0.0
    st.dp_w = 0.0
    st.limits.slow.lo = min(p_w, 0.0)
    st.limits.slow.hi = max(p_w, 0.0)
    memset(&st.droop, 0, sizeof(st.droop))
    memset(&st.fast_response, 0, sizeof(st.fast_response))
    memset(&st.inertia, 0, sizeof(st.inertia))
    memset(&st.volt_watt, 0, sizeof(st.volt_watt))
    reactive_start(&st.reactive, q_pu)
    limits_found(&st.limits, p_w)
    st.obedience.stopped = 0


cdef void start_found(core_state_t* st, const settings_t* cfg, const inputs_t* inputs) noexcept nogil:
    """In service from the present power. What droop gives of it is no new base where that is nearer to what we left
    there than to the same without droop: else one event is answered anew after each interruption."""
    cdef double p_w = present_w(st, cfg, inputs)
    cdef double dp_w = st.left_dp_w if fabs(p_w - st.left_w) < 0.5 * fabs(st.left_dp_w) else 0.0
    start_from(st, p_w, present_q_pu(st, cfg))
    st.left_dp_w = 0.0
    if dp_w == 0.0:
        return
    st.p_base_w = p_w - dp_w
    st.dp_w = dp_w
    st.droop.dp_pu = dp_w / cfg.limits.p_rated_w
    st.limits.slow.lo = min(st.limits.slow.lo, st.p_base_w)
    st.limits.slow.hi = max(st.limits.slow.hi, st.p_base_w)


cdef int permitted(const settings_t* cfg, const inputs_t* inputs) noexcept nogil:
    return inputs.order.permit != 0 and cfg.enter_service.permit


cdef void out_of_service(core_state_t* st, const settings_t* cfg, int64_t state) noexcept nogil:
    st.state = state
    if cfg.enter_service.own:
        enter_service_begin(&st.enter_service)


cdef void abnormal(core_state_t* st, const settings_t* cfg, int64_t t_ns, double dt_s,
                   step_record_t* rec) noexcept nogil:
    """Ride-through region of what is known, recorded whoever owns the function."""
    cdef int v_known = rec.fresh_v < FRESH_STALE
    cdef int f_known = rec.fresh_f < FRESH_STALE
    ride_through_step(&st.ride_through, &cfg.ride_through, st.signals.v_lo_pu, st.signals.v_hi_pu, v_known,
                      st.signals.f_hz, f_known, t_ns, dt_s)
    rec.region = st.ride_through.region
    rec.disturbances = st.ride_through.sets
    rec.restore_pu = 1.0 - st.ride_through.withheld
    if rec.region != REGION_CONTINUOUS:
        rec.reasons |= RIDE_THROUGH
    if st.ride_through.may_trip:
        rec.reasons |= MAY_TRIP


cdef void stage_trip(core_state_t* st, const settings_t* cfg, int64_t t_ns, step_record_t* rec) noexcept nogil:
    cdef const signals_t* s = &st.signals
    if not (cfg.trip.own_voltage or cfg.trip.own_frequency or st.trip.watching):
        return
    if trip_step(&st.trip, &cfg.trip, s.v_lo_pu, s.v_hi_pu, s.t_v_ns, rec.fresh_v < FRESH_STALE, s.f_hz, s.t_f_ns,
                 rec.fresh_f < FRESH_STALE, t_ns):
        out_of_service(st, cfg, STATE_TRIPPED)


cdef int enter(core_state_t* st, const settings_t* cfg, int64_t t_ns, step_record_t* rec) noexcept nogil:
    """1 when the unit is in service or comes in now; else it is out, and rec says why."""
    cdef int known = rec.fresh_f < FRESH_STALE and rec.fresh_v < FRESH_STALE and rec.fresh_d < FRESH_STALE
    cdef int64_t left_ns
    if not st.enter_service.out:
        return 1
    if enter_service_step(&st.enter_service, &cfg.enter_service, st.signals.v_lo_pu, st.signals.v_hi_pu,
                          st.signals.f_hz, known, t_ns, &left_ns):
        st.trip.bits = 0
        start_from(st, 0.0, 0.0)
        return 1
    rec.es_left_ns = left_ns
    rec.reasons |= ENTER_CRITERIA if left_ns < 0 else ENTER_DELAY
    st.state = STATE_TRIPPED if st.trip.bits else STATE_WAITING
    return 0


cdef void stage_state(core_state_t* st, const settings_t* cfg, const inputs_t* inputs, int64_t t_ns, double dt_s,
                      step_record_t* rec) noexcept nogil:
    cdef int degraded = rec.fresh_f >= FRESH_STALE or rec.fresh_v >= FRESH_STALE or rec.fresh_d >= FRESH_STALE
    if not in_service(st.state):                        # nothing flows that would have to ramp down
        active_limit_step(&st.active_limit, &cfg.active_limit, inputs.order.ap_limit_pu, AT_ONCE_S)
    if rec.n == 0 and st.state == STATE_OFF:            # whether it was in service before is not known
        out_of_service(st, cfg, STATE_OFF)
    abnormal(st, cfg, t_ns, dt_s, rec)
    stage_trip(st, cfg, t_ns, rec)
    if st.device.t_ns != 0 or t_ns >= st.resume_until_ns:
        st.resume_until_ns = 0
    if not commandable(&st.device, rec):
        if in_service(st.state):
            st.left_w = st.p_cmd_w
            st.left_dp_w = st.droop.dp_pu * cfg.limits.p_rated_w
        if st.resume_until_ns == 0:
            if rec.fresh_d == FRESH_LOST or rec.reasons & LOCAL_CONTROL:    # its timer acts, or somebody else
                st.left_dp_w = 0.0
            out_of_service(st, cfg, STATE_STARTING)     # and from the present power again once it can be commanded
        rec.reasons |= STARTING
        return
    if not permitted(cfg, inputs) or inputs.order.stop == STOP_EMERGENCY and not in_service(st.state):
        out_of_service(st, cfg, STATE_OFF)              # commanded to 0, whatever the meter says
        st.left_dp_w = 0.0
        return
    if st.state == STATE_OFF or st.state == STATE_STARTING:
        if rec.fresh_f or rec.fresh_v or rec.fresh_d:
            st.state = STATE_STARTING
            rec.reasons |= STARTING
            return
        if st.state == STATE_OFF and rec.n > 0:         # we said 0; an older reading may still show what was before
            start_from(st, 0.0, 0.0)
        else:
            start_found(st, cfg, inputs)
    if not enter(st, cfg, t_ns, rec):
        return
    if st.ride_through.withheld == 1.0:
        st.state = STATE_CEASED
    elif degraded:
        st.state = STATE_DEGRADED
    else:
        st.state = STATE_ENTERING if st.enter_service.t_in_ns else STATE_IN_SERVICE


cdef void resume(core_state_t* st, const settings_t* cfg, const step_record_t* last, int64_t t_ns) noexcept nogil:
    """As the run before left us. Its inverter is found where it is: power begins there, in service or out of it."""
    st.state = STATE_STARTING
    st.resume_until_ns = t_ns + cfg.device.lost_ns
    if not in_service(last.state):
        st.trip.bits = last.trip if cfg.enter_service.own else 0        # nobody else would ever clear them
        out_of_service(st, cfg, STATE_STARTING)
        enter_service_resume(&st.enter_service, &cfg.enter_service, last.es_left_ns, t_ns)
        return
    st.left_w = last.p_cmd_w
    st.left_dp_w = last.dp_w
    if last.es_pu < 1.0:                                # whatever else held power back in that step
        st.enter_service.t_in_ns = t_ns - <int64_t> (last.es_pu * <double> cfg.enter_service.ramp_ns)


cdef int in_service(int64_t state) noexcept nogil:
    return state == STATE_IN_SERVICE or state == STATE_DEGRADED or state == STATE_ENTERING or state == STATE_CEASED


# ---- 3 power wish: nested clamp, strongest first ----

cdef void slow_limits(core_state_t* st, const settings_t* cfg, const inputs_t* inputs, span_t* hard, double ramp_w,
                      double dt_s, int64_t t_ns, step_record_t* rec) noexcept nogil:
    """What acts at once, and what is approached at the ramp rate, in *hard."""
    cdef span_t slow_target
    cdef double slow_w = ramp_w
    if rec.reasons & METER_LOST:
        slow_w = max(ramp_w, (cfg.limits.p_rated_w + cfg.limits.p_charge_rated_w) / SAFE_S * dt_s)
    hard_span(hard, st, cfg, inputs, rec)
    take(&slow_target, hard)
    ramped_span(&slow_target, st, cfg, inputs, t_ns, rec)
    if st.limits.slow.lo != slow_target.lo or st.limits.slow.hi != slow_target.hi:
        slow_span(&st.limits.slow, &slow_target, st.p_cmd_w, slow_w)
        if st.limits.slow.lo != slow_target.lo or st.limits.slow.hi != slow_target.hi:
            rec.reasons |= RAMP
    narrow(hard, st.limits.slow.lo, st.limits.slow.hi)
    take(&st.limits.slow, hard)                         # what a hard limit took comes back at the ramp rate


cdef void enter_ramp(core_state_t* st, const settings_t* cfg, span_t* hard, int64_t t_ns,
                     step_record_t* rec) noexcept nogil:
    cdef double rated_w = cfg.limits.p_rated_w
    cdef double share
    rec.es_pu = 1.0
    if st.enter_service.t_in_ns == 0:
        return
    share = enter_service_ramp(&st.enter_service, &cfg.enter_service,
                               max(1.0, cfg.limits.p_charge_rated_w / rated_w), t_ns)
    rec.es_pu = min(share, 1.0)
    if share * rated_w < max(hard.hi, -hard.lo):
        rec.reasons |= ENTER_RAMP
        narrow(hard, -share * rated_w, share * rated_w)


cdef void volt_watt(core_state_t* st, const settings_t* cfg, span_t* hard, int64_t k,
                    step_record_t* rec) noexcept nogil:
    """The ceiling binds the wish and droop alike; what is asked for is the wish, or droop's answer during an event."""
    cdef double rated_w = cfg.limits.p_rated_w
    cdef double asked_w
    if not (cfg.volt_watt.enable or st.volt_watt.limiting):
        return
    asked_w = clip((st.p_base_w if st.droop.side else rec.p_wish_w) + st.dp_w, hard.lo, hard.hi)
    if rec.fresh_v == FRESH_FRESH and st.ride_through.withheld < 1.0:       # at rest while nothing is delivered
        volt_watt_step(&st.volt_watt, &cfg.volt_watt, st.signals.v_pu, asked_w / rated_w, st.p_full_w / rated_w, k)
    elif rec.fresh_v >= FRESH_STALE:
        st.volt_watt.limiting = 0                       # without a voltage there is no export anyway
    rec.vw_hi_w = st.volt_watt.ceiling_pu * rated_w if st.volt_watt.limiting else NAN
    if st.volt_watt.limiting:
        if rec.vw_hi_w < asked_w:
            rec.reasons |= VOLT_WATT
        narrow(hard, hard.lo, rec.vw_hi_w)


cdef void obedience(core_state_t* st, const settings_t* cfg, const inputs_t* inputs, int64_t t_ns,
                    step_record_t* rec) noexcept nogil:
    """Whether the inverter does what it was told; a meter that sees the whole house cannot tell."""
    cdef double meter_w = NAN
    if cfg.obedience.window_ns == 0 or rec.fresh_d >= FRESH_STALE:
        return
    if inputs.meter.valid & M_P and rec.fresh_p < FRESH_STALE and not cfg.site_limits.enable:
        meter_w = inputs.meter.p_w
    rec.reasons |= obedience_step(&st.obedience, &cfg.obedience, &st.device, meter_w, t_ns)


cdef double stage_wish(core_state_t* st, const settings_t* cfg, const inputs_t* inputs, span_t* hard, double dt_s,
                       int64_t t_ns, int64_t k, step_record_t* rec) noexcept nogil:
    """Returns the wished power; leaves in *hard what also binds droop (all but the active power limit)."""
    cdef span_t economic
    cdef double ramp_w = cfg.limits.ramp_pu_s * cfg.limits.p_rated_w * dt_s
    cdef double order_pu = inputs.order.ap_limit_pu
    cdef double ceiling_w, down_w, lo_w, hi_w
    cdef double most_w = 0.0
    if inputs.wish.source >= 0:
        rec.reasons |= arbiter_accept(&st.arbiter, &cfg.arbiter, &inputs.wish, t_ns)
    obedience(st, cfg, inputs, t_ns, rec)
    slow_limits(st, cfg, inputs, hard, ramp_w, dt_s, t_ns, rec)
    enter_ramp(st, cfg, hard, t_ns, rec)
    take(&economic, hard)
    if cfg.active_limit.enable or order_pu == order_pu or st.active_limit.below_pu != 0.0:
        ceiling_w = cfg.limits.p_rated_w * active_limit_step(&st.active_limit, &cfg.active_limit, order_pu, dt_s)
        if ceiling_w < economic.hi:
            rec.reasons |= ACTIVE_LIMIT
            narrow(&economic, economic.lo, ceiling_w)
    st.p_most_w = economic.hi
    if inputs.order.t_depart_ns != 0:
        most_w = most_charging_w(&st.device, &cfg.limits)
    rec.p_wish_w = arbiter_power(&st.arbiter, &cfg.arbiter, &economic, st.device.soc_pu,
                                 soc_known(&st.device), most_w, inputs.order.t_depart_ns, t_ns, &rec.reasons)
    volt_watt(st, cfg, hard, k, rec)
    narrow(&economic, hard.lo, hard.hi)
    rec.p_lo_w = hard.lo
    rec.p_hi_w = hard.hi
    if st.droop.side == 0:
        # a ceiling that came down during an event is approached as well, at its own pace when that is the quicker one
        down_w = max(ramp_w, cfg.active_limit.rate_pu_s * cfg.limits.p_rated_w * dt_s)
        economic.hi = clip(st.p_base_w - down_w, economic.hi, hard.hi)
        # the limits hold the sum: where the base stands beyond them, what is left of an event may still make up for it
        lo_w, hi_w = economic.lo, economic.hi
        if st.dp_w > 0.0:
            lo_w = min(lo_w, max(st.p_base_w, lo_w - st.dp_w))
        elif st.dp_w < 0.0:
            hi_w = max(hi_w, min(st.p_base_w, hi_w - st.dp_w))
        st.p_base_w = approach(st.p_base_w, rec.p_wish_w, ramp_w)
        if st.p_base_w != rec.p_wish_w:
            rec.reasons |= RAMP
        st.p_base_w = clip(st.p_base_w, lo_w, hi_w)
    rec.w_source = st.arbiter.source
    rec.w_seq = st.arbiter.seq
    rec.w_p_w = st.arbiter.p_w
    return st.p_base_w if st.droop.side or st.dp_w == 0.0 else clip(st.p_base_w, hard.lo, hard.hi)


# ---- 4 frequency ----

cdef double fast_functions(core_state_t* st, const settings_t* cfg, double dt_s, int64_t t_ns, int64_t k,
                           step_record_t* rec) noexcept nogil:
    """Fast frequency response and inertia, both off by default; W to add."""
    cdef int fresh = rec.fresh_f < FRESH_STALE
    cdef double fast_pu = 0.0, inertia_pu = 0.0
    if cfg.fast_response.enable or st.fast_response.active:
        fast_pu = fast_response_step(&st.fast_response, &cfg.fast_response, st.signals.f_hz, st.signals.t_f_ns, fresh,
                                     t_ns, dt_s)
    if cfg.inertia.enable or st.inertia.dp_pu != 0.0:
        inertia_pu = inertia_step(&st.inertia, &cfg.inertia, st.signals.rocof_hz_s, fresh, k)
    if fast_pu != 0.0:
        rec.reasons |= FAST_RESPONSE
    if inertia_pu != 0.0:
        rec.reasons |= INERTIA
    return (fast_pu + inertia_pu) * cfg.limits.p_rated_w


cdef double stage_frequency(core_state_t* st, const settings_t* cfg, double p_now_w, const span_t* hard, double dt_s,
                            int64_t t_ns, int64_t k, step_record_t* rec) noexcept nogil:
    cdef double rated_w = cfg.limits.p_rated_w
    cdef double p_w, asked_w
    cdef int64_t before = st.droop.side
    if rec.fresh_f >= FRESH_STALE:
        freq_droop_release(&st.droop, &cfg.droop, dt_s)
    elif rec.fresh_f == FRESH_FRESH:
        freq_droop_step(&st.droop, &cfg.droop, st.signals.f_hz, st.signals.t_f_ns, t_ns, k, p_now_w / rated_w)
    if st.droop.waiting:
        rec.reasons |= DROOP_WAITING
    if st.droop.side:
        rec.reasons |= DROOP
        if before == 0:                                 # what the limits cut off the base goes by droop's lag as well
            st.droop.dp_pu += (st.p_base_w - clip(st.p_base_w, hard.lo, hard.hi)) / rated_w
        st.p_base_w = st.droop.p_pre_pu * rated_w       # frozen; after the event the ramp leads from here to the wish
    rec.p_pre_w = st.p_base_w
    rec.dp_target_w = st.droop.target_pu * rated_w
    rec.dp_w = st.droop.dp_pu * rated_w
    rec.dp_fast_w = fast_functions(st, cfg, dt_s, t_ns, k, rec)
    st.dp_w = rec.dp_w + rec.dp_fast_w
    asked_w = st.p_base_w + st.dp_w
    if rec.dp_fast_w > 0.0:                             # the active power limit gives way to droop, to nothing else
        asked_w = max(st.p_base_w + rec.dp_w, min(asked_w, st.p_most_w))
    p_w = clip(asked_w, hard.lo, hard.hi)
    if st.droop.side and p_w != asked_w:
        rec.reasons |= DROOP_LIMITED
    rec.p_freq_w = p_w
    return p_w


# ---- 5 voltage ----

cdef int64_t mode_reason(int64_t mode) noexcept nogil:
    if mode == MODE_CONSTANT_PF:
        return POWER_FACTOR
    if mode == MODE_VOLT_VAR:
        return VOLT_VAR
    if mode == MODE_WATT_VAR:
        return WATT_VAR
    return CONST_VAR if mode == MODE_CONSTANT_Q else 0


cdef double stage_voltage(core_state_t* st, const settings_t* cfg, const inputs_t* inputs, double p_w, double dt_s,
                          int64_t k, step_record_t* rec) noexcept nogil:
    cdef reactive_t* reactive = &st.reactive
    cdef double s_va = cfg.limits.s_rated_va
    cdef double inside_w = inside_circle(p_w, st.q_cmd_var, s_max(st, cfg, p_w))
    if inputs.order.stop != STOP_RUN or rec.fresh_v >= FRESH_STALE:
        reactive_release(reactive, &cfg.reactive, dt_s)
    elif rec.fresh_v == FRESH_FRESH:
        reactive_step(reactive, &cfg.reactive, st.signals.v_pu, p_w / s_va, inside_w / cfg.limits.p_rated_w, dt_s, k)
    if reactive.target_pu != 0.0:
        rec.reasons |= mode_reason(cfg.reactive.mode)
    if reactive.left != 0.0:
        rec.reasons |= MODE_CHANGE
    rec.q_mode = cfg.reactive.mode
    rec.v_ref_pu = 1.0
    if cfg.reactive.mode == MODE_VOLT_VAR:
        rec.v_ref_pu = reactive.volt_var.v_ref_pu or cfg.reactive.volt_var.v_ref_pu
    rec.q_target_var = reactive.target_pu * s_va
    rec.q_lag_var = reactive_q(reactive) * s_va
    return rec.q_lag_var


# ---- 6 limits ----

cdef double s_max(const core_state_t* st, const settings_t* cfg, double p_w) noexcept nogil:
    """Apparent power the unit may have in this direction."""
    cdef double s_va = cfg.limits.s_charge_rated_va if p_w < 0.0 else cfg.limits.s_rated_va
    if st.device.valid & D_S_MAX and isfinite(st.device.s_max_va):
        return clip(st.device.s_max_va, 0.0, s_va)
    return s_va


cdef double apparent(core_state_t* st, const settings_t* cfg, double p_w, double q_var,
                     step_record_t* rec) noexcept nogil:
    """P and Q inside capability and circle; Q in st.q_cmd_var, returns P."""
    cdef double s_max_va = s_max(st, cfg, p_w)
    cdef double asked_w = p_w
    cdef double capable_var
    if cfg.reactive.mode == MODE_CONSTANT_PF:
        shrink_both(&p_w, &q_var, s_max_va)
        capable_var = inside_capability(q_var, &cfg.limits, p_w, s_max_va)
        if capable_var != q_var:                        # the factor cannot be held: no power is given up for it
            rec.reasons |= REACTIVE_LIMIT
            q_var = capable_var
            p_w = inside_circle(asked_w, q_var, s_max_va)
    else:
        capable_var = inside_capability(q_var, &cfg.limits, p_w, s_max_va)
        if capable_var != q_var:
            rec.reasons |= REACTIVE_LIMIT
        q_var = capable_var
        share_circle(&p_w, &q_var, &cfg.limits, s_max_va)
        if q_var != capable_var:
            rec.reasons |= REACTIVE_LIMIT
    if p_w != asked_w:
        rec.reasons |= APPARENT_POWER
    st.q_cmd_var = q_var
    return p_w


cdef void stage_limits(core_state_t* st, const settings_t* cfg, const inputs_t* inputs, const span_t* hard, double p_w,
                       double q_var, int64_t t_ns, step_record_t* rec) noexcept nogil:
    cdef double smallest_w = cfg.limits.p_min_abs_w
    cdef double let_through = 1.0 - st.ride_through.withheld
    cdef double inside_w
    cdef double most_w = 0.0
    if st.device.valid & D_P_MIN_ABS and isfinite(st.device.p_min_abs_w):
        smallest_w = max(smallest_w, st.device.p_min_abs_w)
    inside_w = apparent(st, cfg, p_w, q_var, rec)
    if inputs.order.stop == STOP_EMERGENCY:
        st.q_cmd_var = 0.0
        reactive_start(&st.reactive, 0.0)               # and it comes back by its lag
    st.p_full_w = inside_w
    if let_through < 1.0:
        rec.reasons |= CESSATION if let_through == 0.0 else RESTORE
        inside_w = inside_w * let_through
        st.q_cmd_var = st.q_cmd_var * let_through
    if smallest_w > 0.0:
        most_w = inside_circle(hard.hi if inside_w > 0.0 else -hard.lo, st.q_cmd_var, s_max(st, cfg, inside_w))
    inside_w = holdable(&st.limits, &cfg.limits, inside_w, smallest_w, most_w, t_ns, &rec.reasons)
    if rec.reasons & REVERSAL_DWELL and st.droop.side == 0:
        st.p_base_w = 0.0                               # the ramp waits too: it begins at 0 when the direction may turn
    st.p_cmd_w = clip(inside_w, min(hard.lo, 0.0), max(hard.hi, 0.0))
    if limited_by_device(&st.device, st.p_base_w if st.droop.side else rec.w_p_w, st.dp_w, st.p_cmd_w):
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

cdef void stage_command(core_state_t* st, const settings_t* cfg, const inputs_t* inputs, int64_t t_ns,
                        step_record_t* rec) noexcept nogil:
    rec.state = st.state
    rec.trip = st.trip.bits
    if st.trip.bits & (TRIP_OV2 | TRIP_OV1 | TRIP_UV1 | TRIP_UV2):
        rec.reasons |= TRIP_VOLTAGE
    if st.trip.bits & (TRIP_OF2 | TRIP_OF1 | TRIP_UF1 | TRIP_UF2):
        rec.reasons |= TRIP_FREQUENCY
    rec.p_cmd_w = st.p_cmd_w
    rec.q_cmd_var = st.q_cmd_var
    rec.valid_ms = cfg.valid_ms
    if st.state == STATE_STARTING:
        rec.mode = MODE_SILENT
    elif inputs.order.stop != STOP_RUN or not in_service(st.state) or st.state == STATE_CEASED:
        rec.mode = MODE_STOP
    elif rec.reasons & METER_LOST:
        rec.mode = MODE_SAFE
    else:
        rec.mode = MODE_ACTIVE
    if cfg.obedience.window_ns != 0:
        obedience_told(&st.obedience, &cfg.obedience, st.p_cmd_w, rec.mode == MODE_SILENT, t_ns)


cdef void idle(core_state_t* st, const settings_t* cfg, const inputs_t* inputs, int64_t t_ns,
               step_record_t* rec) noexcept nogil:
    """Not in service: every function is at rest. Starting: nothing is commanded; else 0 W and 0 var."""
    cdef span_t span
    rec.reasons |= arbiter_accept(&st.arbiter, &cfg.arbiter, &inputs.wish, t_ns)
    if st.state != STATE_STARTING:
        hard_span(&span, st, cfg, inputs, rec)          # for its reasons
        holdable(&st.limits, &cfg.limits, 0.0, 0.0, 0.0, t_ns, &rec.reasons)
    start_from(st, 0.0, 0.0)
    rec.w_source = -1
    rec.w_seq = 0
    rec.w_p_w = rec.p_lo_w = rec.p_hi_w = rec.p_wish_w = rec.p_pre_w = rec.p_freq_w = 0.0
    rec.es_pu = rec.dp_target_w = rec.dp_w = rec.dp_fast_w = rec.q_target_var = rec.q_lag_var = 0.0
    rec.q_mode = cfg.reactive.mode
    rec.v_ref_pu = 1.0


cdef void step(core_state_t* st, const settings_t* cfg, const inputs_t* inputs, int64_t t_ns, int64_t k,
               step_record_t* rec) noexcept nogil:
    cdef double dt_s = <double> (k * cfg.period_ns) * 1e-9
    cdef span_t hard
    cdef double p_w, q_var
    # side by side in both structs (tests/test_records_mirror.py). Nothing is cleared: every other field has its line
    memcpy(&rec.m_t_f_ns, inputs, sizeof(inputs_t))
    rec.site_lo_w = rec.site_hi_w = rec.vw_hi_w = NAN
    st.skipped += k - 1
    rec.n = st.n
    rec.t_ns = t_ns
    rec.k = k
    rec.skipped = st.skipped
    rec.lateness_ns = 0
    rec.es_left_ns = 0
    rec.settings_digest = cfg.digest
    rec.reasons = SKIPPED if k > 1 else 0
    st.n += 1
    stage_fresh(st, cfg, inputs, t_ns, rec)
    stage_state(st, cfg, inputs, t_ns, dt_s, rec)
    if not in_service(st.state):
        idle(st, cfg, inputs, t_ns, rec)
    else:
        p_w = stage_wish(st, cfg, inputs, &hard, dt_s, t_ns, k, rec)
        p_w = inside_circle(p_w, st.q_cmd_var, s_max(st, cfg, p_w))
        p_w = stage_frequency(st, cfg, p_w, &hard, dt_s, t_ns, k, rec)
        q_var = stage_voltage(st, cfg, inputs, p_w, dt_s, k, rec)
        stage_limits(st, cfg, inputs, &hard, p_w, q_var, t_ns, rec)
    stage_command(st, cfg, inputs, t_ns, rec)


cdef class Core:
    """The compiled step with its state and settings: in the loop, in a spreadsheet and in a replay the same."""

    def __init__(self, settings, double period_s, bint in_service=False):
        """settings: Settings; period_s: of the grid. in_service: start in service, as if every input had been fresh."""
        if not 0.001 <= period_s <= 0.1:
            raise ValueError(f"period_s = {period_s} is outside 0.001 ... 0.1 s")
        self.period_s = period_s
        memset(&self.st, 0, sizeof(core_state_t))
        self.change(settings)
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
        self.st.p_base_w = self.st.p_cmd_w = self.st.p_full_w = p_w

    def change(self, settings):
        """Other settings from the next step on; the state stays."""
        from cython_core.compiled import compiled
        self.use(compiled(settings, self.period_s))
        self.settings = settings

    @staticmethod
    def of(bytes compiled_settings):
        """A core of settings that another process of this build has compiled; it does not know them by name."""
        cdef Core core = Core.__new__(Core)
        core.use(compiled_settings)
        core.period_s = core.cfg.period_ns * 1e-9
        return core

    cdef int use(self, bytes compiled_settings) except -1:
        if len(compiled_settings) != sizeof(settings_t):
            raise ValueError(f"settings of {len(compiled_settings)} bytes; this build has {sizeof(settings_t)}")
        memcpy(&self.cfg, <const char*> compiled_settings, sizeof(settings_t))
        return 0

    def resume(self, bytes record, int64_t t_ns):
        """Go on at t_ns after the raw step record that another core wrote last, a moment ago, on the same clock.

        Trips and the way back into service are taken over: the delay with what was left of it, the ramp where it was.
        Raises ValueError when the size differs.
        """
        cdef step_record_t last
        if len(record) != sizeof(step_record_t):
            raise ValueError(f"a record has {sizeof(step_record_t)} bytes, not {len(record)}")
        memcpy(&last, <const char*> record, sizeof(step_record_t))
        resume(&self.st, &self.cfg, &last, t_ns)

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
        import struct

        from cython_core.records import Order, StepRecord, kinds
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

    def replay(self, raw):
        """Raw step records -> the same steps computed anew from their recorded inputs, as bytearray.

        Read: inputs, t_ns, k; lateness_ns is copied. Everything else comes from this core's state and settings.
        """
        cdef Py_buffer view
        PyObject_GetBuffer(raw, &view, PyBUF_SIMPLE)
        try:
            return self.replayed(<const step_record_t*> view.buf, view.len)
        finally:
            PyBuffer_Release(&view)

    cdef bytearray replayed(self, const step_record_t* source, Py_ssize_t n_bytes):
        cdef Py_ssize_t size = sizeof(step_record_t)
        cdef Py_ssize_t count = n_bytes // size
        cdef Py_ssize_t i
        cdef bytearray out = PyByteArray_FromStringAndSize(NULL, count * size)      # every byte is written below
        cdef step_record_t* target = <step_record_t*> <char*> out
        if n_bytes % size:
            raise ValueError(f"{n_bytes} bytes are not whole step records of {size} bytes")
        with nogil:
            for i in range(count):
                step(&self.st, &self.cfg, <const inputs_t*> &source[i].m_t_f_ns, source[i].t_ns, source[i].k,
                     &target[i])
                target[i].lateness_ns = source[i].lateness_ns
        return out

    def run(self, arrays):
        """Virtual time: arrays of one element a step -> structured array of step records (bulk.run)."""
        from cython_core import bulk
        return bulk.run(self, arrays)


def pack(record):
    """One record as bytes, one 64-bit word a field."""
    import struct

    from cython_core.records import kinds
    return struct.pack("<" + kinds(type(record)), *(getattr(record, name) for name in record.__dataclass_fields__))
