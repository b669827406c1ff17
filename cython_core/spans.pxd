# What active power is permitted, from what is measured and ordered: two spans of one nested clamp.
#
# Output   hard_span: acts at once (stop, permit, the device's own limits, an unplugged car, the house connection).
#          ramped_span: is approached at the ramp rate (battery, stop, lost and stale signals); narrows what it is
#          given.
# Errors   none; each layer that binds sets its reasons bit.

from libc.math cimport isfinite
from libc.stdint cimport int64_t

from cython_core.arbiter cimport narrow, span_t
from cython_core.codes cimport *
from cython_core.codes cimport D_SOC
from cython_core.compiled cimport settings_t
from cython_core.functions.signals cimport clip
from cython_core.functions.site_limits cimport site_limits_span
from cython_core.limits cimport battery_span, limits_cfg_t
from cython_core.state cimport core_state_t
from cython_core.structs cimport device_state_t, inputs_t, step_record_t

cdef inline int soc_known(const device_state_t* device) noexcept nogil:
    return (device.valid & D_SOC) != 0 and isfinite(device.soc_pu)


cdef inline double own_limit(const device_state_t* device, int64_t bit, double said_w, double rated_w) noexcept nogil:
    if device.valid & bit and isfinite(said_w):
        return clip(said_w, 0.0, rated_w)
    return rated_w


cdef inline double most_charging_w(const device_state_t* device, const limits_cfg_t* cfg) noexcept nogil:
    return own_limit(device, D_P_MAX_CHARGE, device.p_max_charge_w, cfg.p_charge_rated_w)


cdef inline void hard_span(span_t* span, const core_state_t* st, const settings_t* cfg, const inputs_t* inputs,
                           step_record_t* rec) noexcept nogil:
    """What acts at once: stop, permit, the device's own limits, an unplugged car, the house connection."""
    cdef span_t left
    cdef const device_state_t* device = &st.device
    cdef int64_t session = device.session if device.valid & D_SESSION else SESSION_READY
    span.lo = -most_charging_w(device, &cfg.limits)
    span.hi = own_limit(device, D_P_MAX_DISCHARGE, device.p_max_discharge_w, cfg.limits.p_rated_w)
    if inputs.order.stop == STOP_EMERGENCY:
        rec.reasons |= EMERGENCY_STOP
        span.lo = span.hi = 0.0
    if inputs.order.permit == 0 or not cfg.enter_service.permit:
        rec.reasons |= NO_PERMIT
        span.lo = span.hi = 0.0
    if session != SESSION_READY and session != SESSION_CHARGING and session != SESSION_DISCHARGING:
        rec.reasons |= SESSION
        span.lo = span.hi = 0.0
    if cfg.site_limits.enable and st.site_limits.known and rec.fresh_p < FRESH_STALE:
        left = site_limits_span(&st.site_limits, &cfg.site_limits, span[0], &rec.reasons)
        rec.site_lo_w = left.lo
        rec.site_hi_w = left.hi
        narrow(span, left.lo, left.hi)


cdef inline int writes_echoed(const core_state_t* st, const settings_t* cfg, int64_t t_ns) noexcept nogil:
    return st.device.t_echo_ns != 0 and t_ns - st.device.t_echo_ns <= cfg.echo_ns


cdef inline void ramped_span(span_t* target, const core_state_t* st, const settings_t* cfg, const inputs_t* inputs,
                             int64_t t_ns, step_record_t* rec) noexcept nogil:
    """What is approached at the ramp rate: the battery, stop, lost and stale signals."""
    cdef double soc_pu = st.device.soc_pu
    cdef double band_pu = cfg.limits.soc_band_pu
    if not (soc_known(&st.device) and cfg.limits.soc_min_pu < soc_pu < cfg.limits.soc_max_pu
            and soc_pu - cfg.limits.soc_min_pu >= band_pu
            and cfg.limits.soc_max_pu - soc_pu >= band_pu):     # far from both ends the battery limits nothing
        battery_span(target, &cfg.limits, soc_pu, soc_known(&st.device), &rec.reasons)
    if inputs.order.stop != STOP_RUN and inputs.order.stop != STOP_EMERGENCY:       # what it does not know is a stop
        rec.reasons |= STOP
        narrow(target, 0.0, 0.0)
    if st.obedience.stopped:
        narrow(target, 0.0, 0.0)
    if rec.reasons & METER_LOST:
        narrow(target, cfg.safe_p_w, cfg.safe_p_w)
    if cfg.site_limits.enable and rec.fresh_p >= FRESH_STALE:
        narrow(target, cfg.site_limits.blind.lo, cfg.site_limits.blind.hi)
    if rec.fresh_d == FRESH_STALE and not writes_echoed(st, cfg, t_ns):
        narrow(target, 0.0, 0.0)
    if rec.fresh_v >= FRESH_STALE:
        narrow(target, -cfg.degraded_charge_w, 0.0)
