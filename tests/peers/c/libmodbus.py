"""Debian's libmodbus as a slave, a master and a whole controller: the C programs of this folder seen from Python.

Times    ns.
Errors   NotHereError of build.py, CommandError of program.py.
"""

from __future__ import annotations

from pathlib import Path
from time import CLOCK_MONOTONIC

from tests.peers.c.build import built
from tests.peers.c.program import CommandError, Program

UNIT = 1
WORDS = 1000  # registers of a server; each holds its own address at first
FREQUENCY, SETPOINT = 0, 100  # where a reaction is measured


class Server(Program):
    """A slave over TCP, or with a `link` over RTU on a terminal of that name. quick: see the C file."""

    def __init__(self, link: Path | None = None, *, priority: int = 0, quick: bool = False) -> None:
        how = ("tcp",) if link is None else ("rtu", link)
        super().__init__("modbus_server", built("modbus_server"), priority, UNIT, *how, *(("quick",) if quick else ()))
        self.port = int(self.ready.split()[1])

    def word(self, address: int, value: int) -> None:
        self.ask(f"word {address} {value}")

    def words(self, address: int, count: int) -> tuple[int, ...]:
        return tuple(self.numbers(f"words {address} {count}"))

    def react(self, times: int, period_us: int, periods: int, low: int, high: int) -> list[int]:
        """From each change of FREQUENCY to the SETPOINT that follows it; see the C file."""
        found = self.numbers(f"react {times} {period_us} {periods} {FREQUENCY} {low} {high} {SETPOINT}")
        if -1 in found:
            raise CommandError(f"{found.count(-1)} of {times} changes were never followed by a set-point")
        return found


class Client(Program):
    """A master of a Server: input registers from 0 on."""

    def __init__(self, port_or_path: int | Path) -> None:
        kind = "tcp" if isinstance(port_or_path, int) else "rtu"
        super().__init__("modbus_client", built("modbus_client"), UNIT, kind, port_or_path)

    def read(
        self, count: int, times: int, rest_us: int = 0, clock: int = CLOCK_MONOTONIC
    ) -> tuple[list[int], list[int]]:
        """The words of the last read, and how long each took; a rest before each is not in its time."""
        words = self.numbers(f"read {count} {times} {rest_us} {clock}")
        return words, [int(taken_ns) for taken_ns in self.line().split()]


def controller(port: int, period_us: int, priority: int = 80) -> Program:
    """Each period: read FREQUENCY (mHz), compute, write SETPOINT (W)."""
    return Program("modbus_loop", built("modbus_loop"), priority, UNIT, port, period_us, FREQUENCY, SETPOINT)
