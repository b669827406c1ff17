"""Settings -> C struct, and the Python face of freq_droop. The function, with its source: freq_droop.pxd."""

from libc.stdint cimport int64_t

from cython_core.functions.signals cimport lag_cfg_init


cdef void freq_droop_init(freq_droop_cfg_t* cfg, object settings, double period_s):
    """Settings (the whole) -> C struct, once, at load."""
    droop = settings.freq_droop
    cfg.enable = droop.enable and droop.owner == "controller"
    cfg.f_nom_hz = settings.rating.f_nom_hz
    cfg.db_uf_hz = droop.db_uf_hz
    cfg.db_of_hz = droop.db_of_hz
    cfg.k_uf = droop.k_uf
    cfg.k_of = droop.k_of
    cfg.refresh_ns = round(droop.refresh_s * 1e9)
    cfg.t_response_ns = round(droop.t_response_s * 1e9)
    cfg.ramp_pu_s = settings.limits.ramp_pu_s
    lag_cfg_init(&cfg.lag, period_s, droop.t_response_s)


cdef class FreqDroop:
    """One droop function with its own state, for tests and notebooks. Readings come one a period."""
    cdef freq_droop_cfg_t cfg
    cdef freq_droop_t state
    cdef int64_t period_ns
    cdef int64_t t_ns

    def __init__(self, settings, double period_s=0.01):
        freq_droop_init(&self.cfg, settings, period_s)
        self.period_ns = round(period_s * 1e9)
        self.t_ns = 0

    def formula(self, double f_hz):
        """The static answer in pu of rated power, relative to p_pre."""
        return freq_droop_formula(&self.cfg, f_hz)

    def step(self, double f_hz, double p_now_pu, int64_t k=1):
        """Advance k periods; returns the power asked for, pu."""
        self.t_ns += k * self.period_ns
        freq_droop_step(&self.state, &self.cfg, f_hz, self.t_ns, self.t_ns, k, p_now_pu)
        return (self.state.p_pre_pu if self.state.side else p_now_pu) + self.state.dp_pu

    @property
    def side(self):
        """+1 over, -1 under, 0: no event."""
        return self.state.side

    @property
    def p_pre_pu(self):
        """Power latched when the event was qualified."""
        return self.state.p_pre_pu

    @property
    def dp_pu(self):
        """The lagged answer."""
        return self.state.dp_pu
