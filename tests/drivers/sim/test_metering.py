"""The simulated meter: its own pace, its own delay, its own resolution, its own noise, and its faults."""

from __future__ import annotations

from itertools import pairwise
from statistics import fmean, pstdev
from typing import Any

import pytest

from drivers.sim.metering import Meter, Reading

EXACT: dict[str, float] = {}


def meter(**changes: Any) -> Meter:
    return Meter(**({"noise": EXACT, "resolution": EXACT} | changes))


def run(m: Meter, seconds: float, rise_hz_s: float = 1.0, dt_s: float = 0.01) -> list[float]:
    """A frequency that rises from 50 Hz; what is shown after each step."""
    shown = []
    for _ in range(round(seconds / dt_s)):
        m.step(dt_s, Reading(f_hz=50.0 + rise_hz_s * (m.t_s + dt_s)))
        shown.append(m.shown.f_hz)
    return shown


def test_registers_change_at_the_meters_own_pace() -> None:
    shown = run(meter(refresh_s=0.1), 1.0)
    assert sum(a != b for a, b in pairwise(shown)) == pytest.approx(10, abs=1)


def test_latency_shows_the_past() -> None:
    assert run(meter(refresh_s=0.01, latency_s=0.3), 1.0)[-1] == pytest.approx(50.7)


def test_no_latency_shows_the_present() -> None:
    assert run(meter(refresh_s=0.01), 1.0)[-1] == pytest.approx(51.0)


@pytest.mark.parametrize(("resolution", "expected"), [(0.001, 50.123), (0.01, 50.12), (0.1, 50.1), (0.0, 50.12345)])
def test_resolution(resolution: float, expected: float) -> None:
    m = meter(refresh_s=0.01, resolution={"f_hz": resolution})
    m.step(0.01, Reading(f_hz=50.12345))
    assert m.shown.f_hz == pytest.approx(expected, abs=1e-9)


def test_noise_has_the_deviation_asked_for_and_no_offset() -> None:
    seen = run(meter(refresh_s=0.01, noise={"f_hz": 0.002}), 40.0, rise_hz_s=0.0)
    assert fmean(seen) == pytest.approx(50.0, abs=2e-4)
    assert pstdev(seen) == pytest.approx(0.002, rel=0.1)


def test_one_seed_gives_one_series() -> None:
    assert run(Meter(seed=7), 1.0) == run(Meter(seed=7), 1.0)
    assert run(Meter(seed=7), 1.0) != run(Meter(seed=8), 1.0)


def test_by_default_no_two_seconds_look_frozen() -> None:
    shown = []
    m = Meter()
    for _ in range(1000):
        if m.step(0.01, Reading(50.0, 230.0, p_w=1000.0)):
            shown.append(m.shown)
    assert all(a != b for a, b in zip(shown, shown[20:], strict=False))


def test_a_phase_that_is_not_wired_shows_zero() -> None:
    m = Meter(refresh_s=0.01)
    m.step(0.01, Reading(50.0, 230.0))
    assert (m.shown.v2_v, m.shown.v3_v) == (0.0, 0.0)


def test_energies_count_each_direction_for_itself() -> None:
    m = meter(refresh_s=1.0)
    for p_w, q_var in ((3600.0, 360.0), (3600.0, -720.0), (-1800.0, 0.0)):
        m.step(1.0, Reading(p_w=p_w, q_var=q_var))
    e = m.energy
    assert (e.export_wh, e.import_wh, e.export_varh, e.import_varh) == pytest.approx((2.0, 0.5, 0.1, 0.2))


def test_the_whole_is_the_sum_of_the_phases_that_are_shown() -> None:
    m = Meter(refresh_s=0.01)
    m.step(0.01, Reading(50.0, 230.0, 230.0, 230.0, p_w=-3000.0, phases=((-5000.0, 0.0), (2000.0, 0.0), (0.0, 0.0))))
    powers = [p_w for p_w, _ in m.shown.phases]
    assert powers == pytest.approx([-5000.0, 2000.0, 0.0], abs=10.0)
    assert m.shown.p_w == pytest.approx(sum(powers))


def test_a_late_step_skips_refreshes_and_does_not_catch_up() -> None:
    m = meter(refresh_s=0.1)
    m.step(0.01, Reading())
    assert m.step(1.0, Reading())
    assert not m.step(0.01, Reading())
