"""Settings -> C struct. The function, with its source: power_factor.pxd."""

from libc.math cimport sqrt

from cython_core.functions.signals cimport lag_cfg_init


cdef void power_factor_init(power_factor_cfg_t* cfg, object settings, double period_s):
    """Settings (the whole) -> C struct, once, at load."""
    pf = settings.power_factor
    cfg.q_per_p = sqrt(1.0 / (pf.pf * pf.pf) - 1.0)
    if pf.excitation == "absorb":
        cfg.q_per_p = -cfg.q_per_p
    lag_cfg_init(&cfg.lag, period_s, pf.response_s)
