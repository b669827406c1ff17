"""A Modbus TCP device that follows a script, on a raw socket: what no well-behaved server can be made to do.

It answers by the specification from `words` (address -> word) unless a rule says otherwise. A rule takes the request
and returns the bytes to send instead (b"": silence), or None for the ordinary answer; HANG_UP closes the connection.
Every request is kept, and `wait` waits for a claim about them, so that no test measures time.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

HANG_UP = b"hang up"


@dataclass(frozen=True, kw_only=True)
class Question:
    """One request as it came, on any wire."""

    unit: int
    pdu: bytes
    t_ns: int = 0  # CLOCK_MONOTONIC when it was whole

    @property
    def function(self) -> int:
        return self.pdu[0]

    @property
    def address(self) -> int:
        return int(struct.unpack(">H", self.pdu[1:3])[0])

    @property
    def count(self) -> int:
        return int(struct.unpack(">H", self.pdu[3:5])[0])

    @property
    def words(self) -> tuple[int, ...]:
        """What it writes."""
        data = {6: self.pdu[3:5], 16: self.pdu[6:], 23: self.pdu[10:]}.get(self.function, b"")
        return struct.unpack(f">{len(data) // 2}H", data)

    @property
    def writes(self) -> bool:
        return self.function in (6, 16)


@dataclass(frozen=True, kw_only=True)
class Request(Question):
    """One over TCP or UDP; connection counts from 1."""

    connection: int
    transaction: int


Rule = Callable[[Request], bytes | None]


def reply(request: Request, pdu: bytes, *, transaction: int | None = None, unit: int | None = None) -> bytes:
    """A whole frame around a PDU."""
    number = request.transaction if transaction is None else transaction
    return struct.pack(">HHHB", number, 0, len(pdu) + 1, request.unit if unit is None else unit) + pdu


def wait(
    claim: Callable[[], object], *, meanwhile: Callable[[], object] = lambda: None, timeout_s: float = 5.0
) -> None:
    """Until the claim holds, doing something meanwhile. The bound is generous and never what is tested."""
    deadline = time.monotonic() + timeout_s
    meanwhile()
    while not claim():
        assert time.monotonic() < deadline, "the claim never came true"
        time.sleep(0.002)
        meanwhile()


@dataclass
class Device:
    """The scripted server; use `device()`."""

    words: dict[int, int] = field(default_factory=dict)
    rule: Rule = lambda _request: None
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    port: int = 0

    def __post_init__(self) -> None:
        self._sockets: list[socket.socket] = []
        self.listen()

    def listen(self) -> None:
        """Open the port: the first time any, later the same again."""
        self._server = socket.create_server(("127.0.0.1", self.port))
        self.port = self._server.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._server,), daemon=True).start()

    def vanish(self) -> None:
        """Close the port and every connection, as a power cut does."""
        for s in (self._server, *self._sockets):
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)
            s.close()
        self._sockets.clear()

    def written(self, address: int) -> list[tuple[int, ...]]:
        """The words of every write to this address."""
        return [r.words for r in list(self.requests) if r.writes and r.address == address]

    def ordinary(self, request: Request) -> bytes:
        """The answer of the specification."""
        if request.function in (3, 4):
            words = [self.words.get(request.address + i, 0) for i in range(request.count)]
            return reply(request, struct.pack(f">BB{len(words)}H", request.function, 2 * len(words), *words))
        for i, word in enumerate(request.words):
            self.words[request.address + i] = word
        return reply(request, request.pdu[:5])

    def _accept(self, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = server.accept()
                self.connections += 1
                self._sockets.append(connection)
                threading.Thread(target=self._serve, args=(connection, self.connections), daemon=True).start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        with contextlib.suppress(OSError), connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while header := connection.recv(7, socket.MSG_WAITALL):
                transaction, _, length, unit = struct.unpack(">HHHB", header)
                pdu = connection.recv(length - 1, socket.MSG_WAITALL)
                request = Request(
                    connection=number, transaction=transaction, unit=unit, pdu=pdu, t_ns=time.monotonic_ns()
                )
                self.requests.append(request)
                answer = self.rule(request)
                if answer is None:
                    answer = self.ordinary(request)
                if answer.endswith(HANG_UP):
                    connection.sendall(answer.removesuffix(HANG_UP))
                    return
                connection.sendall(answer)


@contextlib.contextmanager
def device(words: dict[int, int] | None = None, rule: Rule | None = None) -> Iterator[Device]:
    """A scripted device for the time of a test."""
    d = Device(words=dict(words or {}))
    if rule is not None:
        d.rule = rule
    try:
        yield d
    finally:
        d.vanish()
