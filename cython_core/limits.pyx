"""Settings -> C struct, and the Python face of limits. The function, with its source: limits.pxd."""

from libc.math cimport INFINITY
from libc.stdint cimport int64_t

from cython_core.settings import TABLE_7


cdef void limits_init(limits_cfg_t* cfg, object settings):
    """Settings (the whole) -> C struct, once, at load."""
    rating = settings.rating
    limits = settings.limits
    cfg.p_rated_w = rating.p_rated_w
    cfg.p_charge_rated_w = rating.p_charge_rated_w
    cfg.s_rated_va = rating.s_rated_va
    cfg.s_charge_rated_va = rating.s_charge_rated_va or rating.s_rated_va
    cfg.q_inject_pu = rating.q_inject_pu
    cfg.q_absorb_pu = rating.q_absorb_pu
    cfg.table_7_inject_pu, cfg.table_7_absorb_pu = TABLE_7[rating.normal_category]
    cfg.active_first = settings.reactive.beyond_table_7 == "active"
    cfg.q_in_proportion = settings.reactive.at_low_power == "in_proportion"
    cfg.ramp_pu_s = limits.ramp_pu_s
    cfg.p_min_abs_w = limits.p_min_abs_w
    cfg.reverse_dwell_ns = round(limits.reverse_dwell_s * 1e9)
    cfg.soc_min_pu = limits.soc_min_pu
    cfg.soc_max_pu = limits.soc_max_pu
    cfg.soc_band_pu = limits.soc_band_pu


cdef class Holdable:
    """Smallest power and reversal dwell with their own state, for tests."""
    cdef limits_cfg_t cfg
    cdef limits_t state

    def __init__(self, settings):
        limits_init(&self.cfg, settings)

    def step(self, double p_w, int64_t t_ns):
        """Returns the power the inverter can hold."""
        cdef int64_t reasons = 0
        return holdable(&self.state, &self.cfg, p_w, self.cfg.p_min_abs_w, INFINITY, t_ns, &reasons)

    @property
    def reversals(self):
        """How often the direction turned."""
        return self.state.reversals


def circle(double p_w, double q_var, double s_max_va):
    """Active power beside q_var inside the apparent-power circle."""
    return inside_circle(p_w, q_var, s_max_va)
