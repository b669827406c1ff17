"""Emergency stop inputs: what cannot be read counts as pressed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from drivers.gridsource.estop import DescriptorStop, LineStop

# fmt: off
LINES = [
    # text    free   pressed  why
    ("1\n",   "1",   False,   "a closed contact pulls the line up"),
    ("0\n",   "1",   True,    "pressed"),
    ("",      "1",   True,    "nothing there is no contact"),
    ("0\n",   "0",   False,   "a line that is low while free"),
    ("10\n",  "1",   True,    "no such state"),
]
# fmt: on


@pytest.mark.parametrize(("text", "free", "pressed", "why"), LINES, ids=[c[-1] for c in LINES])
def test_a_line(tmp_path: Path, text: str, free: str, pressed: bool, why: str) -> None:
    line = tmp_path / "value"
    line.write_text(text)
    assert LineStop(line, free).pressed() is pressed


def test_a_line_that_is_not_there_is_pressed(tmp_path: Path) -> None:
    assert LineStop(tmp_path / "value").pressed()


def test_a_descriptor() -> None:
    ours, theirs = os.pipe()
    stop = DescriptorStop(ours)
    assert not stop.pressed()
    os.write(theirs, b"x")
    assert stop.pressed()
    assert stop.pressed(), "it stays pressed: nobody reads the byte"
    os.close(theirs)
    os.close(ours)
    assert stop.pressed(), "a descriptor that is closed"
