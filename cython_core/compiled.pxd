# All settings as one C struct: what a step reads besides its state and inputs.

from libc.stdint cimport int64_t

from cython_core.arbiter cimport arbiter_cfg_t
from cython_core.functions.active_limit cimport active_limit_cfg_t
from cython_core.functions.enter_service cimport enter_service_cfg_t
from cython_core.functions.fast_response cimport fast_response_cfg_t, inertia_cfg_t
from cython_core.functions.freq_droop cimport freq_droop_cfg_t
from cython_core.functions.ride_through cimport ride_through_cfg_t, trip_cfg_t
from cython_core.functions.site_limits cimport site_limits_cfg_t
from cython_core.functions.volt_watt cimport volt_watt_cfg_t
from cython_core.limits cimport limits_cfg_t
from cython_core.obedience cimport obedience_cfg_t
from cython_core.reactive cimport reactive_cfg_t

cdef struct ages_cfg_t:          # freshness thresholds of one signal
    int64_t fresh_ns
    int64_t held_ns
    int64_t lost_ns

cdef struct settings_t:
    int64_t period_ns
    int64_t digest
    double f_nom_hz
    double v_nom_v
    ages_cfg_t meter
    ages_cfg_t device
    int64_t half_refresh_ns      # of the meter, part of its age
    int64_t frozen_ns            # 0: the meter's resolution cannot show a frozen answer
    int64_t echo_ns              # an acknowledged write shows so long that the inverter hears us
    double safe_p_w
    double degraded_charge_w
    int64_t valid_ms
    arbiter_cfg_t arbiter
    trip_cfg_t trip
    ride_through_cfg_t ride_through
    enter_service_cfg_t enter_service
    site_limits_cfg_t site_limits
    freq_droop_cfg_t droop
    fast_response_cfg_t fast_response
    inertia_cfg_t inertia
    volt_watt_cfg_t volt_watt
    active_limit_cfg_t active_limit
    reactive_cfg_t reactive
    limits_cfg_t limits
    obedience_cfg_t obedience
