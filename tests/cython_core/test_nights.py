"""Whole nights of a car in virtual time: telemetry and broker are dead, and in the morning the battery is full enough.

Plant    drivers.sim.plant, 60 kWh, arithmetic of its own; the core sees it once a second (period 0.1 s, nine grid
         points skipped).
Pencil   default wish 3.6 kW until 80 %. From 30 % that is 30 kWh into the battery, 30 / 0.95 = 31.6 kWh at the
         terminals, 8 h 46 min; from 60 % it is 3 h 31 min.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from cython_core.bulk import START_NS
from cython_core.records import (
    DeviceState,
    DeviceStatus,
    DeviceValid,
    Measurement,
    Mode,
    Order,
    Session,
    StepRecord,
    Wish,
)
from cython_core.step import Core
from drivers.sim.plant import Battery, Inverter, SetPoint, Unit
from tests.cython_core.unit import settings

PERIOD_S, K = 0.1, 10
SECOND_NS = 1_000_000_000
HOUR_S = 3600
SEEN = DeviceValid.P | DeviceValid.SOC | DeviceValid.SESSION | DeviceValid.STATUS
WISH = {"charge_w": 3600.0, "soc_target_pu": 0.8}


@dataclass
class Night:
    """A plugged car, its charger and our core. session(t_s), soc(t_s, true) say what the charger shows."""

    soc_pu: float
    session: Callable[[int], Session] = lambda _t_s: Session.READY
    soc: Callable[[int, float], float | None] = lambda _t_s, true_pu: true_pu
    wishes: dict[int, Wish] = field(default_factory=dict)
    records: list[StepRecord] = field(default_factory=list)

    def play(self, hours: float) -> Night:
        core = Core(settings(default_wish=WISH, rating={"v_nom_v": 230.0}, fail_safe={"t_device_s": 2.0}), PERIOD_S)
        battery = Battery(capacity_wh=60_000.0, energy_wh=60_000.0 * self.soc_pu)
        unit = Unit(Inverter(), battery, SetPoint(enabled=True, reversion_enabled=True, reversion_s=10.0))
        for t_s in range(round(hours * HOUR_S)):
            t_ns = START_NS + t_s * SECOND_NS
            session = self.session(t_s)
            there = session in (Session.READY, Session.CHARGING, Session.DISCHARGING)
            device = self.device(t_ns, unit, session)
            record = core.step(t_ns, self.meter(t_ns), device, Order(), self.wishes.get(t_s), K)
            if record.mode != Mode.SILENT:
                unit.p_set.value = record.p_cmd_w
                unit.p_set.restart()
            unit.step(1.0, connected=there)
            self.records.append(record)
        self.soc_pu = battery.soc
        return self

    def meter(self, t_ns: int) -> Measurement:
        return Measurement(t_ns, t_ns, t_ns, 3, 60.0, 230.0)

    def device(self, t_ns: int, unit: Unit, session: Session) -> DeviceState:
        soc_pu, p_w = self.soc((t_ns - START_NS) // SECOND_NS, unit.battery.soc), unit.inverter.p_w
        running = DeviceStatus.RUNNING | DeviceStatus.CONNECTED
        if soc_pu is None:
            return DeviceState(t_ns, t_ns, SEEN & ~DeviceValid.SOC, p_w, session=session, status=running)
        return DeviceState(t_ns, t_ns, SEEN, p_w, soc_pu=soc_pu, session=session, status=running)

    @property
    def most_charging_w(self) -> float:
        return -min(r.p_cmd_w for r in self.records)

    @property
    def most_discharging_w(self) -> float:
        return max(r.p_cmd_w for r in self.records)


def plugged_from(t_s: int) -> Callable[[int], Session]:
    return lambda now_s: Session.READY if now_s >= t_s else Session.UNPLUGGED


def handshakes(now_s: int) -> Session:
    """Plugged at 60 s; the charger talks for 90 s before power may flow."""
    return Session.UNPLUGGED if now_s < 60 else Session.HANDSHAKE if now_s < 150 else Session.READY


def falls_asleep(now_s: int) -> Session:
    """The car sleeps from 1 h to 2 h."""
    return Session.ASLEEP if HOUR_S <= now_s < 2 * HOUR_S else Session.CHARGING


def glitching(now_s: int, true_pu: float) -> float | None:
    """Once a minute the charger says 0 %, then 100 %, then nothing."""
    return {0: 0.0, 1: 1.0, 2: None}.get(now_s % 60, true_pu)


# fmt: off
NIGHTS = [
    # night                                             hours   SoC at the end   why
    (Night(0.3),                                        9.0,    0.80,            "nobody wishes: the default wish"),
    (Night(0.3),                                        5.0,    0.585,           "5 h x 3.6 kW x 0.95 are 28.5 %"),
    (Night(0.6, plugged_from(HOUR_S)),                  5.0,    0.80,            "the car comes an hour late"),
    (Night(0.6, handshakes),                            4.0,    0.80,            "plugged, handshake, ready"),
    (Night(0.6, falls_asleep),                          5.0,    0.80,            "an hour of sleep costs an hour"),
    (Night(0.6, soc=glitching),                         4.0,    0.80,            "a SoC that glitches"),
    (Night(0.9),                                        8.0,    0.90,            "above the target nothing happens"),
]
# fmt: on


@pytest.mark.parametrize(("night", "hours", "soc_pu", "why"), NIGHTS, ids=[row[-1] for row in NIGHTS])
def test_a_night_without_telemetry(night: Night, hours: float, soc_pu: float, why: str) -> None:
    night.play(hours)
    assert night.soc_pu == pytest.approx(soc_pu, abs=0.01), why
    assert night.most_charging_w <= WISH["charge_w"]
    assert night.most_discharging_w <= 0.0


def test_an_unknown_state_of_charge_is_charged_until_the_car_stops_and_never_discharged() -> None:
    """The car ends at 95 %, as cars do; what the charger shows from then on is `ended by car`."""
    state = {"soc": 0.9}
    night = Night(0.9, soc=lambda _t_s, true_pu: state.update(soc=true_pu))
    night.session = lambda _t_s: Session.CHARGING if state["soc"] < 0.95 else Session.ENDED_BY_CAR
    night.play(2.0)
    assert night.soc_pu == pytest.approx(0.95, abs=0.001)
    assert night.records[-1].p_cmd_w == 0.0
    assert night.most_discharging_w <= 0.0


def test_a_wish_that_was_the_last_word_of_a_dying_process_ends_by_itself() -> None:
    """Somebody wished 5 kW of discharge for 15 min and died; the rest of the night belongs to the default wish."""
    last_word = Wish(2, -1e4, 1e4, 5000.0, 0.0, START_NS, START_NS + 900 * SECOND_NS, 1)
    night = Night(0.7, wishes={5: last_word}).play(6.0)
    assert night.most_discharging_w == pytest.approx(5000.0)
    assert night.soc_pu == pytest.approx(0.80, abs=0.01)


def test_no_night_has_a_step_above_the_ramp() -> None:
    """A session that ends acts at once; all else by 0.2 pu/s: 2000 W in a second, at 10 kW."""
    night = Night(0.3, falls_asleep).play(3.0)
    jumps = [abs(b.p_cmd_w - a.p_cmd_w) for a, b in pairwise(night.records) if b.d_session == a.d_session]
    assert max(jumps) <= 2000.0
