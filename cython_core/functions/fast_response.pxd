from libc.stdint cimport int64_t

from cython_core.functions.signals cimport lag_cfg_t

cdef struct fast_response_cfg_t:
    int64_t enable
    double trigger_hz        # absolute
    double power_pu
    double full_s
    int64_t hold_ns
    double release_s

cdef struct fast_response_t:
    int64_t active           # 0 idle, 1 rising or holding, 2 on the way back
    int64_t t_below_ns       # reading that first stood below the trigger; 0: none
    int64_t t_full_ns        # full response since; 0: not yet
    double level             # 0 ... 1 of power_pu

cdef struct inertia_cfg_t:
    int64_t enable
    double power_per_rocof   # pu of rated active power per Hz/s, negative
    double rocof_min_hz_s
    double limit_pu
    lag_cfg_t lag

cdef struct inertia_t:
    double dp_pu

# One step each; fresh: frequency is fresh. Answers in pu of rated active power, added to the power without droop.
cdef double fast_response_step(fast_response_t* st, const fast_response_cfg_t* cfg, double f_hz, int64_t t_f_ns,
                               int fresh, int64_t t_ns, double dt_s) noexcept nogil
cdef double inertia_step(inertia_t* st, const inertia_cfg_t* cfg, double rocof_hz_s, int fresh,
                         int64_t k) noexcept nogil
cdef void fast_response_init(fast_response_cfg_t* cfg, object settings)
cdef void inertia_init(inertia_cfg_t* cfg, object settings, double period_s)
