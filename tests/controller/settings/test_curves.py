"""What a plot draws, against worked examples: 10 kW out, 8 kW in, 10 kVA, Category B and III.

Numbers by hand: volt-var slope 0.44 / 0.06 a pu of voltage, droop 1 / (60 x 0.05) pu a Hz, volt-watt 1 / 0.04.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings

from controller.settings import curves
from controller.settings.curves import Point, answer
from cython_core.settings import Settings
from tests.cython_core.strategies import settings as random_settings

RATING = {"p_rated_w": 10000, "p_charge_rated_w": 8000, "s_rated_va": 10000}


def unit(**groups: dict[str, Any]) -> Settings:
    return Settings.from_mapping({"rating": RATING, **groups})


VV, WV = {"reactive": {"mode": "volt_var"}}, {"reactive": {"mode": "watt_var"}}
VW, FORCED = {"volt_watt": {"enable": True}}, {"volt_watt": {"enable": True, "p2_pu": -1}}
PF = {"reactive": {"mode": "constant_pf"}, "power_factor": {"pf": 0.9}}
LIMIT = {"active_limit": {"enable": True, "limit_pu": 0.5}}
MOVED: dict[str, Any] = {**VV, "volt_var": {"v_ref_pu": 1.03}}
# fmt: off
CASES = [
    # groups          f_hz   v_pu   p_pu   p        q        why
    ({},              60.0,  1.00,  0.5,   0.5,     0.0,     "nothing is asked"),
    ({},              60.5,  1.00,  0.6,   0.4453,  0.0,     "over: 0.464 / 3 less"),
    ({},              60.036, 1.00, 0.6,   0.6,     0.0,     "the edge still belongs to the dead band"),
    ({},              59.5,  1.00,  -0.5,  -0.3453, 0.0,     "under: charges less"),
    ({},              61.0,  1.00,  -0.5,  -0.8,    0.0,     "not below the charge rating"),
    (VV,              60.0,  0.95,  0.5,   0.5,     0.22,    "half-way between V1 and V2"),
    (VV,              60.0,  1.08,  1.0,   0.898,   -0.44,   "reactive power first: sqrt(1 - 0.44^2)"),
    (MOVED,           60.0,  1.09,  0.5,   0.5,     -0.2933, "V_Ref shifts the curve by 0.03"),
    (VW,              60.0,  1.08,  1.0,   0.5,     0.0,     "half-way between V1 and V2"),
    (VW,              60.0,  1.08,  0.3,   0.3,     0.0,     "a ceiling, no set point"),
    (VW,              60.0,  1.10,  -0.3,  -0.3,    0.0,     "charging is left alone"),
    (FORCED,          60.0,  1.09,  0.3,   -0.35,   0.0,     "1 - 1.8 x 0.75: made to charge"),
    (FORCED,          59.5,  1.10,  -0.3,  -0.8,    0.0,     "the ceiling wins over droop"),
    (WV,              60.0,  1.00,  0.75,  0.75,    -0.22,   "half-way between P2 and P3"),
    (WV,              60.0,  1.00,  -0.6,  -0.6,    0.22,    "0.75 of the charge rating"),
    (PF,              60.0,  1.00,  -0.5,  -0.5,    -0.2422, "the sign of Q turns with P"),
    (LIMIT,           60.0,  1.00,  1.0,   0.5,     0.0,     "the limit cuts export"),
    (LIMIT,           59.36, 1.00,  1.0,   0.7013,  0.0,     "droop goes above the limit"),
]
# fmt: on


@pytest.mark.parametrize(("groups", "f_hz", "v_pu", "p_pu", "p", "q", "why"), CASES, ids=[c[-1] for c in CASES])
def test_worked_examples(
    groups: dict[str, Any], f_hz: float, v_pu: float, p_pu: float, p: float, q: float, why: str
) -> None:
    found = answer(unit(**groups), Point(f_hz, v_pu, p_pu))
    assert (found.p_pu, found.q_pu) == pytest.approx((p, q), abs=1e-3)


def test_table_7_is_inside_the_unit_that_has_just_that() -> None:
    """Category B, 0.44 both ways; a quarter of it at 5 % of rated power."""
    corners = curves.table_7(unit())
    assert max(q for _, q in corners) == 0.44
    assert (0.05, 0.11) in corners
    assert min(p for p, _ in corners) == -0.8


def test_the_same_settings_give_the_same_file(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="plots are an extra")
    from controller.settings.plot import draw

    files = [tmp_path / f"{name}.svg" for name in "ab"]
    for file in files:
        draw(unit(**FORCED), Point(60.5, 1.07, 0.6), "site", file)
    assert files[0].read_bytes() == files[1].read_bytes()
    assert files[0].stat().st_size > 50_000


def test_every_panel_has_a_title_and_units(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="plots are an extra")
    from controller.settings.plot import draw

    file = tmp_path / "a.svg"
    draw(unit(**MOVED), Point(60.5, 1.07, 0.6), "site", file)
    text = file.read_text()
    for title in ("Frequency-droop (6.5.2.7)", "Volt-watt: a ceiling (5.4.2), off", "Volt-var (5.3.3)", "Watt-var"):
        assert title in text
    for title in ("Capability: P and Q (5.2)", "Enter service (4.10)", "Voltage over time, Category III (6.4)"):
        assert title in text
    for label in ("frequency, Hz", "voltage, pu", "active power, pu", "reactive power, pu of S", "began, s", "good, s"):
        assert label in text
    assert "settles at P = +0.445 pu, Q = -0.147 pu" in text


@hypothesis_settings(max_examples=2, deadline=None, suppress_health_check=list(HealthCheck))
@given(random_settings(f_nom=None))
def test_any_settings_can_be_drawn(tmp_path_factory: Any, s: Settings) -> None:
    pytest.importorskip("matplotlib", reason="plots are an extra")
    from controller.settings.plot import draw

    file = tmp_path_factory.mktemp("plot") / "a.svg"
    draw(s, Point(s.rating.f_nom_hz + 0.5, 1.07, 0.6), "site", file)
    assert file.stat().st_size > 50_000
