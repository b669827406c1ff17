"""Settings -> C struct, and the Python face of volt_watt. The function, with its source: volt_watt.pxd."""

from cython_core.functions.signals cimport lag_cfg_init


cdef void volt_watt_init(volt_watt_cfg_t* cfg, object settings, double period_s):
    """Settings (the whole) -> C struct, once, at load."""
    vw = settings.volt_watt
    rating = settings.rating
    cfg.enable = vw.enable and vw.owner == "controller"
    cfg.v1_pu = vw.v1_pu
    cfg.v2_pu = vw.v2_pu
    cfg.p2_pu = vw.p2_pu if vw.p2_pu >= 0.0 else vw.p2_pu * rating.p_charge_rated_w / rating.p_rated_w
    lag_cfg_init(&cfg.lag, period_s, vw.olrt_s)


cdef class VoltWatt:
    """The curve, for tests and notebooks."""
    cdef volt_watt_cfg_t cfg

    def __init__(self, settings):
        volt_watt_init(&self.cfg, settings, 0.01)

    def curve(self, double v_pu):
        """The ceiling in pu of rated active power."""
        return volt_watt_curve(&self.cfg, v_pu)
