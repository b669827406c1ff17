"""Commissioning: what a meter and an inverter really do, first in shadow, then with a small pulse each way.

Shadow    nothing can be written: the bus has no commands. Polls, refresh, turnaround, session, present state.
Pulse     max(200 W, the smallest power it holds) each way, through the core with all of the site's limits. A direction
          that they forbid is not tested, and that is no fault. Power that goes the wrong way round, or far beyond what
          was asked, ends the pulse after OVER_S; nothing more is moved then.
Own timer with a pulse on the core is ended, as if it had crashed; the buses go on reading. Then a new core takes over
          from where the inverter is, as after a restart, and goes to 0 W.
Errors    BusError: no answer. NotReadyError: the device answers and may not be commanded. Stopped: with power at 0 and
          control handed back, whenever it comes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from controller.errors import InputError
from controller.launch import fine_enough, inverter_search, meter_search
from controller.lifetime import StopEvent
from controller.ownfunctions import agreed
from controller.plantcard import NEVER, UNTESTED, ZERO, CardTimer
from controller.plantrun import Plant, PlantRun, Stopped, running
from controller.plantwatch import AT_REST_READINGS, OVER_S, Guard, Rest, is_calm, reasons_now, state_text, unanswered
from controller.pulse import Pulse, measured_pulse, of_shadow, untested
from controller.site import Site
from controller.siteinverter import no_timer
from cython_core.records import DeviceValid, Mode, Reason
from drivers.base import BusError, DriverError
from drivers.mapfile import load_map
from drivers.writecontract import quiet_ms

SMALLEST_W = 200.0
FIRST_S = 15.0  # until both devices have answered
SHADOW_S, SHADOW_REFRESHES = 5.0, 20
BASE_S, HOLD_S, LONGEST_HOLD_S = 2.0, 3.0, 30.0
HOLD_REFRESHES, HOLD_LAGS, HOLD_POLLS = 8, 4, 8
SERVICE_S, SETTLE_S = 30.0, 5.0  # beside the delays and ramps that the site itself sets
AT_REST = 0.25  # of the commanded power
TIMER_MARGIN_S = 2.0
EARLY = 0.8  # of the timer as set: devices count whole seconds
AGAIN_S = 20.0  # for a new core to bring the inverter to 0 W
UNREADY = Reason.SESSION | Reason.NOT_RUNNING | Reason.LOCAL_CONTROL
SIGNS = {"discharge": 1.0, "charge": -1.0}


class NotReadyError(DriverError):
    """The inverter or the car may not be commanded now: whoever stands there must act."""


@dataclass(frozen=True, slots=True)
class Shadow:
    """What is known before power is moved. times_ms: fields of CardTimes; pulse_w: what will be commanded."""

    times_ms: dict[str, float]
    state: str  # for people
    p_w: float
    soc_pu: float
    pulse_w: float


class Commission:
    """One site, in order: find, shadow, pulses, own_timer. say: a line of what is going on."""

    def __init__(self, site: Site, stopping: StopEvent, say: Callable[[str], None]) -> None:
        self.site, self.stopping, self.say = site, stopping, say
        self.pulse_w = SMALLEST_W

    # ---- 1 shadow ----

    def find(self) -> None:
        """Both devices, once. DriverError: one does not answer, or is another one."""
        self.say(f"looking for the inverter at {self.site.inverter.wire} and the meter at {self.site.meter.link}")
        inverter = inverter_search(self.site)()
        meter = fine_enough(self.site, meter_search(self.site)())
        self.in_shadow = Plant(replace(self.site, start_mode="shadow"), inverter, meter)
        mode = "demo" if self.site.start_mode == "demo" else "live"
        self.with_power = Plant(replace(self.site, start_mode=mode), inverter, meter)

    def shadow(self) -> Shadow:
        """Everything that can be measured without power."""
        seconds = max(SHADOW_S, SHADOW_REFRESHES * self.site.meter.refresh_ms / 1000)
        self.say(f"shadow: nothing is written, {seconds:.0f} s")
        with running(self.in_shadow, self.stopping, quiet=False) as run:
            if not run.wait(FIRST_S, "first answers", lambda: unanswered(run, self.site) == ""):
                raise BusError(f"{unanswered(run, self.site)} does not answer: look at its cable, address and unit")
            run.wait(seconds, "shadow")
            self.need_ready(run)
            newest = run.newest
            known = newest["d_valid"] & DeviceValid.P_MIN_ABS and math.isfinite(newest["d_p_min_abs_w"])
            smallest_w = newest["d_p_min_abs_w"] if known else 0.0
            self.pulse_w = max(SMALLEST_W, self.site.settings.limits.p_min_abs_w, float(smallest_w))
            p_w = newest["d_p_w"] if math.isfinite(newest["d_p_w"]) else newest["m_p_w"]
            return Shadow(of_shadow(run), state_text(newest), float(p_w), float(newest["d_soc_pu"]), self.pulse_w)

    def need_ready(self, run: PlantRun) -> None:
        """NotReadyError: the core would not command this inverter now."""
        newest = run.newest
        if int(newest["reasons"]) & UNREADY or newest["mode"] == Mode.SILENT:
            raise NotReadyError(f"{self.site.inverter.wire}: {state_text(newest)}: {reasons_now(newest)}")

    # ---- 2 pulses ----

    def need_timer(self) -> None:
        """InputError: if this program died with a pulse on, nothing would bring the inverter to 0 W."""
        why = no_timer(self.site, load_map(self.site.inverter.map).writes)
        if why:
            raise InputError(f"{self.site.where('inverter.map')}: no power is moved: {why}")

    @property
    def hold_s(self) -> float:
        """How long a pulse stands: for the lag, and for enough readings of the slower device."""
        meter, inverter = self.site.meter, self.site.inverter
        slowest_s = max(
            HOLD_REFRESHES * meter.refresh_ms, HOLD_LAGS * inverter.lag_ms, HOLD_POLLS * max(inverter.poll_ms, 1)
        )
        return min(max(HOLD_S, slowest_s / 1000), LONGEST_HOLD_S)

    @property
    def ramp_s(self) -> float:
        """From 0 to the pulse, with the dwell before a turn."""
        s = self.site.settings
        return self.pulse_w / (s.limits.ramp_pu_s * s.rating.p_rated_w) + s.limits.reverse_dwell_s + SETTLE_S

    @property
    def longest_s(self) -> float:
        """How long power may be moved, about, with the own timer."""
        return 2 * (BASE_S + 2 * self.ramp_s + 2 * self.hold_s) + self.timer_limit_s + 2 * self.ramp_s

    def pulses(self) -> list[Pulse]:
        """Both ways; the second one only when the first one has shown nothing wrong."""
        done: list[Pulse] = []
        site = self.with_power.site
        if site.start_mode == "live" and not agreed(site, self.stopping):
            raise Stopped(self.stopping.number)
        with running(self.with_power, self.stopping) as run:
            self.settle(run)
            for name, sign in SIGNS.items():
                if any(pulse.faults for pulse in done):
                    done.append(untested(name, "the pulse before has failed"))
                else:
                    self.say(f"{name}: {sign * self.pulse_w:+.0f} W for {self.hold_s:.0f} s")
                    done.append(self.pulse(run, name, sign * self.pulse_w))
        return done

    def settle(self, run: PlantRun) -> None:
        """In service and at 0 W. NotReadyError: not in time."""
        enter = self.site.settings.enter_service
        delay_s = enter.delay_s + enter.random_s + enter.ramp_s if enter.owner == "controller" else 0.0
        limit_s = SERVICE_S + delay_s + self.ramp_s
        if not run.wait(limit_s, "to 0 W", lambda: run.is_in_service() and run.newest["p_cmd_w"] == 0.0):
            why = reasons_now(run.newest) if run.newest is not None else "no step was taken"
            raise NotReadyError(f"{self.site.inverter.wire}: not in service at 0 W within {limit_s:.0f} s: {why}")

    def pulse(self, run: PlantRun, name: str, p_w: float) -> Pulse:
        """From 0 W to p_w and back; measured from the records of it."""
        begin_ns = time.monotonic_ns()
        run.wait(BASE_S + 3 * self.site.meter.refresh_ms / 1000, f"{name}: at 0 W")
        guard = Guard(run.records, begin_ns, p_w, self.site.meter.location == "inverter")
        edge_ns = time.monotonic_ns()
        run.wish(p_w)
        why = self.stand(run, name, guard)
        end_ns = time.monotonic_ns()
        run.wish(0.0)
        run.wait(self.ramp_s, f"{name}: back to 0 W", lambda: run.newest["p_cmd_w"] == 0.0)
        run.wait(min(self.hold_s, HOLD_S), f"{name}: at 0 W")
        if why:
            return untested(name, why)
        steps = run.records[run.records["t_ns"] >= begin_ns]
        return measured_pulse(name, p_w, steps, (edge_ns, end_ns), self.in_shadow)

    def stand(self, run: PlantRun, name: str, guard: Guard) -> str:
        """Up to the pulse, and there for its time. Why it did not stand; nothing: it did, or it has shown a fault."""
        p_w = guard.p_w

        def there() -> bool:
            return bool(run.newest["p_cmd_w"] == p_w)

        run.wait(self.ramp_s, f"{name}: ramp", lambda: there() or guard.wrong(run.newest))
        if there() and not guard.since_s:
            run.wait(self.hold_s, f"{name}: {p_w:+.0f} W", lambda: guard.wrong(run.newest) or not there())
        if guard.since_s:
            run.wait(OVER_S, f"{name}: wrong", lambda: guard.is_over)
            return ""
        return "" if there() else reasons_now(run.newest)

    # ---- 3 own timer ----

    def own_timer(self, sign: float) -> CardTimer:
        """Nobody writes any more while a pulse is on: when is it at rest?"""
        set_s, contract = float(self.site.inverter.reversion_s), load_map(self.site.inverter.map).writes
        if contract is not None and not contract.falls_to_zero:
            return CardTimer(result=NEVER, why="does not exist, by its map", set_s=set_s)
        run: PlantRun | None = None
        try:
            with running(self.with_power, self.stopping) as run:
                self.settle(run)
                run.wish(sign * self.pulse_w)
                if not run.wait(self.ramp_s, "own timer: ramp", lambda: run.newest["p_cmd_w"] == sign * self.pulse_w):
                    return CardTimer(result=UNTESTED, why=reasons_now(run.newest), set_s=set_s)
                run.wait(min(self.hold_s, HOLD_S), "own timer: pulse")
                return self.silence(run, set_s)
        finally:
            if run is not None and run.dead:
                self.take_over()

    def silence(self, run: PlantRun, set_s: float) -> CardTimer:
        """The core ends; the readings of the devices tell the rest."""
        limit_s, small_w = self.timer_limit_s, AT_REST * self.pulse_w
        if abs(run.newest["d_p_w"]) <= small_w:  # NaN: it does not say
            return CardTimer(result=UNTESTED, why="the inverter did not follow the pulse", set_s=set_s)
        self.say(f"own timer: no more writes, up to {limit_s:.0f} s")
        watch = Rest(run, small_w, self.site.meter.location == "inverter", self.quiet_s > 0.0)
        run.die()
        if run.wait(limit_s, "own timer", watch.is_at_rest):
            after_s = max(watch.after_s, 0.0)
            note = "" if watch.by_meter or not self.quiet_s else "not asked before: a read would have fed the timer"
            if after_s < EARLY * set_s:
                note = f"earlier than set: set-points are only written again after {set_s / 3:.1f} s"
            return CardTimer(result=ZERO, why=note, set_s=set_s, after_s=after_s)
        why = f"has not brought it to 0 W within {limit_s:.0f} s: it still moved {watch.p_w:+.0f} W"
        return CardTimer(result=NEVER, why=why, set_s=set_s)

    @property
    def quiet_s(self) -> float:
        """How long the bus does not even read, where reads feed the timer; 0: they do not."""
        contract = load_map(self.site.inverter.map).writes
        return quiet_ms(contract, self.site.inverter.reversion_s) / 1000 if contract else 0.0

    @property
    def timer_limit_s(self) -> float:
        """When the own timer must have acted, and have been seen to."""
        inverter = self.site.inverter
        seen_s = (inverter.lag_ms + AT_REST_READINGS * inverter.poll_ms) / 1000
        return max(inverter.reversion_s, self.quiet_s) + TIMER_MARGIN_S + seen_s

    def take_over(self) -> None:
        """A new core from where the inverter is, to 0 W. A signal does not hurry it: it is what a stop would do."""
        self.say("a new core takes over, to 0 W")
        with running(self.with_power, StopEvent()) as run:
            run.wait(AGAIN_S, "to 0 W", lambda: run.is_in_service() and is_calm(run.newest, AT_REST * self.pulse_w))
