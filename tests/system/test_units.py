"""The units, as systemd reads them: without a complaint, and with no more rights than they need."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.need import tool

ROOT = Path(__file__).parents[2]
UNITS = sorted((ROOT / "systemd").glob("*.service"))
PLAIN = re.compile(r"^(\w+)=(.*)$", re.MULTILINE)


def run(*command: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
    """To the end; for the tests to look at."""
    return subprocess.run(
        command, cwd=ROOT, env={**os.environ, **env}, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture(scope="module")
def laid_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of an installation below a folder; its program says nothing but is there."""
    root = tmp_path_factory.mktemp("root")
    program = root / "opt/current/bin/v2g"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    done = run(ROOT / "systemd/install", "files", DESTDIR=str(root), PREFIX=str(root / "opt"))
    assert done.returncode == 0, done.stderr
    return root


@pytest.fixture(scope="module")
def analyze() -> str:
    return tool("systemd-analyze", "apt-get install systemd")


def settings(unit: Path) -> Iterator[tuple[str, str]]:
    """Its lines KEY=VALUE."""
    return ((key, value) for key, value in PLAIN.findall(unit.read_text()))


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_understands_every_line(unit: Path, laid_out: Path, analyze: str) -> None:
    done = run(analyze, "verify", laid_out / "usr/local/lib/systemd/system" / unit.name)
    ours = [line for line in done.stderr.splitlines() if "v2g" in line]  # the host's own units may have faults
    assert ours == []


def test_a_line_that_systemd_does_not_know_is_found(tmp_path: Path, analyze: str) -> None:
    (tmp_path / "v2g-wrong.service").write_text("[Service]\nExecStart=/bin/true\nProtectEverything=yes\n")
    assert "ProtectEverything" in run(analyze, "verify", tmp_path / "v2g-wrong.service").stderr


# fmt: off
EXPOSED = [
    # unit           most  why
    ("v2g",           1.8, "it holds wires, real-time rights and the network of its devices"),
    ("v2g-telemetry", 1.0, "a network, and one folder to write to"),
    ("v2g-bridge",    1.0, "the same"),
    ("v2g-demo",      1.0, "a network of its own"),
]
# fmt: on


@pytest.mark.parametrize(("unit", "most", "why"), EXPOSED, ids=[c[0] for c in EXPOSED])
def test_exposure(unit: str, most: float, why: str, analyze: str) -> None:
    """As systemd 252 counts: 10 is everything that root may do."""
    path = ROOT / "systemd" / f"{unit}.service"
    said = run(analyze, "security", "--offline=true", "--no-pager", path).stdout
    found = re.search(r"Overall exposure level for \S+: (\d+\.\d)", said)
    assert found, said
    assert float(found[1]) <= most, f"{why}\n{said}"


def test_every_unit_has_its_bound() -> None:
    assert sorted(unit.stem for unit in UNITS) == sorted(unit for unit, _, _ in EXPOSED)


# what the safety of the design rests on; the reasons stand in systemd/README.md
# fmt: off
KEPT = [
    # unit           line                                    why
    ("v2g",           ("Type", "notify"),                    "ready is: the loop runs"),
    ("v2g",           ("WatchdogSec", "2"),                  "fed by the loop's own progress"),
    ("v2g",           ("Restart", "always"),                 "whatever it died of"),
    ("v2g",           ("StartLimitIntervalSec", "0"),        "and however often"),
    ("v2g",           ("TimeoutStartSec", "infinity"),       "a silent device is no fault of the process"),
    ("v2g",           ("RuntimeDirectoryPreserve", "yes"),   "trips and delays survive a restart"),
    ("v2g-telemetry", ("RuntimeDirectoryPreserve", "yes"),   "its stop must not take the controller's ring away"),
    ("v2g-telemetry", ("StartLimitIntervalSec", "0"),        "a full disk may last"),
    ("v2g-bridge",    ("StartLimitIntervalSec", "0"),        "a database may be away for long"),
]
# fmt: on


@pytest.mark.parametrize(("unit", "line", "why"), KEPT, ids=[f"{c[0]} {c[1][0]}" for c in KEPT])
def test_lines_that_must_stay(unit: str, line: tuple[str, str], why: str) -> None:
    assert line in settings(ROOT / "systemd" / f"{unit}.service"), why


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_no_capability_and_no_policy_for_the_whole_unit(unit: Path) -> None:
    """Real time is asked for by each hot thread; the Python threads of the same process must not have it."""
    found = dict(settings(unit))
    assert (found["CapabilityBoundingSet"], found["AmbientCapabilities"], found["NoNewPrivileges"]) == ("", "", "yes")
    assert not {key for key in found if key.startswith("CPUScheduling")}


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_every_line_has_its_reason(unit: Path) -> None:
    """systemd/README.md names each key; what is only one of a list of locks stands there as such."""
    told = (ROOT / "systemd/README.md").read_text()
    assert [key for key, _ in settings(unit) if f"`{key}" not in told] == []


def test_the_users_files_stay(tmp_path: Path) -> None:
    """A second run says and changes nothing; a changed site file is the user's."""
    install, env = ROOT / "systemd/install", {"DESTDIR": str(tmp_path)}
    assert "/etc/v2g/site.yaml" in run(install, "files", **env).stdout
    site = tmp_path / "etc/v2g/site.yaml"
    assert "\nstart_mode: shadow " in site.read_text(), "the first run moves no power"
    site.write_text("mine\n")
    done = run(install, "files", **env)
    assert (done.returncode, done.stdout, site.read_text()) == (0, "", "mine\n")


def test_uninstall_leaves_the_users_files_and_nothing_of_ours(tmp_path: Path) -> None:
    env = {"DESTDIR": str(tmp_path), "PREFIX": "/opt/v2g"}
    assert run(ROOT / "systemd/install", "files", **env).returncode == 0
    build = tmp_path / "opt/v2g/0.1.0-0123456789ab"
    build.mkdir(parents=True)
    (build / "complete").touch()
    (tmp_path / "opt/v2g/current").symlink_to(build.name)
    (tmp_path / "opt/other").mkdir()
    done = run(ROOT / "systemd/install", "uninstall", **env)
    assert done.returncode == 0, done.stderr
    left = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if not p.is_dir() or p.is_symlink()}
    assert left == {"etc/v2g/site.yaml", "etc/v2g/site.example.yaml"}
    assert sorted(p.name for p in (tmp_path / "opt").iterdir()) == ["other"]


def test_a_prefix_that_is_no_folder_of_ours_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "usr/bin").mkdir(parents=True)
    (tmp_path / "usr/bin/true").touch()
    assert run(ROOT / "systemd/install", "uninstall", DESTDIR=str(tmp_path), PREFIX="/usr").returncode == 0
    assert (tmp_path / "usr/bin/true").exists()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_broken_off_half_a_build_is_none(how: signal.Signals, tmp_path: Path) -> None:
    """A Python that begins its environment and then takes its time; dash runs no EXIT trap when a signal ends it."""
    python, begun = tmp_path / "python3", tmp_path / "begun"
    real = f'exec {sys.executable} "$@"'
    slow = f'mkdir -p "$3/bin"; touch {begun}; exec sleep 60'
    python.write_text(f"#!/bin/sh\ncase $1$2 in -mvenv) {slow} ;; *) {real} ;; esac\n")
    python.chmod(0o755)
    env = os.environ | {"DESTDIR": str(tmp_path / "root"), "PREFIX": "/opt/v2g", "PYTHON": str(python)}
    install = subprocess.Popen([ROOT / "systemd/install", "install"], cwd=ROOT, env=env, start_new_session=True,
                               preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
    deadline = time.monotonic() + 60.0
    while not begun.exists():
        assert install.poll() is None
        assert time.monotonic() < deadline, "it has not begun"
        time.sleep(0.05)
    assert len(list((tmp_path / "root/opt/v2g").iterdir())) == 1
    os.killpg(install.pid, how)
    assert install.wait(30.0) != 0
    assert list((tmp_path / "root/opt/v2g").iterdir()) == []


# fmt: off
SWITCHES = [
    # in use  new  left behind          why
    ("",      "1", ["1"],               "the first of all: what was never in use goes"),
    ("1",     "3", ["1", "3"],          "the one before is the way back"),
    ("3",     "1", ["1", "3"],          "an older one again"),
    ("2",     "2", ["1", "2", "3"],     "the same again: nothing is touched"),
]
# fmt: on


@pytest.mark.parametrize(("before", "new", "left", "why"), SWITCHES, ids=[c[-1] for c in SWITCHES])
def test_the_build_before_stays_and_older_ones_go(
    before: str, new: str, left: list[str], why: str, tmp_path: Path
) -> None:
    """The switch alone, over builds laid out by hand; a folder that is no build of ours stays."""
    home = tmp_path / "opt/v2g"
    for build in ("1", "2", "3"):
        (home / build).mkdir(parents=True)
        (home / build / "complete").touch()
    (home / "notes").mkdir()
    if before:
        (home / "current").symlink_to(before)
    script = (ROOT / "systemd/install").read_text()
    switch = script[script.index("switch() {") : script.index("install_all() {")]
    done = run("sh", "-euc", f"DESTDIR={tmp_path} PREFIX=/opt/v2g name={new}\n{switch}\nswitch")
    assert done.returncode == 0, done.stderr
    assert (home / "current").readlink() == Path(new)
    assert sorted(p.name for p in home.iterdir()) == [*left, "current", "notes"], why
