"""Settings -> C struct, and the Python face of volt_var. The function, with its source: volt_var.pxd."""

from libc.stdint cimport int64_t

from cython_core.functions.curve cimport curve
from cython_core.functions.signals cimport lag_cfg_init, lag_step

LN_10 = 2.302585092994046


cdef void volt_var_init(volt_var_cfg_t* cfg, object settings, double period_s):
    """Settings (the whole) -> C struct, once, at load."""
    vv = settings.volt_var
    points = [(vv.v1_pu, vv.q1_pu), (vv.v2_pu, vv.q2_pu), (vv.v3_pu, vv.q3_pu), (vv.v4_pu, vv.q4_pu)]
    for i, (v, q) in enumerate(points):
        cfg.v_pu[i] = v
        cfg.q_pu[i] = q
    cfg.v_ref_pu = vv.v_ref_pu
    cfg.v_ref_auto = vv.v_ref_auto
    cfg.v_ref_min_pu = vv.v_ref_min_pu
    cfg.v_ref_max_pu = vv.v_ref_max_pu
    lag_cfg_init(&cfg.v_ref_lag, period_s, vv.v_ref_time_s * LN_10)
    lag_cfg_init(&cfg.lag, period_s, vv.olrt_s)


cdef class VoltVar:
    """One volt-var function with its own state, for tests and notebooks."""
    cdef volt_var_cfg_t cfg
    cdef volt_var_t state
    cdef double q_pu

    def __init__(self, settings, double period_s=0.01):
        volt_var_init(&self.cfg, settings, period_s)
        self.q_pu = 0.0

    def curve(self, double v_pu):
        """The static answer in pu of rated apparent power, with V_Ref as set."""
        return curve(self.cfg.v_pu, self.cfg.q_pu, 4, v_pu - (self.cfg.v_ref_pu - 1.0))

    def step(self, double v_pu, int64_t k=1):
        """Advance k periods; returns Q in pu."""
        cdef double target_pu = volt_var_target(&self.state, &self.cfg, v_pu, k)
        self.q_pu = lag_step(self.q_pu, target_pu, &self.cfg.lag, k)
        return self.q_pu
