"""EPRI's CSV: what a spreadsheet does to it is accepted or told at its line; lines that set nothing are kept."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings

from controller.errors import InputError
from controller.settings.epri import csv_text, parse_csv
from controller.settings.profile import profile_text
from controller.settings.source import load
from cython_core.settings import Settings
from drivers.yamlfile import Problems
from tests.cython_core.strategies import settings


def complaints(text: str) -> list[str]:
    problems = Problems("x.csv")
    parse_csv(text, problems).groups(None, problems)
    return problems.lines()


# fmt: off
REFUSED = [
    # text, complaint, why
    ("PARAMETER,VALUE\n", "x.csv:1: holds no settings below PARAMETER,VALUE", "empty"),
    ("PARAMETER;VALUE\nPF_KOF;0,05\n",
     "x.csv:1: semicolons stand between the columns: write commas there and a dot in numbers",
     "a European spreadsheet"),
    ("PARAMETER,VALUE\nPF_KOF,0,05\n",
     "x.csv:2: 3 cells instead of PARAMETER,VALUE: a decimal comma? write 0.05, and quote a text that holds a comma",
     "decimal comma"),
    ("PARAMETER,VALUE\n\nPF_KOF,0.05\nPF_KOF,0.04\n", "x.csv:4: PF_KOF stands twice; the first is in line 3", "twice"),
    ('PARAMETER,VALUE\nCOMMENT,"a\nb"\nPF_KOF-AS,0.5\n',
     "x.csv:4: PF_KOF: k_of = 0.5 is outside 0.02 ... 0.05 pu/pu (6.5.2.7 Table 24)",
     "the line counts the text before it"),
    ("PARAMETER,VALUE\nCOMMENT," + 513 * "x" + "\n", "x.csv:2: COMMENT has 513 characters; the format allows 512",
     "comment too long"),
    ('PARAMETER,VALUE\nPF_KOF,"0.05\n', "x.csv:2: is not CSV: unexpected end of data", "an open quote"),
]
# fmt: on


@pytest.mark.parametrize(("text", "complaint", "why"), REFUSED, ids=[r[-1] for r in REFUSED])
def test_told_at_its_line(text: str, complaint: str, why: str) -> None:
    assert complaint in complaints(text)


def test_a_spreadsheets_habits_are_accepted(tmp_path: Path) -> None:
    """Byte-order mark, CRLF, quotes and empty cells behind the second."""
    file = tmp_path / "x.csv"
    file.write_bytes(b'\xef\xbb\xbfPARAMETER,VALUE,\r\nMT_DER_ADDRESS,"1 Main St., Knoxville",\r\nPF_KOF-SS,0.04,,\r\n')
    source = load(file)
    assert source.settings.freq_droop.k_of == 0.04
    assert source.origin("freq_droop", "k_of") == "epri:3"
    assert source.kept == {"MT_DER_ADDRESS": "1 Main St., Knoxville"}


# fmt: off
SUFFIXES = [
    ("AS", "PF_KOF-AS,0.05\r\n", "MT_FILE_INFO_TYPE,AS\r\n"),
    ("SS", "PF_KOF-SS,0.05\r\n", "MT_FILE_INFO_TYPE,SS\r\n"),
    ("",   "\r\nPF_KOF,0.05\r\n", ""),
]
# fmt: on


@pytest.mark.parametrize(("suffix", "line", "head"), SUFFIXES, ids=["applied", "specified", "none"])
def test_suffix_on_settings_never_on_the_nameplate(suffix: str, line: str, head: str) -> None:
    text = csv_text(Settings(), {"NP_MODEL": "X, Y", "COMMENT": "c"}, suffix)
    assert line in text
    assert text.startswith(f"PARAMETER,VALUE\r\n{head}COMMENT,c\r\nNP_AC_V_NOM,240\r\n")
    assert 'NP_MODEL,"X, Y"\r\n' in text


@hypothesis_settings(max_examples=25, deadline=None)
@given(settings(f_nom=None))
def test_ours_to_a_file_to_a_profile_and_back(tmp_path_factory: pytest.TempPathFactory, s: Settings) -> None:
    """The whole way: CSV, profile in YAML, CSV again; nothing is lost, the kept lines included."""
    folder = tmp_path_factory.mktemp("epri")
    kept = {"MT_DER_ADDRESS": '1 "Main" St., Knoxville\nTN', "NP_SERIAL_NUM": "ser 1"}
    first = csv_text(s, kept)
    (folder / "a.csv").write_text(first, encoding="utf-8", newline="")
    read = load(folder / "a.csv", s)
    assert read.settings == s
    (folder / "a.yaml").write_text(profile_text(read.settings, "a", "b", read.origins, read.kept), encoding="utf-8")
    profile = load(folder / "a.yaml")
    assert profile.settings == s
    assert csv_text(profile.settings, profile.kept) == first


def test_all_mistakes_at_once(tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    file.write_text("PARAMETER,VALUE\nPF_KFO,1\nPF_KOF,x\n")
    with pytest.raises(InputError) as refused:
        load(file)
    assert [line.split(": ")[0] for line in str(refused.value).splitlines()] == [f"{file}:2", f"{file}:3"]
