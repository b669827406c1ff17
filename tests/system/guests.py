"""Tests that run inside a booted guest: its life, which there are, and what became of each, by its JUnit file."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree

Results = dict[str, list[tuple[str, str]]]  # test -> [(its case, what went wrong or nothing)]


def run_guest(command: Sequence[str | Path], longest_s: float, environment: Mapping[str, str] = os.environ) -> str:
    """To its end, or to ours; what it has printed."""
    guest = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True, env=environment,
    )  # fmt: skip
    try:
        return guest.communicate(timeout=longest_s)[0]
    except subprocess.TimeoutExpired:
        return f"the guest did not end within {longest_s:g} s"
    finally:
        if guest.poll() is None:
            os.killpg(guest.pid, signal.SIGKILL)
            guest.wait()


def names_of_tests(guest: Path) -> list[str]:
    """Names of the tests in a file, without importing it."""
    functions = (node for node in ast.parse(guest.read_text()).body if isinstance(node, ast.FunctionDef))
    return [function.name for function in functions if function.name.startswith("test_")]


def results_of(result: Path, said: str) -> Results:
    """said: what the guest has printed, for one that never came to its tests."""
    assert result.exists(), said
    found: Results = {}
    for case in ElementTree.parse(result).iter("testcase"):
        name, _, parameter = case.attrib["name"].partition("[")
        wrong = [f"{problem.tag}: {problem.text}" for problem in case if problem.tag in ("failure", "error", "skipped")]
        found.setdefault(name, []).append((parameter.rstrip("]"), "\n".join(wrong)))
    return found


def assert_passed(results: Results, name: str) -> None:
    """In every case of it."""
    assert results.get(name), "the guest has not run it: one before it has failed"
    wrong = [f"{case}: {text}" for case, text in results[name] if text]
    assert not wrong, "\n".join(wrong)
