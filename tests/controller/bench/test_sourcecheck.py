"""source-check against the simulated grid simulator over loopback; its settling is simulated time, nothing sleeps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from controller.bench.sourcecheck import Finding, check
from drivers.gridsource.envelope import Envelope
from drivers.gridsource.manual import ManualSource
from drivers.gridsource.point import GridPoint
from drivers.gridsource.profile import load_profile
from drivers.gridsource.scpi import ScpiSource
from drivers.gridsource.wire import wire_of
from drivers.sim.scpi_source import ScpiGridSource
from drivers.sim.source_process import ScpiServer
from tests.drivers.gridsource.bench_process import ENVELOPE, NOMINAL


@pytest.fixture
def server() -> Iterator[ScpiServer]:
    with ScpiServer("127.0.0.1", 0, ScpiGridSource()) as running:
        yield running


def checked(server: ScpiServer, phases: int = 1, rest: GridPoint | None = None) -> list[Finding]:
    wire = wire_of(f"tcp://127.0.0.1:{server.port}", 0.2)
    source = ScpiSource(load_profile("simulated"), wire, phases, rest)
    return check(source, ENVELOPE, NOMINAL, wait=server.step)


def test_a_good_source(server: ScpiServer) -> None:
    told: list[Finding] = []
    wire = wire_of(f"tcp://127.0.0.1:{server.port}", 0.2)
    source = ScpiSource(load_profile("simulated"), wire, 1)
    found = check(source, ENVELOPE, NOMINAL, wait=server.step, tell=told.append)
    assert told == found
    assert [f.line for f in found] == [
        "ok    identity                      V2G,SIMULATED GRID SOURCE,0,1",
        "ok    envelope                      its limits are in order",
        "ok    on at 240.00 V 60.000 Hz      measured 240 V (+0.000, allowed 2.4), 60 Hz (+0.000, allowed 0.01)",
        "ok    244.80 V 60.000 Hz            measured 244.8 V (+0.000, allowed 2.45), 60 Hz (+0.000, allowed 0.01)",
        "ok    235.20 V 60.000 Hz            measured 235.2 V (+0.000, allowed 2.35), 60 Hz (+0.000, allowed 0.01)",
        "ok    240.00 V 60.100 Hz            measured 240 V (+0.000, allowed 2.4), 60.1 Hz (+0.000, allowed 0.01)",
        "ok    240.00 V 59.900 Hz            measured 240 V (+0.000, allowed 2.4), 59.9 Hz (+0.000, allowed 0.01)",
        "ok    240.02 V 60.001 Hz            measured 240.02 V (-0.004, allowed 2.4), 60.001 Hz (+0.000, allowed 0.01)",
        "ok    error queue                   empty after every line that was sent",
        "ok    at rest                       measured 0 V",
    ]
    assert not server.source.closed


def test_three_phases(server: ScpiServer) -> None:
    found = checked(server, phases=3)
    assert all(f.good for f in found)
    assert found[2].text.count(" V (") == 3


# fmt: off
BAD = [
    # message               failed                      why
    ("DIAG:READ 1.02",      "on at 240.00 V 60.000 Hz", "it reads 2 % more than it puts out"),
    ("DIAG:GAIN 0.98",      "on at 240.00 V 60.000 Hz", "it puts out 2 % less than it was told"),
    ("DIAG:FAULT HANGUP",   "answer",                   "it hangs up"),
    ("DIAG:FAULT SILENT",   "answer",                   "it does not answer"),
    ("FREQ:SLEW 0.001",     "240.00 V 60.100 Hz",       "its frequency creeps"),
]
# fmt: on


@pytest.mark.parametrize(("message", "failed", "why"), BAD, ids=[c[-1] for c in BAD])
def test_a_bad_source_fails_where_it_is_bad_and_is_left_at_rest(
    server: ScpiServer, message: str, failed: str, why: str
) -> None:
    server.source.answer(message)
    found = checked(server)
    assert next(f.what for f in found if f.good is False) == failed
    assert not server.source.closed


def test_rest_at_nominal_is_a_rest(server: ScpiServer) -> None:
    assert checked(server, rest=NOMINAL)[-1] == Finding("at rest", True, "measured 240 V")
    assert server.source.closed


def test_an_output_that_does_not_open_is_not_at_rest(server: ScpiServer) -> None:
    """A profile with a wrong word for off: the last point was nominal, and there it stays; on one phase, say."""
    for phases, off, told in ((1, "VOLT 240", "240 V"), (3, "INST:NSEL 1;:VOLT 0", "0 / 240 / 240 V")):
        profile = replace(load_profile("simulated"), off=(off,))
        source = ScpiSource(profile, wire_of(f"tcp://127.0.0.1:{server.port}", 0.2), phases)
        assert check(source, ENVELOPE, NOMINAL, wait=server.step)[-1] == Finding("at rest", False, f"measured {told}")
        source.close()


def test_an_envelope_too_narrow_for_the_steps_is_told_and_nothing_more_is_sent(server: ScpiServer) -> None:
    narrow = Envelope(
        v_min_v=238.0, v_max_v=242.0, f_min_hz=59.0, f_max_hz=61.0, v_step_v=10.0, f_step_hz=1.0, v_normal_low_v=238.0,
        v_normal_high_v=242.0,
    )  # fmt: skip
    source = ScpiSource(load_profile("simulated"), wire_of(f"tcp://127.0.0.1:{server.port}", 0.2), 1)
    found = check(source, narrow, NOMINAL, wait=server.step)
    assert found[-2].text.startswith("L1: 244.8 V is outside the rig's envelope (238 ... 242 V)")
    assert server.source.volts[0] == 240.0


def test_by_hand_nothing_is_measured() -> None:
    asked: list[str] = []
    source = ManualSource(1, lambda line: asked.append(line) or "Elgar SW5250")  # type: ignore[func-returns-value]  # append gives None: the name follows
    found = check(source, ENVELOPE, NOMINAL, wait=lambda _: None)
    assert found[0].text == "Elgar SW5250"
    assert {f.good for f in found[2:8]} == {None}
    assert asked[1] == "Set the grid simulator to L1 240.00 V, 60.000 Hz, then switch its output ON, then Enter: "
