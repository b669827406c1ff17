"""Settings -> C struct, and the Python face of arbiter. The function, with its source: arbiter.pxd."""

from libc.math cimport INFINITY

from cython_core.functions.signals cimport clip


cdef void arbiter_init(arbiter_cfg_t* cfg, object settings):
    """Settings (the whole) -> C struct, once, at load."""
    wish = settings.default_wish
    cfg.charge_w = wish.charge_w
    cfg.soc_target_pu = wish.soc_target_pu
    cfg.soc_restart_pu = wish.soc_target_pu - settings.limits.soc_band_pu
    cfg.capacity_wh = wish.capacity_wh
    cfg.lifetime_ns = round(wish.wish_lifetime_s * 1e9)


def nested_clamp(layers, double wish):
    """[(lo, hi), ...] strongest first, and a wish -> (lo, hi, answer). For tests and notebooks."""
    cdef span_t span
    span.lo = -INFINITY
    span.hi = INFINITY
    for lo, hi in layers:
        narrow(&span, lo, hi)
    return span.lo, span.hi, clip(wish, span.lo, span.hi)
