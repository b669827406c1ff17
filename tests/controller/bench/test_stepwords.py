"""A step in words: the file's own before the numbers, its formulas only where it has none."""

from dataclasses import replace

import pytest

from controller.bench.plan import Eut
from tests.controller.bench.golden import EUT, cases

THREE = replace(EUT, phases=3)
# fmt: off
WORDS = [
    # unit   procedure              case                  step         words
    (EUT,   "volt_var",             "char_1-discharge-100", "h",       "V3 + a_V: 1.035 pu (248.40 V)"),
    (EUT,   "voltage_trip",         "OV2-min-min-all",    "inside-1",  "2 MRA inside the setting: 1.18 pu (283.20 V)"),
    (THREE, "voltage_trip",         "OV2-min-min-L1",     "beyond-1",
     "2 MRA beyond the setting: L1 1.22 pu (292.80 V); L2 1 pu (240.00 V); L3 1 pu (240.00 V)"),
    (EUT,   "frequency_trip",       "OF2-min-min",        "edge-1",    "2 MRA inside the setting: 61.78 Hz"),
    (EUT,   "limit_active_power",   "66",                 "c",         "L: limit 0.66 pu"),
    (EUT,   "limit_active_power",   "66",                 "b",         "no limit"),
    (EUT,   "enter_service",        "1",                  "h",         "permit service on"),
    (EUT,   "frozen_meter",         "",                   "back",      "hold"),
]
# fmt: on


@pytest.mark.parametrize(("unit", "procedure", "case", "step", "words"), WORDS, ids=[row[-1] for row in WORDS])
def test_words(unit: Eut, procedure: str, case: str, step: str, words: str) -> None:
    found = cases(procedure, unit)[f"{procedure}-{case}".rstrip("-")]
    assert next(one.what for one in found.steps if one.name == step) == words
