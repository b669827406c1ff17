"""docs/adding-a-sink.md: its class, executed as it stands there and held to what the page promises."""

from __future__ import annotations

import json
import re
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from controller.telemetry.store import Store, StoreError, write_until_stored
from tests.controller.telemetry.makers import live
from tests.controller.telemetry.test_store import arrival

GUIDE = (Path(__file__).parents[3] / "docs/adding-a-sink.md").read_text(encoding="utf-8")


def lines_store(path: Path) -> Store:
    (source,) = re.findall(r"^```python\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(source, "docs/adding-a-sink.md", "exec"), names)  # the page's own text, nobody else's
    store: Store = names["LinesStore"](path)
    return store


def stored(path: Path) -> list[Any]:
    return [json.loads(line)["body"] for line in path.read_text().splitlines()]


def test_a_row_is_stored_once_the_first_wins_and_a_restart_knows_it(tmp_path: Path) -> None:
    row, other = arrival(live(1)), arrival(live(2))
    store = lines_store(tmp_path / "rows")
    store.write([row, replace(row, body={"late": True})])
    store.close()
    again = lines_store(tmp_path / "rows")
    assert write_until_stored(again, [replace(row, outbox="cd", seq=40), other], threading.Event()) == 0
    assert stored(tmp_path / "rows") == [row.body, other.body]


def test_what_cannot_be_written_is_said_and_comes_again(tmp_path: Path) -> None:
    folder = tmp_path / "rows"
    store = lines_store(folder)
    folder.mkdir()  # in its place: even root cannot write there
    with pytest.raises(StoreError, match="Is a directory"):
        store.write([arrival(live(1))])
    folder.rmdir()
    store.write([arrival(live(1))])
    assert stored(folder) == [arrival(live(1)).body]
