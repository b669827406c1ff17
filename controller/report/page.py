"""The report: one self-contained HTML page with the verdict, its checks, plots, settings and where it all comes from.

Everything is inline (style, SVG); the page asks nobody for anything. It follows the reader's light or dark scheme,
reads at 400 px as at 1600 px, and prints on one page, the settings on a second. Pure apart from write_report, which
writes the file whole. The same run gives the same page; the time of making is the caller's (made_at), if it is wanted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from markupsafe import Markup
from numpy.typing import ArrayLike

from controller.report.curves import FaultSpan, curves
from controller.report.plots import draw_all
from controller.report.template import fill, put
from controller.response.checks import Check
from controller.response.judge import Verdict
from controller.response.measure import EventResponse
from controller.response.run import Records, prepare
from controller.sitewrite import written
from cython_core.quantities import defaults, range_of
from cython_core.settings import Settings

UNKNOWN = "not recorded"
MOST_EVENTS = 8


@dataclass(frozen=True, slots=True)
class SettingRow:
    """One setting as the page shows it."""

    name: str
    value: str
    unit: str
    allowed: str
    clause: str
    changed: bool  # differs from the default


def write_report(
    path: Path,
    records: Records,
    info: Mapping[str, Any],
    frames_ms: ArrayLike | None,
    verdict: Verdict,
    *,
    replay: str = "",
    made_at: str = "",
    notes: tuple[str, ...] = (),
    faults: tuple[FaultSpan, ...] = (),
) -> None:
    """Write the page. replay: the replay's one line; notes: further lines about the run (trace, fault, broker)."""
    html = render(records, info, frames_ms, verdict, replay=replay, made_at=made_at, notes=notes, faults=faults)
    put(path, html)


def render(
    records: Records,
    info: Mapping[str, Any],
    frames_ms: ArrayLike | None,
    verdict: Verdict,
    *,
    replay: str = "",
    made_at: str = "",
    notes: tuple[str, ...] = (),
    faults: tuple[FaultSpan, ...] = (),
) -> str:
    """The page as text. faults: shaded in the plots over time."""
    run = prepare(records, info)
    watermark = watermark_of(info)
    drawn = replace(curves(run, verdict.measured.events, frames_ms, int(info["wall_offset_ns"])), faults=faults)
    t0_ns = int(records["t_ns"][0])
    return fill(
        "page.html.j2",
        plots={name: Markup(svg) for name, svg in draw_all(drawn, watermark).items()},
        captions={name: text + SHADED * (bool(faults) and name in OVER_TIME) for name, text in CAPTIONS.items()},
        verdict=verdict,
        headline=headline(verdict),
        demo=str(info.get("start_mode", "")) == "demo",
        watermark=watermark,
        site=str(info.get("site", UNKNOWN)),
        events=[(e, (e.event.t_start_ns - t0_ns) / 1e9) for e in shown_events(verdict)],
        event_count=len(verdict.measured.events),
        settings=setting_rows(run.settings),
        provenance=provenance(records, info, verdict, replay, made_at),
        notes=notes,
        started=_utc(t0_ns + int(info["wall_offset_ns"])),
        duration_s=(int(records["t_ns"][-1]) - t0_ns) / 1e9,
    )


OVER_TIME = ("frequency", "power", "ages", "lateness", "telemetry")
SHADED = " Shaded in red, with their words: injected faults, as they were put in force."


def watermark_of(info: Mapping[str, Any]) -> str:
    """Words that every copy of a plot keeps: the values of this run's profile have one source, or none."""
    unverified = str(info.get("unverified") or "")
    return f"unverified profile {unverified}" if unverified else ""


CAPTIONS = {
    "frequency": "Measured frequency with the dead band; shaded: grid events.",
    "power": "Measured, commanded and ideal power. The ideal answer is the formula through the set response time, cut "
    "by the limits in force; the band around it is 10 % of the answer plus 1 % of rating.",
    "droop": "Change of power over frequency, in events. Frequency is seen through the same lag as the answer, so that "
    "a right answer lies on the formula however fast the frequency moves.",
    "ages": "Age of the frequency and of the inverter's state when each step used them.",
    "lateness": "How late each step woke up after its grid point.",
    "telemetry": "Silence before each live frame; the run's start and end count as frames.",
}


def headline(verdict: Verdict) -> list[tuple[str, Check]]:
    """The three numbers that everybody asks for first."""
    by_name = {c.name: c for c in verdict.checks}
    gaps = [c for c in verdict.checks if c.name.startswith("Longest telemetry gap")]
    worst_gap = max(gaps, key=lambda c: (c.passed is False, c.value if math.isfinite(c.value) else -1.0))
    return [
        ("initiate", by_name["Time to initiate"]),
        ("deliver", by_name["Time to deliver"]),
        ("longest telemetry gap", worst_gap),
    ]


def shown_events(verdict: Verdict) -> list[EventResponse]:
    """The largest events, in order of time: a calm day has hundreds that nobody reads."""
    largest = sorted(verdict.measured.events, key=lambda e: -abs(e.answer_formula_w))[:MOST_EVENTS]
    return sorted(largest, key=lambda e: e.event.t_start_ns)


def setting_rows(settings: Settings) -> list[tuple[str, list[SettingRow]]]:
    """Every setting with unit, range and clause, group by group."""
    rating = settings.rating
    unit = (rating.normal_category, rating.abnormal_category, rating.f_nom_hz)
    groups = []
    for group in fields(settings):
        chosen = getattr(settings, group.name)
        preset = defaults(type(chosen), *unit)
        rows = [
            _setting(
                getattr(chosen, f.name), f.name, preset.get(f.name, f.default), _allowed(f.metadata, unit), f.metadata
            )
            for f in fields(chosen)
        ]
        groups.append((group.name, rows))
    return groups


def _allowed(meta: Mapping[str, Any], unit: tuple[str, str, float]) -> str:
    """The range of this unit, in its categories and at its nominal frequency."""
    if "choices" in meta:
        return " | ".join(meta["choices"])
    return "{1:.12g} … {2:.12g}".format(*range_of(meta, *unit)) if "low" in meta else ""


def _setting(value: Any, name: str, default: Any, allowed: str, meta: Mapping[str, Any]) -> SettingRow:
    text = written(value)
    unit = str(meta.get("unit", "")) if isinstance(value, float) else ""
    return SettingRow(name, text, unit, allowed, str(meta.get("clause", "")), value != default)


def provenance(
    records: Records, info: Mapping[str, Any], verdict: Verdict, replay: str, made_at: str
) -> list[tuple[str, str]]:
    """Where the numbers come from."""
    d, maps = verdict.measured.deadlines, info.get("maps", {})
    digest = info.get("settings_digest", UNKNOWN)
    rows = [
        ("Source", f"step records {records['n'][0]} … {records['n'][-1]} of the controller's own journal"),
        ("Power measured by", verdict.measured.power_from),
        ("Steps", f"{d.steps}, one every {d.period_ms:g} ms; {d.skipped} grid points skipped, {d.missing} absent"),
        ("Replay", replay or "not replayed"),
        ("Start mode", str(info.get("start_mode", UNKNOWN))),
        ("Profile", _profile(info)),
        ("Build", str(info.get("build", UNKNOWN))),
        ("Settings digest", f"{digest:016x}" if isinstance(digest, int) else str(digest)),
        ("Epoch, boot", f"{info.get('epoch', UNKNOWN)}, {info.get('boot_id', UNKNOWN)}"),
    ]
    if isinstance(maps, Mapping) and maps:
        rows.append(("Register maps", ", ".join(f"{k}: {v}" for k, v in maps.items())))
    if made_at:
        rows.append(("Report made", made_at))
    return rows


def _profile(info: Mapping[str, Any]) -> str:
    name = str(info.get("profile") or "none")
    return f"{name} (unverified)" if info.get("unverified") else name


def _utc(wall_ns: int) -> str:
    return datetime.fromtimestamp(wall_ns // 1_000_000_000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
