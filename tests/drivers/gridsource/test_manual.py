"""A source by hand: what a person is told, digit by digit."""

from __future__ import annotations

import pytest

from drivers.gridsource.manual import ManualSource
from drivers.gridsource.point import GridPoint, SourceError

# fmt: off
TOLD = [
    # phases  point                                                        told
    (1, GridPoint(248.4, 0.0, 0.0, 60.021),                                "L1 248.40 V, 60.021 Hz"),
    (1, GridPoint(240.0, 0.0, 0.0, 60.0, 20.0),                            "L1 240.00 V at 20 degrees, 60.000 Hz"),
    (3, GridPoint(256.8, 218.4, 218.4, 60.0),
        "L1 256.80 V at 0 degrees, L2 218.40 V at -120 degrees, L3 218.40 V at 120 degrees, 60.000 Hz"),
]
# fmt: on


@pytest.mark.parametrize(("phases", "point", "told"), TOLD, ids=[c[-1] for c in TOLD])
def test_what_is_told(phases: int, point: GridPoint, told: str) -> None:
    asked: list[str] = []

    def ask(line: str) -> str:
        asked.append(line)
        return ""

    source = ManualSource(phases, ask)
    source.set(point)
    assert asked == [f"Set the grid simulator to {told}, then Enter: "]
    assert source.read() is None
    assert source.manual


def test_nobody_at_the_terminal_is_an_error() -> None:
    def gone(_: str) -> str:
        raise EOFError

    with pytest.raises(SourceError, match="needs somebody at the terminal"):
        ManualSource(1, gone).set(GridPoint(240.0, 0.0, 0.0, 60.0))


def test_safe_shouts(capsys: pytest.CaptureFixture[str]) -> None:
    ManualSource(1).safe()
    assert "SWITCH THE GRID SIMULATOR'S OUTPUT OFF NOW" in capsys.readouterr().err
