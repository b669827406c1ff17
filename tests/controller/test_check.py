"""`v2g check`: the page at 80 columns, the JSON, and the exit codes."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import pytest

from controller import cli
from cython_core.settings import Settings
from tests.controller.test_site import FIVE, FIVE_LINES, GOOD


@pytest.fixture
def site_file(tmp_path: Path) -> Path:
    path = tmp_path / "site.yaml"
    path.write_text(GOOD)
    return path


def test_every_setting_stands_on_the_page(site_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", str(site_file)]) == 0
    page = capsys.readouterr().out
    for group in fields(Settings):
        assert f"\n{group.name}\n" in page
        for key in fields(getattr(Settings(), group.name)):
            assert f"\n {key.name} " in page


def test_the_page_fits_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", "demo-60hz"]) == 0
    first, *rest = capsys.readouterr().out.splitlines()
    assert first.endswith("config/sites/demo-60hz.yaml: site demo-60hz")
    assert rest[0] == "start mode DEMO: simulated devices on this machine"
    assert max(len(line) for line in rest) <= 80


# fmt: off
LINES = [
    # a line of the page, with runs of spaces made one
    " k_of 0.04 pu/pu site:23 0.02 ... 0.05 (6.5.2.7 Table 24)",
    " k_uf 0.05 pu/pu profile:21 0.02 ... 0.05 (6.5.2.7 Table 24)",
    " soc_min_pu 0.2 pu default 0 ... 1 (product: no discharge",
    " t_meter_s 0.3 s derived 0.001 ... 10 (product: max(poll,",
    " freq_droop.k_of: line 23 replaces line 22 of the profile",
    " frequency 300 600 1500 8000 lost",        # 2 x (2 x 150 ms), 5 x 300, the inverter's timer of 8 s
    " inverter state 600 1200 3000 8000 lost",   # 2 x 300 ms
    " freq_droop in all 1260 of 5000 (t_response_s): met",
]
# fmt: on


@pytest.mark.parametrize("line", LINES)
def test_lines_of_the_page(line: str, site_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["check", str(site_file)])
    page = [" " * row.startswith(" ") + " ".join(row.split()) for row in capsys.readouterr().out.splitlines()]
    assert line in page


def test_five_mistakes_print_five_lines_and_exit_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "site.yaml"
    path.write_text(FIVE)
    assert cli.main(["check", str(path)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [f"{tmp_path}/{line}" for line in FIVE_LINES]


def test_an_unmet_response_time_shows_the_sum_and_exits_2(site_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site_file.write_text(GOOD + "    t_response_s: 1\n")
    assert cli.main(["check", str(site_file)]) == 2
    captured = capsys.readouterr()
    assert "1260  of 1000 (t_response_s): NOT MET" in captured.out
    assert captured.err.startswith(f"{site_file}:24: t_response_s = 1 s of freq_droop cannot be met: ")


def test_an_accepted_slow_response_is_shown_as_such(site_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site_file.write_text(GOOD + "    t_response_s: 1\ni_accept: slow-response\n")
    assert cli.main(["check", str(site_file)]) == 0
    assert "NOT MET (accepted: slow-response)" in capsys.readouterr().out


def test_json(site_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", str(site_file), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["ok"], answer["problems"], answer["start_mode"]) == (True, [], "shadow")
    (k_of,) = [s for s in answer["settings"] if (s["group"], s["key"]) == ("freq_droop", "k_of")]
    assert (k_of["value"], k_of["unit"], k_of["low"], k_of["high"]) == (0.04, "pu/pu", 0.02, 0.05)
    assert (k_of["from"], k_of["file"], k_of["line"]) == ("site", str(site_file), 23)
    assert answer["ages"][0] == {"signal": "frequency", "t_ms": 300, "fresh_ms": 600, "held_ms": 1500, "lost_ms": 8000}
    assert answer["response"][0]["total_ms"] == 1260


def test_json_of_a_wrong_file_lists_the_problems(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "site.yaml"
    path.write_text(FIVE)
    assert cli.main(["check", str(path), "--json"]) == 2
    answer = json.loads(capsys.readouterr().out)
    assert not answer["ok"]
    assert len(answer["problems"]) == 5
