# Constant power factor: reactive power in a fixed proportion to active power.
#
# Source   IEEE 1547-2018, 5.3.2: Q = P sqrt(1 / PF^2 - 1), response within 10 s. The sign turns with P (excitation
#          "inject" injects while discharging, absorbs while charging): P and Q stay on one line through zero.
# Inputs   p_pu: active power before the apparent-power circle, pu of rated apparent power, finite.
# State    none. The lag of Q is in reactive; the circle, where P and Q shrink together, in limits.
# Output   Q in pu of rated apparent power.
# Errors   none: the power factor was checked at load, its range excludes 0.

from cython_core.functions.signals cimport lag_cfg_t

cdef struct power_factor_cfg_t:
    double q_per_p           # + = excitation "inject"
    lag_cfg_t lag            # of Q

cdef void power_factor_init(power_factor_cfg_t* cfg, object settings, double period_s)


# Q in pu of rated apparent power for p_pu of the same base.
cdef inline double power_factor_target(const power_factor_cfg_t* cfg, double p_pu) noexcept nogil:
    return p_pu * cfg.q_per_p
