"""Watt-var: reactive power follows active power along six points, three on each side of zero.

Source   IEEE 1547-2018, 5.3.4, Table 9: absorb when exporting hard, inject when charging hard; straight line between
         P'1 and P1; response within 10 s. The points of the charge side are of the charge rating.
Inputs   p_pu: active power, share of rated (discharge) active power, finite.
State    none. The lag of Q is in reactive.
Output   Q in pu of rated apparent power, + = injecting.
Errors   none: the settings were checked at load.
"""

from cython_core.functions.curve cimport curve
from cython_core.functions.signals cimport lag_cfg_init


cdef double watt_var_target(const watt_var_cfg_t* cfg, double p_pu) noexcept nogil:
    return curve(cfg.p_pu, cfg.q_pu, 6, p_pu)


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
