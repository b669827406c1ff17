"""An inverter on CAN: what the site file may say, what the launcher waits for, what the core process loads for it."""

from __future__ import annotations

import json
import logging
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from controller import handed, launch
from controller.handed import ROOT, Handed, stamp
from controller.site import SiteError, load_site
from controller.sitewrite import site_text
from drivers.base import MapError
from drivers.can.dbc import can_plan
from drivers.can.link import CanLink
from drivers.mapfile import load_map
from tests.controller.test_runtime import core

SITE = """schema: 1
name: can-site
start_mode: shadow
profile: ieee1547-2018-cat-b-iii
runtime_dir: {folder}
state_dir: {folder}
i_accept: slow-response
meter: {{map: eastron-sdm630, host: 127.0.0.1, port: 9, location: inverter, phases: L1, poll_ms: 50, refresh_ms: 100}}
inverter: {{map: infypower-beg, can: can0, unit: 0, reversion_s: 10}}
"""
CAN, MAP = "can: can0", "map: infypower-beg"


def write(folder: Path, *changes: tuple[str, str]) -> Path:
    text = SITE.format(folder=folder)
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (folder / "site.yaml").write_text(text)
    return folder / "site.yaml"


MISTAKES = [
    # old, new, line, what is told
    (CAN + ", ", "", 9, "inverter: needs host (Modbus TCP) or serial (RTU), or can (SocketCAN)"),
    (CAN, f"{CAN}, host: 1.2.3.4", 9, "inverter: host and can exclude each other"),
    (CAN, f"{CAN}, serial: /dev/x", 9, "inverter: serial and can exclude each other"),
    (CAN, f"{CAN}, baud: 9600", 9, "baud belongs to serial; this wire has none"),
    (CAN, f"{CAN}, port: 502", 9, "port belongs to host; this wire has none"),
    (CAN, "can: 0x", 9, "can = 0x is not a SocketCAN interface like can0"),
    (CAN, "host: 1.2.3.4", 9, "map = infypower-beg is of a CAN device: it needs can (like can0)"),
    (MAP, "map: sunspec-7xx", 9, "map = sunspec-7xx is of no CAN device (it names no dbc); can = can0"),
    ("reversion_s: 10", "reversion_s: 9", 9, "reversion_s = 9 is outside 10 ... 10 s (the own timer of infypower-beg)"),
    ("host: 127.0.0.1, port: 9", CAN, 8, "unknown key 'can'; known: baud, host, "),
    ("shadow", "demo", 9, "can = can0 is not simulated here"),
]


@pytest.mark.parametrize(("old", "new", "line", "text"), MISTAKES, ids=[c[-1][:50] for c in MISTAKES])
def test_a_mistake_is_named_with_its_line(old: str, new: str, line: int, text: str, tmp_path: Path) -> None:
    path = write(tmp_path, (old, new))
    with pytest.raises(SiteError) as error:
        load_site(path)
    assert str(error.value).splitlines()[0].startswith(f"{path}:{line}: {text}")


def test_a_site_on_can(tmp_path: Path) -> None:
    site = load_site(write(tmp_path))
    assert site.inverter.wire == CanLink("can0")
    assert load_site(write(tmp_path, (CAN, "can: vcan0"), ("shadow", "demo"))).start_mode == "demo"
    (tmp_path / "again.yaml").write_text(site_text(site))
    again = load_site(tmp_path / "again.yaml")
    assert (again.inverter.can, again.inverter.host) == ("can0", None)


def test_check_prints_it(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "controller.cli", "check", "--json", str(write(tmp_path))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=ROOT, check=True)
    rows = {(row["group"], row["key"]): row["value"] for row in json.loads(done.stdout)["settings"]}
    assert rows["inverter", "can"] == "can0"


# ---- the launcher ----

NONE_HERE = "can-none: no such interface; as root: ip link set can-none type can bitrate 125000 restart-ms 100 && "


class StoppedInTheThirdWait(threading.Event):
    waits = 0

    def wait(self, _timeout: float | None = None) -> bool:
        self.waits += 1
        if self.waits == 3:
            self.set()
        return self.is_set()


def test_a_missing_interface_is_waited_for_and_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    site = load_site(write(tmp_path, (CAN, "can: can-none")))
    with caplog.at_level(logging.WARNING):
        assert launch.find_inverter(site, StoppedInTheThirdWait()) is None
    (line,) = caplog.messages
    assert line.startswith("V2G-INVERTER-NOT-FOUND " + NONE_HERE)


def test_a_wrong_map_is_not_waited_for(tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    maps = Path(ROOT) / "drivers" / "maps" / "inverters"
    mine.write_text((maps / "infypower-beg.yaml").read_text().replace("power.number", "power.watts"))
    (tmp_path / "infypower-beg.dbc").write_text((maps / "infypower-beg.dbc").read_text())
    site = load_site(write(tmp_path, (MAP, f"map: {mine}")))
    with pytest.raises(MapError, match=r"mine\.yaml:\d+: signal = watts is not in READ_REPLY of infypower-beg\.dbc"):
        launch.find_inverter(site, threading.Event())


# ---- the core ----


def hand(folder: Path) -> Handed:
    site = load_site(write(folder, (CAN, "can: can-none")))
    plan = can_plan("infypower-beg", 0, 10, 200, 300)
    return launch.hand_over(site, False, plan, load_map(site.meter.map), stamp())


def test_the_core_waits_for_its_interface_and_feeds_the_watchdog(tmp_path: Path) -> None:
    """The bus thread attempts; so systemd is fed, though there is no CAN here."""
    made = hand(tmp_path)
    assert (made.can, made.inverter[0], len(made.wires)) == ("can-none", 1, 1)
    with core(tmp_path, made) as process:
        assert process.told("WATCHDOG=1")[0] == "READY=1"
        process.child.send_signal(signal.SIGTERM)
        code, lines, modules = process.end()
    assert code == 0, lines
    assert {"drivers.can.bus", "drivers.can.poller", "drivers.can.wire"} <= modules
    heavy = {"drivers.can.dbc", "drivers.can.compiled", "drivers.can.tables", "drivers.can.canmap", "cantools", "can"}
    assert not modules & heavy
    ours = {m for m in modules if m.partition(".")[0] in ("controller", "cython_core", "drivers")}
    folders = {m.replace(".", "/") for m in ours if (Path(ROOT) / m.replace(".", "/")).is_dir()}
    assert folders == set(handed.FOLDERS)
