"""A read of 60 registers over a pty (RTU), client and server on one core: ours over libmodbus.

Gated    the client's CPU time, not what it waits: a pty's bytes are carried by a worker of the kernel, now on this
         core, now on another, 11 ... 16 us a turn in a wait of about 45. Over 16 rounds of 150 reads the quartiles of
         ours over libmodbus were 0.86 ... 1.06 by the wait (median 0.93), 0.83 ... 0.94 by CPU time (median 0.87).
         These two alone, slice by slice: with others between them they meet different moods of the machine.
Printed  the wait, of all.
Rest     before each read, in nobody's time: the silence that the standard wants before a frame is over then. Ours
         and minimalmodbus look whether it is, libmodbus and pymodbus know of none.
Server, ours, the rest of the conditions: as in tcp_read.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from drivers.modbus.link import Link, SerialLink
from tests.peers.c.libmodbus import Server
from tests.peers.readers import minimalmodbus, pymodbus_async, pymodbus_sync
from tests.performance.harness import Absent, Gate, Measurement
from tests.performance.tcp_read import LIBMODBUS, OURS, SERVER_PRIORITY, Peer, Reads, against_libmodbus

TIMES = 300
PAIR_TIMES = 150
PAIR_ROUNDS = 15  # single rounds scatter from 0.7 to 1.2: their median needs many
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
    pair = against_libmodbus({})
    everybody = against_libmodbus({"pymodbus sync": pymodbus_sync, "pymodbus async": pymodbus_async, name: minimal})
    cpu = Reads(pair, rtu_server, PAIR_TIMES, REST_US, time.CLOCK_THREAD_CPUTIME_ID)
    gated = cpu.measurement("rtu_read", "us of CPU", Gate(OURS, LIBMODBUS, 1.0, 0.8, at_most=True))
    if quick:
        return (replace(gated, rounds=PAIR_ROUNDS),)
    waits = Reads(everybody, rtu_server, TIMES, REST_US)
    return (replace(gated, rounds=PAIR_ROUNDS), waits.measurement("rtu_read", "us", Gate(OURS, LIBMODBUS)))
