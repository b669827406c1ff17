"""Journals of a day -> pages in a folder. One pass over the steps; the page of an event is written when it is measured.

Errors   InputError: the day is not in the files, or a file is none of ours. The text says which days are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from controller.build import build_id
from controller.errors import InputError
from controller.report.daily import stored as store
from controller.report.daily.events import EventStream, Measured
from controller.report.daily.pages import (
    PERCENTS,
    Day,
    EventRow,
    event_facts,
    event_page,
    index_page,
    quality_page,
    quality_word,
    verdict,
)
from controller.report.daily.quality import SIGNALS, Quality
from controller.report.daily.reconcile import reconcile
from controller.report.daily.stream import DAY_NS, DayStream
from controller.report.template import put
from controller.response.judge import plain

MOST_PAGES = 500  # a day has some hundred events; what comes behind these is listed without a page
AROUND_NS = 30_000_000_000  # a capture so soon after an event's begin is its own
LONGEST_LIST = 10


@dataclass(frozen=True, slots=True)
class Sources:
    """What a day is made of. site: "" is the first one met; store: None is none."""

    journals: Sequence[Path]
    store: Path | None = None
    site: str = ""


def journals_beside(path: Path) -> list[Path]:
    """A journal and the one before it (controller.journal), oldest first."""
    before = path.with_suffix(f".1{path.suffix}")
    return [file for file in (before, path) if file.exists()] or [path]


def make_day(
    sources: Sources, day: date, out: Path, progress: Callable[[int, int], None] = lambda _done, _total: None
) -> dict[str, Any]:
    """Write the pages; what a program reads of them."""
    begin_ns = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1_000_000_000
    stream = DayStream(sources.journals, begin_ns, progress)
    site = sources.site or site_of(sources.journals)
    stored = None if sources.store is None else store.read_day(sources.store, site, *day_ms(begin_ns))
    quality = Quality(begin_ns, stored.span_ms if stored else (0, 0))
    made_at = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    rows = [
        write_event(m, number, day.isoformat(), out, stored, made_at)
        for number, m in enumerate(events_of(stream, quality))
    ]
    quality.close()
    if not quality.steps:
        raise InputError(f"{', '.join(map(str, sources.journals))}: no step of {day}; {days_in(stream.seen_ns)}")
    found = Day(
        date=day.isoformat(),
        site=site,
        quality=quality,
        stored=stored,
        reconciled=reconcile(stored, quality.meter_in_span) if stored else (),
        notes=stream.notes,
        replay=replay_line(stream),
        made_at=made_at,
    )
    put(out / "quality.html", quality_page(found))
    put(out / "index.html", index_page(found, rows))
    return as_json(found, rows, out)


def events_of(stream: DayStream, quality: Quality) -> Iterator[Measured]:
    """Every event that begins on the day; the steps are counted on their way."""
    events: EventStream | None = None
    run = -1
    for block in stream.blocks():
        quality.add(block)
        if block.run != run:
            yield from of_day(events.close() if events else (), stream)
            events, run = EventStream(block.info), block.run
        assert events is not None
        yield from of_day(events.feed(block), stream)
    yield from of_day(events.close() if events else (), stream)


def of_day(found: Iterator[Measured] | tuple[()], stream: DayStream) -> Iterator[Measured]:
    return (m for m in found if stream.begin_ns <= m.begin_ns < stream.end_ns)


def write_event(m: Measured, number: int, day: str, out: Path, stored: store.Stored | None, made_at: str) -> EventRow:
    """Its page, unless there are too many; its window is let go."""
    facts = event_facts(m)
    page = f"event-{number + 1:03d}.html" if number < MOST_PAGES else ""
    if page:
        near = [f for t, f in (stored.captures if stored else ()) if 0 <= t * 1_000_000 - m.begin_ns <= AROUND_NS]
        put(out / page, event_page(m, day, near, made_at))
    return EventRow(page, m.begin_ns, facts, m.cut)


def site_of(journals: Sequence[Path]) -> str:
    """The site that the first run names."""
    from controller.journal import Problem, entries

    problems: list[Problem] = []
    for path in journals:
        for _, entry in entries(path, problems):
            assert isinstance(entry, dict)
            return str(entry["site"])
    raise InputError(f"{', '.join(map(str, journals))}: holds no run")


def day_ms(begin_ns: int) -> tuple[int, int]:
    return begin_ns // 1_000_000, (begin_ns + DAY_NS) // 1_000_000


def days_in(seen_ns: Sequence[int]) -> str:
    """Which days the files hold."""
    days = sorted({datetime.fromtimestamp(t // 1_000_000_000, UTC).date() for t in seen_ns})
    shown = [str(d) for d in days[-LONGEST_LIST:]]
    return f"they hold {', '.join(shown)} (UTC)" if days else "they hold no step at all"


def replay_line(stream: DayStream) -> str:
    """Whether the numbers rest on equal bits."""
    faults = [f"{stream.lost} steps lost"] if stream.lost else []
    faults += [f"{stream.adrift} steps not computable"] if stream.adrift else []
    text = f"{stream.identical} steps computed again to equal bits (build {build_id()})"
    return "; ".join([text, *faults])


def as_json(day: Day, rows: Sequence[EventRow], out: Path) -> dict[str, Any]:
    """What a program reads; NaN is null."""
    q = day.quality
    ages = {s: {f"p{p}": q.ages[s].percentile(p) for p in PERCENTS} | {"max": q.ages[s].most} for s in SIGNALS}
    answer = {
        "v": 1,
        "day": day.date,
        "site": day.site,
        "index": str(out / "index.html"),
        "events": [{**row.facts, "verdict": verdict(row.facts), "page": row.page or None} for row in rows],
        "quality": {
            "word": quality_word(day),
            "recorded_s": q.recorded_s,
            "steps": q.steps,
            "skipped": q.skipped,
            "latches": q.latches,
            "age_ms": ages,
            "lateness_us": {f"p{p}": 1e3 * q.lateness_ms.percentile(p) for p in PERCENTS},
            "state_s": dict(q.state_s),
            "reason_s": dict(q.reason_s),
            "unit": {"import_wh": q.unit.import_wh, "export_wh": q.unit.export_wh, "unknown_s": q.unit.unknown_s},
            "gaps": [g.as_dict() for g in q.gaps],
            "store": None if day.stored is None else store.as_dict(day.stored),
            "registers": [
                {
                    "direction": r.direction, "steps_wh": r.steps_wh, "register_wh": r.register_wh,
                    "difference_wh": r.difference_wh, "difference_pct": r.difference_pct, "expected_wh": r.expected_wh,
                    "as_expected": r.as_expected, "falls": r.falls,
                }
                for r in day.reconciled
            ],
        },
        "replay": day.replay,
        "notes": list(day.notes),
    }  # fmt: skip
    found: dict[str, Any] = plain(answer)
    return found
