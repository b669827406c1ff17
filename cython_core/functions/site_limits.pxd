from libc.stdint cimport int64_t

from cython_core.arbiter cimport span_t
from cython_core.structs cimport measurement_t

cdef enum:
    PHASES = 3

cdef struct site_limits_cfg_t:
    int64_t enable
    double import_w
    double export_w
    double fuse_a
    double margin_w
    double share[3]          # of the unit's power on each phase
    double v_nom_v
    span_t blind             # while the connection meter is stale

cdef struct site_limits_t:
    int64_t known            # the connection meter has been read
    double load_w            # what the house draws, all phases
    span_t phase[3]          # what each phase leaves for the unit's part of it
    int64_t phases           # bits 1, 2, 4 of the phases that were measured

# A new reading of the connection meter, while the unit delivers p_der_w.
cdef void site_limits_read(site_limits_t* st, const site_limits_cfg_t* cfg, const measurement_t* m,
                           double p_der_w) noexcept nogil
# What the last reading leaves for the unit; ORs SITE_IMPORT, SITE_EXPORT, SITE_FUSE where it is less than `span`.
cdef span_t site_limits_span(const site_limits_t* st, const site_limits_cfg_t* cfg, span_t span,
                             int64_t* reasons) noexcept nogil
cdef void site_limits_init(site_limits_cfg_t* cfg, object settings)
