"""The tables of worked_examples.yaml, for parametrize: a row is a tuple in the order of the table's columns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

EXAMPLES: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("worked_examples.yaml").read_text(encoding="utf-8"))
# the examples are rounded to four digits (5e-5); 10 ** -5 of a change is left where a lag settles
FOUR_DIGITS = 1e-4


def rows(name: str) -> list[tuple[Any, ...]]:
    table = EXAMPLES[name]
    assert all(len(row) == len(table["columns"]) for row in table["rows"]), f"{name}: a row is too short or too long"
    return [tuple(row) for row in table["rows"]]


def each(name: str) -> pytest.MarkDecorator:
    """One test for each row; the arguments are named as the columns."""
    columns = EXAMPLES[name]["columns"]
    ids = [" ".join(f"{c} {x}" for c, x in zip(columns, row, strict=True)) for row in rows(name)]
    return pytest.mark.parametrize(columns, rows(name), ids=ids)
