# Limit maximum active power: a ceiling on export that ramps to its set point.
#
# Source   IEEE 1547-2018, 4.6.2: output at or below the set point within 30 s. It limits export, never charging.
# Inputs   order_pu: share of rated active power from an operator, NaN when there is none.
# State    active_limit_t; all zero (no ceiling) is a valid start.
# Output   the ceiling, pu of rated active power, 0 ... 1.
# Errors   none: an order outside 0 ... 1 is taken as the nearer end.

from libc.stdint cimport int64_t

from cython_core.functions.signals cimport approach, clip

cdef struct active_limit_cfg_t:
    int64_t enable
    double limit_pu
    double rate_pu_s         # the ceiling's linear ramp

cdef struct active_limit_t:
    double below_pu          # how far the ceiling stands below 1; 0 is a valid start

cdef void active_limit_init(active_limit_cfg_t* cfg, object settings)


# The ceiling on export in pu of rated power. order_pu: NaN = no order, the setting rules.
cdef inline double active_limit_step(active_limit_t* st, const active_limit_cfg_t* cfg, double order_pu,
                                     double dt_s) noexcept nogil:
    cdef double limit_pu = cfg.limit_pu if cfg.enable else 1.0
    if order_pu == order_pu:                            # not NaN
        limit_pu = min(limit_pu, clip(order_pu, 0.0, 1.0))
    st.below_pu = approach(st.below_pu, 1.0 - limit_pu, cfg.rate_pu_s * dt_s)
    return 1.0 - st.below_pu
