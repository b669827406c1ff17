"""The inverter's process: a unit with its car behind SunSpec holding registers from 40000 on."""

from __future__ import annotations

from argparse import Namespace
from asyncio import sleep
from itertools import groupby
from math import inf
from time import monotonic

from pymodbus.constants import ExcCodes
from pymodbus.simulator import DataType, SimData, SimDevice

from drivers.sim.bar import Bar
from drivers.sim.plant import Battery, Inverter, Session, Unit
from drivers.sim.sunspec_unit import WRITABLE, IllegalValueError, SunSpecUnit

BASE = 40000
READ_HOLDING, WRITE_ONE, WRITE_MANY = 3, 6, 16


class InverterProcess:
    """tick() moves the unit; answer() is asked by pymodbus before each reply and takes each write."""

    def __init__(self, args: Namespace, bar: Bar) -> None:
        self.args, self.bar = args, bar
        self.face = SunSpecUnit(unit_of(args), args.phases, args.v_nom, args.f_nom, args.own_meter)
        self.writes = 0
        bar.update(session=self.face.unit.session, gain=args.gain * args.sign, writes=0.0)
        bar.update(charge_limit_w=inf, discharge_limit_w=inf)

    def tick(self, dt_s: float) -> None:
        bar, unit = self.bar, self.face.unit
        unit.session = Session(int(bar.get("session")))
        unit.inverter.gain = bar.get("gain")
        unit.car_charge_w, unit.car_discharge_w = bar.get("charge_limit_w"), bar.get("discharge_limit_w")
        self.face.local, self.face.heart_beats = bar.get("local") != 0.0, bar.get("heart_stops") == 0.0
        if self.args.no_timer:
            for _, set_point in self.face.blocks():
                set_point.left_s = 0.0
        self.face.tick(dt_s, bar.grid())
        bar.update(
            p_w=unit.inverter.p_w,
            q_var=unit.inverter.q_var,
            soc=unit.battery.soc,
            p_set_w=unit.p_set.value,
            q_set_var=unit.q_set.value,
            p_enabled=unit.p_set.enabled,
            p_left_s=unit.p_set.left_s,
            unit_s=monotonic(),
        )

    def device(self) -> SimDevice:
        """Read-only cells answer a write with "illegal address", as the standard wants."""
        cells: list[SimData] = []
        at = 0
        for writable, run in groupby(self._writable()):
            count = len(list(run))
            cells.append(SimData(BASE + at, count, 0, DataType.REGISTERS, readonly=not writable))
            at += count
        return SimDevice(self.args.unit, cells, action=self.answer)

    def _writable(self) -> list[bool]:
        image = self.face.image
        open_to_writes = [False] * len(image.words)
        for name in WRITABLE:
            p = image.points[name]
            open_to_writes[p.at : p.at + p.words] = [True] * p.words
        return open_to_writes

    async def answer(
        self, function: int, start: int, at: int, count: int, cells: list[int], values: list[int] | list[bool] | None
    ) -> ExcCodes | None:
        if function not in (READ_HOLDING, WRITE_ONE, WRITE_MANY):
            return ExcCodes.ILLEGAL_FUNCTION
        if self.args.turnaround_s:
            await sleep(self.args.turnaround_s)
        if values:
            return self._write(at - BASE, [int(v) for v in values])
        self.face.render()
        cells[at - start : at - start + count] = self.face.image.words[at - BASE : at - BASE + count]
        return None

    def _write(self, at: int, values: list[int]) -> ExcCodes | None:
        try:
            self.face.write(at, values)
        except IllegalValueError:
            return ExcCodes.ILLEGAL_VALUE
        self.writes += 1
        self.bar.set("writes", self.writes)
        return None


def unit_of(args: Namespace) -> Unit:
    inverter = Inverter(
        s_max_va=args.s_max_va,
        p_discharge_w=args.p_discharge_w,
        p_charge_w=args.p_charge_w,
        q_max_var=args.q_max_var,
        v_low_pu=args.v_low_pu,
        p_min_abs_w=args.p_min_abs_w,
        dwell_s=args.dwell_s,
        dead_s=args.dead_s,
        lag_s=args.lag_s,
        ramp_w_s=args.ramp_w_s,
    )
    energy_wh = args.soc * args.capacity_wh
    battery = Battery(args.capacity_wh, energy_wh, args.eta_charge, args.eta_discharge, args.soc_min, args.soc_max)
    return Unit(inverter, battery, own_w=args.own_w, session=Session[args.session.upper()])
