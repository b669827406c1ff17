# Volt-watt: a ceiling on active power that falls with high voltage. It caps, it never sets.
#
# Source   IEEE 1547-2018, 5.4.2, Table 10. P'2 < 0 is of the charge rating: a high voltage makes the unit charge.
# Inputs   v_pu: mean of the measured phase voltages over V_nom, finite. *_pu: share of rated active power.
# State    volt_watt_t; all zero (no ceiling) is a valid start.
# Output   st.ceiling_pu while st.limiting; else there is no ceiling.
# Errors   none: the settings were checked at load.
#
# The lag is on min(demand, curve), not on the curve: a lag that starts at full power would do nothing for many seconds
# at part load, and the 90 % rule could not be met. So the ceiling starts where the power is when the curve begins to
# bind, and ends when it has come back to what is asked for.

from libc.stdint cimport int64_t

from cython_core.functions.signals cimport lag_cfg_t, lag_step

cdef extern from *:
    """
    #define V2G_RELEASE_PU 0.001
    """
    const double RELEASE_PU "V2G_RELEASE_PU"    # the ceiling is lifted when it is this near to the demand

cdef struct volt_watt_cfg_t:
    int64_t enable           # and not the inverter's own function
    double v1_pu
    double v2_pu             # above v1: its range says so
    double p2_pu             # ceiling at v2, of rated active power, whatever its sign
    lag_cfg_t lag

cdef struct volt_watt_t:
    int64_t limiting         # the curve is, or was, below what is asked for
    double ceiling_pu        # the lagged ceiling while limiting

cdef void volt_watt_init(volt_watt_cfg_t* cfg, object settings, double period_s)


# The curve: ceiling in pu of rated active power at v_pu.
cdef inline double volt_watt_curve(const volt_watt_cfg_t* cfg, double v_pu) noexcept nogil:
    if v_pu <= cfg.v1_pu:
        return 1.0
    if v_pu >= cfg.v2_pu:
        return cfg.p2_pu
    return 1.0 - (v_pu - cfg.v1_pu) / (cfg.v2_pu - cfg.v1_pu) * (1.0 - cfg.p2_pu)


# One step with fresh voltage. demand_pu: asked for without volt-watt; p_now_pu: commanded in the step before.
cdef inline void volt_watt_step(volt_watt_t* st, const volt_watt_cfg_t* cfg, double v_pu, double demand_pu,
                                double p_now_pu, int64_t k) noexcept nogil:
    cdef double cap_pu = volt_watt_curve(cfg, v_pu) if cfg.enable else 1.0      # switched off: the ceiling is lifted
    if not st.limiting:
        if cap_pu >= demand_pu:
            return
        st.limiting = 1
        st.ceiling_pu = max(p_now_pu, cap_pu)           # which may still be on its way down to the demand
    st.ceiling_pu = lag_step(st.ceiling_pu, min(demand_pu, cap_pu), &cfg.lag, k)
    # above the demand it may still hold a power that is on its way down there
    if cap_pu >= demand_pu and (p_now_pu < st.ceiling_pu if st.ceiling_pu > demand_pu
                                else demand_pu - st.ceiling_pu <= RELEASE_PU):
        st.limiting = 0
