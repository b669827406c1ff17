"""Limits of the house connection: fuse of each phase, import, export; they act at once and let go by the ramp."""

from __future__ import annotations

import pytest

from cython_core.records import MeasurementValid, Reason
from tests.cython_core.house import House
from tests.cython_core.unit import Unit, reasons

THIRD = (1 / 3, 1 / 3, 1 / 3)
ONE_PHASE, FUSE, ZERO = (1.0,), {"fuse_a": 20.0}, {"export_w": 0.0}
BOTH = {"import_w": 5000.0, "fuse_a": 20.0}
BIG = {"p_rated_w": 11000.0, "p_charge_rated_w": 11000.0, "s_rated_va": 11000.0}


def charging(house: House, wish_w: float = -8000.0) -> House:
    """Ten seconds of charging with nothing else on."""
    house.unit.wish(wish_w)
    return house.advance(10.0)


# --- one reading, by pencil: 230 V, margin 200 W ---

# fmt: off
ONE = [
    # limits, phases W, amps, shares, lo_w, hi_w, why: the unit gives 0 W; margin 200 W
    ({"import_w": 5000.0}, (-2000.0,),          (),      ONE_PHASE,  -2800.0,  10000.0, "5000 - 2000 - 200"),
    ({"import_w": 1000.0}, (-2000.0,),          (),      ONE_PHASE,  0.0,      10000.0, "above: no discharge either"),
    (ZERO,                 (-2000.0,),          (),      ONE_PHASE,  -8000.0,  1800.0,  "the load less the margin"),
    (ZERO,                 (-100.0,),           (),      ONE_PHASE,  -8000.0,  0.0,     "less load than margin"),
    ({"export_w": 500.0},  (-2000.0,),          (),      ONE_PHASE,  -8000.0,  2300.0,  "500 W more"),
    (FUSE,                 (-2000.0,),          (),      ONE_PHASE,  -2400.0,  6400.0,  "4600 VA less 200, each way"),
    (FUSE,                 (-2000.0,),          (10.0,), ONE_PHASE,  -2257.58, 6257.58, "10 A, 2 kW: 1136 var stay"),
    (FUSE,                 (-4600.0,),          (20.0,), ONE_PHASE,  0.0,      9000.0,  "the house alone fills it"),
    (FUSE,                 (-900.0, 0.0, 0.0),  (),      THIRD,      -8000.0,  10000.0, "3 x (4533.33 - 900) = 10900"),
    (FUSE,                 (-3000.0, 0.0, 0.0), (),      THIRD,      -4600.0,  10000.0, "3 x (4600 - 66.67 - 3000)"),
    (FUSE,                 (0.0, -3000.0),      (),      (1.0, 0.0), -4400.0,  4400.0,  "a phase of no concern"),
    (BOTH,                 (-2000.0,),          (),      ONE_PHASE,  -2400.0,  6400.0,  "the tighter of both"),
]
# fmt: on


@pytest.mark.parametrize(
    ("limits", "phase_w", "phase_a", "share", "lo_w", "hi_w", "why"), ONE, ids=[c[-1] for c in ONE]
)
def test_what_one_reading_leaves(
    limits: dict[str, float], phase_w: tuple[float, ...], phase_a: tuple[float, ...], share: tuple[float, ...],
    lo_w: float, hi_w: float, why: str,
) -> None:  # fmt: skip
    shares = {f"share_l{i + 1}_pu": x for i, x in enumerate((*share, 0.0, 0.0)[:3])}
    unit = Unit(site_limits={"enable": True, **limits, **shares}, limits={"ramp_pu_s": 10.0})
    unit.change(phase_w=phase_w, phase_a=phase_a, meter_p_w=sum(phase_w), v_v=(230.0,) * len(phase_w))
    unit.said["p_w"] = 0.0
    record = unit.advance(1.0)
    assert (record.p_lo_w, record.p_hi_w) == pytest.approx((lo_w, hi_w), abs=0.01), why


@pytest.mark.parametrize("v_v", [2300.0, 1e300, -230.0])
def test_a_voltage_that_cannot_be_is_no_wider_fuse(v_v: float) -> None:
    """20 A at 230 V less 2 kW and 200 W, whatever it is that the meter says of a voltage for one reading."""
    unit = Unit(site_limits={"enable": True, **FUSE}, limits={"ramp_pu_s": 10.0})
    unit.change(phase_w=(-2000.0,), meter_p_w=-2000.0, said={"p_w": 0.0})
    unit.advance(1.0)
    assert unit.step(v_v=(v_v,)).site_lo_w == pytest.approx(-2400.0)


def test_without_limits_a_meter_anywhere_limits_nothing() -> None:
    unit = Unit(limits={"ramp_pu_s": 10.0})
    unit.change(phase_w=(-90000.0,), meter_p_w=-90000.0)
    record = unit.advance(1.0)
    assert (record.p_lo_w, record.p_hi_w) == (-8000.0, 10000.0)
    assert record.site_lo_w != record.site_lo_w


# --- in time ---


def test_an_oven_switched_on_while_charging_stays_under_the_fuse_within_5_s() -> None:
    """32 A at 230 V: 7360 VA. 6 kW of charging, then 3 kW of oven."""
    house = charging(House(site_limits={"fuse_a": 32.0}), -6000.0)
    assert house.amps[0] == pytest.approx(6000.0 / 230.0, abs=0.1)
    house.advance(5.0, load_w=(3000.0,))
    house.watch()
    house.advance(60.0)
    assert house.amps[0] <= 32.0
    assert house.p_w == pytest.approx(-(7360.0 - 200.0 - 3000.0), abs=5.0)  # all that is left, and no hunting
    assert reasons(house.unit.last) & Reason.SITE_FUSE
    house.advance(10.0, load_w=(0.0,))
    assert house.p_w == pytest.approx(-6000.0, abs=1.0)  # and back, by the ramp


def test_three_phases_with_one_loaded() -> None:
    """11 kW on three phases behind 20 A fuses: 3.67 kW a phase; 2 kW of cooker on L2 leave 2.53 kW there."""
    house = charging(House(share=THIRD, rating=BIG, site_limits={"fuse_a": 20.0}), -11000.0)
    house.advance(5.0, load_w=(0.0, 2000.0, 0.0))
    house.watch()
    house.advance(60.0)
    assert max(house.amps) == house.amps[1] <= 20.0
    assert house.p_w == pytest.approx(-3.0 * (4600.0 - 200.0 / 3.0 - 2000.0), abs=5.0)


def test_zero_export_holds_through_an_under_frequency_event() -> None:
    """Droop would give 3.2 kW; the house takes 1 kW, less the margin of 200 W."""
    house = House(site_limits={"export_w": 0.0})
    house.unit.wish(0.0)
    house.advance(10.0, load_w=(1000.0,))
    house.watch()
    house.advance(60.0, f_hz=59.0)
    assert house.export_w <= 0.0
    assert house.p_w == pytest.approx(800.0, abs=5.0)
    assert reasons(house.unit.last) & Reason.DROOP_LIMITED
    assert reasons(house.unit.last) & Reason.SITE_EXPORT


def test_load_dropping_under_zero_export() -> None:
    """A kettle switched off: for the delay of meter and inverter something flows out; within 5 s nothing does."""
    house = House(site_limits={"export_w": 0.0})
    house.unit.wish(9000.0)
    house.advance(20.0, load_w=(3000.0,))
    assert house.p_w == pytest.approx(2800.0, abs=5.0)
    house.advance(5.0, load_w=(500.0,))
    house.watch()
    house.advance(60.0)
    assert house.export_w <= 0.0


@pytest.mark.parametrize("refresh_s", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("lag_s", [0.1, 0.5, 1.5])
def test_slow_meters_and_inverters_settle_without_hunting(refresh_s: float, lag_s: float) -> None:
    house = House(site_limits={"fuse_a": 32.0}, lag_s=lag_s, refresh_s=refresh_s, fail_safe={"t_meter_s": refresh_s})
    charging(house, -6000.0).advance(30.0, load_w=(3000.0,))
    powers = []
    for _ in range(100):
        house.advance(0.3)
        powers.append(house.p_w)
    assert max(powers) - min(powers) < 50.0
    assert powers[-1] == pytest.approx(-4160.0, abs=50.0)


# --- the meter falls silent ---

# fmt: off
SILENT = [
    # seconds  p_w       bits               why
    (0.5,      -4160.0,  Reason.P_HELD,     "held: the last load counts"),
    (6.0,      -1400.0,  Reason.P_STALE,    "stale: the site's fixed margin for charging"),
    (30.0,     0.0,      Reason.P_LOST,     "lost: here voltage and frequency are gone with it, so the safe power"),
]
# fmt: on


@pytest.mark.parametrize(("seconds", "p_w", "bits", "why"), SILENT, ids=[c[-1] for c in SILENT])
def test_connection_meter_falls_silent(seconds: float, p_w: float, bits: Reason, why: str) -> None:
    house = charging(House(site_limits={"fuse_a": 32.0}), -6000.0).advance(20.0, load_w=(3000.0,))
    record = house.unit.advance(seconds, silence="meter")
    assert record.p_cmd_w == pytest.approx(p_w, abs=5.0), why
    assert reasons(record) & (Reason.P_HELD | Reason.P_STALE | Reason.P_LOST) == bits


def test_only_power_missing_is_a_matter_of_the_house_alone() -> None:
    house = charging(House(site_limits={"fuse_a": 32.0}), -6000.0)
    record = house.unit.advance(30.0, meter_p_w=float("nan"), phase_w=(), phase_a=())
    assert record.p_cmd_w == pytest.approx(-1400.0)
    assert reasons(record) & Reason.P_LOST
    assert not reasons(record) & (Reason.F_HELD | Reason.V_HELD | Reason.METER_LOST)


def test_a_phase_that_is_missing_is_not_a_fuse_without_a_limit() -> None:
    """Its last load counts, then the fixed margin; the total alone would leave 6 kW beside 3 kW behind 32 A."""
    house = charging(House(site_limits={"fuse_a": 32.0}), -6000.0).advance(20.0, load_w=(3000.0,))
    house.watch()
    house.advance(0.5, meter_hidden=MeasurementValid.P1)
    assert house.p_w == pytest.approx(-4160.0, abs=5.0)
    house.advance(30.0)
    assert house.p_w == pytest.approx(-1400.0, abs=5.0)
    assert reasons(house.unit.last) & Reason.P_LOST
    assert house.amps[0] <= 32.0
    house.advance(20.0, meter_hidden=MeasurementValid(0))
    assert house.p_w == pytest.approx(-4160.0, abs=5.0)


def test_a_phase_without_the_unit_may_be_missing() -> None:
    house = charging(House(share=(1.0, 0.0), site_limits={"fuse_a": 32.0}), -6000.0)
    house.advance(10.0, meter_hidden=MeasurementValid.P2)
    assert house.p_w == pytest.approx(-6000.0, abs=5.0)


def test_never_read_means_the_fixed_margins() -> None:
    unit = Unit(wish_w=-6000.0, site_limits={"enable": True, "blind_charge_w": 900.0, "blind_discharge_w": 300.0})
    assert unit.advance(5.0).p_cmd_w == pytest.approx(-900.0)
    unit.wish(6000.0)
    assert unit.advance(5.0).p_cmd_w == pytest.approx(300.0)


@pytest.mark.parametrize(("lag_s", "most_w"), [(0.1, 12000.0), (1.5, 12300.0)])
def test_an_inverter_that_cannot_be_read_is_taken_at_its_command(lag_s: float, most_w: float) -> None:
    """7 kW of charging, then its state stalls; 10 kW of oven behind 12 kW leave 12000 - 10000 - 200 = 1800 W.

    One that follows slowly is not yet where it was told to be: a little more than the margin swings.
    """
    house = charging(House(site_limits={"import_w": 12000.0}, lag_s=lag_s), -7000.0)
    house.unread = True
    house.advance(3.0)  # stale after 2.5 s
    house.advance(3.0, load_w=(10000.0,))
    house.watch()
    house.advance(3.0)  # not lost before 10 s
    assert reasons(house.unit.last) & Reason.DEVICE_STALE
    assert house.import_w <= most_w
    assert house.p_w == pytest.approx(-1800.0, abs=most_w - 11900.0)


def test_a_house_meter_is_not_the_units_power() -> None:
    """Found at 0 W by its own word, whatever the house draws; with no word of its own, 0 W and not the house's."""
    unit = Unit(wish_w=0.0, site_limits={"enable": True, "import_w": 1e6})
    unit.meter_p_w = -3000.0
    unit.device_p_w = float("nan")
    assert unit.step().p_cmd_w == 0.0


def test_limits_only_reduce() -> None:
    """An overloaded house neither starts a discharge nor a charge."""
    house = House(site_limits={"fuse_a": 10.0, "import_w": 1000.0, "export_w": 0.0})
    house.unit.wish(0.0)
    house.advance(20.0, load_w=(9000.0,))
    assert house.unit.powers()[-1] == 0.0
    house.advance(20.0, load_w=(-9000.0,))  # sunshine on the roof
    assert house.unit.powers()[-1] == 0.0
