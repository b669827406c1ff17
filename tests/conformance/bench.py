"""One case on the virtual rig, in memory: any unit with the face of Core.step, any flaw of the rig -> its judgement."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fnmatch import fnmatch
from functools import cache
from typing import Any

import numpy as np

from controller.bench.brains import StepBrain, Stepper
from controller.bench.expand import expand
from controller.bench.judge import judge_case
from controller.bench.judgement import CaseJudgement
from controller.bench.plan import Case, Eut
from controller.bench.procedurefile import load_all
from controller.bench.record import SAMPLE, CaseRecord, Event
from controller.bench.rig import load_rig
from controller.bench.runner import run_case
from controller.bench.virtual import VirtualRig
from controller.bench.world import Flaws
from cython_core.settings import Settings

IDEAL = Flaws()
Make = Callable[[Settings, float], Stepper]


class Memory:
    """What a case writes."""

    def __init__(self) -> None:
        self.samples: list[tuple[Any, ...]] = []
        self.events: list[Event] = []

    def sample(self, row: tuple[Any, ...]) -> None:
        self.samples.append(row)

    def event(self, event: Event) -> None:
        self.events.append(event)

    def record(self) -> CaseRecord:
        return CaseRecord(np.array(self.samples, SAMPLE), tuple(self.events))


@cache
def cases_of(eut: Eut) -> dict[str, Case]:
    """Every case of every procedure, by its id."""
    return {case.id: case for procedure in load_all() for case in expand(procedure, eut)}


def case_of(eut: Eut, pattern: str) -> Case:
    """The one case that fits."""
    (found,) = [case for name, case in cases_of(eut).items() if fnmatch(name, pattern)]
    return found


def judged(
    case: Case,
    eut: Eut,
    make: Make | None = None,
    name: str = "",
    flaws: Flaws = IDEAL,
    spoil: Callable[[CaseRecord], CaseRecord] = lambda record: record,
) -> CaseJudgement:
    """make: another unit than the product's core; spoil: what happens to the record on its way to the judge."""
    brain = None if make is None else lambda phases, period_s: StepBrain(name, phases, period_s, make)
    rig = VirtualRig(eut, seed=1, brain=brain, flaws=flaws, settings=load_rig("virtual").settings)
    memory = Memory()
    with rig.open(case) as ports:
        run_case(case, ports, memory)
    return judge_case(case, eut, spoil(memory.record()))


def up_to(case: Case, step: str) -> Case:
    """The case without what comes after one of its steps."""
    names = [one.name for one in case.steps]
    return replace(case, steps=case.steps[: names.index(step) + 1])
