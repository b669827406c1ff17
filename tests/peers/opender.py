"""EPRI's OpenDER 2.2.0 (its storage model) behind our settings and records: a peer that was written by others.

Takes    our Settings and, step by step, what meter, operator and wish say (Peer.step, the face of Core.step) or plain
         numbers (Peer.run). Gives P in W and Q in var, + = into the grid, and our State.
Errors   ValueError for what OpenDER has no word for: 50 Hz, a meter without voltage or frequency.
Source   names of OpenDER's attributes are the EPRI names that cython_core/settings.py declares beside each setting; the
         few that mean something else are in nameplate(), mode(), states().

OpenDER always is in service when it begins (out of service, its storage model ends in a TypeError), and takes one step
at nominal voltage and frequency and 0 W before the first of ours: its trip timers are full until they have seen one
normal step. Its time step is one global number, so it is set anew before every step.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import cache
from typing import Any

from cython_core.records import NAN, DeviceState, Measurement, MeasurementValid, Order, State, Wish
from cython_core.settings import Settings

INSTALL = "pip install opender==2.2.0"

NEVER_S, NEVER_PU, NEVER_HZ = 1e12, 99.0, 1e6
MODE_NAMES = {
    "constant_pf": "CONST_PF_MODE_ENABLE",
    "volt_var": "QV_MODE_ENABLE",
    "watt_var": "QP_MODE_ENABLE",
    "constant_q": "CONST_Q_MODE_ENABLE",
}
# the parts of a real inverter that a setpoint does not have: control delay, current limit, capacitor
IDEAL = {"NP_INV_DELAY": 0.0, "NP_CURRENT_PU": NEVER_PU, "NP_REACTIVE_SUSCEPTANCE": 0.0, "NP_REACT_TIME": 0.0}


@dataclass(frozen=True, slots=True)
class Answer:
    """Of one step: the fields of a StepRecord that both have. reasons: OpenDER gives none."""

    p_cmd_w: float
    q_cmd_var: float
    state: int
    reasons: int = 0


class Peer:
    """One OpenDER storage unit with these settings. period_s is any number of seconds: 1e5 jumps to steady state."""

    def __init__(self, settings: Settings, period_s: float) -> None:
        from opender import DER, DER_BESS  # type: ignore[import-untyped]  # it has no annotations

        if settings.rating.f_nom_hz != 60.0:
            raise ValueError(f"f_nom_hz = {settings.rating.f_nom_hz}: OpenDER knows 60 Hz only")
        self.settings, self.period_s = settings, period_s
        self.p_wish_w = 0.0
        self.model = DER
        with quiet():
            self.file = file_of(settings)
            self.unit = DER_BESS(self.file)
        low_power(self.file, settings)
        self.run(1.0, 60.0, 0.0)

    def run(
        self,
        v_pu: float | Sequence[float],
        f_hz: float,
        p_w: float,
        ap_limit_pu: float = NAN,
        permit: bool = True,
        k: int = 1,
    ) -> tuple[float, float]:
        """k periods: (W, var). v_pu: one for all, or of each of three phases; ap_limit_pu: an operator's, NaN: none."""
        limit = self.settings.active_limit
        limits = ([limit.limit_pu] if limit.enable else []) + ([ap_limit_pu] if ap_limit_pu == ap_limit_pu else [])
        if limits:
            self.file.AP_LIMIT_ENABLE = True  # and stays so: switching it off would end its ramp
        self.file.AP_LIMIT = min(limits, default=1.0)
        self.file.ES_PERMIT_SERVICE = permit and self.settings.enter_service.permit
        self.model.t_s = k * self.period_s
        self.unit.update_der_input(v_pu=v_pu if isinstance(v_pu, float) else list(v_pu), f=f_hz, p_dem_w=p_w)
        p_out_w, q_out_var = self.unit.run()
        return float(p_out_w), float(q_out_var)

    def step(
        self,
        t_ns: int,  # noqa: ARG002 (the face of Core.step)
        meter: Measurement,
        device: DeviceState,  # noqa: ARG002 (the same)
        order: Order | None = None,
        wish: Wish | None = None,
        k: int = 1,
    ) -> Answer:
        """The face of Core.step; a wish counts from its step on until the next one, before the first it is 0 W."""
        order = order or Order()
        if wish is not None:
            self.p_wish_w = min(max(wish.p_w, wish.lo_w), wish.hi_w)
        p_w, q_var = self.run(
            phases(meter, self.settings.rating.v_nom_v),
            meter.f_hz,
            self.p_wish_w,
            order.ap_limit_pu,
            order.permit != 0,
            k,
        )
        return Answer(p_w, q_var, self.state)

    @property
    def state(self) -> State:
        """What it does, not the region it says it is in: whoever owns ride-through, that region is reported."""
        if self.unit.der_status == "Trip":
            return State.TRIPPED
        if self.unit.ridethroughperf.rt_ctrl == "Cease to Energize":
            return State.CEASED
        return State.ENTERING if self.unit.der_status == "Entering Service" else State.IN_SERVICE


def phases(meter: Measurement, v_nom_v: float) -> list[float]:
    """Three phase voltages in pu; a missing one is the mean of the others: neither mean nor worst phase changes."""
    numbers = {MeasurementValid.V1: meter.v1_v, MeasurementValid.V2: meter.v2_v, MeasurementValid.V3: meter.v3_v}
    v_pu = [v / v_nom_v for bit, v in numbers.items() if meter.valid & bit]
    if not v_pu or not meter.valid & MeasurementValid.F:
        raise ValueError("a meter without voltage or frequency: OpenDER knows neither late nor missing readings")
    return v_pu + [sum(v_pu) / len(v_pu)] * (3 - len(v_pu))


@contextmanager
def quiet() -> Iterator[None]:
    """OpenDER checks every attribute against the ones not yet set, and says so."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        yield
    finally:
        logging.disable(before)


# ---- Settings -> OpenDER's file ----


@cache
def standard_file() -> Any:
    """OpenDER's own standard values: reading them takes 50 ms, a copy 0.2 ms."""
    from opender import DERCommonFileFormatBESS

    return DERCommonFileFormatBESS()


def file_of(settings: Settings) -> Any:
    """One of OpenDER's file objects that means what these settings mean."""
    file = copy.copy(standard_file())
    for name, value in (nameplate(settings) | by_name(settings) | mode(settings) | states(settings) | IDEAL).items():
        setattr(file, name, value)
    return file


def by_name(settings: Settings) -> dict[str, Any]:
    """Every number and switch that stands in both under the EPRI name."""
    other = {"rating", "reactive", "voltage_trip", "frequency_trip", "ride_through", "enter_service"}
    found: dict[str, Any] = {}
    for group in fields(settings):
        values = getattr(settings, group.name)
        for field in fields(values):
            if group.name not in other and field.metadata.get("epri"):
                found[field.metadata["epri"]] = getattr(values, field.name)
    return found


def nameplate(settings: Settings) -> dict[str, Any]:
    """Ratings; the categories first, because setting them sets other attributes. Reactive power in var, not in pu."""
    rating, s_va = settings.rating, settings.rating.s_rated_va
    return {
        "NP_NORMAL_OP_CAT": f"CAT_{rating.normal_category}",
        "NP_ABNORMAL_OP_CAT": f"CAT_{rating.abnormal_category}",
        "NP_PHASE": "THREE",
        "NP_AC_V_NOM": rating.v_nom_v,
        "NP_VA_MAX": s_va,
        "NP_P_MAX": rating.p_rated_w,
        "NP_P_MAX_CHARGE": rating.p_charge_rated_w,
        "NP_P_MIN_PU": -rating.p_charge_rated_w / rating.p_rated_w,
        "NP_APPARENT_POWER_CHARGE_MAX": rating.s_charge_rated_va or s_va,
        "NP_Q_MAX_INJ": rating.q_inject_pu * s_va,
        "NP_Q_MAX_ABS": rating.q_absorb_pu * s_va,
        "NP_BESS_P_RAMP_TIME": 1.0 / settings.limits.ramp_pu_s,
    }


def mode(settings: Settings) -> dict[str, Any]:
    """The one reactive mode. None at all is unity power factor, which keeps OpenDER's apparent-power limit."""
    reactive = settings.reactive
    chosen = dict.fromkeys(MODE_NAMES.values(), False)
    chosen[MODE_NAMES.get(reactive.mode, "CONST_PF_MODE_ENABLE")] = True
    return {
        **chosen,
        "CONST_PF": settings.power_factor.pf if reactive.mode == "constant_pf" else 1.0,
        "CONST_PF_EXCITATION": "INJ" if settings.power_factor.excitation == "inject" else "ABS",
        "NP_MODE_TRANSITION_TIME": reactive.transition_s,
        "NP_PRIO_OUTSIDE_MIN_Q_REQ": reactive.beyond_table_7.upper(),
    }


def states(settings: Settings) -> dict[str, Any]:
    """Trip, ride-through and enter service, each if it is ours; else OpenDER's own is put out of reach."""
    found: dict[str, Any] = {}
    for group in (settings.voltage_trip, settings.frequency_trip):
        for field in fields(group):
            if name := field.metadata.get("epri"):
                found[name] = getattr(group, field.name) if group.owner == "controller" else never(name)
    enter = settings.enter_service
    mine = enter.owner == "controller"
    found |= {
        "ES_V_LOW": enter.v_low_pu if mine else 0.0,
        "ES_V_HIGH": enter.v_high_pu if mine else NEVER_PU,
        "ES_F_LOW": enter.f_low_hz if mine else 0.0,
        "ES_F_HIGH": enter.f_high_hz if mine else NEVER_HZ,
        "ES_DELAY": enter.delay_s if mine else 0.0,
        "ES_RAMP_RATE": enter.ramp_s if mine else 0.0,
        "ES_RANDOMIZED_DELAY": enter.random_s if mine else 0.0,
    }
    ride = settings.ride_through
    mine = ride.owner == "controller"
    return found | {
        "MC_ENABLE": mine and settings.rating.abnormal_category == "III",
        "MC_LVRT_V1": ride.mc_low_pu,
        "MC_HVRT_V1": ride.mc_high_pu,
        "NP_CTE_RESP_T": 0.0 if mine else NEVER_S,
        "NP_RT_RAMP_UP_TIME": ride.restore_s if mine else 0.0,
    }


def never(name: str) -> float:
    """A trip level or time that nothing reaches."""
    if name.endswith("_T"):
        return NEVER_S
    if name.startswith("U"):
        return 0.0
    return NEVER_PU if "V" in name[:2] else NEVER_HZ


def low_power(file: Any, settings: Settings) -> None:
    """Reactive capability below 20 % of rated power: OpenDER's storage has all of it, unless given a curve."""
    if settings.reactive.at_low_power == "full":
        return
    rating = settings.rating
    p_pu, share = [-1.0, -0.2, 0.0, 0.2, 1.0], [1.0, 1.0, 0.0, 1.0, 1.0]
    file.NP_Q_CAPABILITY_BY_P_CURVE = {
        "P_Q_INJ_PU": p_pu,
        "P_Q_ABS_PU": p_pu,
        "Q_MAX_INJ_PU": [rating.q_inject_pu * x for x in share],
        "Q_MAX_ABS_PU": [rating.q_absorb_pu * x for x in share],
    }
