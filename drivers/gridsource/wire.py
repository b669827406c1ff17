"""The wire to a grid simulator: lines of text over a TCP socket, a serial port or PyVISA. Every call has a deadline.

Address  tcp://192.168.1.10:5025, serial:///dev/ttyUSB0?baud=115200, or a VISA resource like GPIB0::1::INSTR (needs the
         extra `bench`: pyvisa, imported only then).
Errors   SourceError names the address, what was sent and what came back. After one the link is closed, so that a late
         answer is never taken for the next one's; the following call opens it again.
"""

from __future__ import annotations

import re
import socket
import termios
from abc import ABC, abstractmethod
from time import monotonic
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

from drivers.gridsource.point import SourceError

TIMEOUT_S = 1.0  # of one answer: AMETEK holds the bus for up to 1 s while the output relay opens (7004-981, PONS:REL)
MAX_ANSWER = 4096  # bytes; SYST:ERR? has 255 at most (SCPI-99, 21.8)
ALLOWED = "tcp://HOST:PORT, serial:///dev/NAME?baud=9600, or a VISA resource such as TCPIP0::HOST::inst0::INSTR"
VISA = re.compile(r"[A-Za-z]+[0-9]*::.+")


class Wire(ABC):
    """One owner at a time. write() sends a line; ask() sends one and returns the line that answers it."""

    ERRORS: ClassVar[tuple[type[Exception], ...]] = (OSError, ValueError, termios.error)

    def __init__(self, address: str, timeout_s: float = TIMEOUT_S) -> None:
        self.address, self.timeout_s = address, timeout_s

    def write(self, line: str) -> None:
        self._told(line, answered=False)

    def ask(self, line: str) -> str:
        return self._told(line, answered=True)

    def _told(self, line: str, answered: bool) -> str:
        try:
            self._write(line)
            return self._read().strip() if answered else ""
        except SourceError:
            raise
        except self.ERRORS as error:
            self.close()
            reason = " ".join(str(error).split()) or type(error).__name__
            raise SourceError(f"{self.address}: '{line}': {reason}") from None

    @abstractmethod
    def _write(self, line: str) -> None: ...

    @abstractmethod
    def _read(self) -> str: ...

    @abstractmethod
    def close(self) -> None:
        """The next call opens it again."""


class ByteWire(Wire):
    """What a TCP socket and a serial port have in common: a stream of bytes, cut into lines here."""

    def _write(self, line: str) -> None:
        deadline = monotonic() + self.timeout_s
        self._open()
        left_over = self._receive(0.0)
        if left_over:
            raise ValueError(f"there was {told(left_over)} before anything was asked")
        self._send(line.encode("ascii") + b"\n", deadline)

    def _read(self) -> str:
        deadline, found = monotonic() + self.timeout_s, b""
        while b"\n" not in found:
            left_s = deadline - monotonic()
            if left_s <= 0.0:
                raise ValueError(f"{told(found)} and no end of line within {self.timeout_s:g} s")
            found += self._receive(left_s)
            if len(found) > MAX_ANSWER:
                raise ValueError(f"more than {MAX_ANSWER} bytes without an end")
        line, _, more = found.partition(b"\n")
        if more:
            raise ValueError(f"{told(line)} and then {told(more)}: one line was asked for")
        return line.decode("ascii")  # UnicodeDecodeError is a ValueError

    @abstractmethod
    def _open(self) -> None:
        """If it is not open yet."""

    @abstractmethod
    def _send(self, raw: bytes, deadline: float) -> None: ...

    @abstractmethod
    def _receive(self, wait_s: float) -> bytes:
        """What is there, waiting so long for the first byte; empty: nothing. OSError: the other side has hung up."""


class TcpWire(ByteWire):
    """A raw socket, as most grid simulators offer on port 5025."""

    def __init__(self, address: str, host: str, port: int, timeout_s: float = TIMEOUT_S) -> None:
        super().__init__(address, timeout_s)
        self._to = (host, port)
        self._socket: socket.socket | None = None

    def _open(self) -> None:
        if self._socket is None:
            self._socket = socket.create_connection(self._to, self.timeout_s)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def _send(self, raw: bytes, deadline: float) -> None:
        assert self._socket is not None
        self._socket.settimeout(max(deadline - monotonic(), 0.001))
        self._socket.sendall(raw)

    def _receive(self, wait_s: float) -> bytes:
        assert self._socket is not None
        self._socket.settimeout(wait_s)
        try:
            found = self._socket.recv(MAX_ANSWER)
        except (BlockingIOError, TimeoutError):
            return b""
        if not found:
            raise ConnectionError("the source has closed the connection")
        return found

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class SerialWire(ByteWire):
    """8 data bits, no parity, 1 stop bit, as grid simulators have it."""

    def __init__(self, address: str, path: str, baud: int, timeout_s: float = TIMEOUT_S) -> None:
        super().__init__(address, timeout_s)
        self._path, self._baud = path, baud
        self._port: Any = None

    def _open(self) -> None:
        import serial  # its SerialException is an OSError

        if self._port is None:
            self._port = serial.Serial(self._path, self._baud, exclusive=True)

    def _send(self, raw: bytes, deadline: float) -> None:
        self._port.write_timeout = max(deadline - monotonic(), 0.001)
        self._port.write(raw)

    def _receive(self, wait_s: float) -> bytes:
        self._port.timeout = wait_s
        return bytes(self._port.read(max(self._port.in_waiting, 1)))

    def close(self) -> None:
        if self._port is not None:
            self._port.close()
            self._port = None


class VisaWire(Wire):
    """GPIB, USB, VXI-11: whatever PyVISA reaches. library: '' for the installed VISA, '@py' for pyvisa-py."""

    ERRORS = (Exception,)  # VisaIOError is no OSError, and each backend raises others of its own

    def __init__(self, address: str, timeout_s: float = TIMEOUT_S, library: str = "") -> None:
        super().__init__(address, timeout_s)
        self._library = library
        self._resource: Any = None

    def _opened(self) -> Any:
        if self._resource is None:
            try:
                import pyvisa
            except ImportError:
                raise SourceError(
                    f"{self.address} needs PyVISA: pip install 'v2g-controller[bench]'; without it: tcp:// or serial://"
                ) from None
            self._resource = pyvisa.ResourceManager(self._library).open_resource(
                self.address, read_termination="\n", write_termination="\n"
            )
            self._resource.timeout = self.timeout_s * 1000.0
        return self._resource

    def _write(self, line: str) -> None:
        self._opened().write(line)

    def _read(self) -> str:
        return str(self._opened().read())

    def close(self) -> None:
        if self._resource is not None:
            self._resource.close()
            self._resource = None


def told(raw: bytes) -> str:
    return f"the answer {raw[:80].decode('ascii', 'replace')!r}" if raw else "no answer"


def wire_of(address: str, timeout_s: float = TIMEOUT_S, visa_library: str = "") -> Wire:
    """The wire an address names; not open yet. SourceError: no such address."""
    if VISA.fullmatch(address):
        return VisaWire(address, timeout_s, visa_library)
    try:
        parts = urlsplit(address)
        if parts.scheme == "tcp" and parts.hostname and parts.port:
            return TcpWire(address, parts.hostname, parts.port, timeout_s)
        if parts.scheme == "serial" and parts.path:
            return SerialWire(address, parts.path, int(parse_qs(parts.query).get("baud", ["9600"])[0]), timeout_s)
    except ValueError:
        pass
    raise SourceError(f"address = {address}; allowed: {ALLOWED}")
