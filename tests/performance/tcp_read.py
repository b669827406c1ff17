"""A read of 60 registers over TCP, client and server on one core: ours over libmodbus.

Time     of each read, by the client's own clock: what a wire's thread waits. Nothing between two reads.
Server   libmodbus in C at a FIFO priority, without its checks: on one core it has answered before the client asks for
         bytes, and its time, the same for everybody, is as small as it can be. Each contestant has one of its own.
Ours     the wire of a bus thread, without the interpreter. Everybody decodes the words; idle states are held off.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from cython_core.realtime.host import IdleStates
from drivers.modbus.link import Link, SerialLink, TcpLink
from tests.peers.c.build import NotHereError, built
from tests.peers.c.libmodbus import UNIT, Client, Server
from tests.peers.compiled import compiled
from tests.peers.readers import Read, Taken, pymodbus_async, pymodbus_sync
from tests.performance.harness import Absent, Contestant, Gate, Measurement

WORDS = 60
TIMES, QUICK_TIMES = 2000, 200
SERVER_PRIORITY = 95
LIBMODBUS, OURS = "libmodbus", "ours"
Peer = Callable[[Link], AbstractContextManager[Read]]


@contextmanager
def libmodbus(link: Link) -> Iterator[Read]:
    with Client(Path(link.path) if isinstance(link, SerialLink) else link.port) as client:
        yield client.read


@contextmanager
def ours(link: Link) -> Iterator[Read]:
    reader = compiled(Path(__file__).with_name("wire_reads.pyx")).Reader(link)
    yield partial(reader.read, UNIT)
    reader.close()


@contextmanager
def tcp_server() -> Iterator[Link]:
    with Server(priority=SERVER_PRIORITY, quick=True) as server:
        yield TcpLink("127.0.0.1", server.port)


@dataclass(frozen=True, slots=True)
class Reads:
    """Who reads from a server of which kind, how often, at what rest and by which clock."""

    peers: Mapping[str, Peer | Absent]
    server: Callable[[], AbstractContextManager[Link]]
    times: int
    rest_us: int = 0
    clock: int = time.CLOCK_MONOTONIC
    connected: dict[str, Read] = field(default_factory=dict)

    @contextmanager
    def around(self) -> Iterator[None]:
        """Everybody's server and connection, idle states held off."""
        with ExitStack() as stack:
            stack.callback(IdleStates().close)
            for name, peer in self.peers.items():
                if not isinstance(peer, Absent):
                    link = stack.enter_context(self.server())
                    self.connected[name] = stack.enter_context(peer(link))
            yield

    def read(self, name: str) -> Taken:
        return self.connected[name](WORDS, self.times, self.rest_us, self.clock)

    def contestant(self, name: str) -> Contestant | Absent:
        peer = self.peers[name]
        if isinstance(peer, Absent):
            return peer
        return Contestant(
            name,
            self.times,
            start=lambda: partial(self.read, name),
            outputs=lambda taken: taken[0],
            samples=lambda taken: [ns / 1000.0 for ns in taken[1]],
        )

    def measurement(self, name: str, unit: str, *gates: Gate) -> Measurement:
        """Its gates, and every other peer over libmodbus, printed."""
        printed = tuple(Gate(peer, LIBMODBUS) for peer in self.peers if peer not in (LIBMODBUS, OURS))
        contestants = tuple(self.contestant(peer) for peer in self.peers)
        return Measurement(name, unit, contestants, (*gates, *printed), around=self.around)


def against_libmodbus(others: Mapping[str, Peer | Absent]) -> dict[str, Peer | Absent]:
    """Everybody; without libmodbus there is no server either, and nobody is here."""
    peers: dict[str, Peer | Absent] = {LIBMODBUS: libmodbus, OURS: ours, **others}
    try:
        built("modbus_server")
    except NotHereError as error:
        return {name: Absent(name, str(error)) for name in peers}
    return peers


def measurements(quick: bool) -> tuple[Measurement, ...]:
    peers = against_libmodbus({"pymodbus sync": pymodbus_sync, "pymodbus async": pymodbus_async})
    reads = Reads(peers, tcp_server, QUICK_TIMES if quick else TIMES)
    return (reads.measurement("tcp_read", "us", Gate(OURS, LIBMODBUS, 1.0, 0.8, at_most=True)),)
