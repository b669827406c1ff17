"""A read of 60 registers over a pty (RTU), client and server on one core: ours over libmodbus.

Gated    the client's CPU time. A pty's bytes are carried by a worker of the kernel, and which core it is woken on, and
         behind whom, is nobody's merit: half of the time that a client waits, and most of its scatter.
Printed  the time that a client waits, of all.
Rest     before each read, in nobody's time: the silence that the standard wants before a frame is over then. Ours
         and minimalmodbus look whether it is, libmodbus and pymodbus know of none.
Server, ours, the rest of the conditions: as in tcp_read.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from drivers.modbus.link import Link, SerialLink
from tests.peers.c.libmodbus import Server
from tests.peers.readers import minimalmodbus, pymodbus_async, pymodbus_sync
from tests.performance.harness import Absent, Gate, Measurement
from tests.performance.tcp_read import LIBMODBUS, OURS, SERVER_PRIORITY, Peer, Reads, against_libmodbus

TIMES, QUICK_TIMES = 300, 25
REST_US = 2000  # a silence at 115200 baud is 1750


@contextmanager
def rtu_server() -> Iterator[Link]:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "line"
        with Server(path, priority=SERVER_PRIORITY, quick=True):
            yield SerialLink(str(path), 115200)


def measurements(quick: bool) -> tuple[Measurement, ...]:
    name = "minimalmodbus"
    minimal: Peer | Absent = minimalmodbus if find_spec(name) else Absent(name, f"pip install {name}")
    peers = against_libmodbus({"pymodbus sync": pymodbus_sync, "pymodbus async": pymodbus_async, name: minimal})
    times = QUICK_TIMES if quick else TIMES
    cpu = Reads(peers, rtu_server, times, REST_US, time.CLOCK_THREAD_CPUTIME_ID)
    waits = Reads(peers, rtu_server, times, REST_US)
    return (
        cpu.measurement("rtu_read", "us of CPU", Gate(OURS, LIBMODBUS, 1.0, 0.8, at_most=True)),
        waits.measurement("rtu_read", "us", Gate(OURS, LIBMODBUS)),
    )
