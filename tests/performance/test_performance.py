"""Every measurement quickly, with its real gates. What the short slices miss is judged by the full ones.

The full run of all: python -m tests.performance.
"""

from __future__ import annotations

import pytest

from tests.need import missing
from tests.performance.harness import Verdict, failed
from tests.performance.run import modules, pinned, run
from tests.performance.table import table

pytestmark = pytest.mark.system
LONG = ("bridge_servers", "loop_telemetry")  # real databases, and processes that are killed again and again
NAMES = [pytest.param(name, marks=[pytest.mark.nightly] if name in LONG else []) for name in modules()]


@pytest.mark.parametrize("name", NAMES)
def test_every_gate_holds(name: str) -> None:
    with pinned():
        rows = list(run([name], quick=True))
        print(table(rows))
        if any(row.verdict is Verdict.MISSED for row in rows):
            rows = list(run([name], quick=False))
            print(table(rows))
    assert rows, f"{name} has no gate"
    assert not any(failed(row, on_ci=False) for row in rows), table(rows)
    absent = [row.note for row in rows if row.verdict is Verdict.ABSENT]
    if absent:
        missing(f"contestants of {name}", "; ".join(absent))
