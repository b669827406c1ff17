"""Nothing is lost and nothing is stored twice, whatever dies: Mosquitto under TLS, real processes, a database.

The plain client beside ours is for comparison: what it loses is printed and not asserted. `python -m
tests.system.losses` prints the whole table.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.system import losses
from tests.system.losses import FAULTS, NIGHTLY, Rig

SMALL = 2000  # 10 s of stream: it outlasts a busy moment before the fault
TELLING = (losses.consumer_away_broker_killed,)  # two of the three; a publisher dies in test_kill


def check(folder: Path, fault: Callable[[Rig], None], count: int, plain_s: float) -> None:
    ours, plain = losses.played(folder / "row", fault, count, plain_s=plain_s)
    print(losses.HEAD, losses.line(fault, ours, plain), sep="\n")
    assert (ours.lost, ours.double) == (0, 0)


@pytest.mark.parametrize("fault", TELLING, ids=lambda fault: fault.__name__)
def test_nothing_is_lost_in_small(tmp_path: Path, fault: Callable[[Rig], None]) -> None:
    check(tmp_path, fault, SMALL, plain_s=1.0)


@pytest.mark.nightly
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_nothing_is_lost(tmp_path: Path, fault: Callable[[Rig], None]) -> None:
    check(tmp_path, fault, NIGHTLY, losses.PLAIN_S)
