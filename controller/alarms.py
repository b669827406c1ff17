"""Alarms: one log line per change of state, with a stable code, at most once a minute and code.

Source   the reasons bits of the newest step record. Codes never change their meaning; docs/operations.md lists them.
"""

from __future__ import annotations

import logging

from cython_core.records import REASON_TEXT, Reason

log = logging.getLogger(__name__)

HOLD_S = 60.0

# what a change of this bit is called in the log; a bit that is not here is ordinary work
CODES: dict[Reason, str] = {
    Reason.F_STALE: "V2G-STALE-FREQUENCY",
    Reason.F_LOST: "V2G-LOST-FREQUENCY",
    Reason.F_INVALID: "V2G-INVALID-FREQUENCY",
    Reason.V_STALE: "V2G-STALE-VOLTAGE",
    Reason.V_LOST: "V2G-LOST-VOLTAGE",
    Reason.V_INVALID: "V2G-INVALID-VOLTAGE",
    Reason.DEVICE_STALE: "V2G-STALE-INVERTER",
    Reason.DEVICE_LOST: "V2G-LOST-INVERTER",
    Reason.METER_LOST: "V2G-LOST-METER",
    Reason.METER_FROZEN: "V2G-FROZEN-METER",
    Reason.WISH_REFUSED: "V2G-WISH-REFUSED",
    Reason.NOT_RUNNING: "V2G-INVERTER-NOT-RUNNING",
    Reason.LOCAL_CONTROL: "V2G-LOCAL-CONTROL",
    Reason.NO_PERMIT: "V2G-NO-PERMIT",
    Reason.EMERGENCY_STOP: "V2G-EMERGENCY-STOP",
    Reason.TRIP_VOLTAGE: "V2G-TRIP-VOLTAGE",
    Reason.TRIP_FREQUENCY: "V2G-TRIP-FREQUENCY",
    Reason.RIDE_THROUGH: "V2G-RIDE-THROUGH",
    Reason.CESSATION: "V2G-CESSATION",
    Reason.ENTER_CRITERIA: "V2G-GRID-NOT-GOOD",
    Reason.ENTER_DELAY: "V2G-ENTER-DELAY",
    Reason.SITE_FUSE: "V2G-HOUSE-FUSE",
    Reason.P_STALE: "V2G-STALE-CONNECTION",
    Reason.P_LOST: "V2G-LOST-CONNECTION",
}


class Alarms:
    """Remembers what stands and what has been said. update(reasons, now_s) with any monotonic clock."""

    def __init__(self) -> None:
        self.standing = 0
        self._said_s: dict[Reason, float] = {}
        self._held: dict[Reason, int] = {}

    def update(self, reasons: int, now_s: float) -> None:
        """Log every alarm that came or went since the last call."""
        for reason, code in CODES.items():
            if (reasons ^ self.standing) & reason:
                self._say(reason, code, bool(reasons & reason), now_s)
        self.standing = reasons

    def _say(self, reason: Reason, code: str, came: bool, now_s: float) -> None:
        if came and now_s - self._said_s.get(reason, -HOLD_S) < HOLD_S:
            self._held[reason] = self._held.get(reason, 0) + 1
            return
        if came:
            self._said_s[reason] = now_s
            held = self._held.pop(reason, 0)
            log.warning("%s %s%s", code, REASON_TEXT[reason], f" (and {held} times in between)" if held else "")
        elif self._held.get(reason, 0) == 0:
            log.info("%s over", code)
