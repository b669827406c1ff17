"""An interface that is not there: one line that says how to get it."""

from __future__ import annotations

from pathlib import Path

import pytest

from drivers.base import BusError
from drivers.can.interface import need_up
from drivers.can.link import CanLink

UP_CAN = "ip link set can0 type can bitrate 125000 restart-ms 100 && ip link set can0 up"

# fmt: off
FOUND = [
    # type   flags      the line
    (None,   None,      f"can0: no such interface; as root: {UP_CAN}"),
    ("280",  "0x40080", f"can0: is down; as root: {UP_CAN}"),
    ("1",    "0x1003",  "can0: is no CAN interface (type 1 instead of 280); name another one"),
    ("280",  "0x400c1", None),
]
# fmt: on


@pytest.mark.parametrize(("kind", "flags", "line"), FOUND, ids=["none", "down", "Ethernet", "up"])
def test_an_interface(kind: str | None, flags: str | None, line: str | None, tmp_path: Path) -> None:
    if kind is not None and flags is not None:
        (tmp_path / "can0").mkdir()
        (tmp_path / "can0" / "type").write_text(kind + "\n")
        (tmp_path / "can0" / "flags").write_text(flags + "\n")
    if line is None:
        need_up(CanLink("can0"), 125_000, tmp_path)
        return
    with pytest.raises(BusError) as error:
        need_up(CanLink("can0"), 125_000, tmp_path)
    assert str(error.value) == line


@pytest.mark.parametrize("name", ["", "0can", "a-name-of-16-char", "can 0", "../can0", "can0\n"])
def test_a_name_that_cannot_be(name: str) -> None:
    with pytest.raises(ValueError, match=r"is not the name of an interface: 1 \.\.\. 15 characters, like can0"):
        CanLink(name)
