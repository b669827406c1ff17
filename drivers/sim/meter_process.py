"""The meter's process: looks at the bar at its own pace and shows it in an SDM630's input registers."""

from __future__ import annotations

from argparse import Namespace
from asyncio import sleep
from time import monotonic

from pymodbus.constants import ExcCodes
from pymodbus.simulator import DataType, SimData, SimDevice

from drivers.sim.bar import Bar
from drivers.sim.metering import Meter, Reading
from drivers.sim.sdm630 import MAX_WORDS, SIZE, registers

READ_INPUT = 4


class MeterProcess:
    """tick() measures; answer() is asked by pymodbus before each reply."""

    def __init__(self, args: Namespace, bar: Bar) -> None:
        self.args, self.bar = args, bar
        self.meter = Meter(refresh_s=args.refresh_s, latency_s=args.latency_s, seed=args.seed)
        self.words = registers(Reading())

    def tick(self, dt_s: float) -> None:
        if self.meter.step(dt_s, self._truth()):
            self.words = registers(self.meter.shown, self.args.phases)
        self.bar.set("meter_s", monotonic())

    def device(self) -> SimDevice:
        cells = SimData(0, values=[0] * SIZE, datatype=DataType.REGISTERS, readonly=True)
        return SimDevice(self.args.unit, [cells], action=self.answer)

    async def answer(
        self, function: int, start: int, at: int, count: int, cells: list[int], values: list[int] | list[bool] | None
    ) -> ExcCodes | None:
        if function != READ_INPUT or values:
            return ExcCodes.ILLEGAL_FUNCTION
        if count > MAX_WORDS:
            return ExcCodes.ILLEGAL_VALUE
        if at % 2 or count % 2:  # a float is read whole
            return ExcCodes.ILLEGAL_ADDRESS
        if self.args.turnaround_s:
            await sleep(self.args.turnaround_s)
        cells[at - start : at - start + count] = self.words[at : at + count]
        return None

    def _truth(self) -> Reading:
        grid = self.bar.grid()
        if self.args.location == "connection":
            phases = self.bar.connection_power(self.args.phases)
            p_w, q_var = (sum(values) for values in zip(*phases, strict=True))
            return Reading(grid.f_hz, *grid.v_v, p_w, q_var, phases=phases)
        return Reading(grid.f_hz, *grid.v_v, *self.bar.unit_power())
