"""First-order lag, rate limit, clipping: declared and explained in signals.pxd (inline).

Source   open-loop response time: IEEE 1547-2018, clause 3.1 and reference formula y(t) = 1 - 10 ** (-t / t90).
"""

from cython_core.settings import decay


cdef void lag_cfg_init(lag_cfg_t* cfg, double period_s, double t90_s):
    """Fill the table at load. t90_s > 0."""
    cdef int i
    cfg.left[0] = decay(period_s, t90_s)
    for i in range(1, LAG_BITS):
        cfg.left[i] = cfg.left[i - 1] * cfg.left[i - 1]


cdef class Lag:
    """One lag with its own state, for tests and notebooks."""
    cdef lag_cfg_t cfg
    cdef public double y

    def __init__(self, double period_s, double t90_s, double start=0.0):
        lag_cfg_init(&self.cfg, period_s, t90_s)
        self.y = start

    def step(self, double x, int64_t k=1):
        """Advance k periods towards x."""
        self.y = lag_step(self.y, x, &self.cfg, k)
        return self.y
