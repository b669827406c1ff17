"""EPRI's common file format: nothing is lost either way, and what is not understood is refused with the reason."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from cython_core.epri import KEPT, NAMES, from_epri, from_share, groups_from, to_epri, without_name
from cython_core.settings import SettingError, Settings, to_mapping
from tests.cython_core.strategies import settings

# the lines of EPRI's own example, https://github.com/epri-dev/OpenDER, "AS-with std-values.csv": 1547 defaults, 100 kW
EXAMPLE: dict[str, Any] = {
    "NP_P_MAX": 100000,
    "NP_VA_MAX": 100000,
    "NP_NORMAL_OP_CAT": "CAT_B",
    "NP_ABNORMAL_OP_CAT": "CAT_III",
    "NP_Q_MAX_INJ": 44000,
    "NP_Q_MAX_ABS": 44000,
    "NP_P_MAX_CHARGE": 100000,
    "NP_APPARENT_POWER_CHARGE_MAX": 100000,
    "NP_AC_V_NOM": 240,
    "NP_MANUFACTURER": "ACME DER Incorporated",
    "ES_DELAY-AS": "300",
    "ES_RANDOMIZED_DELAY-AS": "0",
    "CONST_PF_MODE_ENABLE-AS": "DISABLED",
    "CONST_PF-AS": "0.9",
    "CONST_Q_MODE_ENABLE-AS": "DISABLED",
    "QV_MODE_ENABLE-AS": "DISABLED",
    "QP_MODE_ENABLE-AS": "DISABLED",
    "PF_KOF-AS": "0.05",
}


def test_the_published_example() -> None:
    s = from_epri(EXAMPLE)
    assert (s.rating.p_rated_w, s.rating.q_inject_pu, s.rating.normal_category) == (100000.0, 0.44, "B")
    assert s.reactive.mode == "off"  # all four flags are there and disabled
    assert s.power_factor.pf == 0.9
    assert s.enter_service.random_s == 0.0


def with_base_of(s: Settings, base: Settings) -> dict[str, Any]:
    """What an import must give: the settings that have a name from s, the others from base."""
    expected = to_mapping(s)
    for name in without_name():
        group, key = name.split(".")
        expected[group][key] = to_mapping(base)[group][key]
    return expected


@hypothesis_settings(max_examples=80, deadline=None)
@given(settings(f_nom=60))
def test_ours_to_epri_to_ours_keeps_every_setting_that_has_a_name(s: Settings) -> None:
    base = Settings()  # another unit's: all that has a name comes from the file
    assert to_mapping(from_epri(to_epri(s), base)) == with_base_of(s, base)


@hypothesis_settings(max_examples=25, deadline=None)
@given(settings(f_nom=None))
def test_with_the_unit_itself_as_base_everything_comes_back(s: Settings) -> None:
    assert from_epri(to_epri(s), s) == s


@hypothesis_settings(max_examples=40, deadline=None)
@given(settings(f_nom=60), st.data())
def test_epri_to_ours_to_epri_keeps_every_line(s: Settings, data: Any) -> None:
    lines = to_epri(s)
    kept = data.draw(st.sets(st.sampled_from(sorted(lines)), min_size=5))
    again = to_epri(from_epri({name: str(lines[name]) for name in kept}, s))
    assert {name: again[name] for name in kept} == {name: lines[name] for name in kept}


@given(st.floats(0.0, 1.0), st.floats(100.0, 1e6))
def test_a_share_in_var_comes_back_to_the_last_bit(share: float, whole: float) -> None:
    lines = {"NP_VA_MAX": whole, "NP_P_MAX": 7000, "NP_Q_MAX_ABS": from_share(share, whole)}
    assert from_epri({**lines, "CONST_PF_MODE_ENABLE": "ENABLED"}).rating.q_absorb_pu == share


# fmt: off
SHARES = [
    # share  of     var       why
    (0.44,   7000,  3080.0,   "0.44 x 7000 is 3080.0000000000005 in floats: the shortest decimal is written"),
    (0.1,    3000,  300.0,    "0.1 x 3000 is 300.00000000000006"),
    (0.0,    5000,  0.0,      "none"),
]
# fmt: on


@pytest.mark.parametrize(("share", "whole", "var", "why"), SHARES, ids=[s[-1] for s in SHARES])
def test_shares_as_people_write_them(share: float, whole: float, var: float, why: str) -> None:
    assert from_share(share, whole) == var


def test_every_name_is_used_once_and_the_example_of_epri_is_known() -> None:
    assert len(NAMES) == len(set(NAMES.values()))
    assert not set(NAMES) & set(KEPT)


# fmt: off
REFUSED = [
    # line, in the complaint, why
    ({"PF_KOF": "0.5"}, "PF_KOF: k_of = 0.5 is outside 0.02 ... 0.05 pu/pu (6.5.2.7 Table 24)", "range"),
    ({"PF_KOF": "0.02", "NP_ABNORMAL_OP_CAT": "CAT_I"},
     "0.03 ... 0.05 pu/pu (6.5.2.7 Table 24, Category I)", "its category's range"),
    ({"PF_KFO": "0.05"}, "unknown name 'PF_KFO'; did you mean PF_K", "a slip of the pen"),
    ({"PF_KOF": "0,05"}, "PF_KOF = 0,05 is not a number: write a dot", "decimal comma"),
    ({"PF_KOF": ""}, "PF_KOF = nothing is not a number", "an empty cell"),
    ({"PF_KOF": "nan"}, "PF_KOF = nan is not a number", "not finite"),
    ({"NP_Q_MAX_INJ": "1e400"}, "NP_Q_MAX_INJ = inf var is outside 0 ...", "more than a float holds"),
    ({"ES_RAMP_RATE": "1e-400"}, "(inf s at 1e-400 %/s)", "less than a float holds"),
    ({"PF_MODE_ENABLE": "ON"}, "PF_MODE_ENABLE = ON is neither ENABLED nor DISABLED", "booleans are words"),
    ({"NP_P_MAX": "7"}, "looks like kW: this format has W, var and VA (write 7000)", "kW of older files"),
    ({"NP_NORMAL_OP_CAT": "C"}, "NP_NORMAL_OP_CAT = C is not one of CAT_A | CAT_B", "no such category"),
    ({"NP_Q_MAX_INJ": "8000", "NP_VA_MAX": "7000"},
     "NP_Q_MAX_INJ = 8000 var is outside 0 ... 7000 var", "more Q than S"),
    ({"QV_MODE_ENABLE": "ENABLED", "QP_MODE_ENABLE": "ENABLED"},
     "QV_MODE_ENABLE and QP_MODE_ENABLE are both ENABLED", "one mode at a time"),
    ({"QV_CURVE_V2": "0.97", "QV_CURVE_V1": "0.96"}, "do not rise by v1 + 0.02", "a curve that does not rise"),
    ({"QV_CURVE_Q2": "-0.1", "QV_CURVE_Q3": "0.1"},
     "q1_pu >= q2_pu >= q3_pu >= q4_pu does not hold", "a curve that rises"),
    ({"ES_RAMP_RATE": "0.333"}, "looks like %/s: here it is the time from 0 to rated (300.3003003", "results report"),
    ({"ES_RANDOMIZED_DELAY": "ENABLED"}, "how many seconds? 0 is none", "results report"),
    ({"UV3_TRIP_V": "0.5"}, "IEEE 1547-2018 has two undervoltage levels", "results report"),
    ({"UI_MODE_ENABLE": "ENABLED"}, "the inverter's own and cannot be set here", "results report"),
    ({"QV_OLRT-ER-MIN": "1"}, "an evaluated range of a test report", "results report"),
    ({"CONST_PF_INJ": "0.9", "CONST_PF_ABS": "0.95"}, "add a line CONST_PF_EXCITATION, INJ or ABS", "results report"),
    ({"NP_EFFICIENCY": "1"}, "a parameter of EPRI's simulation model", "OpenDER's own"),
    ({"QV_OLRT-AS": "5", "QV_OLRT-SS": "6"},
     "QV_OLRT-SS says again what QV_OLRT-AS says", "applied or specified, not both"),
]
TAKEN = [
    # line, group, key, value, why
    ({"QV_VREF_OLRT": "600"}, "volt_var", "v_ref_time_s", 600.0, "report label"),
    ({"QP_OLRT": "3"}, "watt_var", "response_s", 3.0, "report label"),
    ({"PV_CURVE_P2_GEN": "0.2"}, "volt_watt", "p2_pu", 0.2, "report label, generation only"),
    ({"PV_CURVE_P2_GEN": "0.2", "PV_CURVE_P2_LOAD": "-0.5"}, "volt_watt", "p2_pu", -0.5, "P'2 holds for storage"),
    ({"CONST_PF_ABS": "0.95"}, "power_factor", "excitation", "absorb", "report label"),
    ({"CONST_PF_INJ": "0.9", "CONST_PF_ABS": "0.95", "CONST_PF_EXCITATION": "ABS"},
     "power_factor", "pf", 0.95, "both, and which one"),
    ({"ES_RANDOMIZED_DELAY": "DISABLED"}, "enter_service", "random_s", 0.0, "report's word for none"),
    ({"NP_NORMAL_OP_CAT": "A"}, "volt_var", "v1_pu", 0.90, "defaults follow the category"),
    ({"QV_MODE_ENABLE-SS": "ENABLED"}, "reactive", "mode", "volt_var", "suffix SS"),
    ({"QV_MODE_ENABLE": "DISABLED"}, "reactive", "mode", "constant_pf", "silent about the base's mode"),
    ({"CONST_PF_MODE_ENABLE": "DISABLED"}, "reactive", "mode", "off", "the base's mode is switched off"),
]
# fmt: on


@pytest.mark.parametrize(("lines", "text", "why"), REFUSED, ids=[f"{c[-1]}: {next(iter(c[0]))}" for c in REFUSED])
def test_refused_with_name_value_range_and_clause(lines: dict[str, str], text: str, why: str) -> None:
    with pytest.raises(SettingError) as refused:
        from_epri(lines)
    assert text in str(refused.value)


@pytest.mark.parametrize(("lines", "group", "key", "value", "why"), TAKEN, ids=[c[-1] for c in TAKEN])
def test_taken(lines: dict[str, str], group: str, key: str, value: Any, why: str) -> None:
    assert to_mapping(from_epri(lines))[group][key] == value


def test_every_mistake_is_told_at_its_line() -> None:
    _, wrong = groups_from({"PF_KOF-AS": "0.5", "OV1_TRIP_V-AS": "1.3", "PF_KFO-AS": "1"})
    assert [fault.name for fault in wrong] == ["PF_KFO-AS"]  # a name that is not understood first
    _, wrong = groups_from({"PF_KOF-AS": "0.5", "OV1_TRIP_V-AS": "1.3"})
    assert [fault.name for fault in wrong] == ["PF_KOF-AS", "OV1_TRIP_V-AS"]


def test_the_charge_rating_is_left_out_when_it_is_the_other_one() -> None:
    """0 VA in a file would read as "cannot charge"."""
    s = Settings()
    assert "NP_APPARENT_POWER_CHARGE_MAX" not in to_epri(s)
    own = replace(s, rating=replace(s.rating, s_charge_rated_va=5000.0))
    assert to_epri(own)["NP_APPARENT_POWER_CHARGE_MAX"] == 5000.0
    assert from_epri(to_epri(s), own).rating.s_charge_rated_va == 0.0
