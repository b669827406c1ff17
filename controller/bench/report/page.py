"""The report of a bench run: one self-contained page. Pure; a case's record is asked for once and then let go.

Everything is inline; the page asks nobody for anything. Every case has its plots: in full where something is wrong,
with fewer points and folded where all is well, so that a run of 300 cases stays below 15 MB.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from markupsafe import Markup

from controller.bench.judgement import CaseJudgement, Check, Verdict, Window, worst
from controller.bench.plan import Case, Eut, Plan, Step
from controller.bench.record import CaseRecord
from controller.bench.report.characteristic import characteristics
from controller.bench.report.results import Found, counts, found, warnings
from controller.bench.report.rigfacts import RigFacts
from controller.bench.report.steps import length_s
from controller.bench.report.timeline import moments, timeline
from controller.report.template import DASH, fill, number

POINTS_OF_ALL = 90_000  # of a trace, over all cases
MOST_POINTS, LEAST_POINTS = 800, 80  # of a trace in one case
FULL = 4  # times the points of a case in which all is well
OPEN_ALL = 3  # so few cases are unfolded whatever they say
DECIMALS = {"V": 2, "Hz": 3, "W": 0, "var": 0, "VA": 0, "A": 2, "s": 3}
LETTERS = {"p_w": "P", "q_var": "Q", "i_a": "I"}
NAMEPLATE = {  # field of Eut: what the page calls it, how it writes it
    "name": ("Name", "{}"),
    "phases": ("Phases", "{}"),
    "v_nom_v": ("Nominal voltage", "{:.10g} V"),
    "f_nom_hz": ("Nominal frequency", "{:.10g} Hz"),
    "p_rated_w": ("Rated power, discharging", "{:.10g} W"),
    "p_charge_rated_w": ("Rated power, charging", "{:.10g} W"),
    "p_min_w": ("Smallest power, discharging", "{:.10g} W"),
    "p_charge_min_w": ("Smallest power, charging", "{:.10g} W"),
    "s_rated_va": ("Rated apparent power", "{:.10g} VA"),
    "q_inject_var": ("Reactive power, injecting", "{:.10g} var"),
    "q_absorb_var": ("Reactive power, absorbing", "{:.10g} var"),
    "normal_category": ("Category, normal operation", "{}"),
    "abnormal_category": ("Category, abnormal operation", "{}"),
    "v_low_pu": ("Continuous operation from", "{:.10g} of nominal voltage"),
    "v_high_pu": ("Continuous operation to", "{:.10g} of nominal voltage"),
    "f_low_hz": ("Continuous operation from", "{:.10g} Hz"),
    "f_high_hz": ("Continuous operation to", "{:.10g} Hz"),
    "dp_small_pu": ("Smallest measured step of power", "{:.10g} of rated power"),
    "dp_large_pu_min": ("Fastest change of power", "{:.10g} of rated power a minute"),
}
Records = Callable[[str], CaseRecord | None]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a case's table; check None: a step in which nothing was judged."""

    step: Step | None  # None: it is that of the line above
    name: str
    check: Check | None


@dataclass(frozen=True, slots=True)
class Shown:
    """One case as the page has it."""

    case: Case
    judgement: CaseJudgement
    warned: int
    opened: bool
    seconds: float
    timeline: Markup
    moments: tuple[Markup, ...]
    characteristics: tuple[Markup, ...]
    rows: tuple[Row, ...]


def page(
    plan: Plan,
    rig_info: Mapping[str, Any],
    records: Records,
    judgements: Sequence[CaseJudgement],
    made: Mapping[str, str] | None = None,
) -> str:
    """The page as text.

    rig_info: what rig.json has. records: a case's record by its id, None: it was not run. made: facts of the report
    itself, {"Plan (SHA-256)": …}.
    """
    every, seen = found(plan, judgements), RigFacts()
    points, few = points_of(every), len(every) <= OPEN_ALL
    shown = [_shown(plan.eut, row, records(row[0].id), points(row[1]), few, seen) for row in every]
    numbers, verdict = counts(every), worst(j.verdict for _, j in every)
    return fill(
        "bench.html.j2",
        watermark="",
        demo=False,
        verdict=verdict,
        counts=numbers,
        warned=sum(s.warned for s in shown),
        plan=plan,
        nameplate=nameplate(plan.eut),
        rig=list(facts(seen.instruments | dict(rig_info))),
        made=dict(made or {}),
        latencies=seen.latencies(),
        procedures=procedures(shown),
        cases=shown,
        checks=sum(len(j.checks) for _, j in every),
        quantity=quantity,
        letters=LETTERS,
        window=window_text,
    )


def points_of(every: Sequence[Found]) -> Callable[[CaseJudgement], int]:
    """How many points a trace of this case has: what all together may have is shared out."""
    full = sum(j.verdict in (Verdict.FAIL, Verdict.INVALID) for _, j in every)
    share = POINTS_OF_ALL / max(FULL * full + len(every) - full, 1)

    def points(judgement: CaseJudgement) -> int:
        weight = FULL if judgement.verdict in (Verdict.FAIL, Verdict.INVALID) else 1
        return int(min(max(weight * share, LEAST_POINTS), MOST_POINTS))

    return points


def _shown(eut: Eut, row: Found, record: CaseRecord | None, points: int, opened: bool, seen: RigFacts) -> Shown:
    case, judgement = row
    if record is not None and len(record.samples):
        seen.add(case, record)
    return Shown(
        case=case,
        judgement=judgement,
        warned=warnings(judgement),
        opened=opened or judgement.verdict in (Verdict.FAIL, Verdict.INVALID),
        seconds=length_s(record) if record else 0.0,
        timeline=Markup(timeline(eut, case, record, judgement.checks, points) if record else ""),
        moments=tuple(map(Markup, moments(eut, case, record, judgement.checks, points) if record else ())),
        characteristics=tuple(map(Markup, characteristics(eut, case, judgement.checks))),
        rows=tuple(rows(case, judgement)),
    )


def rows(case: Case, judgement: CaseJudgement) -> Iterator[Row]:
    """Step by step; a step without checks has a line too; checks of no step of the plan come last."""
    steps = {s.name for s in case.steps}
    for step in case.steps:
        checks = [c for c in judgement.checks if c.step == step.name]
        yield Row(step, step.name, checks[0] if checks else None)
        yield from (Row(None, step.name, c) for c in checks[1:])
    yield from (Row(None, c.step, c) for c in judgement.checks if c.step not in steps)


def procedures(shown: Sequence[Shown]) -> list[tuple[str, list[Shown]]]:
    """Cases by procedure, in the plan's order."""
    found: dict[str, list[Shown]] = {}
    for s in shown:
        found.setdefault(s.case.procedure, []).append(s)
    return list(found.items())


def nameplate(eut: Eut) -> list[tuple[str, str]]:
    """(what, value with its unit) of the equipment under test, as its maker declares it."""
    return [(name, str(form.format(getattr(eut, key)))) for key, (name, form) in NAMEPLATE.items()]


def facts(info: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    """Nested values as lines: {"source": {"identity": "…"}} -> ("source: identity", "…"); a whole file: its digest."""
    for key, value in info.items():
        name = f"{above}: {key}" if above else str(key)
        if isinstance(value, Mapping):
            yield from facts(value, name)
        elif "\n" in str(value):
            yield f"{name} (SHA-256)", sha256(str(value).encode()).hexdigest()
        elif isinstance(value, (list, tuple)):
            yield name, ", ".join(map(str, value)) or DASH
        else:
            yield name, DASH if value is None else str(value)


def quantity(value: float | None, unit: str = "") -> str:
    """A measured value with the digits that its instrument has."""
    if value is None or value != value:
        return DASH
    if unit not in DECIMALS:
        return number(value, unit)
    return f"{round(value, DECIMALS[unit]) + 0.0:.{DECIMALS[unit]}f} {unit}"  # + 0.0: no -0


def window_text(window: Window | None, unit: str) -> str:
    """`-750 … 750 var`; one-sided: `≤ 750 var`."""
    if window is None or (window.low is None and window.high is None):
        return DASH
    if window.low is None:
        return f"≤ {quantity(window.high, unit)}"
    if window.high is None:
        return f"≥ {quantity(window.low, unit)}"
    return f"{quantity(window.low, unit).removesuffix(' ' + unit)} … {quantity(window.high, unit)}"
