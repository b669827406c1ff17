"""A power cut: SIGKILL of everything the unit runs; its runtime directory (in memory) is gone, its disk loses writes.

Each time the service starts by itself, journal and outbox recover, and the record holds up to the cut. Two disks:
honest   it loses what nobody has forced out (losing_disk.py): no event is lost, and of live frames the last LIVE_MS.
lying    it loses the newest bytes, forced out or not, as a cheap card does. Nothing is owed but that all goes on.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from controller.chain import NAME, Line, lines_of, older
from controller.seal import JOURNAL
from controller.telemetry.outbox import SPILL_MS
from controller.verify import verify_record
from tests.faults.rig import READY_S, Rig
from tests.system.losing_disk import LosingDisk

pytestmark = pytest.mark.system
OURS = ("controller", "telemetry", "bridge")
TORN = 3000
LOSABLE = (JOURNAL, NAME, "outbox.sqlite-wal", "telemetry.sqlite-wal")
UNDER_WAY_MS = 1000  # from the step that a row tells of to the disk
OWED_MS = {"event": UNDER_WAY_MS, "live": SPILL_MS + UNDER_WAY_MS}  # what is older at a cut must not be lost
Key = tuple[str, int, int]  # kind, epoch, t_ms
Lost = dict[str, int]  # file -> bytes


def honest(rig: Rig) -> Callable[[Random], Lost]:
    disk = LosingDisk(rig.folder / "state", rig.folder / "disk")
    rig.family.environment = disk.environment()
    return disk.cut


def lying(rig: Rig) -> Callable[[Random], Lost]:
    def cut(random: Random) -> Lost:
        files = [file for name in LOSABLE if (file := rig.folder / "state" / name).exists()]
        lost = {file.name: random.randint(0, min(file.stat().st_size, TORN)) for file in files}
        for file in files:
            os.truncate(file, file.stat().st_size - lost[file.name])
        return lost

    return cut


def waiting_or_stored(rig: Rig, scratch: Path) -> set[Key]:
    """Every row that a file has, wherever it is on its way; read from copies, for a reader recovers what it opens."""
    state, run = rig.folder / "state", rig.folder / "run"
    for file in [*state.glob("*.sqlite*"), *run.glob("outbox-quick.sqlite*")]:
        shutil.copy(file, scratch / file.name)
    found = stored(scratch / "telemetry.sqlite")
    for name in ("outbox.sqlite", "outbox-quick.sqlite"):
        rows = select(scratch / name, "SELECT kind, body FROM rows")
        found |= {(str(kind), body["epoch"], body["t_ms"]) for kind, text in rows for body in (json.loads(text),)}
    return found


def stored(path: Path) -> set[Key]:
    rows = select(path, "SELECT kind, epoch, t_ms FROM points")
    return {(str(kind), int(epoch), int(t_ms)) for kind, epoch, t_ms in rows}


def select(path: Path, query: str) -> list[tuple[str, ...]]:
    if not path.exists():
        return []
    database = sqlite3.connect(path)
    try:
        return database.execute(query).fetchall()
    finally:
        database.close()


def kill(rig: Rig, random: Random, scratch: Path) -> set[Key]:
    """Everything at once, memory is gone. -> the rows that must not be lost."""
    for part in random.sample(OURS, len(OURS)):
        rig.kill(part)
    now_ms = time.time_ns() // 1_000_000
    owed = {key for key in waiting_or_stored(rig, scratch) if key[2] < now_ms - OWED_MS[key[0]]}
    shutil.rmtree(rig.folder / "run")
    rig._reader, rig.runs = None, {}
    return owed


def start(rig: Rig, what: str) -> None:
    """By themselves: in service, and a frame delivered."""
    for part in ("bridge", "telemetry", "controller"):
        rig.restart(part)
    rig.wait_for(rig.is_calm, READY_S, f"in service {what}")
    sent = rig.telemetry().get("sent", 0)
    rig.wait_for(lambda: rig.telemetry().get("sent", 0) > sent, READY_S, f"a frame {what}")


def chain(state: Path) -> list[Line]:
    """As it stands, up to the first break."""
    return list(lines_of(older(state / NAME), state / NAME))


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("disk", "cuts"), [(honest, 5), (honest, 100), (lying, 20)], ids=["honest, 5", "honest, 100", "lying, 20"]
)
def test_after_a_power_cut_everything_goes_on(
    tmp_path: Path, disk: Callable[[Rig], Callable[[Random], Lost]], cuts: int
) -> None:
    random, owed = Random(7), set[Key]()
    state, scratch = tmp_path / "rig" / "state", tmp_path / "scratch"
    scratch.mkdir()
    with Rig(tmp_path / "rig") as rig:
        lose = disk(rig)
        rig.start()
        for number in range(cuts):
            rig.run_for(random.uniform(0.1, 3.0))
            owed |= kill(rig, random, scratch)
            lost, held = lose(random), chain(state)
            start(rig, f"after cut {number} ({lost})")
            assert verify_record(state).breaks == [], (number, lost)
            assert chain(state)[: len(held)] == held, "what has survived the cut"
            assert len(chain(state)) > len(held), "it goes on"
        rig.wait_for(lambda: rig.telemetry()["waiting"] <= 2, READY_S, "all that waits is delivered")
        for part in ("controller", "telemetry"):
            rig.stop(part)
        replayed = rig.replayed()
        assert replayed.identical, (replayed.notes, [run.difference for run in replayed.runs])
        assert len(replayed.runs) > cuts / 2, "most epochs have come to the disk"
        verdict = verify_record(state)
        assert (verdict.breaks, verdict.unsealed_bytes) == ([], 0)
        assert {kind for kind, _, _ in owed} == set(OWED_MS)
        if disk is honest:
            assert sorted(owed - stored(state / "telemetry.sqlite")) == []
