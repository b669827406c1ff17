"""The adapter to OpenDER: what goes in, what is refused, what it leaves alone."""

from __future__ import annotations

import logging
from importlib.util import find_spec
from typing import Any

import pytest

from cython_core.records import NAN, DeviceState, Measurement, MeasurementValid, Order, State, Wish
from tests.cython_core.unit import settings
from tests.need import missing
from tests.peers.opender import INSTALL, Peer, file_of, phases

V, F = MeasurementValid.V1, MeasurementValid.F


@pytest.fixture(autouse=True, scope="module")
def _present() -> None:
    if find_spec("opender") is None:
        missing("EPRI's OpenDER", INSTALL)


def meter(v1: float, v2: float = NAN, v3: float = NAN, f_hz: float = 60.0) -> Measurement:
    bits = sum(bit for bit, v in zip((1, 2, 4), (v1, v2, v3), strict=True) if v == v)
    return Measurement(valid=int(F) | bits * int(V), f_hz=f_hz, v1_v=v1, v2_v=v2, v3_v=v3)


# fmt: off
PHASES = [
    # volts,                  pu of 230 V,        why
    ((230.0, NAN, NAN),       [1.0, 1.0, 1.0],    "one phase stands for all"),
    ((207.0, 253.0, NAN),     [0.9, 1.1, 1.0],    "of two, the third is the mean: mean and worst stay"),
    ((230.0, 207.0, 253.0),   [1.0, 0.9, 1.1],    "three as they are"),
]
NAMES: list[tuple[str, Any, dict[str, Any], str]] = [
    # attribute, value, settings, why
    ("NP_P_MIN_PU",                  -0.8,       {},                                      "8 kW in, 10 kW out"),
    ("NP_Q_MAX_INJ",                 4400.0,     {},                                      "0.44 of 10 kVA, in var"),
    ("NP_APPARENT_POWER_CHARGE_MAX", 10000.0,    {},                                      "0: as for discharging"),
    ("PF_KUF",                       0.03,       {"freq_droop": {"k_uf": 0.03}},          "PF_ is power-frequency"),
    ("CONST_PF",                     0.95,       {"power_factor": {"pf": 0.95}},          "CONST_PF is power factor"),
    ("QV_MODE_ENABLE",               True,       {"volt_var": {}},                        "one mode"),
    ("CONST_PF_MODE_ENABLE",         False,      {"volt_var": {}},                        "and no other"),
    ("UV1_TRIP_V",                   0.0,        {},                                      "not ours: out of reach"),
    ("OF1_TRIP_T",                   1e12,       {},                                      "not ours: out of reach"),
    ("MC_ENABLE",                    False,      {},                                      "not ours"),
    ("NP_BESS_P_RAMP_TIME",          5.0,        {"limits": {"ramp_pu_s": 0.2}},          "s from 0 to rated"),
]
# fmt: on


@pytest.mark.parametrize(("volts", "expected", "why"), PHASES, ids=[row[-1] for row in PHASES])
def test_phases(volts: tuple[float, float, float], expected: list[float], why: str) -> None:
    assert phases(meter(*volts), 230.0) == pytest.approx(expected)


@pytest.mark.parametrize(("name", "value", "groups", "why"), NAMES, ids=[row[0] for row in NAMES])
def test_attribute(name: str, value: Any, groups: dict[str, Any], why: str) -> None:
    assert getattr(file_of(settings(**groups)), name) == pytest.approx(value)


def test_a_step_takes_wish_and_order_and_keeps_the_wish() -> None:
    peer = Peer(settings(limits={"ramp_pu_s": 10.0}, active_limit={"ramp_time_s": 0.1}), 0.1)
    wish = Wish(source=7, lo_w=-8000.0, hi_w=6000.0, p_w=7000.0)
    order = Order(ap_limit_pu=0.5)
    assert peer.step(0, meter(230.0), DeviceState()).p_cmd_w == pytest.approx(0.0)
    assert peer.step(1, meter(230.0), DeviceState(), None, wish).p_cmd_w == pytest.approx(6000.0)
    assert peer.step(2, meter(230.0), DeviceState(), order).p_cmd_w == pytest.approx(5000.0)
    assert peer.step(3, meter(230.0), DeviceState()).p_cmd_w == pytest.approx(6000.0)


def test_permit_off_takes_it_out_of_service() -> None:
    peer = Peer(settings(), 0.1)
    answer = peer.step(1, meter(230.0), DeviceState(), Order(permit=0), Wish(p_w=5e3, lo_w=0.0, hi_w=5e3))
    assert (answer.p_cmd_w, answer.q_cmd_var, answer.state) == (0.0, 0.0, State.TRIPPED)


def test_two_units_with_their_own_time_steps() -> None:
    """The time step is one number for all of OpenDER: each unit sets its own."""
    slow, quick = (Peer(settings(volt_var={}), period_s) for period_s in (1.0, 0.01))
    slow_var = [slow.run(1.08, 60.0, 0.0)[1] for _ in range(3) if quick.run(1.0, 60.0, 0.0)]
    alone = Peer(settings(volt_var={}), 1.0)
    assert slow_var == [alone.run(1.08, 60.0, 0.0)[1] for _ in range(3)]


@pytest.mark.parametrize("reading", [Measurement(valid=int(F), f_hz=60.0), Measurement(valid=int(V), v1_v=230.0)])
def test_a_missing_reading_is_refused(reading: Measurement) -> None:
    with pytest.raises(ValueError, match="voltage or frequency"):
        Peer(settings(), 0.1).step(1, reading, DeviceState())


def test_50_hz_is_refused() -> None:
    with pytest.raises(ValueError, match="60 Hz only"):
        Peer(settings(rating={"f_nom_hz": 50.0}), 0.1)


def test_it_leaves_logging_as_it_was() -> None:
    before = logging.root.manager.disable
    Peer(settings(), 0.1)
    assert logging.root.manager.disable == before
