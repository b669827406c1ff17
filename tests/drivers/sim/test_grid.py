"""The simulated grid against closed forms: swing equation, trace playback, two-bus feeder."""

from __future__ import annotations

from cmath import exp as cexp
from math import cos, exp, sin, sqrt

import pytest

from drivers.sim.grid import Feeder, Playback, Swing


def swung(swing: Swing, imbalance_pu: float, until_s: float, dt_s: float) -> Swing:
    for _ in range(round(until_s / dt_s)):
        swing.step(dt_s, imbalance_pu)
    return swing


def test_rocof_at_the_start_is_f0_dp_over_2h() -> None:
    swing = Swing(f_nom_hz=60.0, h_s=5.0)
    df_pu_s, _ = swing.rates(0.0, 0.0, -0.05)
    assert 60.0 * df_pu_s == pytest.approx(-0.3)  # 60 x 0.05 / (2 x 5)
    swing.step(0.001, -0.05)
    assert (swing.f_hz - 60.0) / 0.001 == pytest.approx(-0.3, rel=1e-3)


# fmt: off
STEADY = [
    # f_nom  R      D    dp_pu   f_hz                    why
    (60.0,   0.05,  1.0, -0.05,  60 - 60 * 0.05 / 21,    "-f0 dP / (D + 1/R) = -0.142857 Hz"),
    (50.0,   0.05,  1.0, -0.05,  50 - 50 * 0.05 / 21,    "the same share of 50 Hz"),
    (50.0,   0.05,  1.0,  0.05,  50 + 50 * 0.05 / 21,    "load lost: up"),
    (50.0,   0.10,  1.0, -0.05,  50 - 50 * 0.05 / 11,    "twice the droop, nearly twice the fall"),
    (50.0,   0.05,  4.0, -0.05,  50 - 50 * 0.05 / 24,    "load damping helps"),
]
# fmt: on


@pytest.mark.parametrize(("f_nom", "r", "d", "dp_pu", "f_hz", "why"), STEADY, ids=[c[-1] for c in STEADY])
def test_steady_state(f_nom: float, r: float, d: float, dp_pu: float, f_hz: float, why: str) -> None:
    swing = swung(Swing(f_nom_hz=f_nom, droop_pu=r, damping_pu=d), dp_pu, until_s=60.0, dt_s=0.01)
    assert swing.f_hz == pytest.approx(f_hz, abs=1e-6)


@pytest.mark.parametrize("t_s", [0.2, 1.0, 2.5, 8.0])
def test_the_way_down_and_up_again_is_the_damped_oscillation(t_s: float) -> None:
    h, r, tg, d, dp = 5.0, 0.05, 0.5, 1.0, -0.05
    end = dp / (d + 1.0 / r)
    a = (d / (2 * h) + 1 / tg) / 2
    w = sqrt((d + 1 / r) / (2 * h * tg) - a * a)
    b = (dp / (2 * h) - a * end) / w
    expected = end + exp(-a * t_s) * (b * sin(w * t_s) - end * cos(w * t_s))
    swing = swung(Swing(h_s=h, droop_pu=r, governor_s=tg, damping_pu=d), dp, t_s, dt_s=0.01)
    assert swing.df_pu == pytest.approx(expected, abs=1e-9)


def test_halving_the_step_divides_the_error_by_16() -> None:
    """Fourth order, against df = dP/D (1 - exp(-D t / 2H)) of a grid whose governor does nothing."""

    def error(dt_s: float) -> float:
        swing = swung(Swing(h_s=0.5, droop_pu=1e12, damping_pu=1.0), -0.05, until_s=1.0, dt_s=dt_s)
        return abs(swing.df_pu - -0.05 * (1.0 - exp(-1.0)))

    assert error(0.1) / error(0.05) == pytest.approx(16.0, rel=0.1)


HOUSE_W = ((300.0, 300.0, 2300.0), (0.0, 100.0, 0.0))
TRACE = Playback((0.0, 1.0, 3.0), (50.0, 49.0, 49.4), (1.0, 0.9, 1.1), (1.0, 1.0, 0.8), HOUSE_W)

# fmt: off
ROWS = [
    # t_s   f_hz   v1    v2   why
    (-5.0,  50.0,  1.0,  1.0, "before the first row: held"),
    (0.0,   50.0,  1.0,  1.0, "on a row"),
    (0.5,   49.5,  0.95, 1.0, "half way"),
    (1.0,   49.0,  0.9,  1.0, "on a row in the middle"),
    (2.5,   49.3,  1.05, 0.85, "three quarters of a longer gap"),
    (9.0,   49.4,  1.1,  0.8, "after the last row: held"),
]
# fmt: on


@pytest.mark.parametrize(("t_s", "f_hz", "v1", "v2", "why"), ROWS, ids=[c[-1] for c in ROWS])
def test_playback(t_s: float, f_hz: float, v1: float, v2: float, why: str) -> None:
    assert TRACE.at(t_s) == pytest.approx((f_hz, v1, v2))


@pytest.mark.parametrize(("t_s", "l1_w", "l2_w"), [(-5.0, 300, 0), (0.5, 300, 50), (2.0, 1300, 50), (9.0, 2300, 0)])
def test_the_house_follows_the_same_lines(t_s: float, l1_w: float, l2_w: float) -> None:
    assert TRACE.load_at(t_s) == pytest.approx([l1_w, l2_w])


def test_columns_of_unequal_length_are_refused() -> None:
    with pytest.raises(ValueError, match="columns of one length"):
        Playback((0.0, 1.0), (50.0, 50.0), (1.0, 1.0), (1.0, 1.0), ((300.0,),))


# fmt: off
FEEDERS = [
    # r    x    source  p_w     q_var  v_v        why
    (0.0,  0.0, 230.0,  5000.0, 900.0, 230.0,     "no impedance: the source's voltage"),
    (0.5,  0.3, 230.0,  0.0,    0.0,   230.0,     "no current: the source's voltage"),
    (0.5,  0.0, 230.0,  2300.0, 0.0,   234.8958,  "V^2 - 230 V - R P = 0: (230 + sqrt(52900 + 4600)) / 2"),
    (0.5,  0.0, 230.0, -2300.0, 0.0,   224.8863,  "charging: (230 + sqrt(52900 - 4600)) / 2"),
    (0.0,  0.5, 230.0,  0.0,    2300.0, 234.8958, "Q through X acts as P through R"),
    (0.0,  0.5, 230.0,  0.0,   -2300.0, 224.8863, "absorbing Q lowers"),
    (0.0,  1.0, 230.0,  10000.0, 0.0,  225.6918,  "P through X lowers a little: u^2 - 52900 u + 1e8 = 0"),
]
# fmt: on


@pytest.mark.parametrize(("r", "x", "source", "p_w", "q_var", "v_v", "why"), FEEDERS, ids=[c[-1] for c in FEEDERS])
def test_feeder(r: float, x: float, source: float, p_w: float, q_var: float, v_v: float, why: str) -> None:
    assert Feeder(r, x).terminal_v(source, p_w, q_var) == pytest.approx(v_v, abs=1e-4)


@pytest.mark.parametrize("angle_deg", range(0, 360, 15))
def test_ohms_law_leads_back_to_the_source(angle_deg: int) -> None:
    s_va = 7000.0 * cexp(1j * angle_deg * 0.017453292519943295)
    v = Feeder(0.4, 0.25).terminal_v(230.0, s_va.real, s_va.imag)
    current = (s_va / v).conjugate()
    assert abs(v - (0.4 + 0.25j) * current) == pytest.approx(230.0, abs=1e-9)


def test_past_the_nose_the_voltage_stays_a_number() -> None:
    assert Feeder(1.0, 1.0).terminal_v(230.0, -14000.0, 0.0) == pytest.approx(sqrt(26450.0 - 14000.0))
    assert Feeder(1.0, 1.0).terminal_v(230.0, -50000.0, 0.0) == 0.0
    assert Feeder(1.0, 1.0).terminal_v(0.0, -5000.0, 0.0) == 0.0


@pytest.mark.parametrize("wrong", [{"h_s": 0.0}, {"droop_pu": 0.0}, {"governor_s": -1.0}])
def test_a_machine_that_cannot_be_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="above 0"):
        Swing(**wrong)
