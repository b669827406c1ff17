"""Limit maximum active power: a ceiling on export that ramps to its set point.

Source   IEEE 1547-2018, 4.6.2: output at or below the set point within 30 s. It limits export, never charging.
Inputs   order_pu: share of rated active power from an operator, NaN when there is none.
State    active_limit_t; all zero (no ceiling) is a valid start.
Output   the ceiling, pu of rated active power, 0 ... 1.
Errors   none: an order outside 0 ... 1 is taken as the nearer end.
"""

from cython_core.functions.signals cimport approach, clip


cdef double active_limit_step(active_limit_t* st, const active_limit_cfg_t* cfg, double order_pu,
                              double dt_s) noexcept nogil:
    cdef double limit_pu = cfg.limit_pu if cfg.enable else 1.0
    if order_pu == order_pu:                            # not NaN
        limit_pu = min(limit_pu, clip(order_pu, 0.0, 1.0))
    st.below_pu = approach(st.below_pu, 1.0 - limit_pu, cfg.rate_pu_s * dt_s)
    return 1.0 - st.below_pu


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
