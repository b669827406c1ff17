from libc.stdint cimport int64_t

from cython_core.compiled cimport settings_t
from cython_core.state cimport core_state_t
from cython_core.structs cimport inputs_t, step_record_t

# Takes what is good of the inputs; fills ages, freshness and conditioned values of the record.
cdef void stage_fresh(core_state_t* st, const settings_t* cfg, const inputs_t* inputs, int64_t t_ns,
                      step_record_t* rec) noexcept nogil
