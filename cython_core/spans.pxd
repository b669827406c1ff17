# What active power is permitted: at once, and at the ramp rate.

from libc.math cimport isfinite
from libc.stdint cimport int64_t

from cython_core.arbiter cimport span_t
from cython_core.codes cimport D_SOC
from cython_core.compiled cimport settings_t
from cython_core.state cimport core_state_t
from cython_core.structs cimport device_state_t, inputs_t, step_record_t

cdef inline int soc_known(const device_state_t* device) noexcept nogil:
    return (device.valid & D_SOC) != 0 and isfinite(device.soc_pu)


cdef void hard_span(span_t* span, const core_state_t* st, const settings_t* cfg, const inputs_t* inputs,
                    step_record_t* rec) noexcept nogil
cdef void ramped_span(span_t* target, const core_state_t* st, const settings_t* cfg, const inputs_t* inputs,
                      int64_t t_ns, step_record_t* rec) noexcept nogil
