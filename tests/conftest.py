"""What every run prints at its end: what was not run and why, seconds per folder, the slowest ten."""

from __future__ import annotations

import gc
import re
import signal
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import settings

TESTS = Path(__file__).parent
# the same cases in every run, and no deadline: a shared machine is slow at times
settings.register_profile("house", derandomize=True, deadline=None)
settings.load_profile("house")

# `make test &` in a script leaves Ctrl-C ignored, here and in every child; tests of it begin as in a terminal
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

TIER_OF_FOLDER = {"system": "system", "nightly": "nightly"}


def folder_of(node_id: str) -> str:
    """tests/cython_core/test_x.py::test_y -> tests/cython_core"""
    return node_id.partition("::")[0].rpartition("/")[0] or "."


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test in tests/system or tests/nightly has that mark without saying so."""
    for item in items:
        if not item.path.is_relative_to(TESTS):
            continue
        tier = TIER_OF_FOLDER.get(item.path.relative_to(TESTS).parts[0])
        if tier:
            item.add_marker(tier)


def pytest_collection_finish() -> None:
    """Ten thousand collected tests stay to the end: no collection of garbage looks at them each time."""
    gc.freeze()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Three short tables before pytest's own closing line."""
    stats = terminalreporter.stats
    reports = [r for group in stats.values() for r in group if isinstance(r, pytest.TestReport)]
    write_skips(terminalreporter, stats.get("skipped", []))
    write_times(terminalreporter, reports)


def write_skips(out: pytest.TerminalReporter, skipped: list[pytest.TestReport | pytest.CollectReport]) -> None:
    """One line a reason, with how many tests it cost: a skip is never quiet."""
    reasons = Counter(str(r.longrepr[2]) for r in skipped if isinstance(r.longrepr, tuple))
    if reasons:
        out.section("NOT RUN", sep="!", yellow=True)
        for reason, count in reasons.most_common():
            out.write_line(f"{count:5d}  {re.sub('^Skipped: ', '', reason)}")


def write_times(out: pytest.TerminalReporter, reports: list[pytest.TestReport]) -> None:
    """Seconds per folder and the ten slowest tests, set-up and tear-down included."""
    tests: Counter[str] = Counter()
    for report in reports:
        tests[report.nodeid] += report.duration  # type: ignore[assignment]  # a Counter adds floats as well
    folders: Counter[str] = Counter()
    for node_id, seconds in tests.items():
        folders[folder_of(node_id)] += seconds
    if not tests:
        return
    out.section("seconds per folder", sep="-")
    for name, seconds in folders.most_common():
        out.write_line(f"{seconds:8.2f}  {name}")
    out.section("slowest ten", sep="-")
    for name, seconds in tests.most_common(10):
        out.write_line(f"{seconds:8.2f}  {name}")
