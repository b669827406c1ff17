# The state of the core: all zero is a valid start. A replay continues from these bytes.

from libc.stdint cimport int64_t

from cython_core.arbiter cimport arbiter_t
from cython_core.functions.active_limit cimport active_limit_t
from cython_core.functions.enter_service cimport enter_service_t
from cython_core.functions.fast_response cimport fast_response_t, inertia_t
from cython_core.functions.freq_droop cimport freq_droop_t
from cython_core.functions.ride_through cimport ride_through_t, trip_t
from cython_core.functions.site_limits cimport site_limits_t
from cython_core.functions.volt_watt cimport volt_watt_t
from cython_core.limits cimport limits_t
from cython_core.obedience cimport obedience_t
from cython_core.reactive cimport reactive_t
from cython_core.structs cimport device_state_t, measurement_t

cdef struct signals_t:           # the last good value of each signal
    int64_t t_f_ns               # 0: never seen
    int64_t t_v_ns
    int64_t t_p_ns
    double f_hz
    double v_pu                  # mean of the phases
    double v_lo_pu
    double v_hi_pu
    int64_t v_phases             # MeasurementValid bits of the phases this meter has shown
    measurement_t last           # for a meter that repeats one answer
    int64_t t_change_ns
    double rocof_hz_s
    double rocof_from_hz
    int64_t rocof_from_ns

cdef struct core_state_t:
    int64_t n
    int64_t skipped
    int64_t state
    int64_t resume_until_ns      # taken over from another run: until the inverter answers, or this time
    signals_t signals
    device_state_t device
    arbiter_t arbiter
    trip_t trip
    ride_through_t ride_through
    enter_service_t enter_service
    site_limits_t site_limits
    freq_droop_t droop
    fast_response_t fast_response
    inertia_t inertia
    volt_watt_t volt_watt
    active_limit_t active_limit
    reactive_t reactive
    limits_t limits
    obedience_t obedience
    double left_w                # commanded when the inverter could last be in service ...
    double left_dp_w             # ... and droop's share of it
    double p_base_w              # the power without droop, after the ramp
    double dp_w                  # what the frequency functions added in the last step
    double p_most_w              # with the active power limit, which droop may pass and fast response may not
    double p_full_w              # before cessation and restore hold anything back
    double p_cmd_w
    double q_cmd_var
