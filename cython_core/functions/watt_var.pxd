# Watt-var: reactive power follows active power along six points, three on each side of zero.
#
# Source   IEEE 1547-2018, 5.3.4, Table 9: absorb when exporting hard, inject when charging hard; straight line between
#          P'1 and P1; response within 10 s. The points of the charge side are of the charge rating.
# Inputs   p_pu: active power, share of rated (discharge) active power, finite.
# State    none. The lag of Q is in reactive.
# Output   Q in pu of rated apparent power, + = injecting.
# Errors   none: the settings were checked at load.

from cython_core.functions.curve cimport curve
from cython_core.functions.signals cimport lag_cfg_t

cdef struct watt_var_cfg_t:
    double p_pu[6]           # left to right: P'3 P'2 P'1 P1 P2 P3, all of rated (discharge) active power
    double q_pu[6]           # pu of rated apparent power, + = injecting
    lag_cfg_t lag            # of Q

cdef void watt_var_init(watt_var_cfg_t* cfg, object settings, double period_s)


# The curve's answer in pu of rated apparent power at p_pu of rated active power.
cdef inline double watt_var_target(const watt_var_cfg_t* cfg, double p_pu) noexcept nogil:
    return curve(cfg.p_pu, cfg.q_pu, 6, p_pu)
