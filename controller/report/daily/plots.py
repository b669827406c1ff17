"""The day's plots: ten minutes a point, from 0 to 24 h UTC. Drawn as those of a run (controller.report.plots)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from controller.report.daily.quality import SLICE_NS, SLICES, Slices
from controller.report.plots import C, legend, svg, whole_decades

WIDE = 20.0  # a wider span of values is drawn on a logarithmic axis
HOURS = (np.arange(SLICES) + 0.5) * SLICE_NS / 3.6e12


def draw_day(slices: Slices, watermark: str = "") -> dict[str, str]:
    """By name, as <svg> text."""
    plots: dict[str, Callable[[Axes, Slices], None]] = {
        "day-frequency": draw_frequency,
        "day-power": draw_power,
        "day-ages": draw_ages,
        "day-recorded": draw_recorded,
    }
    return {name: svg(name, draw, slices, watermark) for name, draw in plots.items()}


def draw_frequency(ax: Axes, s: Slices) -> None:
    ax.set_title("Frequency, Hz")
    ax.fill_between(
        HOURS, s.f_low, s.f_high, step="mid", color=C["measured"], alpha=0.5, lw=0, label="least … greatest"
    )
    _axis(ax)


def draw_power(ax: Axes, s: Slices) -> None:
    ax.set_title("Power, W (+ = into the grid)")
    mean_w = np.divide(s.p_sum, s.p_count, out=np.full(SLICES, np.nan), where=s.p_count > 0)
    ax.fill_between(
        HOURS, s.p_low, s.p_high, step="mid", color=C["measured"], alpha=0.35, lw=0, label="least … greatest"
    )
    ax.plot(HOURS, mean_w, color=C["measured"], lw=1.4, label="mean")
    _axis(ax)


def draw_ages(ax: Axes, s: Slices) -> None:
    ax.set_title("Greatest age of the inputs, ms")
    ax.plot(HOURS, s.age_f_most, color=C["measured"], drawstyle="steps-mid", label="frequency")
    ax.plot(HOURS, s.age_d_most, color=C["commanded"], drawstyle="steps-mid", label="inverter's state")
    values: Any = np.concatenate((s.age_f_most, s.age_d_most))
    known = values[np.isfinite(values) & (values > 0.0)]
    if len(known) and known.max() > WIDE * known.min():
        whole_decades(ax, known.min(), known.max())
    else:
        ax.set_ylim(bottom=0.0)
    _axis(ax)


def draw_recorded(ax: Axes, s: Slices) -> None:
    ax.set_title("Recorded, % of the time")
    ax.bar(HOURS, 100.0 * s.recorded_s / (SLICE_NS / 1e9), width=SLICE_NS / 3.6e12, color=C["ideal"], label="recorded")
    ax.set_ylim(0.0, 105.0)
    _axis(ax)


def _axis(ax: Axes) -> None:
    ax.set_xlim(0.0, 24.0)
    ax.set_xticks(range(0, 25, 4))
    ax.set_xlabel("UTC, h")
    legend(ax)
