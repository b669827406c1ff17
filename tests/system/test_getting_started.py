"""docs/getting-started.md, command by command, in a folder that is empty but for the sources."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/getting-started.md").read_text(encoding="utf-8")
COMMANDS = [line for block in re.findall(r"^```sh\n(.*?)^```$", PAGE, re.M | re.S) for line in block.splitlines()]
# what its reader is promised to see
SEEN = {
    "v2g demo": "verdict: pass",
    "v2g replay": "identical",
    "v2g report": "verdict: pass",
    "v2g explain F_STALE": "F_STALE",
    "v2g check": "shadow",
    "v2g support-bundle": "journal.v2gj",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("newcomer")
    (folder / "config").symlink_to(ROOT / "config")
    program = folder / ".venv/bin/v2g"
    program.parent.mkdir(parents=True)
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m controller.cli "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    return folder


@pytest.mark.parametrize("number", range(len(COMMANDS)), ids=COMMANDS)
def test_command(folder: Path, number: int) -> None:
    """In the page's order: each goes on where the one before has ended."""
    command = COMMANDS[number]
    environment = os.environ | {"PATH": f"{folder}/.venv/bin:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["sh", "-c", command], cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=300, check=False,
    )  # fmt: skip
    told = done.stdout + done.stderr
    assert done.returncode == 0, told
    for begin, text in SEEN.items():
        if command.startswith(begin):
            assert text in told
    assert "Traceback" not in told


def test_the_page_says_what_is_looked_for() -> None:
    assert [begin for begin in SEEN if not any(c.startswith(begin) for c in COMMANDS)] == []
