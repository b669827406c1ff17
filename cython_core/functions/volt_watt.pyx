"""Volt-watt: a ceiling on active power that falls with high voltage. It caps, it never sets.

Source   IEEE 1547-2018, 5.4.2, Table 10. P'2 < 0 is of the charge rating: a high voltage makes the unit charge.
Inputs   v_pu: mean of the measured phase voltages over V_nom, finite. *_pu: share of rated active power.
State    volt_watt_t; all zero (no ceiling) is a valid start.
Output   st.ceiling_pu while st.limiting; else there is no ceiling.
Errors   none: the settings were checked at load.

The lag is on min(demand, curve), not on the curve: a lag that starts at full power would do nothing for many seconds at
part load, and the 90 % rule could not be met. So the ceiling starts where the power is when the curve begins to bind,
and ends when it has come back to what is asked for.
"""

from libc.stdint cimport int64_t

from cython_core.functions.signals cimport lag_cfg_init, lag_step

cdef double RELEASE_PU = 0.001   # the ceiling is lifted when it is this near to the demand


cdef double volt_watt_curve(const volt_watt_cfg_t* cfg, double v_pu) noexcept nogil:
    if v_pu <= cfg.v1_pu:
        return 1.0
    if v_pu >= cfg.v2_pu:
        return cfg.p2_pu
    return 1.0 - (v_pu - cfg.v1_pu) / (cfg.v2_pu - cfg.v1_pu) * (1.0 - cfg.p2_pu)


cdef void volt_watt_step(volt_watt_t* st, const volt_watt_cfg_t* cfg, double v_pu, double demand_pu,
                         double p_now_pu, int64_t k) noexcept nogil:
    cdef double cap_pu = volt_watt_curve(cfg, v_pu)
    if not cfg.enable:
        st.limiting = 0
        return
    if not st.limiting:
        if cap_pu >= demand_pu:
            return
        st.limiting = 1
        st.ceiling_pu = min(max(p_now_pu, cap_pu), demand_pu)
    st.ceiling_pu = lag_step(st.ceiling_pu, min(demand_pu, cap_pu), &cfg.lag, k)
    if cap_pu >= demand_pu and demand_pu - st.ceiling_pu <= RELEASE_PU:
        st.limiting = 0


cdef void volt_watt_init(volt_watt_cfg_t* cfg, object settings, double period_s):
    """Settings (the whole) -> C struct, once, at load."""
    vw = settings.volt_watt
    rating = settings.rating
    cfg.enable = vw.enable
    cfg.v1_pu = vw.v1_pu
    cfg.v2_pu = vw.v2_pu
    cfg.p2_pu = vw.p2_pu if vw.p2_pu >= 0.0 else vw.p2_pu * rating.p_charge_rated_w / rating.p_rated_w
    lag_cfg_init(&cfg.lag, period_s, vw.olrt_s)


cdef class VoltWatt:
    """One volt-watt function with its own state, for tests and notebooks."""
    cdef volt_watt_cfg_t cfg
    cdef volt_watt_t state
    cdef double p_pu

    def __init__(self, settings, double period_s=0.01):
        volt_watt_init(&self.cfg, settings, period_s)
        self.p_pu = 0.0

    def curve(self, double v_pu):
        """The ceiling in pu of rated active power."""
        return volt_watt_curve(&self.cfg, v_pu)

    def step(self, double v_pu, double demand_pu, int64_t k=1):
        """Advance k periods; returns the power that is left of the demand, pu."""
        volt_watt_step(&self.state, &self.cfg, v_pu, demand_pu, self.p_pu, k)
        self.p_pu = min(demand_pu, self.state.ceiling_pu) if self.state.limiting else demand_pu
        return self.p_pu
