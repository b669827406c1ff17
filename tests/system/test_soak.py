"""A third of a minute of the soak; the hour is in tests/soak. A controller that dies on the way is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.rig import Rig
from tests.soak.__main__ import Soak, main, trace
from tests.soak.report import lines


def test_twenty_seconds(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["--minutes", "0.33"]) == 0, capfd.readouterr().out


@pytest.mark.nightly
def test_a_controller_that_dies_is_told(tmp_path: Path) -> None:
    with Rig(tmp_path / "rig", trace(1.0)) as rig:
        soak = Soak(rig)
        soak.start()
        soak.controller.kill()
        soak.watch(1.0)
        soak.stop()
    found = lines(soak.findings())
    assert any(line.startswith("VIOLATED end: after 0 s: ") and "ended" in line for line in found), found
    assert "VIOLATED end: the controller ended with exit code -9, not 0" in found
