# Frequency-droop: active power follows frequency outside a dead band.
#
# Source   IEEE 1547-2018, 6.5.2.7: formula Table 23, settings Table 24, open-loop response time.
# Inputs   f_hz: measured frequency, finite. p_*_pu: share of rated active power, + = into the grid.
# State    freq_droop_t; all zero is a valid start.
# Output   st.side and st.p_pre_pu while an event lasts, st.target_pu (formula), st.dp_pu (formula after the lag).
#          The power asked for is p_pre + dp in an event and the wish + what is left of dp after it; limits come later.
# Errors   none: the settings were range-checked at load, the measurement at the top of step().
#
# An excursion opens an event only after two distinct meter refreshes: a phase jump makes one false reading on a fast
# meter, and with a short response time that reading would be a power spike. p_pre is the power without any droop or
# droop residue: latching the measured output would ratchet upwards with every glitch.

from libc.stdint cimport int64_t

from cython_core.functions.signals cimport approach, lag_cfg_t, lag_step

cdef struct freq_droop_cfg_t:
    int64_t enable           # and not the inverter's own function
    double f_nom_hz
    double db_uf_hz          # dead band below nominal
    double db_of_hz          # dead band above nominal
    double k_uf              # per-unit frequency per per-unit power, never 0
    double k_of
    int64_t refresh_ns       # two readings this far apart are two meter refreshes
    int64_t t_response_ns    # the wait for the second one never takes longer than this
    double ramp_pu_s         # the answer's way back to 0 when frequency is stale
    lag_cfg_t lag

cdef struct freq_droop_t:
    int64_t side             # +1 over, -1 under, 0: no event
    int64_t waiting          # side of an excursion that is not qualified yet
    int64_t readings         # distinct readings outside on that side
    int64_t t_reading_ns     # the newest of them
    int64_t t_out_ns         # the first of them
    double p_pre_pu          # power latched when the event was qualified
    double target_pu         # the formula's answer, relative to p_pre
    double dp_pu             # the same after the lag
    double ahead_pu          # the lag that runs ahead while an excursion waits

cdef void freq_droop_init(freq_droop_cfg_t* cfg, object settings, double period_s)


# Side of the dead band: +1 above, -1 below, 0 inside (the edges belong to it).
cdef inline int freq_droop_side(const freq_droop_cfg_t* cfg, double f_hz) noexcept nogil:
    return (f_hz > cfg.f_nom_hz + cfg.db_of_hz) - (f_hz < cfg.f_nom_hz - cfg.db_uf_hz)


cdef inline double answer(const freq_droop_cfg_t* cfg, int side, double f_hz) noexcept nogil:
    if side > 0:
        return -(f_hz - (cfg.f_nom_hz + cfg.db_of_hz)) / (cfg.f_nom_hz * cfg.k_of)
    if side < 0:
        return ((cfg.f_nom_hz - cfg.db_uf_hz) - f_hz) / (cfg.f_nom_hz * cfg.k_uf)
    return 0.0


# The formula: power change in pu of rated power at f_hz, 0 inside the dead band.
cdef inline double freq_droop_formula(const freq_droop_cfg_t* cfg, double f_hz) noexcept nogil:
    return answer(cfg, freq_droop_side(cfg, f_hz), f_hz)


cdef inline int qualified(freq_droop_t* st, const freq_droop_cfg_t* cfg, int side, int64_t t_f_ns,
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


# One step with fresh frequency. p_now_pu: the power that would be commanded without droop.
cdef inline void freq_droop_step(freq_droop_t* st, const freq_droop_cfg_t* cfg, double f_hz, int64_t t_f_ns,
                                 int64_t t_ns, int64_t k, double p_now_pu) noexcept nogil:
    cdef int side = freq_droop_side(cfg, f_hz) if cfg.enable else 0
    cdef double answer_pu = answer(cfg, side, f_hz)
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


# One step with stale frequency: the event is closed and its answer ramps to 0.
cdef inline void freq_droop_release(freq_droop_t* st, const freq_droop_cfg_t* cfg, double dt_s) noexcept nogil:
    st.side = 0
    st.waiting = 0
    st.target_pu = 0.0
    st.dp_pu = approach(st.dp_pu, 0.0, cfg.ramp_pu_s * dt_s)
