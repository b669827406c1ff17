"""Adoption of curve sets in the simulated inverter, and what its own functions do then. Numbers from a pencil.

The unit: 7 kW export, 7.2 kW charge, 7.4 kVA, 3.3 kvar, 230 V, 50 Hz.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf

import pytest

from drivers.sim.bar import Grid
from drivers.sim.own_functions import Lag, at_power_factor, droop, on_curve
from drivers.sim.plant import Battery, Inverter, Unit
from drivers.sim.sunspec_curves import ADOPT_S
from drivers.sim.sunspec_unit import IllegalValueError, SunSpecUnit


def made() -> SunSpecUnit:
    face = SunSpecUnit(Unit(Inverter(dead_s=0.0, lag_s=0.0), Battery()))
    face.tick(0.01, grid())
    return face


def grid(v_pu: float = 1.0, f_hz: float = 50.0) -> Grid:
    return Grid(f_hz, (230.0 * v_pu, 0.0, 0.0))


def put(face: SunSpecUnit, name: str, value: float) -> None:
    """As a master writes it."""
    image, p = face.image, face.image.points[name]
    raw = round(value / 10.0 ** image.scale(p)) & (1 << 16 * p.words) - 1
    face.write(p.at, [raw >> 16 * i & 0xFFFF for i in reversed(range(p.words))])


def adopt(face: SunSpecUnit, model: int, values: Mapping[str, float], number: int = 2) -> float | None:
    """Fill a set, ask for it, wait: the result."""
    word = "Ctl" if model == 711 else "Crv"
    for point, value in values.items():
        put(face, f"{model}.{word}.{number - 1}.{point}", value)
    put(face, f"{model}.Adpt{word}Req", number)
    assert face.image.get(f"{model}.Adpt{word}Rslt") == 0  # in progress
    face.tick(ADOPT_S + 0.01, grid())
    return face.image.get(f"{model}.Adpt{word}Rslt")


def command(face: SunSpecUnit, p_w: float) -> None:
    face.unit.p_set.enabled, face.unit.p_set.value = True, p_w


def settled(face: SunSpecUnit, at: Grid) -> tuple[float, float]:
    for _ in range(20):
        face.tick(10.0, at)
    return face.unit.inverter.p_w, face.unit.inverter.q_var


def test_an_adopted_set_shows_in_set_1_and_nothing_before() -> None:
    face = made()
    put(face, "711.Ctl.1.KOf", 0.03)
    put(face, "711.AdptCtlReq", 2)
    face.tick(ADOPT_S / 2, grid())
    assert (face.image.get("711.Ctl.0.KOf"), face.image.get("711.AdptCtlRslt")) == (0.05, 0)
    face.tick(ADOPT_S, grid())
    assert (face.image.get("711.Ctl.0.KOf"), face.image.get("711.AdptCtlRslt")) == (0.03, 1)
    assert face.image.get("711.Ctl.0.ReadOnly") == 1
    assert face.image.get("711.Ctl.1.ReadOnly") == 0


# fmt: off
FAILED = [
    # model  points                           why
    (705, {"ActPt": 1},                     "one point is no curve"),
    (705, {"ActPt": 5},                     "the fifth point is not there"),
    (705, {"Pt.0.V": 99.0},                 "voltages fall"),
    (705, {"DeptRef": 2},                   "percent of what is available: not known here"),
    (706, {"DeptRef": 1},                   "the same for active power"),
    (712, {"Pt.5.W": -50.0},                "powers fall"),
    (711, {"KUf": 0.0},                     "no slope"),
    (707, {"MustTrip.ActPt": 1},            "a trip curve has a threshold"),
]
# fmt: on


@pytest.mark.parametrize(("model", "points", "why"), FAILED, ids=[f[-1] for f in FAILED])
def test_a_set_that_cannot_be_followed_fails_and_the_old_one_stays(
    model: int, points: dict[str, float], why: str
) -> None:
    face = made()
    word = "Ctl" if model == 711 else "Crv"
    live = [n for n in face.image.points if n.startswith(f"{model}.{word}.0.")]
    before = [face.image.get(n) for n in live]
    assert adopt(face, model, points) == 2
    assert [face.image.get(n) for n in live] == before


@pytest.mark.parametrize("name", ["705.Crv.0.ActPt", "711.Ctl.0.KOf", "705.Crv.1.ReadOnly", "705.Crv.1.VRefAuto"])
def test_what_no_master_may_write(name: str) -> None:
    with pytest.raises(IllegalValueError):
        put(made(), name, 1)


@pytest.mark.parametrize("number", [0, 4])
def test_a_set_that_is_not_there_cannot_be_asked_for(number: int) -> None:
    with pytest.raises(IllegalValueError):
        put(made(), "705.AdptCrvReq", number)


def test_the_reversion_set_comes_back_when_its_time_is_over() -> None:
    face = made()
    put(face, "711.RvrtCtl", 3)
    assert adopt(face, 711, {"KOf": 0.03}) == 1
    put(face, "711.RvrtTms", 5)
    face.tick(2.0, grid())
    face.render()
    assert (face.image.get("711.RvrtRem"), face.image.get("711.Ctl.0.KOf")) == (3, 0.03)
    face.tick(3.0, grid())
    face.tick(ADOPT_S, grid())
    assert face.image.get("711.Ctl.0.KOf") == 0.05  # set 3 is still the factory's


# fmt: off
ACTS = [
    # model  points of the set              power    grid               p_w      q_var    why
    (711, {},                               3000.0,  grid(1.0, 50.036), 3000.0,  0.0,     "edge of the dead band"),
    (711, {"KOf": 0.04},                    3000.0,  grid(1.0, 50.236), 2300.0,  0.0,     "0.2 / 2 of 7 kW less"),
    (711, {"KUf": 0.02, "DbUf": 0.1},       3000.0,  grid(1.0, 49.7),   4400.0,  0.0,     "0.2 / 1 of 7 kW more"),
    (706, {},                               7000.0,  grid(1.08),        3500.0,  0.0,     "half-way to 1.10"),
    (706, {"Pt.1.W": -50.0},                7000.0,  grid(1.10),        -3600.0, 0.0,     "P'2: of the charge rating"),
    (706, {},                               -2000.0, grid(1.10),        -2000.0, 0.0,     "charging is left alone"),
    (705, {},                               0.0,     grid(0.95),        0.0,     1628.0,  "half of 44 % of 7.4 kVA"),
    (705, {"Pt.3.Var": -30.0},              0.0,     grid(1.08),        0.0,     -2220.0, "30 % of 7.4 kVA, absorbed"),
    (705, {"VRef": 103.0},                  0.0,     grid(1.05),        0.0,     0.0,     "moved to the dead band"),
    (705, {"DeptRef": 1, "Pt.0.Var": 99.0}, 0.0,     grid(0.92),        0.0,     3267.0,  "percent of VarMax"),
    (712, {},                               5250.0,  grid(),            5250.0,  -1628.0, "75 % of 7 kW: half of 44 %"),
    (712, {},                               -5400.0, grid(),            -5400.0, 1628.0,  "75 % of 7.2 kW: the same"),
]
# fmt: on


@pytest.mark.parametrize(("model", "points", "p_set_w", "at", "p_w", "q_var", "why"), ACTS, ids=[a[-1] for a in ACTS])
def test_an_adopted_and_enabled_set_governs(
    model: int, points: dict[str, float], p_set_w: float, at: Grid, p_w: float, q_var: float, why: str
) -> None:
    face = made()
    command(face, p_set_w)
    if points:
        assert adopt(face, model, points) == 1
    before = settled(face, at)
    assert before[1] == 0.0  # the function is off
    put(face, f"{model}.Ena", 1)
    assert settled(face, at) == pytest.approx((p_w, q_var), abs=8.0)


@pytest.mark.parametrize(("p_w", "q_var"), [(4000.0, 1937.0), (-4000.0, -1937.0)])
def test_constant_power_factor_holds_one_line(p_w: float, q_var: float) -> None:
    """P tan(arccos 0.9) = 0.4843 P: over-excited while discharging, under-excited while charging."""
    face = made()
    command(face, p_w)
    for name, ext in (("PFWInj", 0), ("PFWAbs", 1)):
        put(face, f"704.{name}.PF", 0.9)
        put(face, f"704.{name}.Ext", ext)
        put(face, f"704.{name}Ena", 1)
    assert settled(face, grid()) == pytest.approx((p_w, q_var), abs=2.0)


def test_the_response_time_is_to_90_percent() -> None:
    face = made()
    put(face, "705.Ena", 1)
    face.tick(5.0, grid(0.92))
    assert face.unit.inverter.q_var == pytest.approx(0.9 * 0.44 * 7400.0, rel=1e-3)


def test_volt_watt_has_90_percent_of_the_change_of_power_in_its_response_time_at_part_load_too() -> None:
    """3 kW; 106 % ... 110 % down to 0: at 109.2 % the curve is at 0.2 x 7 kW, 90 % from 3000 to 1400 W is 1560 W."""
    face = made()
    command(face, 3000.0)
    put(face, "706.Ena", 1)
    settled(face, grid())
    for _ in range(1000):
        face.tick(0.01, grid(1.092))
    assert face.unit.inverter.p_w == pytest.approx(1560.0, abs=5.0)
    assert settled(face, grid(1.092))[0] == pytest.approx(1400.0, abs=1.0)
    for _ in range(1000):
        face.tick(0.01, grid())
    assert face.unit.inverter.p_w == pytest.approx(2840.0, abs=5.0)  # and 90 % of the way back
    command(face, 6000.0)
    assert settled(face, grid())[0] == pytest.approx(6000.0)


def test_droop_starts_from_what_volt_watt_left_when_the_event_began() -> None:
    """5 kW at 109 %: 0.25 x 7 kW. 0.5 Hz down: (0.5 - 0.036) / 2.5 x 7 kW more; with the voltage back as well."""
    face = made()
    command(face, 5000.0)
    put(face, "706.Ena", 1)
    put(face, "711.Ena", 1)
    assert settled(face, grid(1.09))[0] == pytest.approx(1750.0, abs=1.0)
    assert settled(face, grid(1.09, 49.5))[0] == pytest.approx(1750.0, abs=1.0)  # volt-watt is stronger
    assert settled(face, grid(1.0, 49.5))[0] == pytest.approx(1750.0 + 1299.2, abs=1.0)
    assert settled(face, grid())[0] == pytest.approx(5000.0, abs=1.0)


def test_an_autonomous_reference_follows_with_its_time_constant() -> None:
    face = made()
    assert adopt(face, 705, {"VRefAutoEna": 1, "VRefAutoTms": 300}) == 1
    put(face, "705.Ena", 1)
    for _ in range(300):
        face.tick(1.0, grid(1.04))
    face.render()
    assert face.image.get("705.Crv.0.VRefAuto") == pytest.approx(100.0 + 4.0 * 0.632, abs=0.06)


def test_a_function_that_is_switched_off_lets_go() -> None:
    face = made()
    command(face, 3000.0)
    put(face, "711.Ena", 1)
    assert settled(face, grid(f_hz=50.5))[0] < 2000.0
    put(face, "711.Ena", 0)
    face.tick(0.01, grid(f_hz=50.5))
    assert face.unit.inverter.p_w == pytest.approx(3000.0)
    assert face.unit.ceiling_w == inf


def test_the_heart_beats_once_a_second_and_can_stop() -> None:
    face, seen = made(), []
    for beats in (True, True, False, False):
        face.heart_beats = beats
        face.tick(1.0, grid())
        face.render()
        seen.append(face.image.get("715.DERHb"))
    assert seen == [1, 2, 2, 2]


def test_stop_start_and_standby() -> None:
    face, seen = made(), []
    command(face, 3000.0)
    for op_ctl in (0, 1, 2, 3):
        put(face, "715.OpCtl", op_ctl)
        face.tick(1.0, grid())
        face.render()
        seen.append((face.image.get("701.St"), face.image.get("701.InvSt"), face.unit.inverter.p_w))
    assert seen == [(0, 0, 0.0), (1, 3, 3000.0), (1, 7, 0.0), (1, 3, 3000.0)]


def test_local_control_shows() -> None:
    face = made()
    face.local = True
    face.render()
    assert face.image.get("715.LocRemCtl") == 1


def test_the_battery_side() -> None:
    """3000 W of AC through 95 % are 3158 W of DC; 350 + 80 x 0.6 = 398 V."""
    face = made()
    command(face, 3000.0)
    face.tick(0.01, grid())
    face.render()
    assert face.image.get("714.Prt.0.DCV") == 398.0
    assert face.image.get("714.DCW") == pytest.approx(3158.0, abs=5.0)
    assert face.image.get("714.Prt.0.DCA") == pytest.approx(3158.0 / 398.0, abs=0.01)


def test_the_arithmetic_alone() -> None:
    assert [on_curve([(1.0, 5.0), (3.0, 1.0)], x) for x in (0.0, 2.0, 9.0)] == [5.0, 3.0, 1.0]
    assert on_curve([(1.0, 5.0), (1.0, 3.0), (2.0, 1.0)], 1.5) == 2.0
    assert droop(60.6, 60.0, 0.0, 0.0, 0.05, 0.04) == pytest.approx(-0.2)
    assert droop(59.4, 60.0, 0.0, 0.0, 0.05, 0.04) == pytest.approx(0.25)
    assert at_power_factor(-100.0, 0.8, True) == pytest.approx(75.0)
    assert Lag().step(2.0, 10.0, 2.0) == pytest.approx(9.0)
