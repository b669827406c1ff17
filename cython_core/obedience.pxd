# Does the inverter do what it is told? Its set-point read back, and the power that is measured.
#
# Source   product: a set-point that nobody here commanded is another master's; a power far beyond the commanded one is
#          a wrong scale, sign or device.
# Inputs   what was commanded in the last one to two windows, as a band, so that no lag, ramp or late write is blamed.
# State    obedience_t; all zero is a valid start: nothing has been commanded.
# Output   POWER_MISMATCH, OVERWRITTEN. Too much, or the wrong way, for a whole window: `stopped`, and power goes to 0
#          by the ramp until the unit has left service. Too little is only told: a car may refuse.
# Errors   none.

from libc.math cimport fabs, isfinite
from libc.stdint cimport int64_t

from cython_core.codes cimport D_P, D_P_SET, OVERWRITTEN, POWER_MISMATCH
from cython_core.structs cimport device_state_t

cdef extern from *:
    """
    #define V2G_TIMES 5.0
    #define V2G_BESIDES 0.1
    #define V2G_SEEN_FROM 0.25
    #define V2G_OTHER 0.02
    """
    const double TIMES "V2G_TIMES"              # beyond so many times the commanded power ...
    const double BESIDES "V2G_BESIDES"          # ... and this share of rated power (losses, a car's own heating)
    const double SEEN_FROM "V2G_SEEN_FROM"      # of rated power: from here on too little is told
    const double OTHER "V2G_OTHER"              # of rated power: a set-point so far off is not ours

cdef struct obedience_cfg_t:
    int64_t window_ns            # 0: off
    int64_t settle_ns            # a read-back this long after our first write shows ours
    double p_rated_w
    double p_charge_rated_w
    int64_t own_power            # active power follows our commands alone, no function of the inverter's own

cdef struct obedience_t:
    int64_t since_ns             # commanding since; 0: not
    int64_t turn_ns              # when the newer half of the band began
    double lo                    # band of commanded powers: the newer half ...
    double hi
    double old_lo                # ... and the older one
    double old_hi
    int64_t seen_ns              # the newest reading that was looked at
    int64_t foreign              # readings in a row with a set-point that is not ours
    int64_t off_ns               # the power does not fit since; 0: it does
    int64_t stopped

cdef void obedience_init(obedience_cfg_t* cfg, object settings)


# After each step: what it has commanded. Silent: nothing is in force.
cdef inline void obedience_told(obedience_t* st, const obedience_cfg_t* cfg, double p_w, int silent,
                                int64_t t_ns) noexcept nogil:
    if silent:
        st.since_ns = 0
        return
    if st.since_ns == 0:
        st.since_ns = st.turn_ns = t_ns
        st.lo = st.hi = st.old_lo = st.old_hi = p_w
        st.foreign = st.off_ns = 0
    if t_ns - st.turn_ns >= cfg.window_ns:
        st.old_lo = st.lo
        st.old_hi = st.hi
        st.lo = st.hi = p_w
        st.turn_ns = t_ns
    st.lo = min(st.lo, p_w)
    st.hi = max(st.hi, p_w)


cdef inline int beyond(const obedience_cfg_t* cfg, double lo, double hi, double p_w) noexcept nogil:
    """What is not finite is no reading."""
    return isfinite(p_w) and (p_w > TIMES * max(hi, 0.0) + BESIDES * cfg.p_rated_w
                              or p_w < TIMES * min(lo, 0.0) - BESIDES * cfg.p_charge_rated_w)


cdef inline int short_of(const obedience_cfg_t* cfg, double lo, double hi, double p_w) noexcept nogil:
    """A fifth and less of what was commanded all the time, and yet not nothing: a scale, rather than a refusal."""
    cdef double least_w = lo if lo > 0.0 else -hi if hi < 0.0 else 0.0
    return least_w >= SEEN_FROM * cfg.p_rated_w and least_w / 20.0 <= fabs(p_w) <= least_w / TIMES


cdef inline void set_point_read(obedience_t* st, const obedience_cfg_t* cfg, const device_state_t* device, double lo,
                                double hi) noexcept nogil:
    cdef double other_w = OTHER * cfg.p_rated_w
    if device.t_ns <= st.seen_ns or not (device.valid & D_P_SET and isfinite(device.p_set_readback_w)):
        return
    st.seen_ns = device.t_ns
    if device.t_echo_ns <= st.since_ns or device.t_ns < st.since_ns + cfg.settle_ns:
        return
    if lo - other_w <= device.p_set_readback_w <= hi + other_w:
        st.foreign = 0
    else:
        st.foreign += 1


# Before each step's power: the reasons bits. device: its state, fresh or held; meter_w: at its terminals, or NaN.
cdef inline int64_t obedience_step(obedience_t* st, const obedience_cfg_t* cfg, const device_state_t* device,
                                   double meter_w, int64_t t_ns) noexcept nogil:
    cdef double lo = min(st.lo, st.old_lo)
    cdef double hi = max(st.hi, st.old_hi)
    cdef double device_w = device.p_w if device.valid & D_P else 0.0
    cdef int64_t reasons = 0
    cdef int too_much, too_little
    if st.since_ns == 0:
        return 0
    set_point_read(st, cfg, device, lo, hi)
    if st.foreign >= 2:
        reasons = OVERWRITTEN
    if cfg.own_power:
        too_much = beyond(cfg, lo, hi, device_w) or beyond(cfg, lo, hi, meter_w)
        too_little = short_of(cfg, lo, hi, device_w) or short_of(cfg, lo, hi, meter_w)
        if not (too_much or too_little):
            st.off_ns = 0
        elif st.off_ns == 0:
            st.off_ns = t_ns
        elif t_ns - st.off_ns >= cfg.window_ns:
            reasons |= POWER_MISMATCH
            st.stopped |= too_much
    return reasons | POWER_MISMATCH if st.stopped else reasons
