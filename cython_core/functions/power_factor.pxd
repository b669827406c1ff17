from cython_core.functions.signals cimport lag_cfg_t

cdef struct power_factor_cfg_t:
    double q_per_p           # + = excitation "inject"
    lag_cfg_t lag            # of Q

# Q in pu of rated apparent power for p_pu of the same base.
cdef double power_factor_target(const power_factor_cfg_t* cfg, double p_pu) noexcept nogil
cdef void power_factor_init(power_factor_cfg_t* cfg, object settings, double period_s)
