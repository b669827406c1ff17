"""What the launcher hands to the core process: everything it has read, checked and compiled, in a memory file.

Both are images of one program in one process, so the plainest encoding does: marshal, which costs the core nothing.
Errors   InputError: the program's files have changed since the launcher began; compiled bytes would be misread.
"""

from __future__ import annotations

import marshal
import os

from controller.errors import InputError

ROOT = __file__.rsplit("/", 2)[0]  # without pathlib, as all of this module
FOLDERS = ("controller", "cython_core", "cython_core/realtime", "drivers", "drivers/can", "drivers/modbus")


def stamp() -> int:
    """One number for the state of every file that the core process may load."""
    found: list[int] = []
    for folder in FOLDERS:
        with os.scandir(f"{ROOT}/{folder}") as entries:
            for entry in sorted(entries, key=lambda e: e.name):
                if entry.name.endswith((".py", ".so")):
                    stat = entry.stat()
                    found += (stat.st_size, stat.st_mtime_ns)
    return hash(tuple(found))


class Handed:
    """All that a core process knows of its site."""

    stamp: int  # of the program's files when the launcher began
    start_mode: str
    started: str  # the line of a start that succeeded
    writes: bool
    small_w: float  # less than this is at rest
    realtime_required: str  # "": no; else the beginning of the refusal
    granted: dict[str, str]  # what the host gave or refused already, by name
    settings: bytes  # of cython_core.compiled
    resume: bytes  # the last step record of a run that ended a moment ago; empty: none
    wires: list[tuple[str, bytes, int]]  # of drivers.modbus.wire.opened()
    can: str  # the interface of one more wire, the last; "": none
    meter: tuple[int, bytes]  # its wire, and of drivers.modbus.compiled
    inverter: tuple[int, bytes]  # or of drivers.can.compiled
    words: dict[str, int]  # name of a record -> its length
    ring: str  # where it will be; it has been created beside
    next_settings: str  # where other settings will come to, if they do
    facts: str  # for the ring's readers: JSON of one object, without what the host grants
    wishes: str
    wish_sources: list[int]
    box_bytes: int
    alarms: list[tuple[int, str, str]]
    counters: dict[str, list[str]]  # "meter", "inverter" -> what its bus counts, in order
    energies: dict[str, list[str]]  # the same: counters of energy in order; none where it keeps none
    counts_head: str  # how each reading of them begins: JSON
    counts_file: str
    write_budget: int  # set-points in 24 h; 0: any number
    budget_file: str
    writes_failing_s: float  # an alarm when they fail for longer
    hand_back_s: float  # the longest that the inverter may take to give control back
    departures: list[int]  # Unix seconds, rising; past ones too

    def __init__(self, **values: object) -> None:
        if values.keys() != Handed.__annotations__.keys():
            raise TypeError(f"missing or unknown: {', '.join(values.keys() ^ Handed.__annotations__.keys())}")
        self.__dict__.update(values)

    def write(self) -> int:
        """A descriptor that exec leaves open."""
        fd = os.memfd_create("v2g-handed", 0)
        with open(fd, "wb", closefd=False) as file:
            marshal.dump(self.__dict__, file)
        os.lseek(fd, 0, os.SEEK_SET)
        return fd


def read(fd: int) -> Handed:
    """What write() wrote, if it was this program that wrote it."""
    with open(fd, "rb") as file:
        handed = Handed(**marshal.load(file))
    if handed.stamp != stamp():
        raise InputError(f"{ROOT}: the program was changed while this process waited; start it again")
    return handed
