"""Controllers in a process of their own, to be measured: ours, and pymodbus in Python threads.

    python -m tests.peers.controllers ours|pymodbus PORT PERIOD_MS none|burn|gc

Both     each period: frequency in, set-point out, against one libmodbus.Server that is meter and inverter.
ours     the bus threads, the loop and the step of the product, the droop in an event all the time; nothing of it is
         different from `v2g run`, but that there is no telemetry.
pymodbus its sync client in two threads on absolute grids: one reads, one computes and writes.
Load     in the same process, while it runs. burn: a Python thread computes; gc: one collects 300 000 living objects.
Commands on stdin: start, stop; each answered by one line when it is done. The end of stdin ends the process.
"""

from __future__ import annotations

import gc
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from tests.peers.c.libmodbus import FREQUENCY, SETPOINT, UNIT, Server

if TYPE_CHECKING:
    from drivers.registermap import Plan

VOLTAGE, DEVICE = 1, 10  # a word each, and four
LIVING = 300_000
RING = Path("/dev/shm")


def make_home(server: Server, f_mhz: int) -> None:
    """What meter and inverter say in the server's registers: 230.0 V, ready at half charge, running."""
    for address, word in ((FREQUENCY, f_mhz), (VOLTAGE, 2300), *enumerate((0, 500, 3, 3), DEVICE)):
        server.word(address, word)


class Controller(Protocol):
    def start(self) -> None: ...
    def stop(self) -> None: ...


class Ours:
    """Imported when chosen: the other one must not carry our modules, nor we pymodbus."""

    def __init__(self, port: int, period_ms: int) -> None:
        from cython_core.realtime.host import lock_memory

        self.port, self.period_ms = port, period_ms
        lock_memory()
        gc.collect()
        gc.freeze()
        gc.disable()

    def start(self) -> None:
        from cython_core.realtime.loop import Loop
        from cython_core.realtime.mailbox import Mailbox
        from cython_core.realtime.ring import RingWriter
        from cython_core.records import Command, DeviceState, Measurement, Order
        from cython_core.settings import Settings
        from cython_core.step import Core
        from drivers.modbus.bus import Bus
        from drivers.modbus.link import TcpLink

        link = TcpLink("127.0.0.1", self.port)
        meter, device, order, command = (Mailbox(r) for r in (Measurement, DeviceState, Order, Command))
        self.buses = (Bus(link), Bus(link))
        self.buses[0].meter(meter_plan(), self.period_ms, meter)
        self.buses[1].inverter(inverter_plan(), self.period_ms, device, command)
        settings = Settings.from_mapping(
            {
                "rating": {"f_nom_hz": 50.0, "p_rated_w": 10000.0, "p_charge_rated_w": 8000.0, "s_rated_va": 10000.0},
                "freq_droop": {"t_response_s": 0.2, "refresh_s": 0.0},
                "limits": {"ramp_pu_s": 10.0},  # open soon: what bounds the first seconds would hide the droop
            }
        )
        core = Core(settings, self.period_ms * 1e-3)
        self.folder = tempfile.TemporaryDirectory(dir=RING if RING.is_dir() else None)
        ring = RingWriter(Path(self.folder.name) / "ring", {"epoch": 1}, self.period_ms * 1_000_000)
        order.put(Order(t_ns=time.monotonic_ns()))
        self.loop = Loop(core, ring, meter, device, order, command)
        for bus in self.buses:
            bus.start()
        self.loop.start()

    def stop(self) -> None:
        self.loop.stop()
        for bus in self.buses:
            bus.stop()
        self.folder.cleanup()


def meter_plan() -> Plan:
    from cython_core.records import Measurement, MeasurementValid
    from drivers.registermap import Decode, Plan, Read, field_word

    f, v = (field_word(Measurement, name) for name in ("f_hz", "v1_v"))
    return Plan(
        unit=UNIT,
        reads=(Read(4, FREQUENCY, 2),),
        decodes=(
            Decode(0, 0, "u16", 0.001, 40.0, 70.0, f, MeasurementValid.F),
            Decode(0, 1, "u16", 0.1, 0.0, 400.0, v, MeasurementValid.V1),
        ),
    )


def inverter_plan() -> Plan:
    from cython_core.records import DeviceState, DeviceValid
    from drivers.registermap import Decode, Encode, Plan, Read, Write, field_word

    def row(word: int, name: str, valid: DeviceValid, scale: float = 1.0, to_int: bool = False) -> Decode:
        return Decode(0, word, "s16", scale, -32768.0, 32767.0, field_word(DeviceState, name), valid, to_int)

    return Plan(
        unit=UNIT,
        reads=(Read(3, DEVICE, 4),),
        decodes=(
            row(0, "p_w", DeviceValid.P),
            row(1, "soc_pu", DeviceValid.SOC, 0.001),
            row(2, "session", DeviceValid.SESSION, to_int=True),
            row(3, "status", DeviceValid.STATUS, to_int=True),
        ),
        setpoint=(Write(6, SETPOINT, (0,), (Encode(0, "s16", 1.0, "p_w"),)),),
    )


class Pymodbus:
    def __init__(self, port: int, period_ms: int) -> None:
        from pymodbus.client import ModbusTcpClient

        self.meter, self.inverter = (ModbusTcpClient("127.0.0.1", port=port) for _ in range(2))
        self.period_s = period_ms * 1e-3
        self.f_mhz = 50000

    def start(self) -> None:
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=self.each_period, args=(do,)) for do in (self.read, self.write)]
        for thread in self.threads:
            thread.start()

    def stop(self) -> None:
        self.stopping.set()
        for thread in self.threads:
            thread.join()

    def each_period(self, do: Callable[[], None]) -> None:
        due_s = time.monotonic()
        while not self.stopping.is_set():
            do()
            due_s += self.period_s * (1 + (time.monotonic() - due_s) // self.period_s)
            time.sleep(max(due_s - time.monotonic(), 0.0))

    def read(self) -> None:
        self.f_mhz = self.meter.read_input_registers(FREQUENCY, count=1, device_id=UNIT).registers[0]

    def write(self) -> None:
        self.inverter.write_register(SETPOINT, 4 * (50000 - self.f_mhz) & 0xFFFF, device_id=UNIT)


def burn() -> None:
    sum(range(1000))


LOADS: dict[str, Callable[[], object]] = {"burn": burn, "gc": gc.collect}


class Load:
    """Does one thing again and again in a thread, between start and stop."""

    def __init__(self, kind: str) -> None:
        self.work = LOADS.get(kind)
        self.living = [[i] for i in range(LIVING)] if kind == "gc" else []

    def start(self) -> None:
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.again_and_again)
        self.thread.start()

    def again_and_again(self) -> None:
        while self.work is not None and not self.stopping.is_set():
            self.work()

    def stop(self) -> None:
        self.stopping.set()
        self.thread.join()


def main(which: str, port: int, period_ms: int, load: str) -> None:
    controller: Controller = Ours(port, period_ms) if which == "ours" else Pymodbus(port, period_ms)
    parts: tuple[Controller, Controller] = (controller, Load(load))
    print("ready", flush=True)
    for line in sys.stdin:
        for part in parts:
            getattr(part, line.strip())()
        print("ok", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
