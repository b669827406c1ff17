"""What the simulator's processes share: they tick on a grid of time, serve registers, and never outlive their parent.

serve()  returns when SIGTERM or SIGINT arrives or the parent is gone. Its port file appears, whole, once it listens.
Errors   StartError, one line: a busy port, a folder that is not there.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from time import monotonic

from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import SimDevice

Tick = Callable[[float], None]
Action = Callable[[int, int, int, int, list[int], list[int] | list[bool] | None], Awaitable[ExcCodes | None]]


class StartError(Exception):
    """The process cannot start: whoever wrote the command line must act."""


async def run(tick: Tick, period_s: float, parent: int) -> None:
    """tick(seconds since the last one) each period_s, until a signal or the parent's end."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    last = due = monotonic()
    while not stop.is_set() and os.getppid() == parent:
        now = monotonic()
        tick(now - last)
        last = now
        due = max(due + period_s, now)  # late: go on from here, never catch up
        await asyncio.sleep(due - now)


async def serve(
    device: SimDevice,
    address: tuple[str, int],
    port_file: Path | None,
    tick: Tick,
    period_s: float,
    parent: int,
    silent: Callable[[], bool] = lambda: False,
) -> None:
    """Serve the device's registers over Modbus TCP beside run(). While silent(), requests are taken, not answered."""
    must_be_free(address)
    if port_file:
        port_file.unlink(missing_ok=True)  # of an earlier run: nobody must connect there
    tick(0.0)
    server = ModbusTcpServer(
        device, address=address, trace_packet=lambda sending, data: b"" if sending and silent() else data
    )
    try:
        await server.serve_forever(background=True)
    except RuntimeError as error:
        raise StartError(f"{address[0]}:{address[1]}: {error}; allowed: a free --port, or 0 for any") from None
    try:
        if port_file:
            write_whole(port_file, f"{port_of(server)}\n")
        await run(tick, period_s, parent)
    finally:
        await server.shutdown()  # type: ignore[no-untyped-call]


def must_be_free(address: tuple[str, int]) -> None:
    """pymodbus swallows the reason why it cannot listen: ask first."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
            probe.listen()
        except OSError as error:
            where = f"{address[0]}:{address[1]}"
            raise StartError(f"{where}: {error.strerror}; allowed: a free --port, or 0 for any") from None


def port_of(server: ModbusTcpServer) -> int:
    listener = server.transport
    assert isinstance(listener, asyncio.Server)
    return int(listener.sockets[0].getsockname()[1])


def write_whole(path: Path, text: str) -> None:
    """A reader sees no file, or all of it."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        part.write_text(text)
        part.replace(path)
    except OSError as error:
        raise StartError(f"{path}: {error.strerror}; allowed: a file in a folder that can be written") from None
