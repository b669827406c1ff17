# Fast frequency response and inertial response: both off by default.
#
# Source   fast response: a product (full power within a time at a frequency, held, released), no clause of IEEE 1547.
#          inertia: IEEE 1547-2018, 6.5.2.8, permitted, never required: P = -2 H S / f_nom x df/dt.
# Inputs   f_hz, rocof_hz_s: finite; t_f_ns: time of the reading.
# State    fast_response_t, inertia_t; all zero is a valid start.
# Output   power added, pu of rated active power, + = into the grid.
# Errors   none.
#
# A meter and an inverter on Modbus take a second from event to power: fast response in seconds is real, inertia is what
# that delay leaves of it. It is here for the bench and for faster wires.

from libc.math cimport fabs
from libc.stdint cimport int64_t

from cython_core.functions.signals cimport approach, clip, lag_cfg_t, lag_step

cdef struct fast_response_cfg_t:
    int64_t enable
    double trigger_hz        # absolute
    double power_pu
    double full_s
    int64_t hold_ns
    double release_s
    int64_t refresh_ns       # two readings this far apart are two meter refreshes, as for droop

cdef struct fast_response_t:
    int64_t active           # 0 idle, 1 rising or holding, 2 on the way back
    int64_t t_below_ns       # reading that first stood below the trigger; 0: none
    int64_t t_full_ns        # full response since; 0: not yet
    double level             # 0 ... 1 of power_pu
    double power_pu          # as it was set when this response began

cdef struct inertia_cfg_t:
    int64_t enable
    double power_per_rocof   # pu of rated active power per Hz/s, negative
    double rocof_min_hz_s
    double limit_pu
    lag_cfg_t lag

cdef struct inertia_t:
    double dp_pu

cdef void fast_response_init(fast_response_cfg_t* cfg, object settings)
cdef void inertia_init(inertia_cfg_t* cfg, object settings, double period_s)


cdef inline int triggered(fast_response_t* st, const fast_response_cfg_t* cfg, double f_hz, int64_t t_f_ns,
                          int fresh) noexcept nogil:
    """1 when two refreshes of the meter in a row are below it: a phase jump fakes one, however often it is read."""
    if not fresh or f_hz >= cfg.trigger_hz:
        st.t_below_ns = 0
        return 0
    if st.t_below_ns == 0:
        st.t_below_ns = t_f_ns
    return t_f_ns > st.t_below_ns and t_f_ns - st.t_below_ns >= cfg.refresh_ns


# One step each; fresh: frequency is fresh. Answers in pu of rated active power, added to the power without droop.
cdef inline double fast_response_step(fast_response_t* st, const fast_response_cfg_t* cfg, double f_hz, int64_t t_f_ns,
                                      int fresh, int64_t t_ns, double dt_s) noexcept nogil:
    cdef int below = triggered(st, cfg, f_hz, t_f_ns, fresh) and cfg.enable
    if st.active == 0 and below:
        st.active = 1
        st.t_full_ns = 0
        st.power_pu = cfg.power_pu
    if st.active == 1:
        st.level = approach(st.level, 1.0, dt_s / cfg.full_s)
        if st.level == 1.0 and st.t_full_ns == 0:
            st.t_full_ns = t_ns
        if not fresh or not cfg.enable or st.t_full_ns != 0 and t_ns - st.t_full_ns >= cfg.hold_ns:
            st.active = 2
    elif st.active == 2:
        st.level = approach(st.level, 0.0, dt_s / cfg.release_s)
        if st.level == 0.0 and not below:               # armed again only above the trigger
            st.active = 0
    return st.level * st.power_pu


cdef inline double inertia_step(inertia_t* st, const inertia_cfg_t* cfg, double rocof_hz_s, int fresh,
                                int64_t k) noexcept nogil:
    cdef double target_pu = 0.0
    if cfg.enable and fresh and fabs(rocof_hz_s) >= cfg.rocof_min_hz_s:
        target_pu = clip(cfg.power_per_rocof * rocof_hz_s, -cfg.limit_pu, cfg.limit_pu)
    st.dp_pu = lag_step(st.dp_pu, target_pu, &cfg.lag, k)
    return st.dp_pu
