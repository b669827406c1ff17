"""Settings: every number has a unit, a range and a clause, and what is outside is refused with all of them."""

from __future__ import annotations

import math
import re
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cython_core.settings import (
    DefaultWishSettings,
    EnterServiceSettings,
    FreqDroopSettings,
    FrequencyTripSettings,
    LimitSettings,
    RatingSettings,
    SettingError,
    Settings,
    SiteLimitSettings,
    VoltageTripSettings,
    VoltVarSettings,
    VoltWattSettings,
    WattVarSettings,
    decay,
    digest,
    to_mapping,
)

GROUPS = {f.name: type(getattr(Settings(), f.name)) for f in fields(Settings)}
NUMBERS = [(g, f) for g, t in GROUPS.items() for f in fields(t) if "low" in f.metadata]
CHOICES = [(g, f) for g, t in GROUPS.items() for f in fields(t) if "choices" in f.metadata]
SWITCHES = [(g, f) for g, t in GROUPS.items() for f in fields(t) if not {"low", "choices"} & set(f.metadata)]


def name_of(entry: Any) -> str:
    return entry if isinstance(entry, str) else entry.name


def test_every_setting_says_unit_and_clause_and_its_default_is_allowed() -> None:
    for name, group in GROUPS.items():
        for f in fields(group):
            assert f.metadata["unit"], f"{name}.{f.name}"
            assert f.metadata["clause"], f"{name}.{f.name}"
    for _, f in NUMBERS:
        assert f.metadata["low"] <= f.default <= f.metadata["high"], f.name


@pytest.mark.parametrize(("group", "f"), NUMBERS, ids=name_of)
def test_outside_its_range_a_number_is_refused_with_the_range(group: str, f: Any) -> None:
    low, high = f.metadata["low"], f.metadata["high"]
    for value in (math.nextafter(low, -math.inf), math.nextafter(high, math.inf), math.nan, math.inf, -math.inf):
        with pytest.raises(SettingError) as refused:
            GROUPS[group](**{f.name: value})
        assert f"{f.name} = {value} is outside {low} ... {high} {f.metadata['unit']}" in str(refused.value)
        assert f.metadata["clause"] in str(refused.value)


@pytest.mark.parametrize(("group", "f"), NUMBERS, ids=name_of)
@pytest.mark.parametrize("value", ["50e3", "1.0", True, None, [1.0]])
def test_what_is_no_number_is_refused(group: str, f: Any, value: Any) -> None:
    with pytest.raises(SettingError, match=rf"{f.name} = .* is not a number"):
        GROUPS[group](**{f.name: value})


@pytest.mark.parametrize(("group", "f"), SWITCHES, ids=name_of)
@pytest.mark.parametrize("value", ["on", 1, 0.0, None])
def test_a_switch_is_true_or_false(group: str, f: Any, value: Any) -> None:
    with pytest.raises(SettingError, match=f"{f.name} = .* is not true or false"):
        GROUPS[group](**{f.name: value})


@pytest.mark.parametrize(("group", "f"), CHOICES, ids=name_of)
@pytest.mark.parametrize("value", ["none", "", True, 1.0, None])
def test_a_choice_is_one_of_its_words(group: str, f: Any, value: Any) -> None:
    with pytest.raises(SettingError, match=rf"{f.name} = .* is not one of {re.escape(f.metadata['unit'])}"):
        GROUPS[group](**{f.name: value})


# IEEE 1547-2018, Category B and III, from the standard's tables and not from the code
# fmt: off
STANDARD = [
    # setting                            default  low     high    why
    ("freq_droop.db_uf_hz",              0.036,   0.017,  1.0,    "Table 24"),
    ("freq_droop.db_of_hz",              0.036,   0.017,  1.0,    "Table 24"),
    ("freq_droop.k_uf",                  0.05,    0.02,   0.05,   "Table 24, Category III"),
    ("freq_droop.k_of",                  0.05,    0.02,   0.05,   "Table 24, Category III"),
    ("freq_droop.t_response_s",          5.0,     0.2,    10.0,   "Table 24, Category III"),
    ("volt_var.v1_pu",                   0.92,    0.82,   0.98,   "Table 8, Category B: V_Ref - 0.18 ... V2 - 0.02"),
    ("volt_var.v2_pu",                   0.98,    0.97,   1.0,    "Table 8, Category B: V_Ref - 0.03 ... V_Ref"),
    ("volt_var.v3_pu",                   1.02,    1.0,    1.03,   "Table 8, Category B: V_Ref ... V_Ref + 0.03"),
    ("volt_var.v4_pu",                   1.08,    1.02,   1.18,   "Table 8, Category B: V3 + 0.02 ... V_Ref + 0.18"),
    ("volt_var.q1_pu",                   0.44,    0.0,    1.0,    "Table 8, Category B"),
    ("volt_var.q4_pu",                  -0.44,   -1.0,    0.0,    "Table 8, Category B"),
    ("volt_var.olrt_s",                  5.0,     1.0,    90.0,   "Table 8, Category B"),
    ("volt_var.v_ref_pu",                1.0,     0.95,   1.05,   "Table 8"),
    ("active_limit.limit_pu",            1.0,     0.0,    1.0,    "4.6.2"),
]
SWITCHED = [
    ("freq_droop", True,  "droop is on by default: switching it off needs the authority"),
    ("volt_watt",  False, "volt-watt is off by default"),
    ("active_limit", False, "no limit by default"),
]
RELATED = [
    # group, values                                     message                 why
    (VoltVarSettings, {"v1_pu": 0.97},                  "do not rise",          "V1 less than 0.02 below V2"),
    (VoltVarSettings, {"v4_pu": 1.03},                  "do not rise",          "V4 less than 0.02 above V3"),
    (VoltVarSettings, {"v2_pu": 1.03, "v3_pu": 1.02},   "is outside 0.97",      "V2 above V_Ref"),
    (VoltWattSettings, {"v1_pu": 1.09, "v2_pu": 1.095}, r"below v1_pu \+ 0.01",  "volt-watt too steep"),
    (WattVarSettings, {"p1_pu": 0.45},                  "do not rise",          "P1 nearer than 0.1 to P2"),
    (WattVarSettings, {"p3_load_pu": -0.55},            "do not fall",          "P'3 nearer than 0.1 to P'2"),
    (VoltVarSettings, {"v2_pu": 1.0, "v3_pu": 1.0, "q2_pu": 0.1}, "needs q2_pu = q3_pu", "a cliff"),
    (WattVarSettings, {"p1_pu": 0.0, "p1_load_pu": 0.0, "q1_pu": -0.1, "q2_pu": -0.1}, "needs q1_pu = q1", "a cliff"),
    (WattVarSettings, {"q2_pu": 0.1},                   "not monotone",         "up and down again"),
    (EnterServiceSettings, {"random_s": 10.0},          "one of them",          "ramp and random delay together"),
    (EnterServiceSettings, {"ramp_s": 0.5},             "neither 0 nor 1",      "half a second is no ramp"),
    (VoltageTripSettings, {"uv1_pu": 0.4},              "does not hold",        "UV1 below UV2"),
    (FrequencyTripSettings, {"of1_hz": 63.0},           "does not hold",        "OF1 above OF2"),
    (SiteLimitSettings, {"share_l2_pu": 0.5},           "is not 1",             "half as much again as there is"),
    (VoltVarSettings, {"q2_pu": -0.1},                  "does not hold",        "Q2 below Q3"),
    (VoltVarSettings, {"q1_pu": 0.1, "q2_pu": 0.2},     "does not hold",        "Q1 below Q2"),
    (LimitSettings, {"soc_min_pu": 0.95},               "is not below",         "battery limits meet"),
    (RatingSettings, {"f_nom_hz": 55.0},                "neither 50 nor 60 Hz", "no such grid"),
]
A, II, FIFTY = {"normal_category": "A"}, {"abnormal_category": "II"}, {"f_nom_hz": 50.0}
VV, ABSORB = {"mode": "volt_var"}, {"pf": 0.9, "excitation": "absorb"}
WHOLE = [
    # settings, message, why
    ({"volt_var": {"q1_pu": 0.5}, "reactive": VV},          "volt_var.q1_pu = 0.5 .* 0.44",           "Q1 of 0.5"),
    ({"power_factor": {"pf": 0.85}},                        "needs 0.527 pu",                         "PF 0.85"),
    ({"power_factor": ABSORB, "rating": A},                 "of 0.25 there",                          "A absorbs less"),
    ({"freq_droop": {"k_of": 0.02}, "rating": II},          "freq_droop.k_of = 0.02 is outside 0.03", "II"),
    ({"freq_droop": {"t_response_s": 0.5}, "rating": II},   "t_response_s = 0.5 is outside 1 ... 10", "II: slower"),
    ({"enter_service": {"f_low_hz": 59.5}, "rating": FIFTY}, r"outside 49 \.\.\. 49.9 .*-10 Hz",      "50 Hz"),
    ({"voltage_trip": {"owner": "controller"}},             "needs enter_service.owner",              "no way back"),
]
# fmt: on


@pytest.mark.parametrize(("groups", "message", "why"), WHOLE, ids=[c[-1] for c in WHOLE])
def test_groups_that_do_not_fit_together(groups: dict[str, Any], message: str, why: str) -> None:
    with pytest.raises(SettingError, match=message):
        pytest.fail(f"{why}: {Settings.from_mapping(groups)}")


def test_defaults_follow_the_category_and_the_grid() -> None:
    one = Settings.from_mapping({"rating": {"normal_category": "A", "abnormal_category": "II", "f_nom_hz": 50}})
    assert (one.volt_var.v1_pu, one.volt_var.v2_pu, one.volt_var.q4_pu, one.volt_var.olrt_s) == (0.9, 1.0, -0.25, 10.0)
    assert (one.rating.q_absorb_pu, one.watt_var.q3_pu) == (0.25, -0.25)
    assert (one.voltage_trip.uv1_pu, one.voltage_trip.uv1_s, one.voltage_trip.ov1_s) == (0.7, 10.0, 2.0)
    assert (one.frequency_trip.of1_hz, one.frequency_trip.uf2_hz, one.enter_service.f_high_hz) == (51.2, 46.5, 50.1)


@pytest.mark.parametrize(("name", "default", "low", "high", "why"), STANDARD, ids=[c[0] for c in STANDARD])
def test_defaults_and_ranges_of_the_standard(name: str, default: float, low: float, high: float, why: str) -> None:
    group, key = name.split(".")
    (f,) = (f for f in fields(GROUPS[group]) if f.name == key)
    assert (f.default, f.metadata["low"], f.metadata["high"]) == (default, low, high), why


@pytest.mark.parametrize(("group", "on", "why"), SWITCHED, ids=[c[-1] for c in SWITCHED])
def test_what_is_on_by_default(group: str, on: bool, why: str) -> None:
    assert getattr(Settings(), group).enable is on, why


@pytest.mark.parametrize(("group", "values", "message", "why"), RELATED, ids=[c[-1] for c in RELATED])
def test_settings_that_do_not_fit_together(group: type[Any], values: dict[str, Any], message: str, why: str) -> None:
    with pytest.raises(SettingError, match=message):
        pytest.fail(f"{why}: {group(**values)}")


# --- mappings ---


def test_a_mapping_and_back_loses_nothing() -> None:
    settings = Settings(
        freq_droop=FreqDroopSettings(k_of=0.031), default_wish=DefaultWishSettings(charge_w=1234.5, soc_target_pu=0.7)
    )
    assert Settings.from_mapping(to_mapping(settings)) == settings
    assert Settings.from_mapping({}) == Settings()


def test_a_whole_number_becomes_a_number() -> None:
    value = Settings.from_mapping({"rating": {"p_rated_w": 5000}}).rating.p_rated_w
    assert (value, type(value)) == (5000.0, float)


# fmt: off
UNKNOWN = [
    # mapping                            message                                                 why
    ({"freq_drop": {}},                  "unknown group 'freq_drop'; known: rating, freq_droop", "a group misspelt"),
    ({"freq_droop": {"k_off": 0.04}},    "unknown key 'k_off'; known: db_of_hz, db_uf_hz",       "a key misspelt"),
    ({"freq_droop": {"k_of": "0.04"}},   "k_of = '0.04' is not a number",                        "a text"),
    ({"freq_droop": {"k_of": 0.06}},     r"k_of = 0.06 is outside 0.02 ... 0.05 pu/pu",          "out of range"),
]
# fmt: on


@pytest.mark.parametrize(("mapping", "message", "why"), UNKNOWN, ids=[c[-1] for c in UNKNOWN])
def test_a_wrong_mapping_is_refused(mapping: dict[str, Any], message: str, why: str) -> None:
    with pytest.raises(SettingError, match=message):
        pytest.fail(f"{why}: {Settings.from_mapping(mapping)}")


# --- the name of all settings ---


FIXED = {"ov2_pu of voltage_trip", "ov2_s of voltage_trip", "p1_pu of volt_watt"}  # the standard leaves no choice
# what has to move along: who trips decides the return; a curve that may be changed at each of its points
ALSO: list[dict[str, Any]] = [
    {},
    {"enter_service": {"owner": "controller"}},
    {"enter_service": {"ramp_s": 0.0}},
    {"watt_var": {"q2_load_pu": 0.3, "q1_load_pu": 0.2, "q1_pu": 0.1, "q2_pu": -0.1}},
    {"watt_var": {"q2_load_pu": 0.3, "q1_load_pu": 0.2, "q1_pu": -0.1, "q2_pu": -0.2}},
]


def changed(group: str, f: Any) -> Settings:
    """The defaults with one setting a little different."""
    low, high = f.metadata.get("low", 0.0), f.metadata.get("high", 0.0)
    near: list[Any]
    if "low" in f.metadata:
        near = [f.default + 0.001 * (high - low), f.default - 0.001 * (high - low), 50.0]
    else:
        near = [w for w in f.metadata["choices"] if w != f.default] if "choices" in f.metadata else [not f.default]
    for value in near:
        for also in ALSO:
            try:
                return Settings.from_mapping({**also, group: {**also.get(group, {}), f.name: value}})
            except SettingError:
                continue
    raise AssertionError(f"{f.name} cannot be changed")


def test_the_digest_sees_every_single_setting() -> None:
    reference = Settings()
    free = [(g, f) for g, f in [*NUMBERS, *SWITCHES, *CHOICES] if f"{f.name} of {g}" not in FIXED]
    seen = {digest(changed(group, f), 10_000_000) for group, f in free}
    assert len(seen) == len(free)
    assert digest(reference, 10_000_000) not in seen
    assert digest(reference, 10_000_000) == digest(Settings(), 10_000_000)
    assert digest(reference, 20_000_000) != digest(reference, 10_000_000)


# --- what is left of a lag ---

# fmt: off
DECAY = [
    # t_s    t90_s   left       why
    (0.0,    5.0,    1.0,       "no time"),
    (5.0,    5.0,    0.1,       "90 % of the way at the response time"),
    (10.0,   5.0,    0.01,      "99 % at twice"),
    (2.5,    5.0,    10**-0.5,  "68 % at half"),
    (0.01,   90.0,   10**(-0.01 / 90), "the smallest step of the slowest lag"),
    (0.1,    0.2,    10**-0.5,  "the largest of the quickest"),
    (1e9,    0.2,    0.0,       "for ever"),
]
# fmt: on


@pytest.mark.parametrize(("t_s", "t90_s", "left", "why"), DECAY, ids=[c[-1] for c in DECAY])
def test_decay(t_s: float, t90_s: float, left: float, why: str) -> None:
    assert decay(t_s, t90_s) == pytest.approx(left, rel=1e-13, abs=1e-300), why


@given(t_s=st.floats(0.0, 100.0), t90_s=st.floats(0.2, 90.0))
def test_decay_is_the_power_of_ten_without_libm(t_s: float, t90_s: float) -> None:
    assert decay(t_s, t90_s) == pytest.approx(10.0 ** (-t_s / t90_s), rel=1e-11)
