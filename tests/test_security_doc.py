"""The table of docs/security.md: each test that it names exists, and is no test that is never run."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TABLE = re.findall(r"^\| (.+) \| (.+) \| `(tests/[^`]+)` \|$", (ROOT / "docs/security.md").read_text(), re.MULTILINE)


def test_the_table_is_read() -> None:
    rows = (ROOT / "docs/security.md").read_text().count("\n| ") - 2
    assert len(TABLE) == rows >= 15


@pytest.mark.parametrize("named", [row[2] for row in TABLE], ids=[row[0] for row in TABLE])
def test_it_exists(named: str) -> None:
    file, _, name = named.partition("::")
    functions = [f for f in ast.parse((ROOT / file).read_text()).body if isinstance(f, ast.FunctionDef)]
    assert not name or name in [f.name for f in functions]
    skipped = [f.name for f in functions if any("skip" in ast.unparse(d) for d in f.decorator_list)]
    assert name not in skipped
