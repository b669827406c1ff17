"""Alarms: one log line per change of state, with a stable code, at most once a minute and code.

Source   the reasons bits of the newest step record. Codes never change their meaning; docs/operations.md lists them.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

HOLD_S = 60.0

# bit of records.Reason -> what its change is called in the log; a bit that is not here is ordinary work
CODES = {
    "F_STALE": "V2G-STALE-FREQUENCY",
    "F_LOST": "V2G-LOST-FREQUENCY",
    "F_INVALID": "V2G-INVALID-FREQUENCY",
    "V_STALE": "V2G-STALE-VOLTAGE",
    "V_LOST": "V2G-LOST-VOLTAGE",
    "V_INVALID": "V2G-INVALID-VOLTAGE",
    "DEVICE_STALE": "V2G-STALE-INVERTER",
    "DEVICE_LOST": "V2G-LOST-INVERTER",
    "METER_LOST": "V2G-LOST-METER",
    "METER_FROZEN": "V2G-FROZEN-METER",
    "WISH_REFUSED": "V2G-WISH-REFUSED",
    "NOT_RUNNING": "V2G-INVERTER-NOT-RUNNING",
    "LOCAL_CONTROL": "V2G-LOCAL-CONTROL",
    "NO_PERMIT": "V2G-NO-PERMIT",
    "EMERGENCY_STOP": "V2G-EMERGENCY-STOP",
    "TRIP_VOLTAGE": "V2G-TRIP-VOLTAGE",
    "TRIP_FREQUENCY": "V2G-TRIP-FREQUENCY",
    "RIDE_THROUGH": "V2G-RIDE-THROUGH",
    "CESSATION": "V2G-CESSATION",
    "ENTER_CRITERIA": "V2G-GRID-NOT-GOOD",
    "ENTER_DELAY": "V2G-ENTER-DELAY",
    "SITE_FUSE": "V2G-HOUSE-FUSE",
    "P_STALE": "V2G-STALE-CONNECTION",
    "P_LOST": "V2G-LOST-CONNECTION",
    "OVERWRITTEN": "V2G-FOREIGN-SET-POINT",
    "POWER_MISMATCH": "V2G-POWER-MISMATCH",
}


class Alarms:
    """Remembers what stands and what has been said. update(reasons, now_s) with any monotonic clock.

    rows: (bit, code, what it means) of each alarm. say(level, text) writes the line.
    """

    def __init__(self, rows: Sequence[tuple[int, str, str]], say: Callable[[str, str], None]) -> None:
        self.rows, self.say = rows, say
        self.standing = 0
        self._said_s: dict[int, float] = {}
        self._held: dict[int, int] = {}

    def update(self, reasons: int, now_s: float) -> None:
        """Log every alarm that came or went since the last call."""
        for bit, code, meaning in self.rows:
            if (reasons ^ self.standing) & bit:
                self._say(bit, code, meaning, bool(reasons & bit), now_s)
        self.standing = reasons

    def _say(self, bit: int, code: str, meaning: str, came: bool, now_s: float) -> None:
        if came and now_s - self._said_s.get(bit, -HOLD_S) < HOLD_S:
            self._held[bit] = self._held.get(bit, 0) + 1
            return
        if came:
            self._said_s[bit] = now_s
            held = self._held.pop(bit, 0)
            self.say("WARNING", f"{code} {meaning}" + (f" (and {held} times in between)" if held else ""))
        elif self._held.get(bit, 0) == 0:
            self.say("INFO", f"{code} over")
