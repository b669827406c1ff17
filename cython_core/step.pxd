# THE list of stages, in order. See step.pyx.

from libc.stdint cimport int64_t

from cython_core.compiled cimport settings_t
from cython_core.state cimport core_state_t
from cython_core.structs cimport inputs_t, step_record_t

cdef void step(core_state_t* st, const settings_t* cfg, const inputs_t* inputs, int64_t t_ns, int64_t k,
               step_record_t* rec) noexcept nogil


cdef class Core:
    cdef settings_t cfg
    cdef core_state_t st
    cdef readonly object settings
    cdef readonly double period_s
    cdef int use(self, bytes compiled_settings) except -1
    cdef bytearray replayed(self, const step_record_t* source, Py_ssize_t n_bytes)
