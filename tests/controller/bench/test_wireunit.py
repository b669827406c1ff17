"""The unit of a rig in real time before anything is started: its site must have the nameplate of the plan."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from controller.bench.rig import load_rig
from controller.bench.wireunit import ControllerUnit
from controller.errors import InputError

RIG = load_rig("loopback")
SITE = Path("demo-60hz")

# fmt: off
OTHER = [
    # eut of the rig               what is told                                          why
    ({"v_nom_v": 230.0},           "v_nom_v = 240 (rig: 230)",                           "every pu is 4 % off"),
    ({"f_nom_hz": 50.0},           "f_nom_hz = 60 (rig: 50)",                            "droop elsewhere"),
    ({"p_rated_w": 6000.0},        "p_rated_w = 7000 (rig: 6000)",                       "slope per rated power"),
    ({"p_charge_rated_w": 3000.0}, "p_charge_rated_w = 7000 (rig: 3000)",                "it would charge with more"),
    ({"s_rated_va": 7700.0},       "s_rated_va = 7000 (rig: 7700), q_inject_pu = 0.44",  "Q is per S"),
    ({"q_absorb_var": 1750.0},     "q_absorb_pu = 0.44 (rig: 0.25)",                     "it could absorb more"),
]
# fmt: on


@pytest.mark.parametrize(("changes", "told", "why"), OTHER, ids=[o[-1] for o in OTHER])
def test_a_site_of_another_nameplate_is_refused(changes: dict[str, Any], told: str, why: str, tmp_path: Path) -> None:
    """Its verdict would be that of a unit that nobody has."""
    with pytest.raises(InputError) as refused:
        ControllerUnit(SITE, replace(RIG.eut, **changes), tmp_path, {})
    assert f"{told}" in str(refused.value), why
    assert "demo-60hz.yaml:" in str(refused.value)


@pytest.mark.parametrize("p_charge_w", [7000.0, 0.0], ids=["the same", "a unit that cannot charge"])
def test_its_own_nameplate_is_taken(p_charge_w: float, tmp_path: Path) -> None:
    """Below 100 W the core's settings know no charging power; the inverter behind it cannot charge at all."""
    ControllerUnit(SITE, replace(RIG.eut, p_charge_rated_w=p_charge_w), tmp_path, {})
