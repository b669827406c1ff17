"""What is owed for a fault, computed from the design's section 6 and the rig's own numbers; nothing of the product.

T = max(poll, refresh, one timeout + one retry). fresh <= 2 T; held <= max(5 T, 1 s); stale <= lost_after; then lost.
An age includes half the refresh. Times are seconds, counted from the moment the fault is in force.
"""

from __future__ import annotations

from dataclasses import dataclass

PERIOD_S = 0.01
LOST_AFTER_S = 2.0  # of the site
REVERSION_S = 3.0  # the inverter's own timer
RECOVERY_S = 15.0
SAFE_RAMP_S = 10.0  # whole meter lost: ramp to safe_p_w in at most this
FROZEN_S = 5.0  # all fast registers identical for max(20 refreshes of 0.1 s, 5 s)
MISMATCH_S = 6.0  # of the site: power unlike the command for so long
SOC_EVERY = 10  # polls: state of charge is on the slow list
LIMIT_EVERY = 20  # and what the car can do
UNIT_LAG_S = 1.0  # dead time 50 ms, then 1400 W -> 70 W by a lag of 150 ms: 0.5 s; the rest for a busy machine
LOOK_S = 0.3  # how late this test may see what the plant does


@dataclass(frozen=True, slots=True)
class Wire:
    """What makes the ages of one device's signals. round_s: characters of one round of requests on a serial line."""

    poll_s: float
    timeout_s: float
    refresh_s: float = 0.0
    round_s: float = 0.0

    @property
    def t_s(self) -> float:
        return max(self.poll_s, self.refresh_s, 2 * self.timeout_s + self.round_s)

    @property
    def held_s(self) -> float:
        """Up to this age a signal is held; older, it is stale."""
        return max(5 * self.t_s, 1.0)

    @property
    def in_flight_s(self) -> float:
        """A good answer may still come so long after the fault has begun; a step then sees it."""
        return self.timeout_s + self.round_s + PERIOD_S

    def latest_s(self, age_s: float) -> float:
        """From the fault to the step in which the age is passed, at the latest."""
        return age_s - self.refresh_s / 2 + self.in_flight_s + PERIOD_S


METER = Wire(poll_s=0.05, timeout_s=0.1, refresh_s=0.1)
INVERTER = Wire(poll_s=0.1, timeout_s=0.1)
ROUND_S = 0.05  # at 115 200 baud: 230 characters of 11 bits for reads, 40 for a write, and the rests of the devices
METER_LINE = Wire(poll_s=0.05, timeout_s=0.1, refresh_s=0.1, round_s=ROUND_S)
INVERTER_LINE = Wire(poll_s=0.1, timeout_s=0.1, round_s=ROUND_S)
