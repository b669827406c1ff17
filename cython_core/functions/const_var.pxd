from cython_core.functions.signals cimport lag_cfg_t

cdef struct const_var_cfg_t:
    double q_pu              # pu of rated apparent power, + = injecting
    lag_cfg_t lag            # of Q

cdef double const_var_target(const const_var_cfg_t* cfg) noexcept nogil
cdef void const_var_init(const_var_cfg_t* cfg, object settings, double period_s)
