"""The fault injector: stands between a Modbus master and its devices, on raw sockets or on a serial line, and spoils.

    proxy = TcpProxy({"meter": MeterFace()}, port_of_the_device)     # the master connects to proxy.port
    proxy = SerialProxy({"meter": MeterFace(1), "inverter": InverterFace(2)})   # master: .near, simulator: .far
    proxy.start(); proxy.begin(action); proxy.end(action); proxy.stop()

Threads  one, its own: begin() and end() return when what they ask for is in force, so that its time is the caller's.
Quiet    without a fault every request and answer goes through as it came, a fraction of a millisecond later.
Errors   ProxyError, one line: a fault that this wire cannot have.
"""

from __future__ import annotations

import contextlib
import heapq
import os
import selectors
import socket
import threading
import tty
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count
from random import SystemRandom
from struct import pack
from time import monotonic

from drivers.sim.faultscript import Action
from drivers.sim.faultwords import Face, InverterFace
from drivers.sim.rawframe import Frame, Framing, RtuFraming, TcpFraming, exception, write_request
from drivers.sim.spoil import Standing, spoiled

HOST = "127.0.0.1"
CONNECT_S = 1.0
ANSWER_S = 10.0  # a bound for a broken build, not a figure
BYTES = 4096
PORTS = (10000, 30000)  # below those that Linux takes for connections


class ProxyError(Exception):
    """This wire cannot have this fault: whoever wrote the script must act."""


@dataclass(eq=False, slots=True)
class Pair:
    """One connection through the proxy. near: the master's descriptor, far: the device's; -1: closed."""

    near: int
    far: int
    near_held: bytearray = field(default_factory=bytearray)
    far_held: bytearray = field(default_factory=bytearray)
    asked: dict[int, Frame] = field(default_factory=dict)  # by number: on a serial line the newest alone


class Proxy:
    """What TCP and serial line have in common: faces by target, standing faults, one thread."""

    def __init__(self, faces: Mapping[str, Face], framing: Framing, seed: int) -> None:
        self.thread = threading.Thread(target=self._run, name=f"proxy of {', '.join(faces)}", daemon=True)
        self.faces, self.framing, self.seed = faces, framing, seed
        self.standing: list[Standing] = []
        self.pairs: list[Pair] = []
        self.due: list[tuple[float, int, Pair, bytes]] = []  # a heap; the count keeps the order of equal times
        self.order = count()
        self.stopping = False
        self.selector = selectors.DefaultSelector()
        self.orders: list[Callable[[], None]] = []
        self.woken, self.wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self.selector.register(self.woken, selectors.EVENT_READ, self._take_orders)

    # ---- for the caller ----

    def start(self) -> None:
        """Connections are taken from now on."""
        self.thread.start()

    def begin(self, action: Action) -> None:
        """Put a fault in force, or let happen what happens once."""
        self._refuse_what_cannot_be(action)
        self._order(lambda: self._begin(action))

    def end(self, action: Action) -> None:
        """Mend it. What is late comes all the same."""
        self._order(lambda: self._end(action))

    def stop(self) -> None:
        """Close everything."""
        if self.thread.is_alive():
            self._order(self._stop)
            self.thread.join()

    def _order(self, what: Callable[[], None]) -> None:
        """Done by our own thread, in order; returns when it is done."""
        done = threading.Event()

        def ordered() -> None:
            what()
            done.set()

        self.orders.append(ordered)
        os.write(self.wake, b"o")
        assert done.wait(ANSWER_S), f"{self.thread.name} does not answer"

    # ---- the thread ----

    def _run(self) -> None:
        while not self.stopping:
            wait_s = max(self.due[0][0] - monotonic(), 0.0) if self.due else None
            for key, _ in self.selector.select(wait_s):
                key.data()
            self._send_what_is_due()
        self.selector.close()
        os.close(self.woken)
        os.close(self.wake)

    def _take_orders(self) -> None:
        os.read(self.woken, BYTES)
        while self.orders:
            self.orders.pop(0)()

    def _stop(self) -> None:
        self.stopping = True
        for pair in list(self.pairs):
            self._close(pair)

    def _begin(self, action: Action) -> None:
        self.standing.append(Standing(action, self.faces[action.target], self.seed + len(self.standing)))

    def _end(self, action: Action) -> None:
        self.standing = [fault for fault in self.standing if fault.action is not action]

    def _refuse_what_cannot_be(self, action: Action) -> None:
        if action.target not in self.faces:
            raise ProxyError(f"{action.place}: '{action.text}': no {action.target} on this wire")
        if not self.faces[action.target].has(action.fault):
            raise ProxyError(f"{action.place}: '{action.text}': this {action.target} has no register that shows it")

    # ---- frames ----

    def _join(self, near: int, far: int) -> None:
        """A new pair: what comes from either end is looked at."""
        pair = Pair(near, far)
        self.pairs.append(pair)
        self.selector.register(near, selectors.EVENT_READ, lambda: self._from_near(pair))
        self.selector.register(far, selectors.EVENT_READ, lambda: self._from_far(pair))

    def _from_near(self, pair: Pair) -> None:
        data = received(pair.near)
        if data is None:
            self._close(pair)
            return
        pair.near_held += data
        for request in self.framing.requests(pair.near_held):
            if pair.near >= 0:  # the one before may have been answered with a reset
                self._ask(pair, request)

    def _ask(self, pair: Pair, request: Frame) -> None:
        """To the device, unless a fault stands in the way."""
        for fault in self._met_by(request):
            if fault.fault == "silent":
                return
            if fault.fault == "exception":
                answer = Frame(request.unit, exception(request.function, int(fault.action.value)), request.number)
                self._send(pair, self.framing.pack(answer))
                return
            if fault.fault == "reset":
                self._reset(pair)
                return
        pair.asked[request.number] = request
        if pair.far >= 0:
            sent(pair.far, self.framing.pack(request))

    def _met_by(self, request: Frame) -> list[Standing]:
        """Faults that are about this request. A wire of one device need not look at the unit."""
        alone = len(self.faces) == 1
        return [f for f in self.standing if f.meets(request) and (alone or f.face.unit == request.unit)]

    def _from_far(self, pair: Pair) -> None:
        data = received(pair.far)
        if data is None:
            self._close(pair)
            return
        pair.far_held += data
        for answer in self.framing.answers(pair.far_held):
            request = pair.asked.pop(answer.number, None)
            if request is None:
                continue
            for later_s, raw in spoiled(self._met_by(request), request, answer, self.framing):
                if later_s > 0.0:
                    heapq.heappush(self.due, (monotonic() + later_s, next(self.order), pair, raw))
                else:
                    self._send(pair, raw)

    def _send_what_is_due(self) -> None:
        while self.due and self.due[0][0] <= monotonic():
            _, _, pair, raw = heapq.heappop(self.due)
            self._send(pair, raw)

    def _send(self, pair: Pair, raw: bytes) -> None:
        if pair.near >= 0:
            sent(pair.near, raw)

    # ---- ends of a connection ----

    def _close(self, pair: Pair) -> None:
        self._close_far(pair)
        if pair.near >= 0:
            self._let_go(pair.near)
            pair.near = -1
        if pair in self.pairs:
            self.pairs.remove(pair)

    def _close_far(self, pair: Pair) -> None:
        if pair.far >= 0:
            self._let_go(pair.far)
            pair.far = -1

    def _let_go(self, fd: int) -> None:
        self.selector.unregister(fd)
        os.close(fd)

    def _reset(self, pair: Pair) -> None:
        """As a crashed device does: the master's next call fails."""
        raise NotImplementedError


class TcpProxy(Proxy):
    """In front of a device at host:to. The master connects to `port` of this machine."""

    def __init__(self, faces: Mapping[str, Face], to: int, port: int = 0, seed: int = 1, host: str = HOST) -> None:
        super().__init__(faces, TcpFraming(), seed)
        self.to = (host, to)
        self.listener = listening(port)
        self.port = int(self.listener.getsockname()[1])
        self.selector.register(self.listener, selectors.EVENT_READ, self._accept)

    def _accept(self) -> None:
        near, _ = self.listener.accept()
        try:
            far = socket.create_connection(self.to, CONNECT_S)
        except OSError:  # the device is not there: as if it had refused
            cut(near.detach())
            return
        for one in (near, far):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            one.setblocking(False)
        self._join(near.detach(), far.detach())

    def _begin(self, action: Action) -> None:
        if action.fault == "half_open":
            for pair in self.pairs:
                self._close_far(pair)
        elif action.fault == "overwrite":
            self._overwrite(action)
        else:
            if action.fault == "refuse":
                self._refuse()
            super()._begin(action)

    def _end(self, action: Action) -> None:
        super()._end(action)
        if action.fault == "refuse" and not any(fault.fault == "refuse" for fault in self.standing):
            self.listener.listen()
            self.selector.register(self.listener, selectors.EVENT_READ, self._accept)

    def _refuse(self) -> None:
        """Listen no more, but keep the port: nobody else shall answer there."""
        if self.listener in self.selector.get_map():
            self.selector.unregister(self.listener)
            self.listener.shutdown(socket.SHUT_RD)
        for pair in list(self.pairs):
            self._reset(pair)

    def _overwrite(self, action: Action) -> None:
        face = self.faces[action.target]
        assert isinstance(face, InverterFace)
        request = Frame(face.unit, write_request(*face.set_point(action.value)), 1)
        with contextlib.suppress(OSError), socket.create_connection(self.to, CONNECT_S) as other:
            other.sendall(self.framing.pack(request))
            other.recv(BYTES)

    def _reset(self, pair: Pair) -> None:
        near, pair.near = pair.near, -1
        self.selector.unregister(near)
        cut(near)
        self._close(pair)

    def _stop(self) -> None:
        super()._stop()
        if self.listener in self.selector.get_map():
            self.selector.unregister(self.listener)
        self.listener.close()


class SerialProxy(Proxy):
    """Two terminals joined like the ends of a cable: the master opens `near`, the simulator `far`."""

    def __init__(self, faces: Mapping[str, Face], seed: int = 1) -> None:
        super().__init__(faces, RtuFraming(), seed)
        (near, self._near_end), (far, self._far_end) = os.openpty(), os.openpty()
        for end in (self._near_end, self._far_end):  # kept open: the line outlives whoever opens and closes it
            tty.setraw(end)
        self.near, self.far = os.ttyname(self._near_end), os.ttyname(self._far_end)
        for fd in (near, far):
            os.set_blocking(fd, False)
        self._join(near, far)

    def _refuse_what_cannot_be(self, action: Action) -> None:
        super()._refuse_what_cannot_be(action)
        if action.verb.tcp_only:
            raise ProxyError(f"{action.place}: '{action.text}' needs Modbus TCP; this wire is serial")

    def _stop(self) -> None:
        super()._stop()
        os.close(self._near_end)
        os.close(self._far_end)


def free_port() -> int:
    """One that the system gives to nobody by itself: it stays free for a server that is started anew.

    A port asked for by its number stays ours while nobody listens on it, too; one that the system chose does not.
    """
    while True:
        port = SystemRandom().randrange(*PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((HOST, port))
            return port


def listening(port: int) -> socket.socket:
    """On this port; 0: on any, which somebody else may take while we try."""
    while port == 0:
        with contextlib.suppress(OSError):
            return socket.create_server((HOST, free_port()))
    return socket.create_server((HOST, port))


def received(fd: int) -> bytes | None:
    """What is there; None when the other end is gone."""
    try:
        return os.read(fd, BYTES) or None
    except BlockingIOError:
        return b""
    except OSError:
        return None


def sent(fd: int, raw: bytes) -> None:
    """Frames are far smaller than any buffer: what does not fit or has nobody to go to is lost, as on a wire."""
    with contextlib.suppress(OSError):
        os.write(fd, raw)


def cut(fd: int) -> None:
    """Close a TCP connection with a reset."""
    with socket.socket(fileno=fd) as ending:
        ending.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, pack("ii", 1, 0))
