"""Sites with other inverters than SunSpec 7xx: what follows from the map, and what it cannot do for the site."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from controller import cli, launch
from controller.site import Site, SiteError, load_site
from drivers.inverterplan import register_plan
from drivers.mapfile import load_map
from drivers.registermap import Plan
from drivers.tables import Read

GOOD = """\
schema: 1
name: house-7
start_mode: shadow
meter:
  map: eastron-sdm630
  host: 192.168.1.50
  location: inverter
  phases: L1L2L3
  refresh_ms: 200
inverter:
  map: wallbox-quasar1
  host: 192.168.1.60
  poll_ms: 500
  reversion_s: 12
settings:
  rating:
    p_rated_w: 7000
    p_charge_rated_w: 7000
"""
LIVE = "start_mode: live\ni_accept: [real-power, unproven-map]"


def site_of(folder: Path, text: str) -> Site:
    path = folder / "site.yaml"
    path.write_text(text)
    return load_site(path)


def changed(*pairs: tuple[str, str]) -> str:
    text = GOOD
    for old, new in pairs:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


def inverter(name: str) -> tuple[str, str]:
    return "map: wallbox-quasar1", f"map: {name}"


# ---- what follows from the map ----


def test_the_maps_settling_time_is_the_lag_unless_it_was_measured(tmp_path: Path) -> None:
    site = site_of(tmp_path, GOOD)
    assert site.inverter.lag_ms == 2500
    assert str(site.origins["inverter.lag_ms"]) == "map"
    assert site_of(tmp_path, changed(("poll_ms: 500", "lag_ms: 900"))).inverter.lag_ms == 900


# fmt: off
ROUNDS = [
    # map             wire                  round ms  set-point ms  why
    ("wallbox-quasar1", "host: 192.168.1.60", 100.0,    50.0,         "50 ms of rest beside each request, two a round"),
    ("infypower-beg",   "can: can0",          150.0,    150.0,        "three questions, three frames, 50 ms apart"),
    ("sunspec-7xx",     "host: 192.168.1.60", 0.0,      0.0,          "on TCP it wants no rest"),
]
# fmt: on


@pytest.mark.parametrize(("name", "wire", "round_ms", "write_ms", "why"), ROUNDS, ids=[row[-1] for row in ROUNDS])
def test_what_its_wire_costs(tmp_path: Path, name: str, wire: str, round_ms: float, write_ms: float, why: str) -> None:
    text = changed(inverter(name), ("host: 192.168.1.60", wire), ("reversion_s: 12", "reversion_s: 10"))
    found = site_of(tmp_path, text).inverter
    assert (found.round_ms, found.write_ms) == (round_ms, write_ms), why


def test_the_time_to_hand_back_follows_from_the_stop_writes() -> None:
    """SolaX rests 1 s between requests: one stop write and as many reads as its plan has, each tried twice."""
    plan = register_plan(load_map("solax-hybrid"), 1, 20, 300)
    expected_s = (len(plan.reads) + len(plan.stop)) * (2 * 0.3 + 1.0)
    assert launch.hand_back_s(plan) == pytest.approx(max(2.0, expected_s))
    assert launch.hand_back_s(Plan(1, (Read(3, 0, 1),), ())) == 2.0


OWN = """\
  min_abs_w: 300
  reverse_dwell_s: 5
"""


def test_smallest_power_and_dwell_of_the_map_are_defaults_of_the_settings(tmp_path: Path) -> None:
    shipped = (Path(load_map.__code__.co_filename).parent / "maps" / "inverters" / "wallbox-quasar1.yaml").read_text()
    own = tmp_path / "mine.yaml"
    own.write_text(shipped.replace("  settle_s: 2.5\n", OWN))
    limits = site_of(tmp_path, changed(inverter(str(own)))).settings.limits
    assert (limits.p_min_abs_w, limits.reverse_dwell_s) == (300.0, 5.0)
    text = changed(inverter(str(own))) + "  limits:\n    p_min_abs_w: 500\n"
    site = site_of(tmp_path, text)
    assert (site.settings.limits.p_min_abs_w, site.settings.limits.reverse_dwell_s) == (500.0, 5.0)
    assert str(site.origins["limits.p_min_abs_w"]) == "site:20"
    assert str(site.origins["limits.reverse_dwell_s"]) == "derived"


# ---- what is refused ----

AMBIBOX = "ambibox-ambicharge-home"
NO_ZERO = (
    "when nobody speaks to it: nothing brings it to 0 W then. Put a trip outside of it there, then add `no-own-timer`"
)
REFUSED = [
    # changes                                                          the line that is told
    (
        [("reversion_s: 12", "reversion_s: 5")],
        "site.yaml:14: reversion_s = 5 is outside 10 ... 300 s, the timer of map = wallbox-quasar1",
    ),
    (
        [inverter("victron-gx"), ("reversion_s: 12", "reversion_s: 61")],
        "site.yaml:14: reversion_s = 61 is outside 10 ... 60 s, the timer of map = victron-gx",
    ),
    (
        [("p_rated_w: 7000\n    p", "p_rated_w: 7500\n    p")],
        "site.yaml:17: p_rated_w = 7500 is above 7400 W, the most that map = wallbox-quasar1 takes",
    ),
    (
        [("p_charge_rated_w: 7000", "p_charge_rated_w: 7500")],
        "site.yaml:18: p_charge_rated_w = 7500 is above 7400 W, the most that",
    ),
    (
        [("rating:", "reactive:\n    mode: volt_var\n  rating:")],
        "site.yaml:17: mode = volt_var of reactive, but map = wallbox-quasar1 takes no reactive power: use `mode: off`",
    ),
    (
        [("rating:", "power_factor:\n    pf: 0.9\n  rating:")],
        "site.yaml:11: mode = constant_pf of reactive, but map = wallbox-quasar1 takes no reactive power",
    ),
    (
        [inverter("sunspec-12x"), ("rating:", "reactive:\n    mode: watt_var\n  rating:")],
        "site.yaml:17: mode = watt_var of reactive, but map = sunspec-12x takes no",
    ),
    (
        [inverter(AMBIBOX), ("location: inverter", "location: connection")],
        f"site.yaml:7: map = {AMBIBOX} cannot say the inverter's power: the meter must stand at its",
    ),
    (
        [inverter(AMBIBOX), ("start_mode: shadow", LIVE)],
        f"site.yaml:3: start_mode = live, but map = {AMBIBOX} has no timer of its own {NO_ZERO}",
    ),
    (
        [inverter("sma-sbs-si"), ("start_mode: shadow", LIVE), ("reversion_s: 12", "reversion_s: 60")],
        f"site.yaml:3: start_mode = live, but map = sma-sbs-si falls back to its own mode {NO_ZERO}",
    ),
    (
        [inverter("sunspec-12x"), ("start_mode: shadow", LIVE)],
        f"site.yaml:3: start_mode = live, but map = sunspec-12x falls back to its own mode {NO_ZERO}",
    ),
    (
        [inverter("wallbox-quasar2")],
        "site.yaml:11: map = wallbox-quasar2 is not there; known: ambibox-ambicharge-home,",
    ),
]


@pytest.mark.parametrize(("changes", "line"), REFUSED, ids=[r[-1][14:60] for r in REFUSED])
def test_what_the_map_cannot_do_is_told_with_its_line(
    tmp_path: Path, changes: list[tuple[str, str]], line: str
) -> None:
    site_of(tmp_path, GOOD)
    with pytest.raises(SiteError) as refusal:
        site_of(tmp_path, changed(*changes))
    told = [text.removeprefix(f"{tmp_path}/") for text in str(refusal.value).splitlines()]
    assert any(text.startswith(line) for text in told), told


ACCEPTED = [
    # changes                                                                     why
    ([("start_mode: shadow", LIVE)], "the charger stops by its own timer"),
    ([inverter("victron-gx"), ("start_mode: shadow", LIVE)], "so does a MultiPlus"),
    ([inverter(AMBIBOX), ("start_mode: shadow", LIVE.replace("]", ", no-own-timer]"))], "the site has a trip outside"),
    ([inverter(AMBIBOX)], "shadow needs no word"),
    ([("rating:", 'reactive:\n    mode: "off"\n  rating:')], "no reactive power is asked for"),
    ([("rating:", "reactive:\n    mode: constant_q\n  rating:")], "0 var is no reactive power"),
    ([inverter("fronius-gen24")], "found when it is started"),
]


@pytest.mark.parametrize(("changes", "why"), ACCEPTED, ids=[a[-1] for a in ACCEPTED])
def test_what_the_map_can_do(tmp_path: Path, changes: list[tuple[str, str]], why: str) -> None:
    assert site_of(tmp_path, changed(*changes)).name == "house-7"


# ---- check and run ----


def test_check_shows_where_the_lag_comes_from(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "site.yaml"
    path.write_text(GOOD)
    assert cli.main(["check", str(path)]) == 0
    page = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert any(line.startswith("lag_ms 2500 ms map") for line in page)
    assert "inverter lag 2500" in page


def test_plain_registers_need_no_discovery(tmp_path: Path) -> None:
    site = site_of(tmp_path, changed(inverter("victron-gx"), ("poll_ms: 500", "unit: 227")))
    plan = launch.find_inverter(site, threading.Event())
    assert isinstance(plan, Plan)
    assert (plan.unit, plan.timeout_ms) == (227, 300)
    assert Read(3, 843, 1, 5, 100) in plan.reads


def test_the_sites_own_map_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def find(*arguments: Any) -> str:
        asked.extend(arguments)
        return "plan"

    monkeypatch.setattr(launch, "discover_in_child", find)
    site = site_of(tmp_path, changed(inverter("sunspec-12x")))
    assert launch.find_inverter(site, threading.Event()) == "plan"  # type: ignore[comparison-overlap]  # what find said
    assert asked[1:] == [1, 12, 5.0, 300, "sunspec-12x", True]
