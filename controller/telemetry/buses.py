"""What the buses have counted, for a live frame: one set of counters for each device, with its wire's state.

Source   buses.json, written by the core (controller.buswatch). Counts are since the core's start and only grow; spent
         is that of the 24 h under way. Their meaning: docs/operations.md.
Names    of the counters, but for times: turnaround_ms {newest, min, mean}, answer_age_ms (null: no answer yet), and
         where the device has a write budget: budget, budget_day_left_s.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from controller.telemetry.frames import number

VERSION = 1
FRESH_MS = 2500  # the core writes each second
NOT_SENT = ("beats", "t_success_ns", "t_day_ns", "last_turnaround_ns", "min_turnaround_ns", "mean_turnaround_ns")
DAY_S = 24 * 3600
Sets = dict[str, dict[str, Any]]


def read_told(path: Path, info: Mapping[str, Any], t_ms: int) -> dict[str, Any]:
    """buses.json as it stood at this time of the run that info tells of; nothing when it is of another."""
    try:
        found: dict[str, Any] = json.loads(path.read_text())
        at_ms = (int(info["wall_offset_ns"]) + found["t_ns"]) // 1_000_000
        same = (found["v"], found["epoch"]) == (VERSION, info["epoch"]) and abs(at_ms - t_ms) <= FRESH_MS
        return found if same else {}
    except (OSError, ValueError, KeyError, TypeError):  # none, or somebody else's
        return {}


def sets_of(told: Mapping[str, Any]) -> Sets:
    """The counters of each device as they are sent."""
    try:
        return {role: facts(told[role], told["t_ns"]) for role in ("meter", "inverter")}
    except (KeyError, TypeError, AttributeError):
        return {}


def facts(counts: Mapping[str, int], now_ns: int) -> dict[str, Any]:
    """One device's set as it is sent."""
    sent: dict[str, Any] = {name: count for name, count in counts.items() if name not in NOT_SENT}
    sent["connected"] = bool(counts["connected"])
    t_ns = counts["t_success_ns"]
    sent["answer_age_ms"] = number((now_ns - t_ns) / 1e6) if t_ns else None
    if "mean_turnaround_ns" in counts:
        known = counts["mean_turnaround_ns"] > 0
        names = {"newest": "last", "min": "min", "mean": "mean"}
        sent["turnaround_ms"] = {
            to: number(counts[f"{of}_turnaround_ns"] / 1e6) if known else None for to, of in names.items()
        }
    if not counts.get("budget"):
        sent.pop("budget", None)
    elif counts["spent"]:
        sent["budget_day_left_s"] = max(number(DAY_S - (now_ns - counts["t_day_ns"]) / 1e9) or 0.0, 0.0)
    return sent
