"""Settings -> C struct of obedience. The function, with its source: obedience.pxd."""

from cython_core.settings import ages_s


cdef void obedience_init(obedience_cfg_t* cfg, object settings):
    """Settings (the whole) -> C struct, once, at load."""
    safe = settings.fail_safe
    cfg.window_ns = round(safe.mismatch_after_s * 1e9)
    cfg.settle_ns = round(ages_s(safe.t_device_s, safe.lost_after_s)[1] * 1e9)
    cfg.p_rated_w = settings.rating.p_rated_w
    cfg.p_charge_rated_w = settings.rating.p_charge_rated_w
    cfg.own_power = not any(f.owner == "inverter" and f.enable for f in (settings.freq_droop, settings.volt_watt))
