"""Constant reactive power.

Source   IEEE 1547-2018, 5.3.5: Q = Q_set inside the capability of 5.2, response within 10 s; no sign turns with P.
State    none. The lag of Q is in reactive; capability and circle in limits.
Output   Q in pu of rated apparent power, + = injecting.
Errors   none: the set point was checked against the capability at load.
"""

from cython_core.functions.signals cimport lag_cfg_init


cdef double const_var_target(const const_var_cfg_t* cfg) noexcept nogil:
    return cfg.q_pu


cdef void const_var_init(const_var_cfg_t* cfg, object settings, double period_s):
    """Settings (the whole) -> C struct, once, at load."""
    cfg.q_pu = settings.const_var.q_pu
    lag_cfg_init(&cfg.lag, period_s, settings.const_var.response_s)
