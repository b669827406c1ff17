# The arbiter: nested clamp of limits and wishes, strongest first.
#
# Source   product rule: each layer is an interval; a weaker one is clipped into the stronger, so no layer undoes
#          another and there is always exactly one answer.
# Inputs   limits: what is permitted, W. wishes: one slot a source; the higher the source's number the stronger.
# State    arbiter_t; all zero is a valid start.
# Output   the wished power inside every interval, W. No fresh wish: the site's default wish, so that a dead telemetry
#          process never leaves the car empty. Unknown SoC: charge until the car stops, never discharge.
# Errors   none: a bad wish is refused as a value (Reason.WISH_REFUSED).

from libc.math cimport isfinite
from libc.stdint cimport int64_t

from cython_core.codes cimport DEFAULT_WISH, DEPARTURE, WISH_CLAMPED, WISH_REFUSED
from cython_core.functions.signals cimport clip
from cython_core.structs cimport wish_t

cdef struct span_t:              # permitted active power, + = into the grid; lo <= hi
    double lo
    double hi

cdef extern from *:
    """
    #define V2G_ETA 0.9
    #define V2G_IN_TIME 1.1
    #define V2G_FULL_NS 10000000000LL
    """
    const double ETA "V2G_ETA"                  # of what is charged this arrives in the battery
    const int64_t FULL_NS "V2G_FULL_NS"         # one glitch of the charger shall not end a night's charge
    const double IN_TIME "V2G_IN_TIME"          # the time that charging takes is counted so many times
    int leading_zeros "__builtin_clzll"(unsigned long long bits) noexcept nogil

cdef struct arbiter_cfg_t:
    double charge_w              # the default wish: charge at this power ...
    double soc_target_pu         # ... until here
    double soc_restart_pu        # and again from here on
    double capacity_wh           # of the battery; 0: unknown
    int64_t lifetime_ns          # longest life a wish may claim

cdef struct arbiter_t:
    wish_t[8] wishes             # one slot a source; an all-zero slot is empty
    int64_t used                 # bit i: source i has wished before
    int64_t default_full         # the default wish has reached its target and waits for soc_restart
    int64_t target_ns            # it is at the target since; 0: it is not
    int64_t leaving_ns           # for this departure the car is being charged now
    int64_t source               # who won: -1 the default wish
    int64_t seq
    double p_w                   # what the winner asked for


cdef inline void take(span_t* span, const span_t* other) noexcept nogil:
    # edge by edge: both at once would wait for the two stores that made them
    span.lo = other.lo
    span.hi = other.hi


cdef inline void narrow(span_t* span, double lo, double hi) noexcept nogil:
    # A weaker layer inside a stronger one: the intersection, or the one point nearest to it. Never undoes `span`.
    cdef double outer_lo = span.lo
    cdef double outer_hi = span.hi
    span.lo = clip(lo, outer_lo, outer_hi)
    span.hi = clip(hi, outer_lo, outer_hi)


cdef void arbiter_init(arbiter_cfg_t* cfg, object settings)


cdef inline int acceptable(const arbiter_t* st, const arbiter_cfg_t* cfg, const wish_t* wish,
                           int64_t t_ns) noexcept nogil:
    if wish.source < 1 or wish.source > 7:
        return 0
    if not (isfinite(wish.lo_w) and isfinite(wish.hi_w) and isfinite(wish.p_w)) or wish.lo_w > wish.hi_w:
        return 0
    if isfinite(wish.q_var) and wish.q_var != 0.0:      # there is no function for it yet: refused, not ignored
        return 0
    if wish.seq <= st.wishes[wish.source].seq:
        return 0
    if wish.expires_ns <= wish.valid_from_ns or wish.expires_ns <= t_ns:
        return 0
    return wish.expires_ns - max(wish.valid_from_ns, t_ns) <= cfg.lifetime_ns


# 0, or WISH_REFUSED when the wish that arrived is not taken
cdef inline int64_t arbiter_accept(arbiter_t* st, const arbiter_cfg_t* cfg, const wish_t* wish,
                                   int64_t t_ns) noexcept nogil:
    if wish.source < 0:                                 # none arrived
        return 0
    if not acceptable(st, cfg, wish, t_ns):
        return WISH_REFUSED
    st.wishes[wish.source] = wish[0]
    st.used |= 1 << wish.source
    return 0


cdef inline double default_wish(arbiter_t* st, const arbiter_cfg_t* cfg, double soc_pu, int soc_known,
                                int64_t t_ns) noexcept nogil:
    if not soc_known or soc_pu < cfg.soc_target_pu:
        st.target_ns = 0
    elif st.target_ns == 0:
        st.target_ns = t_ns
    if not soc_known:
        return -cfg.charge_w
    if st.target_ns != 0:
        st.default_full |= t_ns - st.target_ns >= FULL_NS
        return 0.0
    if soc_pu <= cfg.soc_restart_pu:
        st.default_full = 0
    return 0.0 if st.default_full else -cfg.charge_w


# The driver's floor: from the last moment on at which the target can still be reached by the departure, charging with
# most_w, the car is charged with all that the limits permit.
cdef inline void departure_floor(arbiter_t* st, const arbiter_cfg_t* cfg, span_t* span, double soc_pu, int soc_known,
                                 double most_w, int64_t t_depart_ns, int64_t t_ns, int64_t* reasons) noexcept nogil:
    cdef double needed_wh, left_h
    if not (soc_known and soc_pu < cfg.soc_target_pu and t_ns < t_depart_ns and cfg.capacity_wh > 0.0
            and span.lo < 0.0):
        return
    needed_wh = (cfg.soc_target_pu - soc_pu) * cfg.capacity_wh / ETA
    left_h = <double> (t_depart_ns - t_ns) / 3.6e12
    if st.leaving_ns == t_depart_ns or needed_wh * IN_TIME >= left_h * most_w:
        st.leaving_ns = t_depart_ns
        reasons[0] |= DEPARTURE
        narrow(span, span.lo, span.lo)


# The power after the limits and all fresh wishes; sets st.source, seq, p_w; ORs reasons.
cdef inline double arbiter_power(arbiter_t* st, const arbiter_cfg_t* cfg, const span_t* limits, double soc_pu,
                                 int soc_known, double most_w, int64_t t_depart_ns, int64_t t_ns,
                                 int64_t* reasons) noexcept nogil:
    cdef const wish_t* wish
    cdef span_t span
    cdef double p_w
    cdef int64_t left = st.used     # slots in use, the strongest first
    cdef int i
    take(&span, limits)
    if t_depart_ns != 0:
        departure_floor(st, cfg, &span, soc_pu, soc_known, most_w, t_depart_ns, t_ns, reasons)
    st.source = -1
    st.seq = 0
    for _ in range(7):
        if left == 0:
            break
        i = 63 - leading_zeros(left)
        left ^= 1 << i
        wish = &st.wishes[i]
        if wish.valid_from_ns <= t_ns < wish.expires_ns:
            narrow(&span, wish.lo_w, wish.hi_w)
            if st.source < 0:
                st.source = i
                st.seq = wish.seq
                st.p_w = wish.p_w
    if st.source < 0:
        st.p_w = default_wish(st, cfg, soc_pu, soc_known, t_ns)
        reasons[0] |= DEFAULT_WISH
    p_w = clip(st.p_w, span.lo, span.hi)
    if p_w != st.p_w:
        reasons[0] |= WISH_CLAMPED
    return p_w
