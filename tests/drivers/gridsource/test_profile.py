"""Profiles are read strictly: each mistake is one line with file, line and what is allowed."""

from __future__ import annotations

from importlib import resources

import pytest

from drivers.gridsource.point import GridPoint
from drivers.gridsource.profile import ProfileError, load_profile, parse_profile, profile_names, refusal

WHOLE = """\
profile: my-source
name: "Maker and series"
source: "Manual 1234, revision B"
proven: document
identity: "MAKER"
range_v: [0, 300]
range_hz: [45, 66]
set_1: ["VOLT {v1_v};:FREQ {f_hz}"]
on: ["OUTP ON"]
off: ["OUTP OFF"]
"""

# fmt: off
MISTAKES = [
    # replace, by, said, why
    ('off: ["OUTP OFF"]\n', "", "missing key 'off'", "it could never be made safe"),
    ('identity: "MAKER"', 'identity: "MAKER("', "x.yaml:5: identity is no regular", "bad pattern"),
    ("[0, 300]", "[300, 0]", "x.yaml:6: range_v = [300, 0] is empty", "limits swapped"),
    ("[45, 66]", "[45]", "x.yaml:7: range_hz holds 1 values", "one limit"),
    ("{v1_v}", "{volts}", "x.yaml:8: set_1: {volts} is no field", "a field of nobody's"),
    (";:FREQ {f_hz}", "", "x.yaml:8: set_1 lacks {f_hz}", "frequency would never be set"),
    ("VOLT {v1_v}", "VOLT {v1_v", "x.yaml:8: set_1:", "a brace left open"),
    ("OUTP ON", "OUTP {f_hz}", "x.yaml:9: on: {f_hz} is no field", "no values in on and off"),
    ('set_1: ["VOLT {v1_v};:FREQ {f_hz}"]\n', "", "neither set_1 nor set_3", "nothing can be set"),
    ("proven: document", "proven: bench", "x.yaml:4: proven = bench is not one of", "nobody proved it on a bench"),
    ("proven: document", "proven: document\nunproven: [x]", "while `unproven` lists what is not", "a contradiction"),
    ("profile: my-source", "profile: My Source", "x.yaml:1: profile = My Source is not", "names are file names"),
    ("on: [", "onn: [", "unknown key 'onn'", "a slip of the finger"),
]
# fmt: on


@pytest.mark.parametrize(("old", "new", "said", "why"), MISTAKES, ids=[c[-1] for c in MISTAKES])
def test_a_mistake_is_told_where_it_stands(old: str, new: str, said: str, why: str) -> None:
    text = WHOLE.replace(old, new)
    assert text != WHOLE
    with pytest.raises(ProfileError) as caught:
        parse_profile(text, "x.yaml")
    assert said in str(caught.value)


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(ProfileError) as caught:
        parse_profile(WHOLE.replace("{v1_v}", "{v}").replace("[0, 300]", "[300, 0]"), "x.yaml")
    assert [line.split(": ")[0] for line in str(caught.value).splitlines()] == ["x.yaml:6", "x.yaml:8"]


def test_the_shipped_profiles_and_the_template_are_right() -> None:
    names = ["california-instruments", "chroma-61500", "chroma-61800", "pacific-upc", "simulated"]
    assert profile_names() == names
    for name in names:
        profile = load_profile(name)
        assert profile.profile == name
        assert profile.range_v[0] <= 0.0, "ride-through goes down to 0 V"
    load_profile(str(resources.files("drivers.gridsource.profiles") / "TEMPLATE.yaml"))


def test_an_unknown_profile_names_the_known_ones() -> None:
    with pytest.raises(ProfileError, match="unknown profile 'chroma'; known: california-instruments, chroma-61500"):
        load_profile("chroma")


# fmt: off
ROUNDING = [
    # v         f         line                              why
    (248.4,     60.021,   "VOLT 248.40;:FREQ 60.021",       "10 mV and 1 mHz arrive"),
    (214.795,   57.0004,  "VOLT 214.79;:FREQ 57.000",       "no further digits (214.795 is a little less in binary)"),
    (0.0,       50.0,     "VOLT 0.00;:FREQ 50.000",         "down to nothing"),
    (239.9999,  59.9996,  "VOLT 240.00;:FREQ 60.000",       "rounded, not cut"),
]
# fmt: on


@pytest.mark.parametrize(("v", "f", "line", "why"), ROUNDING, ids=[c[-1] for c in ROUNDING])
def test_full_resolution(v: float, f: float, line: str, why: str) -> None:
    assert parse_profile(WHOLE, "x.yaml").frame("set_1", GridPoint(v, 0.0, 0.0, f)) == [line]


# fmt: off
ANGLES = [
    # angle   a2_deg   a3_deg   line                why
    ("lead",  -120.0,  120.0,   "PHAS 240.0,120.0", "L2 lags: 240 degrees ahead"),
    ("lag",   -120.0,  120.0,   "PHAS 120.0,240.0", "the same grid, counted the other way"),
    ("lead",  -126.59, 126.59,  "PHAS 233.4,126.6", "unbalanced case A without zero sequence"),
    ("lag",   0.0,     -0.04,   "PHAS 0.0,0.0",     "never 360.0"),
    ("lead",  -60.0,   120.0,   "PHAS 300.0,120.0", "one phase jumps by +60 degrees"),
]
# fmt: on


@pytest.mark.parametrize(("angle", "a2", "a3", "line", "why"), ANGLES, ids=[c[-1] for c in ANGLES])
def test_angles(angle: str, a2: float, a3: float, line: str, why: str) -> None:
    text = WHOLE + f'angle: {angle}\nangles_3: ["PHAS {{a2_deg}},{{a3_deg}}"]\n'
    point = GridPoint(240.0, 240.0, 240.0, 60.0, 0.0, a2, a3)
    assert parse_profile(text, "x.yaml").frame("angles_3", point) == [line]


# fmt: off
CLAIMS = [
    # profile                   accepted                  said
    ("simulated",               "",                       ""),
    ("pacific-upc",             "",                       "profile = pacific-upc is unverified"),
    ("pacific-upc",             "pacific-upc",            ""),
    ("pacific-upc",             "chroma-61500",           "accept_unverified = chroma-61500 is not the profile"),
    ("california-instruments",  "",                       "INST:COUP NONE: a public driver"),
]
# fmt: on


@pytest.mark.parametrize(("name", "accepted", "said"), CLAIMS)
def test_an_unverified_profile_needs_the_rigs_word(name: str, accepted: str, said: str) -> None:
    found = refusal(load_profile(name), accepted)
    assert said in found
    assert bool(found) == bool(said)
