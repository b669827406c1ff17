from libc.stdint cimport int64_t

from cython_core.functions.signals cimport lag_cfg_t

cdef struct volt_var_cfg_t:
    double v_pu[4]           # for V_Ref = 1
    double q_pu[4]           # pu of rated apparent power, + = injecting
    double v_ref_pu
    int64_t v_ref_auto
    double v_ref_min_pu
    double v_ref_max_pu
    lag_cfg_t v_ref_lag      # a time constant, not an open-loop response time
    lag_cfg_t lag            # of Q

cdef struct volt_var_t:
    int64_t following        # V_Ref follows the voltage since then
    double v_ref_pu          # the one in force

# The curve's answer in pu of rated apparent power; moves V_Ref first when it follows the voltage.
cdef double volt_var_target(volt_var_t* st, const volt_var_cfg_t* cfg, double v_pu, int64_t k) noexcept nogil
cdef void volt_var_init(volt_var_cfg_t* cfg, object settings, double period_s)
