"""The command line: what is imported when, exit codes, and one clear line for each kind of trouble."""

from __future__ import annotations

import argparse
import ast
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

import controller.commands
from controller import cli
from controller.build import VERSION
from controller.errors import InputError
from controller.site import SiteError
from cython_core.settings import SettingError
from drivers.base import BusError, DiscoveryError, MapError

ROOT = Path(cli.__file__).parent.parent
COMMAND_FILES = {name: Path(controller.commands.__path__[0]) / f"{name.replace('-', '_')}.py" for name in cli.COMMANDS}


def v2g(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "controller.cli", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("name", [name for name, file in COMMAND_FILES.items() if file.exists()])
def test_the_help_is_the_first_line_of_the_modules_docstring(name: str) -> None:
    docstring = ast.get_docstring(ast.parse(COMMAND_FILES[name].read_text(encoding="utf-8")))
    assert (docstring or "").splitlines()[0] == cli.COMMANDS[name]


def test_every_command_file_is_in_the_table() -> None:
    files = {file.stem for file in Path(controller.commands.__path__[0]).glob("*.py")} - {"__init__"}
    assert files <= {name.replace("-", "_") for name in cli.COMMANDS}


def test_help_imports_no_command_and_nothing_heavy() -> None:
    code = (
        "import sys; from controller import cli\n"
        "try: cli.main(['--help'])\n"
        "except SystemExit as e: assert e.code == 0\n"
        "heavy = {'numpy', 'yaml', 'pymodbus', 'paho', 'influxdb_client', 'rich', 'matplotlib'}\n"
        "found = [m for m in sys.modules if m.startswith('controller.commands.') or m in heavy]\n"
        "print(found, file=sys.stderr)"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr.strip() == "[]"
    assert all(f"  {name} " in done.stdout for name in cli.COMMANDS)
    assert max(len(line) for line in done.stdout.splitlines()) <= 80


def test_version() -> None:
    done = v2g("--version")
    assert done.returncode == 0
    assert re.fullmatch(r"v2g \d+\.\d+\.\d+, commit ([0-9a-f]{12}(-dirty)?|unknown), core [0-9a-f]{12}\n", done.stdout)


def test_the_version_stands_twice_and_is_the_same() -> None:
    """pyproject.toml is read when it is built, controller.build when it runs, from a tree that is not installed too."""
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == VERSION


# fmt: off
WRONG = [
    # arguments              on stderr
    ([],                     "the following arguments are required: COMMAND"),
    (["chekc"],              "invalid choice: 'chekc' (choose from"),
    (["check"],              "the following arguments are required: site"),
    (["check", "/no/such"],  "/no/such: cannot be read: No such file or directory"),
    (["check", "x", "--no"], "unrecognized arguments: --no"),
]
# fmt: on


@pytest.mark.parametrize(("arguments", "text"), WRONG, ids=[" ".join(c[0]) or "nothing" for c in WRONG])
def test_wrong_arguments_exit_with_2(arguments: list[str], text: str) -> None:
    done = v2g(*arguments)
    assert done.returncode == 2
    assert text in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


def command(monkeypatch: pytest.MonkeyPatch, run: Callable[[argparse.Namespace], int]) -> None:
    """`v2g run` becomes this function."""
    module = SimpleNamespace(add_arguments=lambda _parser: None, run=run)
    monkeypatch.setattr(cli, "import_module", lambda _name: module)


# fmt: off
RAISED = [
    # raised by the command                              exit  on stderr
    (SiteError("site.yaml:3: a\nsite.yaml:4: b"),        2,    "site.yaml:3: a\nsite.yaml:4: b\n"),
    (InputError("trace.csv:1: unknown column 'x'"),      2,    "trace.csv:1: unknown column 'x'\n"),
    (SettingError("k_of = 1 is outside 0.02 ... 0.05"),  2,    "k_of = 1 is outside 0.02 ... 0.05\n"),
    (MapError("acme.yaml:4: no such type"),              2,    "acme.yaml:4: no such type\n"),
    (BusError("no answer from 127.0.0.1:502 unit 1"),    3,    "no answer from 127.0.0.1:502 unit 1\n"),
    (DiscoveryError("no SunSpec model 704"),             3,    "no SunSpec model 704\n"),
    (PermissionError(13, "Permission denied", "/run/x"), 2,    "v2g run: /run/x: Permission denied\n"),
    (KeyboardInterrupt(),                                130,  "v2g: stopped by Ctrl-C\n"),
    (ModuleNotFoundError("rich", name="rich"),           2,
     "v2g run: the package rich is missing: pip install 'v2g-controller[demo]'\n"),
]
# fmt: on


@pytest.mark.parametrize(("raised", "code", "text"), RAISED, ids=[type(c[0]).__name__ for c in RAISED])
def test_trouble_is_one_clear_line(
    raised: BaseException, code: int, text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(_args: argparse.Namespace) -> int:
        raise raised

    command(monkeypatch, run)
    assert cli.main(["run"]) == code
    assert capsys.readouterr() == ("", text)


def test_a_fault_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(_args: argparse.Namespace) -> int:
        raise OSError(9, "Bad file descriptor")

    command(monkeypatch, run)
    with pytest.raises(OSError, match="Bad file descriptor"):
        cli.main(["run"])


@pytest.mark.parametrize("code", [0, 1, 2, 3])
def test_a_commands_own_code_is_handed_on(code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    command(monkeypatch, lambda _args: code)
    assert cli.main(["run"]) == code


def test_a_missing_command_module_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def absent(name: str) -> None:
        raise ModuleNotFoundError(name, name=name)

    monkeypatch.setattr(cli, "import_module", absent)
    assert cli.main(["run"]) == 2
    assert capsys.readouterr().err == "v2g: run is not part of this installation: install v2g-controller again\n"


def test_a_reader_that_has_enough_is_no_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)  # what is written now meets a broken pipe
    with os.fdopen(writing, "wb") as closed:
        done = subprocess.run(
            [sys.executable, "-m", "controller.cli", "check", "demo-50hz"],
            cwd=ROOT,
            stdout=closed,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.stderr == ""
    assert done.returncode == 141


# fmt: off
FULL = "v2g check: the output cannot be written: No space left on device\n"
OUTPUTS = [
    # of the shell                             exit  on stderr  why
    ("v2g check PATH",                         0,    "",        "plain"),
    ("PYTHONIOENCODING=ascii v2g check PATH",  0,    "",        "a terminal that knows ASCII alone"),
    ("v2g check PATH >/dev/full",              2,    FULL,      "a disk that is full"),
    ("v2g check PATH >&-",                     0,    "",        "closed"),
    ("v2g check PATH/no >&- 2>&-",             2,    "",        "both closed"),
    ("v2g check PATH 2>&- | cat",              0,    "",        "no place for complaints"),
]
# fmt: on


@pytest.mark.parametrize(("line", "code", "text", "why"), OUTPUTS, ids=[row[-1] for row in OUTPUTS])
def test_wherever_the_output_goes(tmp_path: Path, line: str, code: int, text: str, why: str) -> None:
    """The file's name holds a character that ASCII lacks, and stands on the page."""
    path = tmp_path / "Käfer.yaml"
    path.write_bytes((ROOT / "config" / "sites" / "demo-50hz.yaml").read_bytes())
    shell = line.replace("v2g", f"{sys.executable} -m controller.cli", 1).replace("PATH", str(path))
    command = ["bash", "-o", "pipefail", "-c", shell]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (code, text), done.stderr
