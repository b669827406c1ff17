"""`v2g reload` and a core process that runs: other settings between two steps, or one line that says why not."""

from __future__ import annotations

import json
import marshal
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.cli import main
from controller.handed import stamp
from controller.nextsettings import NAME, named
from cython_core.bulk import from_bytes
from cython_core.compiled import compiled
from cython_core.realtime.ring import RingReader
from cython_core.settings import Settings
from tests.controller.test_runtime import SITE, Process, core, hand

DROOP = "settings: {freq_droop: {k_uf: 0.03}, rating: {v_nom_v: 230, p_rated_w: 7000}}"


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Process]:
    """A core in shadow whose devices are not there."""
    with core(tmp_path, hand(tmp_path, "shadow")) as process:
        process.told("READY=1")
        yield process


def edited(folder: Path, old: str, new: str) -> str:
    path = folder / "site.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return str(path)


def with_droop(folder: Path) -> str:
    return edited(folder, "settings: {rating: {v_nom_v: 230, p_rated_w: 7000}}", DROOP)


def test_the_changed_setting_is_in_force_from_one_step_on(
    running: Process, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reader = RingReader(tmp_path / "ring")
    assert main(["reload", with_droop(tmp_path), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert [(c["group"], c["key"], c["a"], c["b"]) for c in answer["changes"]] == [("freq_droop", "k_uf", 0.05, 0.03)]
    rows = from_bytes(reader.read(1 << 20)[0])
    at = answer["from_step"] - int(rows["n"][0])
    before, after = rows["settings_digest"][at - 1], rows["settings_digest"][at]
    assert before == reader.info["settings_digest"] != after
    assert set(rows["settings_digest"][at:]) == {after}
    settings = json.loads((tmp_path / named(int(after))).read_text())["settings"]
    assert settings["freq_droop"]["k_uf"] == 0.03
    running.child.send_signal(signal.SIGTERM)
    code, lines, _ = running.end()
    assert code == 0
    assert f"<6>V2G-RELOAD other settings are in force: {after:016x}" in lines


def test_and_back_again_and_when_nothing_has_changed(
    running: Process, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["reload", with_droop(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines()[0] == (
        "freq_droop.k_uf                0.05 -> 0.03 pu/pu  (6.5.2.7 Table 24)"
    )
    assert main(["reload", str(tmp_path / "site.yaml")]) == 0
    assert capsys.readouterr().out.startswith("0 of ")
    assert main(["reload", edited(tmp_path, "k_uf: 0.03", "k_uf: 0.05")]) == 0
    assert capsys.readouterr().out.startswith("freq_droop.k_uf                0.03 -> 0.05 pu/pu")


# fmt: off
RESTART = [
    # in the site file            instead                          the line, and what it is about
    ("p_rated_w: 7000",           "p_rated_w: 8000",               "rating.p_rated_w has changed"),
    ("start_mode: shadow",        "start_mode: demo",              "start_mode (or --watch-only) has changed"),
    ("reversion_s: 8",            "reversion_s: 9",                "meter or inverter has changed"),
    ("map: eastron-sdm630",       "map: eastron-sdm230",           "meter.map or inverter.map has changed"),
    ("{rating: {",                "{freq_droop: {owner: inverter}, rating: {", "freq_droop.owner has changed"),
]
# fmt: on


@pytest.mark.parametrize(("old", "new", "said"), RESTART, ids=[c[-1] for c in RESTART])
def test_what_only_a_start_looks_at_needs_a_restart(
    running: Process, tmp_path: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, said: str
) -> None:
    path = edited(tmp_path, old, new)
    assert main(["reload", path]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert "; this needs a restart of the controller" in err
    assert err.startswith(f"{path}:"), "file and line come first"
    assert not (tmp_path / NAME).exists()
    assert running.child.poll() is None


def test_limits_of_the_house_need_a_start_that_asks_its_meter_for_the_power(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without that power they would hold the unit to the margins of a lost meter for as long as it runs."""
    at_house = SITE.replace("location: inverter, phases: L1", "location: connection, phases: L1L2L3")
    monkeypatch.setattr("tests.controller.test_runtime.SITE", at_house)
    with core(tmp_path, hand(tmp_path, "shadow")) as process:
        process.told("READY=1")
        path = edited(tmp_path, "{rating: {", "{site_limits: {enable: true}, rating: {")
        assert main(["reload", path]) == 2
    err = capsys.readouterr().err
    assert err == f"{path}:8: site_limits.enable has changed; this needs a restart of the controller\n"


def test_without_a_controller_it_says_how_to_start_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hand(tmp_path, "shadow")
    (tmp_path / "ring").unlink(missing_ok=True)
    assert main(["reload", str(tmp_path / "site.yaml")]) == 2
    assert "no controller of house-7 is running; start it: v2g run" in capsys.readouterr().err


GOOD = compiled(Settings(), 0.01)
# fmt: off
REFUSED = [
    # what lies there                           said                                why
    (b"no marshal",                             "V2G-RELOAD-REFUSED",               "anything at all"),
    (marshal.dumps((stamp(), 5, [])),           "is not what `v2g reload` writes",  "a number for the settings"),
    (marshal.dumps((stamp(), GOOD, ["07:30"])), "is not what `v2g reload` writes",  "a time of day for a moment"),
    (marshal.dumps((stamp(), GOOD, [10**30])),  "is not what `v2g reload` writes",  "a moment that no clock holds"),
    (marshal.dumps((stamp() + 1, GOOD, [])),    "the program was changed since",    "another build's bytes"),
    (marshal.dumps((stamp(), GOOD[:-8], [])),   "bytes; this build has",            "half of it"),
    (marshal.dumps((stamp(), compiled(Settings(), 0.02), [])), "settings for a period of 20000000 ns", "another grid"),
]
# fmt: on


@pytest.mark.parametrize(("content", "said", "why"), REFUSED, ids=[c[-1] for c in REFUSED])
def test_a_wrong_file_is_named_in_the_log_and_changes_nothing(
    running: Process, tmp_path: Path, content: bytes, said: str, why: str
) -> None:
    reader = RingReader(tmp_path / "ring")
    (tmp_path / "part").write_bytes(content)
    (tmp_path / "part").replace(tmp_path / NAME)
    running.told("WATCHDOG=1")
    running.told("WATCHDOG=1")  # it looks once between two of these
    running.child.send_signal(signal.SIGTERM)
    code, lines, _ = running.end()
    assert code == 0, why
    assert [line for line in lines if said in line], lines
    assert set(from_bytes(reader.read(1 << 20)[0])["settings_digest"]) == {reader.info["settings_digest"]}
