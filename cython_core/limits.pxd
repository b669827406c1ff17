# The last stage: ramps, battery, apparent power, smallest power, reversal dwell.
#
# Source   IEEE 1547-2018 5.2 and Table 7 (reactive capability; reactive power first inside it, beyond it as set); the
#          rest is product: what batteries and inverters can hold.
# Inputs   powers in W, var, VA at the inverter's terminals, + = into the grid.
# State    limits_t; all zero is a valid start (the slow span opens from 0 W at the ramp rate).
# Errors   none: every limit was range-checked at load or is a finite answer of the device.

from libc.math cimport INFINITY, fabs, sqrt
from libc.stdint cimport int64_t

from cython_core.arbiter cimport narrow, span_t
from cython_core.codes cimport REVERSAL_DWELL, SMALLEST_POWER, SOC_LIMIT
from cython_core.functions.signals cimport clip

cdef extern from *:
    """
    #define V2G_KEEP 0.8
    #define V2G_FULL_Q_FROM 0.2
    """
    const double KEEP "V2G_KEEP"    # a running inverter is held at its smallest power down to this share of it
    const double FULL_Q_FROM "V2G_FULL_Q_FROM"    # of rated P: from there the full capability (5.2)

cdef struct limits_cfg_t:
    double p_rated_w
    double p_charge_rated_w
    double s_rated_va
    double s_charge_rated_va
    double q_inject_pu           # capability of the unit
    double q_absorb_pu
    double table_7_inject_pu     # what has priority over P in any case
    double table_7_absorb_pu
    int64_t active_first         # beyond Table 7 active power comes first
    int64_t q_in_proportion      # below 20 % of rated P the capability falls with P
    double ramp_pu_s
    double p_min_abs_w           # the site's; the device's own value wins when it is larger
    int64_t reverse_dwell_ns
    double soc_min_pu
    double soc_max_pu
    double soc_band_pu

cdef struct limits_t:
    span_t slow                  # limits that move at the ramp rate; all zero: open from 0 W
    int64_t direction            # of the last power that was not 0
    int64_t t_zero_ns            # since when the power has been 0
    int64_t reversals

# Active power beside q_var inside the apparent-power circle.
cdef inline double inside_circle(double p_w, double q_var, double s_max_va) noexcept nogil:
    cdef double room = s_max_va * s_max_va - q_var * q_var
    cdef double most_w
    if p_w * p_w < room:
        return p_w
    most_w = sqrt(room) if room > 0.0 else 0.0
    return clip(p_w, -most_w, most_w)


cdef void limits_init(limits_cfg_t* cfg, object settings)


# Moves the slow span towards target: inwards it starts at the present power, outwards it opens at the ramp rate.
cdef inline void slow_span(span_t* slow, const span_t* target, double p_w, double most_w) noexcept nogil:
    if target.hi < slow.hi:
        slow.hi = max(target.hi, min(slow.hi, max(p_w, target.hi)) - most_w)
    else:
        slow.hi = min(target.hi, slow.hi + most_w)
    if target.lo > slow.lo:
        slow.lo = min(target.lo, max(slow.lo, min(p_w, target.lo)) + most_w)
    else:
        slow.lo = max(target.lo, slow.lo - most_w)
    if slow.lo > slow.hi:                               # a target on the other side of 0 drags the far edge along
        if target.lo > 0.0:
            slow.hi = slow.lo
        else:
            slow.lo = slow.hi


# What the battery permits, by state of charge, inside span; ORs SOC_LIMIT.
cdef inline void battery_span(span_t* span, const limits_cfg_t* cfg, double soc_pu, int soc_known,
                              int64_t* reasons) noexcept nogil:
    cdef double discharge = 0.0
    cdef double charge = 1.0
    if soc_known:
        discharge = taper(soc_pu - cfg.soc_min_pu, cfg.soc_band_pu)
        charge = taper(cfg.soc_max_pu - soc_pu, cfg.soc_band_pu)
    if discharge < 1.0 or charge < 1.0:
        reasons[0] |= SOC_LIMIT
    narrow(span, -charge * cfg.p_charge_rated_w, discharge * cfg.p_rated_w)


cdef inline double taper(double room_pu, double band_pu) noexcept nogil:
    if room_pu <= 0.0:
        return 0.0
    return 1.0 if room_pu >= band_pu else room_pu / band_pu


# Q inside its capability at p_w.
cdef inline double inside_capability(double q_var, const limits_cfg_t* cfg, double p_w, double s_max_va) noexcept nogil:
    cdef double share = 1.0
    if cfg.q_in_proportion:                             # 5.2: in proportion below 20 %; below 5 % nothing is required
        share = min(fabs(p_w) / (FULL_Q_FROM * cfg.p_rated_w), 1.0)
    return clip(q_var, -min(cfg.q_absorb_pu * share * cfg.s_rated_va, s_max_va),
                min(cfg.q_inject_pu * share * cfg.s_rated_va, s_max_va))


# P and Q inside the circle: reactive power first (all of it, or inside Table 7).
cdef inline void share_circle(double* p_w, double* q_var, const limits_cfg_t* cfg, double s_max_va) noexcept nogil:
    cdef double first_var, room_var
    if cfg.active_first:
        first_var = clip(q_var[0], -cfg.table_7_absorb_pu * cfg.s_rated_va, cfg.table_7_inject_pu * cfg.s_rated_va)
        p_w[0] = inside_circle(p_w[0], first_var, s_max_va)
        room_var = inside_circle(INFINITY, p_w[0], s_max_va)
        q_var[0] = clip(q_var[0], min(first_var, -room_var), max(first_var, room_var))
    else:
        p_w[0] = inside_circle(p_w[0], q_var[0], s_max_va)


# P and Q inside the circle on their line through zero (constant power factor).
cdef inline void shrink_both(double* p_w, double* q_var, double s_max_va) noexcept nogil:
    cdef double square = p_w[0] * p_w[0] + q_var[0] * q_var[0]
    cdef double share
    if square > s_max_va * s_max_va:
        share = s_max_va / sqrt(square)
        p_w[0] = p_w[0] * share
        q_var[0] = q_var[0] * share


# Smallest power (the larger of site and device) and reversal dwell. most_w: the largest magnitude the limits permit;
# holding never goes beyond it.
cdef inline double holdable(limits_t* st, const limits_cfg_t* cfg, double p_w, double smallest_w, double most_w,
                            int64_t t_ns, int64_t* reasons) noexcept nogil:
    cdef int64_t direction = (p_w > 0.0) - (p_w < 0.0)
    cdef int running = st.direction != 0 and st.t_zero_ns == 0
    if fabs(p_w) < smallest_w and direction != 0:
        reasons[0] |= SMALLEST_POWER
        if running and direction == st.direction and fabs(p_w) >= KEEP * smallest_w and smallest_w <= most_w:
            return direction * smallest_w
        p_w = 0.0
        direction = 0
    if direction == -st.direction and direction != 0:
        if st.t_zero_ns == 0:
            st.t_zero_ns = t_ns
        if t_ns - st.t_zero_ns < cfg.reverse_dwell_ns:
            reasons[0] |= REVERSAL_DWELL
            return 0.0
        st.reversals += 1
    if direction == 0:
        if st.t_zero_ns == 0:
            st.t_zero_ns = t_ns
        return 0.0
    st.direction = direction
    st.t_zero_ns = 0
    return p_w


# The unit is found at this power: a direction it has taken itself is no reversal of ours.
cdef inline void limits_found(limits_t* st, double p_w) noexcept nogil:
    if p_w != 0.0:
        st.direction = (p_w > 0.0) - (p_w < 0.0)
        st.t_zero_ns = 0
