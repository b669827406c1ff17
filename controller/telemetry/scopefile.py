"""Captures as files: CSV (UTF-8, comma, dot, units in the names, empty: absent) in a folder bounded in count and bytes.

Names    <UTC of the trigger>_<trigger>_n<step>.csv: they sort by time; the oldest goes first.
Columns  t_s: from the trigger; utc; then of each step what was measured, commanded and why. + = into the grid.
Errors   OSError: the disk does not take it; nothing is left half written.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from controller.telemetry.frames import ages_ms, name_of, names
from controller.telemetry.oscillography import Capture, Oscilloscope, Records
from controller.wholefile import write_whole
from cython_core.records import Mode, State

NAME = "oscillography"
NUMBERS = {
    "n": "n", "f_hz": "m_f_hz", "v1_v": "m_v1_v", "v2_v": "m_v2_v", "v3_v": "m_v3_v", "p_meter_w": "m_p_w",
    "q_meter_var": "m_q_var", "p_inverter_w": "d_p_w", "q_inverter_var": "d_q_var", "soc_pu": "d_soc_pu",
    "f_used_hz": "f_hz", "rocof_hz_s": "rocof_hz_s", "v_used_pu": "v_pu", "p_wish_w": "p_wish_w", "p_pre_w": "p_pre_w",
    "dp_target_w": "dp_target_w", "dp_w": "dp_w", "p_lo_w": "p_lo_w", "p_hi_w": "p_hi_w", "p_cmd_w": "p_cmd_w",
    "q_cmd_var": "q_cmd_var", "skipped": "skipped",
}  # fmt: skip
TIMES_MS = {"age_f_ms": "age_f_ns", "age_v_ms": "age_v_ns", "age_d_ms": "age_d_ns", "late_ms": "lateness_ns"}
HEADER = ("t_s", "utc", *NUMBERS, *TIMES_MS, "state", "mode", "reasons", "why")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Of one folder. pre_s, post_s, most_per_hour: of its captures."""

    pre_s: float
    post_s: float
    most_per_hour: int
    most_files: int
    most_bytes: int


class Scope:
    """The captures of one run after another. record() is called with records in order."""

    def __init__(self, folder: Path, bounds: Bounds) -> None:
        self.folder, self.bounds = folder, bounds
        self.info: dict[str, Any] = {}
        self.scope: Oscilloscope | None = None

    def begin(self, info: dict[str, Any], kept: dict[str, int]) -> int | None:
        """A run begins, or goes on after our restart. -> the first step needed; None: none that is past."""
        b = self.bounds
        self.info, self.scope = info, Oscilloscope(b.pre_s, b.post_s, b.most_per_hour, int(info["period_ns"]))
        if kept.get("epoch") != info["epoch"]:
            return None
        self.scope.resume(kept["done_n"])
        return kept["need_n"]

    def state(self) -> dict[str, int]:
        """What begin() wants after a restart."""
        if self.scope is None:
            return {}
        return {"epoch": int(self.info["epoch"]), "done_n": self.scope.done_n, "need_n": self.scope.need_n}

    def record(self, records: Records, wall_offset_ns: int) -> list[tuple[dict[str, int], dict[str, Any]]]:
        """(step of the trigger, facts of the event) for each capture that is finished, written or not.

        wall_offset_ns: of the wall clock as it is now; the run's own may have been that of a clock not yet set.
        """
        return [] if self.scope is None else [self._written(c, wall_offset_ns) for c in self.scope.feed(records)]

    def close(self, wall_offset_ns: int) -> list[tuple[dict[str, int], dict[str, Any]]]:
        """The run is over: what is under way is written as it is."""
        return [] if self.scope is None else [self._written(c, wall_offset_ns) for c in self.scope.close()]

    def _written(self, capture: Capture, wall_offset_ns: int) -> tuple[dict[str, int], dict[str, Any]]:
        t = capture.trigger
        facts: dict[str, Any] = {
            "trigger": t.name,
            "also": [f"{a.name} {(a.t_ns - t.t_ns) / 1e9:+.3f} s" for a in capture.also],
            "rows": len(capture.records),
            "complete": capture.complete,
            "passed_over": capture.passed_over,
        }
        try:
            file = write_capture(self.folder, capture, wall_offset_ns)
            keep_within(self.folder, self.bounds.most_files, self.bounds.most_bytes, file)
        except OSError as error:
            return {"n": t.n, "t_ns": t.t_ns}, facts | {"file": None, "error": str(error)}
        return {"n": t.n, "t_ns": t.t_ns}, facts | {"file": f"{NAME}/{file.name}"}


def write_capture(folder: Path, capture: Capture, wall_offset_ns: int) -> Path:
    """The file, whole."""
    folder.mkdir(parents=True, exist_ok=True)
    t = capture.trigger
    stamp = utc(wall_offset_ns + t.t_ns).strftime("%Y%m%dT%H%M%S.%fZ")
    path = folder / f"{stamp}_{t.name}_n{t.n}.csv"
    write_whole(path, to_csv(capture, wall_offset_ns))
    return path


def to_csv(capture: Capture, wall_offset_ns: int) -> str:
    """The text of a capture."""
    r, out = capture.records, io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(HEADER)
    t_s = (r["t_ns"] - capture.trigger.t_ns) / 1e9
    columns: list[list[str]] = [[f"{t:.6f}" for t in t_s]]
    columns.append([utc(wall_offset_ns + int(t)).strftime("%Y-%m-%dT%H:%M:%S.%fZ") for t in r["t_ns"]])
    columns += [[cell(v) for v in r[name].tolist()] for name in NUMBERS.values()]
    columns += [[cell(v) for v in ages_ms(r[name]).tolist()] for name in TIMES_MS.values()]
    columns += [[name_of(State, v) for v in r["state"].tolist()], [name_of(Mode, v) for v in r["mode"].tolist()]]
    columns += [[str(v) for v in r["reasons"].tolist()], [" ".join(names(v)) for v in r["reasons"].tolist()]]
    writer.writerows(zip(*columns, strict=True))
    return out.getvalue()


def cell(value: float) -> str:
    """A whole number as it is, any other with nine digits; what is absent is empty."""
    if isinstance(value, int):
        return str(value)
    return f"{value:.9g}" if np.isfinite(value) else ""


def utc(wall_ns: int) -> datetime:
    """To the microsecond, as a float of seconds is not."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=wall_ns // 1000)


def keep_within(folder: Path, most_files: int, most_bytes: int, newest: Path) -> None:
    """Remove the oldest; the newest stays, also if a clock that is not set yet puts its name before all others."""
    files = [file for file in sorted(folder.glob("*.csv")) if file != newest]
    sizes = {file: file.stat().st_size for file in (*files, newest)}
    while files and (len(sizes) > most_files or sum(sizes.values()) > most_bytes):
        files[0].unlink()
        del sizes[files.pop(0)]
