"""The arbiter: nested clamp of limits and wishes, strongest first.

Source   product rule: each layer is an interval; a weaker one is clipped into the stronger, so no layer undoes another
         and there is always exactly one answer.
Inputs   limits: what is permitted, W. wishes: one slot a source; the higher the source's number the stronger.
State    arbiter_t; all zero is a valid start.
Output   the wished power inside every interval, W. No fresh wish: the site's default wish, so that a dead telemetry
         process never leaves the car empty. Unknown SoC: charge until the car stops, never discharge.
Errors   none: a bad wish is refused as a value (Reason.WISH_REFUSED).
"""

from libc.math cimport INFINITY, isfinite
from libc.stdint cimport int64_t

from cython_core.functions.signals cimport clip
from cython_core.codes cimport DEFAULT_WISH, WISH_CLAMPED, WISH_REFUSED
from cython_core.structs cimport wish_t


cdef int acceptable(const arbiter_t* st, const arbiter_cfg_t* cfg, const wish_t* wish, int64_t t_ns) noexcept nogil:
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


cdef int64_t arbiter_accept(arbiter_t* st, const arbiter_cfg_t* cfg, const wish_t* wish, int64_t t_ns) noexcept nogil:
    if wish.source < 0:                                 # none arrived
        return 0
    if not acceptable(st, cfg, wish, t_ns):
        return WISH_REFUSED
    st.wishes[wish.source] = wish[0]
    st.used |= 1 << wish.source
    return 0


cdef double default_wish(arbiter_t* st, const arbiter_cfg_t* cfg, double soc_pu, int soc_known) noexcept nogil:
    if not soc_known:
        return -cfg.charge_w
    if soc_pu >= cfg.soc_target_pu:
        st.default_full = 1
    elif soc_pu <= cfg.soc_restart_pu:
        st.default_full = 0
    return 0.0 if st.default_full else -cfg.charge_w


cdef double arbiter_power(arbiter_t* st, const arbiter_cfg_t* cfg, const span_t* limits, double soc_pu, int soc_known,
                          int64_t t_ns, int64_t* reasons) noexcept nogil:
    cdef const wish_t* wish
    cdef span_t span
    cdef double p_w
    cdef int i
    take(&span, limits)
    st.source = -1
    st.seq = 0
    for i in range(7, 0, -1):
        if not st.used & 1 << i:
            continue
        wish = &st.wishes[i]
        if wish.valid_from_ns <= t_ns < wish.expires_ns:
            narrow(&span, wish.lo_w, wish.hi_w)
            if st.source < 0:
                st.source = i
                st.seq = wish.seq
                st.p_w = wish.p_w
    if st.source < 0:
        st.p_w = default_wish(st, cfg, soc_pu, soc_known)
        reasons[0] |= DEFAULT_WISH
    p_w = clip(st.p_w, span.lo, span.hi)
    if p_w != st.p_w:
        reasons[0] |= WISH_CLAMPED
    return p_w


cdef void arbiter_init(arbiter_cfg_t* cfg, object settings):
    """Settings (the whole) -> C struct, once, at load."""
    wish = settings.default_wish
    cfg.charge_w = wish.charge_w
    cfg.soc_target_pu = wish.soc_target_pu
    cfg.soc_restart_pu = wish.soc_target_pu - settings.limits.soc_band_pu
    cfg.lifetime_ns = round(wish.wish_lifetime_s * 1e9)


def nested_clamp(layers, double wish):
    """[(lo, hi), ...] strongest first, and a wish -> (lo, hi, answer). For tests and notebooks."""
    cdef span_t span
    span.lo = -INFINITY
    span.hi = INFINITY
    for lo, hi in layers:
        narrow(&span, lo, hi)
    return span.lo, span.hi, clip(wish, span.lo, span.hi)
