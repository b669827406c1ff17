"""docs/performance.md: its table is one that the suite printed, and every aim that is missed has its row and cause."""

from __future__ import annotations

import re
from pathlib import Path

from tests.performance.harness import Verdict
from tests.performance.run import modules
from tests.performance.table import BEGIN, END, HEADER

PAGE = (Path(__file__).parents[2] / "docs" / "performance.md").read_text()
REACHED = {Verdict.AIM.value, Verdict.PRINTED.value}


def rows_of(text: str) -> list[list[str]]:
    """The cells of each row of each table, without heads and rules."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    rules = [i for i, row in enumerate(rows) if set("".join(row)) <= {"-", " "}]
    return [row for i, row in enumerate(rows) if i not in rules and i + 1 not in rules]


def section(title: str) -> str:
    return re.split(r"^## ", PAGE.partition(f"## {title}\n")[2], flags=re.MULTILINE)[0]


MEASURED = rows_of(PAGE.partition(BEGIN)[2].partition(END)[0])


def test_the_run_on_the_page_has_every_measurement() -> None:
    assert {row[0] for row in MEASURED} == set(modules())
    assert all(len(row) == len(HEADER) for row in MEASURED)


def test_every_missed_aim_has_its_cause() -> None:
    missed = {(row[0], row[1]) for row in MEASURED if row[-1] not in REACHED}
    explained = rows_of(section("Aims that are missed"))
    assert missed <= {(row[0], row[1]) for row in explained}
    assert {(row[0], row[1]) for row in explained} <= {(row[0], row[1]) for row in MEASURED}
    assert all(len(row) == 4 and row[2] and row[3] for row in explained)


def test_every_measurement_has_its_picture_and_its_meaning() -> None:
    drawn = set(re.findall(r"\]\(images/performance/(\w+)\.png\)", PAGE))
    assert drawn == set(modules()) | {"ratios"}
    assert {re.sub("`", "", row[0]) for row in rows_of(section("What the rows mean"))} == set(modules())
