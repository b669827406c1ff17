"""The bench's report in a real browser, narrow and wide, light and dark: self-contained, quiet, its plots there."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.bench.report.page import page
from tests.controller.bench.written_run import run
from tests.system.test_report_page import SCHEMES, WIDTHS, look_well


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_the_page(tmp_path: Path, width: int, scheme: str) -> None:
    plan, records, judgements = run()
    seen = look_well(page(plan, {"name": "virtual"}, records.get, judgements), tmp_path, width, scheme, "fail")
    # over time: volt-var twice, droop, trip, volt-watt; characteristic: volt-var twice, droop
    assert seen["plots"] == 8
