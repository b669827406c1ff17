"""Bytes a day that the outbox writes to the disk; docs/operations.md says how many. On a real file system."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.system

SECONDS = 300  # of the outbox's time; it takes some seconds of ours
MB = 1_000_000

# fmt: off
BOUNDS = [
    # case                      at least    at most      why
    ("spill, acknowledged",     0,          15 * MB,     "events only, 240 a day; no live frame"),
    ("spill, offline",          100 * MB,   1400 * MB,   "a transaction of five frames every 5 s"),
    ("always, acknowledged",    500 * MB,   4000 * MB,   "two transactions a second, each forced out"),
    ("always, offline",         500 * MB,   4000 * MB,   "one"),
]
# fmt: on


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, int]]:
    folder = tmp_path_factory.mktemp("disk")
    command = [sys.executable, "-m", "tests.controller.telemetry.wear", str(folder), str(SECONDS)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=300, cwd=Path(__file__).parents[3]
    )
    measured: dict[str, dict[str, int]] = json.loads(done.stdout)
    if not measured["always, offline"]["bytes_a_day"]:
        pytest.skip(f"{folder} is in memory, where the kernel counts no bytes: set TMPDIR to a folder on a disk")
    return measured


@pytest.mark.parametrize(("case", "least", "most", "why"), BOUNDS, ids=[c[0] for c in BOUNDS])
def test_bytes_a_day(found: dict[str, dict[str, int]], case: str, least: int, most: int, why: str) -> None:
    assert least <= found[case]["bytes_a_day"] <= most, why
    assert found[case]["frame_bytes"] > 2500, "a frame of a house"
