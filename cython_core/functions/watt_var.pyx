"""Settings -> C struct, and the Python face of watt_var. The function, with its source: watt_var.pxd."""

from cython_core.functions.signals cimport lag_cfg_init


cdef void watt_var_init(watt_var_cfg_t* cfg, object settings, double period_s):
    """Settings (the whole) -> C struct, once, at load."""
    wv = settings.watt_var
    charge = settings.rating.p_charge_rated_w / settings.rating.p_rated_w
    points = [
        (wv.p3_load_pu * charge, wv.q3_load_pu), (wv.p2_load_pu * charge, wv.q2_load_pu),
        (wv.p1_load_pu * charge, wv.q1_load_pu), (wv.p1_pu, wv.q1_pu), (wv.p2_pu, wv.q2_pu), (wv.p3_pu, wv.q3_pu),
    ]
    for i, (p, q) in enumerate(points):
        cfg.p_pu[i] = p
        cfg.q_pu[i] = q
    lag_cfg_init(&cfg.lag, period_s, wv.response_s)


cdef class WattVar:
    """One watt-var curve, for tests and notebooks."""
    cdef watt_var_cfg_t cfg

    def __init__(self, settings):
        watt_var_init(&self.cfg, settings, 0.01)

    def curve(self, double p_pu):
        """The static answer in pu of rated apparent power."""
        return watt_var_target(&self.cfg, p_pu)
