"""One unit in virtual time: a perfect meter and inverter around Core.step, so that a test reads as what happened.

Times    seconds since the start; every step is one period later unless k says otherwise. No clock, no sleep.
Inputs   attributes of Unit; advance(seconds, name=value) changes them from here on.
Silence  a silent meter or inverter keeps its last answer, as a mailbox does; only its age grows. An inverter that is
         "unread" still acknowledges every write.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from itertools import pairwise
from typing import Any

from cython_core.bulk import START_NS
from cython_core.records import (
    NAN,
    DeviceState,
    DeviceStatus,
    DeviceValid,
    Measurement,
    MeasurementValid,
    Mode,
    Order,
    Reason,
    Session,
    StepRecord,
    Stop,
    Wish,
    WishSource,
)
from cython_core.settings import Settings
from cython_core.step import Core

# pencil numbers: 10 kW out, 8 kW in, 10 kVA, 230 V. 0.2 pu/s is 2000 W/s or 20 W in a step of 10 ms
RATING = {"p_rated_w": 10000.0, "p_charge_rated_w": 8000.0, "s_rated_va": 10000.0, "v_nom_v": 230.0}
QUICK = {"ramp_pu_s": 10.0}  # 1000 W in a step of 10 ms: for tests that are not about ramps
Groups = Mapping[str, Mapping[str, Any]]
# as plain numbers: flags of enum take longer than the step itself
METER_BITS = tuple(map(int, MeasurementValid))
F_BIT = int(MeasurementValid.F)
STATE_BITS = int(DeviceValid.SOC | DeviceValid.SESSION | DeviceValid.STATUS)


MODE_OF = {"volt_var": "volt_var", "watt_var": "watt_var", "const_var": "constant_q", "power_factor": "constant_pf"}


def settings(**groups: Mapping[str, Any]) -> Settings:
    """The pencil's rating and the defaults, changed by group: settings(limits={"ramp_pu_s": 1.0}).

    The group of a reactive function switches its mode on.
    """
    modes = [{"mode": mode} for group, mode in MODE_OF.items() if group in groups]
    reactive = {**(modes[0] if modes else {}), **groups.get("reactive", {})}
    return Settings.from_mapping({**groups, "reactive": reactive, "rating": {**RATING, **groups.get("rating", {})}})


def reasons(record: StepRecord) -> Reason:
    return Reason(record.reasons)


class Unit:
    """Attributes are what meter, inverter and operator say now; `last` and `records` are what the core answered."""

    def __init__(self, period_s: float = 0.01, wish_w: float | None = None, **groups: Mapping[str, Any]) -> None:
        self.core = Core(settings(**groups), period_s)
        self.period_ns = round(period_s * 1e9)
        self.t_ns = START_NS
        # meter
        self.f_hz, self.v_v = 60.0, (230.0,)
        self.meter_hidden = MeasurementValid(0)  # valid bits it does not set
        self.meter_p_w, self.meter_q_var = NAN, NAN
        self.phase_w: tuple[float, ...] = ()  # of each phase, at a house connection
        self.phase_a: tuple[float, ...] = ()
        self.meter_late_ns = 0
        # inverter: does what it is told
        self.soc = 0.5
        self.status: int = DeviceStatus.RUNNING | DeviceStatus.CONNECTED
        self.session = Session.READY
        self.said: dict[str, float] = {}  # p_max_charge_w and so on, and p_w when it does not follow
        self.device_p_w = 0.0
        self.echoes = True
        # operator
        self.permit, self.stop, self.ap_limit, self.t_depart_ns = 1, Stop.RUN, NAN, 0
        self.silence: set[str] = set()
        self.pending: list[Wish] = []
        self.seq = 0
        self.meter, self.device = Measurement(), DeviceState()
        self.records: list[StepRecord] = []
        if wish_w is not None:
            self.wish(wish_w)

    @property
    def last(self) -> StepRecord:
        return self.records[-1]

    @property
    def t_s(self) -> float:
        """Time of the next step."""
        return (self.t_ns - START_NS) * 1e-9

    def wish(
        self, p_w: float, lo_w: float = -1e6, hi_w: float = 1e6, source: int = WishSource.BENCH, **more: Any
    ) -> None:
        """This wish arrives in the next free step and lives 900 s unless said otherwise."""
        self.seq += 1
        fields = {"valid_from_ns": self.t_ns, "expires_ns": self.t_ns + 900 * 10**9, "seq": self.seq, **more}
        self.pending.append(Wish(source=int(source), lo_w=lo_w, hi_w=hi_w, p_w=p_w, **fields))

    def advance(self, seconds: float, silence: str = "", **changes: Any) -> StepRecord:
        """Change inputs, then take every step of so many seconds; silence: "meter", "inverter" or both, or "unread".

        Returns the last record.
        """
        self.change(**changes)
        self.silence = set(silence.split())
        for _ in range(round(seconds * 1e9 / self.period_ns)):
            self.step()
        self.silence = set()
        return self.last

    def coast(self, seconds: float, **changes: Any) -> StepRecord:
        """advance() with nine of ten grid points skipped: ten times quicker, where the way there is not looked at."""
        self.change(**changes)
        for _ in range(round(seconds * 1e8 / self.period_ns)):
            self.step(k=10)
        return self.last

    def change(self, **changes: Any) -> None:
        for name, value in changes.items():
            assert hasattr(self, name), f"a unit has no {name}"
            setattr(self, name, value)

    def step(self, k: int = 1, **changes: Any) -> StepRecord:
        """One step, k periods after the one before it (the first of them at the start)."""
        self.change(**changes)
        self.t_ns += (k - 1) * self.period_ns
        if "meter" not in self.silence:
            self.meter = self.measured()
        if "unread" in self.silence:
            self.device = replace(self.device, t_echo_ns=self.t_ns)
        elif "inverter" not in self.silence:
            self.device = self.device_said()
        order = Order(self.t_ns, self.permit, self.stop, self.ap_limit, self.t_depart_ns)
        wish = self.pending.pop(0) if self.pending else None
        record = self.core.step(self.t_ns, self.meter, self.device, order, wish, k)
        if record.mode != Mode.SILENT:
            self.device_p_w = record.p_cmd_w
        self.records.append(record)
        self.t_ns += self.period_ns
        return record

    def measured(self) -> Measurement:
        t_ns = self.t_ns - self.meter_late_ns
        v1, v2, v3 = (*self.v_v, NAN, NAN, NAN)[:3]
        phases = (*self.phase_w, NAN, NAN, NAN)[:3] + (*self.phase_a, NAN, NAN, NAN)[:3]
        numbers = (self.f_hz, v1, v2, v3, self.meter_p_w, self.meter_q_var, *phases)
        hidden = int(self.meter_hidden)
        valid = sum(b for b, x in zip(METER_BITS, numbers, strict=True) if not b & hidden and (x == x or b == F_BIT))
        return Measurement(t_ns, t_ns, t_ns, valid, *numbers)

    def device_said(self) -> DeviceState:
        said: dict[str, float] = {"p_w": self.device_p_w, **self.said}
        valid = STATE_BITS
        for name in said:
            valid |= bit_of(name)
        t_echo_ns = self.t_ns if self.echoes else self.device.t_echo_ns
        return DeviceState(
            t_ns=self.t_ns,
            t_echo_ns=t_echo_ns,
            valid=valid,
            soc_pu=self.soc,
            session=self.session,
            status=self.status,
            **said,
        )

    def powers(self, since: int = 0) -> list[float]:
        return [r.p_cmd_w for r in self.records[since:]]

    def largest_step_w(self, since: int = 1) -> float:
        """The largest change of the commanded power from one step to the next."""
        p_w = self.powers(max(since - 1, 0))
        return max((abs(b - a) for a, b in pairwise(p_w)), default=0.0)


@cache
def bit_of(name: str) -> int:
    """p_set_readback_w -> that of P_SET."""
    return int(DeviceValid[re.sub("(_readback)?_(w|va|var)$", "", name).upper()])


def running(p_w: float = 0.0, **more: Any) -> Unit:
    """A unit that has been in service for 10 s with this wish, and delivers it."""
    unit = Unit(wish_w=p_w, **more)
    unit.device_p_w = p_w
    unit.coast(10.0)
    return unit
