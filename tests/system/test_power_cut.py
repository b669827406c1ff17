"""A power cut: SIGKILL of everything the unit runs, its last writes torn, its runtime directory (in memory) gone.

Each time the service starts by itself, journal and outbox recover, and the record holds up to the cut. What a disk may
lose is what no fsync has brought there: here up to TORN bytes of each file's newest part.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from random import Random

import pytest

from controller.chain import NAME, lines_of, older
from controller.seal import JOURNAL
from controller.verify import verify_record
from tests.faults.rig import READY_S, Rig

pytestmark = pytest.mark.system
OURS = ("controller", "telemetry", "bridge")
TORN = 3000
LOSABLE = (JOURNAL, NAME, "outbox.sqlite-wal")


def cut(rig: Rig, random: Random) -> dict[str, int]:
    """-> bytes torn off, by file."""
    for part in random.sample(OURS, len(OURS)):
        rig.kill(part)
    shutil.rmtree(rig.folder / "run")
    rig._reader, rig.runs = None, {}
    torn = {}
    for name in LOSABLE:
        file = rig.folder / "state" / name
        size = file.stat().st_size if file.exists() else 0
        torn[name] = random.randint(0, min(size, TORN))
        if size:
            os.truncate(file, size - torn[name])
    return torn


def newest_n(state: Path) -> int:
    """Of the chain as it stands, up to the cut."""
    return max((line.n for line in lines_of(older(state / NAME), state / NAME)), default=-1)


def wait_for_a_frame(rig: Rig) -> None:
    """One more is delivered."""
    sent = rig.telemetry().get("sent", 0)
    rig.wait_for(lambda: rig.telemetry().get("sent", 0) > sent, READY_S, "a frame delivered")


@pytest.mark.nightly
@pytest.mark.parametrize("cuts", [pytest.param(5, id="5"), pytest.param(100, id="100")])
def test_after_a_power_cut_everything_goes_on(tmp_path: Path, cuts: int) -> None:
    random = Random(7)
    state = tmp_path / "rig" / "state"
    with Rig(tmp_path / "rig") as rig:
        rig.start()
        for number in range(cuts):
            rig.run_for(random.uniform(0.1, 3.0))
            torn = cut(rig, random)
            held = newest_n(state)
            for part in ("bridge", "telemetry", "controller"):
                rig.restart(part)
            rig.wait_for(rig.is_calm, READY_S, f"in service after cut {number} ({torn})")
            wait_for_a_frame(rig)
            verdict = verify_record(state)
            assert verdict.breaks == [], (number, torn)
            assert verdict.newest is not None
            assert verdict.newest.n > held, "it goes on after the line that was its last"
        for part in ("controller", "telemetry"):
            rig.stop(part)
        replayed = rig.replayed()
        assert replayed.identical, (replayed.notes, [run.difference for run in replayed.runs])
        assert len(replayed.runs) >= 2
        verdict = verify_record(state)
        assert (verdict.breaks, verdict.unsealed_bytes) == ([], 0)
        assert rig.rows("live")
