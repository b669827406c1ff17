# Limits of the house connection: import, export, and the main fuse of each phase.
#
# Source   product. The meter at the connection sees P_conn = P_unit - load (+ = into the grid): load = P_unit - P_conn,
#          and the unit may go as far as the load leaves room. Per phase the fuse bears V I: with Q of the phase
#          untouched, |P| <= sqrt((V I_fuse)^2 - Q^2), Q from the phase's current and power.
# Inputs   m: a reading of the connection meter; p_der_w: what the unit delivers, W.
# State    site_limits_t; all zero (never read) is a valid start.
# Output   a span for the unit's power. It always contains 0: limits reduce, they never turn the direction.
# Errors   none: what the meter does not measure limits nothing here; `check` asks for what is missing. A phase of the
#          unit's that it has shown before and shows no more: the reading does not count, so that its age grows.

from libc.math cimport INFINITY, isfinite, sqrt
from libc.stdint cimport int64_t

from cython_core.arbiter cimport span_t
from cython_core.codes cimport M_I1, M_P1, M_V1, SITE_EXPORT, SITE_FUSE, SITE_IMPORT
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

cdef void site_limits_init(site_limits_cfg_t* cfg, object settings)


cdef inline span_t phase_span(const site_limits_cfg_t* cfg, double v_v, double p_w, double i_a, double p_der_w,
                              double margin_w) noexcept nogil:
    """What the fuse of one phase leaves for the unit's power on it. i_a: not finite when it is not measured."""
    cdef span_t span
    cdef double most_va = v_v * cfg.fuse_a
    cdef double q2 = (v_v * i_a) * (v_v * i_a) - p_w * p_w if isfinite(i_a) else 0.0
    cdef double room = most_va * most_va - max(q2, 0.0)
    cdef double most_w = max(sqrt(max(room, 0.0)) - margin_w, 0.0)
    cdef double load_w = p_der_w - p_w
    span.lo = load_w - most_w
    span.hi = load_w + most_w
    return span


# A new reading of the connection meter, while the unit delivers p_der_w; 0: it does not count.
cdef inline int site_limits_read(site_limits_t* st, const site_limits_cfg_t* cfg, const measurement_t* m,
                                 double p_der_w) noexcept nogil:
    cdef const double* v_v = &m.v1_v
    cdef const double* p_w = &m.p1_w
    cdef const double* i_a = &m.i1_a
    cdef double volts, amps
    cdef int64_t phases = 0
    cdef int i
    for i in range(PHASES):
        if m.valid & M_P1 << i and isfinite(p_w[i]):
            phases |= 1 << i
        elif st.phases & 1 << i and cfg.share[i] != 0.0:
            return 0
    st.known = 1
    st.load_w = p_der_w - m.p_w
    st.phases = phases
    for i in range(PHASES):
        if not phases & 1 << i:
            continue
        # as valid as for every other function: 0 ... 1.5 V_nom
        volts = v_v[i] if m.valid & M_V1 << i and 0.0 <= v_v[i] <= 1.5 * cfg.v_nom_v else cfg.v_nom_v
        amps = i_a[i] if m.valid & M_I1 << i else INFINITY
        st.phase[i] = phase_span(cfg, volts, p_w[i], amps, p_der_w * cfg.share[i], cfg.margin_w * cfg.share[i])
    return 1


# What the last reading leaves for the unit; ORs SITE_IMPORT, SITE_EXPORT, SITE_FUSE where it is less than `span`.
cdef inline span_t site_limits_span(const site_limits_t* st, const site_limits_cfg_t* cfg, span_t span,
                                    int64_t* reasons) noexcept nogil:
    cdef span_t left
    cdef double lo_w = min(st.load_w - cfg.import_w + cfg.margin_w, 0.0)
    cdef double hi_w = max(st.load_w + cfg.export_w - cfg.margin_w, 0.0)
    cdef int i
    if lo_w > span.lo:
        reasons[0] |= SITE_IMPORT
    if hi_w < span.hi:
        reasons[0] |= SITE_EXPORT
    left.lo = lo_w
    left.hi = hi_w
    for i in range(PHASES):
        if not st.phases & 1 << i or cfg.share[i] == 0.0:
            continue
        lo_w = min(st.phase[i].lo / cfg.share[i], 0.0)
        hi_w = max(st.phase[i].hi / cfg.share[i], 0.0)
        if lo_w > max(left.lo, span.lo) or hi_w < min(left.hi, span.hi):
            reasons[0] |= SITE_FUSE
        left.lo = max(left.lo, lo_w)
        left.hi = min(left.hi, hi_w)
    return left
