"""The guard with real processes: however a bench ends, the source is safe and the permission withdrawn within 2 s."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from time import monotonic, sleep

import pytest

from drivers.gridsource.estop import DescriptorStop, EmergencyStop, LineStop
from drivers.gridsource.guarded import GuardedSource
from drivers.gridsource.point import EnvelopeError, GridPoint, GridSource, SourceError
from drivers.gridsource.profile import ProfileError
from drivers.sim.scpi_source import ScpiGridSource
from drivers.sim.source_process import ScpiServer
from tests.drivers.gridsource.bench_process import NOMINAL, watch_of

SAFE_WITHIN_S = 2.0


@pytest.fixture
def server() -> Iterator[ScpiServer]:
    with ScpiServer("127.0.0.1", 0, ScpiGridSource()) as running:
        yield running


@pytest.fixture
def permit(tmp_path: Path) -> Path:
    return tmp_path / "permission-withdrawn"


def address_of(server: ScpiServer) -> str:
    return f"tcp://127.0.0.1:{server.port}"


def seconds_until(happened: Callable[[], bool], at_most_s: float) -> float:
    begun = monotonic()
    while not happened():
        assert monotonic() - begun < at_most_s, "it has not happened"
        sleep(0.005)
    return monotonic() - begun


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP], ids=lambda s: s.name)
def test_a_bench_that_ends_or_stops_leaves_everything_safe(
    server: ScpiServer, permit: Path, number: signal.Signals
) -> None:
    """SIGKILL and SIGTERM close the socket; a stopped process beats no more."""
    command = [sys.executable, "-m", "tests.drivers.gridsource.bench_process", address_of(server), str(permit)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as bench:
        assert bench.stdout is not None
        assert bench.stdout.readline() == "on\n"
        assert server.source.closed
        assert server.source.volts[0] == 250.0
        assert not permit.exists()
        try:
            bench.send_signal(number)
            took_s = seconds_until(lambda: not server.source.closed and permit.exists(), 10.0)
        finally:
            bench.kill()
    assert took_s < SAFE_WITHIN_S


@pytest.fixture
def guarded(server: ScpiServer, permit: Path) -> Iterator[GuardedSource]:
    source = GuardedSource(watch_of(address_of(server), permit))
    source.on(NOMINAL)
    yield source
    source.close()


def test_it_is_a_grid_source_like_any_other(server: ScpiServer, permit: Path, guarded: GridSource) -> None:
    assert (guarded.phases, guarded.manual) == (1, False)
    assert guarded.identity() == "V2G,SIMULATED GRID SOURCE,0,1"
    guarded.set(GridPoint(248.4, 0.0, 0.0, 60.021))
    server.step(1.0)
    found = guarded.read()
    assert found is not None
    assert (found.v1_v, found.f_hz) == (248.4, 60.021)
    guarded.safe()
    assert not server.source.closed
    assert not permit.exists(), "safe() is the source's part alone"
    guarded.close()
    assert permit.exists()


def test_an_answer_that_nobody_waited_for_is_not_the_next_ones(guarded: GuardedSource) -> None:
    """Ctrl-C between a request and its answer: what follows, safe() first of all, must not read the old answer."""
    guarded._asked += 1
    guarded._send((guarded._asked, "identity"))
    found = guarded.read()
    assert isinstance(found, GridPoint)


def test_a_signal_in_the_middle_of_an_answer_does_not_keep_the_source_on(
    server: ScpiServer, permit: Path, guarded: GuardedSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C between an answer's length and its bytes: what follows would be read as a length, and waited for."""

    def interrupted() -> None:
        os.read(guarded._wire.fileno(), 4)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(guarded._wire, "recv", interrupted)
        with pytest.raises(KeyboardInterrupt):
            guarded.read()
    begun = monotonic()
    guarded.safe()
    seconds_until(lambda: not server.source.closed and permit.exists(), SAFE_WITHIN_S)
    assert monotonic() - begun < SAFE_WITHIN_S


def test_the_envelope_is_kept_in_the_guard(server: ScpiServer, guarded: GuardedSource) -> None:
    with pytest.raises(EnvelopeError, match="L1: 291 V is outside the rig's envelope"):
        guarded.set(GridPoint(291.0, 0.0, 0.0, 60.0))
    assert server.source.volts[0] == 240.0
    guarded.set(NOMINAL)


def test_a_source_that_falls_silent_is_an_error_of_the_bench(server: ScpiServer, guarded: GuardedSource) -> None:
    server.source.fault = "silent"
    with pytest.raises(SourceError, match="no answer and no end of line within 1 s"):
        guarded.set(GridPoint(241.0, 0.0, 0.0, 60.0))
    server.source.fault = ""


def test_a_voltage_that_stands_too_long_is_ended_though_the_bench_beats(
    server: ScpiServer, permit: Path, guarded: GuardedSource
) -> None:
    guarded.set(GridPoint(270.0, 0.0, 0.0, 60.0))  # above 264 V: 0.2 s
    seconds_until(lambda: not server.source.closed and permit.exists(), SAFE_WITHIN_S)
    with pytest.raises(EnvelopeError, match=r"above 264 V for more than 0\.2 s: the grid simulator stays as it is"):
        guarded.set(NOMINAL)


def stopped_by_a_line(tmp_path: Path) -> tuple[EmergencyStop, Callable[[], object]]:
    line = tmp_path / "value"
    line.write_text("1\n")
    return LineStop(line), lambda: line.write_text("0\n")


def stopped_by_a_byte(_: Path) -> tuple[EmergencyStop, Callable[[], object]]:
    ours, theirs = os.pipe()
    return DescriptorStop(ours), lambda: os.write(theirs, b"\n")


STOPS = [stopped_by_a_line, stopped_by_a_byte]  # how each is read: test_estop.py


@pytest.mark.parametrize("stop", STOPS, ids=[s.__name__ for s in STOPS])
def test_emergency_stop(
    server: ScpiServer,
    permit: Path,
    tmp_path: Path,
    stop: Callable[[Path], tuple[EmergencyStop, Callable[[], object]]],
) -> None:
    button, press = stop(tmp_path)
    source = GuardedSource(replace(watch_of(address_of(server), permit), stop=button))
    source.on(NOMINAL)
    press()
    took_s = seconds_until(lambda: not server.source.closed and permit.exists(), 10.0)
    with pytest.raises(EnvelopeError, match="emergency stop: the grid simulator stays as it is; start the bench anew"):
        source.on(NOMINAL)
    source.close()
    assert took_s < SAFE_WITHIN_S


def test_the_benchs_own_key_is_an_emergency_stop(server: ScpiServer, permit: Path, guarded: GuardedSource) -> None:
    guarded.stop()
    assert not server.source.closed
    assert permit.exists()


def test_without_a_thread_that_beats_a_bench_that_hangs_is_noticed(server: ScpiServer, permit: Path) -> None:
    source = GuardedSource(watch_of(address_of(server), permit), beating=False)
    source.on(NOMINAL)
    took_s = seconds_until(lambda: not server.source.closed and permit.exists(), 10.0)
    assert 0.8 < took_s < SAFE_WITHIN_S
    with pytest.raises(SourceError, match="the guard of the grid simulator is gone"):
        source.set(NOMINAL)
    source.close()


def test_a_guard_that_was_killed_is_told(guarded: GuardedSource, capfd: pytest.CaptureFixture[str]) -> None:
    guarded._process.kill()
    guarded._process.wait(10.0)
    with pytest.raises(SourceError, match=r"guard of the grid simulator is gone: .*switch it off by hand"):
        guarded.set(NOMINAL)
    guarded.safe()
    assert "SWITCH THE GRID SIMULATOR OFF BY HAND" in capfd.readouterr().err


def test_a_guard_that_is_told_to_end_makes_safe_first(
    server: ScpiServer, permit: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source = GuardedSource(watch_of(address_of(server), permit))  # here: it inherits what is stderr now
    source.on(NOMINAL)
    source._process.terminate()
    assert source._process.wait(10.0) == 0
    assert not server.source.closed
    assert permit.exists()
    assert "V2G-BENCH-GUARD the guard was told to end (SIGTERM): grid simulator made safe" in capfd.readouterr().err


def test_a_guard_that_fails_itself_makes_safe_first(
    server: ScpiServer, permit: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A message of a shape that no bench sends stands for whatever was never thought of."""
    source = GuardedSource(watch_of(address_of(server), permit))
    source.on(NOMINAL)
    source._send(())
    assert source._process.wait(10.0) == 0
    assert not server.source.closed
    assert permit.exists()
    assert "V2G-BENCH-GUARD the guard itself has failed (ValueError: " in capfd.readouterr().err


def fails() -> None:
    raise OSError("no route to the unit")


def test_a_permission_that_cannot_be_withdrawn_does_not_hold_up_the_source(
    server: ScpiServer, permit: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source = GuardedSource(replace(watch_of(address_of(server), permit), permit_off=fails))
    source.on(NOMINAL)
    source.close()
    assert not server.source.closed
    assert "the unit's permission could not be withdrawn: no route to the unit" in capfd.readouterr().err


def test_a_source_that_does_not_answer_does_not_hold_up_the_permission(
    server: ScpiServer, permit: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The source is tried twice, 1 s each; the permission is gone long before."""
    source = GuardedSource(watch_of(address_of(server), permit), beating=False)
    source.on(NOMINAL)
    server.source.fault = "silent"
    begun = monotonic()
    source._wire.close()  # as when the bench's process ends
    seconds_until(permit.exists, 1.5)
    source.close()
    assert monotonic() - begun > 1.9
    told = capfd.readouterr().err
    assert "V2G-SOURCE-UNSAFE" in told
    assert "SWITCH THE GRID SIMULATOR OFF BY HAND" in told


def opens_wrong() -> GridSource:
    raise ProfileError("profile = x is unverified")


def test_what_the_guard_cannot_open_is_the_benchs_own_error(server: ScpiServer, permit: Path) -> None:
    with pytest.raises(ProfileError, match="profile = x is unverified"):
        GuardedSource(replace(watch_of(address_of(server), permit), open_source=opens_wrong))
