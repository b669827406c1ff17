"""A serial line of slaves at its real pace, for tests: paced_pty.c seen from Python.

Line       what a line's settings cost: seconds for a character, a silence, a whole transaction.
PacedPty   the running program. Its path is what a master opens. What a fault is: see the C file.
Errors     NotHereError of build.py, CommandError of program.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tests.peers.c.build import built
from tests.peers.c.program import Program

Kind = Literal["silent", "crc", "cut", "garbage", "late", "unit", "babble", "exception"]
ALWAYS = -1


@dataclass(frozen=True, slots=True)
class Line:
    """A line's settings and the time they cost. Source: Modbus over Serial Line v1.02, 2.5.1.1."""

    baud: int = 9600
    parity: str = "N"
    stop_bits: int = 1

    @property
    def character_bits(self) -> int:
        return 9 + (self.parity != "N") + self.stop_bits

    @property
    def character_s(self) -> float:
        return self.character_bits / self.baud

    @property
    def silence_s(self) -> float:
        return 0.00175 if self.baud > 19200 else 3.5 * self.character_s

    def cycle_s(self, request_bytes: int, reply_bytes: int, turnaround_s: float = 0.0) -> float:
        """A silence, the request, a silence, the turnaround, the reply: no master can be quicker."""
        return (request_bytes + reply_bytes) * self.character_s + 2.0 * self.silence_s + turnaround_s

    def read_s(self, words: int, turnaround_s: float = 0.0) -> float:
        """Functions 3 and 4."""
        return self.cycle_s(8, 5 + 2 * words, turnaround_s)

    def write_s(self, words: int, turnaround_s: float = 0.0) -> float:
        """Function 16."""
        return self.cycle_s(9 + 2 * words, 8, turnaround_s)


@dataclass(frozen=True, slots=True)
class Stats:
    """What the line has seen so far; names as in the C file. reads and writes: answered, by unit."""

    requests: int
    replies: int
    early: int
    collisions: int
    bad: int
    gap_min_ns: int
    lost_ns: int
    reads: dict[int, int]
    writes: dict[int, int]


class PacedPty(Program):
    """One running line; its terminal is `folder`/line. Each call returns when the program has done it."""

    def __init__(
        self, folder: Path, line: Line = Line(), *, units: Sequence[int] = (1,), turnaround_us: int = 0
    ) -> None:
        self.path = folder / "line"
        ids = ",".join(str(u) for u in units)
        super().__init__("paced_pty", built("paced_pty"), self.path, line.baud, line.character_bits, turnaround_us, ids)

    def word(self, unit: int, address: int, value: int) -> None:
        self.ask(f"word {unit} {address} {value}")

    def words(self, unit: int, address: int, count: int) -> tuple[int, ...]:
        return tuple(self.numbers(f"words {unit} {address} {count}"))

    def turnaround(self, turnaround_us: int) -> None:
        self.ask(f"turnaround {turnaround_us}")

    def fault(self, unit: int, kind: Kind, times: int = ALWAYS, value: int = 0) -> None:
        """The unit's next replies; times 0: none any more."""
        self.ask(f"fault {unit} {kind} {times} {value}")

    def noise(self, count: int) -> None:
        """Bytes that nobody asked for."""
        self.ask(f"noise {count}")

    def stats(self) -> Stats:
        named = dict(pair.split("=") for pair in self.ask("stats").split())
        by_unit: dict[str, dict[int, int]] = {"reads": {}, "writes": {}}
        plain: dict[str, int] = {}
        for name, value in named.items():
            kind, _, unit = name.partition("_")
            if kind in by_unit:
                by_unit[kind][int(unit)] = int(value)
            else:
                plain[name] = int(value)
        return Stats(reads=by_unit["reads"], writes=by_unit["writes"], **plain)
