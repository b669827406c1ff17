"""Settings -> C struct, and the Python face of volt_watt. The function, with its source: volt_watt.pxd."""

from libc.stdint cimport int64_t

from cython_core.functions.signals cimport lag_cfg_init


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
