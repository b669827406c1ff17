"""Settings -> C struct, and the Python face of active_limit. The function, with its source: active_limit.pxd."""


cdef void active_limit_init(active_limit_cfg_t* cfg, object settings):
    """Settings (the whole) -> C struct, once, at load."""
    cfg.enable = settings.active_limit.enable
    cfg.limit_pu = settings.active_limit.limit_pu
    cfg.rate_pu_s = 1.0 / settings.active_limit.ramp_time_s


cdef class ActiveLimit:
    """One active power limit with its own state, for tests and notebooks."""
    cdef active_limit_cfg_t cfg
    cdef active_limit_t state

    def __init__(self, settings):
        active_limit_init(&self.cfg, settings)

    def step(self, double order_pu, double dt_s):
        """Advance dt_s; returns the ceiling in pu."""
        return active_limit_step(&self.state, &self.cfg, order_pu, dt_s)
