# Which reactive mode acts, its lag, and the way from one mode to another.

from libc.stdint cimport int64_t

from cython_core.functions.const_var cimport const_var_cfg_t
from cython_core.functions.power_factor cimport power_factor_cfg_t
from cython_core.functions.volt_var cimport volt_var_cfg_t, volt_var_t
from cython_core.functions.watt_var cimport watt_var_cfg_t

cdef enum:                       # places in settings.MODES
    MODE_OFF = 0
    MODE_CONSTANT_PF = 1
    MODE_VOLT_VAR = 2
    MODE_WATT_VAR = 3
    MODE_CONSTANT_Q = 4

cdef struct reactive_cfg_t:
    int64_t mode
    double transition_s
    double ramp_pu_s             # Q's way back to 0 when voltage is stale
    power_factor_cfg_t power_factor
    volt_var_cfg_t volt_var
    watt_var_cfg_t watt_var
    const_var_cfg_t const_var

cdef struct reactive_t:
    int64_t running              # a mode has acted before
    int64_t mode                 # the one that acted last
    volt_var_t volt_var
    double target_pu             # the mode's answer, pu of rated apparent power
    double lag_pu                # the same after its lag
    double offset_pu             # what the mode before had more when this one took over ...
    double left                  # ... and how much of that is left, 1 ... 0

# One step. p_asked_pu: before the circle, of rated apparent power; p_pu: inside it, of rated active power.
cdef void reactive_step(reactive_t* st, const reactive_cfg_t* cfg, double v_pu, double p_asked_pu, double p_pu,
                        double dt_s, int64_t k) noexcept nogil
# Q to 0 at the ramp rate: voltage is stale, or the unit is stopping.
cdef void reactive_release(reactive_t* st, const reactive_cfg_t* cfg, double dt_s) noexcept nogil
# Q asked for, pu of rated apparent power.
cdef inline double reactive_q(const reactive_t* st) noexcept nogil:
    return st.lag_pu + st.offset_pu * st.left
# Begin at this Q.
cdef void reactive_start(reactive_t* st, double q_pu) noexcept nogil
cdef void reactive_init(reactive_cfg_t* cfg, object settings, double period_s)
