"""Every command in README.md and docs/ runs here, or stands in one table with the reason why not.

What counts  each line of a block marked `sh`; in other blocks and in `code spans` what begins with a program of ours
             and says more than a name. docs/evidence keeps what was once typed: not looked at.
Where        in one folder that holds whatever the documents name: SITE.yaml, FILE.csv, a run of the demonstration.
             The `sh` blocks of OWN_TESTS follow upon each other and have tests of their own.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import pytest

from controller.build import build_id
from controller.cli import parser_for
from controller.journalwriter import JournalWriter
from cython_core.settings import Settings, to_mapping
from cython_core.step import Core
from tests.test_docs import DOCUMENTS, ROOT

OURS = ("v2g", "make", "python", "systemd-run")
SAID = [d for d in DOCUMENTS if "evidence" not in d.parts and d.name != "CHANGELOG.md"]
OWN_TESTS = {
    "getting-started.md": "tests/system/test_getting_started.py",
    "adding-a-device.md": "tests/drivers/test_newcomer.py",
    "bench.md": "tests/controller/bench/test_report_doc.py",
}
# fmt: off
NOT_RUN = [
    # command, * stands for anything     why it does not run here; a file alone: there it runs
    ("make *",                           "this test runs inside `make`; tests/test_docs.py knows each target"),
    ("v2g demo *",                       "tests/faults/demos.py"),
    ("v2g drill*",                       "tests/system/test_faults_demo.py"),
    ("v2g run *",                        "tests/system/test_serial_site.py"),
    ("v2g telemetry *",                  "tests/controller/telemetry/test_command.py"),
    ("v2g bridge *",                     "tests/controller/telemetry/test_command.py"),
    ("v2g commission *",                 "tests/system/test_commission.py"),
    ("v2g settings push *",              "tests/system/test_own_functions.py"),
    ("v2g report *",                     "tests/faults/test_demo_short.py"),
    ("v2g reload *",                     "tests/controller/test_reload.py"),
    ("v2g scan --can *",                 "tests/system/can_guest.py"),
    ("v2g scan *",                       "tests/system/test_scan.py"),
    ("v2g doctor --seconds 600",         "takes 20 minutes; with fewer seconds it runs"),
    ("v2g support-bundle *",             "tests/controller/test_support.py"),
    ("systemd-run *",                    "wants root, and a system that systemd has started"),
    ("python -m tests.soak *",           "takes an hour; tests/system/test_soak.py is the short form"),
    ("python -m tests.fuzz *",           "takes half an hour; tests/system/test_fuzz.py is the short form"),
    ("v2g certs *",                      "tests/controller/test_certs.py"),
    ("v2g verify *",                     "wants a record that has grown; tests/controller/test_chain.py"),
    ("v2g check /etc/v2g/site.yaml",     "the file of an installation; tests/system/test_install.py"),
    ("v2g site migrate *",               "tests/controller/settings/test_migrate.py"),
    ("v2g bench run *",                  "tests/controller/bench/test_command.py"),
    ("v2g bench source-check *",         "tests/system/test_bench_loopback.py"),
    ("v2g export *",                     "tests/controller/telemetry/test_export.py"),
    ("python -m tests.system.losses*",   "takes 7 minutes; tests/system/test_loss.py is the short form"),
    ("python -m tests.performance *",    "takes minutes; tests/performance/test_performance.py is the short form"),
    ("python -m pytest -m nightly *",    "one of the night"),
    ("python -m controller.sitewrite",   "writes into the sources; tests/controller/test_site.py"),
    ("python -m tests.controller.configuration_page",
                                         "writes into the sources; tests/controller/test_configuration_page.py"),
    ("python -m tests.drivers.device_table",
                                         "writes into the sources; tests/drivers/test_newcomer.py"),
]
# fmt: on


def commands(text: str, sh: bool = True) -> list[str]:
    """The commands of a document, without `$ `, `sudo`, and what explains them. sh: those of `sh` blocks as well."""
    found = []
    for mark, block in re.findall(r"^ *```(\w*)\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            command = re.split(r"\s{2,}|\s#\s", line.strip().removeprefix("$ "))[0].removeprefix("sudo ")
            if (mark == "sh" and sh) or (mark in ("", "console") and command.split(" ")[0] in OURS):
                found.append(command)
    spans = re.sub(r"^ *```.*?^ *```", "", text, flags=re.MULTILINE | re.DOTALL)
    for span in re.findall(r"`([^`\n]+)`", spans):
        words = span.removeprefix("sudo ").split(" ")
        if words[0] in OURS and len(words) > (1 if words[0] == "make" else 2):
            found.append(span.removeprefix("sudo "))
    return [c for c in found if c and not c.startswith("#")]


def everything() -> dict[str, str]:
    """{command: the document that says it first}"""
    found: dict[str, str] = {}
    for document in SAID:
        for command in commands(document.read_text(encoding="utf-8"), sh=document.name not in OWN_TESTS):
            found.setdefault(command, str(document.relative_to(ROOT)))
    return found


def reason(command: str) -> str:
    """Why it does not run here; empty: it does."""
    return next((why for pattern, why in NOT_RUN if fnmatchcase(command, pattern)), "")


RUN = sorted((document, command) for command, document in everything().items() if not reason(command))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the documents name, under the very names."""
    folder = tmp_path_factory.mktemp("documents")
    site = (ROOT / "config/sites/demo-60hz.yaml").read_text(encoding="utf-8")
    folders = f"runtime_dir: {folder}/run\nstate_dir: {folder}/state\n"
    for name in ("SITE", "SITE.yaml"):
        (folder / name).write_text(site.replace("profile:", f"{folders}profile:", 1), encoding="utf-8")
    (folder / "FILE.yaml").write_text("freq_droop:\n  k_of: 0.03\n", encoding="utf-8")
    (folder / "FILE.csv").write_text("t_s,f_hz,v_pu,p_demand_w\n0,60,1,0\n1,60.2,1,1000\n", encoding="utf-8")
    write_journal(folder / "v2g-demo/RUN/state/journal.v2gj")
    program = folder / "bin/v2g"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m controller.cli "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    (program.parent / "python").symlink_to(sys.executable)
    return folder


def write_journal(path: Path) -> None:
    """A minute of a unit whose grid falls by 0.4 Hz."""
    core = Core(Settings(), 0.01)
    facts = {"epoch": 1, "site": "demo-60hz", "build": build_id(), "period_ns": 10_000_000, "start_mode": "demo"}
    writer = JournalWriter(path)
    writer.begin(facts | {"settings": to_mapping(Settings()), "settings_digest": core.digest, "wall_offset_ns": 0})
    f_hz = np.where(np.arange(6000) < 3000, 60.0, 59.6)
    steps = core.run({"f_hz": f_hz, "v_pu": np.ones(6000), "p_demand_w": np.zeros(6000)})
    writer.append(steps.tobytes())
    writer.close()


@pytest.mark.nightly  # a hundred starts of the program
@pytest.mark.parametrize(("document", "command"), RUN, ids=[f"{d}: {c}" for d, c in RUN])
def test_it_runs(folder: Path, document: str, command: str) -> None:
    environment = os.environ | {"PATH": f"{folder}/bin:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["sh", "-c", command], cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=900, check=False,  # the longest writes four hours of an outbox: a minute alone
    )  # fmt: skip
    assert done.returncode == 0, f"{document}: {command}\n{done.stdout}{done.stderr}"


def test_the_python_of_the_readme_prints_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    (source,) = re.findall(r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    exec(compile(source, "README.md", "exec"), {})  # the page's own text, nobody else's
    (promised,) = re.findall(r"print\(.*\)  # ([\d.]+) ->", source)
    assert float(capsys.readouterr().out) == pytest.approx(float(promised), abs=0.005)


def test_every_row_of_the_table_is_needed() -> None:
    first = {next(p for p, _ in NOT_RUN if fnmatchcase(c, p)) for c in everything() if reason(c)}
    assert [pattern for pattern, _ in NOT_RUN if pattern not in first] == [], "no document says this any more"


def test_every_test_that_is_named_is_there() -> None:
    named = {file for _, why in NOT_RUN for file in re.findall(r"tests/[\w/]+\.py", why)} | set(OWN_TESTS.values())
    assert [file for file in sorted(named) if not (ROOT / file).exists()] == []


@pytest.mark.parametrize(("pattern", "file"), [row for row in NOT_RUN if row[1].startswith("tests/")])
def test_where_it_runs_it_is_typed(pattern: str, file: str) -> None:
    """`v2g settings push *` -> the word "push" among the arguments that the test gives."""
    word = [w for w in pattern.replace("*", "").split(" ") if w and not w.startswith("-")][-1]
    assert f'"{word}"' in (ROOT / file).read_text(encoding="utf-8")


@pytest.mark.parametrize("command", sorted(c for c in everything() if reason(c) and c.startswith("v2g ")))
def test_what_does_not_run_is_at_least_understood(command: str) -> None:
    """Its arguments are those that the command has."""
    words = shlex.split(command)[1:]
    assert parser_for(words[0]).parse_args(words).command == words[0]
