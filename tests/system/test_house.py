"""The house connection with real processes: simulated grid with loads, a meter at the connection, the controller.

One unit of 7 kW behind one meter on loopback. Loads are knobs of the simulator; currents are the plant's own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from controller.processes import Family
from controller.telemetry.broker import free_port
from drivers.sim.bar import Bar

READY_S = 40.0  # bounds for a broken build, not figures
ADJUST_S = 5.0  # the fuse's own promise
WATCH_S = 5.0
UNDER = "t_s,f_hz\n0,60\n1,60\n1.1,59\n600,59\n"
SITE = """\
schema: 1
name: house
start_mode: demo
profile: ieee1547-2018-cat-b-iii
runtime_dir: {folder}/run
state_dir: {folder}/state
meter: {{map: eastron-sdm630, host: 127.0.0.1, port: {meter}, location: connection, phases: L1L2L3,
         poll_ms: 50, timeout_ms: 100, refresh_ms: 100}}
inverter: {{map: sunspec-7xx, host: 127.0.0.1, port: {inverter}, poll_ms: 100, timeout_ms: 200, reversion_s: 10,
            lag_ms: 300}}
settings:
  rating: {{v_nom_v: 230}}
  default_wish: {{charge_w: {charge_w}, soc_target_pu: 0.9}}
  site_limits: {{enable: true, {limits}}}
"""


class House:
    """What the plant says, and the loads somebody switches."""

    def __init__(self, bar: Bar) -> None:
        self.bar = bar

    def phases_w(self) -> tuple[float, ...]:
        """At the connection, + = into the grid."""
        return tuple(p_w for p_w, _ in self.bar.connection_power(3))

    def amps(self) -> tuple[float, ...]:
        return tuple(abs(p_w) / max(self.bar.get(f"v{i}_v"), 1.0) for i, p_w in enumerate(self.phases_w(), 1))

    def oven(self, phase: int, watts: float) -> None:
        self.bar.set(f"oven{phase}_w", watts)


@contextmanager
def house(folder: Path, share: str, charge_w: float, limits: str, trace: str = "t_s,f_hz\n0,60\n600,60\n"
          ) -> Iterator[House]:  # fmt: skip
    family, bar = Family(folder / "logs"), Bar(folder / "bar")
    ports = {name: free_port() for name in ("meter", "inverter")}
    (folder / "grid.csv").write_text(trace)
    (folder / "site.yaml").write_text(SITE.format(folder=folder, charge_w=charge_w, limits=limits, **ports))
    common, server = ("--bar", str(folder / "bar")), "drivers.sim.server"
    listen = {name: (*common, "--port", str(port)) for name, port in ports.items()}
    grid = ("--trace", str(folder / "grid.csv"), "--phases", "3", "--share", share, "--load-l1-w", "300")
    family.start("grid", server, "grid", *common, *grid)
    family.start("meter", server, "meter", *listen["meter"], "--location", "connection", "--phases", "3")
    family.start("inverter", server, "inverter", *listen["inverter"])
    try:
        for part, beat in (("grid", "grid_s"), ("meter", "meter_s"), ("inverter", "unit_s")):
            family.wait_until(lambda beat=beat: bar.get(beat) > 0.0, part, READY_S)  # type: ignore[misc]
        family.start("controller", "controller.cli", "run", str(folder / "site.yaml"), "--parent-death")
        wait_for(lambda: bar.get("p_w") < -0.97 * charge_w, READY_S)
        yield House(bar)
    finally:
        family.stop(("controller",))
        family.stop()


def wait_for(claim: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not claim():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.02)


def held(claim: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert claim()
        time.sleep(0.02)


def test_an_oven_switched_on_while_charging_stays_under_the_fuse(tmp_path: Path) -> None:
    """25 A at 230 V: 5750 VA. 5 kW of charging beside 300 W, then 2.5 kW of oven on the same phase."""
    with house(tmp_path, "1,0,0", 5000.0, "fuse_a: 25, import_w: 17000, export_w: 0") as home:
        home.oven(1, 2500.0)
        wait_for(lambda: home.amps()[0] > 25.0, 2.0)  # it would not bear both
        wait_for(lambda: home.amps()[0] <= 25.0, ADJUST_S)
        held(lambda: home.amps()[0] <= 25.0, WATCH_S)
        assert home.bar.get("p_w") < -2000.0  # and charging goes on with what is left
        home.oven(1, 0.0)
        wait_for(lambda: home.bar.get("p_w") < -4850.0, READY_S)


def test_zero_export_holds_through_an_under_frequency_event(tmp_path: Path) -> None:
    """59 Hz: droop asks for 2249 W more than -1400 W; the house takes 300 W, less a margin of 200 W."""
    with house(tmp_path, "1,0,0", 1400.0, "export_w: 0", UNDER) as home:
        home.bar.play()
        wait_for(lambda: home.bar.get("p_w") > 0.0, READY_S)
        held(lambda: sum(home.phases_w()) <= 0.0, WATCH_S)
        assert 0.0 < home.bar.get("p_w") < 250.0


def test_three_phases_with_one_loaded(tmp_path: Path) -> None:
    """7 kW over three phases is 2.33 kW on each; 13 A bear 2990 W; 1.5 kW on L2 leave 1.42 kW there."""
    shares = "share_l1_pu: 0.3334, share_l2_pu: 0.3333, share_l3_pu: 0.3333"
    with house(tmp_path, "0.3334,0.3333,0.3333", 6500.0, f"fuse_a: 13, {shares}") as home:
        home.oven(2, 1500.0)
        wait_for(lambda: home.amps()[1] > 13.0, 2.0)
        wait_for(lambda: max(home.amps()) <= 13.0, ADJUST_S)
        held(lambda: max(home.amps()) <= 13.0, WATCH_S)
        assert max(home.amps()) == home.amps()[1]
        assert home.bar.get("p_w") < -3500.0
