"""What the simulator's processes share: they tick on a grid of time, serve registers, and never outlive their parent.

serve()  returns when SIGTERM or SIGINT arrives or the parent is gone. Its port file appears, whole, once it listens.
Errors   StartError, one line: an endpoint that cannot be served, a folder that is not there.
"""

from __future__ import annotations

import asyncio
import os
import signal
import termios
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from time import monotonic

from pymodbus.constants import ExcCodes
from pymodbus.simulator import SimDevice

from drivers.sim.endpoint import Endpoint, StartError

Tick = Callable[[float], None]
Action = Callable[[int, int, int, int, list[int], list[int] | list[bool] | None], Awaitable[ExcCodes | None]]


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
    devices: Sequence[SimDevice],
    endpoint: Endpoint,
    port_file: Path | None,
    tick: Tick,
    period_s: float,
    parent: int,
) -> None:
    """Serve the devices' registers beside run()."""
    server = endpoint.server(devices)
    if port_file:
        port_file.unlink(missing_ok=True)  # of an earlier run: nobody must connect there
    tick(0.0)
    try:
        await server.serve_forever(background=True)
    except (RuntimeError, termios.error) as error:  # termios: a line that has no such parity
        raise endpoint.refused(str(error)) from None
    try:
        if port_file:
            write_whole(port_file, f"{endpoint.found(server)}\n")
        await run(tick, period_s, parent)
    finally:
        await server.shutdown()  # type: ignore[no-untyped-call]  # pymodbus has no types here


def write_whole(path: Path, text: str) -> None:
    """A reader sees no file, or all of it."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        part.write_text(text)
        part.replace(path)
    except OSError as error:
        raise StartError(f"{path}: {error.strerror}; allowed: a file in a folder that can be written") from None
