"""How exactly a bench measures, and how far a criterion therefore gives way: 1.5 times the accuracy.

Data     config/accuracy.yaml, one group for STANDARD, one for ENGINEERING.
Units    those of the quantity: V, Hz, W, var, A, s. Current has no accuracy of its own in the standard: active power's
         share, of the rated current.
Source   IEEE 1547.1-2020, table of minimum measurement accuracy (MRA) and clause 4.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources

import yaml

from controller.bench.plan import Axis, Eut, Quantity

MARGIN = 1.5  # MRA: 1547.1 4.2


@dataclass(frozen=True, slots=True)
class Accuracy:
    """One column of the table. pu of nominal voltage and of rated apparent power."""

    v_pu: float
    v_transient_pu: float
    f_hz: float
    f_transient_hz: float
    p_pu: float
    q_pu: float
    pf: float
    time_share: float
    time_cycles: float
    time_cycles_below_s: float

    def mra(self, eut: Eut, quantity: Axis | Quantity) -> float:
        """In the unit of the quantity, steady state."""
        match quantity:
            case "v_v":
                return self.v_pu * eut.v_nom_v
            case "f_hz":
                return self.f_hz
            case "p_w":
                return self.p_pu * eut.s_rated_va
            case "q_var":
                return self.q_pu * eut.s_rated_va
        return self.p_pu * eut.s_rated_va / (eut.phases * eut.v_nom_v)

    def margin(self, eut: Eut, quantity: Axis | Quantity) -> float:
        """By how much a limit gives way."""
        return MARGIN * self.mra(eut, quantity)

    def time_margin_s(self, eut: Eut, t_s: float) -> float:
        """The same of a time of t_s."""
        exact_s = self.time_cycles / eut.f_nom_hz if t_s < self.time_cycles_below_s else self.time_share * t_s
        return MARGIN * exact_s


def _read(name: str) -> Accuracy:
    text = (resources.files("config") / "accuracy.yaml").read_text(encoding="utf-8")
    return Accuracy(**yaml.safe_load(text)[name])


STANDARD, ENGINEERING = _read("standard"), _read("engineering")
