from libc.stdint cimport int64_t

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

# One step with known voltage and frequency. t_v_ns, t_f_ns: time of the readings. Returns 1 when an element trips.
cdef int trip_step(trip_t* st, const trip_cfg_t* cfg, double v_lo_pu, double v_hi_pu, int64_t t_v_ns, int v_known,
                   double f_hz, int64_t t_f_ns, int f_known, int64_t t_ns) noexcept nogil
cdef void ride_through_step(ride_through_t* st, const ride_through_cfg_t* cfg, double v_lo_pu, double v_hi_pu,
                            int v_known, double f_hz, int f_known, int64_t t_ns, double dt_s) noexcept nogil
cdef void trip_init(trip_cfg_t* cfg, object settings)
cdef void ride_through_init(ride_through_cfg_t* cfg, object settings)
