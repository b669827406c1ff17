"""A table of grid values over time (CSV) -> columns; rows are held until the next one. Pure after the file is read.

Shapes   read_table -> {column: float64 array}; t_s rises. hold -> the same columns, one element a step.
Units    in the column names. Optional cells: permit 1 (served), ap_limit_pu empty = no order.
Errors   TableError, a line each `file:line: ...`, the first twenty. UTF-8 (BOM accepted), comma and dot, # comments.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from controller.errors import InputError

REQUIRED = ("t_s", "f_hz", "v_pu", "p_demand_w")
OPTIONAL = ("permit", "ap_limit_pu")
SHOWN = 20
Table = dict[str, NDArray[np.float64]]


class TableError(InputError):
    """The table is wrong: whoever made it must act."""


def read_table(path: Path) -> Table:
    """The columns of a CSV file."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise TableError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise TableError(f"{path}: is not UTF-8 text: save it as CSV UTF-8, comma and dot") from None
    return parse_table(text, str(path))


def parse_table(text: str, file: str) -> Table:
    """CSV text -> columns. Raises TableError with every mistake of the header, or of the first rows that have one."""
    rows = lines_of(text, file)
    at, header = next(rows, (1, []))
    check_header([name.strip() for name in header], f"{file}:{at}")
    names = [name.strip() for name in header]
    wrong: list[str] = []
    values: list[list[float]] = []
    last_s = -math.inf
    for at, cells in rows:
        row, complaint = parse_row(names, cells)
        if not complaint and row[names.index("t_s")] <= last_s:
            complaint = f"t_s = {row[names.index('t_s')]:.12g} does not rise: the row before has {last_s:.12g}"
        if complaint:
            wrong.append(f"{file}:{at}: {complaint}")
            continue
        values.append(row)
        last_s = row[names.index("t_s")]
    if wrong:
        more = [f"{file}: and {len(wrong) - SHOWN} more"] if len(wrong) > SHOWN else []
        raise TableError("\n".join(wrong[:SHOWN] + more))
    if not values:
        raise TableError(f"{file}:{at}: no rows below the header")
    return {name: np.array(column) for name, column in zip(names, zip(*values, strict=True), strict=True)}


def lines_of(text: str, file: str) -> Iterator[tuple[int, list[str]]]:
    """(line number, cells) of each row that is neither empty nor a comment."""
    reader = csv.reader(text.splitlines())
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells) and not cells[0].lstrip().startswith("#"):
                yield reader.line_num, cells
    except csv.Error as error:
        raise TableError(f"{file}:{reader.line_num}: is not CSV: {error}") from None


def check_header(names: list[str], place: str) -> None:
    """Every required column once, and no other than the allowed ones."""
    for mark, word in ((";", "semicolons"), ("\t", "tabs")):
        if len(names) == 1 and mark in names[0]:
            raise TableError(f"{place}: {word} stand between the columns: write commas there and a dot in numbers")
    allowed = f"allowed: {', '.join(REQUIRED)}; optional: {', '.join(OPTIONAL)}"
    wrong = [f"{place}: unknown column '{name}'; {allowed}" for name in names if name not in REQUIRED + OPTIONAL]
    wrong += [f"{place}: missing column '{name}'; {allowed}" for name in REQUIRED if name not in names]
    wrong += [f"{place}: column '{name}' stands twice" for name in dict.fromkeys(names) if names.count(name) > 1]
    if wrong:
        raise TableError("\n".join(wrong))


def parse_row(names: list[str], cells: list[str]) -> tuple[list[float], str]:
    """The row's numbers, or what is wrong with it."""
    if len(cells) != len(names):
        hint = "; a decimal comma? write 50.1, not 50,1" if len(cells) > len(names) else ""
        return [], f"{len(cells)} cells, but the header has {len(names)}{hint}"
    row = []
    for name, cell in zip(names, cells, strict=True):
        value, complaint = parse_cell(name, cell.strip())
        if complaint:
            return [], complaint
        row.append(value)
    return row, ""


def parse_cell(name: str, cell: str) -> tuple[float, str]:
    """One number, or what is wrong with it."""
    if name == "ap_limit_pu" and not cell:
        return math.nan, ""
    try:
        value = float(cell.replace("_", "x"))  # Python would read 1_000
    except ValueError:
        hint = "; write a dot, not a comma" if "," in cell else ""
        return 0.0, f"{name} = '{cell}' is not a number{hint}"
    if not math.isfinite(value):
        return 0.0, f"{name} = {cell} is not finite"
    if name == "permit" and value not in (0.0, 1.0):
        return 0.0, f"permit = {cell} is neither 0 nor 1"
    if name == "ap_limit_pu" and not 0.0 <= value <= 1.0:
        return 0.0, f"ap_limit_pu = {cell} is outside 0 ... 1 pu"
    return value, ""


def steps_in(table: Table, period_ms: int) -> int:
    """How many steps lie between the first row and the last, both included."""
    t_s = table["t_s"]
    return int((t_s[-1] - t_s[0]) * 1000.0 / period_ms + 1e-6) + 1


def hold(table: Table, period_ms: int, first: int, count: int) -> Table:
    """Steps first ... first + count - 1, each with the newest row at or before its time; t_s is the step's own."""
    t_s = table["t_s"][0] + np.arange(first, first + count) * period_ms / 1000.0
    at = np.searchsorted(table["t_s"], t_s + 1e-9, side="right") - 1
    return {name: column[at] for name, column in table.items()} | {"t_s": t_s}
