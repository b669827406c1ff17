"""The record of one case: what the meter said and what the bench did, by one monotonic clock.

Files    <run>/cases/<case id>/samples.csv, events.jsonl. Written as they come, flushed at least each second of real
         time: what a killed bench has measured stays.
Units    SAMPLE names them; t_ns is CLOCK_MONOTONIC (virtual time in simulation). Absent is NaN, in the file empty.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

# t_ns: when the meter took the values (not when we read them); set_*: what the source was last told, and acknowledged
SAMPLE = np.dtype(
    [("t_ns", "<i8")]
    + [(n, "<f8") for n in ("v1_v", "v2_v", "v3_v", "f_hz", "p_w", "q_var", "i_a", "set_v1_v", "set_v2_v", "set_v3_v")]
    + [("set_f_hz", "<f8")]
)
EventKind = Literal[
    "case",  # data: case id, rig's instruments; the first line
    "settings",  # data: wanted, read (both {"volt_var.v1_pu": 0.92})
    "step",  # data: name; t_ns: before anything of the step is done
    "arrived",  # data: name, sent_ns; t_ns: the source's acknowledgement of the step's point, which it got at sent_ns
    "end",  # data: name; t_ns: the hold is over
    "source",  # data: the point; t_ns: acknowledgement
    "fault",  # data: line
    "rig",  # data: text; the rig itself is in trouble: the case is invalid
    "done",  # the last line of a case that was run to its end
]


@dataclass(frozen=True, slots=True)
class Event:
    """Something the bench did or met."""

    t_ns: int
    kind: EventKind
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class CaseRecord:
    """samples: SAMPLE rows in order of t_ns; a meter that repeats a value repeats its t_ns."""

    samples: NDArray[Any]
    events: tuple[Event, ...]
