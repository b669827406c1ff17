"""A drill on a rig: what it refuses, what it can judge, and that its controller is told never to write."""

from __future__ import annotations

import fcntl
from dataclasses import replace
from pathlib import Path

import pytest

from controller.commands.drill import quiet
from controller.drill import ANSWERS, CASES, answer_of
from controller.drillrig import RIG_ANSWERS, DrillRig, on_tcp
from controller.errors import InputError
from controller.site import Site, load_site
from drivers.sim.faultscript import VERBS, parse
from drivers.sim.faultwords import WireFace

SITE = replace(load_site(Path("drill")), start_mode="live")


def test_whatever_the_site_says_it_is_played_in_shadow() -> None:
    assert on_tcp(SITE).start_mode == "shadow"


# fmt: off
NOT_ON_TCP = [
    # change                                                               why
    ({"meter": replace(SITE.meter, host=None, serial="/dev/ttyUSB0")},     "no proxy on somebody's serial line"),
    ({"meter": replace(SITE.meter, udp=True)},                             "nor before UDP"),
    ({"inverter": replace(SITE.inverter, host=None, serial="/dev/ttyS1")}, "the inverter neither"),
    ({"inverter": replace(SITE.inverter, host=None, can="can0")},          "nor on CAN"),
]
# fmt: on


@pytest.mark.parametrize(("change", "why"), NOT_ON_TCP, ids=[c[-1] for c in NOT_ON_TCP])
def test_a_device_that_is_not_on_tcp_is_refused(change: dict[str, object], why: str) -> None:
    with pytest.raises(InputError, match=r"drill\.yaml:[0-9]+: a drill on a rig needs Modbus TCP: `host`"):
        on_tcp(replace(SITE, **change))  # type: ignore[arg-type]  # any of a site's own keys


def in_folder(folder: Path) -> Site:
    return replace(on_tcp(SITE), runtime_dir=folder / "theirs")


def test_while_the_sites_own_controller_runs_it_is_refused(tmp_path: Path) -> None:
    site = in_folder(tmp_path)
    site.runtime_dir.mkdir()
    with (site.runtime_dir / "core.lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(InputError, match="the controller of this site is running; stop it first"):
            DrillRig(quiet(site, tmp_path), tmp_path, site)


def test_meanwhile_the_sites_own_controller_cannot_start(tmp_path: Path) -> None:
    site = in_folder(tmp_path)
    rig = DrillRig(quiet(site, tmp_path), tmp_path, site)
    with (site.runtime_dir / "core.lock").open("ab") as lock, pytest.raises(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    rig.stop()
    with (site.runtime_dir / "core.lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_its_controller_never_writes(tmp_path: Path) -> None:
    site = in_folder(tmp_path)
    rig = DrillRig(quiet(site, tmp_path), tmp_path, site)
    rig.ports, rig.broker_port = {"meter": 1, "inverter": 2}, 3
    rig.write_site()
    assert rig.command("controller")[-1] == "--watch-only"
    assert load_site(tmp_path / "site.yaml").start_mode == "shadow"
    assert "--watch-only" not in rig.command("telemetry")
    rig.stop()


def test_no_fault_of_frames_or_connections_is_missing_and_none_that_writes_or_invents_values() -> None:
    shown = {name for name in VERBS if name.startswith("meter.") and WireFace(1).has(name.partition(".")[2])}
    assert {name.partition(".")[2] for name in shown} == {
        "delay", "drip", "silent", "exception", "truncate", "garbage", "wrong_id", "wrong_unit", "duplicate", "reorder",
        "freeze", "reset", "refuse", "half_open",
    }  # fmt: skip
    assert not any(WireFace(1).has(fault) for fault in ("overwrite", "nan", "scale10", "soc_glitch", "fault", "local"))


def test_what_only_a_written_inverter_could_answer_is_not_judged() -> None:
    assert set(RIG_ANSWERS) < set(ANSWERS)
    assert not set(RIG_ANSWERS) & {"own timer", "no command", "car gone", "full", "told and stopped", "overwritten"}
    owed = {a.text: answer_of(a, SITE) for a in parse("\n".join(f"at 0s: {c}" for c in CASES.splitlines()), "f")}
    assert owed["process.kill controller"] == owed["inverter.silent writes"] == "own timer"
    assert sum(key in RIG_ANSWERS for key in owed.values()) >= 40
