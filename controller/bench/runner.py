"""Runs a plan on a rig: case by case through the four ports; leaves records, judges nothing.

Case     source on, the unit as if no case had been before, settings written and read back, the set-up step, then the
         steps in order; last event `done`.
Time     the rig's clock alone. Samples lie on a grid that begins when the source has arrived; before that (set-up of
         the step, ramps) on one that begins with the step. A grid point that is missed is left out, never made up.
Ramps    in steps of at most RAMP_S, on the straight line whenever they come: a slow source makes bigger steps.
Trouble  of the rig (RigError, an error of source or meter): event `rig`, source safe, permit off, the case ends.
Safety   whatever else ends a run (a mistake of ours, Ctrl-C, a signal): source safe and permit off first, then the
         record is closed, then it goes on as the error it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from typing import Any, Protocol

from controller.bench.folder import RunFolder
from controller.bench.plan import Case, Plan, Step, Value
from controller.bench.ports import NAN, Rig
from controller.bench.ramp import between, ramp_s
from controller.bench.record import Event, EventKind
from drivers.base import DriverError
from drivers.gridsource.point import GridPoint, shout

RAMP_S = 0.01  # largest step of a ramp
SECOND_NS = 1_000_000_000
IN_SERVICE = 0.1  # of the power that is asked for
SERVICE_S = 660  # 1547-2018 4.10.3: a delay of 600 s at most, then its power
OpenRig = Callable[[Case], AbstractContextManager[Rig]]


class Writer(Protocol):
    """Where a case's record goes: folder.CaseWriter, or memory."""

    def sample(self, row: tuple[float, ...]) -> None:
        """One row of record.SAMPLE."""
        ...

    def event(self, event: Event) -> None: ...


def run_cases(cases: Iterable[Case], open_rig: OpenRig, folder: RunFolder, told: Callable[[Case], None]) -> None:
    """Every case that is not skipped, each on its own opening of the rig. told: a case has ended."""
    for case in cases:
        if not case.skipped:
            with open_rig(case) as rig, folder.open_case(case.id) as writer:
                run_case(case, rig, writer)
        told(case)


def fit(plan: Plan, rig_name: str, can: frozenset[str]) -> Plan:
    """The plan with every case skipped, with its reason, that this rig cannot run."""

    def fitted(case: Case) -> Case:
        lacking = sorted(set(case.needs) - can)
        if case.skipped or not lacking:
            return case
        return replace(case, skipped=f"the rig {rig_name} cannot do: {', '.join(lacking)}")

    return replace(plan, cases=tuple(fitted(case) for case in plan.cases))


def run_case(case: Case, rig: Rig, writer: Writer) -> None:
    """One case. Rig trouble ends in the record; every other exception is raised again once all is safe."""
    run = CaseRun(case, rig, writer)
    try:
        run.all_steps()
    except DriverError as error:
        make_safe(rig)
        run.note("rig", text=str(error))
    except BaseException:
        make_safe(rig)
        raise


def make_safe(rig: Rig) -> None:
    """Source first, for it bites; never raises."""
    for what, act in (("source", rig.source.safe), ("permit", lambda: rig.unit.permit(False))):
        try:
            act()
        except Exception as error:  # whatever it is: the other one must still be reached
            shout(f"v2g bench: {what} could not be made safe: {error}")


class CaseRun:
    """One case on its way: where the source is, when the next sample is due."""

    def __init__(self, case: Case, rig: Rig, writer: Writer) -> None:
        self.case, self.rig, self.writer = case, rig, writer
        self.point = case.start.point
        self.sample_ns = self.due_ns = 0
        self.p_w = NAN  # of the newest sample

    def all_steps(self) -> None:
        rig = self.rig
        self.note("case", id=self.case.id, rig=rig.name, source=rig.source.identity(), meter=rig.meter.identity(),
                  unit=rig.unit.identity())  # fmt: skip
        self.note_source(self.point, rig.source.on(self.point))  # first: a guard that has acted refuses here
        rig.unit.begin()
        self.settings(self.case.settings)
        for step in (self.case.start, *self.case.steps):
            if not step.skipped:
                self.step(step)
        self.note("done")

    def step(self, step: Step) -> None:
        """Settings, demand, permit, limit, faults, source; then the hold. t = 0 is the source's acknowledgement."""
        unit = self.rig.unit
        self.note("step", name=step.name)
        self.sample_every(step.sample_s, self.rig.clock.now_ns())
        if step.settings:
            self.settings(step.settings)
        if step.demand_w is not None:
            unit.demand(step.demand_w)
        if step.permit is not None:
            unit.permit(step.permit)
        if step.ap_limit_pu is not None:
            unit.limit(step.ap_limit_pu)
        for line in step.faults:
            unit.fault(line)
            self.note("fault", line=line)
        sent_ns, arrived_ns = self.go(step)
        self.note_at(arrived_ns, "arrived", name=step.name, sent_ns=sent_ns)
        self.sample_every(step.sample_s, arrived_ns)
        self.until(arrived_ns + round(step.hold_s * SECOND_NS))
        if step is self.case.start:
            self.await_service(step)
        self.note("end", name=step.name)

    def await_service(self, start: Step) -> None:
        """The first step finds the unit at its power: one that still counts its enter service is waited for."""
        clock, least_w = self.rig.clock, IN_SERVICE * abs(start.demand_w or 0.0)
        if start.permit is False or start.ap_limit_pu == 0.0 or not abs(self.p_w) < least_w:
            return
        latest_ns = clock.now_ns() + SERVICE_S * SECOND_NS
        while abs(self.p_w) < least_w and clock.now_ns() < latest_ns:
            self.until(clock.now_ns() + SECOND_NS)
        self.until(clock.now_ns() + round(start.hold_s * SECOND_NS))

    def settings(self, wanted: Any) -> None:
        read: dict[str, Value] = dict(self.rig.unit.write(wanted))
        self.note("settings", wanted=dict(wanted), read=read)

    # ---- the source ----

    def go(self, step: Step) -> tuple[int, int]:
        """To the step's point, along its ramps. When its end was sent and when acknowledged, ns: it came in between.

        By hand it comes when Enter says so: both are one.
        """
        start, end, begin_ns = self.point, step.point, self.rig.clock.now_ns()
        by_hand = self.rig.source.manual  # a person turns slowly enough, and is not asked for every step of a ramp
        length_ns = 0 if by_hand else round(ramp_s(start, end, step) * SECOND_NS)
        t_ns = begin_ns
        while t_ns < begin_ns + length_ns:
            self.send(between(start, end, step, (t_ns - begin_ns) / SECOND_NS))
            self.until(min(t_ns + round(RAMP_S * SECOND_NS), begin_ns + length_ns))
            t_ns = self.rig.clock.now_ns()
        sent_ns = self.rig.clock.now_ns()
        acknowledged_ns = self.send(end)
        self.note_source(end, acknowledged_ns)
        return acknowledged_ns if by_hand else sent_ns, acknowledged_ns

    def send(self, point: GridPoint) -> int:
        if point != self.point:
            acknowledged_ns = self.rig.source.set(point)
            self.point = point
            return acknowledged_ns
        return self.rig.clock.now_ns()

    # ---- samples ----

    def sample_every(self, sample_s: float, from_ns: int) -> None:
        self.sample_ns = round(sample_s * SECOND_NS)
        self.due_ns = from_ns + self.sample_ns

    def until(self, t_ns: int) -> None:
        clock = self.rig.clock
        while self.due_ns <= t_ns:
            clock.wait_until(self.due_ns)
            self.sample()
            late_ns = clock.now_ns() - self.due_ns
            self.due_ns += (late_ns // self.sample_ns + 1) * self.sample_ns
        clock.wait_until(t_ns)

    def sample(self) -> None:
        r, p = self.rig.meter.read(), self.point
        self.p_w = r.p_w
        self.writer.sample(
            (r.t_ns, r.v1_v, r.v2_v, r.v3_v, r.f_hz, r.p_w, r.q_var, r.i_a, p.v1_v, p.v2_v, p.v3_v, p.f_hz)
        )

    # ---- events ----

    def note(self, kind: EventKind, **data: Any) -> None:
        self.note_at(self.rig.clock.now_ns(), kind, **data)

    def note_at(self, t_ns: int, kind: EventKind, **data: Any) -> None:
        self.writer.event(Event(t_ns, kind, data))

    def note_source(self, point: GridPoint, t_ns: int) -> None:
        self.note_at(t_ns, "source", **asdict(point))
