"""Discovery: one blocking wire, used for a second and closed. Never part of the running bus.

discover() works in this process; discover_in_child() in a short-lived one, so that the real-time process neither
waits in a socket nor keeps what discovery needed. Raises BusError (no answer) or DiscoveryError (the wrong device).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from drivers.base import BusError, DiscoveryError, DriverError, OwnControlError
from drivers.mapfile import load_map
from drivers.modbus.codes import Fault
from drivers.modbus.link import Link, SerialLink, TcpLink, UdpLink
from drivers.modbus.wire import Wire
from drivers.registermap import Plan, plan_from_json, plan_to_json
from drivers.sunspec.chain import RefusedError, fetch, walk
from drivers.sunspec.plan import inverter_plan

READ_HOLDING, WRITE_MULTIPLE = 3, 16
CHILD_START_S = 20.0  # an interpreter on a busy Pi with a slow card
EXCEPTIONS = {
    1: "illegal function", 2: "illegal address", 3: "illegal value", 4: "device failure", 6: "device busy",
    10: "gateway: no path", 11: "gateway: the device behind it does not answer",
}  # fmt: skip
NOTHING_THERE = (1, 2, 3)  # the device itself says so; every other code means that it could not be asked
FAULTS = {
    Fault.TIMEOUT: "no answer in time",
    Fault.SHORT: "half an answer",
    Fault.CLOSED: "the device closed the connection",
    Fault.NOT_CONNECTED: "no connection; check address, port and cabling",
    Fault.NOISE: "the line is never silent; look at its wiring and termination",
    Fault.BAD_CRC: "a wrong CRC; look at baud rate, parity and wiring",
}


class Reader:
    """Reads holding registers of one unit until a deadline. read(address, count) -> words."""

    def __init__(
        self, link: Link, unit: int, timeout_s: float, timeout_ms: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._where = f"{link} unit {unit}"
        self._unit, self._clock, self._deadline = unit, clock, clock() + timeout_s
        self._wire = Wire(link, timeout_ms)

    def close(self) -> None:
        self._wire.close()

    def read(self, address: int, count: int) -> tuple[int, ...]:
        what = f"{self._where}: reading {count} words at {address}"
        if self._clock() > self._deadline:
            raise BusError(f"{what}: no answer in time")
        fault, words = self._wire.read(self._unit, READ_HOLDING, address, count)
        self._check(fault, what)
        return words

    def _check(self, fault: Fault, what: str) -> None:
        if fault is Fault.EXCEPTION:
            code = self._wire.stats().last_exception
            text = f"{what}: exception {code} ({EXCEPTIONS.get(code, 'unknown code')})"
            raise RefusedError(text) if code in NOTHING_THERE else BusError(text)
        if fault is not Fault.OK:
            raise BusError(f"{what}: {FAULTS.get(fault, 'the answer is not for this question; is this Modbus?')}")


class Port(Reader):
    """A Reader that writes holding registers as well. write(address, words)."""

    def write(self, address: int, words: Sequence[int]) -> None:
        what = f"{self._where}: writing {len(words)} words at {address}"
        if self._clock() > self._deadline:
            raise BusError(f"{what}: no answer in time")
        self._check(self._wire.write(self._unit, WRITE_MULTIPLE, address, list(words)), what)


def discover(
    link: Link,
    unit: int,
    reversion_s: int,
    timeout_s: float,
    timeout_ms: int = 300,
    map_name: str = "sunspec-7xx",
    commands_q: bool = True,
) -> Plan:
    """Walk the device's chain and compile its Plan. timeout_s bounds the whole of it; timeout_ms goes into the Plan.

    commands_q: False where reactive power is the inverter's own function.
    """
    layout = load_map(map_name)
    reader = Reader(link, unit, timeout_s, timeout_ms)
    try:
        chain = walk(reader.read)
        words = fetch(reader.read, [m for m in chain.models if m.id in layout.models], layout.max_words)
        return inverter_plan(chain, words, unit, reversion_s, timeout_ms, map_name, commands_q)
    except DiscoveryError as error:
        lines = "\n".join(f"{link} unit {unit}: {line}" for line in str(error).splitlines())
        raise type(error)(lines) from error
    finally:
        reader.close()


def discover_in_child(
    link: Link,
    unit: int,
    reversion_s: int,
    timeout_s: float,
    timeout_ms: int = 300,
    map_name: str = "sunspec-7xx",
    commands_q: bool = True,
) -> Plan:
    """discover() in a process of its own, which is ended when it takes longer than timeout_s and its start."""
    root = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(p for p in (root, os.environ.get("PYTHONPATH")) if p)
    arguments = map(str, (unit, reversion_s, timeout_s, timeout_ms, map_name, int(commands_q)))
    command = [sys.executable, "-m", "drivers.sunspec", link_to_json(link), *arguments]
    environment = {**os.environ, "PYTHONPATH": path}
    where, limit_s = f"{link} unit {unit}", timeout_s + CHILD_START_S
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


LINKS: dict[str, type[Link]] = {"tcp": TcpLink, "udp": UdpLink, "serial": SerialLink}


def link_to_json(link: Link) -> str:
    """How the parent tells its child where the wire leads."""
    kind = next(name for name, one in LINKS.items() if type(link) is one)
    return json.dumps({"kind": kind, **asdict(link)})


def link_from_json(text: str) -> Link:
    data = json.loads(text)
    return LINKS[data.pop("kind")](**data)


# the special ones first: the first that fits is told
DRIVER_ERRORS: dict[str, type[DriverError]] = {OwnControlError.__name__: OwnControlError}
DRIVER_ERRORS |= {c.__name__: c for c in DriverError.__subclasses__()}


def main(arguments: list[str]) -> int:
    """The child: link unit reversion_s timeout_s timeout_ms map commands_q."""
    link, unit, reversion_s, timeout_s, timeout_ms, map_name, commands_q = arguments
    numbers = int(unit), int(reversion_s), float(timeout_s), int(timeout_ms)
    try:
        plan = discover(link_from_json(link), *numbers, map_name, commands_q == "1")
    except DriverError as error:
        kind = next(name for name, c in DRIVER_ERRORS.items() if isinstance(error, c))
        print(json.dumps({"error": kind, "text": str(error)}))
        return 3
    print(plan_to_json(plan))
    return 0
