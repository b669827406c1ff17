"""What decides in a virtual unit: the compiled core in chunks, or anything with the face of Core.step.

Given    what a brain sees, constant from one change of it to the next; Command: (W, var) of one step.
Readings are fresh in every step unless Given says otherwise; the wish of the bench is renewed before it runs out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf, isfinite
from typing import Any, Protocol, runtime_checkable

import numpy as np

from controller.build import build_id
from cython_core.bulk import STEP
from cython_core.records import (
    NAN,
    DeviceState,
    DeviceStatus,
    DeviceValid,
    Measurement,
    MeasurementValid,
    Order,
    Session,
    Wish,
    WishSource,
)
from cython_core.settings import Settings, digest
from cython_core.step import Core

Command = tuple[float, float]
GOOD = int(DeviceStatus.RUNNING | DeviceStatus.CONNECTED)
PHASE = (MeasurementValid.V1, MeasurementValid.V2, MeasurementValid.V3)


@dataclass(frozen=True, slots=True)
class Given:
    """What the controller's own meter, the inverter and the operator say. meter_ns, device_ns: None: fresh."""

    v1_v: float = 0.0
    v2_v: float = 0.0
    v3_v: float = 0.0
    f_hz: float = 0.0
    f_error_hz: float = 0.0  # what the meter shows beside it
    demand_w: float = 0.0
    permit: bool = True
    ap_limit_pu: float = NAN
    meter_ns: int | None = None
    device_ns: int | None = None
    status: int = GOOD
    session: int = int(Session.READY)
    soc_pu: float = 0.5
    p_max_discharge_w: float = inf  # of the car; inf: it has not said
    p_max_charge_w: float = inf


class Brain(Protocol):
    """Steps at t_ns, t_ns + period ... under constant inputs."""

    phases: int

    def identity(self) -> str: ...

    def use(self, settings: Settings) -> None:
        """From the next step on; the first call starts it, in service."""
        ...

    def run(self, given: Given, t_ns: int, n: int) -> list[Command]: ...


@runtime_checkable
class Rewindable(Brain, Protocol):
    """One that can be taken back, and so may run ahead of its inputs."""

    def save(self) -> bytes:
        """The whole state."""
        ...

    def load(self, state: bytes) -> None: ...


def meter_bits(phases: int) -> int:
    return int(MeasurementValid.F) | sum(int(bit) for bit in PHASE[:phases])


def device_bits(given: Given) -> int:
    bits = DeviceValid.SOC | DeviceValid.STATUS | DeviceValid.SESSION
    bits |= DeviceValid.P_MAX_DISCHARGE if isfinite(given.p_max_discharge_w) else DeviceValid(0)
    bits |= DeviceValid.P_MAX_CHARGE if isfinite(given.p_max_charge_w) else DeviceValid(0)
    return int(bits)


class CompiledBrain:
    """The product's core, many steps at a call."""

    def __init__(self, phases: int, period_s: float, most: int) -> None:
        """most: steps of one call."""
        self.phases, self.period_s, self.period_ns = phases, period_s, round(period_s * 1e9)
        self.core: Core | None = None
        self.rows = np.zeros(most, STEP)
        self.rows["k"] = 1
        self.rows["m_valid"] = meter_bits(phases)
        for name in ("m_p_w", "m_q_var", "i_q_var"):
            self.rows[name] = np.nan
        self.offsets_ns = np.arange(most, dtype=np.int64) * self.period_ns

    def identity(self) -> str:
        settings = f", settings {digest(self.core.settings, self.period_ns):016x}" if self.core else ""
        return f"v2g core {build_id()}{settings}"

    def use(self, settings: Settings) -> None:
        if self.core is None:
            self.core = Core(settings, self.period_s, in_service=True)
        else:
            self.core.change(settings)
        rating = settings.rating
        self.rows["i_lo_w"], self.rows["i_hi_w"] = -rating.p_charge_rated_w, rating.p_rated_w

    def run(self, given: Given, t_ns: int, n: int) -> list[Command]:
        core = self.core
        assert core is not None  # use() comes first
        rows = self.rows[:n]
        rows["t_ns"] = times = t_ns + self.offsets_ns[:n]
        meter: Any = times if given.meter_ns is None else given.meter_ns
        rows["m_t_f_ns"] = rows["m_t_v_ns"] = rows["m_t_p_ns"] = meter
        rows["d_t_ns"] = rows["d_t_echo_ns"] = times if given.device_ns is None else given.device_ns
        for name in ("v1_v", "v2_v", "v3_v"):
            rows[f"m_{name}"] = getattr(given, name)
        rows["m_f_hz"] = given.f_hz + given.f_error_hz
        rows["d_valid"] = device_bits(given)
        for name in ("status", "session", "soc_pu", "p_max_discharge_w", "p_max_charge_w"):
            rows[f"d_{name}"] = getattr(given, name)
        rows["o_t_ns"], rows["o_permit"], rows["o_ap_limit_pu"] = times, given.permit, given.ap_limit_pu
        self.wish(rows, given.demand_w)
        out = np.frombuffer(core.replay(rows.data), STEP)
        return list(zip(out["p_cmd_w"].tolist(), out["q_cmd_var"].tolist(), strict=True))

    def wish(self, rows: Any, demand_w: float) -> None:
        """Anew in the first step of every call, and before the last one runs out."""
        assert self.core is not None
        life_ns = round(self.core.settings.default_wish.wish_lifetime_s * 1e9)
        every = max(1, life_ns // (2 * self.period_ns))
        rows["i_source"] = -1
        rows["i_source"][::every] = int(WishSource.BENCH)
        rows["i_p_w"] = demand_w
        rows["i_valid_from_ns"] = rows["t_ns"]
        rows["i_expires_ns"] = rows["t_ns"] + life_ns
        rows["i_seq"] = rows["t_ns"]  # it rises, also across calls

    def save(self) -> bytes:
        assert self.core is not None
        return self.core.state()

    def load(self, state: bytes) -> None:
        assert self.core is not None
        self.core.load(state)


class Stepper(Protocol):
    """The face of Core.step."""

    def step(
        self, t_ns: int, meter: Measurement, device: DeviceState, order: Order | None, wish: Wish | None, k: int
    ) -> Any: ...


class StepBrain:
    """Any unit with the face of Core.step, a step at a time. make: (settings, period in s) -> such a unit.

    With a method change(settings) its settings can change on the way; without one each change makes a new unit.
    """

    def __init__(self, name: str, phases: int, period_s: float, make: Callable[[Settings, float], Stepper]) -> None:
        self.name, self.phases, self.period_s, self.make = name, phases, period_s, make
        self.unit: Stepper | None = None
        self.settings = Settings()
        self.wished: tuple[float, int] | None = None  # demand, and when it was last told

    def identity(self) -> str:
        return self.name

    def use(self, settings: Settings) -> None:
        self.settings = settings
        change = getattr(self.unit, "change", None)
        if self.unit is None or change is None:
            self.unit = self.make(settings, self.period_s)
        else:
            change(settings)

    def run(self, given: Given, t_ns: int, n: int) -> list[Command]:
        assert self.unit is not None  # use() comes first
        commands = []
        for at_ns in range(t_ns, t_ns + n * round(self.period_s * 1e9), round(self.period_s * 1e9)):
            meter_ns = at_ns if given.meter_ns is None else given.meter_ns
            device_ns = at_ns if given.device_ns is None else given.device_ns
            meter = Measurement(
                meter_ns, meter_ns, meter_ns, meter_bits(self.phases), given.f_hz + given.f_error_hz,
                given.v1_v, given.v2_v, given.v3_v,
            )  # fmt: skip
            device = DeviceState(
                device_ns, device_ns, device_bits(given), soc_pu=given.soc_pu, session=given.session,
                status=given.status, p_max_discharge_w=given.p_max_discharge_w, p_max_charge_w=given.p_max_charge_w,
            )  # fmt: skip
            order = Order(at_ns, int(given.permit), ap_limit_pu=given.ap_limit_pu)
            record = self.unit.step(at_ns, meter, device, order, self.wish(given.demand_w, at_ns), 1)
            commands.append((record.p_cmd_w, record.q_cmd_var))
        return commands

    def wish(self, demand_w: float, t_ns: int) -> Wish | None:
        life_ns = round(self.settings.default_wish.wish_lifetime_s * 1e9)
        if self.wished is not None and self.wished[0] == demand_w and t_ns < self.wished[1] + life_ns // 2:
            return None
        self.wished = demand_w, t_ns
        rating = self.settings.rating
        return Wish(
            int(WishSource.BENCH), -rating.p_charge_rated_w, rating.p_rated_w, demand_w, NAN, t_ns, t_ns + life_ns, t_ns
        )
