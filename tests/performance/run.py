"""Find the measurements, run them on one CPU.

A measurement is a module of this package with measurements(quick) -> tuple of Measurement: adding one is adding a file.
"""

from __future__ import annotations

import os
import pkgutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType

import tests.performance as package
from tests.performance.harness import Measurement, Row, settled

MACHINERY = {"__main__", "core_process", "facts", "flood", "frames", "harness", "loop_process", "plots", "run", "sink",
             "table"}  # fmt: skip
SLICE_NS = 200_000_000
QUICK_SLICE_NS = 20_000_000


def modules() -> dict[str, ModuleType]:
    """Name -> module, of every measurement here."""
    names = sorted(m.name for m in pkgutil.iter_modules(package.__path__))
    return {n: import_module(f"{package.__name__}.{n}") for n in names if n not in MACHINERY and n[:5] != "test_"}


def titles() -> dict[str, str]:
    """Name -> the first line of its docstring."""
    return {name: (module.__doc__ or "").partition("\n")[0] for name, module in modules().items()}


def measurements(names: Sequence[str], quick: bool) -> list[Measurement]:
    return [m for name in names for m in modules()[name].measurements(quick)]


@contextmanager
def pinned() -> Iterator[int]:
    """This process on the last CPU it may use (the first one serves the machine's interrupts); as before afterwards."""
    before = os.sched_getaffinity(0)
    cpu = max(before)
    os.sched_setaffinity(0, {cpu})
    try:
        yield cpu
    finally:
        os.sched_setaffinity(0, before)


def run(names: Sequence[str], quick: bool) -> Iterator[Row]:
    """Rows as they are measured. Quick: shorter slices and inputs, the same gates."""
    for m in measurements(names, quick):
        yield from settled(m, slice_ns=QUICK_SLICE_NS if quick else SLICE_NS)
