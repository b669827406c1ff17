"""Constant power factor: reactive power in a fixed proportion to active power.

Source   IEEE 1547-2018, 5.3.2: Q = P sqrt(1 / PF^2 - 1), response within 10 s. The sign turns with P (excitation
         "inject" injects while discharging, absorbs while charging): P and Q stay on one line through zero.
Inputs   p_pu: active power before the apparent-power circle, pu of rated apparent power, finite.
State    none. The lag of Q is in reactive; the circle, where P and Q shrink together, in limits.
Output   Q in pu of rated apparent power.
Errors   none: the power factor was checked at load, its range excludes 0.
"""

from libc.math cimport sqrt

from cython_core.functions.signals cimport lag_cfg_init


cdef double power_factor_target(const power_factor_cfg_t* cfg, double p_pu) noexcept nogil:
    return p_pu * cfg.q_per_p


cdef void power_factor_init(power_factor_cfg_t* cfg, object settings, double period_s):
    """Settings (the whole) -> C struct, once, at load."""
    pf = settings.power_factor
    cfg.q_per_p = sqrt(1.0 / (pf.pf * pf.pf) - 1.0)
    if pf.excitation == "absorb":
        cfg.q_per_p = -cfg.q_per_p
    lag_cfg_init(&cfg.lag, period_s, pf.response_s)


cdef class PowerFactor:
    """One constant power factor, for tests and notebooks."""
    cdef power_factor_cfg_t cfg

    def __init__(self, settings):
        power_factor_init(&self.cfg, settings, 0.01)

    def target(self, double p_pu):
        """Q in pu of rated apparent power."""
        return power_factor_target(&self.cfg, p_pu)
