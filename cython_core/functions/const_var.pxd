# Constant reactive power.
#
# Source   IEEE 1547-2018, 5.3.5: Q = Q_set inside the capability of 5.2, response within 10 s; no sign turns with P.
# State    none. The lag of Q is in reactive; capability and circle in limits.
# Output   Q in pu of rated apparent power, + = injecting.
# Errors   none: the set point was checked against the capability at load.

from cython_core.functions.signals cimport lag_cfg_t

cdef struct const_var_cfg_t:
    double q_pu              # pu of rated apparent power, + = injecting
    lag_cfg_t lag            # of Q

cdef void const_var_init(const_var_cfg_t* cfg, object settings, double period_s)


cdef inline double const_var_target(const const_var_cfg_t* cfg) noexcept nogil:
    return cfg.q_pu
