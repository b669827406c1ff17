# The one reactive mode that acts, and the way from one mode to another.
#
# Source   IEEE 1547-2018, 5.3.1: exactly one of constant power factor, volt-var, watt-var, constant Q; 4.6.3: a change
#          of mode is smooth over 5 ... 300 s. Each mode's lag is its own (functions/).
# Inputs   v_pu, p_*_pu: finite.
# State    reactive_t; all zero is a valid start.
# Output   reactive_q(): pu of rated apparent power, + = injecting. Capability and circle come in limits.
# Errors   none.
#
# When the mode changes, the new one starts at its own answer, and the difference to what was commanded is taken away in
# a straight line over the transition time: no step, and the new mode's answer is exact at its end.

from libc.stdint cimport int64_t

from cython_core.functions.const_var cimport const_var_cfg_t, const_var_target
from cython_core.functions.power_factor cimport power_factor_cfg_t, power_factor_target
from cython_core.functions.signals cimport approach, lag_cfg_t, lag_step
from cython_core.functions.volt_var cimport volt_var_cfg_t, volt_var_t, volt_var_target
from cython_core.functions.watt_var cimport watt_var_cfg_t, watt_var_target

cdef enum:                       # places in settings.MODES
    MODE_OFF = 0
    MODE_CONSTANT_PF = 1
    MODE_VOLT_VAR = 2
    MODE_WATT_VAR = 3
    MODE_CONSTANT_Q = 4

cdef struct reactive_cfg_t:
    int64_t mode                 # off while the inverter's own function acts
    double transition_s
    double ramp_pu_s             # Q's way back to 0 when voltage is stale
    power_factor_cfg_t power_factor
    volt_var_cfg_t volt_var
    watt_var_cfg_t watt_var
    const_var_cfg_t const_var

cdef struct reactive_t:
    int64_t running              # a mode has acted since the start
    int64_t mode                 # the one that acted last
    volt_var_t volt_var
    double target_pu             # the mode's answer, pu of rated apparent power
    double lag_pu                # the same after its lag
    double offset_pu             # what the mode before had more when this one took over ...
    double left                  # ... and how much of that is left, 1 ... 0

# Q asked for, pu of rated apparent power.
cdef inline double reactive_q(const reactive_t* st) noexcept nogil:
    return st.lag_pu + st.offset_pu * st.left
cdef void reactive_init(reactive_cfg_t* cfg, object settings, double period_s)


cdef inline double target(reactive_t* st, const reactive_cfg_t* cfg, double v_pu, double p_asked_pu, double p_pu,
                          int64_t k) noexcept nogil:
    if cfg.mode == MODE_VOLT_VAR:
        return volt_var_target(&st.volt_var, &cfg.volt_var, v_pu, k)
    st.volt_var.following = 0                           # V_Ref begins anew when volt-var comes back
    if cfg.mode == MODE_CONSTANT_PF:
        return power_factor_target(&cfg.power_factor, p_asked_pu)
    if cfg.mode == MODE_WATT_VAR:
        return watt_var_target(&cfg.watt_var, p_pu)
    if cfg.mode == MODE_CONSTANT_Q:
        return const_var_target(&cfg.const_var)
    return 0.0


cdef inline const lag_cfg_t* lag_of(const reactive_cfg_t* cfg) noexcept nogil:
    if cfg.mode == MODE_VOLT_VAR:
        return &cfg.volt_var.lag
    if cfg.mode == MODE_WATT_VAR:
        return &cfg.watt_var.lag
    if cfg.mode == MODE_CONSTANT_Q:
        return &cfg.const_var.lag
    return &cfg.power_factor.lag


# One step. p_asked_pu: before the circle, of rated apparent power; p_pu: inside it, of rated active power.
cdef inline void reactive_step(reactive_t* st, const reactive_cfg_t* cfg, double v_pu, double p_asked_pu, double p_pu,
                               double dt_s, int64_t k) noexcept nogil:
    cdef double q_pu = reactive_q(st)
    st.target_pu = target(st, cfg, v_pu, p_asked_pu, p_pu, k)
    if st.running and st.mode != cfg.mode:
        st.lag_pu = st.target_pu
        st.offset_pu = q_pu - st.target_pu
        st.left = 1.0
    else:
        st.lag_pu = lag_step(st.lag_pu, st.target_pu, lag_of(cfg), k)
        if st.left != 0.0:
            st.left = approach(st.left, 0.0, dt_s / cfg.transition_s)
    st.running = 1
    st.mode = cfg.mode


# Q to 0 at the ramp rate: voltage is stale, or the unit is stopping.
cdef inline void reactive_release(reactive_t* st, const reactive_cfg_t* cfg, double dt_s) noexcept nogil:
    reactive_start(st, approach(reactive_q(st), 0.0, cfg.ramp_pu_s * dt_s))


# Begin at this Q.
cdef inline void reactive_start(reactive_t* st, double q_pu) noexcept nogil:
    st.target_pu = 0.0
    st.lag_pu = q_pu
    st.left = 0.0
    st.running = 0                                      # what was before is gone: nothing to cross over from
