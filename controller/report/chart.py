"""Charts as SVG text for pages that hold hundreds of them: a few kB and a millisecond each, no drawing library.

Panels lie above one another and share the horizontal axis. Shapes are given in data units and carry a class; how a
class looks is the page's style (chart.css), so one chart serves light, dark and print. No ids: charts cannot clash.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from html import escape

import numpy as np
from numpy.typing import ArrayLike

from controller.response.formula import Floats

Span = tuple[float, float]

LEFT, RIGHT, TITLE, FOOT, GAP = 58, 10, 17, 30, 8  # px around and between panels
PX_PER_X_TICK, PX_PER_Y_TICK = 62, 24
MOST_POINTS = 1200  # a plot is some 500 px wide


class Panel:
    """One pair of axes; shapes are drawn in the order in which they are added, and end at the panel's edge."""

    def __init__(self, title: str, x: Span, y: Span, width: int = 620, height: int = 104, head: int = 0) -> None:
        """width of the whole chart, height of the panel alone, head: of it kept free for words, px."""
        self.title, self.x, self.y, self.width, self.height, self.head = title, x, y, width, height, head
        self.shapes: list[str] = []

    def px(self, x: ArrayLike) -> Floats:
        """Data -> pixels from the chart's left edge, no further than the panel."""
        low, high = self.x
        share = np.clip((np.asarray(x, dtype=float) - low) / (high - low), 0.0, 1.0)
        return np.asarray(LEFT + share * (self.width - LEFT - RIGHT))

    def py(self, y: ArrayLike) -> Floats:
        """Data -> pixels from the panel's top, no further than the panel."""
        low, high = self.y
        share = np.clip((np.asarray(y, dtype=float) - low) / (high - low), 0.0, 1.0)
        return np.asarray(self.height - share * (self.height - self.head))

    def line(self, x: ArrayLike, y: ArrayLike, css: str) -> None:
        """Through the finite points; a NaN is a gap. Points that no pixel needs are left out."""
        xs, ys = corners(np.round(self.px(x), 1), np.round(self.py(y), 1))
        known = np.isfinite(xs) & np.isfinite(ys)
        for part in np.split(np.arange(len(xs)), np.flatnonzero(~known)):
            inside = part[known[part]]
            if len(inside):
                self.shapes.append(f'<polyline class="{css}" points="{_points(xs[inside], ys[inside])}"/>')

    def tube(self, x: ArrayLike, low: ArrayLike, high: ArrayLike, css: str) -> None:
        """The area between two lines."""
        xs = self.px(x)
        around = np.concatenate((xs, xs[::-1])), np.concatenate((self.py(low), self.py(high)[::-1]))
        self.shapes.append(f'<polygon class="{css}" points="{_points(*around)}"/>')

    def band(self, x0: float, x1: float, low: float | None, high: float | None, css: str) -> None:
        """A rectangle; None: to the panel's edge. Never too thin to be seen; beside the panel: nothing."""
        if not (x1 >= self.x[0] and x0 <= self.x[1]):  # nor for a NaN
            return
        left, right = float(self.px(x0)), float(self.px(x1))
        bottom = self.height if low is None else float(self.py(low))
        top = 0.0 if high is None else float(self.py(high))
        self.shapes.append(
            f'<rect class="{css}" x="{left:.1f}" y="{top:.1f}" width="{max(right - left, 1.5):.1f}" '
            f'height="{max(bottom - top, 1.0):.1f}"/>'
        )

    def bar(self, x: float, low: float | None, high: float | None, css: str) -> None:
        """A vertical line; None: to the panel's edge; beside the panel: nothing."""
        if not self.x[0] <= x <= self.x[1]:
            return
        at = float(self.px(x))
        bottom = self.height if low is None else float(self.py(low))
        top = 0.0 if high is None else float(self.py(high))
        self.shapes.append(f'<path class="{css}" d="M{at:.1f} {bottom:.1f}V{top:.1f}"/>')

    def dot(self, x: float, y: float, css: str, words: str) -> None:
        """A point; words: what a reader sees who rests on it."""
        self.shapes.append(
            f'<circle class="{css}" cx="{float(self.px(x)):.1f}" cy="{float(self.py(y)):.1f}" r="3">'
            f"<title>{escape(words)}</title></circle>"
        )

    def above(self, x0: float, x1: float, words: str) -> None:
        """Words at the upper edge between two values, if they fit there."""
        left, right = float(self.px(x0)), float(self.px(x1))
        if 6.2 * len(words) < right - left:
            self.shapes.append(f'<text class="of-step" x="{(left + right) / 2.0:.1f}" y="9">{escape(words)}</text>')

    def drawn(self, top: int, numbered: bool) -> str:
        """The panel moved down by `top`; numbered: with the numbers of the horizontal axis."""
        parts = [f'<g transform="translate(0 {top + TITLE})"><text class="title" x="{LEFT}" y="-5">']
        parts += [escape(self.title), "</text>", *self._grid(numbered), *self.shapes, "</g>"]
        return "".join(parts)

    def _grid(self, numbered: bool) -> Iterable[str]:
        right = self.width - RIGHT
        x_ticks = ticks(self.x, (self.width - LEFT - RIGHT) // PX_PER_X_TICK)
        y_ticks = ticks(self.y, self.height // PX_PER_Y_TICK)
        lines = "".join(f"M{at:.1f} 0V{self.height}" for at in self.px(x_ticks))
        lines += "".join(f"M{LEFT} {at:.1f}H{right}" for at in self.py(y_ticks))
        yield f'<path class="grid" d="{lines}"/><path class="axes" d="M{LEFT} 0V{self.height}H{right}"/>'
        for text, at in zip(labels(y_ticks), self.py(y_ticks), strict=True):
            yield f'<text class="y" x="{LEFT - 5}" y="{at + 3.5:.1f}">{text}</text>'
        for text, at in zip(labels(x_ticks), self.px(x_ticks), strict=True) if numbered else ():
            yield f'<text class="x" x="{at:.1f}" y="{self.height + 13}">{text}</text>'


def chart(panels: list[Panel], x_label: str, spoken: str) -> str:
    """Panels of one width and one horizontal axis, the first on top. spoken: for who cannot see it."""
    parts, top, width = [], 0, panels[0].width
    for panel in panels:
        parts.append(panel.drawn(top, numbered=panel is panels[-1]))
        top += TITLE + panel.height + GAP
    height = top - GAP + FOOT
    parts.append(f'<text class="x" x="{(LEFT + width - RIGHT) / 2.0:.0f}" y="{height - 3}">{escape(x_label)}</text>')
    return (
        f'<svg class="chart" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(spoken)}">'
        f"{''.join(parts)}</svg>"
    )


def span(*values: ArrayLike, at_least: float = 0.0) -> Span:
    """The range of all finite values and a little room; at_least: how much there is to be seen of a constant."""
    every = np.concatenate([np.atleast_1d(np.asarray(v, dtype=float)) for v in values] or [np.zeros(1)])
    every = every[np.isfinite(every)]
    low, high = (float(every.min()), float(every.max())) if len(every) else (0.0, 0.0)
    widen = max(at_least - (high - low), 0.0) / 2.0
    room = 0.06 * (high - low) or 0.06 * at_least or 1.0
    return low - widen - room, high + widen + room


def ticks(over: Span, most: int) -> list[float]:
    """Round numbers (1, 2, 5 times a power of ten) inside the range, at most so many, at least one or two."""
    raw = (over[1] - over[0]) / max(most, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * m for m in (1.0, 2.0, 5.0, 10.0) if power * m >= raw * 0.999)
    first, last = math.ceil(over[0] / step - 1e-9), math.floor(over[1] / step + 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def labels(values: list[float]) -> list[str]:
    """All with as many decimals as their distance needs."""
    step = min(np.diff(values), default=abs(values[0]) if values and values[0] else 1.0)
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    return [f"{v:.{decimals}f}" for v in values]


def thin(t: ArrayLike, y: ArrayLike, most: int = MOST_POINTS) -> tuple[Floats, Floats]:
    """At most `most` points that keep every extreme: the smallest and largest value of each stretch of time."""
    t_s, values = np.asarray(t, dtype=float), np.asarray(y, dtype=float)
    if len(values) <= most:
        return t_s, values
    shares = (t_s - t_s[0]) / max(t_s[-1] - t_s[0], 1e-9)
    stretch = np.minimum(shares * (most // 2), most // 2 - 1).astype(int)
    order = np.lexsort((np.where(np.isfinite(values), values, 0.0), stretch))
    ends = np.flatnonzero(np.diff(stretch[order], prepend=-1, append=most))  # where the next stretch begins
    chosen = np.unique(order[np.concatenate((ends[:-1], ends[1:] - 1))])
    return t_s[chosen], values[chosen]


def corners(t: ArrayLike, y: ArrayLike) -> tuple[Floats, Floats]:
    """A line of steps: only the points beside which something changes, and both ends."""
    t_s, values = np.asarray(t, dtype=float), np.asarray(y, dtype=float)
    moves = np.diff(values, prepend=np.nan, append=np.nan) != 0.0
    kept = moves[:-1] | moves[1:]
    return t_s[kept], values[kept]


def _points(x: Floats, y: Floats) -> str:
    return " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x.tolist(), y.tolist(), strict=True))
