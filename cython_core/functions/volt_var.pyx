"""Volt-var: reactive power follows voltage along four points, lagged.

Source   IEEE 1547-2018, 5.3.3, Table 8. V_Ref moves the curve sideways, it does not scale it.
Inputs   v_pu: mean of the measured phase voltages over V_nom, finite.
State    volt_var_t; all zero is a valid start.
Output   st.q_pu in pu of rated apparent power, + = injecting, whatever the sign of P.
Errors   none: the settings were checked at load. Capability and the apparent-power circle come in limits.
"""

from libc.stdint cimport int64_t

from cython_core.functions.curve cimport curve4
from cython_core.functions.signals cimport approach, lag_cfg_init, lag_step


cdef void volt_var_step(volt_var_t* st, const volt_var_cfg_t* cfg, double v_pu, int64_t k) noexcept nogil:
    st.target_pu = curve4(cfg.v_pu, cfg.q_pu, v_pu) if cfg.enable else 0.0
    st.q_pu = lag_step(st.q_pu, st.target_pu, &cfg.lag, k)


cdef void volt_var_release(volt_var_t* st, const volt_var_cfg_t* cfg, double dt_s) noexcept nogil:
    st.target_pu = 0.0
    st.q_pu = approach(st.q_pu, 0.0, cfg.ramp_pu_s * dt_s)


cdef void volt_var_init(volt_var_cfg_t* cfg, object settings, double period_s):
    """Settings (the whole) -> C struct, once, at load."""
    vv = settings.volt_var
    cfg.enable = vv.enable
    points = [(vv.v1_pu, vv.q1_pu), (vv.v2_pu, vv.q2_pu), (vv.v3_pu, vv.q3_pu), (vv.v4_pu, vv.q4_pu)]
    for i, (v, q) in enumerate(points):
        cfg.v_pu[i] = v + (vv.v_ref_pu - 1.0)
        cfg.q_pu[i] = q
    cfg.ramp_pu_s = settings.limits.ramp_pu_s
    lag_cfg_init(&cfg.lag, period_s, vv.olrt_s)


cdef class VoltVar:
    """One volt-var function with its own state, for tests and notebooks."""
    cdef volt_var_cfg_t cfg
    cdef volt_var_t state

    def __init__(self, settings, double period_s=0.01):
        volt_var_init(&self.cfg, settings, period_s)

    def curve(self, double v_pu):
        """The static answer in pu of rated apparent power."""
        return curve4(self.cfg.v_pu, self.cfg.q_pu, v_pu)

    def step(self, double v_pu, int64_t k=1):
        """Advance k periods; returns Q in pu."""
        volt_var_step(&self.state, &self.cfg, v_pu, k)
        return self.state.q_pu
