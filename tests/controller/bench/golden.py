"""The golden unit: every number a test of the bench expects was worked out with a pencil for this nameplate."""

from controller.bench.plan import Eut

EUT = Eut(
    name="golden",
    phases=1,
    v_nom_v=240.0,
    f_nom_hz=60.0,
    p_rated_w=10_000.0,
    p_charge_rated_w=10_000.0,
    s_rated_va=10_000.0,
    q_inject_var=4_400.0,  # 0.44 of S: Category B, IEEE 1547-2018 5.2 Table 7
    q_absorb_var=4_400.0,
    normal_category="B",
    abnormal_category="III",
)
