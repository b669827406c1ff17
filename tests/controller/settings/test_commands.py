"""`v2g settings` and `v2g explain` as a person types them: output, exit code, and what stays untouched."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from controller import cli
from controller.settings.keys import setting_names

PROFILE = """\
# mine
schema: 1
settings:
  rating: {abnormal_category: II}
  freq_droop:
    k_of: 0.05     # slope
  voltage_trip: {ov1_s: 2, uv1_pu: 0.7, uv1_s: 10, uv2_pu: 0.45, uv2_s: 0.16}
"""


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    file = tmp_path / "mine.yaml"
    file.write_text(PROFILE)
    return file


def v2g(*arguments: object) -> int:
    return cli.main([str(a) for a in arguments])


def test_show_has_value_range_of_this_category_clause_origin_and_epri_name(
    profile: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert v2g("settings", "show", profile, "--group", "freq_droop") == 0
    out = capsys.readouterr().out
    line = next(row for row in out.splitlines() if row.startswith(" k_of "))
    assert line.split() == ["k_of", "0.05", "pu/pu", "profile:6", "0.03", "...", "0.05", "(6.5.2.7", "Table", "24)"]
    assert "PF_KOF" in out
    assert max(map(len, out.splitlines()[1:])) <= 80


def test_show_for_a_program(profile: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert v2g("settings", "show", profile, "--json") == 0
    rows = {f"{r['group']}.{r['key']}": r for r in json.loads(capsys.readouterr().out)}
    assert list(rows) == setting_names()
    assert rows["freq_droop.k_of"] == {
        "group": "freq_droop",
        "key": "k_of",
        "value": 0.05,
        "unit": "pu/pu",
        "low": 0.03,
        "high": 0.05,
        "clause": "6.5.2.7 Table 24",
        "epri": "PF_KOF",
        "origin": "profile:6",
    }
    assert rows["reactive.mode"]["choices"] == ["off", "constant_pf", "volt_var", "watt_var", "constant_q"]


def test_set_changes_one_line(profile: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert v2g("settings", "set", profile, "freq_droop.k_of", "0.04") == 0
    assert capsys.readouterr().out == f"freq_droop.k_of: 0.05 -> 0.04 pu/pu ({profile}:6, written)\n"
    assert profile.read_text() == PROFILE.replace("k_of: 0.05 ", "k_of: 0.04 ")
    assert [f.name for f in profile.parent.iterdir()] == ["mine.yaml"]


def test_a_dry_run_writes_nothing(profile: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert v2g("settings", "set", profile, "freq_droop.k_of", "0.04", "--dry-run") == 0
    assert "0.05 -> 0.04 pu/pu" in capsys.readouterr().out
    assert profile.read_text() == PROFILE


# fmt: off
REFUSED = [
    # key, value, in the complaint, why
    ("freq_droop.k_of", "0.5", "mine.yaml:6: k_of = 0.5 is outside 0.02 ... 0.05 pu/pu (1547-2018 6.5.2.7",
     "out of range"),
    ("freq_droop.k_of", "0.025", "freq_droop.k_of = 0.025 is outside 0.03 ... 0.05 pu/pu",
     "out of its category's range"),
    ("freq_droop.k_of", "5e-1", "k_of = 0.5 is outside", "an exponent is read"),
    ("freq_droop.k_of", "x: y", "k_of = x: y is not a number", "text"),
    ("freq_droop.enable", "yes", "enable = yes is not true or false", "booleans are true and false"),
    ("reactive.mode", "fast", "mode = fast is not one of off | constant_pf", "a word that is none"),
    ("volt_var.v2_pu", "0.93", "v2_pu = 0.93 is outside 0.97 ... 1", "a curve"),
    ("volt_watt.v1_pu", "1.095", "v1_pu = 1.095 is outside 1.05 ... 1.09", "a curve"),
    ("freq_droop.k_off", "1", "unknown setting 'freq_droop.k_off'; did you mean freq_droop.k_of", "no such key"),
]
# fmt: on


@pytest.mark.parametrize(("key", "value", "complaint", "why"), REFUSED, ids=[f"{r[0]} {r[-1]}" for r in REFUSED])
def test_set_refuses_with_name_value_range_and_clause(
    profile: Path, capsys: pytest.CaptureFixture[str], key: str, value: str, complaint: str, why: str
) -> None:
    assert v2g("settings", "set", profile, key, value) == 2
    assert complaint in capsys.readouterr().err
    assert profile.read_text() == PROFILE
    assert [f.name for f in profile.parent.iterdir()] == ["mine.yaml"]


def test_a_mistake_elsewhere_is_told_at_the_line_where_it_stands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not where it would stand with the lines that are not written."""
    file = tmp_path / "own.yaml"
    file.write_text("schema: 1\nsettings:\n  volt_watt:\n    v1_pu: 1.07\nnope: 1\n")
    assert v2g("settings", "set", file, "freq_droop.k_of", "0.04") == 2
    assert capsys.readouterr().err.startswith(f"{file}:5: unknown key 'nope'; known: ")


def test_off_is_written_so_that_yaml_does_not_read_false(profile: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert v2g("settings", "set", profile, "reactive.mode", "off") == 0
    assert 'mode: "off"' in profile.read_text()


def test_a_file_of_the_package_is_never_changed(capsys: pytest.CaptureFixture[str]) -> None:
    assert v2g("settings", "set", "50hz-droop", "freq_droop.k_of", "0.04") == 2
    assert "came with the package: copy it to /etc/v2g" in capsys.readouterr().err


def test_diff(profile: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(PROFILE.replace("0.05 ", "0.04 "))
    assert v2g("settings", "diff", profile, other) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0].split() == ["freq_droop.k_of", "0.05", "->", "0.04", "pu/pu", "(6.5.2.7", "Table", "24)"]
    assert out[1:] == [f"1 of {len(setting_names())} settings differ"]
    assert v2g("settings", "diff", profile, other, "--json") == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["a"], row["b"]) == (0.05, 0.04)


SITE = """\
schema: 1
name: home
start_mode: demo
meter: {map: eastron-sdm630, host: 127.0.0.1, port: 16020, location: inverter, phases: L1, poll_ms: 50, refresh_ms: 100}
inverter: {map: sunspec-7xx, host: 127.0.0.1, port: 16021, poll_ms: 100, timeout_ms: 200, reversion_s: 10, lag_ms: 300}
settings:
  freq_droop:
    t_response_s: 5   # standard
"""


def test_a_site_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A response time that the wires cannot meet is refused; one that they can is written."""
    site = tmp_path / "home.yaml"
    site.write_text(SITE)
    assert v2g("settings", "show", site, "--group", "freq_droop") == 0
    assert "5 s             site:8 " in capsys.readouterr().out
    assert v2g("settings", "set", site, "freq_droop.t_response_s", "0.2") == 2
    assert "home.yaml:8" in capsys.readouterr().err
    assert site.read_text() == SITE
    assert v2g("settings", "set", site, "freq_droop.t_response_s", "6") == 0
    assert site.read_text() == SITE.replace("t_response_s: 5 ", "t_response_s: 6 ")


@pytest.mark.parametrize("form", ["epri", "sunspec"])
def test_export_import_and_nothing_differs(
    profile: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    out, again = tmp_path / f"a.{form}", tmp_path / "again.yaml"
    assert v2g("settings", "export", profile, "--format", form, "--out", out) == 0
    assert "settings; import takes them from --base" in capsys.readouterr().err
    assert v2g("settings", "validate", out) == 0
    assert v2g("settings", "import", out, "--base", profile, "--out", again) == 0
    capsys.readouterr()
    assert v2g("settings", "diff", profile, again) == 0
    assert capsys.readouterr().out.startswith("0 of ")
    assert v2g("settings", "import", out, "--out", again) == 2
    assert "is there already" in capsys.readouterr().err


def test_export_says_what_it_cannot_carry(profile: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert v2g("settings", "set", profile, "limits.soc_min_pu", "0.3") == 0
    assert v2g("settings", "export", profile, "--format", "epri") == 0
    captured = capsys.readouterr()
    assert "Of them, not the default here: limits.soc_min_pu." in captured.err
    assert "\nPF_KOF-AS,0.05\n" in captured.out.replace("\r\n", "\n")


def test_export_never_overwrites_its_source(profile: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert v2g("settings", "export", profile, "--format", "epri", "--out", profile) == 2
    assert profile.read_text() == PROFILE


def test_validate_tells_every_mistake_with_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "x.yaml"
    file.write_text("freq_droop:\n  k_of: 0.5\n  k_off: 1\nvolt_watt:\n  v1_pu: 2\n")
    assert v2g("settings", "validate", file) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[0] for line in lines] == [f"{file}:{n}" for n in (2, 3, 5)]


# fmt: off
WRONG = [
    # arguments, in the complaint, why
    (["settings", "show", "nosuch"], "nosuch: no such file, and no site or profile of this name", "no such name"),
    (["settings", "show", "/no/such.yaml"], "/no/such.yaml: cannot be read: No such file or directory", "no such file"),
    (["settings", "plot", "{}", "--out", "a.pdf"], "--out a.pdf: the name must end in .png or .svg", "no such picture"),
    (["settings", "plot", "{}", "--out", "a.png", "--v-pu", "9"], "--v-pu = 9.0 is outside 0 ... 1.5",
     "no such voltage"),
    (["settings", "import", "{}"], "is a profile already: nothing to import", "nothing to convert"),
    (["explain", "k_off"], "did you mean freq_droop.k_of", "unknown key"),
]
# fmt: on


@pytest.mark.parametrize(("arguments", "complaint", "why"), WRONG, ids=[w[-1] for w in WRONG])
def test_wrong_input_exits_with_2(
    profile: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], complaint: str, why: str
) -> None:
    assert v2g(*(a.format(profile) for a in arguments)) == 2
    assert complaint in capsys.readouterr().err


@pytest.mark.parametrize(
    "command", [["settings", "set", "FILE", "freq_droop.k_of", "0.04"], ["site", "migrate", "FILE"]]
)
def test_a_file_in_another_encoding_is_told_at_its_line(
    tmp_path: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "old.yaml"
    path.write_bytes("schema: 1\n# Käfer\n".encode("latin-1"))
    assert v2g(*(path if word == "FILE" else word for word in command)) == 2
    assert capsys.readouterr() == ("", f"{path}:2: is not UTF-8 text: save the file as UTF-8\n")


def test_plot(profile: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="plots are an extra")
    assert v2g("settings", "plot", profile, "--out", tmp_path / "a.png", "--f-hz", "60.5") == 0
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_explain_lists_every_key_in_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    assert v2g("explain") == 0
    out = capsys.readouterr().out
    assert all(f"\n  {name.split('.')[1]} " in out for name in setting_names())
    assert max(map(len, out.splitlines())) <= 80
    assert v2g("explain", "--json") == 0
    assert set(setting_names()) <= set(json.loads(capsys.readouterr().out))


def test_explain_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert v2g("explain", "PF_KOF") == 0
    assert "freq_droop.k_of (setting)\n  Slope above nominal." in capsys.readouterr().out
    assert v2g("explain", "DROOP", "--json") == 0
    (topic,) = json.loads(capsys.readouterr().out)
    assert topic["kind"] == "reason"
    assert v2g("explain", "0") == 0
    assert "no bit is set" in capsys.readouterr().out
