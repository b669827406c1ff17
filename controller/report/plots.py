"""Plots of one run as inline SVG: no files, no requests, colours from the page.

Each colour is drawn as a marker value and then replaced by a CSS variable of the page, so one SVG serves light, dark
and print. Ids get a prefix per plot, because all plots share one document. The same run gives the same bytes.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from controller.report.chart import thin
from controller.report.curves import Curves
from controller.response.formula import Floats

Drawn = TypeVar("Drawn")  # what a plot is made of
# marker value -> CSS variable (page.css)
COLOURS = {
    "ink": "#010101",
    "faint": "#020202",
    "measured": "#030303",
    "commanded": "#040404",
    "ideal": "#050505",
    "band": "#060606",
    "mark": "#070707",
    "limit": "#080808",
}
C = COLOURS
STYLE: Any = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 11,
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.formatter.useoffset": False,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 10,
    "lines.linewidth": 1.6,
    "text.color": C["ink"],
    "axes.edgecolor": C["faint"],
    "axes.labelcolor": C["ink"],
    "xtick.color": C["ink"],
    "ytick.color": C["ink"],
    "grid.color": C["faint"],
}
SIZE_IN = (4.9, 3.1)
STRETCHES = 200
THIN_SPAN, WORDS_APART = 0.004, 0.035  # of the width
MOST_WORDS = 30  # characters along the height


def draw_all(curves: Curves, watermark: str = "", names: Sequence[str] = ()) -> dict[str, str]:
    """Every plot (or those named), by name, as <svg> text. watermark: words across each, which a copy keeps."""
    plots: dict[str, Callable[[Axes, Curves], None]] = {
        "frequency": draw_frequency,
        "power": draw_power,
        "droop": draw_droop,
        "ages": draw_ages,
        "lateness": draw_lateness,
        "telemetry": draw_telemetry,
    }
    return {name: svg(name, plots[name], curves, watermark) for name in names or plots}


def svg(name: str, draw: Callable[[Axes, Drawn], None], curves: Drawn, watermark: str = "") -> str:
    """One plot: drawn, coloured by the page, its ids made its own."""
    with mpl.rc_context({**STYLE, "svg.hashsalt": name}):
        figure = Figure(figsize=SIZE_IN, layout="constrained")
        FigureCanvasSVG(figure)
        ax = figure.add_subplot()
        draw(ax, curves)
        if watermark:
            _across(ax, watermark)
        out = io.StringIO()
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = out.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'(\bid="|xlink:href="#|url\(#)', rf"\g<1>{name}-", text)
    text = re.sub(
        r'<svg [^>]*viewBox="([^"]*)"[^>]*>', r'<svg viewBox="\1" role="img" aria-hidden="true">', text, count=1
    )
    text = text.replace("xlink:href", "href")
    for colour, value in COLOURS.items():
        text = text.replace(value, f"var(--{colour})")
    return text


def draw_frequency(ax: Axes, c: Curves) -> None:
    ax.set_title("Frequency, Hz")
    ax.axhspan(c.low_hz, c.high_hz, color=C["band"], alpha=0.25, lw=0, label="dead band")
    ax.plot(*thin(c.f_t_s, c.f_hz), color=C["measured"], label="measured")
    _events(ax, c)
    _time(ax, c)


def draw_power(ax: Axes, c: Curves) -> None:
    ax.set_title("Power, W (+ = into the grid)")
    ax.fill_between(
        c.p_t_s, c.ideal_w - c.tolerance_w, c.ideal_w + c.tolerance_w, color=C["band"], alpha=0.25, lw=0,
        label="tolerance",
    )  # fmt: skip
    ax.plot(*thin(c.cmd_t_s, c.cmd_w), color=C["commanded"], lw=1.2, label="commanded")
    ax.plot(c.p_t_s, c.ideal_w, color=C["ideal"], ls=(0, (5, 2)), label="ideal")
    ax.plot(*thin(c.p_t_s, c.p_w), color=C["measured"], label="measured")
    for t_s, p_w, label in c.marks:
        ax.plot([t_s], [p_w], "o", color=C["mark"], ms=6, mfc="none", mew=1.6)
        ax.annotate(label, (t_s, p_w), xytext=(6, -11), textcoords="offset points", color=C["mark"], fontsize=10)
    _events(ax, c)
    _time(ax, c)


def draw_droop(ax: Axes, c: Curves) -> None:
    ax.set_title("Answer, % of rating, over frequency")
    f_hz, dp_pct = c.formula_line
    ax.fill_between(f_hz, 0.9 * dp_pct - 1.0, 1.1 * dp_pct + 1.0, where=dp_pct >= 0, color=C["band"], alpha=0.25, lw=0)
    ax.fill_between(f_hz, 1.1 * dp_pct - 1.0, 0.9 * dp_pct + 1.0, where=dp_pct <= 0, color=C["band"], alpha=0.25, lw=0)
    ax.plot(f_hz, dp_pct, color=C["ideal"], ls=(0, (5, 2)), label="formula")
    ax.plot(c.seen_f_hz, c.seen_dp_pct, ".", color=C["measured"], ms=4, alpha=0.6, label="measured")
    ax.set_xlabel("frequency through the response-time lag, Hz")
    legend(ax)


def draw_ages(ax: Axes, c: Curves) -> None:
    ax.set_title("Age of the inputs, ms")
    _band(ax, c.cmd_t_s, c.age_f_ms, "measured", "frequency")
    _band(ax, c.cmd_t_s, c.age_d_ms, "commanded", "inverter's state")
    ax.set_ylim(bottom=0.0)
    _time(ax, c)


def draw_lateness(ax: Axes, c: Curves) -> None:
    ax.set_title("Lateness of the steps, µs")
    _band(ax, c.cmd_t_s, c.lateness_us, "measured", "lateness (never decides)")
    for i, t_s in enumerate(c.skipped_t_s):
        ax.axvline(t_s, color=C["limit"], lw=1.2, label="grid point skipped" if i == 0 else None)
    whole_decades(ax, np.nanmin(c.lateness_us, initial=10.0), np.nanmax(c.lateness_us, initial=100.0))
    _time(ax, c)


def draw_telemetry(ax: Axes, c: Curves) -> None:
    ax.set_title("Telemetry: silence before each live frame, s")
    for gap, colour, marker, label in (
        (c.source_gaps, "measured", ".", "by source time"),
        (c.arrival_gaps, "commanded", "x", "by arrival"),
    ):
        if len(gap[0]):
            ax.plot(*gap, marker, color=C[colour], ms=5, label=label)
    ax.axhline(c.gap_limit_s, color=C["limit"], lw=1.4, label=f"limit {c.gap_limit_s:g} s")
    if not len(c.source_gaps[0]):
        ax.text(0.5, 0.4, c.no_frames_text, ha="center", transform=ax.transAxes)
    ax.set_ylim(bottom=0.0)
    _time(ax, c)


def whole_decades(ax: Axes, low: float, high: float) -> None:
    """A logarithmic axis with whole labels."""
    ax.set_yscale("log")
    ax.set_ylim(10.0 ** np.floor(np.log10(low)), 10.0 ** np.ceil(np.log10(high)))
    ax.yaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_minor_formatter("")


def _band(ax: Axes, t: Floats, y: Floats, colour: str, label: str) -> None:
    """Smallest to largest value of each stretch of time, and the median: thousands of steps in one glance."""
    known = np.flatnonzero(np.isfinite(y))
    if not len(known):
        return
    parts = np.array_split(known, min(STRETCHES, len(known)))
    t_s = np.array([t[p].mean() for p in parts])
    low, middle, high = np.array([np.nanpercentile(y[p], (0, 50, 100)) for p in parts]).T
    ax.fill_between(t_s, low, high, color=C[colour], alpha=0.35, lw=0)
    ax.plot(t_s, middle, color=C[colour], lw=1.2, label=label)


def _events(ax: Axes, c: Curves) -> None:
    """Shade the time during which the frequency was outside."""
    for i, (start_s, stop_s) in enumerate(c.event_spans_s):
        ax.axvspan(start_s, stop_s, color=C["mark"], alpha=0.08, lw=0, label="grid event" if i == 0 else None)


def _across(ax: Axes, words: str) -> None:
    """A watermark in the plot itself."""
    size = min(20.0, 420.0 / len(words))
    ax.text(
        0.5, 0.5, words, transform=ax.transAxes, ha="center", va="center", rotation=18, fontsize=size, weight="bold",
        color=C["limit"], alpha=0.3, zorder=9,
    )  # fmt: skip


def _faults(ax: Axes, c: Curves) -> None:
    """Shade each injected fault, its words along its begin; what begins together has its words together."""
    words: dict[float, list[str]] = {}
    for i, fault in enumerate(c.faults):
        end_s = max(fault.end_s, fault.begin_s + THIN_SPAN * c.seconds)  # what happens once is seen too
        label = "injected fault" if i == 0 else None
        ax.axvspan(fault.begin_s, end_s, color=C["limit"], alpha=0.14, lw=0, label=label)
        near = (t_s for t_s in words if abs(t_s - fault.begin_s) < WORDS_APART * c.seconds)
        words.setdefault(next(near, fault.begin_s), []).append(fault.words)
    for t_s, texts in words.items():
        text = "; ".join(texts)
        text = text if len(text) <= MOST_WORDS else text[: MOST_WORDS - 1] + "\N{HORIZONTAL ELLIPSIS}"
        ax.text(
            t_s, 0.03, text, transform=ax.get_xaxis_transform(), rotation=90, ha="left", va="bottom", fontsize=8,
            color=C["ink"], zorder=8, clip_on=True,
        )  # fmt: skip


def _time(ax: Axes, c: Curves) -> None:
    _faults(ax, c)
    ax.set_xlim(0.0, c.seconds)
    ax.set_xlabel("time since the first step, s")
    legend(ax)


def legend(ax: Axes) -> None:
    """Below the plot, where it hides no curve."""
    ax.figure.legend(
        *ax.get_legend_handles_labels(), loc="outside lower center", ncols=3, handlelength=1.4, columnspacing=1.2
    )
