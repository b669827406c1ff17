"""The last stage: ramps, battery, apparent power, smallest power, reversal dwell.

Source   IEEE 1547-2018 5.2 and Table 7 (reactive capability; reactive power first inside it, beyond it as set); the
         rest is product: what batteries and inverters can hold.
Inputs   powers in W, var, VA at the inverter's terminals, + = into the grid.
State    limits_t; all zero is a valid start (the slow span opens from 0 W at the ramp rate).
Errors   none: every limit was range-checked at load or is a finite answer of the device.
"""

from libc.math cimport INFINITY, fabs, sqrt
from libc.stdint cimport int64_t

from cython_core.arbiter cimport narrow, span_t
from cython_core.codes cimport REVERSAL_DWELL, SMALLEST_POWER, SOC_LIMIT
from cython_core.functions.signals cimport clip
from cython_core.settings import TABLE_7

# a running inverter is held at its smallest power until the wish falls below this share of it
cdef double KEEP = 0.8
cdef double FULL_Q_FROM = 0.2    # share of rated P from which the full reactive capability is required (5.2)


cdef void slow_span(span_t* slow, const span_t* target, double p_w, double most_w) noexcept nogil:
    if target.hi < slow.hi:
        slow.hi = max(target.hi, min(slow.hi, max(p_w, target.hi)) - most_w)
    else:
        slow.hi = min(target.hi, slow.hi + most_w)
    if target.lo > slow.lo:
        slow.lo = min(target.lo, max(slow.lo, min(p_w, target.lo)) + most_w)
    else:
        slow.lo = max(target.lo, slow.lo - most_w)
    if slow.lo > slow.hi:                               # a target on the other side of 0 drags the far edge along
        if target.lo > 0.0:
            slow.hi = slow.lo
        else:
            slow.lo = slow.hi


cdef void battery_span(span_t* span, const limits_cfg_t* cfg, double soc_pu, int soc_known,
                       int64_t* reasons) noexcept nogil:
    cdef double discharge = 0.0
    cdef double charge = 1.0
    if soc_known:
        discharge = taper(soc_pu - cfg.soc_min_pu, cfg.soc_band_pu)
        charge = taper(cfg.soc_max_pu - soc_pu, cfg.soc_band_pu)
    if discharge < 1.0 or charge < 1.0:
        reasons[0] |= SOC_LIMIT
    narrow(span, -charge * cfg.p_charge_rated_w, discharge * cfg.p_rated_w)


cdef double taper(double room_pu, double band_pu) noexcept nogil:
    if room_pu <= 0.0:
        return 0.0
    return 1.0 if room_pu >= band_pu else room_pu / band_pu


cdef double inside_circle(double p_w, double q_var, double s_max_va) noexcept nogil:
    cdef double room = s_max_va * s_max_va - q_var * q_var
    cdef double most_w = sqrt(room) if room > 0.0 else 0.0
    return clip(p_w, -most_w, most_w)


cdef double inside_capability(double q_var, const limits_cfg_t* cfg, double p_w, double s_max_va) noexcept nogil:
    cdef double share = 1.0
    if cfg.q_in_proportion:                             # 5.2: in proportion below 20 %; below 5 % nothing is required
        share = min(fabs(p_w) / (FULL_Q_FROM * cfg.p_rated_w), 1.0)
    return clip(q_var, -min(cfg.q_absorb_pu * share * cfg.s_rated_va, s_max_va),
                min(cfg.q_inject_pu * share * cfg.s_rated_va, s_max_va))


cdef void share_circle(double* p_w, double* q_var, const limits_cfg_t* cfg, double s_max_va) noexcept nogil:
    cdef double first_var, room_var
    if cfg.active_first:
        first_var = clip(q_var[0], -cfg.table_7_absorb_pu * cfg.s_rated_va, cfg.table_7_inject_pu * cfg.s_rated_va)
        p_w[0] = inside_circle(p_w[0], first_var, s_max_va)
        room_var = inside_circle(INFINITY, p_w[0], s_max_va)
        q_var[0] = clip(q_var[0], min(first_var, -room_var), max(first_var, room_var))
    else:
        p_w[0] = inside_circle(p_w[0], q_var[0], s_max_va)


cdef void shrink_both(double* p_w, double* q_var, double s_max_va) noexcept nogil:
    cdef double s_va = sqrt(p_w[0] * p_w[0] + q_var[0] * q_var[0])
    if s_va > s_max_va:
        p_w[0] = p_w[0] * (s_max_va / s_va)
        q_var[0] = q_var[0] * (s_max_va / s_va)


cdef double holdable(limits_t* st, const limits_cfg_t* cfg, double p_w, double p_min_abs_w, double most_w,
                     int64_t t_ns, int64_t* reasons) noexcept nogil:
    cdef double smallest_w = max(cfg.p_min_abs_w, p_min_abs_w)
    cdef int64_t direction = (p_w > 0.0) - (p_w < 0.0)
    cdef int running = st.direction != 0 and st.t_zero_ns == 0
    if fabs(p_w) < smallest_w and direction != 0:
        reasons[0] |= SMALLEST_POWER
        if running and direction == st.direction and fabs(p_w) >= KEEP * smallest_w and smallest_w <= most_w:
            return direction * smallest_w
        p_w = 0.0
        direction = 0
    if direction == -st.direction and direction != 0:
        if st.t_zero_ns == 0:
            st.t_zero_ns = t_ns
        if t_ns - st.t_zero_ns < cfg.reverse_dwell_ns:
            reasons[0] |= REVERSAL_DWELL
            return 0.0
        st.reversals += 1
    if direction == 0:
        if st.t_zero_ns == 0:
            st.t_zero_ns = t_ns
        return 0.0
    st.direction = direction
    st.t_zero_ns = 0
    return p_w


cdef void limits_found(limits_t* st, double p_w) noexcept nogil:
    if p_w != 0.0:
        st.direction = (p_w > 0.0) - (p_w < 0.0)
        st.t_zero_ns = 0


cdef void limits_init(limits_cfg_t* cfg, object settings):
    """Settings (the whole) -> C struct, once, at load."""
    rating = settings.rating
    limits = settings.limits
    cfg.p_rated_w = rating.p_rated_w
    cfg.p_charge_rated_w = rating.p_charge_rated_w
    cfg.s_rated_va = rating.s_rated_va
    cfg.s_charge_rated_va = rating.s_charge_rated_va or rating.s_rated_va
    cfg.q_inject_pu = rating.q_inject_pu
    cfg.q_absorb_pu = rating.q_absorb_pu
    cfg.table_7_inject_pu, cfg.table_7_absorb_pu = TABLE_7[rating.normal_category]
    cfg.active_first = settings.reactive.beyond_table_7 == "active"
    cfg.q_in_proportion = settings.reactive.at_low_power == "in_proportion"
    cfg.ramp_pu_s = limits.ramp_pu_s
    cfg.p_min_abs_w = limits.p_min_abs_w
    cfg.reverse_dwell_ns = round(limits.reverse_dwell_s * 1e9)
    cfg.soc_min_pu = limits.soc_min_pu
    cfg.soc_max_pu = limits.soc_max_pu
    cfg.soc_band_pu = limits.soc_band_pu


cdef class Holdable:
    """Smallest power and reversal dwell with their own state, for tests."""
    cdef limits_cfg_t cfg
    cdef limits_t state

    def __init__(self, settings):
        limits_init(&self.cfg, settings)

    def step(self, double p_w, int64_t t_ns):
        """Returns the power the inverter can hold."""
        cdef int64_t reasons = 0
        return holdable(&self.state, &self.cfg, p_w, 0.0, INFINITY, t_ns, &reasons)

    @property
    def reversals(self):
        """How often the direction turned."""
        return self.state.reversals


def circle(double p_w, double q_var, double s_max_va):
    """Active power beside q_var inside the apparent-power circle."""
    return inside_circle(p_w, q_var, s_max_va)
