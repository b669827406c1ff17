"""Masters in Python that read input registers, each timed alike: pymodbus sync and async, minimalmodbus.

Each is a context that gives a Read, connected: read(count, times, rest_us, clock) -> (words of the last read, ns that
each took by this clock). What the C programs of this folder and wire_reads.pyx do, in the same words.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient, ModbusSerialClient, ModbusTcpClient

from drivers.modbus.link import Link, TcpLink
from tests.peers.c.libmodbus import UNIT

PATIENCE_S = 2.0
Taken = tuple[list[int], list[int]]


class Read(Protocol):
    def __call__(self, count: int, times: int, rest_us: int, clock: int, /) -> Taken: ...


def timed(read: Callable[[], list[int]], times: int, rest_us: int, clock: int) -> Taken:
    taken_ns = []
    words: list[int] = []
    for _ in range(times):
        if rest_us:
            time.sleep(rest_us * 1e-6)
        t_ns = time.clock_gettime_ns(clock)
        words = read()
        taken_ns.append(time.clock_gettime_ns(clock) - t_ns)
    return words, taken_ns


async def timed_async(read: Callable[[], Awaitable[Any]], times: int, rest_us: int, clock: int) -> Taken:
    taken_ns = []
    words: list[int] = []
    for _ in range(times):
        if rest_us:
            await asyncio.sleep(rest_us * 1e-6)
        t_ns = time.clock_gettime_ns(clock)
        words = (await read()).registers
        taken_ns.append(time.clock_gettime_ns(clock) - t_ns)
    return words, taken_ns


@contextmanager
def pymodbus_sync(link: Link) -> Iterator[Read]:
    client: Any
    if isinstance(link, TcpLink):
        client = ModbusTcpClient(link.host, port=link.port, timeout=PATIENCE_S)
    else:
        client = ModbusSerialClient(link.path, baudrate=link.baud, parity=link.parity, timeout=PATIENCE_S)
    with client:

        def read(count: int, times: int, rest_us: int, clock: int) -> Taken:
            ask = client.read_input_registers
            return timed(lambda: list(ask(0, count=count, device_id=UNIT).registers), times, rest_us, clock)

        yield read


@contextmanager
def pymodbus_async(link: Link) -> Iterator[Read]:
    async def connect() -> Any:
        client: Any
        if isinstance(link, TcpLink):
            client = AsyncModbusTcpClient(link.host, port=link.port, timeout=PATIENCE_S)
        else:
            client = AsyncModbusSerialClient(link.path, baudrate=link.baud, parity=link.parity, timeout=PATIENCE_S)
        assert await client.connect()
        return client

    with asyncio.Runner() as runner:
        client = runner.run(connect())

        def read(count: int, times: int, rest_us: int, clock: int) -> Taken:
            ask = client.read_input_registers
            return runner.run(timed_async(lambda: ask(0, count=count, device_id=UNIT), times, rest_us, clock))

        yield read
        client.close()


@contextmanager
def minimalmodbus(link: Link) -> Iterator[Read]:
    """Serial lines only."""
    import minimalmodbus as package  # type: ignore[import-untyped]  # not everywhere

    assert not isinstance(link, TcpLink)
    instrument = package.Instrument(link.path, UNIT)
    instrument.serial.baudrate = link.baud
    instrument.serial.timeout = PATIENCE_S

    def read(count: int, times: int, rest_us: int, clock: int) -> Taken:
        return timed(lambda: list(instrument.read_registers(0, count, functioncode=4)), times, rest_us, clock)

    yield read
    instrument.serial.close()
