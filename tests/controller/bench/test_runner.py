"""The runner: order, time, ramps, trouble, safety, and the same bytes however often a run was stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from controller.bench.folder import RunFolder
from controller.bench.plan import Case, Plan, Value
from controller.bench.ports import Rig, RigError
from controller.bench.ramp import between, ramp_s
from controller.bench.record import CaseRecord
from controller.bench.runner import fit, run_cases
from controller.bench.virtual import VirtualRig
from drivers.gridsource.point import EnvelopeError, GridPoint, SourceError
from tests.controller.bench.golden import EUT
from tests.controller.bench.plans import OFF, at, case, plan, step, volt_var

SMALL = case(
    "small", OFF, 5000.0,
    step("first", at(242.0), 0.5, 0.1),
    step("ramp", at(f_hz=61.2), 0.3, 0.1, ramp_hz_s=3.0),
    start_s=1.0,
)  # fmt: skip


@dataclass
class Spied:
    """A virtual rig whose ports can be made to fail; notes what source and permit are told."""

    fail_at: tuple[str, int] = ("", 0)  # method of a port, n-th call
    error: BaseException = field(default_factory=lambda: RigError("the meter is silent"))
    told: list[Any] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)

    @contextmanager
    def open(self, one: Case) -> Iterator[Rig]:
        with VirtualRig(EUT, 1).open(one) as rig:
            source, meter, unit = (Watched(port, self) for port in (rig.source, rig.meter, rig.unit))
            yield replace(rig, source=source, meter=meter, unit=unit)

    def met(self, method: str, *args: Any) -> None:
        self.calls[method] += 1
        if method in ("set", "safe", "permit"):
            self.told.append((method, *args))
        if self.fail_at == (method, self.calls[method]):
            raise self.error


class Watched:
    """One port; its methods tell the spy first."""

    def __init__(self, port: Any, spy: Spied) -> None:
        self.port, self.spy = port, spy

    def __getattr__(self, name: str) -> Any:
        if not callable(getattr(self.port, name)):
            return getattr(self.port, name)

        def method(*args: Any) -> Any:
            self.spy.met(name, *args)
            return getattr(self.port, name)(*args)

        return method


def run(cases: list[Case], rig: Any, path: Path) -> RunFolder:
    folder = RunFolder.create(path, plan(*cases), {})
    run_cases(cases, rig.open, folder, lambda _: None)
    return folder


def record(folder: RunFolder, name: str) -> CaseRecord:
    found = folder.record(name)
    assert found is not None
    return found


def when(one: CaseRecord, kind: str, name: str) -> int:
    return next(e.t_ns for e in one.events if e.kind == kind and e.data["name"] == name)


# --- order and time ---


def test_events_in_their_order(tmp_path: Path) -> None:
    one = record(run([SMALL], VirtualRig(EUT, 1), tmp_path / "run"), "small")
    hold = ["arrived", "end"]
    expected = ["case", "source", "settings", *(["step", "source", *hold] * 3), "done"]
    assert [e.kind for e in one.events] == expected
    assert [e.data["name"] for e in one.events if e.kind == "step"] == ["start", "first", "ramp"]
    assert [e.t_ns for e in one.events] == sorted(e.t_ns for e in one.events)
    settings = next(e for e in one.events if e.kind == "settings")
    assert settings.data == {"wanted": OFF, "read": OFF}


def test_samples_lie_on_a_grid_that_begins_at_arrival(tmp_path: Path) -> None:
    one = record(run([SMALL], VirtualRig(EUT, 1), tmp_path / "run"), "small")
    arrived, end = when(one, "arrived", "first"), when(one, "end", "first")
    inside = [t - arrived for t in one.samples["t_ns"].tolist() if arrived < t <= end]
    assert inside == [100_000_000 * k for k in range(1, 6)]  # 0.5 s, one each 0.1 s, the last at the end of the hold
    assert end - arrived == 500_000_000


def test_nobody_turns_a_knob_a_hundred_times_a_second(tmp_path: Path) -> None:
    """A source by hand goes to the end of a ramp at once: `set` is told twice, for step `first` and for the ramp."""

    class ByHand(Spied):
        @contextmanager
        def open(self, one: Case) -> Iterator[Rig]:
            with super().open(one) as rig:
                rig.source.port.manual = True  # type: ignore[attr-defined]  # Watched
                yield rig

    spied = ByHand()
    run([SMALL], spied, tmp_path / "run")
    assert [told[1].f_hz for told in spied.told if told[0] == "set"] == [60.0, 61.2]


def test_a_ramp_arrives_at_its_end(tmp_path: Path) -> None:
    """60 to 61.2 Hz at 3 Hz/s: 0.4 s, in steps of at most 10 ms, hence of at most 30 mHz."""
    spied = Spied()
    one = record(run([SMALL], spied, tmp_path / "run"), "small")
    assert when(one, "arrived", "ramp") - when(one, "step", "ramp") == 400_000_000
    hertz = [call[1].f_hz for call in spied.told if call[0] == "set"]
    assert hertz[-1] == 61.2
    assert np.diff(hertz[-40:]).max() <= 0.0301
    on_the_way = [
        row for row in one.samples.tolist() if when(one, "step", "ramp") < row[0] < when(one, "arrived", "ramp")
    ]
    assert [row[0] - when(one, "step", "ramp") for row in on_the_way] == [100_000_000, 200_000_000, 300_000_000]
    assert all(60.0 < row[-1] < 61.2 for row in on_the_way)  # set_f_hz: what the source was last told


# fmt: off
RAMPS = [
    # to                    Hz/s  V/s    t_s   expected              why
    (at(264.0, 61.0),       2.0,  0.0,   0.25, at(264.0, 60.5),      "voltage has no ramp: it is there at once"),
    (at(264.0, 61.0),       2.0,  48.0,  0.25, at(252.0, 60.5),      "both on their way"),
    (at(264.0, 61.0),       2.0,  48.0,  0.60, at(264.0, 61.0),      "both have arrived, neither goes past"),
    (at(216.0, 59.0),       2.0,  48.0,  0.25, at(228.0, 59.5),      "downwards"),
]
# fmt: on


@pytest.mark.parametrize(("to", "hz_s", "v_s", "t_s", "expected", "why"), RAMPS, ids=[r[-1] for r in RAMPS])
def test_ramps(to: GridPoint, hz_s: float, v_s: float, t_s: float, expected: GridPoint, why: str) -> None:
    ramp = step("r", to, 1.0, ramp_hz_s=hz_s, ramp_v_s=v_s)
    assert between(at(), to, ramp, t_s) == expected, why
    assert ramp_s(at(), to, ramp) == pytest.approx(0.5)  # 1 Hz at 2 Hz/s, 24 V at 48 V/s


def test_skipped_steps_and_cases_are_not_run(tmp_path: Path) -> None:
    some = replace(SMALL, steps=(replace(SMALL.steps[0], skipped="V4 is above V_H"), SMALL.steps[1]))
    folder = run([some, replace(SMALL, id="none", skipped="no")], VirtualRig(EUT, 1), tmp_path / "run")
    assert [e.data["name"] for e in record(folder, "small").events if e.kind == "step"] == ["start", "ramp"]
    assert folder.record("none") is None


def test_a_case_the_rig_cannot_run_is_skipped_with_its_reason() -> None:
    needy = replace(SMALL, needs=("angle", "permit"))
    fitted = fit(plan(needy, SMALL), "bench-3", frozenset({"permit"}))
    assert fitted.cases[0].skipped == "the rig bench-3 cannot do: angle"
    assert fitted.cases[1] == SMALL


# --- trouble ---


SAFE = [("safe",), ("permit", False)]
RIG_TROUBLE = [
    ("read", RigError("the meter is silent"), "a meter that does not answer"),
    ("set", SourceError("the source is silent"), "a source that does not answer"),
    ("set", EnvelopeError("300 V is outside"), "a point outside the envelope"),
    ("write", RigError("the unit refuses"), "settings that the unit refuses"),
]


@pytest.mark.parametrize(("port", "error", "why"), RIG_TROUBLE, ids=[c[-1] for c in RIG_TROUBLE])
def test_rig_trouble_ends_the_case_and_the_next_one_is_run(
    port: str, error: Exception, why: str, tmp_path: Path
) -> None:
    spied = Spied(fail_at=(port, 1 if port == "write" else 7), error=error)
    folder = RunFolder.create(tmp_path / "run", plan(SMALL), {})
    run_cases([SMALL], spied.open, folder, lambda _: None)
    last = record(folder, "small").events[-1]
    assert (last.kind, last.data) == ("rig", {"text": str(error)}), why
    assert spied.told[-2:] == SAFE
    run_cases([replace(SMALL, id="next")], Spied().open, folder, lambda _: None)
    assert folder.done("next")
    assert not folder.done("small")


# fmt: off
LEFT_BEHIND = [
    # what the case before ends with                                          why
    ({"faults": ("no such fault",)},                                          "rig trouble: permit off"),
    ({"permit": False},                                                       "its last step takes the permit"),
    ({"ap_limit_pu": 0.3},                                                    "its last step sets a limit"),
    ({"settings": {"limits.ramp_pu_s": 0.01}},                                "a setting that the next one has not"),
]
# fmt: on


@pytest.mark.parametrize(("ends_with", "why"), LEFT_BEHIND, ids=[row[-1] for row in LEFT_BEHIND])
def test_what_a_case_has_left_is_not_the_next_ones_failure(ends_with: dict[str, Any], why: str, tmp_path: Path) -> None:
    """One unit for all cases, as on every rig of metal."""
    before = case("before", OFF, 5000.0, step("end", at(), 1.0, 0.1, **ends_with))
    after = case("after", OFF, 7000.0, step("hold", at(242.0), 1.0, 0.1))
    after = replace(after, start=replace(after.start, permit=None))
    folder = RunFolder.create(tmp_path / "run", plan(before, after), {})
    with VirtualRig(EUT, 1).open(before) as unit:
        run_cases([before, after], lambda _: nullcontext(unit), folder, lambda _: None)
    assert record(folder, "after").samples["p_w"][-1] == pytest.approx(7000.0, abs=10.0), why


@pytest.mark.parametrize(("delay_s", "waits_s"), [(0.0, 0.0), (60.0, 60.0), (600.0, 600.0)])
def test_the_first_step_finds_the_unit_in_service(delay_s: float, waits_s: float, tmp_path: Path) -> None:
    """It went out of service in the case before; the set-up of 2 s begins when it is back, and is held whole."""
    settings: dict[str, Value] = {
        **OFF, "limits.ramp_pu_s": 10.0, "enter_service.owner": "controller", "enter_service.delay_s": delay_s,
        "enter_service.ramp_s": 0.0, "enter_service.random_s": 0.0,
    }  # fmt: skip
    before = case("before", settings, 5000.0, step("end", at(), 1.0, 0.1, permit=False))
    after = case("after", settings, 5000.0, step("first", at(242.0), 1.0, 0.1), start_s=2.0)
    folder = RunFolder.create(tmp_path / "run", plan(before, after), {})
    with VirtualRig(EUT, 1).open(before) as unit:
        run_cases([before, after], lambda _: nullcontext(unit), folder, lambda _: None)
    one = record(folder, "after")
    lasted_s = (when(one, "end", "start") - when(one, "arrived", "start")) / 1e9
    assert waits_s <= lasted_s < waits_s + 2.0 + 4.0, "once more the set-up, and a second to see it"
    assert one.samples["p_w"][one.samples["t_ns"] <= when(one, "step", "first")][-1] == pytest.approx(5000.0, abs=10.0)


def test_a_unit_that_never_comes_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    idle = case("idle", OFF | {"limits.soc_min_pu": 0.9}, 5000.0, step("first", at(242.0), 1.0, 0.1), start_s=2.0)
    one = record(run([idle], VirtualRig(EUT, 1), tmp_path / "run"), "idle")
    assert when(one, "end", "start") - when(one, "arrived", "start") == pytest.approx(664e9, abs=1.5e9)


ERRORS: list[BaseException] = [
    KeyboardInterrupt(), SystemExit(3), MemoryError(), ZeroDivisionError(), OSError(28, "No space left on device"),
    GeneratorExit(), ValueError("a mistake of ours"),
]  # fmt: skip


@pytest.mark.parametrize("error", ERRORS, ids=[type(e).__name__ for e in ERRORS])
@pytest.mark.parametrize("port", ["read", "set", "permit"])
def test_whatever_else_ends_a_run_the_source_is_safe_first(port: str, error: BaseException, tmp_path: Path) -> None:
    spied = Spied(fail_at=(port, 1 if port == "permit" else 12), error=error)
    folder = RunFolder.create(tmp_path / "run", plan(SMALL), {})
    with pytest.raises(type(error)):
        run_cases([SMALL], spied.open, folder, lambda _: None)
    assert spied.told[-2:] == SAFE
    left = record(folder, "small")
    assert left.events[0].kind == "case"  # what was measured is there
    assert not folder.done("small")
    if port == "read":
        assert len(left.samples) == 11


def test_a_source_that_cannot_be_made_safe_does_not_keep_the_permit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spied = Spied(fail_at=("safe", 1), error=SourceError("cable"))
    folder = RunFolder.create(tmp_path / "run", plan(SMALL), {})
    refused = replace(SMALL, settings={"freq_droop.k_of": 9.0})
    run_cases([refused], spied.open, folder, lambda _: None)
    assert spied.told[-2:] == SAFE
    assert "source could not be made safe: cable" in capsys.readouterr().err


def test_a_terminal_that_is_gone_does_not_keep_the_permit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line of a laptop that was closed: what is said on stderr is an error of its own then."""
    spied = Spied(fail_at=("safe", 1), error=SourceError("cable"))
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w", buffering=1) as gone:
        monkeypatch.setattr("sys.stderr", gone)
        run([replace(SMALL, settings={"freq_droop.k_of": 9.0})], spied, tmp_path / "run")
        assert spied.told[-2:] == SAFE
        monkeypatch.undo()
        with suppress(BrokenPipeError):
            gone.close()


# --- the same bytes ---


def bytes_of(folder: RunFolder) -> dict[str, bytes]:
    return {str(f.relative_to(folder.path)): f.read_bytes() for f in sorted(folder.path.rglob("*")) if f.is_file()}


def test_the_same_seed_gives_the_same_bytes_in_any_order(tmp_path: Path) -> None:
    other = replace(SMALL, id="other")
    first = bytes_of(run([SMALL, other], VirtualRig(EUT, 7), tmp_path / "first"))
    turned = bytes_of(run([other, SMALL], VirtualRig(EUT, 7), tmp_path / "turned"))
    assert {n: b for n, b in first.items() if "cases" in n} == {n: b for n, b in turned.items() if "cases" in n}
    again = bytes_of(run([SMALL, other], VirtualRig(EUT, 8), tmp_path / "again"))
    assert first["cases/small/samples.csv"] != again["cases/small/samples.csv"]  # another seed, other noise
    assert first["cases/small/events.jsonl"] == again["cases/small/events.jsonl"]
    assert first["cases/small/samples.csv"] != first["cases/other/samples.csv"]  # each case has its own


def long_plan() -> Plan:
    return plan(*(replace(one, steps=one.steps[:8]) for one in (volt_var("vv1", 1000.0), volt_var("vv2", 2000.0))))


def run_rest(path: Path) -> None:
    """What `v2g bench resume` does: every case that is not done."""
    folder = RunFolder(path)
    left = [c for c in folder.plan().cases if not folder.done(c.id)]
    run_cases(left, VirtualRig(EUT, 1).open, folder, lambda _: None)


def test_killed_in_the_middle_then_resumed_it_is_as_if_nothing_had_been(tmp_path: Path) -> None:
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    for path in (killed, whole):
        RunFolder.create(path, long_plan(), {})
    child = subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"from pathlib import Path; from {__name__} import run_rest; run_rest(Path({str(killed)!r}))",
        ],
        cwd=Path(__file__).parents[3],
    )
    second = killed / "cases" / "vv2" / "samples.csv"
    deadline = time.monotonic() + 60.0
    while time.monotonic() < deadline and not (second.exists() and second.stat().st_size > 20_000):
        time.sleep(0.005)
    os.kill(child.pid, signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    folder = RunFolder(killed)
    assert folder.done("vv1")
    left = record(folder, "vv2")
    assert len(left.samples) > 100  # a torn record is readable
    assert left.events[0].kind == "case"
    assert not folder.done("vv2")
    run_rest(killed)
    run_rest(whole)
    assert bytes_of(RunFolder(killed)) == bytes_of(RunFolder(whole))
