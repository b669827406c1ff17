"""One look of a log line, whoever writes it: the logging module, or the core process, which has none."""

from __future__ import annotations

import logging
import os
import subprocess
import sys

import pytest

from controller.cli import LineFormatter
from controller.logs import log_line

T_S = 1_760_000_000.0625  # 2025-10-09 08:53:20 UTC

# fmt: off
LINES = [
    # level       text              journal  line                                            why
    ("WARNING",   "V2G-A one",      False,   "2025-10-09T08:53:20.062Z WARNING V2G-A one",   "on a terminal: UTC"),
    ("CRITICAL",  "V2G-A one",      True,    "<2>V2G-A one",                                 "journald has the time"),
    ("ERROR",     "V2G-A one",      True,    "<3>V2G-A one",                                 "syslog's numbers"),
    ("WARNING",   "V2G-A one",      True,    "<4>V2G-A one",                                 "syslog's numbers"),
    ("INFO",      "V2G-A one",      True,    "<6>V2G-A one",                                 "syslog's numbers"),
    ("DEBUG",     "V2G-A one",      True,    "<7>V2G-A one",                                 "and all below"),
    ("WARNING",   "V2G-A one\ntwo", True,    "<4>V2G-A one\n<4>two",                         "each line has its own"),
]
# fmt: on


@pytest.mark.parametrize(("level", "text", "journal", "line", "why"), LINES, ids=[f"{c[0]} {c[-1]}" for c in LINES])
def test_both_writers_write_this_line(level: str, text: str, journal: bool, line: str, why: str) -> None:
    record = logging.LogRecord("v2g", logging.getLevelName(level), "", 0, text, None, None)
    record.created = T_S
    assert LineFormatter(journal).format(record) == line, why
    assert log_line(level, text, T_S, journal) == line, why


def test_a_traceback_stands_below_its_line() -> None:
    try:
        raise ValueError("no such thing")
    except ValueError:
        record = logging.LogRecord("v2g", logging.ERROR, "", 0, "V2G-A", None, sys.exc_info())
    first, *rest = LineFormatter(journal=True).format(record).splitlines()
    assert first == "<3>V2G-A"
    assert rest[-1] == "<3>ValueError: no such thing"


def test_a_closed_terminal_does_not_end_the_process() -> None:
    code = "import os; from controller.logs import say; say('INFO', '1'); os.close(2); say('INFO', '2'); print('on')"
    buffered = {name: text for name, text in os.environ.items() if name != "PYTHONUNBUFFERED"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=buffered, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stderr.endswith("Z INFO 1\n")
    assert done.stdout == "on\n"
