"""The simulator on a serial line (Modbus RTU), read and written with pymodbus's client over two joined terminals."""

from __future__ import annotations

import asyncio
import struct
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest
from pymodbus.client import ModbusSerialClient
from pymodbus.exceptions import ModbusIOException
from pymodbus.simulator import DataType, SimData, SimDevice

from drivers.sim.endpoint import SerialEndpoint
from tests.drivers.sim.conftest import Simulation, until
from tests.drivers.sim.test_server import STEADY, W_SET_ENA, trace
from tests.peers.cable import cable

METER, INVERTER, NOBODY = 1, 2, 9
METER_DEVICE = SimDevice(METER, [SimData(0, values=[0], datatype=DataType.REGISTERS)])


@pytest.fixture
def ends() -> Iterator[tuple[str, str]]:
    with cable() as both:
        yield both


def start(simulation: Simulation, part: str, path: str, *options: str) -> None:
    """A part on a serial line; its port file says when it listens, and where."""
    port_file = simulation.folder / "where"
    process = simulation.start(part, "--serial", path, "--port-file", str(port_file), *options)
    until(lambda: port_file.exists() or process.poll() is not None, f"{part}'s port file")
    assert port_file.read_text() == f"{path}\n"


def client(path: str, timeout_s: float = 30.0) -> ModbusSerialClient:
    master = ModbusSerialClient(path, baudrate=9600, timeout=timeout_s, retries=0)
    assert master.connect()
    return master


def frequency(master: ModbusSerialClient, unit: int = METER) -> float:
    words = master.read_input_registers(70, count=2, device_id=unit).registers
    return float(struct.unpack(">f", struct.pack(">2H", *words))[0])


def is_silent(master: ModbusSerialClient, unit: int) -> bool:
    try:
        frequency(master, unit)
    except ModbusIOException:
        return True
    return False


def test_a_meter(simulation: Simulation, ends: tuple[str, str]) -> None:
    simulation.grid("--trace", trace(simulation.folder, STEADY))
    start(simulation, "meter", ends[0], "--unit", "7")
    with client(ends[1]) as master:
        until(lambda: frequency(master, 7) == pytest.approx(50.02, abs=0.01), "the trace's frequency")
        assert master.read_input_registers(400, count=2, device_id=7).exception_code == 2


def test_an_inverter(simulation: Simulation, ends: tuple[str, str]) -> None:
    simulation.grid("--trace", trace(simulation.folder, STEADY))
    start(simulation, "inverter", ends[0], "--unit", "2", "--stop-bits", "2", "--baud", "38400")
    with Path(ends[0]).open() as terminal:
        _, _, cflag, _, _, speed, _ = termios.tcgetattr(terminal)
    assert (bool(cflag & termios.CSTOPB), speed) == (True, termios.B38400)
    with client(ends[1]) as master:
        assert master.read_holding_registers(40000, count=2, device_id=2).registers == [0x5375, 0x6E53]
        block = [1, 0, 200, 0, 0, 0x8000, 0x8000, 1, 0, 60]  # 2 kW, reverting after 60 s
        assert not master.write_registers(W_SET_ENA + 1, block, device_id=2).isError()
        assert not master.write_register(W_SET_ENA, 1, device_id=2).isError()
        until(lambda: simulation.bar.get("p_w") > 1900, "2 kW of export")


def test_parity_is_asked_for() -> None:
    """A terminal like the ones here has none, so what pymodbus is told is all that can be seen."""

    async def asked() -> tuple[int, str, int]:
        found = SerialEndpoint("/dev/null", 19200, "E", 2).server([METER_DEVICE]).comm_params
        return found.baudrate, found.parity, found.stopbits

    assert asyncio.run(asked()) == (19200, "E", 2)


def test_a_pair_on_one_line(simulation: Simulation, ends: tuple[str, str]) -> None:
    """Each by its id. An id that nobody has stays silent."""
    simulation.grid("--trace", trace(simulation.folder, STEADY))
    start(simulation, "pair", ends[0], "--inverter-unit", str(INVERTER))
    with client(ends[1]) as master:
        until(lambda: frequency(master) == pytest.approx(50.02, abs=0.01), "the trace's frequency")
        assert master.read_holding_registers(40000, count=1, device_id=INVERTER).registers == [0x5375]
        assert master.read_holding_registers(0, count=1, device_id=METER).exception_code == 1
    with client(ends[1], timeout_s=0.3) as master:
        assert is_silent(master, NOBODY)
    with client(ends[1]) as master:
        assert master.read_holding_registers(40000, count=1, device_id=INVERTER).registers == [0x5375]


def test_a_pair_behind_one_port(simulation: Simulation) -> None:
    simulation.grid("--trace", trace(simulation.folder, STEADY))
    master = simulation.serve("pair", "--unit", "3", "--inverter-unit", "4")
    until(lambda: master.read_input_registers(70, count=2, device_id=3).registers[0] == 0x4248, "50 Hz")
    assert master.read_holding_registers(40000, count=1, device_id=4).registers == [0x5375]


def test_a_pair_with_one_id(simulation: Simulation) -> None:
    process = simulation.start("pair", "--inverter-unit", "1")
    assert process.communicate(timeout=30) == ("", "--unit 1 --inverter-unit 1; allowed: two different ones\n")
    assert process.returncode == 2


ALLOWED = "allowed: a --serial port that is there and that nobody else uses"


def test_a_line_that_is_not_there(simulation: Simulation) -> None:
    process = simulation.start("meter", "--serial", "/dev/nosuch")
    assert process.communicate(timeout=30) == ("", f"/dev/nosuch: No such file or directory; {ALLOWED}\n")
    assert process.returncode == 2


def test_a_line_that_is_taken(simulation: Simulation, ends: tuple[str, str]) -> None:
    start(simulation, "meter", ends[0])
    process = simulation.start("inverter", "--serial", ends[0])
    assert ALLOWED in process.communicate(timeout=30)[1]
    assert process.returncode == 2


def test_a_line_without_that_parity(simulation: Simulation, ends: tuple[str, str]) -> None:
    process = simulation.start("meter", "--serial", ends[0], "--parity", "E")
    assert process.communicate(timeout=30)[1].endswith(f"{ALLOWED}\n")
    assert process.returncode == 2


def test_a_port_or_a_line(simulation: Simulation) -> None:
    process = simulation.start("meter", "--port", "5020", "--serial", "/dev/x")
    assert "not allowed with argument" in process.communicate(timeout=30)[1]
    assert process.returncode == 2
