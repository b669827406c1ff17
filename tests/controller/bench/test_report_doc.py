"""docs/bench.md, command by command, in an empty folder: each goes on where the one before has ended."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from controller.cli import main
from tests.test_doc_commands import commands

PAGE = (Path(__file__).parents[3] / "docs/bench.md").read_text(encoding="utf-8")
VIRTUAL = PAGE[: PAGE.index("## In real time")]  # from there on: tests/system/test_bench_loopback.py
TYPED = [c for block in re.findall(r"^```sh\n.*?^```$", VIRTUAL, re.MULTILINE | re.DOTALL) for c in commands(block)]


def test_every_command_of_the_page_does_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert [shlex.split(c)[2] for c in TYPED] == ["list", "plan", "run", "judge", "report", "resume"]
    for command in TYPED:
        program, *arguments = shlex.split(command)
        assert (program, main(arguments)) == ("v2g", 0), command
    assert "2 cases: 2 pass" in capsys.readouterr().out
    rows = re.findall(r"^\| ((?:`[\w./]+`(?:, )?)+) \|", PAGE[PAGE.index("## The folder") :], re.MULTILINE)
    named = {name.rpartition("/")[2] for row in rows for name in re.findall(r"`([^`]+)`", row)}
    assert named == {path.name for path in (tmp_path / "RUN").rglob("*") if path.is_file()}, "its table of files"
