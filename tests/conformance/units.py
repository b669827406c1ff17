"""The units the product is shown with: every procedure that is for them is run on each of them.

They differ where procedures do: phases, categories of normal and abnormal operation, whether it can charge, how much
reactive power it has, what stands behind nominal voltage.
"""

from __future__ import annotations

from controller.bench.plan import Eut
from tests.controller.bench.golden import EUT as STORAGE_B_III

STORAGE_3_PHASE_A_II = Eut(
    name="3-phase storage 22 kVA, Category A/II",
    phases=3,
    v_nom_v=277.0,  # 480 V between the phases
    f_nom_hz=60.0,
    p_rated_w=20_000.0,
    p_charge_rated_w=15_000.0,  # it charges more slowly than it discharges
    s_rated_va=22_000.0,  # room for reactive power at full power
    q_inject_var=9_680.0,  # 0.44 of S: IEEE 1547-2018 5.2 table 7
    q_absorb_var=5_500.0,  # 0.25 of S: Category A
    normal_category="A",
    abnormal_category="II",
    p_min_w=200.0,
    p_charge_min_w=300.0,
)
SOURCE_A_I = Eut(
    name="1-phase source 5 kVA without charging, Category A/I",
    phases=1,
    v_nom_v=120.0,
    f_nom_hz=60.0,
    p_rated_w=5_000.0,
    p_charge_rated_w=0.0,
    s_rated_va=5_000.0,
    q_inject_var=2_200.0,
    q_absorb_var=1_250.0,
    normal_category="A",
    abnormal_category="I",
    p_min_w=50.0,
)
UNITS = {"storage-b-iii": STORAGE_B_III, "storage-3-phase-a-ii": STORAGE_3_PHASE_A_II, "source-a-i": SOURCE_A_I}
