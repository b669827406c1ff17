# Volt-var: reactive power follows voltage along four points.
#
# Source   IEEE 1547-2018, 5.3.3, Table 8. V_Ref moves the curve sideways, it does not scale it, and it moves it once:
#          points are stored for V_Ref = 1. Autonomous V_Ref follows the voltage with a time constant (63.2 %).
# Inputs   v_pu: mean of the measured phase voltages over V_nom, finite.
# State    volt_var_t; all zero is a valid start (V_Ref begins at its setting).
# Output   Q in pu of rated apparent power, + = injecting, whatever the sign of P. The lag of Q is in reactive.
# Errors   none: the settings were checked at load. Capability and the apparent-power circle come in limits.

from libc.stdint cimport int64_t

from cython_core.functions.curve cimport curve
from cython_core.functions.signals cimport clip, lag_cfg_t, lag_step

cdef struct volt_var_cfg_t:
    double v_pu[4]           # for V_Ref = 1
    double q_pu[4]           # pu of rated apparent power, + = injecting
    double v_ref_pu
    int64_t v_ref_auto
    double v_ref_min_pu
    double v_ref_max_pu
    lag_cfg_t v_ref_lag      # a time constant, not an open-loop response time
    lag_cfg_t lag            # of Q

cdef struct volt_var_t:
    int64_t following        # V_Ref follows the voltage since then
    double v_ref_pu          # the one in force

cdef void volt_var_init(volt_var_cfg_t* cfg, object settings, double period_s)


# The curve's answer in pu of rated apparent power; moves V_Ref first when it follows the voltage.
cdef inline double volt_var_target(volt_var_t* st, const volt_var_cfg_t* cfg, double v_pu, int64_t k) noexcept nogil:
    if not cfg.v_ref_auto or not st.following:
        st.v_ref_pu = cfg.v_ref_pu
        st.following = cfg.v_ref_auto
    if cfg.v_ref_auto:
        st.v_ref_pu = clip(lag_step(st.v_ref_pu, v_pu, &cfg.v_ref_lag, k), cfg.v_ref_min_pu, cfg.v_ref_max_pu)
    return curve(cfg.v_pu, cfg.q_pu, 4, v_pu - (st.v_ref_pu - 1.0))
