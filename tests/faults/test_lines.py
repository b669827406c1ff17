"""What a person sees who got something wrong: one clear line on stderr (five for five mistakes), and the exit code."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.controller.test_site import FIVE, FIVE_LINES
from tests.faults.demos import v2g
from tests.faults.rig import ProcessError, Rig

ALLOWED = "t_s,f_hz or t_s,f_hz,v_pu or t_s,f_hz,v1_pu,v2_pu; then up to load_l1_w,load_l2_w,load_l3_w"
COLUMNS = f"trace.csv:1: columns time,freq; allowed: {ALLOWED}"
COMMAS = "trace.csv:1: columns are not separated by commas; allowed: comma between columns, dot in numbers"
RANGE = "allowed: 40 ... 70"
NO_TRACE = f"nosuch.csv: No such file or directory; allowed: a CSV file with {ALLOWED}"
NO_FILE = "nosuch.v2gj: No such file or directory"
BEHIND = "--start 400 is outside 0 ... 360 s, the length of the trace"

# fmt: off
TRACES = [
    # file                            line                                                     why
    ("time,freq\n0,50\n1,50\n",       COLUMNS,                                                 "unknown columns"),
    ("t_s;f_hz\n0;50,01\n1;50,02\n",  COMMAS,                                                  "semicolons"),
    ("t_s,f_hz\n0,50\n0,50\n",        "trace.csv:3: t_s = 0 after 0; allowed: rising times",   "time stands still"),
    ("t_s,f_hz\n0,50\n1,5000\n",      f"trace.csv:3: f_hz = 5000 is out of range; {RANGE}",    "millihertz by mistake"),
    ("t_s,f_hz\n0,50\n1,nan\n",       f"trace.csv:3: f_hz = nan is out of range; {RANGE}",     "not a number"),
    ("",                              f"trace.csv:1: no header; allowed: {ALLOWED}",           "an empty file"),
]
OPTIONS = [
    # arguments                        line                                        why
    (("demo", "--duration", "2"),      "--duration 2 is outside 5 ... 3600 s",     "too short to judge"),
    (("demo", "--start", "400"),       BEHIND,                                     "behind the end"),
    (("demo", "--trace", "nosuch.csv"), NO_TRACE,                                  "no such trace"),
    (("report", "nosuch.v2gj"),        f"v2g report: {NO_FILE}",                   "no such journal"),
    (("replay", "nosuch.v2gj"),        f"v2g replay: {NO_FILE}",                   "no such journal to replay"),
]
# fmt: on


@pytest.mark.parametrize(("text", "line", "why"), TRACES, ids=[c[-1] for c in TRACES])
def test_a_trace_that_cannot_be_played(tmp_path: Path, text: str, line: str, why: str) -> None:
    (tmp_path / "trace.csv").write_text(text)
    done = v2g("demo", "--trace", "trace.csv", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", line + "\n"), why
    assert [p.name for p in tmp_path.iterdir()] == ["trace.csv"], "nothing was started, nothing written"


@pytest.mark.parametrize(("arguments", "line", "why"), OPTIONS, ids=[c[-1] for c in OPTIONS])
def test_an_option_that_cannot_be_met(tmp_path: Path, arguments: tuple[str, ...], line: str, why: str) -> None:
    done = v2g(*arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", line + "\n"), why


# fmt: off
SCRIPTS = [
    # text                        line                                                            why
    (None,                        "faults.txt: No such file or directory",                        "no such script"),
    ("at 1s: meter.oops\n",       "faults.txt:1: 'meter.oops'; allowed: meter.delay, meter.drip, ", "no such fault"),
    ("at 70s: meter.nan\n",       "faults.txt:1: at 70 s, but only 60 s are played",              "behind the end"),
]
# fmt: on


@pytest.mark.parametrize(("text", "line", "why"), SCRIPTS, ids=[c[-1] for c in SCRIPTS])
def test_a_fault_script_that_cannot_be_played(tmp_path: Path, text: str | None, line: str, why: str) -> None:
    if text is not None:
        (tmp_path / "faults.txt").write_text(text)
    before = sorted(tmp_path.iterdir())
    done = v2g("demo", "--faults", "faults.txt", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, ""), why
    assert line in done.stderr
    assert done.stderr.count("\n") == 1, "one clear line"
    assert sorted(tmp_path.iterdir()) == before, "nothing was started, nothing written"


@pytest.mark.parametrize("command", ["check", "run", "telemetry", "bridge"])
def test_five_mistakes_in_a_site_file_are_five_lines(tmp_path: Path, command: str) -> None:
    (tmp_path / "site.yaml").write_text(FIVE)
    done = v2g(command, "site.yaml", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == FIVE_LINES


@pytest.fixture
def busy_port() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield int(taken.getsockname()[1])


def test_a_busy_port_is_one_line_with_the_address(tmp_path: Path, busy_port: int) -> None:
    """Of a simulated device; the controller itself listens nowhere. Whoever started it says the same."""
    line = f"127.0.0.1:{busy_port}: Address already in use; allowed: a free --port, or 0 for any"
    with Rig(tmp_path / "rig") as rig:
        rig.ports["meter"] = busy_port
        with pytest.raises(ProcessError) as said:
            rig.start("grid", "meter")
        assert str(said.value) == f"meter ended with code 2: {line}"
        assert rig.log("meter") == line + "\n"
