from libc.stdint cimport int64_t

from cython_core.functions.signals cimport lag_cfg_t

cdef struct volt_watt_cfg_t:
    int64_t enable
    double v1_pu
    double v2_pu             # above v1: its range says so
    double p2_pu             # ceiling at v2, of rated active power, whatever its sign
    lag_cfg_t lag

cdef struct volt_watt_t:
    int64_t limiting         # the curve is, or was, below what is asked for
    double ceiling_pu        # the lagged ceiling while limiting

# The curve: ceiling in pu of rated active power at v_pu.
cdef double volt_watt_curve(const volt_watt_cfg_t* cfg, double v_pu) noexcept nogil
# One step with fresh voltage. demand_pu: asked for without volt-watt; p_now_pu: commanded in the step before.
cdef void volt_watt_step(volt_watt_t* st, const volt_watt_cfg_t* cfg, double v_pu, double demand_pu,
                         double p_now_pu, int64_t k) noexcept nogil
cdef void volt_watt_init(volt_watt_cfg_t* cfg, object settings, double period_s)
