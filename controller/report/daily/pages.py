"""The pages of a day, as text: one a grid event, one of the data's quality, and the index that leads to them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from markupsafe import Markup

from controller.report.curves import curves
from controller.report.daily.events import Measured
from controller.report.daily.plots import draw_day
from controller.report.daily.quality import SIGNALS, Quality
from controller.report.daily.reconcile import Reconciled
from controller.report.daily.stored import Stored
from controller.report.daily.stream import DAY_NS
from controller.report.page import UNKNOWN, watermark_of
from controller.report.plots import draw_all
from controller.report.template import fill
from controller.response.timing import Timing
from controller.telemetry.gaps import Gap
from cython_core.records import REASON_TEXT, Reason

PLOTS = ("frequency", "power", "droop")
PERCENTS = (50, 95, 99)
MOST_GAPS = 50  # listed; all are counted


@dataclass(frozen=True, slots=True)
class EventRow:
    """One event as the index lists it, and as JSON has it."""

    page: str  # "": none was written
    begin_ns: int
    facts: dict[str, Any]
    cut: bool


@dataclass(frozen=True, slots=True)
class Day:
    """Everything the pages of one day say."""

    date: str
    site: str
    quality: Quality
    stored: Stored | None
    reconciled: Sequence[Reconciled]
    notes: Sequence[str]
    replay: str
    made_at: str

    @property
    def info(self) -> dict[str, Any]:
        """Of the newest run."""
        runs = list(self.quality.runs.values())
        found: dict[str, Any] = runs[-1]["info"] if runs else {}
        return found

    @property
    def gaps(self) -> Sequence[Gap]:
        return self.quality.gaps

    @property
    def share(self) -> float:
        """Of the day that is recorded."""
        return self.quality.recorded_s / (DAY_NS / 1e9)


def utc(wall_ns: int, form: str = "%H:%M:%S") -> str:
    """Of Unix time in ns."""
    return datetime.fromtimestamp(wall_ns // 1_000_000_000, UTC).strftime(form)


def event_facts(m: Measured) -> dict[str, Any]:
    """What a program reads of one event. Powers are changes against p_pre_w; NaN is null in the JSON."""
    e = m.response
    return {
        "begin": utc(m.begin_ns, "%Y-%m-%dT%H:%M:%SZ"),
        "epoch": m.info.get("epoch"),
        "side": "over" if e.event.side > 0 else "under",
        "duration_s": e.event.duration_s,
        "ended": e.event.ended,
        "f_extreme_hz": e.event.f_extreme_hz,
        "p_pre_w": e.p_pre_w,
        "asked_w": e.answer_formula_w,
        "allowed_w": e.answer_allowed_w,
        "measured_w": e.answer_measured_w,
        "initiate_s": e.initiate.value_s,
        "initiate": word(e.initiate),
        "deliver_s": e.deliver.value_s,
        "deliver": word(e.deliver),
        "settle_s": e.settle_s,
        "overshoot_pu": e.overshoot_pu,
        "energy_wh": e.energy_wh,
        "energy_ideal_wh": e.energy_ideal_wh,
        "limited_by": [{"reason": h.reason, "seconds": h.seconds} for h in e.held],
    }


def word(timing: Timing) -> str:
    """pass, fail or not judged: colour alone never says it."""
    return {True: "pass", False: "fail", None: "not judged"}[timing.passed]


def verdict(e: dict[str, Any]) -> str:
    """Of one event: the worse of its two times."""
    return next((w for w in ("fail", "pass") if w in (e["initiate"], e["deliver"])), "not judged")


def common(info: dict[str, Any], site: str) -> dict[str, Any]:
    """What every page needs for its frame."""
    return {"site": site, "demo": info.get("start_mode") == "demo", "watermark": watermark_of(info)}


def event_page(m: Measured, date: str, captures: Sequence[str], made_at: str) -> str:
    """One event: its times, what limited it, its plots."""
    info, run, facts = m.info, m.run, event_facts(m)
    drawn = curves(run, [m.response], None, int(info["wall_offset_ns"]))
    plots = draw_all(drawn, watermark_of(info), PLOTS)
    return fill(
        "event.html.j2",
        **common(info, str(info.get("site", UNKNOWN))),
        e=m.response,
        facts=facts,
        verdict=verdict(facts),
        words={"initiate": word(m.response.initiate), "deliver": word(m.response.deliver)},
        date=date,
        time=utc(m.begin_ns),
        plots={name: Markup(text) for name, text in plots.items()},
        window_s=(utc(int(run.records["t_ns"][0]) + int(info["wall_offset_ns"])), drawn.seconds),
        power_from=run.power_from,
        cut=m.cut,
        captures=captures,
        provenance=[
            ("Source", f"step records {run.records['n'][0]} … {run.records['n'][-1]} of the controller's own journal"),
            ("Power measured by", run.power_from),
            ("Start mode", str(info.get("start_mode", UNKNOWN))),
            ("Build", str(info.get("build", UNKNOWN))),
            ("Epoch", str(info.get("epoch", UNKNOWN))),
            ("Report made", made_at),
        ],
    )


def quality_page(day: Day) -> str:
    """What is there of this day, how old the inputs were, and whether the energies agree."""
    q = day.quality
    ages = [
        (text, [*(q.ages[signal].percentile(p) for p in PERCENTS), q.ages[signal].most])
        for signal, text in SIGNALS.items()
    ]
    return fill(
        "quality.html.j2",
        **common(day.info, day.site),
        day=day,
        q=q,
        share_pct=100.0 * day.share,
        word=quality_word(day),
        ages=ages,
        percents=PERCENTS,
        lateness_us=[1e3 * q.lateness_ms.percentile(p) for p in PERCENTS] + [1e3 * q.lateness_ms.most],
        states=longest_first(q.state_s),
        reasons=[(REASON_TEXT[Reason[name]], s) for name, s in longest_first(q.reason_s)],
        droop_s=q.reason_s.get("DROOP", 0.0),
        gaps=spans(day.gaps),
        frame_gaps=spans(day.stored.gaps if day.stored else ()),
        runs=[(utc(r["begin_ns"]), utc(r["end_ns"]), r["info"]) for r in q.runs.values()],
        plots={name: Markup(text) for name, text in draw_day(q.slices, watermark_of(day.info)).items()},
    )


def longest_first(seconds: Mapping[str, float]) -> list[tuple[str, float]]:
    return sorted(seconds.items(), key=lambda item: -item[1])


def spans(gaps: Sequence[Gap]) -> list[tuple[str, str, Gap]]:
    """The first of them, with their times of day; the day ends at 24:00."""

    def end(g: Gap) -> str:
        text = utc(g.end_ms * 1_000_000)
        return "24:00:00" if text == "00:00:00" else text

    return [(utc(g.begin_ms * 1_000_000), end(g), g) for g in gaps[:MOST_GAPS]]


def quality_word(day: Day) -> str:
    """What a reader must know first."""
    if day.notes or any(not r.as_expected for r in day.reconciled):
        return "look"
    return "complete" if day.share > 0.999 else "incomplete"


def index_page(day: Day, events: Sequence[EventRow]) -> str:
    """All events of the day, with their pages."""
    counts = {w: sum(verdict(row.facts) == w for row in events) for w in ("pass", "fail", "not judged")}
    return fill(
        "index.html.j2",
        **common(day.info, day.site),
        day=day,
        share_pct=100.0 * day.share,
        word=quality_word(day),
        counts=counts,
        events=[(row, utc(row.begin_ns), verdict(row.facts)) for row in events],
        worst={
            name: max((row.facts[name] for row in events if np.isfinite(row.facts[name])), default=math.nan)
            for name in ("initiate_s", "deliver_s")
        },
    )
