"""The second statement of frequency-droop against the standard's own numbers, and against the core's."""

import numpy as np
import pytest

from controller.response.formula import expected_dp_pu, open_loop
from cython_core.functions.freq_droop import FreqDroop
from cython_core.settings import Settings

# over and under differ on purpose: a swap must show
UNEQUAL = Settings.from_mapping({"freq_droop": {"db_of_hz": 0.04, "k_of": 0.05, "db_uf_hz": 0.02, "k_uf": 0.04}})
DEFAULT = Settings()

# fmt: off
CASES = [
    # settings  f_hz    dp_pu       why
    (DEFAULT,   60.000,  0.0,       "nominal"),
    (DEFAULT,   60.036,  0.0,       "the edge belongs to the dead band"),
    (DEFAULT,   60.050, -0.0046667, "0.014 / (60 x 0.05): the dead band is subtracted, no jump"),
    (DEFAULT,   60.500, -0.1546667, "0.464 / 3"),
    (DEFAULT,   59.000,  0.3213333, "0.964 / 3"),
    (DEFAULT,   58.500,  0.4880000, "1.464 / 3"),
    (UNEQUAL,   60.340, -0.1,       "0.30 / (60 x 0.05)"),
    (UNEQUAL,   59.740,  0.1,       "0.24 / (60 x 0.04)"),
]
# fmt: on


@pytest.mark.parametrize(("settings", "f_hz", "dp_pu", "why"), CASES, ids=[f"{c[1]} {c[3]}" for c in CASES])
def test_static_answer(settings: Settings, f_hz: float, dp_pu: float, why: str) -> None:
    assert expected_dp_pu([f_hz], settings)[0] == pytest.approx(dp_pu, abs=1e-6), why


def test_disabled_droop_asks_for_nothing() -> None:
    off = Settings.from_mapping({"freq_droop": {"enable": False}})
    assert expected_dp_pu([58.0, 60.0, 61.9], off).tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("settings", [DEFAULT, UNEQUAL], ids=["default", "unequal"])
def test_the_core_says_the_same_at_every_millihertz(settings: Settings) -> None:
    f_hz = np.linspace(57.0, 63.0, 6001)
    core = [FreqDroop(settings).formula(f) for f in f_hz]
    assert expected_dp_pu(f_hz, settings) == pytest.approx(core, abs=1e-12)


# y(t) = 1 - 10 ** (-t / 5): reference values of the open-loop response
@pytest.mark.parametrize(("t_s", "y"), [(0.0, 0.0), (2.5, 0.6837722), (5.0, 0.9), (10.0, 0.99)])
def test_a_step_through_the_lag(t_s: float, y: float) -> None:
    lag = open_loop(np.array([0], dtype=np.int64), np.array([1.0]), t90_s=5.0)
    assert lag.at([round(t_s * 1e9)])[0] == pytest.approx(y, abs=1e-6)


def test_the_lag_does_not_care_how_often_it_is_driven() -> None:
    dense_ns = np.arange(0, 10_000_000_000, 37_000_000, dtype=np.int64)
    sparse = open_loop(np.array([0], dtype=np.int64), np.array([1.0]), t90_s=5.0)
    dense = open_loop(dense_ns, np.ones(len(dense_ns)), t90_s=5.0)
    at = [1_000_000_007, 9_999_000_000]
    assert dense.at(at) == pytest.approx(sparse.at(at), abs=1e-12)
