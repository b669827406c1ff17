"""Which known device answers, on a serial line, at an address, in a network: read by functions 3 and 4, never written.

Load     one connection to a host at a time, REST_MS between two questions, FEW hosts of a network at once.
Order    a serial line: the usual baud rates and parities until somebody answers; all devices of a line share one.
         A host: Modbus TCP, then Modbus over UDP. A unit that is silent gets two questions, a second chance with each.
Bounds   longest_s() is the time it takes when nobody answers; whoever answers adds seconds.
Errors   InputError: what was asked for. BusError: a port that cannot be opened, a name without an address.
"""

from __future__ import annotations

import ipaddress
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from controller.errors import InputError
from controller.scanmaps import identify
from controller.scanunit import Found, NobodyError, Unit, known_maps
from drivers.base import BusError
from drivers.can.link import CanLink
from drivers.modbus.codes import Fault
from drivers.modbus.link import Link, SerialLink, TcpLink, UdpLink
from drivers.modbus.serial_port import LineError, port_names
from drivers.modbus.wire import Wire, resolve
from drivers.sunspec.chain import RefusedError
from drivers.sunspec.wire import FAULTS

PORT = 502
TCP_TIMEOUT_MS, SERIAL_TIMEOUT_MS, REST_MS = 500, 200, 50
TRIES = 2  # of drivers.modbus.wire, for each question
FEW = 32
MOST_HOSTS = 1024
NO_PATH, NOBODY_BEHIND = 10, 11  # exceptions of a gateway: about a unit that is not there
SERIAL_UNITS = tuple(range(1, 11))
# as delivered: 71 Kostal, 100 and 227 ... 246 Victron GX, 126 SMA's SunSpec and Siemens, 200 and 240 Fronius meters,
# 247 Sigenergy
TCP_UNITS = (*range(1, 11), 71, 100, 126, 200, 227, 228, 240, 242, 246, 247)
# (baud, parity), the likeliest first; a second stop bit changes nothing for who listens
LINES = (
    (9600, "N"), (19200, "E"), (9600, "E"), (19200, "N"), (115200, "N"), (38400, "N"), (2400, "N"), (57600, "N"),
    (4800, "N"), (38400, "E"), (115200, "E"), (2400, "E"), (57600, "E"), (4800, "E"), (1200, "N"), (1200, "E"),
    (9600, "O"), (19200, "O"),
)  # fmt: skip
PRESENCE = ((3, 40000, 2), (4, 0, 2))  # "SunS", and the first value of most meters on serial lines
QUESTION_CHARS, ANSWER_CHARS, SILENCES = 8, 9, 3  # of PRESENCE on a serial line

Progress = Callable[[int, int], None]


class Asker(Protocol):
    """One open wire; see scanunit.Ask."""

    def __call__(self, unit: int, function: int, address: int, count: int, /) -> tuple[int, ...]: ...

    def close(self) -> None: ...


Open = Callable[[Link], Asker]


@dataclass(frozen=True, slots=True)
class Place:
    """A find and the wire it was found on."""

    link: Link | CanLink
    found: Found


class WireAsker:
    """Modbus through the controller's own wire, which here can read and nothing else."""

    def __init__(self, link: Link, stop: threading.Event) -> None:
        self.link, self.stop = link, stop
        self.timeout_ms = SERIAL_TIMEOUT_MS if isinstance(link, SerialLink) else TCP_TIMEOUT_MS
        try:
            self.wire = Wire(link, self.timeout_ms, REST_MS)
        except LineError as error:  # not every adapter has every rate and parity
            raise NobodyError(str(error)) from None

    def __call__(self, unit: int, function: int, address: int, count: int, /) -> tuple[int, ...]:
        if self.stop.is_set():
            raise NobodyError("stopped")
        fault, words = self.wire.read(unit, function, address, count)
        if fault is Fault.OK:
            return words
        if fault is Fault.NOT_CONNECTED:
            raise NobodyError(FAULTS[fault])
        if fault is not Fault.EXCEPTION:
            self._anew()
            raise BusError(FAULTS.get(fault, "the answer is not for this question"))
        code = self.wire.stats().last_exception
        if code in (NO_PATH, NOBODY_BEHIND):
            raise BusError("the gateway has no such unit")
        raise RefusedError(f"exception {code}")

    def _anew(self) -> None:
        """A wire waits ever longer to connect again while nobody answers; one silent unit is no reason to."""
        if not isinstance(self.link, SerialLink):
            self.close()
            self.wire = Wire(self.link, self.timeout_ms, REST_MS)

    def close(self) -> None:
        self.wire.close()


# ---- what was asked for ----


def units_of(text: str | None, serial: bool) -> tuple[int, ...]:
    """`1-10,126` -> unit ids in this order; None: the usual ones."""
    low, high = (1, 247) if serial else (0, 255)
    if text is None:
        return SERIAL_UNITS if serial else TCP_UNITS
    units: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,3})(?:-(\d{1,3}))?\s*", part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if not low <= first <= last <= high:
            raise InputError(
                f"v2g scan: --units {text}: '{part}' is no unit or range of {low} ... {high}, like 1-10,126"
            )
        units += [u for u in range(first, last + 1) if u not in units]
    return tuple(units)


def host_of(text: str) -> TcpLink:
    """ADDRESS[:PORT]. BusError: a name without an address."""
    host, port = split_port("--host", text)
    resolve(host, port)
    return TcpLink(host, port)


def hosts_of(text: str) -> list[TcpLink]:
    """The addresses of a private network, NETWORK[:PORT]."""
    name, port = split_port("--network", text)
    try:
        network = ipaddress.IPv4Network(name, strict=False)
    except ValueError:
        raise InputError(f"v2g scan: --network {text} is no IPv4 network; like 192.168.1.0/24") from None
    if not network.is_private:
        raise InputError(f"v2g scan: --network {text} is not a private network; only your own house is searched")
    if network.num_addresses > MOST_HOSTS:
        raise InputError(
            f"v2g scan: --network {text} has {network.num_addresses} addresses; at most {MOST_HOSTS} (/22)"
        )
    return [TcpLink(str(address), port) for address in network.hosts()]


def split_port(option: str, text: str) -> tuple[str, int]:
    name, colon, port = text.partition(":")
    if not name or (colon and not (port.isdecimal() and 1 <= int(port) <= 65535)):
        raise InputError(f"v2g scan: {option} {text}: ADDRESS or ADDRESS:PORT, the port 1 ... 65535")
    return name, int(port) if colon else PORT


def port_of(path: str) -> str:
    """A serial port that is there."""
    if not Path(path).is_char_device():
        names = ", ".join(port_names()) or "none"
        raise InputError(f"v2g scan: --serial {path} is no serial port; ports of this machine: {names}")
    return path


# ---- the scan ----


def lines_of(path: str) -> list[SerialLink]:
    return [SerialLink(path, baud, parity) for baud, parity in LINES]


def scan_serial(path: str, units: Sequence[int], open_link: Open, progress: Progress) -> list[Place]:
    """Everybody on this line; the first settings that bring an answer are the line's."""
    lines = lines_of(path)
    for number, link in enumerate(lines):
        found = scan_link(link, units, open_link)
        if found:
            return found
        progress(number + 1, len(lines))
    return []


def scan_host(host: TcpLink, units: Sequence[int], open_link: Open) -> list[Place]:
    """Everybody behind this address."""
    udp = UdpLink(host.host, host.port)
    return scan_link(host, units, open_link) or scan_link(udp, units[:1], open_link)


def scan_hosts(hosts: Iterable[TcpLink], units: Sequence[int], open_link: Open, progress: Progress) -> list[Place]:
    """FEW of them at a time, in the order of their addresses."""
    pool = ThreadPoolExecutor(FEW)
    known_maps("meter"), known_maps("inverter")  # read once, before there are threads
    jobs = [pool.submit(scan_host, host, units, open_link) for host in hosts]
    try:
        for done, _ in enumerate(as_completed(jobs), 1):
            progress(done, len(jobs))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return [place for job in jobs for place in job.result()]


def scan_link(link: Link, units: Sequence[int], open_link: Open) -> list[Place]:
    """Everybody on this wire. Where nobody is at the other end the units need not be asked one by one."""
    places: list[Place] = []
    with suppress(NobodyError), closing(open_link(link)) as ask:
        for unit in present(ask, link, units):
            places += [Place(link, found) for found in identify(unit)]
            if not isinstance(link, SerialLink) and is_everybody(ask, unit, units):
                break
    return places


def questions_of(link: Link) -> tuple[tuple[int, int, int], ...]:
    """(function, address, count) that make somebody answer, with words or with an exception."""
    if not isinstance(link, UdpLink):
        return PRESENCE
    frequencies = [m.registers["f_hz"] for _, m in known_maps("meter") if m.udp]
    return tuple((r.function, r.at, 1) for r in frequencies)


def present(ask: Asker, link: Link, units: Sequence[int]) -> Iterator[Unit]:
    """The units that answer at all. One question goes to all of them before the next: after a time-out the unit itself
    would have to be left alone for a while."""
    silent = list(units)
    for function, address, count in questions_of(link):
        for number in tuple(silent):
            unit = Unit(ask, number)
            unit.words(function, address, count)
            if not unit.silences:
                silent.remove(number)
                yield unit


def is_everybody(ask: Asker, unit: Unit, units: Sequence[int]) -> bool:
    """Whether a unit that nobody asked for gives the same kind of answer: many devices with TCP do not look at it."""
    question = unit.answered()
    other = next((u for u in range(199, 0, -1) if u not in units), None)
    return question is not None and other is not None and Unit(ask, other).words(*question[1:]) is not None


# ---- how long it may take ----


def longest_s(link: Link, units: int) -> float:
    """The time of a scan of this wire where nobody answers."""
    if isinstance(link, SerialLink):
        chars_s = (QUESTION_CHARS + ANSWER_CHARS) * link.char_ns / 1e9 + SILENCES * link.silence_ns / 1e9
        one_s = chars_s + (SERIAL_TIMEOUT_MS + REST_MS) / 1000
    else:
        one_s = (TCP_TIMEOUT_MS + REST_MS) / 1000
    return units * len(questions_of(link)) * TRIES * one_s
