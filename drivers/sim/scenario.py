"""Scenarios: a CSV of grid frequency (and voltage) over time -> Trace. Pure; reads one file.

Columns  t_s, f_hz [, v_pu | v1_pu, v2_pu] [, load_l1_w [, load_l2_w [, load_l3_w]]]; t_s rises strictly. Comma between
         columns, dot in numbers, UTF-8 (a byte order mark is accepted), lines starting with # are comments.
         load_l1_w ...: what the house draws on each phase. Two rows close together switch an oven on.
Errors   TraceError, one line: file:line: what; allowed: what.
Built in load_builtin("gb_2019-08-09") reads config/scenarios/*.csv through importlib.resources, installed or not.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from math import isfinite
from pathlib import Path
from typing import Protocol

COLUMNS = (("t_s", "f_hz"), ("t_s", "f_hz", "v_pu"), ("t_s", "f_hz", "v1_pu", "v2_pu"))
LOADS = ("load_l1_w", "load_l2_w", "load_l3_w")
ALLOWED = "t_s,f_hz or t_s,f_hz,v_pu or t_s,f_hz,v1_pu,v2_pu; then up to load_l1_w,load_l2_w,load_l3_w"
STYLE = "comma between columns, dot in numbers"
RANGES = {"t_s": (-1e9, 1e9), "f_hz": (40.0, 70.0), "v_pu": (0.0, 2.0), "v1_pu": (0.0, 2.0), "v2_pu": (0.0, 2.0)}
RANGES |= dict.fromkeys(LOADS, (-1e6, 1e6))


class TraceError(Exception):
    """A trace cannot be used: whoever named the file must act."""


class Readable(Protocol):
    """A Path, or a file inside a package."""

    def read_bytes(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Trace:
    """One scenario: columns of one length. v1_pu and v2_pu: 1 without voltage in the file, equal with one.

    load_w: one column a phase, as many as the file has.
    """

    name: str
    t_s: tuple[float, ...]
    f_hz: tuple[float, ...]
    v1_pu: tuple[float, ...]
    v2_pu: tuple[float, ...]
    load_w: tuple[tuple[float, ...], ...] = ()

    @property
    def duration_s(self) -> float:
        return self.t_s[-1] - self.t_s[0]

    @property
    def f_nom_hz(self) -> float:
        """50 or 60, whichever is nearer to the mean: a guess for whoever has no site file."""
        mean = sum(self.f_hz) / len(self.f_hz)
        return 50.0 if abs(mean - 50.0) < abs(mean - 60.0) else 60.0

    def cut(self, start_s: float = 0.0, duration_s: float | None = None) -> Trace:
        """The part from start_s, counted from the first row, with its own time from 0. Ends are interpolated."""
        left = self.duration_s - start_s
        wanted = left if duration_s is None else duration_s
        if not (0.0 <= start_s < self.duration_s and 0.0 < wanted <= left + 1e-6):
            raise TraceError(
                f"{self.name}: {wanted:g} s from {start_s:g} s on; "
                f"allowed: a part of its {self.duration_s:g} s, longer than 0 s"
            )
        first = self.t_s[0] + start_s
        last = min(first + wanted, self.t_s[-1])
        rows = [self._row(first), *(r for r in self._rows() if first < r[0] < last), self._row(last)]
        t, f, v1, v2, *load_w = zip(*rows, strict=True)
        return Trace(self.name, tuple(x - first for x in t), f, v1, v2, tuple(load_w))

    def _rows(self) -> Iterator[tuple[float, ...]]:
        return zip(self.t_s, self.f_hz, self.v1_pu, self.v2_pu, *self.load_w, strict=True)

    def _row(self, t_s: float) -> tuple[float, ...]:
        """The row at t_s, interpolated; t_s lies inside the trace."""
        i = min(max(bisect_right(self.t_s, t_s) - 1, 0), len(self.t_s) - 2)
        w = (t_s - self.t_s[i]) / (self.t_s[i + 1] - self.t_s[i])
        columns = (self.f_hz, self.v1_pu, self.v2_pu, *self.load_w)
        return (t_s, *(c[i] + w * (c[i + 1] - c[i]) for c in columns))


def load_trace(path: Path) -> Trace:
    """Read a trace; every row is checked."""
    return parse(str(path), read(str(path), path))


def load_builtin(name: str) -> Trace:
    """A scenario that comes with the program, by its name without .csv."""
    folder = files("config") / "scenarios"
    known = builtin_names()
    if name not in known:
        raise TraceError(f"{name}: no such scenario; allowed: {', '.join(known)}")
    return parse(name, read(name, folder / f"{name}.csv"))


def builtin_names() -> list[str]:
    names = [f.name for f in (files("config") / "scenarios").iterdir()]
    return sorted(name.removesuffix(".csv") for name in names if name.endswith(".csv"))


def read(name: str, source: Readable) -> str:
    try:
        return source.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise TraceError(f"{name}: {error.strerror}; allowed: a CSV file with {ALLOWED}") from None
    except UnicodeDecodeError:
        raise TraceError(f"{name}:1: is not UTF-8 text; allowed: a CSV file in UTF-8 with {ALLOWED}") from None


def parse(name: str, text: str) -> Trace:
    """Text -> Trace. name stands in the error lines."""
    lines = [(n, line.strip()) for n, line in enumerate(text.splitlines(), start=1)]
    lines = [(n, line) for n, line in lines if line and not line.startswith("#")]
    if not lines:
        raise TraceError(f"{name}:1: no header; allowed: {ALLOWED}")
    columns = header(name, *lines[0])
    rows: list[list[float]] = []
    for n, line in lines[1:]:
        row = numbers(f"{name}:{n}", columns, line)
        if rows and row[0] <= rows[-1][0]:
            raise TraceError(f"{name}:{n}: t_s = {row[0]:g} after {rows[-1][0]:g}; allowed: rising times")
        rows.append(row)
    if len(rows) < 2:
        raise TraceError(f"{name}:{lines[-1][0]}: {len(rows)} rows; allowed: two or more")
    by_name = dict(zip(columns, (tuple(c) for c in zip(*rows, strict=True)), strict=True))
    v = [by_name[c] for c in ("v_pu", "v1_pu", "v2_pu") if c in by_name] or [(1.0,) * len(rows)]
    load_w = tuple(by_name[c] for c in LOADS if c in by_name)
    return Trace(name, by_name["t_s"], by_name["f_hz"], v[0], v[-1], load_w)


def header(name: str, n: int, line: str) -> tuple[str, ...]:
    found = tuple(c.strip() for c in line.split(","))
    grid = tuple(c for c in found if c not in LOADS)
    loads = found[len(grid) :]
    if grid in COLUMNS and loads == LOADS[: len(loads)]:
        return found
    if ";" in line or "\t" in line:
        raise TraceError(f"{name}:{n}: columns are not separated by commas; allowed: {STYLE}")
    raise TraceError(f"{name}:{n}: columns {','.join(found)}; allowed: {ALLOWED}")


def numbers(where: str, columns: tuple[str, ...], line: str) -> list[float]:
    fields = line.split(",")
    if len(fields) != len(columns):
        raise TraceError(f"{where}: {len(fields)} values for {len(columns)} columns; allowed: {STYLE}")
    return [number(where, c, text.strip()) for c, text in zip(columns, fields, strict=True)]


def number(where: str, column: str, text: str) -> float:
    low, high = RANGES[column]
    try:
        value = float(text)
    except ValueError:
        raise TraceError(f"{where}: {column} = '{text}' is not a number; allowed: {low:g} ... {high:g}") from None
    if not (isfinite(value) and low <= value <= high):
        raise TraceError(f"{where}: {column} = {text} is out of range; allowed: {low:g} ... {high:g}")
    return value
