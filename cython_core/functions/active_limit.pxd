from libc.stdint cimport int64_t

cdef struct active_limit_cfg_t:
    int64_t enable
    double limit_pu
    double rate_pu_s         # the ceiling's linear ramp

cdef struct active_limit_t:
    double below_pu          # how far the ceiling stands below 1; 0 is a valid start

# The ceiling on export in pu of rated power. order_pu: NaN = no order, the setting rules.
cdef double active_limit_step(active_limit_t* st, const active_limit_cfg_t* cfg, double order_pu,
                              double dt_s) noexcept nogil
cdef void active_limit_init(active_limit_cfg_t* cfg, object settings)
