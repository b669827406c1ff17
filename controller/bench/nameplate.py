"""What a procedure knows of a unit: the symbols of its nameplate, and whether the procedure is for such a unit."""

from __future__ import annotations

from controller.bench.accuracy import MARGIN, STANDARD
from controller.bench.plan import Eut
from controller.bench.procedure import Procedure


def not_for(procedure: Procedure, eut: Eut) -> str:
    """Why a unit need not be tested by this procedure; nothing when it must."""
    is_now: dict[str, object] = {
        "storage": eut.p_charge_rated_w > 0.0,
        "phases": eut.phases,
        "f_nom_hz": eut.f_nom_hz,
        "normal": eut.normal_category,
        "abnormal": eut.abnormal_category,
    }
    for key, wanted in procedure.units.items():
        allowed = wanted if isinstance(wanted, tuple) else (wanted,)
        if is_now[key] not in allowed:
            return f"for units with {key} = {' or '.join(map(str, allowed))}; this one has {is_now[key]}"
    return ""


def eut_symbols(eut: Eut) -> dict[str, float]:
    """What every procedure may count with; V_L and V_H are pu, P_charge and P_charge_min magnitudes.

    MRA_: accuracies of the standard, pu of V_N, Hz, W, var; a_: the margin, as far as a test point sits from a corner.
    """
    exact = {"V": STANDARD.v_pu, "f": STANDARD.f_hz, "P": STANDARD.mra(eut, "p_w"), "Q": STANDARD.mra(eut, "q_var")}
    return {
        "V_N": eut.v_nom_v, "V_L": eut.v_low_pu, "V_H": eut.v_high_pu,
        "f_N": eut.f_nom_hz, "f_L": eut.f_low_hz, "f_H": eut.f_high_hz,
        "P_rated": eut.p_rated_w, "P_charge": eut.p_charge_rated_w,
        "P_min": eut.p_min_w, "P_charge_min": eut.p_charge_min_w,
        "S": eut.s_rated_va, "Q_inj": eut.q_inject_var, "Q_abs": eut.q_absorb_var,
        "dP_small": eut.dp_small_pu, "dP_large": eut.dp_large_pu_min,
        "storage": float(eut.p_charge_rated_w > 0.0), "phases": float(eut.phases),
        **{f"MRA_{name}": mra for name, mra in exact.items()},
        **{f"a_{name}": MARGIN * exact[name] for name in ("V", "f", "P")},
    }  # fmt: skip
