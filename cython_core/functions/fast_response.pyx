"""Settings -> C struct, and the Python face of fast_response. The function, with its source: fast_response.pxd."""

from cython_core.functions.signals cimport lag_cfg_init


cdef void fast_response_init(fast_response_cfg_t* cfg, object settings):
    """Settings (the whole) -> C struct, once, at load."""
    fast = settings.fast_response
    cfg.enable = fast.enable
    cfg.trigger_hz = settings.rating.f_nom_hz - fast.trigger_hz
    cfg.power_pu = fast.power_pu
    cfg.full_s = fast.full_s
    cfg.hold_ns = round(fast.hold_s * 1e9)
    cfg.release_s = fast.release_s
    cfg.refresh_ns = round(settings.freq_droop.refresh_s * 1e9)


cdef void inertia_init(inertia_cfg_t* cfg, object settings, double period_s):
    """Settings (the whole) -> C struct, once, at load."""
    inertia = settings.inertia
    rating = settings.rating
    cfg.enable = inertia.enable
    cfg.power_per_rocof = -2.0 * inertia.h_s * rating.s_rated_va / rating.f_nom_hz / rating.p_rated_w
    cfg.rocof_min_hz_s = inertia.rocof_min_hz_s
    cfg.limit_pu = inertia.limit_pu
    lag_cfg_init(&cfg.lag, period_s, inertia.t_response_s)
