"""Site files: what a right one becomes, and every mistake with its line and what is allowed."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import controller.configfiles
from controller.site import Site, SiteError, load_settings, load_site
from controller.sitedata import Origin
from controller.sitewrite import MARK, reference_text, site_text
from controller.timing import ages, budgets
from cython_core.settings import Settings, to_mapping

GOOD = """\
schema: 1
name: house-7
start_mode: shadow
profile: ieee1547-2018-cat-b-iii
meter:
  map: eastron-sdm630
  host: 192.168.1.50
  location: inverter
  phases: L1L2L3
  poll_ms: 100
  timeout_ms: 150
  refresh_ms: 200
inverter:
  map: sunspec-7xx
  host: 192.168.1.60
  poll_ms: 250
  timeout_ms: 300
  reversion_s: 8
settings:
  rating:
    p_rated_w: 7000
  freq_droop:
    k_of: 0.04
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "site.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def changed(old: str, new: str) -> str:
    assert GOOD.count(old) == 1, old
    return GOOD.replace(old, new)


def site_of(folder: Path, text: str = GOOD) -> Site:
    return load_site(write(folder, text))


def complaints(folder: Path, text: str) -> list[str]:
    """The lines of the refusal, with the folder taken off."""
    with pytest.raises(SiteError) as refusal:
        site_of(folder, text)
    return [line.removeprefix(f"{folder}/") for line in str(refusal.value).splitlines()]


# ---- a right file ----


def test_a_right_file(tmp_path: Path) -> None:
    site = site_of(tmp_path)
    assert (site.name, site.start_mode, site.period_ms, site.require_realtime) == ("house-7", "shadow", 10, False)
    assert (site.meter.location, site.meter.phases, site.meter.port, site.meter.unit) == ("inverter", "L1L2L3", 502, 1)
    assert site.inverter.reversion_s == 8
    assert (site.runtime_dir, site.state_dir) == (Path("/run/v2g/house-7"), Path("/var/lib/v2g/house-7"))
    assert site.settings.freq_droop.k_of == 0.04


def test_no_server_configured_means_sqlite(tmp_path: Path) -> None:
    telemetry = site_of(tmp_path).telemetry
    assert telemetry.live_s == 1.0
    assert telemetry.mqtt is None
    assert telemetry.store is not None
    assert telemetry.store.kind == "sqlite"
    assert telemetry.store.sqlite_path == Path("/var/lib/v2g/house-7/telemetry.sqlite")


def test_whole_numbers_become_floats_in_the_settings(tmp_path: Path) -> None:
    assert isinstance(site_of(tmp_path).settings.rating.p_rated_w, float)


# fmt: off
ORIGINS = [
    # key                  kind       line  why
    ("freq_droop.k_of",    "site",    23,   "the site file has the last word"),
    ("freq_droop.k_uf",    "profile", 21,   "the profile comes before the defaults"),
    ("fail_safe.t_meter_s", "derived", 0,   "follows from the meter's numbers"),
    ("meter.refresh_ms",   "site",    12,   "the site's own groups have places too"),
]
# fmt: on


@pytest.mark.parametrize(("key", "kind", "line", "why"), ORIGINS, ids=[c[-1] for c in ORIGINS])
def test_where_a_value_comes_from(tmp_path: Path, key: str, kind: str, line: int, why: str) -> None:
    origin = site_of(tmp_path).origins[key]
    assert (origin.kind, origin.line) == (kind, line), why


def test_an_overridden_line_of_the_profile_is_remembered(tmp_path: Path) -> None:
    assert re.fullmatch(r".*/ieee1547-2018-cat-b-iii\.yaml:22", site_of(tmp_path).origins["freq_droop.k_of"].over)


def test_a_default_has_no_origin_of_its_own(tmp_path: Path) -> None:
    assert "limits.soc_min_pu" not in site_of(tmp_path).origins
    assert str(Origin("default")) == "default"


# ---- freshness: T = max(poll, refresh, timeout + retry) ----

# fmt: off
WIRES = [
    # poll  timeout  refresh  T_ms  why
    (100,   150,     200,     300,  "one time-out and one retry: 2 x 150"),
    (700,   150,     200,     700,  "a slow poll"),
    (100,   150,     900,     900,  "a slow meter"),
]
# fmt: on


@pytest.mark.parametrize(("poll", "timeout", "refresh", "t_ms", "why"), WIRES, ids=[c[-1] for c in WIRES])
def test_ages_follow_from_the_wire(tmp_path: Path, poll: int, timeout: int, refresh: int, t_ms: int, why: str) -> None:
    text = changed("poll_ms: 100", f"poll_ms: {poll}").replace("timeout_ms: 150", f"timeout_ms: {timeout}")
    site = site_of(tmp_path, text.replace("refresh_ms: 200", f"refresh_ms: {refresh}"))
    assert site.settings.fail_safe.t_meter_s == t_ms / 1000
    assert site.settings.fail_safe.meter_half_refresh_s == refresh / 2000
    assert site.settings.freq_droop.refresh_s == refresh / 1000
    frequency = ages(site)[0]
    assert (frequency.fresh_ms, frequency.held_ms) == pytest.approx((2 * t_ms, max(5 * t_ms, 1000))), why


def test_lost_is_never_later_than_the_inverters_own_timer(tmp_path: Path) -> None:
    assert site_of(tmp_path).settings.fail_safe.lost_after_s == 8.0
    assert site_of(tmp_path, changed("reversion_s: 8", "reversion_s: 60")).settings.fail_safe.lost_after_s == 10.0


def test_given_ages_win_over_derived_ones(tmp_path: Path) -> None:
    site = site_of(tmp_path, GOOD + "  fail_safe:\n    t_meter_s: 0.5\n")
    assert site.settings.fail_safe.t_meter_s == 0.5
    assert site.settings.fail_safe.t_device_s == 0.6


def test_the_meters_place_names_its_power(tmp_path: Path) -> None:
    site = site_of(tmp_path, changed("location: inverter", "location: connection"))
    assert [a.signal for a in ages(site)] == ["frequency", "voltage", "connection power", "inverter state"]


# ---- what follows from the meter's map ----

METER_MAP = """\
schema: 1
device: acme-m3
kind: meter
source: "made up"
proven: document
function: 4
max_words: 40
refresh_ms: 400
registers:
  f_hz: {at: 70, type: f32, unit: Hz, range: [40, 70], resolution: 0.01}
  v1_v: {at: 0, type: f32, unit: V, range: [0, 400], resolution: 0.01}
  p_w: {at: 52, type: f32, unit: W, range: [-50000, 50000], scale: -1, every: 5}
"""


def with_map(folder: Path, text: str, site: str) -> Site:
    (folder / "acme.yaml").write_text(text)
    assert "map: eastron-sdm630" in site
    return site_of(folder, site.replace("map: eastron-sdm630", f"map: {folder}/acme.yaml").replace("L1L2L3", "L1"))


def test_the_maps_refresh_counts_until_the_site_measures_its_own(tmp_path: Path) -> None:
    assert site_of(tmp_path).meter.refresh_ms == 200
    assert site_of(tmp_path, changed("  refresh_ms: 200\n", "")).meter.refresh_ms == 1000  # of eastron-sdm630
    site = with_map(tmp_path, METER_MAP, changed("  refresh_ms: 200\n", ""))
    assert (site.meter.refresh_ms, str(site.origins["meter.refresh_ms"])) == (400, "map")
    assert site.settings.freq_droop.refresh_s == 0.4  # what follows from it follows from the map's too
    assert site.settings.fail_safe.t_meter_s == 0.4


def test_a_map_that_is_too_slow_to_be_a_default(tmp_path: Path) -> None:
    slow = METER_MAP.replace("refresh_ms: 400", "refresh_ms: 9000")
    with pytest.raises(SiteError, match=r"site\.yaml:6: refresh_ms = 9000 of .*acme\.yaml is outside 0 \.\.\. 5000 ms"):
        with_map(tmp_path, slow, changed("  refresh_ms: 200\n", ""))
    assert with_map(tmp_path, slow, GOOD).meter.refresh_ms == 200


F_STEP, V_STEP = ", resolution: 0.01}\n  v1_v", ", resolution: 0.01}\n  p_w"

# fmt: off
FROZEN = [
    # of    is written                  refresh  poll  after_s  why
    ("",    "",                         200,     100,   5.0,    "20 x 0.2 s = 4 s: at least 5 s"),
    ("",    "",                         900,     100,   18.0,   "20 refreshes of 0.9 s"),
    ("",    "",                         200,     700,   14.0,   "asked each 0.7 s, it shows a new value no faster"),
    ("",    "",                         3000,    100,   60.0,   "20 x 3 s: the longest time there is"),
    ("",    "",                         3001,    100,   0.0,    "longer than that: off"),
    (V_STEP, "resolution: 0.001",       200,     100,   5.0,    "finer is as good"),
    (V_STEP, "resolution: 0.1",         200,     100,   0.0,    "a quiet grid stays inside 0.1 V"),
    (V_STEP, "every: 1",                200,     100,   0.0,    "voltage: nobody has written it down"),
    (V_STEP, "resolution: 0.01, every: 5", 200,  100,   0.0,    "voltage is not on the fast list"),
    (F_STEP, "resolution: 0.1",         200,     100,   0.0,    "frequency in steps of 0.1 Hz"),
    (F_STEP, "every: 1",                200,     100,   0.0,    "frequency: nobody has written it down"),
]
# fmt: on


@pytest.mark.parametrize(("of", "written", "refresh", "poll", "after_s", "why"), FROZEN, ids=[c[-1] for c in FROZEN])
def test_when_a_repeated_answer_is_a_frozen_meter(
    tmp_path: Path, of: str, written: str, refresh: int, poll: int, after_s: float, why: str
) -> None:
    text = changed("refresh_ms: 200", f"refresh_ms: {refresh}").replace("poll_ms: 100", f"poll_ms: {poll}")
    text = text.replace("reversion_s: 8", "reversion_s: 60") + "    enable: false\n"  # which a coarse meter must have
    slow = text + "  fail_safe:\n    lost_after_s: 30\n"
    site = with_map(tmp_path, METER_MAP.replace(of, of.replace("resolution: 0.01", written)), slow)
    assert site.settings.fail_safe.frozen_after_s == after_s, why
    assert site.origins["fail_safe.frozen_after_s"].kind == "derived"


def test_the_site_has_the_last_word_on_a_frozen_meter(tmp_path: Path) -> None:
    assert site_of(tmp_path).settings.fail_safe.frozen_after_s == 5.0  # eastron-sdm630 shows 0.01 Hz and 0.01 V
    site = site_of(tmp_path, GOOD + "  fail_safe:\n    frozen_after_s: 0\n")
    assert site.settings.fail_safe.frozen_after_s == 0.0


def test_a_mistake_in_a_map_is_named_in_the_map(tmp_path: Path) -> None:
    with pytest.raises(SiteError) as refusal:
        with_map(tmp_path, METER_MAP.replace("unit: V", "unit: kV"), changed("k_of: 0.04", "k_of: 0.5"))
    site, meter = str(refusal.value).splitlines()
    assert site.startswith(f"{tmp_path}/site.yaml:23: k_of = 0.5 is outside")
    assert meter.startswith(f"{tmp_path}/acme.yaml:11: unit = kV is not one of V")


def test_a_map_of_the_wrong_kind_of_device(tmp_path: Path) -> None:
    (tmp_path / "acme.yaml").write_text(METER_MAP)
    first = complaints(tmp_path, changed("map: sunspec-7xx", f"map: {tmp_path}/acme.yaml"))[0]
    assert first == f"site.yaml:14: map = {tmp_path}/acme.yaml is a map of kind meter; allowed: inverter"


# ---- response time ----


def test_the_way_from_the_grid_to_the_answer(tmp_path: Path) -> None:
    (droop,) = budgets(site_of(tmp_path))
    # refresh 200 + second reading 200 + poll 100 + step 10 + write behind one read 250 + lag 500 (assumed)
    assert droop.total_ms == 1260
    assert droop.allowed_ms == 5000
    assert droop.met


def test_a_response_time_that_cannot_be_met_is_refused_at_its_line(tmp_path: Path) -> None:
    (line,) = complaints(tmp_path, GOOD + "    t_response_s: 1\n")
    assert line.startswith("site.yaml:24: t_response_s = 1 s of freq_droop cannot be met: meter refresh 200 + ")
    assert "= 1260 ms; raise t_response_s" in line


def test_the_owner_may_accept_a_slow_response_in_words(tmp_path: Path) -> None:
    site = site_of(tmp_path, GOOD + "    t_response_s: 1\ni_accept: slow-response\n")
    assert not budgets(site)[0].met


def test_the_refusal_carries_the_site_for_check(tmp_path: Path) -> None:
    with pytest.raises(SiteError) as refusal:
        site_of(tmp_path, GOOD + "    t_response_s: 1\n")
    assert refusal.value.site is not None


# ---- mistakes, one each ----

# fmt: off
MISTAKES = [
    # instead of, stands, line                                  begins with
    ("k_of: 0.04", "k_of: 0.5", 23,                            "k_of = 0.5 is outside 0.02 ... 0.05 pu/pu (1547-2018"),
    ("k_of: 0.04", "k_of: .nan", 23,                           "k_of = .nan is outside 0.02 ... 0.05 pu/pu"),
    ("k_of: 0.04", "k_off: 0.04", 23,                          "unknown key 'k_off'; known: db_of_hz, db_uf_hz,"),
    ("k_of: 0.04", "enable: on", 23,                           "enable = on is not true or false"),
    ("k_of: 0.04", "k_of: [0.04]", 23,                         "k_of holds a list or group; it takes one value: 0.02"),
    ("k_of: 0.04", "k_of:", 23,                                "k_of has no value; allowed: 0.02 ... 0.05"),
    ("k_of: 0.04", "k_of: true", 23,                           "k_of = true is not a number; allowed: 0.02 ... 0.05"),
    ("p_rated_w: 7000", "p_rated_w: 50e3", 21,                 "p_rated_w = 50e3 is not a number: YAML reads it as"),
    ("p_rated_w: 7000", "p_rated_w: 07000", 21,                "p_rated_w = 07000 is read by YAML as 3584: quote it"),
    ("  rating:", "  ratings:", 20,                            "unknown key 'ratings'; known: active_limit, const_var"),
    ("poll_ms: 100", "poll_ms: 12:30", 10,                     "poll_ms = 12:30 is read by YAML as 750: quote it"),
    ("reversion_s: 8", "reversion_s: 12:30", 18,               "reversion_s = 12:30 is read by YAML as 750: quote it"),
    ("name: house-7", "name: 12:30", 2,                        "name = 12:30 is read by YAML as 750: quote it if it"),
    ("reversion_s: 8", "reversion_s: '8'", 18,                 "reversion_s = 8 is not a whole number: write it with"),
    ("poll_ms: 100", "poll_ms: 0x1_0", 10,                     "poll_ms = 0x1_0 is read by YAML as 16: quote it"),
    ("poll_ms: 100", "poll_ms: 100.5", 10,                     "poll_ms = 100.5 is not a whole number; allowed: 5"),
    ("poll_ms: 100", "poll_ms: &p 100", 10,                    "anchors (&) and aliases (*) are not used"),
    ("poll_ms: 100", "poll_ms: !x 100", 10,                    "poll_ms = '100' has a tag (!x); only plain values"),
    ("  timeout_ms: 150", "  poll_ms: 150", 11,                "key 'poll_ms' stands twice; the first is in line 10"),
    ("  phases: L1L2L3\n", "", 5,                              "meter: missing key 'phases': L1 | L1L2L3 | split"),
    ("  location: inverter\n", "", 5,                          "meter: missing key 'location': inverter | connection"),
    ("  reversion_s: 8\n", "", 13,                             "inverter: missing key 'reversion_s': 2 ... 300 s"),
    ("  host: 192.168.1.50\n", "", 5,                          "meter: needs host (Modbus TCP) or serial (RTU)"),
    ("phases: L1L2L3", "phases: L2", 9,                        "phases = L2 is not one of L1 | L1L2L3 | split"),
    ("phases: L1L2L3", "phases: no", 9,                        "phases = no is read by YAML as bool, not as text:"),
    ("name: house-7", "name: House 7", 2,                      "name = House 7 is not 1 ... 32 of a-z, 0-9 and -"),
    ("name: house-7", "name: 12", 2,                           "name = 12 is read by YAML as int, not as text: quote"),
    ("schema: 1", "schema: 2", 1,                              "schema = 2 is newer than this program, which reads"),
    ("schema: 1\n", "", 1,                                     "missing key 'schema'"),
    ("start_mode: shadow", "start_mode: on", 3,                "start_mode = on is read by YAML as bool"),
    ("profile: ieee1547-2018-cat-b-iii", "profile: ../x", 4,   "profile = ../x is not a file in config/profiles"),
    ("profile: ieee1547-2018-cat-b-iii", "profile: x", 4,      "profile = x is not there; known: 50hz-droop,"),
    ("schema: 1", "accept_unverified: x\nschema: 1", 1,       "accept_unverified = x is not the profile: ieee1547"),
    ("settings:", "setings:", 19,                              "unknown key 'setings'; known: accept_unverified, depa"),
    ("map: eastron-sdm630", "map: acme", 6,                    "map = acme is not there; known: abb-b23, "),
    ("map: eastron-sdm630", "map: sunspec-7xx", 6,             "map = sunspec-7xx is not there; known: abb-b23, "),
    ("map: sunspec-7xx", "map: eastron-sdm630", 14,            "map = eastron-sdm630 is not there; known: ambibox"),
    ("map: eastron-sdm630", "map: /no/acme.yaml", 6,           "map = /no/acme.yaml is not a file"),
    ("start_mode: shadow", "start_mode: demo", 7,              "host = 192.168.1.50 is not simulated here: start_m"),
    ("start_mode: shadow", "start_mode: live", 3,              "start_mode = live moves real power: prove first"),
    ("schema: 1", "schema: 1\nstate_dir: x", 2,                "state_dir = x is not a path from the root"),
    ("schema: 1", "i_accept: yes-all\nschema: 1", 1,           "i_accept = yes-all is not one of real-power |"),
    ("schema: 1", "schema: 1\nbad", 3,                         "is not YAML: "),
    ("schema: 1", "schema: 1\n  and more", 1,                  "schema = 1 and more is not a whole number"),
]
# fmt: on


@pytest.mark.parametrize(("old", "new", "line", "text"), MISTAKES, ids=[c[-1][:40] for c in MISTAKES])
def test_a_mistake_is_named_with_its_line(tmp_path: Path, old: str, new: str, line: int, text: str) -> None:
    first = complaints(tmp_path, changed(old, new))[0]
    assert first.startswith(f"site.yaml:{line}: {text}"), first


# fmt: off
CONTRADICTIONS = [
    # appended, line                                    begins with
    ("  fail_safe:\n    lost_after_s: 9\n", 25,      "lost_after_s = 9 is above the inverter's own timer,"),
    ("  fail_safe:\n    command_valid_s: 8\n", 25,   "command_valid_s = 8 is outside 0.02 ... 8 s"),
    ("  fail_safe:\n    t_meter_s: 2\n", 11,         "the meter would be held for 10 s but is lost after 8 s"),
    ("  limits:\n    soc_min_pu: 0.96\n", 25,        "soc_min_pu = 0.96 is not below soc_max_pu = 0.95"),
    ("  volt_var:\n    v1_pu: 0.97\n", 25,           "v1_pu ... v4_pu = (0.97, 0.98, 1.02, 1.08) do not rise"),
    ("telemetry:\n  store:\n    kind: influx\n", 25, "telemetry.store: missing key 'url', which kind influx needs"),
    ("telemetry:\n  store:\n    kind: sqlite\n    org: a\n", 27, "org belongs to kind: influx; this store is sqlite"),
    ("telemetry:\n  store:\n    kind: influx1\n    url: http://h\n", 25,
     "telemetry.store: missing key 'database', which kind influx1 needs"),
    ("telemetry:\n  store:\n    kind: victoriametrics\n    url: http://h\n    max_mb: 99\n", 28,
     "max_mb belongs to kind: sqlite; this store is victoriametrics"),
    ("telemetry:\n  store:\n    kind: influx1\n    url: http://h\n    database: 'a\"b'\n", 28,
     'database = a"b is not InfluxDB 1 database'),
    ("telemetry:\n  mqtt:\n    port: 1883\n", 25,    "telemetry.mqtt: missing key 'host'"),
    ("telemetry:\n  mqtt:\n    host: h\n    bridge: {share_group: a/b}\n", 27,
     "share_group = a/b is not a group of bridges that share the load: 1 ... 32 of a-z, 0-9 and -"),
    ("departure: {ready_by: '7:30', timezone: UTC}\n", 24, "ready_by = 7:30 is not a time of day like 07:30"),
    ("departure: {ready_by: '07:30', timezone: Europe/Atlantis}\n", 24, "timezone = Europe/Atlantis is none that"),
    ("departure: {ready_by: '07:30', timezone: UTC}\n", 24, "departure needs settings.default_wish.capacity_wh,"),
    ("telemetry:\n  live_s: 5\n", 25,                "live_s = 5 is outside 0.1 ... 2 s"),
    ("telemetry: 5\n", 24,                           "telemetry needs its keys below it, indented"),
    ("i_accept:\n  - real-power\n  - fire\n", 26,    "i_accept = fire is not one of real-power | slow-response |"),
]
# fmt: on


@pytest.mark.parametrize(("added", "line", "text"), CONTRADICTIONS, ids=[c[-1][:40] for c in CONTRADICTIONS])
def test_a_contradiction_is_named_with_its_line(tmp_path: Path, added: str, line: int, text: str) -> None:
    first = complaints(tmp_path, GOOD + added)[0]
    assert first.startswith(f"site.yaml:{line}: {text}"), first


FIVE = """\
schema: 1
name: house-7
start_mode: shadow
meter:
  map: eastron-sdm630
  host: 192.168.1.50
  location: inverter
  poll_ms: 12:30
inverter:
  map: sunspec-7xx
  host: 192.168.1.60
  reversion_s: 8
settings:
  rating:
    p_rated_w: 50e3
  freq_droop:
    k_of: 0.5
    k_off: 0.04
"""

FIVE_LINES = [
    "site.yaml:4: meter: missing key 'phases': L1 | L1L2L3 | split (the wires it measures)",
    'site.yaml:8: poll_ms = 12:30 is read by YAML as 750: quote it if it is text ("12:30"), or write the number in '
    "plain decimals",
    "site.yaml:15: p_rated_w = 50e3 is not a number: YAML reads it as text, write all digits (50000, not 50e3); "
    "allowed: 100 ... 1000000 W (1547-2018 10.3)",
    "site.yaml:17: k_of = 0.5 is outside 0.02 ... 0.05 pu/pu (1547-2018 6.5.2.7 Table 24)",
    "site.yaml:18: unknown key 'k_off'; known: db_of_hz, db_uf_hz, enable, k_of, k_uf, owner, refresh_s, t_response_s",
]


def test_five_mistakes_are_five_lines(tmp_path: Path) -> None:
    assert complaints(tmp_path, FIVE) == FIVE_LINES


# fmt: off
UNREADABLE = [
    # bytes              text
    (b"",                "is empty"),
    (b"# nothing\n",     "is empty"),
    (b"- 1\n- 2\n",      "holds no `key: value` lines"),
    (b"just words\n",    "holds no `key: value` lines"),
    (b"a: 1\nb: \xff\n", "is not UTF-8 text"),
    (b"a: \0\n",         "is not YAML"),
    (b"a: 1\n---\nb: 2", "is not YAML"),
    (b"[" * 500_000,     "site.yaml:1: groups inside groups, 11 deep"),
    (b"a" * 1_000_001,   "longer than 1000000 bytes"),
]
# fmt: on


@pytest.mark.parametrize(("raw", "text"), UNREADABLE, ids=[str(c[0][:12]) for c in UNREADABLE])
def test_a_file_that_is_no_site_file(tmp_path: Path, raw: bytes, text: str) -> None:
    path = tmp_path / "site.yaml"
    path.write_bytes(raw)
    with pytest.raises(SiteError, match=re.escape(text)):
        load_site(path)


def test_a_site_is_written_and_read_back(tmp_path: Path) -> None:
    mqtt = "telemetry:\n  mqtt:\n    host: broker.example\ni_accept: [real-power, unproven-map]\n"
    site = site_of(tmp_path, changed("start_mode: shadow", "start_mode: live") + mqtt)
    moved = replace(site, runtime_dir=tmp_path / "run", meter=replace(site.meter, port=15020))
    again = site_of(tmp_path, site_text(moved))
    assert replace(again, profile_note=site.profile_note) == moved


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(SiteError, match=r"no\.yaml: cannot be read: No such file"):
        load_site(tmp_path / "no.yaml")
    with pytest.raises(SiteError, match="cannot be read: Is a directory"):
        load_site(tmp_path)


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(SiteError, match=r"nowhere: no such file, and no name in /etc/v2g/sites; known: .*demo-50hz"):
        load_site(Path("nowhere"))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(line=st.integers(0, GOOD.count("\n")), text=st.text(max_size=30))
def test_whatever_is_written_is_loaded_or_refused(tmp_path: Path, line: int, text: str) -> None:
    lines = GOOD.split("\n")
    lines.insert(line, text)
    path = tmp_path / "site.yaml"
    path.write_bytes("\n".join(lines).encode("utf-8", "surrogatepass"))
    refusal = ""
    try:
        load_site(path)
    except SiteError as error:
        refusal = str(error)
    assert all(row.startswith(str(path)) and row.isprintable() for row in refusal.split("\n") if refusal)


# ---- the files that come with the package, and the owner's own ----


@pytest.mark.parametrize("name", ["demo-50hz", "demo-60hz"])
def test_the_demonstrations_load(name: str) -> None:
    site = load_site(Path(name))
    assert site.start_mode == "demo"
    assert site.settings.rating.f_nom_hz == float(name[5:7])


def test_the_example_loads() -> None:
    root = Path(controller.site.__file__).parent.parent
    assert load_site(root / "config/site.example.yaml").start_mode == "shadow"


def test_profiles() -> None:
    droop50, period_ms = load_settings(Path("50hz-droop"))
    assert (droop50.freq_droop.db_of_hz, droop50.freq_droop.db_uf_hz, droop50.rating.f_nom_hz) == (0.2, 0.2, 50.0)
    assert (droop50.freq_droop.k_of, droop50.freq_droop.k_uf) == (0.05, 0.05)
    assert period_ms is None
    droop60 = load_settings(Path("ieee1547-2018-cat-b-iii"))[0].freq_droop
    assert (droop60.db_of_hz, droop60.db_uf_hz, droop60.k_of, droop60.t_response_s) == (0.036, 0.036, 0.05, 5.0)


def test_the_50_hz_profile_says_what_it_is_not() -> None:
    assert load_site(Path("demo-50hz")).profile_note == "not a grid code; outside IEEE 1547"


def test_a_users_profile_hides_the_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "profiles").mkdir()
    mine = tmp_path / "profiles" / "ieee1547-2018-cat-b-iii.yaml"
    mine.write_text("schema: 1\nsettings:\n  freq_droop:\n    k_uf: 0.03\n")
    monkeypatch.setattr(controller.configfiles, "USER_FILES", tmp_path)
    site = site_of(tmp_path)
    assert site.settings.freq_droop.k_uf == 0.03
    assert site.origins["freq_droop.k_uf"].file == str(mine)


def test_a_mistake_in_a_profile_is_named_in_the_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "profiles").mkdir()
    wrong = tmp_path / "profiles" / "ieee1547-2018-cat-b-iii.yaml"
    wrong.write_text("schema: 1\nsettings:\n  freq_droop:\n    k_uf: 3\n")
    monkeypatch.setattr(controller.configfiles, "USER_FILES", tmp_path)
    (line,) = complaints(tmp_path, GOOD)
    assert line.startswith("profiles/ieee1547-2018-cat-b-iii.yaml:4: k_uf = 3 is outside 0.02 ... 0.05 pu/pu")


# ---- settings alone, for compute ----


def test_groups_alone(tmp_path: Path) -> None:
    settings_read, _ = load_settings(write(tmp_path, "freq_droop:\n  k_of: 0.03\n"))
    assert settings_read.freq_droop.k_of == 0.03
    assert settings_read.freq_droop.refresh_s == 0.1


def test_a_whole_site_file_gives_its_period(tmp_path: Path) -> None:
    settings_read, period_ms = load_settings(write(tmp_path, changed("schema: 1", "schema: 1\nperiod_ms: 20")))
    assert (settings_read.freq_droop.k_of, period_ms) == (0.04, 20)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("freq_drop:\n  k_of: 0.03\n", "site.yaml:1: unknown key 'freq_drop'; known: active_limit,"),
        ("freq_droop:\n  k_of: 3\n", "site.yaml:2: k_of = 3 is outside 0.02 ... 0.05 pu/pu"),
        ("", "site.yaml: is empty"),
        ("schema: 9\nsettings:\n  limits:\n    soc_min_pu: 0.1\n", "site.yaml:1: schema = 9 is newer"),
    ],
)
def test_mistakes_in_settings_alone(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(SiteError, match=re.escape(complaint)):
        load_settings(write(tmp_path, text))


# ---- the example: every setting there is ----


def example() -> str:
    return (Path(controller.site.__file__).parent.parent / "config/site.example.yaml").read_text(encoding="utf-8")


def test_the_examples_second_half_is_what_the_settings_are() -> None:
    head, mark, tail = example().partition(MARK)
    assert head
    assert mark + tail == reference_text(), "run: python -m controller.sitewrite"


def test_the_commented_settings_are_the_defaults(tmp_path: Path) -> None:
    """Read by the loader itself, so that a comment which would not load cannot stand there."""
    lines = [line.removeprefix("#: ") for line in example().splitlines() if line.startswith("#: ")]
    read, _ = load_settings(write(tmp_path, "\n".join(lines)))
    assert read == Settings()
    for group, values in to_mapping(read).items():
        assert f"{group}:" in lines
        for key in values:
            assert any(line.startswith(f"  {key}: ") for line in lines)
