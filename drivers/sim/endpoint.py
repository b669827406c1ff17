"""Where the simulator's registers are served: Modbus TCP or UDP on a port, or Modbus RTU on a serial line.

All      several devices behind one endpoint.
RTU      ids that nobody here has are left to others on the line.
Errors   StartError, one line: a busy port, a serial port that cannot be opened.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from pymodbus.pdu import ModbusPDU
from pymodbus.server import ModbusSerialServer, ModbusTcpServer, ModbusUdpServer
from pymodbus.server.base import ModbusBaseServer
from pymodbus.simulator import SimDevice


class StartError(Exception):
    """The process cannot start: whoever wrote the command line must act."""


class Endpoint(Protocol):
    """What serve() of process.py needs of each kind."""

    def server(self, devices: Sequence[SimDevice]) -> ModbusBaseServer:
        """Not listening yet. Call it inside the event loop."""
        ...

    def found(self, server: ModbusBaseServer, /) -> str:
        """Where it listens, for whoever wants to connect."""
        ...

    def refused(self, reason: str) -> StartError:
        """In one line, with what is allowed."""
        ...


@dataclass(frozen=True, slots=True)
class TcpEndpoint:
    host: str
    port: int  # 0: any free one

    def server(self, devices: Sequence[SimDevice]) -> ModbusBaseServer:
        self.must_be_free()
        return ModbusTcpServer(list(devices), address=(self.host, self.port))

    def found(self, server: ModbusBaseServer, /) -> str:
        listener = server.transport
        assert isinstance(listener, asyncio.Server)
        return str(listener.sockets[0].getsockname()[1])

    def must_be_free(self) -> None:
        """pymodbus swallows the reason why it cannot listen: ask first."""
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((self.host, self.port))
                probe.listen()
            except OSError as error:
                raise self.refused(str(error.strerror)) from None

    def refused(self, reason: str) -> StartError:
        return StartError(f"{self.host}:{self.port}: {reason}; allowed: a free --port, or 0 for any")


@dataclass(frozen=True, slots=True)
class UdpEndpoint(TcpEndpoint):
    """The same frames in datagrams."""

    def server(self, devices: Sequence[SimDevice]) -> ModbusBaseServer:
        self.must_be_free()
        return ModbusUdpServer(list(devices), address=(self.host, self.port))

    def found(self, server: ModbusBaseServer, /) -> str:
        return str(server.transport.get_extra_info("sockname")[1])

    def must_be_free(self) -> None:
        with socket.socket(type=socket.SOCK_DGRAM) as probe:
            try:
                probe.bind((self.host, self.port))
            except OSError as error:
                raise self.refused(str(error.strerror)) from None


@dataclass(frozen=True, slots=True)
class SerialEndpoint:
    path: str
    baud: int
    parity: str
    stop_bits: int

    def server(self, devices: Sequence[SimDevice]) -> ModbusSerialServer:
        self.must_open()
        ours = {device.id for device in devices}
        return ModbusSerialServer(
            list(devices),
            port=self.path,
            baudrate=self.baud,
            parity=self.parity,
            stopbits=self.stop_bits,
            trace_pdu=deaf_but_to(ours),
        )

    def found(self, _server: ModbusBaseServer, /) -> str:
        return self.path

    def must_open(self) -> None:
        try:
            os.close(os.open(self.path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK))
        except OSError as error:
            raise self.refused(str(error.strerror)) from None

    def refused(self, reason: str) -> StartError:
        return StartError(f"{self.path}: {reason}; allowed: a --serial port that is there and that nobody else uses")


def deaf_but_to(units: set[int]) -> Callable[[bool, ModbusPDU], ModbusPDU]:
    """A trace for pymodbus that loses the requests for all other units."""

    def trace(sending: bool, pdu: ModbusPDU) -> ModbusPDU:
        return pdu if sending or pdu.dev_id in units else None  # type: ignore[return-value]  # None: there was no request

    return trace
