"""Settings -> C struct, and the Python face of reactive. The function, with its source: reactive.pxd."""

from cython_core.functions.const_var cimport const_var_init
from cython_core.functions.power_factor cimport power_factor_init
from cython_core.functions.volt_var cimport volt_var_init
from cython_core.functions.watt_var cimport watt_var_init
from cython_core.quantities import code


cdef void reactive_init(reactive_cfg_t* cfg, object settings, double period_s):
    """Settings (the whole) -> C struct, once, at load."""
    cfg.mode = code(settings.reactive, "mode") if settings.reactive.owner == "controller" else MODE_OFF
    cfg.transition_s = settings.reactive.transition_s
    cfg.ramp_pu_s = settings.limits.ramp_pu_s
    power_factor_init(&cfg.power_factor, settings, period_s)
    volt_var_init(&cfg.volt_var, settings, period_s)
    watt_var_init(&cfg.watt_var, settings, period_s)
    const_var_init(&cfg.const_var, settings, period_s)
