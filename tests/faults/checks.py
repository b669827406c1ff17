"""What must hold in the records of any run, whatever was broken around it."""

from __future__ import annotations

import numpy as np

from controller.replay import Replay
from controller.telemetry.wire import Arrival
from cython_core.records import Mode
from tests.faults.rig import P_RATED_W, RAMP_PU_S, Records

PERIOD_S = 0.01


def assert_no_jump(records: Records, within_w: float = 1e-6) -> None:
    """While power is commanded it moves at the ramp rate: 0.2 pu/s x 7000 W x 10 ms = 14 W a step, k steps when late.

    Only for runs in which nothing that acts at once (unplug, stop, a device's own limit) and no droop was in play.
    """
    commanded = records["mode"] != Mode.SILENT
    both = commanded[1:] & commanded[:-1]
    moved_w = np.abs(np.diff(records["p_cmd_w"]))
    allowed_w = RAMP_PU_S * P_RATED_W * PERIOD_S * records["k"][1:] + within_w
    wrong = np.flatnonzero(both & (moved_w > allowed_w))
    assert not len(wrong), f"step {records['n'][wrong[0] + 1]} moved {moved_w[wrong[0]]:.1f} W"


def assert_starts_from_present_power(records: Records, within_w: float = 50.0) -> None:
    """The first commanded power is the one that the inverter says it gives, but for one step of the ramp and noise."""
    first = records[int(np.argmax(records["mode"] != Mode.SILENT))]
    assert abs(first["p_cmd_w"] - first["d_p_w"]) <= within_w, (first["p_cmd_w"], first["d_p_w"])


def assert_whole(replayed: Replay, newest_n: dict[int, int]) -> None:
    """The journal holds every step of every epoch up to the newest one seen in the ring, and computes to equal bits."""
    assert replayed.identical, (replayed.notes, [r.difference for r in replayed.runs])
    assert [r.info["epoch"] for r in replayed.runs] == sorted(newest_n)
    for run in replayed.runs:
        n, epoch = run.records["n"], run.info["epoch"]
        assert run.lost == 0
        assert np.array_equal(n, np.arange(len(n))), f"epoch {epoch}: step numbers are absent"
        assert n[-1] >= newest_n[epoch]
        skipped = np.cumsum(run.records["k"] - 1)
        assert np.array_equal(run.records["skipped"], skipped), "a grid point is absent that was not counted"


def assert_nothing_lost(live: list[Arrival], events: list[Arrival], newest_n: dict[int, int]) -> None:
    """Every row of the outbox is in the store once, and the live frames cover every step without a hole."""
    (outbox,) = {row.outbox for row in live}
    seqs = sorted(row.seq for row in live + events)
    assert seqs == list(range(seqs[0], seqs[0] + len(seqs))), f"rows of outbox {outbox} are absent"
    assert seqs[0] == 1
    for run, newest in newest_n.items():
        windows = sorted((row.body["n_first"], row.body["n_last"]) for row in live if row.body["run"] == run)
        assert windows[0][0] == 0
        assert [first for first, _ in windows[1:]] == [last + 1 for _, last in windows[:-1]]
        assert windows[-1][1] >= newest
