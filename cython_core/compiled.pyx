"""Settings -> settings_t, once, at load. Nothing is checked again past this door.

Source of the freshness thresholds: T is what the wire can do (its longest of poll period, refresh, time-out and retry);
fresh up to 2 T, held up to max(5 T, 1 s), stale up to lost_after, then lost. lost_after never comes before held.
"""

from libc.string cimport memset

from cython_core.arbiter cimport arbiter_init
from cython_core.functions.active_limit cimport active_limit_init
from cython_core.functions.enter_service cimport enter_service_init
from cython_core.functions.fast_response cimport fast_response_init, inertia_init
from cython_core.functions.freq_droop cimport freq_droop_init
from cython_core.functions.ride_through cimport ride_through_init, trip_init
from cython_core.functions.site_limits cimport site_limits_init
from cython_core.functions.volt_watt cimport volt_watt_init
from cython_core.limits cimport limits_init
from cython_core.obedience cimport obedience_init
from cython_core.reactive cimport reactive_init
from cython_core.settings import ages_s, digest


cdef void ages_init(ages_cfg_t* cfg, object ages):
    cfg.fresh_ns, cfg.held_ns, cfg.lost_ns = (round(t * 1e9) for t in ages)


cdef void settings_init(settings_t* cfg, object settings, double period_s):
    fail_safe = settings.fail_safe
    cfg.period_ns = round(period_s * 1e9)
    cfg.digest = digest(settings, cfg.period_ns)
    cfg.f_nom_hz = settings.rating.f_nom_hz
    cfg.v_nom_v = settings.rating.v_nom_v
    ages_init(&cfg.meter, ages_s(fail_safe.t_meter_s, fail_safe.lost_after_s))
    ages_init(&cfg.device, ages_s(fail_safe.t_device_s, fail_safe.lost_after_s))
    cfg.half_refresh_ns = round(fail_safe.meter_half_refresh_s * 1e9)
    cfg.frozen_ns = round(fail_safe.frozen_after_s * 1e9)
    cfg.echo_ns = cfg.device.held_ns + round(fail_safe.write_refresh_s * 1e9)
    cfg.safe_p_w = fail_safe.safe_p_w
    cfg.degraded_charge_w = fail_safe.degraded_charge_w
    cfg.valid_ms = round(fail_safe.command_valid_s * 1e3)
    arbiter_init(&cfg.arbiter, settings)
    trip_init(&cfg.trip, settings)
    ride_through_init(&cfg.ride_through, settings)
    enter_service_init(&cfg.enter_service, settings)
    site_limits_init(&cfg.site_limits, settings)
    freq_droop_init(&cfg.droop, settings, period_s)
    fast_response_init(&cfg.fast_response, settings)
    inertia_init(&cfg.inertia, settings, period_s)
    volt_watt_init(&cfg.volt_watt, settings, period_s)
    active_limit_init(&cfg.active_limit, settings)
    reactive_init(&cfg.reactive, settings, period_s)
    limits_init(&cfg.limits, settings)
    obedience_init(&cfg.obedience, settings)


def compiled(settings, double period_s):
    """Settings and the period of the grid -> settings_t as bytes, for a core of the same build."""
    cdef settings_t cfg
    memset(&cfg, 0, sizeof(settings_t))
    settings_init(&cfg, settings, period_s)
    return (<const char*> &cfg)[:sizeof(settings_t)]
