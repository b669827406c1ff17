"""The soak's eyes and its report, on a ring and a process of our own; the hour itself at night."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from cython_core.realtime.ring import RingReader, RingWriter
from cython_core.records import StepRecord, kinds
from tests.soak.__main__ import main, trace
from tests.soak.checks import Sample
from tests.soak.report import as_json, judge, lines, table
from tests.soak.watch import MOST_LINES, Steps, sample

PERIOD_NS = 10_000_000


def push(ring: RingWriter, n: int, **changes: int) -> None:
    """Step n on the grid, or what the changes say."""
    values = {"n": n, "t_ns": 1_000_000_000 + n * PERIOD_NS, "lateness_ns": 50_000} | changes
    record = StepRecord(**values)
    names = list(StepRecord.__dataclass_fields__)
    ring.push(struct.pack("<" + kinds(StepRecord), *(getattr(record, name) for name in names)))


@pytest.fixture
def ring(tmp_path: Path) -> RingWriter:
    return RingWriter(tmp_path / "ring", {"epoch": 1}, PERIOD_NS, depth_s=0.64)


@pytest.fixture
def steps(ring: RingWriter, tmp_path: Path) -> Steps:
    return Steps(RingReader(tmp_path / "ring"), PERIOD_NS, begin_s=0.0)


def calm(seconds: int = 800) -> list[Sample]:
    return [Sample(float(t), 30 << 20, 20 << 20, 9, 4, 0.01 * t) for t in range(seconds)]


def test_good_steps_in_several_looks(ring: RingWriter, steps: Steps) -> None:
    for n in range(100):
        push(ring, n)
        if n % 30 == 29:
            steps.look()
    steps.look()
    assert (steps.steps, steps.skipped, steps.lost, steps.wrong_count.total()) == (100, 0, 0, 0)
    assert steps.lateness_us(50.0, 100.0) == [50.0, 50.0]
    assert lines(judge(steps, calm(), 0, "")) == []


def test_each_kind_of_wrong_step_is_counted(ring: RingWriter, steps: Steps) -> None:
    push(ring, 0)
    steps.look()
    push(ring, 1, t_ns=1)  # off the grid
    push(ring, 2, k=2)  # a skip that is not counted
    push(ring, 3, lateness_ns=PERIOD_NS)
    steps.look()
    for n in range(4, 100):  # 32 more than fit
        push(ring, n)
    steps.look()
    assert dict(steps.wrong_count) == {"losses": 1, "grid": 1, "numbers": 1, "lateness": 1}
    assert steps.lost == 32
    found = judge(steps, calm(), 0, "")
    assert [line.split(":")[0] for line in lines(found)] == [
        "VIOLATED numbers", "VIOLATED grid", "VIOLATED lateness, us", "VIOLATED ring",
    ]  # fmt: skip
    assert table(found).count("VIOLATED 1 times") == 4


def test_of_many_violations_the_first_are_told(ring: RingWriter, steps: Steps) -> None:
    for n in range(60):
        push(ring, n, lateness_ns=-1)
    steps.look()
    found = lines(judge(steps, calm(), 0, ""))
    assert len(found) == MOST_LINES + 1
    assert found[-1] == "VIOLATED lateness, us: 40 more"


# fmt: off
ENDS = [
    # samples                   code  ended         violated       why
    (calm(),                    0,    "",           set(),         "all is well"),
    (calm(),                    1,    "",           {"end"},       "it complained when it was stopped"),
    (calm(),                    -9,   "after 7 s",  {"end"},       "it was killed"),
    (calm(20),                  0,    "",           set(),         "short: the ring's pages still come"),
    ([],                        0,    "",           {"own memory", "descriptors", "threads"}, "nothing was seen"),
]
GROWN = [
    # of each sample after 400 s   violated
    ({"rss_bytes": 40 << 20},      {"RSS"}),
    ({"anon_bytes": 40 << 20},     {"own memory"}),
    ({"fds": 10},                  {"descriptors"}),
    ({"threads": 5},               {"threads"}),
]
# fmt: on


@pytest.mark.parametrize(("samples", "code", "ended", "violated", "why"), ENDS, ids=[c[-1] for c in ENDS])
def test_the_end(
    ring: RingWriter, steps: Steps, samples: list[Sample], code: int, ended: str, violated: set[str], why: str
) -> None:
    push(ring, 0)
    steps.look()
    assert {f.what for f in judge(steps, samples, code, ended) if f.count} == violated, why


@pytest.mark.parametrize(("change", "violated"), GROWN, ids=[str(c[1]) for c in GROWN])
def test_growth(ring: RingWriter, steps: Steps, change: dict[str, int], violated: set[str]) -> None:
    push(ring, 0)
    steps.look()
    samples = [replace(s, **change) if s.t_s > 400.0 else s for s in calm()]
    found = judge(steps, samples, 0, "")
    assert {f.what for f in found if f.count} == violated
    assert as_json(found, steps, samples, 60.0)["findings"]


def test_no_step_is_a_violation(steps: Steps) -> None:
    steps.look()
    assert lines(judge(steps, calm(), 0, "")) == ["VIOLATED steps: no step was seen"]


def test_a_sample_of_ourselves() -> None:
    before = sample(os.getpid(), 0.0)
    with Path(os.devnull).open() as _:
        after = sample(os.getpid(), 1.0)
    assert (after.t_s, after.fds) == (1.0, before.fds + 1)
    assert after.rss_bytes >= after.anon_bytes > 1 << 20
    assert after.cpu_s >= before.cpu_s > 0.0


def test_a_process_that_has_ended_has_no_sample() -> None:
    with pytest.raises(OSError, match="No such file"):
        sample(2**22 + 1, 0.0)
    child = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # ended, and nobody has asked for its exit code
    with pytest.raises(OSError, match=f"process {child.pid} has ended"):
        sample(child.pid, 0.0)
    child.wait()


def test_the_trace_lasts_as_long_as_the_run() -> None:
    rows = [tuple(map(float, row.split(","))) for row in trace(1.0).splitlines()[1:]]
    times = [t_s for t_s, _ in rows]
    assert times == sorted(set(times))
    assert times[-1] >= 60.0
    assert {f_hz for _, f_hz in rows} == {59.8, 60.0, 60.2}


# fmt: off
INPUTS = [
    # arguments                          complaint
    (["--minutes", "0"],                 "--minutes 0 is outside 0.1 ... 10000"),
    (["--minutes", "nan"],               "--minutes nan is outside 0.1 ... 10000"),
    (["--keep", "/"],                    "--keep / exists already; name a new folder"),
    (["--json", "/no/where"],            "--json /no/where: No such file or directory"),
]
# fmt: on


@pytest.mark.parametrize(("argv", "complaint"), INPUTS, ids=[c[1] for c in INPUTS])
def test_input(argv: list[str], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 2
    assert capsys.readouterr().err == f"tests.soak: {complaint}\n"


@pytest.mark.nightly
def test_an_hour(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["--minutes", "60"]) == 0, capfd.readouterr().out
