"""Pace: how fast remote commands may change what this unit does, so that nobody who commands many can shake the grid.

Rate     accepted commands a minute, of all sources together.
Turns    changes of a wish from charging to discharging or back, an hour; 0 W between them hides none, nor does a wish
         that ends by itself: the unit then charges as its site has it.
Spread   a wish of SPREAD begins after a random time of its own in each unit; a stop never waits.
Errors   Refused: rate, turns.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from controller.services.command import Refused

HOUR_NS = 3_600 * 10**9
SPREAD = ("aggregator",)  # who commands many units at once, whatever a message says of itself


@dataclass(frozen=True, slots=True)
class Limits:
    """A site's."""

    per_minute: int
    turns_per_hour: int
    spread_s: float

    def spread_ms(self, source: str) -> int:
        """Longest wait of this source's wishes."""
        return round(self.spread_s * 1000) if source in SPREAD else 0


class Pace:
    """What has been admitted lately. Time is monotonic."""

    def __init__(self, limits: Limits, now_ns: int) -> None:
        self.limits = limits
        self._tokens, self._tokens_ns = float(limits.per_minute), now_ns
        self._direction = 0  # of the newest wish that had one: 1 out of the unit, -1 into it
        self._turns: deque[int] = deque()

    def admit(self, p_w: float, now_ns: int, always: bool = False) -> None:
        """One command that wishes for p_w; always: a first stop is never too many. Raises Refused."""
        direction = (p_w > 0.0) - (p_w < 0.0)
        turns = direction * self._direction < 0
        while self._turns and now_ns - self._turns[0] >= HOUR_NS:
            self._turns.popleft()
        if turns and len(self._turns) >= self.limits.turns_per_hour:
            raise Refused("turns", f"more than {self.limits.turns_per_hour} changes of direction an hour")
        self._take_token(now_ns, always)
        if turns:
            self._turns.append(now_ns)
        self._direction = direction or self._direction

    def rest(self, now_ns: int) -> None:
        """Nobody has a wish any more."""
        if self._direction > 0:
            self._turns.append(now_ns)
            self._direction = -1

    def _take_token(self, now_ns: int, always: bool) -> None:
        per_minute = self.limits.per_minute
        elapsed_s = (now_ns - self._tokens_ns) / 1e9
        self._tokens = min(float(per_minute), self._tokens + elapsed_s * per_minute / 60.0)
        self._tokens_ns = now_ns
        if self._tokens < 1.0 and not always:
            raise Refused("rate", f"more than {per_minute} commands a minute")
        self._tokens = max(0.0, self._tokens - 1.0)
