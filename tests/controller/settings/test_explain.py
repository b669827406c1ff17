"""Every setting, reasons bit, state, region, trip element and EPRI name is explained; the files it names exist."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from controller.errors import InputError
from controller.settings.explain import explain, names, texts
from controller.settings.keys import setting_names
from cython_core.checks import FIELDS
from cython_core.records import REASON_TEXT, Reason, Region, State, Trip

ROOT = Path(__file__).parents[3]


def test_every_setting_and_nothing_else_has_its_line() -> None:
    assert list(texts()["settings"]) == setting_names()
    assert all(text.endswith(".") and len(text) < 140 for text in texts()["settings"].values())


@pytest.mark.parametrize("kind", [Reason, State, Region, Trip], ids=lambda k: k.__name__)
def test_every_member_is_explained(kind: Any) -> None:
    table = f"{kind.__name__.lower()}s"
    assert set(texts()[table]) == {member.name for member in kind}
    for member in kind:
        assert any(topic.kind == kind.__name__.lower() and topic.what for topic in explain(member.name))


def test_every_name_is_explained() -> None:
    for name in names():
        if "." in name or name.isupper() or name in FIELDS:
            assert all(topic.what for topic in explain(name)), name


def test_the_files_that_do_it_and_show_it_are_there() -> None:
    named = {file for place in texts()["parts"].values() for file in (place["file"], place["test"])}
    assert {file for file in named if not (ROOT / file).is_file()} == set()


def test_every_group_has_a_part_of_its_own() -> None:
    assert set(FIELDS) <= set(texts()["parts"])


# fmt: off
ROWS = [
    # key, row, text, why
    ("freq_droop.k_of", "Category II", "default 0.05, allowed 0.03 ... 0.05", "range by category"),
    ("k_of", "Category III", "default 0.05, allowed 0.02 ... 0.05", "the key alone, it is unique"),
    ("PF_KOF-AS", "unit", "pu/pu", "EPRI's name with its suffix"),
    ("OF1_TRIP_F", "at 50 Hz, outside the standard", "default 51.2, allowed 51 ... 56",
     "moves with the nominal frequency"),
    ("voltage_trip.ov2_s", "values", "0.16, fixed", "not adjustable"),
    ("reactive.mode", "allowed", "off | constant_pf | volt_var | watt_var | constant_q", "a word"),
    ("volt_watt.enable", "allowed", "true | false", "a switch"),
    ("volt_watt.enable", "clause", "1547-2018 5.4.2", "clause of the standard"),
    ("QV_MODE_ENABLE", "clause", "1547-2018 5.3.1: exactly one; the default is unity power factor",
     "one of four flags"),
    ("DROOP", "bit", "0, 0x1 of StepRecord.reasons", "a reason"),
    ("OV1", "settings", "voltage_trip.ov1_pu, voltage_trip.ov1_s", "a trip element"),
]
# fmt: on


@pytest.mark.parametrize(("key", "row", "text", "why"), ROWS, ids=[f"{r[0]} {r[1]}" for r in ROWS])
def test_what_it_says(key: str, row: str, text: str, why: str) -> None:
    assert any((row, text) in topic.rows for topic in explain(key))


def test_a_number_of_reasons_is_taken_apart() -> None:
    number = Reason.DROOP | Reason.VOLT_WATT | Reason.P_LOST
    assert [topic.what for topic in explain(str(int(number)))] == [
        REASON_TEXT[Reason.DROOP],
        REASON_TEXT[Reason.VOLT_WATT],
        REASON_TEXT[Reason.P_LOST],
    ]
    assert explain(hex(number)) == explain(str(int(number)))
    assert explain("0") == []


# fmt: off
UNKNOWN = [
    # key, complaint, why
    ("k_off", "unknown key 'k_off'; did you mean freq_droop.k_of", "near"),
    ("zzzzzz", "unknown key 'zzzzzz'; `v2g explain` lists all", "nothing near"),
    ("p2_pu", "p2_pu stands in several groups: volt_watt.p2_pu, watt_var.p2_pu", "not unique"),
    (str(1 << 62), "has bits that no reason has: 0x4000000000000000", "no such bit"),
]
# fmt: on


@pytest.mark.parametrize(("key", "complaint", "why"), UNKNOWN, ids=[u[-1] for u in UNKNOWN])
def test_unknown(key: str, complaint: str, why: str) -> None:
    with pytest.raises(InputError) as refused:
        explain(key)
    assert complaint in str(refused.value)


def test_a_word_with_two_meanings_gives_both() -> None:
    assert [topic.kind for topic in explain("STARTING")] == ["reason", "state"]
