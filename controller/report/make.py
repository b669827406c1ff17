"""Journal -> report: compute the run again, measure it, judge it, write the page. Nothing else is looked at.

The numbers come from the journal's inputs and the compiled core; the live frames' times come from the store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from controller.build import build_id
from controller.errors import InputError
from controller.journal import read_journal
from controller.replay import Replay, RunReplay, replay
from controller.response.checks import Check
from controller.response.judge import Verdict, judge


@dataclass(frozen=True, slots=True)
class Judged:
    """One run of a journal, measured and judged."""

    replay: Replay
    run: RunReplay
    frames_ms: NDArray[np.float64] | None
    verdict: Verdict

    @property
    def replay_line(self) -> str:
        """Whether the numbers rest on equal bits."""
        return replay_check(self.replay, self.run).reason


def replay_check(result: Replay, run: RunReplay) -> Check:
    """The verdict stands only on records that could be computed again, all of them."""
    faults = [*result.notes, run.difference]
    faults += [f"{run.lost} steps lost"] if run.lost else []
    faults += [f"{run.adrift} steps not computable"] if run.adrift else []
    faults = [f for f in faults if f]
    text = f"identical over {run.identical} steps (build {build_id()})"
    reason = "; ".join(["NOT identical", *faults]) if faults else text
    return Check("Steps that replay did not compute to equal bits", len(run.records) - run.identical, "", 0.0,
                 not faults, reason)  # fmt: skip


def frames_of(store: Path, run: RunReplay) -> NDArray[np.float64]:
    """(source, arrival) of each live frame of one run, ms of wall clock as it was when the run began.

    The step that a frame ends with tells when that was: the frame's own times move when the wall clock is set.
    """
    from controller.telemetry.sqlitestore import read_points

    points = read_points(store, str(run.info["site"]), "live")
    points = [p for p in points if p.body.get("run", p.epoch) == run.info["epoch"]]
    n_last = [p.body["n_last"] for p in points]
    t_ms = (np.interp(n_last, run.records["n"], run.records["t_ns"]) + int(run.info["wall_offset_ns"])) / 1e6
    return np.column_stack([t_ms, t_ms + [p.arrived_ms - p.t_ms for p in points]]).reshape(-1, 2)


def choose(result: Replay, path: Path, epoch: int | None) -> RunReplay:
    """The run asked for; else the last one."""
    known = [r.info.get("epoch") for r in result.runs]
    if not result.runs:
        raise InputError(f"{path}: holds no run; {'; '.join(result.notes) or 'nothing was recorded'}")
    if epoch is None:
        return result.runs[-1]
    if epoch not in known:
        raise InputError(f"{path}: epoch {epoch} is not in it; known: {', '.join(map(str, known))}")
    return result.runs[known.index(epoch)]


def judge_journal(
    path: Path, store: Path | None, epoch: int | None = None, progress: Callable[[int, int], None] | None = None
) -> Judged:
    """Compute, measure, judge. store: a SQLite store with the live frames, or None (then telemetry is not judged)."""
    result = replay(read_journal(path), keep=True, progress=progress)
    run = choose(result, path, epoch)
    if len(run.records) == 0:
        raise InputError(f"{path}: the run {run.info.get('epoch')} holds no step that could be computed")
    frames_ms = None if store is None else frames_of(store, run)
    verdict = judge(run.records, run.info, frames_ms).plus(replay_check(result, run))
    return Judged(result, run, frames_ms, verdict)


def write(
    judged: Judged, out: Path, notes: tuple[str, ...] = (), faults: Iterable[tuple[str, float, float]] = ()
) -> None:
    """The page; drawing is imported here, because it is heavy. faults: words, begin and end as CLOCK_MONOTONIC s."""
    from controller.report.curves import FaultSpan
    from controller.report.page import write_report

    made_at = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    run = judged.run
    first_s, last_s = (int(run.records["t_ns"][i]) / 1e9 for i in (0, -1))
    spans = tuple(
        FaultSpan(max(begin_s, first_s) - first_s, min(end_s, last_s) - first_s, words)
        for words, begin_s, end_s in faults
        if end_s >= first_s and begin_s <= last_s
    )
    write_report(
        out, run.records, run.info, judged.frames_ms, judged.verdict, replay=judged.replay_line, made_at=made_at,
        notes=notes, faults=spans,
    )  # fmt: skip


def as_json(judged: Judged, out: Path | None) -> dict[str, Any]:
    """What a program reads."""
    from controller.response.judge import to_json

    answer = to_json(judged.verdict)
    return answer | {
        "replay": judged.replay_line,
        "steps": judged.run.identical,
        "unverified": judged.run.info.get("unverified", ""),
        "report": None if out is None else str(out),
    }
