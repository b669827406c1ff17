"""Discovery over Modbus TCP: one blocking connection, used for a second and closed. Never part of the running bus.

discover() works in this process; discover_in_child() in a short-lived one, so that the real-time process neither
waits in a socket nor keeps what discovery needed. Raises BusError (no answer) or DiscoveryError (the wrong device).
Source: Modbus Messaging on TCP/IP Implementation Guide v1.0b, section 3.1 (MBAP header).
"""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from drivers.base import BusError, DiscoveryError, DriverError
from drivers.mapfile import load_map
from drivers.registermap import Plan, plan_from_json, plan_to_json
from drivers.sunspec.chain import RefusedError, fetch, walk
from drivers.sunspec.plan import inverter_plan

READ_HOLDING = 3
CHILD_START_S = 20.0  # an interpreter on a busy Pi with a slow card
EXCEPTIONS = {
    1: "illegal function", 2: "illegal address", 3: "illegal value", 4: "device failure", 6: "device busy",
    10: "gateway: no path", 11: "gateway: the device behind it does not answer",
}  # fmt: skip
NOTHING_THERE = (1, 2, 3)  # the device itself says so; every other code means that it could not be asked


class TcpReader:
    """Reads holding registers of one unit until a deadline. read(address, count) -> words."""

    def __init__(self, host: str, port: int, unit: int, timeout_s: float, clock: Callable[[], float] = time.monotonic):
        self._where = f"{host}:{port} unit {unit}"
        self._unit, self._clock, self._deadline, self._timeout_s = unit, clock, clock() + timeout_s, timeout_s
        self._transaction = 0
        try:
            self._socket = socket.create_connection((host, port), timeout_s)
        except OSError as error:
            raise BusError(
                f"{host}:{port}: no connection: {_reason(error)}; check address, port and cabling"
            ) from error

    def close(self) -> None:
        self._socket.close()

    def read(self, address: int, count: int) -> tuple[int, ...]:
        self._transaction = self._transaction % 0xFFFF + 1
        pdu = struct.pack(">BHH", READ_HOLDING, address, count)
        head = struct.pack(">HHHB", self._transaction, 0, len(pdu) + 1, self._unit)
        try:
            self._arm()
            self._socket.sendall(head + pdu)
            return self._answer(address, count)
        except OSError as error:
            raise BusError(f"{self._where}: reading {count} words at {address}: {_reason(error)}") from error

    def _answer(self, address: int, count: int) -> tuple[int, ...]:
        transaction, protocol, length, unit = struct.unpack(">HHHB", self._exactly(7))
        if (transaction, protocol, unit) != (self._transaction, 0, self._unit) or not 3 <= length <= 254:
            raise BusError(
                f"{self._where}: reading at {address}: the answer is not for this question; is this Modbus TCP?"
            )
        body = self._exactly(length - 1)
        if body[0] == READ_HOLDING | 0x80:
            name = EXCEPTIONS.get(body[1], "unknown code")
            text = f"{self._where}: reading {count} words at {address}: exception {body[1]} ({name})"
            raise RefusedError(text) if body[1] in NOTHING_THERE else BusError(text)
        if body[0] != READ_HOLDING or body[1] != 2 * count or len(body) != 2 + 2 * count:
            raise BusError(f"{self._where}: reading {count} words at {address}: a garbled answer of {len(body)} bytes")
        return struct.unpack(f">{count}H", body[2:])

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            self._arm()
            piece = self._socket.recv(size - len(data))
            if not piece:
                raise ConnectionError("the device closed the connection")
            data += piece
        return data

    def _arm(self) -> None:
        """The time that is left bounds every single wait, so that all of them together keep the deadline."""
        left = self._deadline - self._clock()
        if left <= 0:
            raise TimeoutError
        self._socket.settimeout(left)


def _reason(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return error.strerror or str(error) or type(error).__name__


def discover(
    host: str,
    port: int,
    unit: int,
    reversion_s: int,
    timeout_s: float,
    timeout_ms: int = 300,
    map_name: str = "sunspec-7xx",
) -> Plan:
    """Walk the device's chain and compile its Plan. timeout_s bounds the whole of it; timeout_ms goes into the Plan."""
    layout = load_map(map_name)
    reader = TcpReader(host, port, unit, timeout_s)
    try:
        chain = walk(reader.read)
        words = fetch(reader.read, [m for m in chain.models if m.id in layout.models], layout.max_words)
        return inverter_plan(chain, words, unit, reversion_s, timeout_ms, map_name)
    except DiscoveryError as error:
        lines = "\n".join(f"{host}:{port} unit {unit}: {line}" for line in str(error).splitlines())
        raise DiscoveryError(lines) from error
    finally:
        reader.close()


def discover_in_child(
    host: str,
    port: int,
    unit: int,
    reversion_s: int,
    timeout_s: float,
    timeout_ms: int = 300,
    map_name: str = "sunspec-7xx",
) -> Plan:
    """discover() in a process of its own, which is ended when it takes longer than timeout_s and its start."""
    root = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(p for p in (root, os.environ.get("PYTHONPATH")) if p)
    arguments = [host, *map(str, (port, unit, reversion_s, timeout_s, timeout_ms)), map_name]
    command = [sys.executable, "-m", "drivers.sunspec", *arguments]
    environment = {**os.environ, "PYTHONPATH": path}
    where, limit_s = f"{host}:{port} unit {unit}", timeout_s + CHILD_START_S
    try:
        child = subprocess.run(command, capture_output=True, text=True, timeout=limit_s, env=environment)
    except subprocess.TimeoutExpired as error:
        raise BusError(f"{where}: discovery took longer than {limit_s:g} s and was ended") from error
    return _result(child, where)


def _result(child: subprocess.CompletedProcess[str], where: str) -> Plan:
    """The child prints one JSON line: a plan, or {"error": class, "text": …}."""
    try:
        data = json.loads(child.stdout)
        if "error" not in data:
            return plan_from_json(child.stdout)
        kind, text = DRIVER_ERRORS[data["error"]], str(data["text"])
    except (ValueError, KeyError, TypeError) as error:
        last = (child.stderr.strip().splitlines() or ["nothing on stderr"])[-1]
        raise DiscoveryError(
            f"{where}: the discovery process failed with exit code {child.returncode}: {last}"
        ) from error
    raise kind(text)


DRIVER_ERRORS: dict[str, type[DriverError]] = {c.__name__: c for c in DriverError.__subclasses__()}


def main(arguments: list[str]) -> int:
    """The child: host port unit reversion_s timeout_s timeout_ms map."""
    host, port, unit, reversion_s, timeout_s, timeout_ms, map_name = arguments
    try:
        plan = discover(host, int(port), int(unit), int(reversion_s), float(timeout_s), int(timeout_ms), map_name)
    except DriverError as error:
        kind = next(name for name, c in DRIVER_ERRORS.items() if isinstance(error, c))
        print(json.dumps({"error": kind, "text": str(error)}))
        return 3
    print(plan_to_json(plan))
    return 0
