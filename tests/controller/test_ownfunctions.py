"""`v2g settings push` and the question a live controller asks first, against a real simulated inverter over TCP."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

import drivers.sim.sunspec_curves
from controller import cli, ownfunctions
from controller.errors import InputError
from controller.lifetime import lock_folder
from controller.site import load_site
from drivers.base import BusError
from tests.drivers.sim.conftest import Simulation, simulation
from tests.drivers.sunspec_face import Face

__all__ = ["simulation"]  # a fixture

SITE = """\
schema: 1
name: own
start_mode: {mode}
i_accept: [real-power, slow-response, unproven-map]
runtime_dir: {folder}/run
state_dir: {folder}/state
meter: {{map: eastron-sdm630, host: 127.0.0.1, port: 1, location: inverter, phases: L1, refresh_ms: 100}}
inverter: {{map: sunspec-7xx, host: 127.0.0.1, port: {port}, reversion_s: 10}}
settings:
  rating: {{f_nom_hz: 50, v_nom_v: 230, p_rated_w: 7000, p_charge_rated_w: 7200, s_rated_va: 7400}}
  freq_droop: {{owner: {owner}, k_of: 0.04}}
  volt_watt: {{owner: {owner}, enable: true}}
  reactive: {{owner: {owner}, mode: volt_var}}
"""


def site_file(folder: Path, port: int, mode: str = "live", owner: str = "inverter") -> Path:
    path = folder / "own.yaml"
    path.write_text(SITE.format(folder=folder, port=port, mode=mode, owner=owner))
    return path


def port_of(simulation: Simulation) -> int:
    simulation.serve("inverter")
    return int((simulation.folder / "inverter.port").read_text())


def v2g(*arguments: object) -> int:
    return cli.main([str(a) for a in arguments])


def test_preview_write_and_preview_again(simulation: Simulation, capsys: pytest.CaptureFixture[str]) -> None:
    port = port_of(simulation)
    site = site_file(simulation.folder, port)
    assert v2g("settings", "push", site) == 1  # differences, and nothing was written
    out = capsys.readouterr().out.splitlines()
    assert out == [
        f"inverter 127.0.0.1:{port} unit 1",
        "freq_droop (owner: inverter): 2 differ",
        "  model 711 Ena: inverter 0, settings 1",
        "  model 711 Ctl[1].KOf: inverter 0.05 pu/pu, settings 0.04 pu/pu (freq_droop.k_of)",
        "volt_watt (owner: inverter): 1 differ",
        "  model 706 Ena: inverter 0, settings 1",
        "reactive (owner: inverter): 1 differ",
        "  model 705 Ena: inverter 0, settings 1",
        "enter_service (owner: inverter): as the settings say",
        "voltage_trip (owner: inverter): as the settings say",
        "frequency_trip (owner: inverter): as the settings say",
    ]
    assert v2g("settings", "push", site, "--write") == 0
    captured = capsys.readouterr()
    assert captured.err == f"WRITES to 127.0.0.1:{port} unit 1\n"
    assert captured.out.splitlines()[1:6] == [
        "  done: model 711: a set of 5 points is in force",
        "  done: model 711: Ena = 1",
        "  done: model 706: Ena = 1",
        "  done: model 705: Ena = 1",
        "freq_droop (owner: inverter): as the settings say",
    ]
    assert v2g("settings", "push", site, "--json") == 0
    assert json.loads(capsys.readouterr().out) == {
        "inverter": f"127.0.0.1:{port} unit 1", "done": [], "differences": []
    }  # fmt: skip


def on_face(monkeypatch: pytest.MonkeyPatch, **changed: float) -> Face:
    """The inverter of the site, without a wire."""
    face = Face()
    for name, value in changed.items():
        face.unit.image.put(name.replace("_", ".", 1), value)
    monkeypatch.setattr(ownfunctions, "Port", lambda *_: face)
    monkeypatch.setattr(ownfunctions, "monotonic", face.now)
    monkeypatch.setattr(ownfunctions, "sleep", face.sleep)
    return face


def test_a_refused_adoption_exits_with_3(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(drivers.sim.sunspec_curves, "is_followable", lambda *_: False)
    face = on_face(monkeypatch)
    assert v2g("settings", "push", site_file(tmp_path, 9), "--write") == 3
    assert capsys.readouterr().err.splitlines()[1:] == [
        "model 711: it refuses set 2 (AdptCtlRslt = 2); the points before are still in force"
    ]
    assert (face.get("711.Ena"), face.get("711.Ctl.0.KOf")) == (0, 0.05)


def test_ratings_that_differ_are_not_mended_and_exit_with_3(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    on_face(monkeypatch, **{"702_VNom": 240.0})
    assert v2g("settings", "push", site_file(tmp_path, 9), "--write") == 3
    assert (
        capsys.readouterr().err.splitlines()[1:]
        == ["127.0.0.1:9 unit 1: model 702 VNom: inverter 240 V, settings 230 V (rating.v_nom_v)"] * 2
    )  # volt-watt and volt-var


def test_trips_only_with_a_word_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    face = on_face(monkeypatch, **{"703_ESDlyTms": 60})
    site = site_file(tmp_path, 9, owner="controller")
    assert v2g("settings", "push", site, "--write") == 0
    out = capsys.readouterr().out
    assert "freq_droop (owner: controller): off there, as it must be\n" in out
    assert "enter_service (owner: inverter): 1 differ; belongs to the certified installer\n" in out
    assert face.writes == []
    assert v2g("settings", "push", site, "--installer") == 2
    assert capsys.readouterr().err == "--installer says what --write may write: give both\n"
    assert v2g("settings", "push", site, "--write", "--installer") == 0
    assert face.get("703.ESDlyTms") == 300


def test_never_beside_a_controller_that_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    face = on_face(monkeypatch)
    lock = lock_folder(tmp_path / "run", "core")
    assert lock is not None
    assert v2g("settings", "push", site_file(tmp_path, 9), "--write") == 2
    assert capsys.readouterr().err.splitlines()[1:] == [
        f"{tmp_path}/run: a controller of this site is running; stop it first"
    ]
    lock.close()
    assert face.writes == []


# ---- the question before power moves ----


# fmt: off
REFUSED: list[tuple[str, dict[str, float], str, str]] = [
    # owner         what the device has            the first line                                                   why
    ("inverter",    {"711_Ena": 1, "706_Ena": 1, "705_Ena": 1},
     "own.yaml:11: the inverter's own freq_droop is not as the settings say: model 711 Ctl[1].KOf: inverter 0.05 "
     "pu/pu, settings 0.04 pu/pu (freq_droop.k_of); `v2g settings push",                                "one point"),
    ("inverter",    {"711_Ctl.0.KOf": 0.04, "706_Ena": 1, "705_Ena": 1},
     "own.yaml:11: the inverter's own freq_droop is not as the settings say: model 711 Ena: inverter 0, settings 1; ",
                                                                                                        "switched off"),
    ("controller",  {"706_Ena": 1},
     "own.yaml:12: the inverter's own volt_watt acts beside the controller's: model 706 Ena: inverter 1, settings 0; ",
                                                                                                        "both act"),
]
# fmt: on


@pytest.mark.parametrize(("owner", "changed", "line", "why"), REFUSED, ids=[r[-1] for r in REFUSED])
def test_a_start_is_refused(
    owner: str, changed: dict[str, float], line: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_face(monkeypatch, **changed)
    with pytest.raises(InputError) as error:
        ownfunctions.agreed(load_site(site_file(tmp_path, 9, owner=owner)), threading.Event())
    (said,) = str(error.value).splitlines()
    assert said.startswith(f"{tmp_path}/{line}")
    assert said.endswith(f"--write` mends it, or change `{line.split()[4]}.owner`")


def test_a_start_is_granted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on_face(monkeypatch, **{"711_Ena": 1, "711_Ctl.0.KOf": 0.04, "706_Ena": 1, "705_Ena": 1})
    site = load_site(site_file(tmp_path, 9))
    assert ownfunctions.agreed(site, threading.Event())
    stopped = threading.Event()
    stopped.set()
    assert not ownfunctions.agreed(site, stopped)


def test_an_inverter_that_does_not_answer_yet_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    face = on_face(monkeypatch)
    stopping, asked = threading.Event(), list[str]()

    def silent(address: int, count: int) -> Any:
        asked.append("again")
        if len(asked) == 2:
            monkeypatch.setattr(face, "read", Face().read)
        raise BusError("no answer")

    monkeypatch.setattr(face, "read", silent)
    monkeypatch.setattr(ownfunctions, "AGAIN_S", 0.0)
    assert ownfunctions.agreed(load_site(site_file(tmp_path, 9, owner="controller")), stopping)
    assert len(asked) == 2


def test_v2g_run_in_live_mode_ends_with_one_line(simulation: Simulation) -> None:
    site = site_file(simulation.folder, port_of(simulation))
    done = subprocess.run(
        [sys.executable, "-m", "controller.cli", "run", str(site)],
        capture_output=True, text=True, timeout=60, check=False, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.returncode == 2
    lines = [line for line in done.stderr.splitlines() if "own.yaml" in line]
    assert [line.split(" is not as")[0].rpartition("own ")[2] for line in lines] == [
        "freq_droop", "volt_watt", "reactive"
    ]  # fmt: skip
    assert simulation.bar.get("writes") == 0.0
