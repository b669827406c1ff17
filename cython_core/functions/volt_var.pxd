from libc.stdint cimport int64_t

from cython_core.functions.signals cimport lag_cfg_t

cdef struct volt_var_cfg_t:
    int64_t enable
    double v_pu[4]           # already shifted by V_Ref
    double q_pu[4]           # pu of rated apparent power, + = injecting
    double ramp_pu_s         # Q's way back to 0 when voltage is stale
    lag_cfg_t lag

cdef struct volt_var_t:
    double target_pu         # the curve's answer
    double q_pu              # the same after the lag

cdef void volt_var_step(volt_var_t* st, const volt_var_cfg_t* cfg, double v_pu, int64_t k) noexcept nogil
cdef void volt_var_release(volt_var_t* st, const volt_var_cfg_t* cfg, double dt_s) noexcept nogil
cdef void volt_var_init(volt_var_cfg_t* cfg, object settings, double period_s)
