# Abnormal voltage and frequency: trip elements, ride-through regions, momentary cessation, restore output.
#
# Source   IEEE 1547-2018: shall trip 6.4.1 Tables 11-13 and 6.5.1 Table 18; ride-through 6.4.2 Tables 14-16 and 6.5.2
#          Table 19; restore output 6.4.2.7; consecutive disturbances 6.4.2.5 Table 17. RoCoF (Table 21) and phase jumps
#          (6.5.2.6): nothing here looks at either, so neither can trip.
# Inputs   v_lo_pu, v_hi_pu: lowest and highest applicable phase voltage, pu; f_hz; known: fresh or held.
# State    trip_t, ride_through_t; all zero is a valid start.
# Output   trip bits; region, may_trip (a trip would be allowed), withheld (1: ceased; falls to 0 while output returns).
# Errors   none.
#
# Each trip element has its own timer; it counts from the time of the reading that first stood beyond the level
# (strictly) and is cleared by the first one that does not. A voltage nobody knows clears it: loss of a meter is no
# trip.

from libc.stdint cimport int64_t

from cython_core.codes cimport REGION_CONTINUOUS, REGION_MANDATORY, REGION_MOMENTARY_CESSATION, REGION_PERMISSIVE
from cython_core.functions.signals cimport approach

cdef extern from *:
    """
    #define V2G_MANDATORY_F_S 299.0
    #define V2G_CONTINUOUS_FROM 0.88
    #define V2G_CONTINUOUS_TO 1.10
    """
    const double MANDATORY_F_S "V2G_MANDATORY_F_S"
    const double CONTINUOUS_FROM "V2G_CONTINUOUS_FROM"    # no row of any table is inside
    const double CONTINUOUS_TO "V2G_CONTINUOUS_TO"

cdef enum:
    ROWS = 8                 # of a voltage ride-through table
    ELEMENTS = 8             # trip elements, in the order of records.Trip

cdef struct trip_cfg_t:
    int64_t own_voltage      # these elements are the controller's, not the inverter's
    int64_t own_frequency
    double level[8]
    int64_t time_ns[8]       # clearing time less the inverter's own opening time

cdef struct trip_t:
    int64_t since_ns[8]      # reading that first stood beyond the level; 0: clear
    int64_t bits             # records.Trip: what has tripped
    int64_t watching         # timers may be running

cdef struct row_t:           # of Tables 14 to 16: above nominal v_from < V <= v_to, below nominal v_from <= V < v_to
    double v_from
    double v_to
    int64_t region
    double duty_s            # minimum ride-through time at v_from ...
    double duty_s_per_pu     # ... and its slope

cdef struct ride_through_cfg_t:
    int64_t own              # the controller ceases and restores, not the inverter
    double shift_hz          # of the frequency table: 0 at 60 Hz
    double f_nom_hz
    row_t high[8]
    row_t low[8]
    double restore_s
    int64_t most_sets        # Table 17
    int64_t apart_ns
    int64_t forget_ns

cdef struct ride_through_t:
    int64_t region
    int64_t out_ns           # outside continuous operation since; 0: inside
    int64_t may_trip         # the duty is fulfilled
    int64_t sets             # disturbances in a row
    int64_t v_out            # voltage is outside continuous operation
    int64_t v_back_ns        # when it came back last
    double withheld          # share of P and Q that cessation and restore hold back, 0 ... 1

cdef void trip_init(trip_cfg_t* cfg, object settings)
cdef void ride_through_init(ride_through_cfg_t* cfg, object settings)


cdef inline int element(int64_t* since_ns, int beyond, int64_t t_reading_ns, int64_t t_ns,
                        int64_t time_ns) noexcept nogil:
    if not beyond:
        since_ns[0] = 0
        return 0
    if since_ns[0] == 0:
        since_ns[0] = t_reading_ns
    return t_ns - since_ns[0] >= time_ns


# One step with known voltage and frequency. t_v_ns, t_f_ns: time of the readings. Returns 1 when an element trips.
cdef inline int trip_step(trip_t* st, const trip_cfg_t* cfg, double v_lo_pu, double v_hi_pu, int64_t t_v_ns,
                          int v_known,
                          double f_hz, int64_t t_f_ns, int f_known, int64_t t_ns) noexcept nogil:
    cdef int voltage = cfg.own_voltage and v_known
    cdef int frequency = cfg.own_frequency and f_known
    cdef int64_t before = st.bits
    cdef int i, beyond
    st.watching = voltage or frequency
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


cdef inline const row_t* high_row(const ride_through_cfg_t* cfg, double v_pu) noexcept nogil:
    cdef int i
    for i in range(ROWS):
        if cfg.high[i].v_from < v_pu <= cfg.high[i].v_to:
            return &cfg.high[i]
    return NULL


cdef inline const row_t* low_row(const ride_through_cfg_t* cfg, double v_pu) noexcept nogil:
    cdef int i
    for i in range(ROWS):
        if cfg.low[i].v_from <= v_pu < cfg.low[i].v_to:
            return &cfg.low[i]
    return NULL


cdef inline void worse(int64_t* region, double* duty_s, int64_t other, double other_s) noexcept nogil:
    """Both regions hold at once: the more severe acts, the shorter duty rules."""
    region[0] = max(region[0], other)
    duty_s[0] = min(duty_s[0], other_s)


cdef inline void frequency_region(int64_t* region, double* duty_s, double f_60_hz) noexcept nogil:
    """Table 19: f_60_hz is the frequency moved to a 60 Hz grid."""
    if f_60_hz > 61.8 or f_60_hz < 57.0:
        worse(region, duty_s, REGION_PERMISSIVE, 0.0)
    elif f_60_hz > 61.2 or f_60_hz < 58.8:
        worse(region, duty_s, REGION_MANDATORY, MANDATORY_F_S)


cdef inline void count_sets(ride_through_t* st, const ride_through_cfg_t* cfg, int v_out, int64_t t_ns) noexcept nogil:
    """Table 17: disturbances in a row, each at least apart_ns after the one before; forgotten after a while."""
    if v_out and not st.v_out and (st.sets == 0 or t_ns - st.v_back_ns >= cfg.apart_ns):
        st.sets += 1
    if st.v_out and not v_out:
        st.v_back_ns = t_ns
    if not v_out and st.sets != 0 and t_ns - st.v_back_ns >= cfg.forget_ns:
        st.sets = 0
    st.v_out = v_out


cdef inline void ride_through_step(ride_through_t* st, const ride_through_cfg_t* cfg, double v_lo_pu, double v_hi_pu,
                                   int v_known, double f_hz, int f_known, int64_t t_ns, double dt_s) noexcept nogil:
    cdef const row_t* row
    cdef int64_t region = REGION_CONTINUOUS
    cdef int64_t v_region
    cdef double duty_s = 1e6
    if v_known and not (CONTINUOUS_FROM <= v_lo_pu and v_hi_pu <= CONTINUOUS_TO):
        row = high_row(cfg, v_hi_pu)
        if row != NULL:
            worse(&region, &duty_s, row.region, row.duty_s + (v_hi_pu - row.v_from) * row.duty_s_per_pu)
        row = low_row(cfg, v_lo_pu)
        if row != NULL:
            worse(&region, &duty_s, row.region, row.duty_s + (v_lo_pu - row.v_from) * row.duty_s_per_pu)
    if v_known:
        count_sets(st, cfg, region != REGION_CONTINUOUS, t_ns)
    v_region = region
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
    if cfg.own and v_region >= REGION_MOMENTARY_CESSATION:
        st.withheld = 1.0
    elif st.withheld > 0.0 and (not cfg.own or v_known and v_region <= REGION_MANDATORY):
        # 6.4.2.7 looks at voltage: one nobody knows has not returned. What is not ours any more is let go alike
        st.withheld = approach(st.withheld, 0.0, dt_s / cfg.restore_s)
