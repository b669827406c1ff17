# Stage 1: how old is each signal, and what is its last good value.
#
# Source   thresholds: compiled.pyx. Invalid: not finite, or outside 0 ... 1.5 V_nom, 0.8 ... 1.2 f_nom: abnormal is
#          data.
# Inputs   inputs_t; t_ns is the grid deadline. The age of a meter's value includes half of its refresh.
# State    signals_t, device_state_t; all zero: nothing was ever seen.
# Output   ages, freshness, f_hz, v_pu, rocof_hz_s and their reasons bits in the record.
# Errors   none: an invalid value does not count, so that its signal's age grows.

from libc.math cimport NAN, isfinite
from libc.stdint cimport int64_t
from libc.string cimport memcmp

from cython_core.codes cimport *
from cython_core.compiled cimport ages_cfg_t, settings_t
from cython_core.functions.site_limits cimport site_limits_read
from cython_core.state cimport core_state_t, signals_t
from cython_core.structs cimport inputs_t, measurement_t, step_record_t

cdef enum:
    NEVER_NS = 0x3FFFFFFFFFFFFFFF
    AHEAD_NS = 1_000_000_000     # a reading may be newer than the deadline of a late step, not of another time
    ROCOF_NS = 100_000_000       # IEEE 1547-2018 6.5.2.5: averaged over at least 0.1 s


cdef inline int of_another_time(int64_t t_value_ns, int64_t t_ns) noexcept nogil:
    """A time from the future would be fresh for ever, and no later one newer: one flipped bit must not do that."""
    return t_value_ns > t_ns + AHEAD_NS


cdef inline int64_t age_of(int64_t t_ns, int64_t t_value_ns, int64_t half_refresh_ns) noexcept nogil:
    if t_value_ns == 0:
        return NEVER_NS
    return max(0, t_ns - t_value_ns) + half_refresh_ns


cdef inline int64_t freshness(int64_t age_ns, const ages_cfg_t* ages) noexcept nogil:
    if age_ns <= ages.fresh_ns:
        return FRESH_FRESH
    return 1 + (age_ns > ages.held_ns) + (age_ns > ages.lost_ns)


cdef inline int same_values(const measurement_t* a, const measurement_t* b) noexcept nogil:
    """Bit for bit, f_hz ... i3_a: an absent quantity is NaN and equal to itself only that way."""
    return memcmp(&a.f_hz, &b.f_hz, 12 * sizeof(double)) == 0


cdef inline void take_frequency(signals_t* st, const settings_t* cfg, const measurement_t* m, int64_t t_ns,
                                int64_t* reasons) noexcept nogil:
    if m.t_f_ns == 0:
        return
    if not (m.valid & M_F and isfinite(m.f_hz) and 0.8 * cfg.f_nom_hz <= m.f_hz <= 1.2 * cfg.f_nom_hz
            and not of_another_time(m.t_f_ns, t_ns)):
        reasons[0] |= F_INVALID
        return
    if m.t_f_ns <= st.t_f_ns:
        return
    if st.rocof_from_ns == 0:
        st.rocof_from_hz = m.f_hz
        st.rocof_from_ns = m.t_f_ns
    elif m.t_f_ns - st.rocof_from_ns >= max(ROCOF_NS, cfg.droop.refresh_ns):    # in less the meter has nothing new
        st.rocof_hz_s = (m.f_hz - st.rocof_from_hz) / (<double> (m.t_f_ns - st.rocof_from_ns) * 1e-9)
        st.rocof_from_hz = m.f_hz
        st.rocof_from_ns = m.t_f_ns
    st.f_hz = m.f_hz
    st.t_f_ns = m.t_f_ns


cdef inline void take_voltage(signals_t* st, const settings_t* cfg, const measurement_t* m, int64_t t_ns,
                              int64_t* reasons) noexcept nogil:
    """4.3: the mean for volt-var and volt-watt, the worst phase for trip, ride-through and enter service."""
    cdef const double* v_v = &m.v1_v
    cdef double sum_pu = 0.0, lo_pu = 1.5, hi_pu = 0.0, v_pu
    cdef int64_t good = 0
    cdef int i, phases = 0
    if m.t_v_ns == 0:
        return
    for i in range(3):
        if not (m.valid & M_V1 << i and isfinite(v_v[i]) and 0.0 <= v_v[i] <= 1.5 * cfg.v_nom_v):
            continue
        v_pu = v_v[i] / cfg.v_nom_v
        sum_pu += v_pu
        lo_pu = min(lo_pu, v_pu)
        hi_pu = max(hi_pu, v_pu)
        good |= M_V1 << i
        phases += 1
    if of_another_time(m.t_v_ns, t_ns):
        reasons[0] |= V_INVALID
        return
    st.v_phases |= good
    if good == 0 or good != st.v_phases:                # a phase this meter has shown before is missing
        reasons[0] |= V_INVALID
        return
    if m.t_v_ns > st.t_v_ns:
        st.v_pu = sum_pu if phases == 1 else sum_pu / <double> phases
        st.v_lo_pu = lo_pu
        st.v_hi_pu = hi_pu
        st.t_v_ns = m.t_v_ns


cdef inline int is_frozen(signals_t* st, const settings_t* cfg, const measurement_t* m) noexcept nogil:
    if cfg.frozen_ns == 0:
        return 0
    if not same_values(m, &st.last):
        st.last = m[0]
        st.t_change_ns = m.t_f_ns
    return m.t_f_ns - st.t_change_ns > cfg.frozen_ns


cdef inline double delivered_w(const core_state_t* st, const settings_t* cfg, int64_t t_ns) noexcept nogil:
    """What the unit delivers now, by its own word while that is not stale; else what it was told."""
    cdef int64_t age_ns = age_of(t_ns, st.device.t_ns, 0)
    if age_ns <= cfg.device.held_ns and st.device.valid & D_P and isfinite(st.device.p_w):
        return st.device.p_w
    return st.p_cmd_w


# Takes what is good of the inputs; fills ages, freshness and conditioned values of the record.
cdef inline void stage_fresh(core_state_t* st, const settings_t* cfg, const inputs_t* inputs, int64_t t_ns,
                             step_record_t* rec) noexcept nogil:
    cdef const measurement_t* m = &inputs.meter
    cdef signals_t* signals = &st.signals
    if inputs.device.t_ns > st.device.t_ns and not of_another_time(inputs.device.t_ns, t_ns):
        st.device = inputs.device
    st.device.t_echo_ns = 0 if of_another_time(inputs.device.t_echo_ns, t_ns) else inputs.device.t_echo_ns
    if is_frozen(signals, cfg, m):                      # its answers no longer count: the ages grow
        rec.reasons |= METER_FROZEN
    else:
        take_frequency(signals, cfg, m, t_ns, &rec.reasons)
        take_voltage(signals, cfg, m, t_ns, &rec.reasons)
        if m.valid & M_P and isfinite(m.p_w) and m.t_p_ns > signals.t_p_ns and not of_another_time(m.t_p_ns, t_ns):
            if not cfg.site_limits.enable or site_limits_read(&st.site_limits, &cfg.site_limits, m,
                                                              delivered_w(st, cfg, t_ns)):
                signals.t_p_ns = m.t_p_ns
    rec.age_f_ns = age_of(t_ns, signals.t_f_ns, cfg.half_refresh_ns)
    rec.age_v_ns = age_of(t_ns, signals.t_v_ns, cfg.half_refresh_ns)
    rec.age_p_ns = age_of(t_ns, signals.t_p_ns, cfg.half_refresh_ns)
    rec.age_d_ns = age_of(t_ns, st.device.t_ns, 0)
    rec.fresh_f = freshness(rec.age_f_ns, &cfg.meter)
    rec.fresh_v = freshness(rec.age_v_ns, &cfg.meter)
    rec.fresh_p = freshness(rec.age_p_ns, &cfg.meter)
    rec.fresh_d = freshness(rec.age_d_ns, &cfg.device)
    rec.f_hz = signals.f_hz if signals.t_f_ns else NAN  # absent is never 0
    rec.v_pu = signals.v_pu if signals.t_v_ns else NAN
    rec.v_lo_pu = signals.v_lo_pu if signals.t_v_ns else NAN
    rec.v_hi_pu = signals.v_hi_pu if signals.t_v_ns else NAN
    rec.rocof_hz_s = signals.rocof_hz_s
    rec.reasons |= (F_HELD << rec.fresh_f >> 1) if rec.fresh_f else 0
    rec.reasons |= (V_HELD << rec.fresh_v >> 1) if rec.fresh_v else 0
    rec.reasons |= (DEVICE_HELD << rec.fresh_d >> 1) if rec.fresh_d else 0
    rec.reasons |= (P_HELD << rec.fresh_p >> 1) if rec.fresh_p and cfg.site_limits.enable else 0
    if rec.fresh_f == FRESH_LOST and rec.fresh_v == FRESH_LOST:
        rec.reasons |= METER_LOST
