"""`remote` and `home_assistant` of a site file: off unless enabled, never beyond the unit's ratings."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from controller.cli import main
from controller.sitedata import HomeAssistantSite, RemoteKeySite, RemoteSite
from controller.siteremote import bounds_of
from controller.sitewrite import site_text
from tests.controller.test_site import GOOD, complaints, site_of

AGG = RemoteKeySite(public_key="11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=", sources=("home",), max_charge_w=3001.0)
KEYED = f"""remote:
  enable: true
  keys:
    agg:
      public_key: {AGG.public_key}
      sources: aggregator
      max_charge_w: 3001
"""
FAR = "telemetry:\n  mqtt:\n    host: broker.example\n"
BROKER = "telemetry:\n  mqtt:\n    host: 127.0.0.1\n"


def test_nothing_is_taken_unless_the_site_says_so(tmp_path: Path) -> None:
    site = site_of(tmp_path, GOOD + BROKER)
    assert not site.remote.enable
    assert not site.home_assistant.enable


def test_the_bounds_are_the_ratings_and_the_limits_unless_the_site_narrows_them(tmp_path: Path) -> None:
    text = GOOD.replace("    p_rated_w: 7000\n", "    p_rated_w: 7000\n    p_charge_rated_w: 6000\n")
    bounds = bounds_of(site_of(tmp_path, f"{text}{BROKER}remote:\n  enable: true\n  unsigned: home\n"))
    assert (bounds.p_min_w, bounds.p_max_w) == (-6000.0, 7000.0)
    assert (bounds.soc_min_pu, bounds.soc_max_pu, bounds.lifetime_ms) == (0.2, 0.95, 900_000)
    narrow = (
        "remote:\n  unsigned: home\n  max_charge_w: 3700\n  max_discharge_w: 0\n  sources: [home, operator, home]\n"
    )
    bounds = bounds_of(site_of(tmp_path, f"{text}{BROKER}{narrow}"))
    assert (bounds.p_min_w, bounds.p_max_w, bounds.sources) == (-3700.0, 0.0, ("home", "operator"))


def test_a_site_is_written_as_it_was_read(tmp_path: Path) -> None:
    site = replace(
        site_of(tmp_path, GOOD + BROKER),
        remote=RemoteSite(
            enable=True, unsigned=("home",), sources=("ems", "home"), keys={"agg": AGG}, max_charge_w=3700.0
        ),
        home_assistant=HomeAssistantSite(enable=True, prefix="ha"),
    )
    again = site_of(tmp_path, site_text(site))
    assert (again.remote, again.home_assistant) == (site.remote, site.home_assistant)


def test_v2g_check_says_who_may_ask_for_what(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = f"{GOOD}{BROKER}remote:\n  enable: true\n  unsigned: ems\n  max_charge_w: 3700\n  sources: [home, ems]\n"
    (tmp_path / "site.yaml").write_text(text)
    assert main(["check", str(tmp_path / "site.yaml")]) == 0
    out = capsys.readouterr().out
    assert "REMOTE COMMANDS: home, ems may ask for -3700 ... 7000 W (+ = into the grid); without signature: ems" in out
    assert "home_assistant" in out


ROWS = """
remote commands                       from       W (+ = into the grid)
 key agg                              site:{agg}    -3001 ... 7000
   power, mode, reserve, stop, resume; as home, ems
 key {long} site:{long_line}    -3700 ... 0
   stop; as ems
 without a signature                  site:{unsigned}    -3700 ... 7000
   power, mode, reserve, stop, resume; as home
 Until when: a key or a source until it is taken out of the file; a wish until
 its own expiry, 15 min at most. Reserve: a state of charge of 0.2 ... 0.95.
"""


def test_v2g_check_shows_each_right_in_a_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Who, what, how far, until when: as the door will judge, a key's bounds inside the site's."""
    long = 32 * "k"
    text = f"""{GOOD}{BROKER}remote:
  enable: true
  unsigned: home
  max_charge_w: 3700
  sources: [home, ems]
  keys:
    agg:
      public_key: {AGG.public_key}
      sources: [home, ems]
      max_charge_w: 3001
    {long}:
      public_key: {AGG.public_key}
      sources: ems
      commands: stop
      max_discharge_w: 0
"""
    site_of(tmp_path, text)
    lines = {key: 1 + text.splitlines().index(line) for key, line in
             (("agg", "    agg:"), ("long_line", f"    {long}:"), ("unsigned", "  unsigned: home"))}  # fmt: skip
    capsys.readouterr()
    assert main(["check", str(tmp_path / "site.yaml")]) == 0
    assert ROWS.format(long=long, **lines) in capsys.readouterr().out
    assert main(["check", str(tmp_path / "site.yaml"), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["remote"]
    assert [(row["key"], row["sources"], row["p_min_w"], row["p_max_w"], row["lifetime_s"]) for row in rows] == [
        ("agg", ["home", "ems"], -3001.0, 7000.0, 900.0),
        (long, ["ems"], -3700.0, 0.0, 900.0),
        (None, ["home"], -3700.0, 7000.0, 900.0),
    ]


def test_where_nobody_commands_v2g_check_shows_no_rights(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site_of(tmp_path, f"{GOOD}{BROKER}{KEYED.replace('aggregator', 'home').replace('enable: true', 'enable: false')}")
    assert main(["check", str(tmp_path / "site.yaml")]) == 0
    assert "\nremote commands" not in capsys.readouterr().out


# fmt: off
WRONG: list[tuple[str, str, str]] = [
    # added to the file  the line of the refusal  why
    ("remote:\n  enable: true\n  unsigned: home\n", "remote.enable needs a broker", "nobody to hear from"),
    ("home_assistant:\n  enable: true\n", "home_assistant.enable needs a broker", "nobody to tell"),
    (f"{BROKER}remote:\n  max_charge_w: 7001\n", "max_charge_w = 7001 is above the unit's rating, 7000 W",
     "more than it can"),
    (f"{BROKER}remote:\n  max_discharge_w: 9000\n", "max_discharge_w = 9000 is above the unit's rating",
     "more than it can"),
    (f"{BROKER}remote:\n  sources: [home, bench]\n", "sources = bench is not one of aggregator | ems | home",
     "never remote"),
    (f"{BROKER}remote:\n  per_minute: 0\n", "per_minute = 0 is outside 1 ... 60", "never is enable: false"),
    (f"{BROKER}remote:\n  max_age_s: 3600\n", "max_age_s = 3600 is outside 1 ... 300 s", "an hour old is no command"),
    (f"{BROKER}remote:\n  enable: true\n", "nobody could command", "neither keys nor unsigned"),
    (f"{FAR}remote:\n  enable: true\n  unsigned: home\n", "in the network of broker.example", "plain network"),
    (f"{BROKER}remote:\n  enable: true\n  unsigned: ems\n", "ems is not among remote.sources: home", "not a source"),
    (f"{BROKER}{KEYED}", "aggregator is not among remote.sources: home", "a key of nobody's"),
    (f"{BROKER}{KEYED}  sources: aggregator\n  max_charge_w: 3000\n", "max_charge_w = 3001 of key agg is above",
     "a key widens nothing"),
    (f"{BROKER}remote:\n  keys:\n    agg: {{public_key: short, sources: home}}\n", "Ed25519, 32 bytes in base64",
     "no key"),
    (f"{BROKER}remote:\n  keys:\n    agg: x\n", "remote.keys.agg needs a name", "no group"),
    (f"{BROKER}remote:\n  key: abc\n",            "unknown key 'key'",                                 "no such key"),
    (f"{BROKER}home_assistant:\n  prefix: a b\n", "prefix",                                            "no topic"),
]
# fmt: on


@pytest.mark.parametrize(("added", "said", "why"), WRONG, ids=[c[1][:50] for c in WRONG])
def test_what_is_refused(tmp_path: Path, added: str, said: str, why: str) -> None:
    [line] = complaints(tmp_path, GOOD + added)
    assert said in line, why
    assert line.startswith("site.yaml:")
