"""The dashboards as files: what Grafana needs to import them anywhere, and every field a real frame has."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from controller.telemetry.frames import SIGN, FrameBuilder
from controller.telemetry.grafana import DASHBOARDS, LANGUAGES, dashboard, folder, influxql, metricsql, text
from controller.telemetry.grafana import Series as Curve
from controller.telemetry.points import flatten
from cython_core.records import DeviceValid, Reason, Session
from tests.controller.services.test_remote import Rig
from tests.controller.telemetry.makers import info, records

FILES = [(language, name) for language in LANGUAGES for name in DASHBOARDS]
UNITS = {"watt", "hertz", "voltampreact", "suffix: pu", "percentunit", "none", "watth", "short", "s", "ms", "µs"}
POWER = {"watt", "voltampreact", "watth"}
COUNTERS = {  # of the devices, as buses.json tells them; each another, so that a swap shows
    "t_ns": 0,
    "energies": {"meter": {"t_ns": 0, "e_import_wh": 5000.0, "e_export_wh": 6000.0},
                 "inverter": {"t_ns": 0, "e_dc_in_wh": 7000.0, "e_dc_out_wh": 8000.0}},
}  # fmt: skip


def test_the_folder_holds_what_the_table_makes_and_nothing_else() -> None:
    """When it does not: python -m controller.telemetry.grafana"""
    found = {str(path.relative_to(folder())): path.read_text(encoding="utf-8") for path in folder().rglob("*.json")}
    assert found == {f"{language}/{name}.json": text(language, name) for language, name in FILES}


@pytest.mark.parametrize(("language", "name"), FILES)
def test_it_can_be_imported_anywhere(language: str, name: str) -> None:
    """No uid of its own, no data source but the one that is chosen at the import."""
    tree = json.loads((folder() / language / f"{name}.json").read_text(encoding="utf-8"))
    assert "uid" not in tree
    assert "id" not in tree
    source, site = tree["templating"]["list"]
    assert (source["name"], source["type"], source["query"]) == ("datasource", "datasource", LANGUAGES[language])
    assert (site["name"], site["includeAll"], site["allValue"]) == ("site", True, ".*")
    chosen = {"type": LANGUAGES[language], "uid": "${datasource}"}
    assert [one["datasource"] for one in (site, *tree["panels"])] == [chosen] * (1 + len(tree["panels"]))
    assert tree["timezone"] == "utc"


@pytest.mark.parametrize(("language", "name"), FILES)
def test_every_panel_says_unit_and_sign(language: str, name: str) -> None:
    panels = dashboard(language, name)["panels"]
    assert [panel["id"] for panel in panels] == list(range(1, len(panels) + 1))
    for panel in panels:
        unit = panel["fieldConfig"]["defaults"]["unit"]
        assert unit in UNITS, panel["title"]
        assert panel["description"], panel["title"]
        assert (SIGN in panel["description"]) == (unit in POWER), panel["title"]
        refs = [query["refId"] for query in panel["targets"]]
        assert refs == sorted(set(refs))
        assert refs
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels]
    assert len(set(places)) == len(places), "no panel lies on another"


def all_series() -> Iterator[Curve]:
    for _, panels in DASHBOARDS.values():
        for panel in panels:
            yield from panel.series


def fields_of_frames(tmp_path: Path) -> dict[str, set[str]]:
    """What the points of real frames and events hold, by measurement and event."""
    rows = records(0, 100, m_q_var=10.0)
    rows["reasons"][10:20] = int(Reason.DROOP | Reason.VOLT_VAR)
    rows["m_p_w"] += range(100)  # so that the refresh is measured
    rows["d_session"], rows["d_valid"] = int(Session.READY), rows["d_valid"] | int(DeviceValid.SESSION)
    builder = FrameBuilder(info(), 1000, p_at_meter=True)
    drafts = builder.add(rows) + builder.flush()
    for draft in [d for d in drafts if d.kind == "live"]:
        builder.of_devices(draft, COUNTERS)
    rig = Rig(tmp_path)
    rig.send("power", p_w=1000)
    found: dict[str, set[str]] = {"": set(), "*": {"seq"}}
    for draft in drafts:
        body: dict[str, Any] = draft.body
        key = "" if draft.kind == "live" else draft.name
        if draft.kind == "live":
            telemetry = {"dropped": 0, "failed_writes": 0, "waiting": 0, "lost_records": 0}
            body = body | {"telemetry": telemetry, "remote": rig.remote.frame()}
        found.setdefault(key, set()).update(name for name, _ in flatten(body))
    found["command_refused"] = {"seq"}  # of the outbox: every row has it
    return found


def test_every_field_is_one_that_frames_have(tmp_path: Path) -> None:
    found = fields_of_frames(tmp_path)
    assert {(s.event, s.field) for s in all_series() if s.field not in found[s.event]} == set()


# fmt: off
WRITTEN = [
    (Curve("", "p_w"),
     'SELECT mean("p_w") FROM "v2g_live" WHERE "site" =~ /^$site$/ AND $timeFilter '
     'GROUP BY time($__interval), "site" fill(none)',
     'avg by (site) (avg_over_time(v2g_live_p_w{site=~"$site"}[$__interval]))',
     "by site, over all epochs"),
    (Curve("", "duration_s", "max", event="frequency_end"),
     'SELECT max("duration_s") FROM "v2g_event" WHERE "site" =~ /^$site$/ AND "event" = \'frequency_end\' AND '
     '$timeFilter GROUP BY time($__interval), "site" fill(none)',
     'max by (site) (max_over_time(v2g_event_duration_s{site=~"$site",event="frequency_end"}[$__interval]))',
     "of one kind of event"),
    (Curve("", "seq", "count", event="*"),
     'SELECT count("seq") FROM "v2g_event" WHERE "site" =~ /^$site$/ AND $timeFilter '
     'GROUP BY time($__interval), "event" fill(none)',
     'sum by (event) (count_over_time(v2g_event_seq{site=~"$site"}[$__interval]))',
     "of every kind"),
    (Curve("", "p_w", total="sum"),
     'SELECT sum("one") FROM (SELECT mean("p_w") AS "one" FROM "v2g_live" WHERE "site" =~ /^$site$/ AND $timeFilter '
     'GROUP BY time($__interval), "site" fill(none)) WHERE $timeFilter GROUP BY time($__interval) fill(none)',
     'sum(avg by (site) (avg_over_time(v2g_live_p_w{site=~"$site"}[$__interval])))',
     "sites added up"),
]
# fmt: on


@pytest.mark.parametrize(("series", "influx", "metrics", "why"), WRITTEN, ids=[c[-1] for c in WRITTEN])
def test_a_series_in_both_languages(series: Curve, influx: str, metrics: str, why: str) -> None:
    assert (influxql(series), metricsql(series)) == (influx, metrics), why


def test_no_query_names_a_site_or_a_time() -> None:
    for series in all_series():
        for query in (influxql(series), metricsql(series)):
            assert "$site" in query
            assert not re.search(r"house|demo|now\(\)", query)
