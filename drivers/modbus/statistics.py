"""What a bus thread counts, as a reading. Plain numbers: the running core, telemetry and tests all use it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BusStats:
    """Counts since start(). A try that failed and its retry are two attempts. t_*_ns is CLOCK_MONOTONIC, 0: never.

    beats advance while the thread lives, at least each 50 ms and whatever the device does: what a watchdog feeds on.
    attempts do so too, but no faster than the poll period and the time-out. last_error is a frame.Fault (0: none so
    far) and stays after a success; last_exception is the device's own code. reconnects: after the first. A turnaround
    lasts from the request's first byte to the answer's last. spent: set-points sent in the 24 h that began at
    t_day_ns; held: commands that a spent budget of them held back. connected: 1 or 0.
    """

    beats: int
    attempts: int
    answers: int
    timeouts: int
    exceptions: int
    bad_frames: int
    late: int
    reconnects: int
    connected: int
    writes: int
    write_errors: int
    refused: int
    expired: int
    held: int
    spent: int
    t_day_ns: int
    changes: int
    last_turnaround_ns: int
    min_turnaround_ns: int
    mean_turnaround_ns: int
    last_error: int
    last_exception: int
    t_success_ns: int
