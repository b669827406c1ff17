"""Volt-var against IEEE 1547-2018 5.3.3, Table 8. Q in pu of rated apparent power, + = injecting."""

from __future__ import annotations

import pytest

from cython_core.functions.volt_var import VoltVar
from cython_core.settings import RatingSettings, Settings, VoltVarSettings

B = VoltVarSettings()  # the defaults are Category B
A = Settings.from_mapping({"rating": {"normal_category": "A"}}).volt_var
B_103 = VoltVarSettings(v_ref_pu=1.03)
# every point its own value: a swap of two must show
UNEQUAL = VoltVarSettings(
    v1_pu=0.90, q1_pu=0.30, v2_pu=0.97, q2_pu=0.10, v3_pu=1.03, q3_pu=-0.06, v4_pu=1.10, q4_pu=-0.40
)

# fmt: off
CURVE = [
    # settings  v_pu   q_pu       why
    (B,         0.50,  0.44,      "B: flat below V1"),
    (B,         0.90,  0.44,      "B: below V1"),
    (B,         0.92,  0.44,      "B: V1"),
    (B,         0.95,  0.22,      "B: half way from V1 to V2"),
    (B,         0.97,  0.073333,  "B: one sixth of 0.44 is left"),
    (B,         0.98,  0.0,       "B: V2"),
    (B,         1.00,  0.0,       "B: dead band"),
    (B,         1.02,  0.0,       "B: V3"),
    (B,         1.03, -0.073333,  "B: one sixth of the way to V4"),
    (B,         1.05, -0.22,      "B: half way"),
    (B,         1.08, -0.44,      "B: V4"),
    (B,         1.30, -0.44,      "B: flat above V4"),
    (A,         0.90,  0.25,      "A: V1"),
    (A,         0.92,  0.20,      "A: no dead band, 2.5 pu per pu"),
    (A,         0.98,  0.05,      "A: 0.02 below"),
    (A,         1.00,  0.0,       "A: V2 = V3"),
    (A,         1.03, -0.075,     "A: 0.03 above"),
    (A,         1.10, -0.25,      "A: V4"),
    (B_103,     0.95,  0.44,      "V_Ref 1.03: V1 has moved to 0.95"),
    (B_103,     1.00,  0.073333,  "V_Ref 1.03: moved, not scaled"),
    (B_103,     1.05,  0.0,       "V_Ref 1.03: V3 has moved to 1.05"),
    (B_103,     1.08, -0.22,      "V_Ref 1.03: half way"),
    (B_103,     1.09, -0.293333,  "V_Ref 1.03: two thirds"),
    (UNEQUAL,   0.90,  0.30,      "unequal: Q1"),
    (UNEQUAL,   0.935, 0.20,      "unequal: between Q1 and Q2"),
    (UNEQUAL,   0.97,  0.10,      "unequal: Q2"),
    (UNEQUAL,   1.00,  0.02,      "unequal: a sloping middle"),
    (UNEQUAL,   1.03, -0.06,      "unequal: Q3"),
    (UNEQUAL,   1.065,-0.23,      "unequal: between Q3 and Q4"),
    (UNEQUAL,   1.10, -0.40,      "unequal: Q4"),
]
STEP = [
    # t_s   q_pu       why: -0.44 (1 - 10 ** (-t / 5))
    (0.5,  -0.0905,    "0.5 s"),
    (1.0,  -0.1624,    "1 s"),
    (2.2,  -0.2803,    "2.2 s"),
    (5.0,  -0.396,     "90 % after the open-loop response time"),
    (10.0, -0.4356,    "99 %"),
]
# fmt: on


@pytest.mark.parametrize(("settings", "v_pu", "q_pu", "why"), CURVE, ids=[c[-1] for c in CURVE])
def test_curve(settings: VoltVarSettings, v_pu: float, q_pu: float, why: str) -> None:
    rating = RatingSettings(normal_category="A" if settings is A else "B")
    assert VoltVar(Settings(volt_var=settings, rating=rating)).curve(v_pu) == pytest.approx(q_pu, abs=1e-6), why


@pytest.mark.parametrize(("t_s", "q_pu", "why"), STEP, ids=[c[-1] for c in STEP])
@pytest.mark.parametrize("k", [1, 5], ids=["each grid point", "four of five skipped"])
def test_step_of_voltage(t_s: float, q_pu: float, why: str, k: int) -> None:
    """1.00 -> 1.08 pu, Category B."""
    unit = VoltVar(Settings(volt_var=B), period_s=0.01)
    assert unit.step(1.0) == 0.0
    for _ in range(round(t_s / 0.01) // k):
        q = unit.step(1.08, k)
    assert q == pytest.approx(q_pu, abs=6e-5), why


def test_the_response_time_is_the_setting() -> None:
    unit = VoltVar(Settings(volt_var=VoltVarSettings(olrt_s=20.0)), period_s=0.1)
    for _ in range(200):
        q = unit.step(0.90)
    assert q == pytest.approx(0.9 * 0.44, abs=1e-6)
