"""Frequency-droop: active power follows frequency outside a dead band.

Source   IEEE 1547-2018, 6.5.2.7: formula Table 23, settings Table 24, open-loop response time.
Inputs   f_hz: measured frequency, finite. p_*_pu: share of rated active power, + = into the grid.
State    freq_droop_t; all zero is a valid start.
Output   st.side and st.p_pre_pu while an event lasts, st.target_pu (formula), st.dp_pu (formula after the lag).
         The power asked for is p_pre + dp in an event and the wish + what is left of dp after it; limits come later.
Errors   none: the settings were range-checked at load, the measurement at the top of step().

An excursion opens an event only after two distinct meter refreshes: a phase jump makes one false reading on a fast
meter, and with a short response time that reading would be a power spike. p_pre is the power without any droop or
droop residue: latching the measured output would ratchet upwards with every glitch.
"""

from libc.stdint cimport int64_t

from cython_core.functions.signals cimport approach, lag_cfg_init, lag_step


cdef int freq_droop_side(const freq_droop_cfg_t* cfg, double f_hz) noexcept nogil:
    return (f_hz > cfg.f_nom_hz + cfg.db_of_hz) - (f_hz < cfg.f_nom_hz - cfg.db_uf_hz)


cdef double freq_droop_formula(const freq_droop_cfg_t* cfg, double f_hz) noexcept nogil:
    cdef int side = freq_droop_side(cfg, f_hz)
    if side > 0:
        return -(f_hz - (cfg.f_nom_hz + cfg.db_of_hz)) / (cfg.f_nom_hz * cfg.k_of)
    if side < 0:
        return ((cfg.f_nom_hz - cfg.db_uf_hz) - f_hz) / (cfg.f_nom_hz * cfg.k_uf)
    return 0.0


cdef int qualified(freq_droop_t* st, const freq_droop_cfg_t* cfg, int side, int64_t t_f_ns,
                   int64_t t_ns) noexcept nogil:
    """1 once two distinct readings stood outside on this side, or the response time is used up by waiting."""
    if side != st.waiting:
        st.waiting = side
        st.readings = 1
        st.t_out_ns = t_ns
        st.t_reading_ns = t_f_ns
        return 0
    if t_f_ns > st.t_reading_ns and t_f_ns - st.t_reading_ns >= cfg.refresh_ns:
        st.readings += 1
        st.t_reading_ns = t_f_ns
    return st.readings >= 2 or t_ns - st.t_out_ns >= cfg.t_response_ns


cdef void freq_droop_step(freq_droop_t* st, const freq_droop_cfg_t* cfg, double f_hz, int64_t t_f_ns,
                          int64_t t_ns, int64_t k, double p_now_pu) noexcept nogil:
    cdef int side = freq_droop_side(cfg, f_hz) if cfg.enable else 0
    cdef double answer_pu = freq_droop_formula(cfg, f_hz) if side != 0 else 0.0
    if side == st.side:
        st.waiting = 0
        st.target_pu = answer_pu
        st.dp_pu = lag_step(st.dp_pu, st.target_pu, &cfg.lag, k)
        return
    st.side = 0                                         # back inside, or crossed: the old event is over
    st.target_pu = 0.0
    if side != st.waiting:
        st.ahead_pu = st.dp_pu
    st.ahead_pu = lag_step(st.ahead_pu, answer_pu, &cfg.lag, k)
    st.dp_pu = lag_step(st.dp_pu, 0.0, &cfg.lag, k)
    if side == 0:
        st.waiting = 0
    elif qualified(st, cfg, side, t_f_ns, t_ns):
        st.side = side
        st.waiting = 0
        st.p_pre_pu = p_now_pu
        st.target_pu = answer_pu
        st.dp_pu = st.ahead_pu                          # the wait is inside the response time


cdef void freq_droop_release(freq_droop_t* st, const freq_droop_cfg_t* cfg, double dt_s) noexcept nogil:
    st.side = 0
    st.waiting = 0
    st.target_pu = 0.0
    st.dp_pu = approach(st.dp_pu, 0.0, cfg.ramp_pu_s * dt_s)


cdef void freq_droop_init(freq_droop_cfg_t* cfg, object settings, double period_s):
    """Settings (the whole) -> C struct, once, at load."""
    droop = settings.freq_droop
    cfg.enable = droop.enable
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
