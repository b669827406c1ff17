"""Every curve of a set of settings on one page, with an operating point: PNG or SVG. Needs matplotlib (extra report).

Light page, axes with units, each curve named for its clause. A function that is off is drawn thin and grey: what it
would do. The same settings give the same file.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from controller.settings import curves
from controller.settings.curves import Answer, Point
from controller.settings.plot_time import enter_service, frequency_time, voltage_time
from cython_core.settings import Settings

__all__ = ["Point", "draw"]

INK, FAINT, BLUE, RED, GREEN, GREY = "#1f2933", "#c8ced6", "#1f5fa8", "#c8372d", "#3f8f5b", "#8a94a0"
STYLE: Any = {
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "legend.framealpha": 0.85,
    "legend.edgecolor": "white",
    "legend.fontsize": 9,
    "svg.hashsalt": "v2g",
    "svg.fonttype": "none",
}
SIZE_IN, DPI = (13.0, 18.0), 110


def draw(s: Settings, at: Point, name: str, path: Path) -> None:
    """The page, to a .png or .svg file."""
    found = curves.answer(s, at)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=SIZE_IN, layout="constrained")
        FigureCanvasAgg(figure)
        figure.suptitle(heading(s, at, found, name), x=0.01, ha="left", fontsize=12)
        axes = figure.subplots(4, 2).flatten()
        panels: Sequence[Callable[[Axes, Settings, Point, Answer], None]] = (
            draw_droop,
            draw_volt_watt,
            draw_volt_var,
            draw_watt_var,
            draw_capability,
            enter_service,
            voltage_time,
            frequency_time,
        )
        for ax, panel in zip(axes, panels, strict=True):
            panel(ax, s, at, found)
        metadata = {"Date": None} if path.suffix == ".svg" else {"Software": None}
        figure.savefig(path, dpi=DPI, metadata=metadata, facecolor="white")


def heading(s: Settings, at: Point, found: Answer, name: str) -> str:
    r = s.rating
    return (
        f"{name}: Category {r.normal_category}, {r.abnormal_category}; {r.f_nom_hz:g} Hz, {r.v_nom_v:g} V; "
        f"{r.p_rated_w / 1000:g} kW out, {r.p_charge_rated_w / 1000:g} kW in, {r.s_rated_va / 1000:g} kVA; "
        f"reactive mode: {s.reactive.mode}\n"
        f"Operating point (red): {at.f_hz:g} Hz, {at.v_pu:g} pu, {at.p_pu:+g} pu before the functions: "
        f"settles at P = {found.p_pu:+.3f} pu, Q = {found.q_pu:+.3f} pu"
    )


def line_style(active: bool) -> dict[str, Any]:
    return {"color": BLUE, "lw": 2.4} if active else {"color": GREY, "lw": 1.4, "ls": (0, (5, 2))}


def title(ax: Axes, text: str, active: bool) -> None:
    ax.set_title(text if active else f"{text}, off")


def mark(ax: Axes, x: float, y: float, active: bool = True) -> None:
    """The operating point; hollow where the function is off."""
    ax.plot([x], [y], "o", ms=9, mec=RED, mfc=RED if active else "white", mew=2, zorder=9, clip_on=False)


def sampled(
    function: Callable[[float], float], low: float, high: float, n: int = 800
) -> tuple[list[float], list[float]]:
    x = [low + (high - low) * i / n for i in range(n + 1)]
    return x, [function(v) for v in x]


def corner(ax: Axes, x: float, y: float, text: str, dx: int = 6, dy: int = 6) -> None:
    """A point of a curve with its numbers beside it."""
    ax.plot([x], [y], "s", ms=4, color=INK, zorder=6)
    ha, va = "left" if dx >= 0 else "right", "bottom" if dy >= 0 else "top"
    ax.annotate(text, (x, y), (dx, dy), textcoords="offset points", fontsize=8, ha=ha, va=va)


def draw_droop(ax: Axes, s: Settings, at: Point, _found: Answer) -> None:
    """Droop around the power before the event, latched on leaving the dead band."""
    d, f_nom, on = s.freq_droop, s.rating.f_nom_hz, s.freq_droop.enable
    span = max(1.3 * f_nom * max(d.k_of, d.k_uf) * 0.7 + d.db_of_hz, abs(at.f_hz - f_nom) * 1.1)
    start = min(at.p_pu, s.active_limit.limit_pu) if s.active_limit.enable else at.p_pu
    ax.axvspan(f_nom - d.db_uf_hz, f_nom + d.db_of_hz, color=FAINT, alpha=0.6, lw=0, label="dead band")
    ax.plot(*sampled(lambda f: curves.droop(s, f, start), f_nom - span, f_nom + span), **line_style(on))
    ax.axhline(curves.lowest(s), color=GREY, lw=1, ls=":")
    ax.axhline(1.0, color=GREY, lw=1, ls=":", label="rated power, out and in")
    title(ax, "Frequency-droop (6.5.2.7)", on)
    ax.text(0.98, 0.72, f"k over {d.k_of:g}, under {d.k_uf:g}\ndead band +{d.db_of_hz:g} / -{d.db_uf_hz:g} Hz\n"
            f"response {d.t_response_s:g} s", transform=ax.transAxes, ha="right", va="top", fontsize=9)  # fmt: skip
    ax.set(xlabel="frequency, Hz", ylabel="active power, pu (+ out)", ylim=(curves.lowest(s) - 0.15, 1.2))
    ax.legend(loc="lower left")
    mark(ax, at.f_hz, curves.droop(s, at.f_hz, start), on)


def draw_volt_watt(ax: Axes, s: Settings, at: Point, found: Answer) -> None:
    """The ceiling; where it is below zero the unit is made to charge."""
    w, on = s.volt_watt, s.volt_watt.enable
    low, high = min(0.94, at.v_pu - 0.02), max(1.14, at.v_pu + 0.02)
    x, y = sampled(lambda v: curves.volt_watt(s, v), low, high)
    ax.plot(x, y, **line_style(on))
    ax.fill_between(x, y, 1.2, color=BLUE if on else GREY, alpha=0.10, lw=0, label="not allowed")
    ax.fill_between(x, [min(v, 0.0) for v in y], 0.0, color=RED, alpha=0.18, lw=0)
    if w.p2_pu < 0.0:
        ax.text(high, curves.volt_watt(s, high) / 2, "made to charge ", ha="right", va="center", fontsize=9, color=RED)
    corner(ax, w.v1_pu, 1.0, f"V1 {w.v1_pu:g}", -6, -6)
    corner(ax, w.v2_pu, curves.volt_watt(s, w.v2_pu), f"V2 {w.v2_pu:g}, P2 {w.p2_pu:g}", -6, -6)
    ax.axhline(0.0, color=GREY, lw=1)
    title(ax, "Volt-watt: a ceiling (5.4.2)", on)
    ax.set(xlabel="voltage, pu", ylabel="active power, pu (+ out)", xlim=(low, high))
    ax.set_ylim(min(curves.lowest(s) - 0.1, -0.2), 1.2)
    ax.legend(loc="lower left")
    mark(ax, at.v_pu, found.p_pu, on)


def draw_volt_var(ax: Axes, s: Settings, at: Point, found: Answer) -> None:
    """The curve in force; where V_Ref is not 1, the one it was shifted from, too."""
    v, on = s.volt_var, s.reactive.mode == "volt_var"
    low, high = min(0.86, at.v_pu - 0.02), max(1.14, at.v_pu + 0.02)
    if v.v_ref_pu != 1.0:
        shifted_from = sampled(lambda x: curves.volt_var(s, x, 1.0), low, high)
        ax.plot(*shifted_from, color=GREY, lw=1.2, ls=":", label="for V_Ref = 1")
    if v.v_ref_auto:
        v_pu, lowest = sampled(lambda x: curves.volt_var(s, x, v.v_ref_min_pu), low, high)
        _, highest = sampled(lambda x: curves.volt_var(s, x, v.v_ref_max_pu), low, high)
        ax.fill_between(v_pu, lowest, highest, color=BLUE, alpha=0.12, lw=0, label="where V_Ref may take it")
    ax.plot(*sampled(lambda x: curves.volt_var(s, x), low, high), **line_style(on), label=f"V_Ref = {v.v_ref_pu:g}")
    capability(ax, s)
    shift = v.v_ref_pu - 1.0
    for i, (x, q) in enumerate(((v.v1_pu, v.q1_pu), (v.v2_pu, v.q2_pu), (v.v3_pu, v.q3_pu), (v.v4_pu, v.q4_pu)), 1):
        corner(
            ax, x + shift, q, f"V{i} {x + shift:.4g}, Q{i} {q:g}", 6 if i in (1, 3) else -6, -6 if i in (2, 4) else 6
        )
    title(ax, "Volt-var (5.3.3)", on)
    ax.set(xlabel="voltage, pu", ylabel="reactive power, pu of S (+ injected)", xlim=(low, high))
    ax.legend(loc="lower left")
    mark(ax, at.v_pu, found.q_pu if on else curves.volt_var(s, at.v_pu), on)


def draw_watt_var(ax: Axes, s: Settings, _at: Point, found: Answer) -> None:
    w, on, k = s.watt_var, s.reactive.mode == "watt_var", s.rating.p_charge_rated_w / s.rating.p_rated_w
    low, high = min(curves.lowest(s), found.p_pu) - 0.05, 1.05
    ax.plot(*sampled(lambda p: curves.watt_var(s, p), low, high), **line_style(on))
    capability(ax, s)
    right = (("P1", w.p1_pu, w.q1_pu), ("P2", w.p2_pu, w.q2_pu), ("P3", w.p3_pu, w.q3_pu))
    left = (
        ("P'1", w.p1_load_pu, w.q1_load_pu),
        ("P'2", w.p2_load_pu, w.q2_load_pu),
        ("P'3", w.p3_load_pu, w.q3_load_pu),
    )
    for name, x, q in right:
        corner(ax, x, q, f"{name} {x:g}, {q:g}", -4, 7)
    for name, x, q in left:
        corner(ax, x * k, q, f"{name} {x:g}, {q:g}", 4, -7)
    ax.axvline(0.0, color=GREY, lw=1)
    title(ax, "Watt-var (5.3.4)", on)
    ax.set(xlabel="active power, pu of rated (left of 0: charging)", ylabel="reactive power, pu of S (+ injected)")
    ax.legend(loc="lower left")
    mark(ax, found.p_pu, found.q_pu if on else curves.watt_var(s, found.p_pu), on)


def capability(ax: Axes, s: Settings) -> None:
    r = s.rating
    ax.axhline(r.q_inject_pu, color=GREEN, lw=1, ls="--", label="capability of this unit")
    ax.axhline(-r.q_absorb_pu, color=GREEN, lw=1, ls="--")
    ax.set_ylim(-1.35 * max(r.q_absorb_pu, 0.3), 1.35 * max(r.q_inject_pu, 0.3))


def draw_capability(ax: Axes, s: Settings, _at: Point, found: Answer) -> None:
    """Circle, ratings and reactive capability of the unit; the least Q of Table 7 inside."""
    r = s.rating
    k = r.s_rated_va / r.p_rated_w  # Q of S -> Q of P: one scale for both axes
    q_max, q_min, p_min = r.q_inject_pu * k, -r.q_absorb_pu * k, curves.lowest(s)
    angles = [math.pi * i / 180 for i in range(-180, 181)]
    radius = [curves.circle(s, math.cos(a)) for a in angles]
    x = [c * math.cos(a) for c, a in zip(radius, angles, strict=True)]
    y = [c * math.sin(a) for c, a in zip(radius, angles, strict=True)]
    ax.plot(x, y, color=GREY, lw=1.2, label="apparent power")
    edge = [inside(s, p_min + (1.0 - p_min) * i / 400, q_max, q_min) for i in range(401)]
    x = [p_min + (1.0 - p_min) * i / 400 for i in range(401)]
    ax.fill_between(x, [e[0] for e in edge], [e[1] for e in edge], color=BLUE, alpha=0.14, lw=0, label="this unit can")
    corners = curves.table_7(s)
    ax.fill([p for p, _ in corners], [q * k for _, q in corners], fill=False, ec=GREEN, lw=1.6, ls="--",
            label=f"Table 7, Category {r.normal_category}")  # fmt: skip
    if s.reactive.mode == "constant_pf":
        ax.plot(*sampled(lambda p: curves.power_factor(s, p) * k, p_min, 1.0, 2), color=BLUE, lw=2, label=pf_text(s))
    if s.reactive.mode == "constant_q":
        ax.axhline(s.const_var.q_pu * k, color=BLUE, lw=2, label=f"constant Q {s.const_var.q_pu:g} (5.3.5)")
    if s.active_limit.enable:
        ax.axvline(
            s.active_limit.limit_pu, color=RED, lw=1.2, ls="--", label=f"limit {s.active_limit.limit_pu:g} (4.6.2)"
        )
    ax.axhline(0.0, color=GREY, lw=1)
    ax.axvline(0.0, color=GREY, lw=1)
    title(ax, "Capability: P and Q (5.2), charging left, discharging right", True)
    ax.set_aspect("equal", "box")
    ax.set(xlabel="active power, pu of rated P (+ out)", ylabel="reactive power, pu of rated P (+ injected)")
    ax.set_xlim(-2.8 * max(radius), 1.2 * max(radius))  # room for the legend
    ax.legend(loc="upper left")
    mark(ax, found.p_pu, found.q_pu * k)


def pf_text(s: Settings) -> str:
    f = s.power_factor
    return f"power factor {f.pf:g}" + (f", {f.excitation}" if f.pf < 1.0 else "") + " (5.3.2)"


def inside(s: Settings, p: float, q_max: float, q_min: float) -> tuple[float, float]:
    """Most and least Q at this P."""
    room = math.sqrt(max(curves.circle(s, p) ** 2 - p * p, 0.0))
    return min(q_max, room), max(q_min, -room)
