"""Every measurement quickly, with its real gates. What the short slices miss is judged by the full ones.

The full run of all: python -m tests.performance.
"""

from __future__ import annotations

import pytest

from tests.need import missing
from tests.performance.harness import Row, Verdict, failed
from tests.performance.run import modules, pinned, run
from tests.performance.table import table

pytestmark = pytest.mark.system
LONG = ("bridge_servers", "loop_telemetry")  # real databases, and processes that are killed again and again
# recorded time is a clock and no peer: the ratio falls with the machine it runs on (on a shared one 19 000 and 8 200 of
# one commit within a day), so this share of the gate decides here; `make bench` demands the whole
WITHOUT_PEER = {"replay": 0.5}
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
    assert not any(failed(row, on_ci=False) and not nearly(row) for row in rows), table(rows)
    absent = [row.note for row in rows if row.verdict is Verdict.ABSENT]
    if absent:
        missing(f"contestants of {name}", "; ".join(absent))


def nearly(row: Row) -> bool:
    """Enough of a gate that has no peer. A ratio that is not there (NaN) never is."""
    share = WITHOUT_PEER.get(row.measurement)
    return share is not None and row.gate.gate is not None and row.ratio >= share * row.gate.gate
