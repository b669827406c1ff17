"""Abnormal voltage and frequency: trip elements, ride-through regions, momentary cessation, restore output.

Source   IEEE 1547-2018: shall trip 6.4.1 Tables 11-13 and 6.5.1 Table 18; ride-through 6.4.2 Tables 14-16 and 6.5.2
         Table 19; restore output 6.4.2.7; consecutive disturbances 6.4.2.5 Table 17. RoCoF (Table 21) and phase jumps
         (6.5.2.6): nothing here looks at either, so neither can trip.
Inputs   v_lo_pu, v_hi_pu: lowest and highest applicable phase voltage, pu; f_hz; known: fresh or held.
State    trip_t, ride_through_t; all zero is a valid start.
Output   trip bits; region, may_trip (a trip would be allowed), withheld (1: ceased; falls to 0 while output returns).
Errors   none.

Each trip element has its own timer; it counts from the time of the reading that first stood beyond the level (strictly)
and is cleared by the first one that does not. A voltage nobody knows clears it: loss of a meter is no trip.
"""

from libc.stdint cimport int64_t

from cython_core.codes cimport REGION_CONTINUOUS, REGION_MANDATORY, REGION_MOMENTARY_CESSATION
from cython_core.codes cimport REGION_PERMISSIVE
from cython_core.functions.signals cimport approach
from cython_core.records import Region

CEASE, MOMENTARY, MANDATORY = Region.CEASE, Region.MOMENTARY_CESSATION, Region.MANDATORY
PERMISSIVE = Region.PERMISSIVE
# Tables 14 to 16: v_from, v_to, region, minimum ride-through s at v_from, slope s/pu; continuous is 0.88 ... 1.10
HIGH = {
    "I": [(1.1, 1.15, PERMISSIVE, 1.0, 0.0), (1.15, 1.175, PERMISSIVE, 0.5, 0.0), (1.175, 1.2, PERMISSIVE, 0.2, 0.0),
          (1.2, 9.0, CEASE, 0.0, 0.0)],
    "III": [(1.1, 1.2, MOMENTARY, 12.0, 0.0), (1.2, 9.0, CEASE, 0.0, 0.0)],
}
HIGH["II"] = HIGH["I"]
LOW = {
    "I": [(0.7, 0.88, MANDATORY, 0.7, 4.0), (0.5, 0.7, PERMISSIVE, 0.16, 0.0), (-1.0, 0.5, CEASE, 0.0, 0.0)],
    "II": [(0.65, 0.88, MANDATORY, 3.0, 8.7), (0.45, 0.65, PERMISSIVE, 0.32, 0.0), (0.3, 0.45, PERMISSIVE, 0.16, 0.0),
           (-1.0, 0.3, CEASE, 0.0, 0.0)],
    "III": [(0.7, 0.88, MANDATORY, 20.0, 0.0), (0.5, 0.7, MANDATORY, 10.0, 0.0), (-1.0, 0.5, MOMENTARY, 1.0, 0.0)],
}
# Table 17: sets, s apart, min until they are forgotten (the last from memory)
SETS = {"I": (2, 20, 60), "II": (2, 10, 60), "III": (3, 5, 20)}

cdef double MANDATORY_F_S = 299.0


cdef int element(int64_t* since_ns, int beyond, int64_t t_reading_ns, int64_t t_ns, int64_t time_ns) noexcept nogil:
    if not beyond:
        since_ns[0] = 0
        return 0
    if since_ns[0] == 0:
        since_ns[0] = t_reading_ns
    return t_ns - since_ns[0] >= time_ns


cdef int trip_step(trip_t* st, const trip_cfg_t* cfg, double v_lo_pu, double v_hi_pu, int64_t t_v_ns, int v_known,
                   double f_hz, int64_t t_f_ns, int f_known, int64_t t_ns) noexcept nogil:
    cdef int voltage = cfg.own_voltage and v_known
    cdef int frequency = cfg.own_frequency and f_known
    cdef int64_t before = st.bits
    cdef int i, beyond
    for i in range(ELEMENTS):
        if i < 2:                                       # OV2, OV1
            beyond = voltage and v_hi_pu > cfg.level[i]
        elif i < 4:                                     # UV1, UV2
            beyond = voltage and v_lo_pu < cfg.level[i]
        elif i < 6:                                     # OF2, OF1
            beyond = frequency and f_hz > cfg.level[i]
        else:                                           # UF1, UF2
            beyond = frequency and f_hz < cfg.level[i]
        if element(&st.since_ns[i], beyond, t_v_ns if i < 4 else t_f_ns, t_ns, cfg.time_ns[i]):
            st.bits |= 1 << i
    return st.bits != before


cdef const row_t* high_row(const ride_through_cfg_t* cfg, double v_pu) noexcept nogil:
    cdef int i
    for i in range(ROWS):
        if cfg.high[i].v_from < v_pu <= cfg.high[i].v_to:
            return &cfg.high[i]
    return NULL


cdef const row_t* low_row(const ride_through_cfg_t* cfg, double v_pu) noexcept nogil:
    cdef int i
    for i in range(ROWS):
        if cfg.low[i].v_from <= v_pu < cfg.low[i].v_to:
            return &cfg.low[i]
    return NULL


cdef void worse(int64_t* region, double* duty_s, int64_t other, double other_s) noexcept nogil:
    """Both regions hold at once: the more severe acts, the shorter duty rules."""
    region[0] = max(region[0], other)
    duty_s[0] = min(duty_s[0], other_s)


cdef void frequency_region(int64_t* region, double* duty_s, double f_60_hz) noexcept nogil:
    """Table 19: f_60_hz is the frequency moved to a 60 Hz grid."""
    if f_60_hz > 61.8 or f_60_hz < 57.0:
        worse(region, duty_s, REGION_PERMISSIVE, 0.0)
    elif f_60_hz > 61.2 or f_60_hz < 58.8:
        worse(region, duty_s, REGION_MANDATORY, MANDATORY_F_S)


cdef void count_sets(ride_through_t* st, const ride_through_cfg_t* cfg, int v_out, int64_t t_ns) noexcept nogil:
    """Table 17: disturbances in a row, each at least apart_ns after the one before; forgotten after a while."""
    if v_out and not st.v_out and (st.sets == 0 or t_ns - st.v_back_ns >= cfg.apart_ns):
        st.sets += 1
    if st.v_out and not v_out:
        st.v_back_ns = t_ns
    if not v_out and st.sets != 0 and t_ns - st.v_back_ns >= cfg.forget_ns:
        st.sets = 0
    st.v_out = v_out


cdef void ride_through_step(ride_through_t* st, const ride_through_cfg_t* cfg, double v_lo_pu, double v_hi_pu,
                            int v_known, double f_hz, int f_known, int64_t t_ns, double dt_s) noexcept nogil:
    cdef const row_t* row
    cdef int64_t region = REGION_CONTINUOUS
    cdef double duty_s = 1e6
    if v_known:
        row = high_row(cfg, v_hi_pu)
        if row != NULL:
            worse(&region, &duty_s, row.region, row.duty_s + (v_hi_pu - row.v_from) * row.duty_s_per_pu)
        row = low_row(cfg, v_lo_pu)
        if row != NULL:
            worse(&region, &duty_s, row.region, row.duty_s + (v_lo_pu - row.v_from) * row.duty_s_per_pu)
    count_sets(st, cfg, region != REGION_CONTINUOUS, t_ns)
    if f_known:
        frequency_region(&region, &duty_s, f_hz - cfg.shift_hz)
        if v_known and v_hi_pu * cfg.f_nom_hz > 1.1 * f_hz and region == REGION_CONTINUOUS:
            worse(&region, &duty_s, REGION_PERMISSIVE, 0.0)     # 6.5.2: continuous operation needs V/f <= 1.1
    if region == REGION_CONTINUOUS:
        st.out_ns = 0
    elif st.out_ns == 0:
        st.out_ns = t_ns
    st.region = region
    st.may_trip = region != REGION_CONTINUOUS and (
        <double> (t_ns - st.out_ns) * 1e-9 >= duty_s or st.v_out and st.sets > cfg.most_sets)
    if not cfg.own:
        st.withheld = 0.0
    elif region >= REGION_MOMENTARY_CESSATION:
        st.withheld = 1.0
    elif region <= REGION_MANDATORY:
        st.withheld = approach(st.withheld, 0.0, dt_s / cfg.restore_s)


cdef void trip_init(trip_cfg_t* cfg, object settings):
    """Settings (the whole) -> C struct, once, at load. Order of records.Trip."""
    v = settings.voltage_trip
    f = settings.frequency_trip
    cfg.own_voltage = v.owner == "controller"
    cfg.own_frequency = f.owner == "controller"
    elements = [
        (v.ov2_pu, v.ov2_s, v), (v.ov1_pu, v.ov1_s, v), (v.uv1_pu, v.uv1_s, v), (v.uv2_pu, v.uv2_s, v),
        (f.of2_hz, f.of2_s, f), (f.of1_hz, f.of1_s, f), (f.uf1_hz, f.uf1_s, f), (f.uf2_hz, f.uf2_s, f),
    ]
    for i, (level, time_s, group) in enumerate(elements):
        cfg.level[i] = level
        cfg.time_ns[i] = round((time_s - group.opening_s) * 1e9)


cdef void row_init(row_t* row, object values):
    row.v_from, row.v_to, row.region, row.duty_s, row.duty_s_per_pu = values


cdef void ride_through_init(ride_through_cfg_t* cfg, object settings):
    """Settings (the whole) -> C struct, once, at load."""
    ride = settings.ride_through
    category = settings.rating.abnormal_category
    nothing = (9.0, 9.0, 0, 0.0, 0.0)                   # a row that no voltage is in
    high = [list(row) for row in HIGH[category]]
    low = [list(row) for row in LOW[category]]
    if category == "III":                               # 6.4.2.7.3: the thresholds of cessation may be moved
        high[0][0] = ride.mc_high_pu
        low[1][0] = min(ride.mc_low_pu, low[0][0])
        low[2][1] = ride.mc_low_pu
        low[0][0] = max(ride.mc_low_pu, low[0][0])
        high.append([1.1, ride.mc_high_pu, MANDATORY, 12.0, 0.0])
    for i in range(ROWS):
        row_init(&cfg.high[i], high[i] if i < len(high) else nothing)
        row_init(&cfg.low[i], low[i] if i < len(low) else nothing)
    cfg.own = ride.owner == "controller"
    cfg.f_nom_hz = settings.rating.f_nom_hz
    cfg.shift_hz = settings.rating.f_nom_hz - 60.0
    cfg.restore_s = ride.restore_s
    sets, apart_s, forget_min = SETS[category]
    cfg.most_sets = sets
    cfg.apart_ns = apart_s * 1_000_000_000
    cfg.forget_ns = forget_min * 60_000_000_000
