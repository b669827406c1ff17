"""The cases of a run in virtual time, in several processes: each case is a world of its own, so nothing is shared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from controller.bench.folder import RunFolder
from controller.bench.plan import Case
from controller.bench.runner import run_cases
from controller.bench.spread import spread
from controller.bench.tables import samples_of
from controller.bench.virtual import VirtualRig


def run_parallel(
    rig: VirtualRig, cases: Sequence[Case], folder: RunFolder, told: Callable[[Case], None], jobs: int
) -> None:
    """The same bytes whatever the number of jobs. told: a case has ended, in the order in which they end."""
    longest_first = sorted(cases, key=samples_of, reverse=True)  # so that no process is left alone with one at the end
    spread(partial(run_one, rig, folder), longest_first, jobs, told)


def run_one(rig: VirtualRig, folder: RunFolder, case: Case) -> None:
    run_cases([case], rig.open, folder, nothing)


def nothing(_case: Case) -> None:
    """Told to nobody."""
