"""A whole day at 10 ms, 8.64 million steps: does the report fit a board with 512 MB, and how long does it take?

python -m pytest -m nightly tests/controller/daily/test_whole_day.py -s
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.controller.daily.maker import write

pytestmark = pytest.mark.nightly

MOST_MIB = 220  # of 512; matplotlib, NumPy and one event's window
PEAK = """import json, resource, sys
from controller import cli
code = cli.main(sys.argv[1:])
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({"code": code, "kib": used.ru_maxrss, "cpu_s": used.ru_utime + used.ru_stime}))"""


def test_a_whole_day_fits_a_small_board(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "journal.v2gj", 24.0)
    command = [sys.executable, "-c", PEAK, "report", "--day", "2026-03-05", str(tmp_path / "journal.v2gj"), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=3600)
    found, peak = map(json.loads, done.stdout.splitlines())
    with capsys.disabled():
        size_mb = (tmp_path / "journal.v2gj").stat().st_size / 1e6
        cpu_s, mib = peak["cpu_s"], peak["kib"] / 1024
        print(f"\n8.64 million steps, {size_mb:.0f} MB: {cpu_s:.0f} s of processor time, {mib:.0f} MiB")
    assert (peak["code"], found["quality"]["steps"]) == (0, 8_640_000)
    assert [e["side"] for e in found["events"]] == ["under", "over"] * 24
    assert {e["verdict"] for e in found["events"]} == {"pass"}
    assert found["quality"]["word"] == "complete"
    assert peak["kib"] / 1024 < MOST_MIB
