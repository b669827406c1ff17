"""What a CAN bus thread counts, as a reading. Names shared with drivers.modbus.statistics mean the same."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CanStats:
    """Counts since start(). t_success_ns is CLOCK_MONOTONIC of the newest frame that was taken, 0: never.

    beats advance while the thread lives, at least each 50 ms and whatever the bus does: what a watchdog feeds on.
    attempts: frames we tried to send. answers: frames of the device that were taken.
    timeouts: a frame did not come within its time. bad_frames: another length than the map says.
    late: refused by their counter (duplicates and reordered), or answers that nobody asked for (unasked).
    foreign: frames with an identifier that is ours to send: somebody else commands this device.
    writes: set-points that were seen on the bus (the kernel hands each of our frames back when it has been sent and
    acknowledged there). write_errors: those that were not, within a second.
    bus_off, restarts: told by error frames, of which error_frames counts all. reconnects: after the first.
    last_errno: of the newest system call that failed (0: none so far).
    """

    beats: int
    attempts: int
    answers: int
    timeouts: int
    bad_frames: int
    duplicates: int
    reordered: int
    unasked: int
    foreign: int
    error_frames: int
    bus_off: int
    restarts: int
    reconnects: int
    connected: int
    writes: int
    write_errors: int
    heartbeats: int
    refused: int
    expired: int
    changes: int
    last_errno: int
    t_success_ns: int

    @property
    def late(self) -> int:
        return self.duplicates + self.reordered + self.unasked
