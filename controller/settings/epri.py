"""The CSV file of EPRI's common file format: read with line numbers, written back. cython_core.epri converts.

Shapes   PARAMETER,VALUE; comma and dot. EpriFile.lines {name as written: value}, .at {name: line}.
         kept() are the lines that set nothing here (owner, address, serial number): carried along, written back.
Errors   into Problems, each mistake at its line.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cython_core.epri import KEPT, groups_from, to_epri
from cython_core.settings import Settings
from drivers.yamlfile import Problems

HEADER = ["PARAMETER", "VALUE"]
COMMENT_LIMIT = 512


@dataclass(frozen=True, slots=True)
class EpriFile:
    """The lines of a file and where each stands."""

    lines: dict[str, str]
    at: dict[str, int]

    def kept(self) -> dict[str, str]:
        """Lines that set nothing here; which kind of file it is, the next export decides."""
        return {name: value for name, value in self.lines.items() if name in KEPT and name != "MT_FILE_INFO_TYPE"}

    def groups(self, base: Settings | None, problems: Problems) -> dict[str, Any]:
        """Groups of settings; every mistake goes to problems."""
        groups, wrong = groups_from(self.lines, base)
        for fault in wrong:
            problems.add(self.at.get(fault.name, 1), fault.text)
        return groups


def looks_like(text: str) -> bool:
    """Is this text such a file, right or wrong?"""
    first = next((line for line in text.splitlines() if line.strip()), "")
    return first.replace(";", ",").replace("\t", ",").split(",")[0].strip().strip('"').upper() == "PARAMETER"


def parse_csv(text: str, problems: Problems) -> EpriFile:
    """CSV text -> its lines."""
    found = EpriFile({}, {})
    for at, cells in rows(text, problems):
        if not found.at and cells == HEADER:
            continue
        complaint = wrong_row(cells, found)
        if complaint:
            problems.add(at, complaint)
        else:
            found.lines[cells[0]], found.at[cells[0]] = cells[1], at
    if not found.lines and not problems:
        problems.add(1, "holds no settings below PARAMETER,VALUE")
    return found


def rows(text: str, problems: Problems) -> Iterator[tuple[int, list[str]]]:
    """(line, cells) of each row that is not empty; a spreadsheet's empty cells behind the second are dropped."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    at = 1
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            while len(cells) > 2 and not cells[-1]:
                cells.pop()
            if any(cells):
                yield at, cells
            at = reader.line_num + 1
    except csv.Error as error:
        problems.add(at, f"is not CSV: {error}")


def wrong_row(cells: list[str], found: EpriFile) -> str:
    """What is wrong with the shape of a row, or nothing."""
    for mark, word in ((";", "semicolons"), ("\t", "tabs")):
        if len(cells) == 1 and mark in cells[0]:
            return f"{word} stand between the columns: write commas there and a dot in numbers"
    if len(cells) != 2:
        hint = ": a decimal comma? write 0.05, and quote a text that holds a comma" if len(cells) > 2 else ""
        return f"{len(cells)} cells instead of PARAMETER,VALUE{hint}"
    name, value = cells
    if name in found.lines:
        return f"{name} stands twice; the first is in line {found.at[name]}"
    if name == "COMMENT" and len(value) > COMMENT_LIMIT:
        return f"COMMENT has {len(value)} characters; the format allows {COMMENT_LIMIT}"
    return ""


def csv_text(settings: Settings, kept: Mapping[str, str], suffix: str = "AS") -> str:
    """The file. suffix: AS applied, SS specified, "" none; kept: lines of the file these settings came from."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\r\n")
    writer.writerow(HEADER)
    kind = {"MT_FILE_INFO_TYPE": suffix} if suffix else {}
    writer.writerows((kind | {name: value for name, value in kept.items() if not name.startswith("NP_")}).items())
    lines = to_epri(settings)
    plate = {k: shown(v) for k, v in lines.items() if k.startswith("NP_")}
    writer.writerows((plate | {k: v for k, v in kept.items() if k.startswith("NP_")}).items())
    for name, value in lines.items():
        if name not in plate:
            writer.writerow([f"{name}-{suffix}" if suffix else name, shown(value)])
    return stream.getvalue()


def shown(value: str | float) -> str:
    """62.0 as 62; every other number with all its digits."""
    return repr(value).removesuffix(".0") if isinstance(value, float) else value
