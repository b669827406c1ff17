"""Settings -> C struct, and the Python face of enter_service. The function, with its source: enter_service.pxd."""

from libc.stdint cimport uint64_t


cdef void enter_service_init(enter_service_cfg_t* cfg, object settings):
    """Settings (the whole) -> C struct, once, at load."""
    enter = settings.enter_service
    cfg.own = enter.owner == "controller"
    cfg.permit = enter.permit
    cfg.v_low_pu = enter.v_low_pu
    cfg.v_high_pu = enter.v_high_pu
    cfg.f_low_hz = enter.f_low_hz
    cfg.f_high_hz = enter.f_high_hz
    cfg.delay_ns = round(enter.delay_s * 1e9)
    cfg.ramp_ns = round(enter.ramp_s * 1e9)
    cfg.random_ns = round(enter.random_s * 1e9)
    cfg.seed = <uint64_t> int(enter.seed)
