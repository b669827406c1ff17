"""The outbox on disks that are full, read-only, damaged, somebody else's: real files, real refusals, and recovery.

A small tmpfs is the disk, which only root may mount; a limit on the size of files does for everybody else.
"""

from __future__ import annotations

import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from controller.telemetry.database import KEPT_ASIDE, DatabaseRefusedError
from controller.telemetry.outbox import IN_MEMORY
from controller.telemetry.tier import Amount
from tests.controller.telemetry.makers import event, killed, live
from tests.controller.telemetry.test_outbox import on_disk, outbox, seqs

PADDING = "x" * 3000  # a row fills most of a page
MOUNT = shutil.which("mount")


class SmallDisk:
    """A file system of its own of 8 MiB, as the state folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.filler = folder / "state", folder / "state" / "filler"
        self.folder.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", str(self.folder)], check=True)

    def fill(self) -> None:
        free = os.statvfs(self.folder).f_bavail * os.statvfs(self.folder).f_frsize
        self.filler.write_bytes(bytes(free))
        with pytest.raises(OSError, match="No space left on device"):
            (self.folder / "more").write_bytes(b"x")

    def free(self) -> None:
        self.filler.unlink()

    def close(self) -> None:
        subprocess.run(["umount", "-l", str(self.folder)], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    if os.geteuid() or MOUNT is None:
        pytest.skip("only root may mount a small tmpfs; the limit on file sizes is tested all the same")
    small = SmallDisk(tmp_path)
    yield small
    small.close()


def test_a_full_disk_costs_nothing_the_rows_wait_in_memory_and_move_when_there_is_room(
    tmp_path: Path, disk: SmallDisk, caplog: pytest.LogCaptureFixture
) -> None:
    box = outbox(tmp_path)
    box.add([live(0), event(0)], now_ms=0)
    disk.fill()
    for second in range(1, 401):
        box.add([live(second, note=PADDING), event(second)], now_ms=1000 * second)
        box.tend(1000 * second)
    full = box.counters()
    assert (full.waiting, full.dropped, full.dropped_events) == (802, 0, 0)
    assert full.on_disk < 802, "the disk was full in truth"
    assert 0 < full.failed_writes <= 400 / 5 + 1, "tried every 5 s, not at every turn"
    assert caplog.text.count("V2G-OUTBOX-DISK") == 1, "said once"
    assert len(seqs(box, limit=2000)) == 802, "what is on a full disk can be sent all the same"
    disk.free()
    box.most = Amount(300, 10**9)  # small enough for this disk
    box.tend(500_000)
    after = box.counters()
    assert "writable again" in caplog.text
    assert (after.on_disk, after.dropped, after.dropped_events) == (401 + 300, 101, 0)
    assert after.waiting == after.on_disk
    box.close()
    assert len(on_disk(tmp_path)) == 701


def test_acknowledged_while_the_disk_is_full_rows_leave(tmp_path: Path, disk: SmallDisk) -> None:
    """A delete needs room in the write-ahead log; what it still has must do, or nothing would ever mend by itself."""
    box = outbox(tmp_path)
    box.add([live(i, note=PADDING) for i in range(60)], now_ms=0)
    box.tend(5_000)
    assert box.counters().on_disk == 60
    disk.fill()
    for seq in range(1, 61):
        box.acknowledge(box.id, [(seq, seq)])
    disk.free()
    box.acknowledge(box.id, [(1, 60)])  # the consumer says it again when it gets a row again
    assert box.counters().waiting == 0
    box.close()
    assert on_disk(tmp_path) == []


def test_killed_on_a_full_disk_and_started_again_there(tmp_path: Path, disk: SmallDisk) -> None:
    box = outbox(tmp_path)
    box.add([live(1), event(1)], now_ms=0)
    disk.fill()
    for second in range(2, 100):
        box.add([live(second, note=PADDING)], now_ms=1000 * second)
        box.tend(1000 * second)
    killed(box)
    box = outbox(tmp_path)
    box.add([live(100)], now_ms=100_000)
    newest = box.newest_seq()
    assert box.counters().dropped == 0
    disk.free()
    box.most = Amount(50, 10**9)
    for second in range(101, 120):
        box.tend(1000 * second)
    assert box.counters().waiting == box.counters().on_disk
    assert box.counters().on_disk == 51, "50 live rows, the bound, and the event"
    assert box.newest_seq() >= newest
    box.close()


def test_stopped_on_a_full_disk_the_rows_stay_in_memory_for_the_next_start(tmp_path: Path, disk: SmallDisk) -> None:
    box = outbox(tmp_path)
    box.add([live(0)], now_ms=0)
    disk.fill()
    box.add([live(i, note=PADDING) for i in range(1, 400)], now_ms=0)
    box.close()
    disk.free()
    again = outbox(tmp_path)
    assert again.counters().waiting == 400
    again.close()


def test_memory_full_the_disk_takes_the_rows_at_once(tmp_path: Path) -> None:
    if os.geteuid() or MOUNT is None:
        pytest.skip("only root may mount a small tmpfs")
    (tmp_path / "run").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(tmp_path / "run")], check=True)
    try:
        box = outbox(tmp_path)
        (tmp_path / "run" / "filler").write_bytes(bytes(60_000))
        box.add([live(i, note=PADDING) for i in range(100)], now_ms=0)
        assert (box.counters().on_disk, box.counters().waiting) == (100, 100)
        box.add([live(100)], now_ms=100)
        assert sorted(seqs(box, 200)) == list(range(1, 102)), "one numbering, whoever takes them"
        killed(box)
        again = outbox(tmp_path)
        assert again.newest_seq() == 101
        again.close()
    finally:
        subprocess.run(["umount", "-l", str(tmp_path / "run")], check=True)


def test_with_neither_file_writable_rows_wait_in_the_process_bounded(tmp_path: Path) -> None:
    """No file of this process may grow any more: for the kernel the same as a full disk, and no rights are needed."""
    box = outbox(tmp_path)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, before[1]))
    try:
        added = [
            box.add([live(100 * i + j) for j in range(100)] + [event(100 * i + j) for j in range(100)], now_ms=1000 * i)
            for i in range(150)
        ]
        found = box.counters()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not any(added)
    most = IN_MEMORY["live"] + IN_MEMORY["event"]
    assert (found.waiting, found.failed_writes) == (most, 2 * 150 // 5), "both files, every 5 s"
    assert (found.dropped, found.dropped_events) == (15_000 - IN_MEMORY["live"], 15_000 - IN_MEMORY["event"])
    box.tend(155_000)
    assert (box.counters().waiting, len(seqs(box, 20_000))) == (most, most), "numbered now, and kept"
    box.close()
    assert len(on_disk(tmp_path)) == most


# ---- read-only ----


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Callable[[bool], None]]:
    """Remounts the state folder, as an SD card that gives up does."""
    if os.geteuid() or MOUNT is None:
        pytest.skip("only root may mount: a read-only file system cannot be made here (a mode bit does not stop root)")
    state = tmp_path / "state"
    state.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", str(state)], check=True)

    def switch(to: bool) -> None:
        subprocess.run(["mount", "-o", "remount,ro" if to else "remount,rw", str(state)], check=True)

    yield switch
    subprocess.run(["umount", "-l", str(state)], check=True)


def test_a_disk_that_is_read_only_at_the_start_is_done_without_until_it_is_not(
    tmp_path: Path, read_only: Callable[[bool], None], caplog: pytest.LogCaptureFixture
) -> None:
    box = outbox(tmp_path)
    box.add([event(1), live(1)], now_ms=0)
    box.close()
    read_only(True)
    shutil.rmtree(tmp_path / "run")  # a reboot
    box = outbox(tmp_path)
    box.add([event(2), live(2)], now_ms=0)
    for turn in range(0, 60_000, 100):
        box.tend(turn)
    assert caplog.text.count("V2G-OUTBOX-DISK") == 1
    assert len(seqs(box)) == 2, "the new rows go out"
    read_only(False)
    box.tend(70_000)
    assert "writable again" in caplog.text
    box.tend(70_100)
    assert (len(seqs(box)), box.counters().on_disk) == (4, 4), "the old ones too, under one name"
    assert sorted(seqs(box))[:2] == [1, 2]
    assert sorted(seqs(box))[2] > 10_000_000
    box.close()


def test_two_boots_on_a_read_only_disk_never_give_a_number_twice_under_one_name(
    tmp_path: Path, read_only: Callable[[bool], None]
) -> None:
    outbox(tmp_path).close()
    read_only(True)
    names = set()
    for _ in range(2):
        box = outbox(tmp_path)
        box.add([live(1)], now_ms=0)
        names.add(box.id)
        killed(box)
        shutil.rmtree(tmp_path / "run")
    assert len(names) == 2
    read_only(False)


# ---- damage ----

# fmt: off
DAMAGE = [
    (b"this is no database, and long enough to be sure of it" * 50,  "a file of something else"),
    (b"SQLite format 3\x00" + b"\xff" * 4000,                         "a right beginning, then rubbish"),
]
# fmt: on


@pytest.mark.parametrize("where", ["state", "run"])
@pytest.mark.parametrize(("content", "why"), DAMAGE, ids=[c[-1] for c in DAMAGE])
def test_a_damaged_file_is_kept_aside_and_a_new_one_begun(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, where: str, content: bytes, why: str
) -> None:
    (tmp_path / where).mkdir()
    (tmp_path / where / "outbox.sqlite").write_bytes(content)
    box = outbox(tmp_path)
    assert box.add([live(1)], now_ms=0), why
    assert "V2G-OUTBOX-DAMAGED" in caplog.text
    assert [p.read_bytes() for p in (tmp_path / where).glob("outbox.sqlite.bad-*")] == [content]


def test_a_file_cut_short_is_damage(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    box = outbox(tmp_path)
    box.add([live(i, note=PADDING) for i in range(50)], now_ms=0)
    box.close()
    os.truncate(tmp_path / "state" / "outbox.sqlite", 40_000)
    box = outbox(tmp_path)
    assert "V2G-OUTBOX-DAMAGED" in caplog.text
    assert box.add([live(1)], now_ms=0)
    assert box.newest_seq() == 51, "memory still knew how far the numbers had come"


def test_damage_found_while_running_begins_a_new_outbox_and_counts(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    box = outbox(tmp_path)
    box.add([live(i) for i in range(300)], now_ms=0)
    box.tend(5_000)
    disk = box.tiers.disk
    assert disk is not None
    disk._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    disk._database.execute("PRAGMA cache_size = 0")
    path, name = tmp_path / "state" / "outbox.sqlite", box.id
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * (size - 4096))
    for i in range(3):
        box.add([live(1000 + i)], now_ms=10_000 + i)
        box.tend(20_000)
    assert "V2G-OUTBOX-DAMAGED" in caplog.text
    assert box.id != name
    assert len(seqs(box)) == 3  # nothing that was added afterwards is missing
    assert box.counters().dropped == 300, "what the damaged file had is counted"
    assert box.newest_seq() == 303, "numbers go on"


def test_a_disk_that_breaks_again_and_again_does_not_fill_itself(tmp_path: Path) -> None:
    for i in range(KEPT_ASIDE + 3):
        (tmp_path / "state").mkdir(exist_ok=True)
        (tmp_path / "state" / "outbox.sqlite").write_bytes(b"rubbish %d" % i * 100)
        outbox(tmp_path).close()
    aside = {p.read_bytes()[:9] for p in (tmp_path / "state").glob("outbox.sqlite.bad-*")}
    assert aside == {b"rubbish %d" % i for i in (3, 4, 5)}, "the newest three"


def test_another_sites_outbox_is_kept_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cabin = outbox(tmp_path, site="cabin")
    cabin.add([live(1), event(1)], now_ms=0)
    killed(cabin)
    box = outbox(tmp_path, site="home")
    assert seqs(box) == []
    assert caplog.text.count("belongs to site cabin") == 2, "in memory and on disk"
    assert len(list(tmp_path.glob("*/outbox.sqlite.bad-*"))) == 2


# ---- two processes ----

HOLDER = """
import sys, time
from pathlib import Path
from controller.telemetry.outbox import Outbox
folder = Path(sys.argv[1])
box = Outbox(folder / "state" / "outbox.sqlite", "home", quick=folder / "run" / "outbox.sqlite")
from tests.controller.telemetry.makers import event, live
box.add([live(1), event(2), live(3)], now_ms=0)
print("holding", flush=True)
time.sleep(60)
"""


def test_a_second_process_is_refused_and_a_killed_one_leaves_nothing_behind(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "holding\n"
            with pytest.raises(DatabaseRefusedError, match=r"outbox\.sqlite: another process holds it; stop that one"):
                outbox(tmp_path)
        finally:
            holder.send_signal(signal.SIGKILL)
    assert sorted(seqs(outbox(tmp_path))) == [1, 2, 3]


def test_a_reader_of_the_file_is_waited_for(tmp_path: Path) -> None:
    """A support engineer's sqlite3 on the file of a stopped process: refused while it holds a transaction."""
    outbox(tmp_path).close()
    with closing(sqlite3.connect(tmp_path / "state" / "outbox.sqlite")) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM rows")
        with pytest.raises(DatabaseRefusedError, match="another process holds it"):
            outbox(tmp_path)
    assert outbox(tmp_path).add([live(1)], now_ms=0)
