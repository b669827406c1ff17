"""pymodbus' own server in a thread, TCP or RTU: the peer of libmodbus.Server, with the same registers.

Registers  0 ... 999, input and holding registers are the same ones; each holds its own address at first.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusSerialServer, ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from tests.peers.c.libmodbus import UNIT, WORDS


class PymodbusServer:
    """What it was told is kept beside its registers, so that a test sees it without asking over the wire."""

    def __init__(self, path: str | None) -> None:
        self.path, self.port = path, 0
        self.written: dict[int, int] = {}
        self.listening = threading.Event()
        self.loop = asyncio.new_event_loop()
        self.ended = asyncio.Event()

    def words(self, address: int, count: int) -> tuple[int, ...]:
        return tuple(self.written.get(a, a) for a in range(address, address + count))

    async def note(
        self,
        _function: int,
        _start: int,
        at: int,
        _count: int,
        _cells: list[int],
        values: list[int] | list[bool] | None,
    ) -> ExcCodes | None:
        """Asked by pymodbus before each answer; values: of a write."""
        self.written.update({at + i: int(value) for i, value in enumerate(values or [])})
        return None

    async def serve(self) -> None:
        cells = SimData(0, values=list(range(WORDS)), datatype=DataType.REGISTERS)
        device = SimDevice(UNIT, [cells], action=self.note)
        server: ModbusTcpServer | ModbusSerialServer
        if self.path is None:
            server = ModbusTcpServer(device, address=("127.0.0.1", 0))
        else:
            server = ModbusSerialServer(device, port=self.path, baudrate=19200)
        await server.serve_forever(background=True)
        if isinstance(server.transport, asyncio.Server):
            self.port = server.transport.sockets[0].getsockname()[1]
        self.listening.set()
        await self.ended.wait()
        await server.shutdown()  # type: ignore[no-untyped-call]  # without annotations in pymodbus


@contextmanager
def pymodbus_server(path: str | None = None) -> Iterator[PymodbusServer]:
    """It listens; over RTU on this terminal, or over TCP on its port."""
    server = PymodbusServer(path)
    thread = threading.Thread(target=server.loop.run_until_complete, args=(server.serve(),))
    thread.start()
    try:
        assert server.listening.wait(5.0)
        yield server
    finally:
        server.loop.call_soon_threadsafe(server.ended.set)
        thread.join(5.0)
        server.loop.close()
