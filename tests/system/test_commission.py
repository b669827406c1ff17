"""`v2g commission` against the simulated plant over real Modbus sockets: measured is what the plant was told to be.

One unit of 7 kW with a car; dead time, lag, refresh and timer are the simulator's options. Power and writes are
those of the plant itself (its bar), not what the program says.
"""

from __future__ import annotations

import json
import math
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from controller.commission import Commission
from controller.launch import only_one
from controller.lifetime import StopEvent
from controller.plantcard import NAME
from controller.plantrun import LIFE_S, running
from controller.processes import Family
from controller.site import SiteError, load_site
from drivers.sim.bar import Bar
from drivers.sim.faultscript import parse
from drivers.sim.faultwords import MeterFace
from drivers.sim.proxy import TcpProxy, free_port
from tests.drivers.modbus.test_inverter_devices import Quasar
from tests.system.test_plain_registers import site

READY_S = 40.0  # bounds for a broken build, not figures
LONG_S = 150.0
DEAD_S, LAG_S, REFRESH_S, TURNAROUND_S, TIMER_S = 0.3, 0.4, 0.2, 0.005, 3
PULSE_W = 200.0
SMALL_W = 0.25 * PULSE_W
LAG_90_S = DEAD_S + math.log(10) * LAG_S
TO_SMALL_S = DEAD_S + math.log(PULSE_W / SMALL_W) * LAG_S
SITE = """\
schema: 1
name: bench
start_mode: {mode}
i_accept: {accepted}
runtime_dir: {folder}/run
state_dir: {folder}/state
meter: {{map: eastron-sdm630, host: 127.0.0.1, port: {meter}, location: inverter, phases: L1,
         poll_ms: 50, timeout_ms: 200, refresh_ms: 200}}
inverter: {{map: sunspec-7xx, host: 127.0.0.1, port: {inverter}, poll_ms: 100, timeout_ms: 200,
            reversion_s: {timer_s}, lag_ms: 700}}
settings:
  rating: {{v_nom_v: 240, p_rated_w: 7000, p_charge_rated_w: 7000, s_rated_va: 7000}}
  limits: {{ramp_pu_s: 0.2}}
"""


class Bench:
    """The plant, and the program beside it."""

    def __init__(self, folder: Path, family: Family, ports: dict[str, int]) -> None:
        self.folder, self.family, self.ports = folder, family, ports
        self.bar = Bar(folder / "bar")
        self.proxy: TcpProxy | None = None
        self.site = self.write_site()

    def write_site(self, mode: str = "shadow", accepted: str = "slow-response") -> Path:
        path = self.folder / "site.yaml"
        ports = {**self.ports, "meter": self.proxy.port if self.proxy else self.ports["meter"]}
        path.write_text(SITE.format(mode=mode, accepted=accepted, folder=self.folder, timer_s=TIMER_S, **ports))
        return path

    def wrong_meter(self) -> None:
        """It shows ten times the power."""
        self.proxy = TcpProxy({"meter": MeterFace()}, self.ports["meter"])
        self.proxy.start()
        for action in parse("at 0s: meter.scale10 p", "bench"):
            self.proxy.begin(action)
        self.write_site()

    def run(self, *options: str) -> subprocess.CompletedProcess[str]:
        """v2g commission, without a terminal."""
        command = [sys.executable, "-m", "controller.cli", "commission", "--site", str(self.site), *options]
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LONG_S,
                              check=False)  # fmt: skip

    @contextmanager
    def at_a_terminal(self, *options: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
        """The same, with somebody who may type: the process, and the terminal's other end."""
        near, far = pty.openpty()
        command = [sys.executable, "-m", "controller.cli", "commission", str(self.site), *options]
        with (self.folder / "said").open("wb") as said:
            process = subprocess.Popen(command, stdin=far, stdout=said, stderr=said, start_new_session=True)
        os.close(far)
        try:
            yield process, near
        finally:
            process.kill()
            process.wait()
            os.close(near)

    @property
    def said(self) -> str:
        path = self.folder / "said"
        return path.read_text(errors="replace") if path.exists() else ""

    def wait_for(self, claim: object, seconds: float, what: str) -> None:
        assert callable(claim)
        end = time.monotonic() + seconds
        while not claim():
            assert time.monotonic() < end, f"{what}: not within {seconds} s; {self.said[-500:]}"
            time.sleep(0.02)

    def at_rest(self) -> bool:
        return abs(self.bar.get("p_w")) < SMALL_W


@contextmanager
def bench(folder: Path, *inverter: str) -> Iterator[Bench]:
    """A quiet grid, a meter and an inverter with a car. inverter: options of the simulator beside the usual ones."""
    family, ports = Family(folder / "logs"), {name: free_port() for name in ("meter", "inverter")}
    (folder / "grid.csv").write_text("t_s,f_hz\n0,60\n600,60\n")
    server, bar = "drivers.sim.server", ("--bar", str(folder / "bar"))
    lags = ("--dead-s", str(DEAD_S), "--lag-s", str(LAG_S), "--turnaround-s", str(TURNAROUND_S))
    running = Bench(folder, family, ports)
    family.start("grid", server, "grid", *bar, "--trace", str(folder / "grid.csv"), "--v-nom", "240")
    family.start("meter", server, "meter", *bar, "--port", str(ports["meter"]), "--refresh-s", str(REFRESH_S))
    family.start(
        "inverter", server, "inverter", *bar, "--port", str(ports["inverter"]), "--v-nom", "240", *lags, *inverter
    )
    try:
        for beat in ("grid_s", "meter_s", "unit_s"):
            family.wait_until(lambda beat=beat: running.bar.get(beat) > 0.0, beat, READY_S)  # type: ignore[misc]  # default
        family.wait_until(lambda: running.bar.get("v1_v") > 200.0, "the grid's voltage", READY_S)
        yield running
    finally:
        family.stop()
        if running.proxy:
            running.proxy.stop()


def test_what_is_measured_is_what_the_plant_was_told_to_be(tmp_path: Path) -> None:
    """Within one poll of 100 ms where a time is seen through polls, a fifth for the rest."""
    with bench(tmp_path) as b:
        done = b.run("--yes-move-power", "--json")
        assert done.returncode == 0, done.stderr
        card = json.loads(done.stdout)
        ms = {name: found["ms"] for name, found in card["times"].items()}
        assert ms["meter_refresh_ms"] == pytest.approx(1000 * REFRESH_S, rel=0.2)
        assert ms["meter_poll_ms"] == pytest.approx(50, rel=0.2)
        assert ms["inverter_poll_ms"] == pytest.approx(100, rel=0.2)
        assert 1000 * TURNAROUND_S <= ms["inverter_turnaround_ms"] < 1000 * TURNAROUND_S + 20
        assert ms["dead_ms"] == pytest.approx(1000 * DEAD_S, abs=100)
        assert ms["tau_ms"] == pytest.approx(1000 * LAG_S, abs=100)
        assert ms["lag_ms"] == pytest.approx(1000 * LAG_90_S, rel=0.2)
        assert 0 < ms["write_ms"] < 500, "behind one read, and the map's 200 ms between two writes"
        assert 0 < ms["readback_ms"] < 300
        for name, sign in (("discharge", 1), ("charge", -1)):
            assert card[name]["result"] == "passed"
            assert card[name]["inverter_w"] == pytest.approx(sign * PULSE_W, rel=0.1)
            assert card[name]["meter_w"] == pytest.approx(sign * PULSE_W, rel=0.1)
        assert card["own_timer"]["result"] == "zero"
        assert TIMER_S < card["own_timer"]["after_s"] < TIMER_S + TO_SMALL_S + 0.5
        assert all(found["how"] for found in card["times"].values())
        assert b.at_rest()
        assert b.bar.get("p_enabled") == 0.0, "handed back"
        live = load_site(b.write_site("live", "[real-power, slow-response]"))
        assert live.card is not None, "and the maps need no word any more"


# fmt: off
WRONG = [
    # the plant             what is named                                          why
    (("--sign", "-1"),      "the inverter's power goes the wrong way round",   "moves against the command"),
    (("--gain", "10"),      "a factor of 10",                                "ten times the power"),
    (("--gain", "0.1"),     "a factor of 0.1",                               "a tenth of it"),
    (("--no-timer",),       "own timer has not brought it to 0 W within",    "nothing brings it to 0 W by itself"),
]
# fmt: on


@pytest.mark.parametrize(
    ("options", "named", "why"),
    [pytest.param(*c, id=c[-1], marks=[] if "against" in c[-1] else [pytest.mark.nightly]) for c in WRONG],
)
def test_what_is_wrong_is_named_and_refuses_a_live_start(
    options: tuple[str, ...], named: str, why: str, tmp_path: Path
) -> None:
    with bench(tmp_path, *options) as b:
        done = b.run("--yes-move-power")
        assert done.returncode == 1, done.stderr
        assert named in done.stderr
        b.wait_for(b.at_rest, 3.0, "0 W")
        assert b.bar.get("p_enabled") == 0.0, "handed back"
        with pytest.raises(SiteError) as refused:
            load_site(b.write_site("live", "[real-power, slow-response, unproven-map]"))
        assert str(tmp_path / "state" / NAME) in str(refused.value)


@pytest.mark.nightly
def test_a_meter_that_shows_ten_times_is_named_and_the_inverter_is_not(tmp_path: Path) -> None:
    with bench(tmp_path) as b:
        b.wrong_meter()
        done = b.run("--yes-move-power", "--json")
        assert done.returncode == 1, done.stderr
        (fault,) = json.loads(done.stdout)["faults"]
        assert "the meter's power" in fault
        assert "a factor of 10" in fault


@pytest.mark.nightly
def test_a_direction_that_a_limit_forbids_is_not_tested_and_no_fault(tmp_path: Path) -> None:
    """15 % of charge: below soc_min_pu = 0.2, so nothing may be taken from the car."""
    with bench(tmp_path, "--soc", "0.15") as b:
        done = b.run("--yes-move-power", "--json")
        assert done.returncode == 0, done.stderr
        card = json.loads(done.stdout)
        assert card["discharge"]["result"] == "not tested"
        assert "the battery is full, empty or unknown" in card["discharge"]["why"]
        assert (card["charge"]["result"], card["verdict"]) == ("passed", "passed")


def test_no_car_is_told_before_anything_is_asked(tmp_path: Path) -> None:
    with bench(tmp_path, "--session", "unplugged") as b:
        done = b.run("--yes-move-power")
        assert done.returncode == 3
        assert "the inverter is faulty, or not running and connected" in done.stderr.splitlines()[-1]
        assert b.bar.get("writes") == 0.0
    assert not (tmp_path / "state" / NAME).exists()


def test_a_device_that_does_not_answer_is_one_line(tmp_path: Path) -> None:
    with bench(tmp_path) as b:
        b.family.kill("meter")
        done = b.run("--yes-move-power")
        assert done.returncode == 3
        assert done.stderr.splitlines()[-1].startswith(
            f"the meter (127.0.0.1:{b.ports['meter']} unit 1) does not answer"
        )
        assert b.bar.get("writes") == 0.0


def test_without_a_word_nothing_is_ever_written(tmp_path: Path) -> None:
    """No terminal; --shadow-only; and the wrong words at a terminal."""
    with bench(tmp_path) as b:
        assert b.run().returncode == 2
        assert b.run("--shadow-only").returncode == 0
        with b.at_a_terminal() as (process, near):
            b.wait_for(lambda: "Type `move power`" in b.said, READY_S, "the question")
            os.write(near, b"yes\n")
            assert process.wait(READY_S) == 2
        assert "`move power` was not typed; no power was moved" in b.said
        assert b.bar.get("writes") == 0.0
        assert b.bar.get("p_w") == 0.0
    assert not (tmp_path / "state" / NAME).exists()


STOPS = [
    pytest.param(signal.SIGINT, id="Ctrl-C"),
    pytest.param(signal.SIGTERM, id="SIGTERM", marks=pytest.mark.nightly),
    pytest.param(signal.SIGHUP, id="the terminal has gone", marks=pytest.mark.nightly),
]


@pytest.mark.parametrize("number", STOPS)
def test_stopped_in_a_pulse_it_ramps_to_0_and_hands_back(number: int, tmp_path: Path) -> None:
    with bench(tmp_path) as b, b.at_a_terminal() as (process, near):
        b.wait_for(lambda: "Type `move power`" in b.said, READY_S, "the question")
        assert f"give {PULSE_W:.0f} W to the grid" in b.said
        assert b.bar.get("writes") == 0.0, "until here nothing"
        os.write(near, b"move power\n")
        b.wait_for(lambda: b.bar.get("p_w") > 0.5 * PULSE_W, READY_S, "the pulse")
        process.send_signal(number)
        assert process.wait(20.0) == 128 + number
        assert (b.bar.get("p_set_w"), b.bar.get("p_enabled")) == (0.0, 0.0), "0 W, and handed back"
        b.wait_for(b.at_rest, TO_SMALL_S + 0.5, "0 W")
        assert "power is at 0, control was handed back" in b.said
    assert not (tmp_path / "state" / NAME).exists()


@pytest.mark.nightly
def test_stopped_while_the_own_timer_is_waited_for_a_new_core_brings_it_to_0(tmp_path: Path) -> None:
    with bench(tmp_path, "--no-timer") as b, b.at_a_terminal("--yes-move-power") as (process, _):
        b.wait_for(lambda: "own timer: no more writes" in b.said, LONG_S, "the own timer's turn")
        assert not b.at_rest()
        process.send_signal(signal.SIGINT)
        assert process.wait(30.0) == 128 + signal.SIGINT
        b.wait_for(b.at_rest, TO_SMALL_S + 0.5, "0 W")
        assert b.bar.get("p_enabled") == 0.0


@pytest.mark.nightly
def test_a_program_that_stands_still_in_a_pulse_is_at_0_in_time(tmp_path: Path) -> None:
    """Its wish is renewed by nobody any more; the core lives on, writes, and takes its default: 0 W."""
    with bench(tmp_path) as b:
        work = Commission(load_site(b.site), StopEvent(), lambda _: None)
        work.find()
        with only_one(work.site), running(work.with_power, StopEvent()) as run:
            work.settle(run)
            run.wish(PULSE_W)
            run.wait(READY_S, "the pulse", lambda: b.bar.get("p_w") > 0.9 * PULSE_W)
            b.wait_for(lambda: b.bar.get("p_set_w") == 0.0, LIFE_S + 1.0, "0 W, without a look of ours")
            b.wait_for(b.at_rest, TO_SMALL_S + 0.5, "0 W")
            assert b.bar.get("p_left_s") > 0.0, "not by the inverter's own timer"


def test_killed_in_a_pulse_the_own_timer_acts(tmp_path: Path) -> None:
    with bench(tmp_path) as b, b.at_a_terminal("--yes-move-power") as (process, _):
        b.wait_for(lambda: b.bar.get("p_w") > 0.5 * PULSE_W, LONG_S, "the pulse")
        process.kill()
        b.wait_for(b.at_rest, TIMER_S + TO_SMALL_S + 1.0, "0 W by its own timer")
        assert b.bar.get("p_enabled") == 1.0, "still enabled, at 0 W"


@pytest.mark.nightly
def test_a_charger_with_plain_registers_whose_timer_reads_feed(tmp_path: Path) -> None:
    """Its bus falls silent altogether, so that the timer of 12 s may run out; the house's meter has no say."""
    with site(tmp_path, "shadow", "slow-response") as (family, charger):
        family.stop(("controller",))
        charger.rule = Quasar(12_000_000_000, charger.words).rule
        command = [sys.executable, "-m", "controller.cli", "commission", str(tmp_path / "site.yaml"), "--json"]
        done = subprocess.run([*command, "--yes-move-power"], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=LONG_S, check=False)  # fmt: skip
        assert done.returncode == 0, done.stderr
        card = json.loads(done.stdout)
        assert (card["discharge"]["result"], card["charge"]["result"]) == ("passed", "passed")
        assert "meter_w" not in {name for name, w in card["charge"].items() if w is not None}
        assert card["own_timer"]["result"] == "zero"
        assert 12.0 < card["own_timer"]["after_s"] < 17.0
        assert (charger.words[526], charger.words[81]) == (0, 0), "at 0 W, the user's again"
