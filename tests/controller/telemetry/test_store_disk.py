"""The SQLite store on a disk that is full, and in a file that is damaged: it goes on, says so, and loses no row."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from controller.errors import InputError
from controller.sitedata import StoreSite
from controller.telemetry import database
from controller.telemetry.quarantine import Quarantine
from controller.telemetry.setup import set_up
from controller.telemetry.sqlitestore import SqliteStore, read_points
from controller.telemetry.store import StoreError
from controller.telemetry.wire import Arrival
from controller.telemetry.wiring import open_journal
from tests.controller.telemetry.makers import live
from tests.controller.telemetry.test_outbox_disk import SmallDisk, disk
from tests.controller.telemetry.test_store import arrival

__all__ = ["disk"]  # a fixture

ROWS = [arrival(live(i), i) for i in range(300)]


def filled(path: Path) -> None:
    store = SqliteStore(path)
    store.write(ROWS)
    store.close()


def stored(path: Path) -> list[Arrival]:
    return read_points(path, "home", "live")


def overwritten(path: Path, begin: int) -> None:
    content = bytearray(path.read_bytes())
    content[begin:] = b"\xa5" * (len(content) - begin)
    path.write_bytes(content)


# fmt: off
DAMAGED = [
    # from byte  why
    (0,          "no database at all"),
    (4096,       "its first page is right, nothing behind it"),
]
# fmt: on


@pytest.mark.parametrize(("begin", "why"), DAMAGED, ids=[c[-1] for c in DAMAGED])
def test_a_damaged_file_is_set_aside_when_it_is_opened(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, begin: int, why: str
) -> None:
    path = tmp_path / "store.sqlite"
    filled(path)
    overwritten(path, begin)
    store = SqliteStore(path)
    store.write(ROWS[:1])
    store.close()
    assert stored(path) == ROWS[:1], why
    [aside] = tmp_path.glob("store.sqlite.bad-*")
    assert f"V2G-STORE-DAMAGED {path}: " in caplog.text
    assert f"kept as {aside.name}, a new one begins" in caplog.text


def test_damage_that_shows_later_is_no_confirmation_and_the_rows_come_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A file of more than CHECKED_BYTES is not looked through at its opening."""
    path = tmp_path / "store.sqlite"
    filled(path)
    overwritten(path, 4096)
    monkeypatch.setattr(database, "CHECKED_BYTES", 0)
    store = SqliteStore(path)
    with pytest.raises(StoreError, match=r"malformed"):
        store.write(ROWS)
    store.write(ROWS)
    store.close()
    assert stored(path) == ROWS
    assert caplog.text.count("V2G-STORE-DAMAGED") == 1


def test_two_processes_set_a_damaged_file_aside_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two bridges with one store: the second one finds the new file and leaves it where it is."""
    path = tmp_path / "store.sqlite"
    filled(path)
    overwritten(path, 4096)
    monkeypatch.setattr(database, "CHECKED_BYTES", 0)
    stores = [SqliteStore(path), SqliteStore(path)]
    for half, store in zip((ROWS[:150], ROWS[150:]), stores, strict=True):
        with pytest.raises(StoreError, match="malformed"):
            store.write(half)
        store.write(half)
    for store in stores:
        store.close()
    assert stored(path) == ROWS
    assert len([file for file in tmp_path.glob("store.sqlite.bad-*") if file.suffix[-4:] not in ("-wal", "-shm")]) == 1


def test_a_damaged_quarantine_is_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "quarantine.sqlite"
    path.write_bytes(b"no database" * 1000)
    quarantine = Quarantine(path)
    quarantine.add(ROWS[0], "why")
    assert quarantine.count() == 1
    quarantine.close()


def test_a_disk_that_is_full_at_the_start_is_waited_for(disk: SmallDisk) -> None:
    path = disk.folder / "store.sqlite"
    disk.fill()
    store = SqliteStore(path)
    with pytest.raises(StoreError, match="cannot be written: database or disk is full"):
        store.write(ROWS)
    disk.free()
    store.write(ROWS)
    store.close()
    assert stored(path) == ROWS


def test_a_first_journal_on_a_full_disk_is_one_line(disk: SmallDisk) -> None:
    disk.fill()
    with pytest.raises(InputError, match=r"journal: a journal cannot be begun: No space left on device$"):
        open_journal(disk.folder / "journal")


def test_what_root_makes_belongs_to_whom_the_folder_does(tmp_path: Path) -> None:
    """`sudo v2g bridge SITE --setup`, `sudo v2g export ... --influx1`: the service must write these files later."""
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    tmp_path.chmod(0o755)
    os.chown(tmp_path, 61234, 61235)
    store, quarantine = SqliteStore(tmp_path / "store.sqlite"), Quarantine(tmp_path / "quarantine.sqlite")
    store.write(ROWS)
    assert {(file.stat().st_uid, file.stat().st_gid) for file in tmp_path.iterdir()} == {(61234, 61235)}
    assert len(list(tmp_path.iterdir())) > 2, "the log beside each as well"
    store.close()
    quarantine.close()


def test_setup_says_what_keeps_it_from_the_file(tmp_path: Path) -> None:
    folder = tmp_path / "store.sqlite"
    folder.mkdir()
    with pytest.raises(InputError, match="cannot be opened"):
        set_up(StoreSite(kind="sqlite", sqlite_path=folder), tmp_path)
