"""docs/adding-a-device.md, word by word: a new meter without touching Python; and what a newcomer does wrong."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from controller import cli
from tests.drivers.device_table import HEADS, PAGE, page_with

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs/adding-a-device.md").read_text()


def blocks(kind: str) -> list[str]:
    """The code blocks of the guide, as they stand."""
    return re.findall(rf"^```{kind}\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)


def edited(text: str, changes: str) -> str:
    """Each line `-` of the guide is one that begins so, exactly one; the `+` lines behind it take its place."""
    lines = text.splitlines()
    at = 0
    for change in changes.splitlines():
        if change.startswith("-"):
            (at,) = [i for i, line in enumerate(lines) if line.startswith(change[1:])]
            lines[at : at + 1] = []
        else:
            lines.insert(at, change[1:])
            at += 1
    return "\n".join(lines) + "\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The guide followed up to its last step."""
    copy, check = (block.split() for block in blocks("sh"))
    assert copy[0] == "cp"
    shutil.copy(ROOT / copy[1], tmp_path / copy[2])
    own = tmp_path / copy[2]
    (changes,) = blocks("diff")
    own.write_text(edited(own.read_text(), changes))
    (answers,) = blocks("yaml")
    (tmp_path / check[-1]).write_text(answers)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    _, check = blocks("sh")
    program, *arguments = check.split()
    assert program == "v2g"
    code = cli.main(arguments)
    told = capsys.readouterr()
    return code, told.out, told.err


def test_the_guide_leads_to_a_proven_map(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys)
    assert (code, err) == (0, "")
    assert out == blocks("text")[0]


# fmt: off
WRONG = [
    # file                    was                        is                         what is said
    ("acme-m4.yaml",          "    at: 0x0060",          "    at: 0x005e",
     "acme-m4.answers.yaml:2: f_hz does not stand in these words (at 0x0060, 2 words)"),
    ("acme-m4.yaml",          "word_order: little",      "word_order: big",
     "acme-m4.answers.yaml:2: f_hz = 49.98 is expected, the map makes nothing of it"),
    ("acme-m4.yaml",          "    scale: -0.1",         "    scale: 0.1",
     "acme-m4.answers.yaml:17: p_w = -2000 is expected, the map makes 2000 of it"),
    ("acme-m4.yaml",          "absent: [0xffffffff, ",   "absent: [0xfffffffe, ",
     None),
    ("acme-m4.answers.yaml",  "    f_hz: 49.98\n",       "",
     "acme-m4.answers.yaml:2: f_hz stands in these words too (49.98): say what it must be"),
    ("acme-m4.answers.yaml",  "absent: [v1_v]",          "v1_v: 230.1",
     "acme-m4.answers.yaml:12: v1_v = 230.1 is expected, the map makes nothing of it"),
    ("acme-m4.answers.yaml",  '"08fd 0000"',             '"08fd 00"',
     "acme-m4.answers.yaml:8: hex holds 3 bytes; allowed: whole words, 1 ... 256"),
    ("acme-m4.answers.yaml",  '"08fd 0000"',             "08123",
     "acme-m4.answers.yaml:8: hex = 08123 is not pairs of hex digits, two a word"),
    ("acme-m4.answers.yaml",  '"08fd 0000"',             "43663334",
     'acme-m4.answers.yaml:8: hex = 43663334 is read by YAML as int, not as text: quote it ("43663334")'),
    ("acme-m4.answers.yaml",  "    p_w: -2000",          "    power: -2000",
     "acme-m4.answers.yaml:21: unknown key 'power'; known: absent, at, e_export_wh, e_import_wh, f_hz, from, hex,"),
    ("acme-m4.answers.yaml",  "answers:",                "answer:",
     "acme-m4.answers.yaml:1: unknown key 'answer'; known: answers"),
    ("acme-m4.answers.yaml",  "from: manual",            "from: hearsay",
     "acme-m4.answers.yaml:14: from = hearsay is not one of capture | manual | hand (how these words are known)"),
    ("acme-m4.yaml",          "device: acme-m4",         "devise: acme-m4",
     "acme-m4.yaml:11: unknown key 'devise'; known: "),
]
# fmt: on


@pytest.mark.parametrize(("file", "was", "is_", "said"), WRONG, ids=[f"{c[1]} -> {c[2]}" for c in WRONG])
def test_a_mistake_is_told_with_its_line(
    folder: Path, capsys: pytest.CaptureFixture[str], file: str, was: str, is_: str, said: str | None
) -> None:
    path = folder / file
    assert was in path.read_text()
    path.write_text(path.read_text().replace(was, is_, 1))
    code, _, err = run(capsys)
    if said is None:  # the range still keeps the pattern out
        assert (code, err) == (0, "")
    else:
        assert code == 2
        assert any(line.startswith(said) for line in err.splitlines()), err


# fmt: off
USAGE = [
    # arguments                                       what is said
    (["check"],                                       "v2g check: the following arguments are required: site, or"),
    (["check", "demo-60hz", "--answers", "a.yaml"],   "v2g check: the following arguments are required: site, or"),
    (["check", "demo-60hz", "--map", "eastron-sdm630"], "v2g check --map takes neither a site nor --json"),
    (["check", "--map", "eastron-sdm360"],            "unknown map 'eastron-sdm360'; known: abb-b23, "),
    (["check", "--map", "eastron-sdm630", "--answers", "/nowhere.yaml"], "/nowhere.yaml: cannot be read: No such file"),
]
# fmt: on


@pytest.mark.parametrize(("arguments", "said"), USAGE, ids=[" ".join(c[0]) for c in USAGE])
def test_usage(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(arguments) == 2
    assert capsys.readouterr().err.startswith(said)


def test_a_map_of_an_inverter_is_read_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", "--map", "sunspec-7xx"]) == 0
    assert capsys.readouterr().out == "sunspec-7xx.yaml: sunspec-7xx, inverter, proven: document\n"


@pytest.mark.parametrize("kind", HEADS)
def test_the_tables_of_devices_are_up_to_date(kind: str) -> None:
    page = PAGE.read_text()
    assert page == page_with(page, kind), "python -m tests.drivers.device_table writes it"
