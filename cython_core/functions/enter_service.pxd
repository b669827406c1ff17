from libc.stdint cimport int64_t, uint64_t

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

# The unit has gone out of service: trip, permit off, or it has never been in.
cdef void enter_service_begin(enter_service_t* st) noexcept nogil
# One step while out: 1 when the unit may come in now. left_ns: of the delay, -1 while the criteria are not met.
cdef int enter_service_step(enter_service_t* st, const enter_service_cfg_t* cfg, double v_lo_pu, double v_hi_pu,
                            double f_hz, int known, int64_t t_ns, int64_t* left_ns) noexcept nogil
# Share of rated power that the ramp lets through at t_ns; 1e9 when there is no ramp (any more).
cdef double enter_service_ramp(enter_service_t* st, const enter_service_cfg_t* cfg, double most_pu,
                               int64_t t_ns) noexcept nogil
cdef void enter_service_init(enter_service_cfg_t* cfg, object settings)
