"""Our master against another's server and client: pymodbus must see what we wrote, and we what it serves.

Our scripted device and our master could share a misreading of the specification; pymodbus would not share it.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Iterator

import pytest
from pymodbus.client import ModbusTcpClient
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from cython_core.realtime.mailbox import Mailbox
from cython_core.records import Command, DeviceState, DeviceValid, Measurement, MeasurementValid, Mode
from drivers.modbus.bus import Bus
from drivers.modbus.codes import Fault
from drivers.modbus.link import TcpLink
from drivers.modbus.wire import Wire
from drivers.registermap import Decode, Encode, Plan, Read, Write
from tests.drivers.modbus.scripted import wait

UNIT = 7
FLOATS, LONGS, FREE = 0, 20, 100
HOLDING = [
    SimData(LONGS, values=[-123456, 2147483647], datatype=DataType.INT32),
    SimData(FREE, count=123, values=0, datatype=DataType.REGISTERS),
]
INPUTS = [SimData(FLOATS, values=[49.99, 230.5, -2000.0], datatype=DataType.FLOAT32)]
NOTHING = [SimData(0, values=False, datatype=DataType.BITS)]


async def serve(ready: threading.Event, end: asyncio.Event, port: list[int]) -> None:
    server = ModbusTcpServer(SimDevice(UNIT, (NOTHING, NOTHING, HOLDING, INPUTS)), address=("127.0.0.1", 0))
    await server.serve_forever(background=True)
    assert isinstance(server.transport, asyncio.Server)
    port.append(server.transport.sockets[0].getsockname()[1])
    ready.set()
    await end.wait()
    await server.shutdown()  # type: ignore[no-untyped-call]  # pymodbus has no types here


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    ready, end, found, loop = threading.Event(), asyncio.Event(), list[int](), asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_until_complete, args=(serve(ready, end, found),))
    thread.start()
    assert ready.wait(5.0)
    yield found[0]
    loop.call_soon_threadsafe(end.set)
    thread.join(5.0)
    loop.close()


@pytest.fixture
def wire(port: int) -> Wire:
    return Wire(TcpLink("127.0.0.1", port), timeout_ms=1000)


@pytest.fixture
def oracle(port: int) -> Iterator[ModbusTcpClient]:
    with ModbusTcpClient("127.0.0.1", port=port) as client:
        yield client


@pytest.mark.parametrize(("function", "address", "count"), [(3, LONGS, 4), (3, FREE, 123), (4, FLOATS, 6), (4, 2, 2)])
def test_both_masters_read_the_same(
    wire: Wire, oracle: ModbusTcpClient, function: int, address: int, count: int
) -> None:
    read = oracle.read_holding_registers if function == 3 else oracle.read_input_registers
    theirs = read(address, count=count, device_id=UNIT).registers
    assert wire.read(UNIT, function, address, count) == (Fault.OK, tuple(theirs))


def test_what_we_write_the_other_reads(wire: Wire, oracle: ModbusTcpClient) -> None:
    assert wire.write(UNIT, 16, FREE, [i * 257 for i in range(123)]) is Fault.OK
    assert wire.write(UNIT, 6, FREE + 3, [0xBEEF]) is Fault.OK
    theirs = oracle.read_holding_registers(FREE, count=123, device_id=UNIT).registers
    assert theirs == [0xBEEF if i == 3 else i * 257 for i in range(123)]


def test_what_the_server_has_not_is_an_exception(wire: Wire) -> None:
    assert wire.read(UNIT, 3, 5000, 1)[0] is Fault.EXCEPTION
    assert wire.stats().last_exception == 2  # illegal data address


def test_a_meter_served_by_the_other(port: int) -> None:
    v = MeasurementValid
    kinds = ((0, 40.0, 70.0, 4, v.F, 1.0), (2, 0.0, 400.0, 5, v.V1, 1.0), (4, -5e4, 5e4, 8, v.P, -1.0))
    decodes = tuple(Decode(0, w, "f32", scale, low, high, t, bit) for w, low, high, t, bit, scale in kinds)
    out = Mailbox(Measurement)
    bus = Bus(TcpLink("127.0.0.1", port))
    meter = bus.meter(Plan(UNIT, (Read(4, FLOATS, 6),), decodes, timeout_ms=1000), 0, out)
    bus.start()
    wait(lambda: meter.stats().answers > 0)
    bus.stop()
    m = out.get()
    assert (m.valid, m.v1_v, m.p_w) == (v.F | v.V1 | v.P, 230.5, 2000.0)
    assert m.f_hz == pytest.approx(49.99, abs=1e-5)
    assert math.isnan(m.q_var)


def test_an_inverter_served_by_the_other(port: int, oracle: ModbusTcpClient) -> None:
    """The set-point goes out as s32 and comes back as the state that is read from the same registers."""
    plan = Plan(
        UNIT,
        (Read(3, FREE, 2),),
        (Decode(0, 0, "s32", 10.0, -1e6, 1e6, 5, DeviceValid.P_SET),),
        setpoint=(Write(16, FREE, (0, 0), (Encode(0, "s32", 0.1, "p_w"),)),),
        timeout_ms=1000,
    )
    out, commands = Mailbox(DeviceState), Mailbox(Command)
    bus = Bus(TcpLink("127.0.0.1", port))
    bus.inverter(plan, 5, out, commands)
    bus.start()
    commands.put(Command(1, time.monotonic_ns(), -3500.0, 0.0, Mode.ACTIVE, 10_000))
    wait(lambda: (s := out.get()) and s.p_set_readback_w == -3500.0 and s.t_echo_ns > 0)
    bus.stop()
    assert oracle.read_holding_registers(FREE, count=2, device_id=UNIT).registers == [0xFFFF, 0xFEA2]  # -350
