"""Plans written by hand, so that the runner needs no procedure file: volt-var of 1547.1 5.14.4, and small ones.

Numbers from the reference unit: 240 V, 10 kVA, 60 Hz, Category B/III (golden.py).
"""

from __future__ import annotations

from typing import Any

from controller.bench.plan import Case, Plan, Step, Value
from drivers.gridsource.point import GridPoint
from tests.controller.bench.golden import EUT

# fmt: off
VOLT_VAR_V = [  # char. 1, Category B: the steps g ... dd and their voltages
    ("g", 241.2), ("h", 248.4), ("i", 252.0), ("j", 255.6), ("k", 260.4), ("l", 260.4), ("m", 260.4), ("n", 255.6),
    ("o", 252.0), ("p", 248.4), ("q", 241.2), ("r", 240.0), ("s", 238.8), ("t", 231.6), ("u", 228.0), ("v", 224.4),
    ("w", 217.2), ("x", 214.8), ("y", 217.2), ("z", 224.4), ("aa", 228.0), ("bb", 231.6), ("cc", 238.8), ("dd", 240.0),
]
# fmt: on
OFF: dict[str, Value] = {"freq_droop.enable": False, "volt_watt.enable": False, "reactive.mode": "off"}
VOLT_VAR: dict[str, Value] = {
    **OFF, "reactive.mode": "volt_var", "volt_var.v1_pu": 0.92, "volt_var.v2_pu": 0.98, "volt_var.v3_pu": 1.02,
    "volt_var.v4_pu": 1.08, "volt_var.q1_pu": 0.44, "volt_var.q2_pu": 0.0, "volt_var.q3_pu": 0.0,
    "volt_var.q4_pu": -0.44,
}  # fmt: skip


def at(v_v: float = 240.0, f_hz: float = 60.0) -> GridPoint:
    return GridPoint(v_v, v_v, v_v, f_hz)


def step(name: str, point: GridPoint, hold_s: float, sample_s: float = 0.05, **more: Any) -> Step:
    return Step(name, name, point, hold_s, sample_s, **more)


def case(
    name: str, settings: dict[str, Value], demand_w: float, *steps: Step, start_s: float = 10.0, **more: Any
) -> Case:
    start = step("start", at(), start_s, min(s.sample_s for s in steps), demand_w=demand_w, permit=True)
    return Case(name, name, name, "", settings, start, steps, **more)


def volt_var(name: str = "volt_var", demand_w: float = 6600.0, t_r_s: float = 5.0) -> Case:
    steps = [step(n, at(v), 4.0 * t_r_s, t_r_s / 100.0) for n, v in VOLT_VAR_V]
    return case(name, {**VOLT_VAR, "volt_var.olrt_s": t_r_s}, demand_w, *steps)


def plan(*cases: Case, seed: int = 1) -> Plan:
    return Plan(EUT, cases, seed)
