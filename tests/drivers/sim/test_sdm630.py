"""The simulated meter's registers against the manual's table and hand-made IEEE 754 words."""

from __future__ import annotations

from math import nan
from struct import pack, unpack

import pytest

from drivers.sim.metering import Reading
from drivers.sim.sdm630 import SIZE, registers

READING = Reading(
    f_hz=49.99, v1_v=230.0, v2_v=231.0, v3_v=229.0, p_w=-2000.0, q_var=600.0, import_wh=1500.0, export_wh=250.0
)

# fmt: off
WORDS = [
    # at   phases  words              why
    (70,   1,      [0x4247, 0xF5C3],  "49.99 Hz"),
    (0,    1,      [0x4366, 0x0000],  "230 V"),
    (2,    1,      [0x0000, 0x0000],  "L2 of a single phase meter: 0"),
    (2,    3,      [0x4367, 0x0000],  "231 V"),
    (52,   1,      [0x44FA, 0x0000],  "charging is import: + 2000 W"),
    (60,   1,      [0xC416, 0x0000],  "Q into the grid: - 600 var"),
    (72,   1,      [0x3FC0, 0x0000],  "1.5 kWh import"),
    (74,   1,      [0x3E80, 0x0000],  "0.25 kWh export"),
    (342,  1,      [0x3FE0, 0x0000],  "1.75 kWh together"),
    (12,   2,      [0x447A, 0x0000],  "half of the power on each leg: 1000 W"),
    (36,   1,      [0x0000, 0x0000],  "between the listed registers: 0"),
]
# fmt: on


@pytest.mark.parametrize(("at", "phases", "words", "why"), WORDS, ids=[c[-1] for c in WORDS])
def test_words(at: int, phases: int, words: list[int], why: str) -> None:
    assert registers(READING, phases)[at : at + 2] == words


HOUSE = Reading(
    f_hz=50.0, v1_v=230.0, v2_v=230.0, v3_v=230.0, p_w=-3000.0, q_var=400.0,
    phases=((-5000.0, 0.0), (1600.0, 1200.0), (400.0, -800.0)),
)  # fmt: skip

# fmt: off
OF_PHASES = [
    # at   value      why
    (12,   5000.0,    "L1 draws 5 kW: import is +"),
    (14,   -1600.0,   "L2 feeds in"),
    (16,   -400.0,    "L3 feeds in a little"),
    (6,    21.73913,  "5000 VA / 230 V"),
    (8,    8.695652,  "hypot(1600, 1200) = 2000 VA: a current has no direction"),
    (24,   0.0,       "Q of L1"),
    (26,   -1200.0,   "Q of L2 into the grid"),
    (52,   3000.0,    "the total is the reading's own"),
    (60,   -400.0,    "and so is Q"),
    (30,   1.0,       "power factor of L1"),
    (32,   -0.8,      "of L2: 1600 of 2000 VA, feeding in"),
]
# fmt: on


@pytest.mark.parametrize(("at", "value", "why"), OF_PHASES, ids=[c[-1] for c in OF_PHASES])
def test_each_phase_of_a_house_has_its_own(at: int, value: float, why: str) -> None:
    words = registers(HOUSE, 3)
    (shown,) = unpack(">f", pack(">2H", *words[at : at + 2]))
    assert shown == pytest.approx(value, rel=1e-6)


def test_every_word_is_a_word() -> None:
    words = registers(READING, 3)
    assert len(words) == SIZE
    assert all(0 <= w <= 0xFFFF for w in words)


def test_not_a_number_is_a_float_nan_on_the_wire() -> None:
    words = registers(Reading(*[nan] * 10))
    for at in (0, 52, 60, 70):
        assert words[at] & 0x7F80 == 0x7F80  # exponent all ones
        assert words[at] & 0x007F or words[at + 1]  # and a fraction: not infinity
