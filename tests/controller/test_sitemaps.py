"""What a site's meter cannot serve: too coarse for a function, by name, with the line and the way out."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from controller import launch
from controller.errors import InputError
from controller.site import SiteError, load_site
from controller.timing import budgets
from drivers.mapfile import load_map
from tests.controller.test_site import changed, site_of, write
from tests.drivers.sunspec_words import serve
from tests.drivers.test_sunspec_meter import chain_of, model_203

LIVE = ("start_mode: shadow", "start_mode: live\ni_accept: [real-power, unproven-map]")
NO_DROOP = ("freq_droop:\n    k_of: 0.04", "freq_droop:\n    enable: false")
TRIP = "  frequency_trip:\n    owner: controller\n  enter_service:\n    owner: controller\n"


def with_meter(name: str, *changes: tuple[str, str]) -> str:
    text = changed("eastron-sdm630", name)
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


def complaints(folder: Path, text: str) -> list[str]:
    try:
        load_site(write(folder, text))
    except SiteError as error:
        return [line.replace(str(folder), "").lstrip("/") for line in str(error).splitlines()]
    return []


NEEDS = "needs 0.01 Hz or finer (1547-2018 4.4 Table 3)"
COARSE = "map = carlo-gavazzi-em340 shows frequency in steps of 0.1 Hz"
UNKNOWN = "nobody has written down in what steps map = janitza-umg96rm shows frequency"
MEASURE = "measure it in shadow, then write it as f_hz: resolution: into a copy of the map"
# fmt: off
CASES = [
    # the site                                                   what is said                                  why
    (with_meter("carlo-gavazzi-em340"),
     [f"site.yaml:6: {COARSE}; freq_droop {NEEDS}: use another meter, or `freq_droop.enable: false`"],
     "the droop is on by default: the line of the map"),
    (with_meter("carlo-gavazzi-em340", ("k_of: 0.04", "enable: true")),
     [f"site.yaml:23: {COARSE}; freq_droop {NEEDS}: use another meter, or `freq_droop.enable: false`"],
     "the line that switches it on"),
    (with_meter("carlo-gavazzi-em340", NO_DROOP) + TRIP,
     [f"site.yaml:25: {COARSE}; frequency_trip {NEEDS}: use another meter, or `frequency_trip.owner: inverter`",
      f"site.yaml:27: {COARSE}; enter_service {NEEDS}: use another meter, or `enter_service.owner: inverter`"],
     "a trip of ours, and the return after it"),
    (with_meter("carlo-gavazzi-em340", NO_DROOP) + "  fast_response:\n    enable: true\n  inertia:\n    enable: true\n",
     [f"site.yaml:25: {COARSE}; fast_response {NEEDS}: use another meter, or `fast_response.enable: false`",
      f"site.yaml:27: {COARSE}; inertia {NEEDS}: use another meter, or `inertia.enable: false`"],
     "each function by its name"),
    (with_meter("carlo-gavazzi-em340", NO_DROOP), [], "without a function of frequency it serves"),
    (with_meter("janitza-umg96rm"), [], "a step nobody has measured may be tried"),
    (with_meter("janitza-umg96rm", LIVE),
     [f"site.yaml:7: {UNKNOWN}; freq_droop {NEEDS}: {MEASURE}, or `freq_droop.enable: false`"],
     "but not with real power"),
    (with_meter("janitza-umg96rm", LIVE, NO_DROOP), [], "nor is it asked for where nothing needs it"),
    (with_meter("sunspec-meter", LIVE), [], "of a SunSpec meter it is seen when it is found"),
    (with_meter("victron-vm-3p75ct", LIVE, ("  location:", "  udp: true\n  location:")), [], "hundredths will do"),
]
# fmt: on


@pytest.mark.parametrize(("text", "said", "why"), CASES, ids=[c[-1] for c in CASES])
def test_a_meter_too_coarse_for_a_function(tmp_path: Path, text: str, said: list[str], why: str) -> None:
    told = [
        line for line in complaints(tmp_path, text) if "cannot be met" not in line
    ]  # a trip within 0.16 s: test_timing
    assert told == said, why


def test_a_site_with_a_sunspec_meter_is_checked_before_the_meter_is_there(tmp_path: Path) -> None:
    site = site_of(tmp_path, with_meter("sunspec-meter"))
    assert budgets(site)
    assert site.settings.fail_safe.frozen_after_s == 0.0  # nothing is promised about its steps
    house = "  site_limits:\n    enable: true\n    share_l1_pu: 1\n"
    at_house = with_meter("sunspec-meter", ("location: inverter", "location: connection")) + house
    assert complaints(tmp_path, at_house) == []


def meter_at(port: int) -> str:
    return with_meter("sunspec-meter", ("host: 192.168.1.50", f"host: 127.0.0.1\n  port: {port}"))


def test_the_launcher_finds_a_sunspec_meter(tmp_path: Path) -> None:
    with serve(chain_of((203, 105, model_203()))) as port:
        site = site_of(tmp_path, meter_at(port))
        device = launch.find_meter(site, threading.Event())
        assert device is not None
        plan, turnaround_ms = launch.measured_plan(site, device)
    assert plan.reads[0].address == 40078  # the first voltage: 8 words behind the model's ID
    assert len(plan.decodes) == 5
    assert turnaround_ms is not None


def test_the_launcher_refuses_one_that_turns_out_too_coarse(tmp_path: Path) -> None:
    with serve(chain_of((203, 105, model_203(m16=500, m17=0xFFFF)))) as port:
        site = site_of(tmp_path, meter_at(port))
        with pytest.raises(
            InputError, match=r"site.yaml:6: map = sunspec-meter shows .* steps of 0.1 Hz; freq_droop needs"
        ):
            launch.find_meter(site, threading.Event())


def test_the_launcher_waits_for_none_that_needs_no_finding(tmp_path: Path) -> None:
    site = site_of(tmp_path)
    assert launch.find_meter(site, threading.Event()) == load_map("eastron-sdm630")


def test_a_stop_ends_the_wait_for_a_meter(tmp_path: Path) -> None:
    stopping = threading.Event()
    stopping.set()
    assert launch.find_meter(site_of(tmp_path, with_meter("sunspec-meter")), stopping) is None
