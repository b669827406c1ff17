# The last stage and the only way to a Command.

from libc.stdint cimport int64_t

from cython_core.arbiter cimport span_t

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

# Moves the slow span towards target: inwards it starts at the present power, outwards it opens at the ramp rate.
cdef void slow_span(span_t* slow, const span_t* target, double p_w, double most_w) noexcept nogil
# What the battery permits, by state of charge, inside span; ORs SOC_LIMIT.
cdef void battery_span(span_t* span, const limits_cfg_t* cfg, double soc_pu, int soc_known,
                       int64_t* reasons) noexcept nogil
# Active power beside q_var inside the apparent-power circle.
cdef double inside_circle(double p_w, double q_var, double s_max_va) noexcept nogil
# Q inside its capability at p_w.
cdef double inside_capability(double q_var, const limits_cfg_t* cfg, double p_w, double s_max_va) noexcept nogil
# P and Q inside the circle: reactive power first (all of it, or inside Table 7).
cdef void share_circle(double* p_w, double* q_var, const limits_cfg_t* cfg, double s_max_va) noexcept nogil
# P and Q inside the circle on their line through zero (constant power factor).
cdef void shrink_both(double* p_w, double* q_var, double s_max_va) noexcept nogil
# Smallest power and reversal dwell. most_w: the largest magnitude the limits permit; holding never goes beyond it.
cdef double holdable(limits_t* st, const limits_cfg_t* cfg, double p_w, double p_min_abs_w, double most_w,
                     int64_t t_ns, int64_t* reasons) noexcept nogil
# The unit is found at this power: a direction it has taken itself is no reversal of ours.
cdef void limits_found(limits_t* st, double p_w) noexcept nogil
cdef void limits_init(limits_cfg_t* cfg, object settings)
