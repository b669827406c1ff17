"""Records without a bench: a unit of first order on a case's steps, a meter with seeded noise, a rig's faults.

The unit begins to move when the source has arrived; t_r_s is its open-loop response time (90 % of the way).
The meter reads every sample_s, in steps of 10 mV, 1 mHz, 1 W, 1 var. A rig's fault is a function record -> record.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from controller.bench.plan import Case, Criterion, Curve, Step, Value
from controller.bench.ramp import ramp_s
from controller.bench.record import SAMPLE, CaseRecord, Event, EventKind
from drivers.gridsource.point import GridPoint

SET_UP_S = 0.03  # between a step's begin and the source's arrival, without a ramp
SETTINGS: dict[str, Value] = {
    "volt_var.v1_pu": 0.92, "volt_var.q2_pu": 0.0, "reactive.mode": "volt_var", "volt_watt.enable": False,
}  # fmt: skip
Floats = NDArray[np.float64]
Answer = Callable[[Step], tuple[float, float]]
Change = Callable[[CaseRecord], CaseRecord]


def step(name: str, *criteria: Criterion, v_v: float = 240.0, f_hz: float = 60.0, hold_s: float = 20.0,
         sample_s: float = 0.05, **more: Any) -> Step:  # fmt: skip
    return Step(name, f"{v_v:g} V, {f_hz:g} Hz", GridPoint(v_v, v_v, v_v, f_hz), hold_s, sample_s,
                criteria=criteria, **more)  # fmt: skip


def case(*steps: Step) -> Case:
    return Case("a_case", "a_procedure", "a case", "5.14.4", SETTINGS, step("start", hold_s=2.0), steps)


def on(curve: Curve, x: float) -> float:
    xs, ys = zip(*curve.points, strict=True)
    return float(np.interp(x, xs, ys))


@dataclass(frozen=True, slots=True)
class Unit:
    """answer(step): (P, Q) it goes to. late_s: asleep at first. shape(t_s): share of the way, else first order."""

    answer: Answer
    t_r_s: float = 5.0
    late_s: float = 0.0
    shape: Callable[[Floats], Floats] | None = None

    def way(self, t_s: Floats) -> Floats:
        t_s = np.maximum(t_s - self.late_s, 0.0)
        return self.shape(t_s) if self.shape else 1.0 - 10.0 ** (-t_s / self.t_r_s)


def at_once(after_s: float) -> Callable[[Floats], Floats]:
    """A shape: nothing, then everything."""
    return lambda t_s: np.where(t_s > after_s, 1.0, 0.0)


def record(of: Case, unit: Unit, seed: int = 1, on_the_way: int = 0) -> CaseRecord:
    """The whole case. on_the_way: readings between a step's begin and its arrival, the unit moving already."""
    noise, t_ns, rows = np.random.default_rng(seed), 10**12, []
    events = [Event(t_ns, "case", {"id": of.id}), Event(t_ns, "settings", {"wanted": SETTINGS, "read": SETTINGS})]
    output, point = np.array(unit.answer(of.start)), of.start.point
    for s in (of.start, *(s for s in of.steps if not s.skipped)):
        set_up_s, goal = max(ramp_s(point, s.point, s), SET_UP_S), np.array(unit.answer(s))

        def note(kind: EventKind, at_ns: int, name: str = s.name) -> None:
            events.append(Event(at_ns, kind, {"name": name}))

        note("step", t_ns)
        early_s = set_up_s * (np.arange(on_the_way) + 1.0) / (on_the_way + 1.0) - set_up_s
        arrived_ns = t_ns + round(set_up_s * 1e9)
        held_s = np.arange(1, round(s.hold_s / s.sample_s) + 1) * s.sample_s
        note("arrived", arrived_ns)
        t_s = np.concatenate([early_s, held_s])
        moved = np.where(t_s < 0.0, 0.5, unit.way(np.maximum(t_s, 0.0)))
        rows.append(readings(s, arrived_ns, t_s, output + (goal - output) * moved[:, None], noise))
        output, point, t_ns = output + (goal - output) * moved[-1], s.point, arrived_ns + round(s.hold_s * 1e9)
        note("end", t_ns)
    return CaseRecord(np.concatenate(rows), (*events, Event(t_ns, "done", {})))


def readings(s: Step, arrived_ns: int, t_s: Floats, p_q: Floats, noise: np.random.Generator) -> NDArray[Any]:
    rows = np.zeros(len(t_s), SAMPLE)
    for name in ("v2_v", "v3_v", "i_a", "set_v2_v", "set_v3_v"):
        rows[name] = np.nan
    rows["t_ns"] = arrived_ns + np.round(t_s * 1e9).astype(np.int64)
    exact = {"v1_v": (s.point.v1_v, 0.01), "f_hz": (s.point.f_hz, 0.001), "p_w": (p_q[:, 0], 1.0),
             "q_var": (p_q[:, 1], 1.0)}  # fmt: skip
    for name, (value, resolution) in exact.items():
        noisy = np.asarray(value) + noise.normal(0.0, resolution, len(t_s))
        rows[name] = np.round(noisy / resolution) * resolution
    rows["set_v1_v"], rows["set_f_hz"] = s.point.v1_v, s.point.f_hz
    return rows


# --- what a rig does wrong ---


def arrived_ns(r: CaseRecord, name: str) -> int:
    return next(e.t_ns for e in r.events if e.kind == "arrived" and e.data["name"] == name)


def with_samples(r: CaseRecord, samples: NDArray[Any]) -> CaseRecord:
    return replace(r, samples=samples)


def within(r: CaseRecord, name: str, from_s: float, to_s: float) -> NDArray[np.bool_]:
    t_s = (r.samples["t_ns"] - arrived_ns(r, name)) / 1e9
    return np.asarray((t_s >= from_s) & (t_s < to_s))


def off(quantity: str, by: float, name: str, from_s: float = 0.0, to_s: float = 1e9) -> Change:
    """The meter shows so much more than is so."""

    def change(r: CaseRecord) -> CaseRecord:
        samples = r.samples.copy()
        samples[quantity][within(r, name, from_s, to_s)] += by
        return with_samples(r, samples)

    return change


def source_scaled(share: float) -> Change:
    """The source gives so much of what it was told, all the time."""

    def change(r: CaseRecord) -> CaseRecord:
        samples = r.samples.copy()
        samples["v1_v"] *= share
        return with_samples(r, samples)

    return change


def frozen(name: str, from_s: float, to_s: float, own_time: bool = True) -> Change:
    """The meter repeats one reading; own_time: with a time that goes on."""

    def change(r: CaseRecord) -> CaseRecord:
        samples, here = r.samples.copy(), within(r, name, from_s, to_s)
        first = samples[here][0].copy()
        for quantity in ("v1_v", "f_hz", "p_w", "q_var", *(() if own_time else ("t_ns",))):
            samples[quantity][here] = first[quantity]
        return with_samples(r, samples)

    return change


def dropped(name: str, from_s: float, to_s: float) -> Change:
    return lambda r: with_samples(r, r.samples[~within(r, name, from_s, to_s)])


def slow_meter(every: int) -> Change:
    """A new reading only at every so many samples; the rows between repeat it, its time too."""

    def change(r: CaseRecord) -> CaseRecord:
        samples = r.samples.copy()
        last = np.arange(len(samples)) // every * every
        for quantity in ("t_ns", "v1_v", "f_hz", "p_w", "q_var", "i_a"):
            samples[quantity] = r.samples[quantity][last]
        return with_samples(r, samples)

    return change


def read_back(**read: Value | None) -> Change:
    """group__key=value: what was read instead; None: nothing was."""
    changed = {name.replace("__", "."): value for name, value in read.items()}

    def change(r: CaseRecord) -> CaseRecord:
        answer = {k: v for k, v in (SETTINGS | changed).items() if v is not None}
        events = [replace(e, data=e.data | {"read": answer}) if e.kind == "settings" else e for e in r.events]
        return replace(r, events=tuple(events))

    return change


def without(kind: EventKind, name: str | None = None) -> Change:
    return lambda r: replace(r, events=tuple(e for e in r.events if (e.kind, e.data.get("name")) != (kind, name)))


def rig_says(text: str) -> Change:
    return lambda r: replace(r, events=(*r.events, Event(r.events[-1].t_ns, "rig", {"text": text})))


def backwards(name: str, at_s: float) -> Change:
    """Two rows in the wrong order."""

    def change(r: CaseRecord) -> CaseRecord:
        samples, at = r.samples.copy(), int(np.flatnonzero(within(r, name, at_s, 1e9))[0])
        samples[[at, at + 1]] = samples[[at + 1, at]]
        return with_samples(r, samples)

    return change


def slow_source(took_s: float) -> Change:
    """It got its order so long before it acknowledged, and may have moved at once."""

    def change(r: CaseRecord) -> CaseRecord:
        sent = [
            replace(e, data=e.data | {"sent_ns": e.t_ns - round(took_s * 1e9)}) if e.kind == "arrived" else e
            for e in r.events
        ]
        return replace(r, events=tuple(sent))

    return change
