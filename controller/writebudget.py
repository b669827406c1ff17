"""How much of the day's write budget the runs before have spent. For the launcher; the core keeps the file.

Source   a run that has ended in this boot of the host has left its exact counters (controller.buswatch); else the file
         in the state directory counts, which is a minute behind at most.
Unsure   always the smaller budget. A file that cannot be read: half is spent, as of now. A wall clock that went
         backwards, or that nobody keeps right and that says the day is over: the day begins now.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from controller.budgetfile import VERSION

DAY_S = 24 * 3600
SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Moment:
    """When it is read. boot: the name of this boot of the host."""

    now_ns: int  # CLOCK_MONOTONIC
    wall_s: float
    synchronized: bool  # somebody keeps the wall clock right
    boot: str


@dataclass(frozen=True, slots=True)
class Spent:
    """Set-points sent in the day that began at t_day_ns (CLOCK_MONOTONIC). line: to be logged; "": nothing to say."""

    count: int = 0
    t_day_ns: int = 0
    level: int = logging.INFO
    line: str = ""


def spent_before(budget: int, counters: Path, kept: Path, at: Moment) -> Spent:
    """budget: set-points in 24 h, 0: any number. counters, kept: the files of the runs before, if there are any."""
    if not budget:
        return Spent()
    known = of_this_boot(counters, at.boot)
    try:
        count, t_day_ns = known or from_file(kept, at)
    except (OSError, ValueError, KeyError, TypeError) as error:
        half = (budget + 1) // 2
        text = f"{kept}: {error!r}; half of the day's {budget} set-points are taken as spent, the day as begun now"
        return Spent(half, at.now_ns, logging.WARNING, f"V2G-WRITE-BUDGET-UNKNOWN {text}")
    left_s = DAY_S - (at.now_ns - t_day_ns) / SECOND_NS
    if count == 0 or left_s <= 0:
        return Spent()
    text = f"{count} of {budget} set-points of this day are spent; it is over in {left_s / 3600:.1f} h"
    return Spent(count, t_day_ns, logging.INFO, f"V2G-WRITE-BUDGET {text}")


def of_this_boot(counters: Path, boot: str) -> tuple[int, int] | None:
    """What the core of a moment ago had counted; None: it had no budget, or its times mean nothing here."""
    try:
        found = json.loads(counters.read_text())
        inverter = found["inverter"]
        ours = found["boot_id"] == boot and inverter["budget"] > 0
        return (int(inverter["spent"]), int(inverter["t_day_ns"])) if ours else None
    except (OSError, ValueError, KeyError, TypeError):
        return None  # the other file is there for that


def from_file(kept: Path, at: Moment) -> tuple[int, int]:
    """(spent, begin of their day as CLOCK_MONOTONIC). Raises OSError, ValueError, KeyError, TypeError."""
    if not kept.exists():
        return 0, 0
    found: dict[str, Any] = json.loads(kept.read_text())
    spent, day_began_s = found["spent"], found["day_began_s"]
    if found["v"] != VERSION:
        raise ValueError(f"version {found['v']}; this program reads {VERSION}")
    if type(spent) is not int or type(day_began_s) is not int or spent < 0:
        raise ValueError("spent and day_began_s must be whole numbers, and spent not below 0")
    gone_s = at.wall_s - day_began_s
    if gone_s < 0 or (gone_s >= DAY_S and not at.synchronized):
        gone_s = 0.0
    return spent, at.now_ns - round(gone_s * SECOND_NS)
