"""Plots of a run as PNG files: every ratio against its gate and aim, and the two sides of each comparison.

ratios.png   how many times better than its gate each ratio is, rounds as dots: right of 1 holds, whichever way round
NAME.png     a panel for each comparison of that measurement. With many samples the share of them beyond x, both axes
             logarithmic, so that the tail shows; else a bar for each side
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from tests.performance.harness import Cost, Row
from tests.performance.table import number

MANY = 100  # samples: fewer are no distribution
MOST_PANELS = 3  # beside each other: more cannot be read
WIDE = 20.0  # times: from here a bar's axis is logarithmic
BLUE, ORANGE, GREEN = "#0072b2", "#d55e00", "#009e73"  # told apart by all eyes
STYLE: Any = {"axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True, "font.size": 10}
WIDTH_IN, DPI = 9.0, 110


def draw(rows: Sequence[Row], folder: Path) -> list[Path]:
    """The files that were written: only what was measured has a plot."""
    timed = [row for row in rows if row.ratios]
    gated = [row for row in timed if row.gate.gate is not None]
    with mpl.rc_context(STYLE):
        figures = {"ratios": ratios(gated)} if gated else {}
        for name in dict.fromkeys(row.measurement for row in timed):
            figures[name] = comparisons([row for row in timed if row.measurement == name])
        return [save(figure, folder / f"{name}.png") for name, figure in figures.items()]


def save(figure: Figure, path: Path) -> Path:
    FigureCanvasAgg(figure)
    figure.savefig(path, dpi=DPI, metadata={"Software": None})
    return path


def log_x(axes: Axes, between: Sequence[float]) -> None:
    """A logarithmic axis with numbers as one writes them."""
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=between, numticks=12))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.10g}"))
    axes.xaxis.set_minor_locator(NullLocator())


# ---- every ratio ----


def margin(row: Row, ratio: float) -> float:
    """How many times better than the gate."""
    gate = row.gate.gate or 1.0
    return gate / ratio if row.gate.at_most else ratio / gate


def ratios(rows: Sequence[Row]) -> Figure:
    figure = Figure(figsize=(WIDTH_IN, 1.4 + 0.36 * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    for y, row in enumerate(rows):
        reached = margin(row, row.ratio)
        axes.barh(y, reached - 1.0, left=1.0, height=0.55, color=BLUE if reached >= 1.0 else ORANGE, alpha=0.75)
        axes.plot([margin(row, ratio) for ratio in row.ratios], [y] * len(row.ratios), ".", color="black", ms=4)
        if row.gate.aim is not None:
            axes.plot(margin(row, row.gate.aim), y, "|", color=GREEN, ms=16, mew=2.5)
        at = axes.get_yaxis_transform()
        axes.text(1.02, y, number(row.ratio), transform=at, va="center", ha="left")
    axes.axvline(1.0, color="black", lw=1.2)
    axes.set_yticks(range(len(rows)), [f"{row.measurement}: {row.gate.over} / {row.gate.under}" for row in rows])
    axes.invert_yaxis()
    log_x(axes, (1.0, 2.0, 5.0))
    low, high = axes.get_xlim()
    axes.set_xlim(min(low, 0.7), max(high, 1.4))
    axes.grid(axis="x", color="0.85")
    axes.set_xlabel("times better than the gate")
    figure.suptitle("dots: rounds   green: the aim   right: the ratio itself", fontsize=9, x=0.99, ha="right")
    return figure


# ---- one measurement ----


def comparisons(rows: Sequence[Row]) -> Figure:
    many = all(cost is not None and len(cost.samples) >= MANY for row in rows for cost in (row.over, row.under))
    if not many:
        figure = Figure(figsize=(WIDTH_IN, 0.9 + 0.9 * len(rows)), layout="constrained")
        bars(figure.add_subplot(), rows)
    else:
        lines = math.ceil(len(rows) / MOST_PANELS)
        figure = Figure(figsize=(WIDTH_IN, 3.9 * lines), layout="constrained")
        panels = list(figure.subplots(lines, min(len(rows), MOST_PANELS), sharey=True, squeeze=False).flat)
        for axes in panels[len(rows) :]:
            axes.set_axis_off()
        for axes, row in zip(panels, rows, strict=False):
            for name, cost, colour in sides(row):
                distribution(axes, name, cost, colour)
            low, high = axes.get_xlim()
            log_x(axes, (1.0, 3.0) if high < 100.0 * low else (1.0,))
            axes.set_xlabel(row.unit)
        for axes in panels[:: min(len(rows), MOST_PANELS)]:
            axes.set_ylabel("share of samples beyond")
    figure.suptitle(rows[0].measurement, x=0.01, ha="left", fontweight="bold")
    return figure


def sides(row: Row) -> list[tuple[str, Cost, str]]:
    """Name, cost and colour of each: blue is the one that ought to be small."""
    over, under = (BLUE, ORANGE) if row.gate.at_most else (ORANGE, BLUE)
    named = ((row.gate.over, row.over, over), (row.gate.under, row.under, under))
    return [(name, cost, colour) for name, cost, colour in named if cost is not None]


def distribution(axes: Axes, name: str, cost: Cost, colour: str) -> None:
    beyond = 1.0 - np.arange(len(cost.samples)) / len(cost.samples)
    label = f"{name}\n p50 {number(cost.p50)}, p99 {number(cost.p99)}, p99.9 {number(cost.p999)}"
    axes.step(np.asarray(cost.samples), beyond, where="post", lw=1.6, color=colour, label=label)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_yticks([1.0, 0.5, 0.1, 0.01, 0.001], ["all", "half", "1 in 10", "1 in 100", "1 in 1000"])
    axes.yaxis.set_minor_locator(NullLocator())
    axes.grid(color="0.88")
    axes.legend(frameon=False, fontsize=8, loc="lower left", bbox_to_anchor=(0.0, 1.0), borderpad=0.1)


def bars(axes: Axes, rows: Sequence[Row]) -> None:
    shown = [side for row in rows for side in sides(row)]
    places = [1.3 * i + 0.4 * j for i, row in enumerate(rows) for j in range(len(sides(row)))]
    values = [cost.p50 for _, cost, _ in shown]
    axes.barh(places, values, height=0.36, color=[colour for _, _, colour in shown])
    if max(values) > WIDE * min(values):
        log_x(axes, (1.0,))
        axes.set_xlim(min(values) / 3.0, max(values) * 3.0)
    else:
        axes.set_xlim(0.0, max(values) * 1.12)
    for place, value in zip(places, values, strict=True):
        axes.annotate(number(value), (value, place), xytext=(4, 0), textcoords="offset points", va="center")
    axes.set_yticks(places, [name for name, _, _ in shown])
    axes.invert_yaxis()
    axes.grid(axis="x", color="0.88")
    axes.set_xlabel(f"{rows[0].unit}, p50")
