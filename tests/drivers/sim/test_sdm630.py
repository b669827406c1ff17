"""The simulated meter's registers against the manual's table and hand-made IEEE 754 words."""

from __future__ import annotations

from math import nan

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


def test_every_word_is_a_word() -> None:
    words = registers(READING, 3)
    assert len(words) == SIZE
    assert all(0 <= w <= 0xFFFF for w in words)


def test_not_a_number_is_a_float_nan_on_the_wire() -> None:
    words = registers(Reading(*[nan] * 10))
    for at in (0, 52, 60, 70):
        assert words[at] & 0x7F80 == 0x7F80  # exponent all ones
        assert words[at] & 0x007F or words[at + 1]  # and a fraction: not infinity
