"""The small pieces: clipping, a rate limit, the lag of an open-loop response time, a curve, a span of power."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

NAN = float("nan")
INFINITY = float("inf")
LN_10 = 2.302585092994046


def finite(x: float) -> bool:
    return x - x == 0.0


def clip(x: float, low: float, high: float) -> float:
    if x < low:
        return low
    return high if x > high else x


def approach(y: float, target: float, most: float) -> float:
    """y moved towards target by at most so much."""
    return y + clip(target - y, -most, most)


def nanoseconds(seconds: float) -> int:
    return round(seconds * 1e9)


def left_after(t_s: float, t90_s: float) -> float:
    """10 ** (-t / t90), what a lag has left after t when it is 90 % done after t90 (open-loop response time, 3.1).

    exp(-x) by its series of 13 terms at x / 2 ** n, small enough, then squared n times.
    """
    x = t_s / t90_s * LN_10
    squarings = 0
    while x > 0.03125 and squarings < 40:
        x, squarings = x / 2.0, squarings + 1
    term = total = 1.0
    for i in range(1, 14):
        term = term * -x / i
        total += term
    for _ in range(squarings):
        total = total * total
    return total if finite(total) else 0.0


class Lag:
    """y += (1 - left)(x - y). After k periods the binary digits of k choose from left after 1, 2, 4 ... periods."""

    def __init__(self, period_s: float, t90_s: float) -> None:
        self.table = [left_after(period_s, t90_s)]
        for _ in range(15):
            self.table.append(self.table[-1] * self.table[-1])

    def left(self, k: int) -> float:
        if k >= 65536:
            return 0.0
        left = 1.0
        for i, factor in enumerate(self.table):
            if k >> i == 0:
                break
            if k >> i & 1:
                left *= factor
        return left

    def step(self, y: float, x: float, k: int) -> float:
        return x + (y - x) * self.left(k)


def curve(points: Sequence[tuple[float, float]], x: float) -> float:
    """Straight lines through the points, flat outside; where two points have one x the left one counts."""
    x0, y0 = points[0]
    if x <= x0:
        return y0
    for x1, y1 in points[1:]:
        if x <= x1:
            return y0 if x1 == x0 else y0 + (x - x0) / (x1 - x0) * (y1 - y0)
        x0, y0 = x1, y1
    return y0


@dataclass
class Span:
    """Active power that is permitted, W: lo <= hi."""

    lo: float
    hi: float

    def narrow(self, lo: float, hi: float) -> None:
        """A weaker layer: what both permit, or the one point of this span that is nearest to it."""
        self.lo, self.hi = clip(lo, self.lo, self.hi), clip(hi, self.lo, self.hi)

    def copy(self) -> Span:
        return Span(self.lo, self.hi)
