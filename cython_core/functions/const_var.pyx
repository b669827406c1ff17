"""Settings -> C struct, and the Python face of const_var. The function, with its source: const_var.pxd."""

from cython_core.functions.signals cimport lag_cfg_init


cdef void const_var_init(const_var_cfg_t* cfg, object settings, double period_s):
    """Settings (the whole) -> C struct, once, at load."""
    cfg.q_pu = settings.const_var.q_pu
    lag_cfg_init(&cfg.lag, period_s, settings.const_var.response_s)
