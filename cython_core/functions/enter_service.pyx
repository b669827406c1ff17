"""Enter service: when a unit may come (back) in, and how.

Source   IEEE 1547-2018, 4.10: criteria Table 4, delay and ramp 4.10.3; exception 1: a random delay instead of the ramp.
Inputs   v_lo_pu, v_hi_pu: lowest and highest applicable phase voltage; f_hz; known: all of it is fresh.
State    enter_service_t; all zero is a valid start (in service, no ramp).
Output   may it come in; then the share of rated power the ramp lets through, in both directions (the clause speaks of
         entering service, not of export).
Errors   none.

The delay restarts with every excursion, however short, and is counted from the step that first saw all criteria met: it
can be late by one step, never early. The random delay comes from a counter and the site's seed, so that a replay draws
the same.
"""

from libc.stdint cimport int64_t, uint64_t

cdef double NO_RAMP = 1e9


cdef void enter_service_begin(enter_service_t* st) noexcept nogil:
    st.out = 1
    st.t_good_ns = 0
    st.t_in_ns = 0


cdef double drawn(uint64_t seed, uint64_t draw) noexcept nogil:
    """0 ... 1 from SplitMix64 (public domain constants): the same on every machine."""
    cdef uint64_t x = seed + draw * <uint64_t> 0x9E3779B97F4A7C15
    x = (x ^ (x >> 30)) * <uint64_t> 0xBF58476D1CE4E5B9
    x = (x ^ (x >> 27)) * <uint64_t> 0x94D049BB133111EB
    x = x ^ (x >> 31)
    return <double> (x >> 11) * 1.1102230246251565e-16  # 2 ** -53


cdef int64_t random_delay_ns(enter_service_t* st, const enter_service_cfg_t* cfg) noexcept nogil:
    if cfg.random_ns == 0:
        return 0
    st.draws += 1
    return 1_000_000_000 + <int64_t> (drawn(cfg.seed, st.draws) * <double> (cfg.random_ns - 1_000_000_000))


cdef int enter_service_step(enter_service_t* st, const enter_service_cfg_t* cfg, double v_lo_pu, double v_hi_pu,
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


cdef double enter_service_ramp(enter_service_t* st, const enter_service_cfg_t* cfg, double most_pu,
                               int64_t t_ns) noexcept nogil:
    cdef double share
    if st.t_in_ns == 0:
        return NO_RAMP
    share = <double> (t_ns - st.t_in_ns) / <double> cfg.ramp_ns
    if share >= most_pu:
        st.t_in_ns = 0
        return NO_RAMP
    return share


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
