from cython_core.functions.signals cimport lag_cfg_t

cdef struct watt_var_cfg_t:
    double p_pu[6]           # left to right: P'3 P'2 P'1 P1 P2 P3, all of rated (discharge) active power
    double q_pu[6]           # pu of rated apparent power, + = injecting
    lag_cfg_t lag            # of Q

# The curve's answer in pu of rated apparent power at p_pu of rated active power.
cdef double watt_var_target(const watt_var_cfg_t* cfg, double p_pu) noexcept nogil
cdef void watt_var_init(watt_var_cfg_t* cfg, object settings, double period_s)
