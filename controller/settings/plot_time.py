"""The panels over time: what must be ridden through, what must trip, and how power comes back."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.patches import Patch

from controller.settings import curves
from controller.settings.curves import Answer, Band, Point
from cython_core.settings import Settings

INK, GREY, RED, BLUE = "#1f2933", "#8a94a0", "#c8372d", "#1f5fa8"
COLOURS = {
    "continuous": "#cfe8d5",
    "mandatory": "#cfe0f5",
    "permissive": "#fbe9bf",
    "cessation": "#e3d6f2",
    "may": "#f1f3f5",
    "trip": "#f6c9c4",
}
NAMES = {
    "continuous": "continuous operation",
    "mandatory": "ride through: mandatory",
    "permissive": "ride through: permissive",
    "cessation": "momentary cessation",
    "may": "may ride through or may trip",
    "trip": "shall trip",
}
BEGIN_S, END_S = 0.01, 2000.0
Level = tuple[str, float, float]  # name, threshold, clearing time


def voltage_time(ax: Axes, s: Settings, at: Point, _found: Answer) -> None:
    """Regions of the category over how long the voltage has been there, and the trip settings."""
    t = s.voltage_trip
    high: list[Level] = [("OV2", t.ov2_pu, t.ov2_s), ("OV1", t.ov1_pu, t.ov1_s)]
    low: list[Level] = [("UV2", t.uv2_pu, t.uv2_s), ("UV1", t.uv1_pu, t.uv1_s)]
    bands = curves.VOLTAGE_BANDS[s.rating.abnormal_category]
    regions(ax, bands, high, low, (0.0, 1.35))
    if s.rating.abnormal_category == "III":
        for v in (s.ride_through.mc_low_pu, s.ride_through.mc_high_pu):
            ax.axhline(v, color="#6a4c93", lw=1, ls=":")
    ax.set_title(f"Voltage over time, Category {s.rating.abnormal_category} (6.4)")
    ax.set_ylabel("voltage of the worst phase, pu")
    finish(ax, bands, at.v_pu, f"{at.v_pu:g} pu")


def frequency_time(ax: Axes, s: Settings, at: Point, _found: Answer) -> None:
    t, moved = s.frequency_trip, s.rating.f_nom_hz - 60.0
    high: list[Level] = [("OF2", t.of2_hz, t.of2_s), ("OF1", t.of1_hz, t.of1_s)]
    low: list[Level] = [("UF2", t.uf2_hz, t.uf2_s), ("UF1", t.uf1_hz, t.uf1_s)]
    bands = [Band(b.low + moved, b.high + moved, b.region, b.at_low_s, b.at_high_s) for b in curves.FREQUENCY_BANDS]
    bottom = min(t.uf2_hz - 1.0, s.rating.f_nom_hz - 5.0, at.f_hz - 0.5)
    top = max(t.of2_hz + 1.0, s.rating.f_nom_hz + 4.0, at.f_hz + 0.5)
    regions(ax, bands, high, low, (bottom, top))
    ax.set_title("Frequency over time (6.5)" + (", moved to 50 Hz: outside the standard" if moved else ""))
    ax.set_ylabel("frequency, Hz")
    finish(ax, bands, at.f_hz, f"{at.f_hz:g} Hz")


def regions(ax: Axes, bands: Sequence[Band], high: list[Level], low: list[Level], y: tuple[float, float]) -> None:
    """Fills from the back: may trip, ride-through by band, shall trip; then the trip lines with their numbers."""
    ax.set(xscale="log", xlim=(BEGIN_S, END_S), ylim=y, xlabel="time since the event began, s")
    ax.grid(visible=False)
    ax.axhspan(*y, color=COLOURS["may"], lw=0)
    for band in bands:
        x = [min(band.at_low_s, END_S), min(band.at_high_s, END_S)]
        ax.fill_betweenx([max(band.low, y[0]), band.high], BEGIN_S, x, color=COLOURS[band.region], lw=0)
    for levels, edge in ((high, y[1]), (low, y[0])):
        (_, outer, outer_s), (_, inner, inner_s) = levels
        first, last = min(outer_s, inner_s), inner_s
        ax.fill_between([first, last], outer, edge, color=COLOURS["trip"], lw=0)
        ax.fill_between([last, END_S], inner, edge, color=COLOURS["trip"], lw=0)
        ax.plot([outer_s, outer_s, inner_s, inner_s, END_S], [edge, outer, outer, inner, inner], color=RED, lw=2)
        for name, threshold, time in levels:
            above = edge == y[1]
            ax.annotate(
                f"{name} {threshold:g}, {time:g} s",
                (time if time < 100.0 else END_S, threshold),
                (5 if time < 100.0 else -5, 5 if above else -5),
                textcoords="offset points",
                fontsize=8,
                color=INK,
                ha="left" if time < 100.0 else "right",
                va="bottom" if above else "top",
            )


def finish(ax: Axes, bands: Sequence[Band], y: float, text: str) -> None:
    """The operating point as a line along time, and the legend of the regions that occur."""
    ax.axhline(y, color=RED, lw=1.2, ls=(0, (6, 3)))
    ax.plot([BEGIN_S * 1.3], [y], "o", ms=9, color=RED, zorder=9)
    ax.annotate(text, (BEGIN_S * 1.3, y), (10, 4), textcoords="offset points", fontsize=9, color=RED)
    used = [*dict.fromkeys(b.region for b in bands), "may", "trip"]
    patches = [Patch(color=COLOURS[name], label=NAMES[name]) for name in used]
    ax.legend(handles=patches, loc="lower center", ncols=3, bbox_to_anchor=(0.5, -0.3))


def enter_service(ax: Axes, s: Settings, at: Point, found: Answer) -> None:
    """How power comes back after everything has become good at t = 0."""
    e = s.enter_service
    end_s = (e.delay_s + e.ramp_s + e.random_s) * 1.15 + 10.0
    release = e.delay_s + e.random_s
    ax.axvspan(0.0, e.delay_s, color=COLOURS["may"], lw=0, label=f"delay {e.delay_s:g} s, restarts with any excursion")
    if e.random_s:
        ax.axvspan(e.delay_s, release, color=COLOURS["permissive"], lw=0, label=f"random, up to {e.random_s:g} s")
    ax.plot([0.0, release, release + e.ramp_s, end_s], [0.0, 0.0, 1.0, 1.0], color=BLUE, lw=2.4,
            label=f"most |P|, ramp {e.ramp_s:g} s" if e.ramp_s else "most |P|")  # fmt: skip
    share = min(abs(found.p_pu), 1.0)
    ax.plot([release + share * e.ramp_s], [share], "o", ms=9, color=RED, zorder=9)
    window = f"{e.v_low_pu:g} ... {e.v_high_pu:g} pu and {e.f_low_hz:g} ... {e.f_high_hz:g} Hz"
    here = "good" if good(s, at) else "not good: a unit out of service waits"
    ax.text(0.02, 0.97, f"may enter at {window}\nhere: {here}", transform=ax.transAxes, va="top", fontsize=9)
    ax.set(
        xlabel="time since everything is good, s", ylabel="most active power, pu", xlim=(0.0, end_s), ylim=(-0.05, 1.35)
    )
    ax.set_title("Enter service (4.10)" + ("" if e.permit else ", no permit"))
    ax.legend(loc="center left")


def good(s: Settings, at: Point) -> bool:
    e = s.enter_service
    return e.permit and e.v_low_pu <= at.v_pu <= e.v_high_pu and e.f_low_hz <= at.f_hz <= e.f_high_hz
