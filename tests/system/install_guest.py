"""make install, an upgrade, one that fails, and make uninstall, on a running system. Runs inside the guest only.

test_install.py boots it, with two trees of this project: /trees/old, an older commit, and /trees/new, this one. The
tests follow each other. No network: packages come from files.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.guest_words import READY_S, SITE, SITE_FILE, STATE, House, active, of, pid, said, systemctl, wait_for

LONG_S = 240.0  # reconnecting and sending anew have pauses of their own
OLD, NEW = Path("/trees/old"), Path("/trees/new")
SOURCES = set(OLD.rglob("*"))  # before anything is done
CURRENT = Path("/opt/v2g/current")
TELEMETRY = "telemetry:\n  mqtt: {host: 127.0.0.1, port: 1883, keepalive_s: 5}\n"
Keys = set[tuple[int, int]]  # epoch, t_ms


def make(tree: Path, target: str, **environment: str) -> subprocess.CompletedProcess[str]:
    ours = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}  # of these tests alone
    return subprocess.run(
        ["make", "--no-print-directory", "-C", tree, target], env={**ours, **environment}, capture_output=True,
        text=True, timeout=1800, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    home = House(tmp_path_factory.mktemp("house"))
    home.start_devices()
    yield home
    home.family.stop()


def test_one_command_installs_and_starts_in_shadow_mode() -> None:
    done = make(OLD, "install")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "start mode shadow" in done.stdout
    assert "next: " in done.stdout
    assert "\nstart_mode: shadow " in SITE_FILE.read_text()
    wait_for(lambda: of("v2g", "StatusText").startswith("waiting for the inverter"), READY_S, "the example site")
    assert subprocess.run(["systemctl", "is-enabled", "--quiet", "v2g", "v2g-telemetry"], check=False).returncode == 0
    version = subprocess.run(["/usr/local/bin/v2g", "--version"], capture_output=True, text=True, check=True).stdout
    assert version.startswith("v2g ")


def test_nothing_is_left_in_the_sources() -> None:
    """sudo make install in somebody's clone: no file of root's is added to it."""
    assert set(OLD.rglob("*")) - SOURCES == set()


def test_again_it_changes_nothing() -> None:
    build, before = CURRENT.resolve(), files()
    done = make(OLD, "install")
    assert done.returncode == 0, done.stderr
    assert "is there already" in done.stdout
    assert (CURRENT.resolve(), files()) == (build, before)


def files() -> dict[str, tuple[int, int]]:
    """What an installation has put outside its own folder, and when."""
    places = (Path("/usr/local/lib"), Path("/etc/v2g"))
    found = (p for place in places for p in place.rglob("*") if p.is_file())
    return {str(p): (p.stat().st_ino, p.stat().st_mtime_ns) for p in found}


def waiting() -> Keys:
    """What the outbox on disk keeps of live frames, its broker being away."""
    with sqlite3.connect(f"file:{STATE / 'outbox.sqlite'}?mode=ro", uri=True) as database:
        bodies = [json.loads(body) for (body,) in database.execute("SELECT body FROM rows WHERE kind = 'live'")]
    return {(body["epoch"], body["t_ms"]) for body in bodies}


def stored() -> Keys:
    path = STATE / "telemetry.sqlite"
    if not path.exists():
        return set()
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
        if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'points'").fetchone():
            return set()  # the bridge has just made the file
        return set(database.execute("SELECT epoch, t_ms FROM points WHERE kind = 'live'"))


def test_an_upgrade_keeps_site_file_journal_and_what_waits_in_the_outbox(house: House) -> None:
    SITE_FILE.write_text(SITE + TELEMETRY)
    systemctl("restart", "v2g", "v2g-telemetry")
    wait_for(house.charges, READY_S, "the charging power")
    wait_for(lambda: len(waiting()) >= 10, READY_S, "rows in the outbox")
    journal, rows, build = (STATE / "journal.v2gj").read_bytes(), waiting(), CURRENT.resolve()
    done = make(NEW, "install")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "start mode demo" in done.stdout
    assert CURRENT.resolve() != build
    assert build.exists(), "the way back"
    assert SITE_FILE.read_text() == SITE + TELEMETRY
    wait_for(lambda: f"{CURRENT.resolve()}/" in command_line(), READY_S, "the new program")
    wait_for(active, READY_S, "ready")
    wait_for(house.charges, READY_S, "the charging power")
    assert any(path.read_bytes().startswith(journal) for path in STATE.glob("journal*")), list(STATE.iterdir())
    house.family.start("broker", "controller.telemetry.broker", "--port", "1883")
    assert systemctl("start", "v2g-bridge").returncode == 0, said("v2g-bridge")
    wait_for(lambda: rows <= stored(), LONG_S, "every row that waited before the upgrade")


def command_line() -> str:
    main = of("v2g", "MainPID")
    path = Path(f"/proc/{main}/cmdline")
    return path.read_text().replace("\0", " ") if main != "0" and path.exists() else ""


def test_an_upgrade_that_fails_leaves_the_old_one_running() -> None:
    """A lock file that names what cannot be fetched: as a network that is away."""
    before, build = pid(), CURRENT.resolve()
    source = NEW / "cython_core/limits.pyx"
    source.write_text(source.read_text() + "\n# changed\n")
    done = make(NEW, "install", PIP_FIND_LINKS="/nowhere")
    assert done.returncode != 0
    time.sleep(1.0)
    assert (active(), pid(), CURRENT.resolve()) == (True, before, build)
    assert len(list(CURRENT.parent.glob("*-*"))) == 2, "half of a program is none"


def test_uninstall_stops_in_order_and_leaves_what_is_the_users(house: House) -> None:
    journals = {path.name for path in STATE.glob("journal*")}
    done = make(NEW, "uninstall")
    assert done.returncode == 0, done.stderr
    assert house.rests()
    assert house.bar.get("p_enabled") == 0.0, "handed back"
    assert of("v2g", "LoadState") == "not-found"
    assert not CURRENT.parent.exists()
    assert not Path("/usr/local/bin/v2g").is_symlink()
    assert SITE_FILE.read_text() == SITE + TELEMETRY
    assert {path.name for path in STATE.glob("journal*")} == journals
