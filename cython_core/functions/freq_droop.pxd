from libc.stdint cimport int64_t

from cython_core.functions.signals cimport lag_cfg_t

cdef struct freq_droop_cfg_t:
    int64_t enable
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

# Side of the dead band: +1 above, -1 below, 0 inside (the edges belong to it).
cdef int freq_droop_side(const freq_droop_cfg_t* cfg, double f_hz) noexcept nogil
# The formula: power change in pu of rated power at f_hz, 0 inside the dead band.
cdef double freq_droop_formula(const freq_droop_cfg_t* cfg, double f_hz) noexcept nogil
# One step with fresh frequency. p_now_pu: the power that would be commanded without droop.
cdef void freq_droop_step(freq_droop_t* st, const freq_droop_cfg_t* cfg, double f_hz, int64_t t_f_ns,
                          int64_t t_ns, int64_t k, double p_now_pu) noexcept nogil
# One step with stale frequency: the event is closed and its answer ramps to 0.
cdef void freq_droop_release(freq_droop_t* st, const freq_droop_cfg_t* cfg, double dt_s) noexcept nogil
cdef void freq_droop_init(freq_droop_cfg_t* cfg, object settings, double period_s)
