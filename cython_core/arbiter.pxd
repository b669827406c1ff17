# Who may have which power: nested clamp of limits and wishes.

from libc.stdint cimport int64_t

from cython_core.functions.signals cimport clip
from cython_core.structs cimport wish_t

cdef struct span_t:              # permitted active power, + = into the grid; lo <= hi
    double lo
    double hi

cdef struct arbiter_cfg_t:
    double charge_w              # the default wish: charge at this power ...
    double soc_target_pu         # ... until here
    double soc_restart_pu        # and again from here on
    int64_t lifetime_ns          # longest life a wish may claim

cdef struct arbiter_t:
    wish_t[8] wishes             # one slot a source; an all-zero slot is empty
    int64_t used                 # bit i: source i has wished before
    int64_t default_full         # the default wish has reached its target and waits for soc_restart
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


# 0, or WISH_REFUSED when the wish that arrived is not taken
cdef int64_t arbiter_accept(arbiter_t* st, const arbiter_cfg_t* cfg, const wish_t* wish, int64_t t_ns) noexcept nogil
# The power after the limits and all fresh wishes; sets st.source, seq, p_w; ORs reasons.
cdef double arbiter_power(arbiter_t* st, const arbiter_cfg_t* cfg, const span_t* limits, double soc_pu, int soc_known,
                          int64_t t_ns, int64_t* reasons) noexcept nogil
cdef void arbiter_init(arbiter_cfg_t* cfg, object settings)
