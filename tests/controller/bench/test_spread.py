"""Work in several processes: the same results, in the same order, and the same judgement.json as in one."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.bench.folder import RunFolder
from controller.bench.judgerun import judge_run
from controller.bench.spread import spread
from tests.controller.bench.written_run import run


def half(n: int) -> float:
    return 1 / n


def test_results_come_in_the_order_of_the_things_and_each_is_told_once() -> None:
    told: list[int] = []
    assert spread(half, [4, 2, 1], 2, told.append) == [0.25, 0.5, 1.0]
    assert sorted(told) == [1, 2, 4]


@pytest.mark.parametrize("jobs", [1, 2])
def test_what_goes_wrong_in_one_is_raised(jobs: int) -> None:
    with pytest.raises(ZeroDivisionError):
        spread(half, [1, 0, 2], jobs, lambda _: None)


def test_a_judgement_has_the_same_bytes_however_many_judge(tmp_path: Path) -> None:
    plan, records, _ = run()
    folder = RunFolder.create(tmp_path / "run", plan, {})
    for case_id, record in records.items():
        with folder.open_case(case_id) as writer:
            for row in record.samples.tolist():
                writer.sample(row)
            for event in record.events:
                writer.event(event)
    found = []
    for jobs in (1, 3):
        judgements = judge_run(folder, plan, jobs, lambda _: None)
        assert [j.id for j in judgements] == [case.id for case in plan.cases]
        found.append((folder.path / "judgement.json").read_bytes())
    assert found[0] == found[1]
