"""One line of a YAML file changes; comments, order, line ends and everything else stay."""

from __future__ import annotations

import pytest

from controller.errors import InputError
from controller.settings.edit import changed

PROFILE = """\
# mine
schema: 1

settings:
  freq_droop:         # 6.5.2.7
    k_of: 0.05        # slope
    k_uf: 0.05

  # about volt-var
  volt_var: {v1_pu: 0.92, q1_pu: 0.44}   # in braces
  inertia:
# the end
"""
# fmt: off
CASES = [
    # group, key, value, old line, new line(s), why
    ("freq_droop", "k_of", "0.04", "    k_of: 0.05        # slope", "    k_of: 0.04        # slope", "a value"),
    ("freq_droop", "k_of", "0.0333333", "    k_of: 0.05        # slope", "    k_of: 0.0333333   # slope",
     "the comment keeps its column"),
    ("freq_droop", "enable", "false", "    k_uf: 0.05\n", "    k_uf: 0.05\n    enable: false\n",
     "a new key at the group's end"),
    ("volt_var", "v1_pu", "0.9", "{v1_pu: 0.92, q1_pu: 0.44}   #", "{v1_pu: 0.9, q1_pu: 0.44}   #", "inside braces"),
    ("volt_var", "q2_pu", "0", "q1_pu: 0.44}", "q1_pu: 0.44, q2_pu: 0}", "a new key in braces"),
    ("inertia", "h_s", "3", "  inertia:\n", "  inertia:\n    h_s: 3\n", "below an empty group"),
    ("reactive", "mode", '"off"', "  inertia:\n", '  inertia:\n  reactive:\n    mode: "off"\n', "a new group"),
]
# fmt: on


@pytest.mark.parametrize(("group", "key", "value", "old", "new", "why"), CASES, ids=[c[-1] for c in CASES])
def test_only_this_changes(group: str, key: str, value: str, old: str, new: str, why: str) -> None:
    assert PROFILE.count(old) == 1
    change = changed(PROFILE, group, key, value)
    assert change.text == PROFILE.replace(old, new)
    assert f"{key}: {value}" in change.text.splitlines()[change.line - 1]


def test_line_ends_of_windows_and_a_byte_order_mark_stay() -> None:
    text = "\ufeff" + PROFILE.replace("\n", "\r\n")
    change = changed(text, "freq_droop", "enable", "false")
    assert change.text == text.replace("    k_uf: 0.05\r\n", "    k_uf: 0.05\r\n    enable: false\r\n")


def test_a_file_without_settings_gets_them_at_its_end() -> None:
    change = changed("schema: 1\ntitle: x", "freq_droop", "k_of", "0.04")
    assert change.text == "schema: 1\ntitle: x\nsettings:\n  freq_droop:\n    k_of: 0.04\n"


def test_a_file_of_groups_alone() -> None:
    assert changed("freq_droop:\n  k_of: 0.05\n", "freq_droop", "k_of", "0.04").text == "freq_droop:\n  k_of: 0.04\n"


def test_a_key_without_a_value_gets_one() -> None:
    assert changed("freq_droop:\n  k_of:\n", "freq_droop", "k_of", "0.04").text == "freq_droop:\n  k_of: 0.04\n"


# fmt: off
REFUSED = [
    # text, in the complaint, why
    ("a: [", "line 1: is not YAML", "broken"),
    ("a: 1\nb:\n\tc: 2\n", "line 3: is not YAML: found character", "a tab"),
    ("a: " + "[" * 5000, "line 1: groups inside groups, 11 deep", "deeper than Python goes"),
    ("freq_droop:\n  k_of: 1\n  k_of: 2\n", "line 3: key 'k_of' stands twice", "which of the two?"),
    ("- a\n", "holds no `key: value` lines", "a list"),
    ("freq_droop: 5\n", "line 1: freq_droop holds no keys", "a value where the group should be"),
    ("freq_droop:\n  k_of: [1]\n", "line 2 holds no single value to replace", "a list as value"),
    ("settings: {freq_droop: 5}\n", "line 1: freq_droop holds no keys", "braces without a group"),
]
# fmt: on


@pytest.mark.parametrize(("text", "complaint", "why"), REFUSED, ids=[r[-1] for r in REFUSED])
def test_refused(text: str, complaint: str, why: str) -> None:
    with pytest.raises(InputError, match=complaint):
        changed(text, "freq_droop", "k_of", "0.04")
