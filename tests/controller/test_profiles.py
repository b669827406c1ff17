"""Profiles: their values against the standard's tables, their sources, and how an unverified one is refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import controller.configfiles
from controller.site import SiteError, load_settings, load_site
from controller.sitewrite import site_text
from cython_core.settings import Settings, to_mapping
from drivers.yamlfile import Items, Problems, read_yaml
from tests.controller.test_site import GOOD, changed, complaints, site_of

FOLDER = Path(controller.site.__file__).parent.parent / "config" / "profiles"
VERIFIED = sorted(FOLDER.glob("*.yaml"))
UNVERIFIED = sorted(FOLDER.glob("unverified/*.yaml"))
B, A = "ieee1547-2018-cat-b-iii", "ieee1547-2018-cat-a-"
ISO = changed("profile: ieee1547-2018-cat-b-iii", "profile: iso-ne-2021")


def settings_of(name: str) -> Settings:
    file = next(f for f in (*VERIFIED, *UNVERIFIED) if f.stem == name)
    return load_settings(file)[0]


ALL = (B, "ul1741sb", A + "i", A + "ii")
B3, A1, A2 = (B, "ul1741sb"), (A + "i",), (A + "ii",)

# fmt: off
TABLES = [
    # profiles keys                                                       values                       why
    (B3,       "rating q_inject_pu q_absorb_pu",                          (0.44, 0.44),                "Table 7, B"),
    (A1 + A2,  "rating q_inject_pu q_absorb_pu",                          (0.44, 0.25),                "Table 7, A"),
    (B3,       "volt_var v1_pu v2_pu v3_pu v4_pu olrt_s",                 (0.92, 0.98, 1.02, 1.08, 5), "Table 8, B, V"),
    (A1 + A2,  "volt_var v1_pu v2_pu v3_pu v4_pu olrt_s",                 (0.9, 1.0, 1.0, 1.1, 10),    "Table 8, A, V"),
    (B3,       "volt_var q1_pu q2_pu q3_pu q4_pu",                        (0.44, 0, 0, -0.44),         "Table 8, B, Q"),
    (A1 + A2,  "volt_var q1_pu q2_pu q3_pu q4_pu",                        (0.25, 0, 0, -0.25),         "Table 8, A, Q"),
    (B3,       "watt_var p1_pu p2_pu p3_pu q1_pu q2_pu q3_pu",            (0.2, 0.5, 1, 0, 0, -0.44),  "Table 9, B"),
    (A1 + A2,  "watt_var p1_pu p2_pu p3_pu q1_pu q2_pu q3_pu",            (0.2, 0.5, 1, 0, 0, -0.25),  "Table 9, A"),
    (ALL,      "watt_var p1_load_pu p2_load_pu p3_load_pu",               (-0.2, -0.5, -1),            "Table 9, P'"),
    (ALL,      "watt_var q1_load_pu q2_load_pu q3_load_pu",               (0, 0, 0.44),                "Table 9, Q'"),
    (ALL,      "volt_watt v1_pu p1_pu v2_pu p2_pu olrt_s",                (1.06, 1.0, 1.10, 0, 10),    "Table 10"),
    (A1,       "voltage_trip ov1_s uv1_pu uv1_s uv2_pu uv2_s",            (2, 0.7, 2, 0.45, 0.16),     "Table 11"),
    (A2,       "voltage_trip ov1_s uv1_pu uv1_s uv2_pu uv2_s",            (2, 0.7, 10, 0.45, 0.16),    "Table 12"),
    (B3,       "voltage_trip ov1_s uv1_pu uv1_s uv2_pu uv2_s",            (13, 0.88, 21, 0.5, 2),      "Table 13"),
    (ALL,      "voltage_trip ov2_pu ov2_s ov1_pu",                        (1.2, 0.16, 1.1),            "11 to 13"),
    (B3,       "ride_through mc_low_pu mc_high_pu",                       (0.5, 1.1),                  "Table 16"),
    (ALL,      "frequency_trip of2_hz of2_s of1_hz of1_s",                (62, 0.16, 61.2, 300),       "Table 18, f+"),
    (ALL,      "frequency_trip uf1_hz uf1_s uf2_hz uf2_s",                (58.5, 300, 56.5, 0.16),     "Table 18, f-"),
    (ALL,      "freq_droop db_of_hz db_uf_hz k_of k_uf",                  (0.036, 0.036, 0.05, 0.05),  "Table 24"),
    (ALL,      "freq_droop t_response_s",                                 (5,),                        "Table 24, t"),
    (ALL,      "enter_service v_low_pu v_high_pu f_low_hz f_high_hz",     (0.917, 1.05, 59.5, 60.1),   "Table 4"),
    (ALL,      "enter_service delay_s ramp_s random_s",                   (300, 300, 0),               "4.10.3"),
]
# fmt: on


@pytest.mark.parametrize(("profiles", "keys", "values", "why"), TABLES, ids=[c[-1] for c in TABLES])
def test_values_are_the_tables(profiles: tuple[str, ...], keys: str, values: tuple[float, ...], why: str) -> None:
    group, *names = keys.split()
    for profile in profiles:
        chosen = getattr(settings_of(profile), group)
        assert tuple(getattr(chosen, name) for name in names) == values, (profile, why)


@pytest.mark.parametrize("name", [B, A + "i", A + "ii", "ul1741sb"])
def test_by_default_power_factor_1_acts_and_the_inverter_trips(name: str) -> None:
    s = settings_of(name)
    assert (s.reactive.mode, s.power_factor.pf, s.volt_watt.enable, s.active_limit.enable) == (
        "constant_pf", 1.0, False, False,
    )  # fmt: skip
    owners = {g: v["owner"] for g, v in to_mapping(s).items() if "owner" in v}
    theirs = ("enter_service", "voltage_trip", "frequency_trip", "ride_through")
    assert owners == dict.fromkeys(theirs, "inverter") | dict.fromkeys(
        ("freq_droop", "volt_watt", "reactive"), "controller"
    )


def test_the_defaults_of_the_core_are_category_b_and_iii() -> None:
    assert settings_of(B) == Settings()


def test_iso_new_england_differs_where_its_table_says() -> None:
    s = settings_of("iso-ne-2021")
    trip = s.voltage_trip
    assert (trip.uv1_pu, trip.uv1_s, trip.uv2_pu, trip.uv2_s, trip.ov1_s) == (0.88, 2.0, 0.5, 1.1, 2.0)
    assert s.enter_service.f_high_hz == 60.1


@pytest.mark.parametrize("file", [*VERIFIED, *UNVERIFIED], ids=lambda f: f.stem)
def test_every_profile_says_what_it_is_and_where_it_comes_from(file: Path) -> None:
    problems = Problems(str(file))
    tree = read_yaml(file, problems)
    assert not problems
    assert {"schema", "title", "note", "sources"} <= set(tree.entries)
    sources = tree.entries["sources"]
    assert isinstance(sources, Items)
    assert len(sources.items) >= (2 if file in VERIFIED else 1)


def test_no_name_stands_in_both_folders() -> None:
    assert not {f.stem for f in VERIFIED} & {f.stem for f in UNVERIFIED}
    assert len(VERIFIED) >= 5
    assert UNVERIFIED


# ---- unverified profiles ----


def test_an_unverified_profile_is_refused_with_what_to_do(tmp_path: Path) -> None:
    (line,) = complaints(tmp_path, ISO)
    assert line.startswith("site.yaml:4: profile = iso-ne-2021 is unverified (One vendor's table;")
    assert line.endswith("then add the line `accept_unverified: iso-ne-2021`")


def test_accepted_by_its_name_it_is_used_and_remembered(tmp_path: Path) -> None:
    site = site_of(tmp_path, ISO + "accept_unverified: iso-ne-2021\n")
    assert site.unverified == "iso-ne-2021"
    assert site.settings.voltage_trip.uv1_s == 2.0
    assert site_of(tmp_path, site_text(site)).unverified == "iso-ne-2021"  # written out, it is still said


def test_another_name_accepts_nothing(tmp_path: Path) -> None:
    lines = complaints(tmp_path, ISO + "accept_unverified: hi-heco-srd2\n")
    assert "site.yaml:24: accept_unverified = hi-heco-srd2 is not the profile: iso-ne-2021" in lines


def test_a_verified_profile_is_not_marked(tmp_path: Path) -> None:
    assert site_of(tmp_path).unverified == ""
    assert site_of(tmp_path, GOOD + "accept_unverified: ieee1547-2018-cat-b-iii\n").unverified == ""


def test_the_owners_own_file_stands_for_an_unverified_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles/iso-ne-2021.yaml").write_text("schema: 1\nsettings:\n  freq_droop:\n    k_uf: 0.04\n")
    monkeypatch.setattr(controller.configfiles, "USER_FILES", tmp_path)
    site = site_of(tmp_path, ISO)
    assert (site.settings.freq_droop.k_uf, site.unverified) == (0.04, "")


def test_its_settings_alone_are_read_from_its_file_only() -> None:
    with pytest.raises(SiteError, match=r"iso-ne-2021 is an unverified profile: name its file, .*iso-ne-2021\.yaml"):
        load_settings(Path("iso-ne-2021"))


def test_an_unknown_profile_lists_both_kinds(tmp_path: Path) -> None:
    (line,) = complaints(tmp_path, changed("profile: ieee1547-2018-cat-b-iii", "profile: x"))
    assert re.search(r"known: 50hz-droop, .*; unverified: hi-heco-srd2, iso-ne-2021 \(", line)


# ---- defaults follow categories and nominal frequency ----


def test_a_category_brings_its_defaults(tmp_path: Path) -> None:
    text = changed("profile: ieee1547-2018-cat-b-iii\n", "").replace(
        "  rating:\n", "  rating:\n    normal_category: A\n"
    )
    s = site_of(tmp_path, text).settings
    assert (s.volt_var.v1_pu, s.volt_var.olrt_s, s.rating.q_absorb_pu) == (0.9, 10.0, 0.25)


# fmt: off
FIFTY = [
    # key                       value  why
    ("frequency_trip.of2_hz",   52.0,  "62 - 10"),
    ("frequency_trip.uf1_hz",   48.5,  "58.5 - 10"),
    ("enter_service.f_low_hz",  49.5,  "59.5 - 10"),
    ("freq_droop.db_of_hz",     0.2,   "of the profile"),
]
# fmt: on


@pytest.mark.parametrize(("key", "value", "why"), FIFTY, ids=[c[0] for c in FIFTY])
def test_at_50_hz_every_frequency_is_10_hz_lower(key: str, value: float, why: str) -> None:
    group, name = key.split(".")
    assert getattr(getattr(load_site(Path("demo-50hz")).settings, group), name) == pytest.approx(value), why


NO_PROFILE = "profile: ieee1547-2018-cat-b-iii\n"

CAT_A, CAT_II, HZ_50 = "    normal_category: A\n", "    abnormal_category: II\n", "    f_nom_hz: 50\n"
TRIP_OURS = "  voltage_trip:\n    owner: controller\n"
TAKE_VARS = "  reactive:\n    mode: constant_q\n  const_var:\n    q_pu: -0.4\n"

# fmt: off
OUTSIDE = [
    # rating  more                                       line  the refusal
    (CAT_II,  "    k_uf: 0.02\n",                        24,   "freq_droop.k_uf = 0.02 is outside 0.03 ... 0.05 pu/pu"),
    (HZ_50,   "  frequency_trip:\n    uf1_hz: 49.5\n",   25,   "frequency_trip.uf1_hz = 49.5 is outside 40 ... 49 Hz"),
    (CAT_A,   TAKE_VARS,                                 27,   "const_var.q_pu = -0.4 is outside this unit's -0.25"),
    ("",      TRIP_OURS,                                 24,   "voltage_trip.owner = controller needs enter_service."),
    ("",      "  power_factor:\n    pf: 0.8\n",          24,   "power_factor.pf = 0.8 needs 0.600 pu of reactive"),
    ("",      "  reactive:\n    mode: volt-var\n",       24,   "mode = volt-var is not one of off | constant_pf | vo"),
]
# fmt: on


@pytest.mark.parametrize(("rating", "more", "line", "text"), OUTSIDE, ids=[c[-1][:40] for c in OUTSIDE])
def test_what_this_unit_may_not_have_is_named_at_its_line(
    tmp_path: Path, rating: str, more: str, line: int, text: str
) -> None:
    site = GOOD.replace(NO_PROFILE, "").replace("  rating:\n", f"  rating:\n{rating}") + more
    (complaint,) = complaints(tmp_path, site)
    assert complaint.startswith(f"site.yaml:{line}: {text}"), complaint


def test_contradictions_of_two_groups_are_told_together(tmp_path: Path) -> None:
    text = GOOD.replace(NO_PROFILE, "").replace(
        "  rating:\n", "  rating:\n    normal_category: A\n    abnormal_category: I\n"
    )
    lines = complaints(tmp_path, text + "    k_uf: 0.02\n  voltage_trip:\n    uv1_s: 40\n")
    assert [line.split(":")[1] for line in lines] == ["25", "27"]


def test_two_houses_never_draw_the_same_random_delay(tmp_path: Path) -> None:
    seeds = {
        site_of(tmp_path, changed("name: house-7", f"name: house-{i}")).settings.enter_service.seed for i in range(20)
    }
    assert len(seeds) == 20
    assert all(1 <= seed <= 2147483647 and seed == int(seed) for seed in seeds)
