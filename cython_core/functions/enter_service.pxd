# Enter service: when a unit may come (back) in, and how.
#
# Source   IEEE 1547-2018, 4.10: criteria Table 4, delay and ramp 4.10.3; exception 1: a random delay instead of the
#          ramp.
# Inputs   v_lo_pu, v_hi_pu: lowest and highest applicable phase voltage; f_hz; known: all of it is fresh.
# State    enter_service_t; all zero is a valid start (in service, no ramp).
# Output   may it come in; then the share of rated power the ramp lets through, in both directions (the clause speaks of
#          entering service, not of export).
# Errors   none.
#
# The delay restarts with every excursion, however short, and is counted from the step that first saw all criteria met:
# it can be late by one step, never early. The random delay comes from a counter and the site's seed, so that a replay
# draws the same.

from libc.stdint cimport int64_t, uint64_t

cdef extern from *:
    """
    #define V2G_NO_RAMP 1e9
    """
    const double NO_RAMP "V2G_NO_RAMP"

cdef struct enter_service_cfg_t:
    int64_t own              # the controller enters service, not the inverter
    int64_t permit
    double v_low_pu
    double v_high_pu
    double f_low_hz
    double f_high_hz
    int64_t delay_ns
    int64_t ramp_ns          # 0 W to rated; 0: none
    int64_t random_ns        # longest random delay; 0: none
    uint64_t seed

cdef struct enter_service_t:
    int64_t out              # the unit is out of service and has to come back by this way
    int64_t t_good_ns        # criteria met without a break since; 0: they are not met
    int64_t draws            # random delays drawn so far
    int64_t extra_ns         # the one drawn for this time
    int64_t t_in_ns          # when the ramp began; 0: no ramp is running

cdef void enter_service_init(enter_service_cfg_t* cfg, object settings)


# The unit has gone out of service: trip, permit off, or it has never been in.
cdef inline void enter_service_begin(enter_service_t* st) noexcept nogil:
    st.out = 1
    st.t_good_ns = 0
    st.t_in_ns = 0


cdef inline double drawn(uint64_t seed, uint64_t draw) noexcept nogil:
    """0 ... 1 from SplitMix64 (public domain constants): the same on every machine."""
    cdef uint64_t x = seed + draw * <uint64_t> 0x9E3779B97F4A7C15
    x = (x ^ (x >> 30)) * <uint64_t> 0xBF58476D1CE4E5B9
    x = (x ^ (x >> 27)) * <uint64_t> 0x94D049BB133111EB
    x = x ^ (x >> 31)
    return <double> (x >> 11) * 1.1102230246251565e-16  # 2 ** -53


cdef inline int64_t random_delay_ns(enter_service_t* st, const enter_service_cfg_t* cfg) noexcept nogil:
    if cfg.random_ns == 0:
        return 0
    st.draws += 1
    return 1_000_000_000 + <int64_t> (drawn(cfg.seed, st.draws) * <double> (cfg.random_ns - 1_000_000_000))


# One step while out: 1 when the unit may come in now. left_ns: of the delay, -1 while the criteria are not met.
cdef inline int enter_service_step(enter_service_t* st, const enter_service_cfg_t* cfg, double v_lo_pu, double v_hi_pu,
                                   double f_hz, int known, int64_t t_ns, int64_t* left_ns) noexcept nogil:
    left_ns[0] = -1
    if not (known and cfg.v_low_pu <= v_lo_pu and v_hi_pu <= cfg.v_high_pu and cfg.f_low_hz <= f_hz <= cfg.f_high_hz):
        st.t_good_ns = 0
        return 0
    if st.t_good_ns == 0:
        st.t_good_ns = t_ns
        st.extra_ns = random_delay_ns(st, cfg)
    left_ns[0] = max(cfg.delay_ns + st.extra_ns - (t_ns - st.t_good_ns), 0)
    if left_ns[0] > 0:
        return 0
    st.out = 0
    st.t_in_ns = t_ns if cfg.ramp_ns != 0 else 0
    return 1


# A delay that another run has begun goes on with left_ns of it; -1: its criteria were not met, 0: it was not counting
# (starting, no permit), for a delay that has passed is followed by service. What passed since does not count: nobody
# has looked at the grid.
cdef inline void enter_service_resume(enter_service_t* st, const enter_service_cfg_t* cfg, int64_t left_ns,
                                      int64_t t_ns) noexcept nogil:
    if left_ns <= 0:
        return
    st.extra_ns = max(left_ns - cfg.delay_ns, 0)
    st.t_good_ns = t_ns - (cfg.delay_ns + st.extra_ns - left_ns)


# Share of rated power that the running ramp lets through at t_ns; 1e9 when it has ended.
cdef inline double enter_service_ramp(enter_service_t* st, const enter_service_cfg_t* cfg, double most_pu,
                                      int64_t t_ns) noexcept nogil:
    cdef double share = <double> (t_ns - st.t_in_ns) / <double> cfg.ramp_ns
    if share >= most_pu:
        st.t_in_ns = 0
        return NO_RAMP
    return share
