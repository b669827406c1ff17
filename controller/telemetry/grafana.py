"""Grafana dashboards, from one table: each series as InfluxQL and as MetricsQL.

Files    `python -m controller.telemetry.grafana` writes config/grafana/<language>/<dashboard>.json anew; a test keeps
         them equal, another runs every query in a real database.
Series   by site; `epoch`, the tag of one run of the controller, is folded away, so that a restart breaks no curve.
Import   no uid and no data source is fixed: Grafana asks for one (variable `datasource`).
Source   Grafana dashboard JSON model; InfluxDB 1 query language; MetricsQL, VictoriaMetrics' own PromQL.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from controller.telemetry.frames import SIGN
from cython_core.records import State

SCHEMA = 36  # Grafana 9; later ones read it
LANGUAGES = {"influxql": "influxdb", "metricsql": "prometheus"}  # language -> Grafana's kind of data source


@dataclass(frozen=True, slots=True)
class Series:
    """One curve. how: mean | min | max | sum | count | last of a field in each interval.

    total: afterwards summed or counted over sites ("sum", "count"). event: of v2g_event, this one only; "*": any, each
    its own curve.
    """

    name: str
    field: str
    how: str = "mean"
    total: str = ""
    event: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """unit: Grafana's name of it. kind: Grafana's panel type. text: what a reader must know."""

    title: str
    unit: str
    text: str
    series: tuple[Series, ...]
    kind: str = "timeseries"


def spread(field: str, *more: Series) -> tuple[Series, ...]:
    """Mean, least and greatest."""
    own = (Series("mean", field), Series("least", f"{field}_min", "min"), Series("greatest", f"{field}_max", "max"))
    return own + more


def both_ways(title: str, what: str, into: str, out: str, how: str, names: tuple[str, str] = ("import", "export"),
              total: str = "") -> Panel:  # fmt: skip
    """Two counters of energy."""
    series = tuple(Series(name, field, how, total) for name, field in zip(names, (into, out), strict=True))
    return Panel(title, "watth", f"{what}; power: {SIGN}.", series)


FREQUENCY = Panel("Frequency", "hertz", "As the meter measures it; nothing while it is stale.", spread("f_hz"))
VOLTAGE = Panel("Voltage", "suffix: pu", "Share of the nominal voltage; the worst phase.", spread("v_pu"))
STATE = Panel(
    "Operating state", "none", "In service, or why not.", (Series("state", "state", "last"),), "state-timeline"
)
SOC = Panel(
    "State of charge", "percentunit", "Of the battery, as the inverter says.", (Series("SoC", "soc_pu", "last"),)
)
ANSWER = "Power added by the frequency answer"

DASHBOARDS: dict[str, tuple[str, tuple[Panel, ...]]] = {
    "live": (
        "V2G live",
        (
            Panel("Active power", "watt", SIGN, spread("p_w", Series("commanded", "p_cmd_w"))),
            FREQUENCY,
            Panel("Reactive power", "voltampreact", SIGN, spread("q_var")),
            VOLTAGE,
            SOC,
            STATE,
            Panel("Energy in each interval", "watth", f"Out of and into the unit; {SIGN}.",
                  (Series("out", "energy_out_wh", "sum"), Series("in", "energy_in_wh", "sum"))),
        ),
    ),
    "grid-events": (
        "V2G grid events",
        (
            FREQUENCY,
            Panel(ANSWER, "watt", SIGN, spread("dp_w")),
            VOLTAGE,
            Panel("Events", "short", "How many of each kind.", (Series("", "seq", "count", event="*"),)),
            Panel("Length of frequency events", "s", "From the first step outside the dead band to the last.",
                  (Series("length", "duration_s", "max", event="frequency_end"),)),
            Panel("Extremes of frequency events", "hertz", "Lowest and highest frequency of each.",
                  (Series("lowest", "f_hz_min", "min", event="frequency_end"),
                   Series("highest", "f_hz_max", "max", event="frequency_end"))),
            Panel("Length of voltage events", "s", "While volt-var answers.",
                  (Series("length", "duration_s", "max", event="voltage_end"),)),
        ),
    ),
    "fleet": (
        "V2G fleet",
        (
            Panel("Power of all sites", "watt", SIGN, (Series("all sites", "p_w", total="sum"),)),
            Panel("Sites that report", "short", "With at least one frame in the interval.",
                  (Series("sites", "steps", "count", total="count"),)),
            Panel(f"{ANSWER}, all sites", "watt", SIGN, (Series("all sites", "dp_w", total="sum"),)),
            Panel("Power by site", "watt", SIGN, (Series("", "p_w"),)),
            Panel("Frequency by site", "hertz", "One grid: sites that differ have a meter to look at.",
                  (Series("", "f_hz"),)),
            SOC,
            STATE,
        ),
    ),
    "energy": (
        "V2G energy",
        (
            both_ways("Energy of the unit", "Power times time, counted since the outbox began", "e_import_wh",
                      "e_export_wh", "max"),
            both_ways("Energy of the car's session", "From plug to unplug, the newest session", "e_session_import_wh",
                      "e_session_export_wh", "last"),
            both_ways("Registers of the meter", "As the device counts, where it has some", "e_meter_import_wh",
                      "e_meter_export_wh", "max"),
            both_ways("Registers of the inverter, DC", "Into and out of the battery, where it has some", "e_dc_in_wh",
                      "e_dc_out_wh", "max", ("in", "out")),
            Panel("Power unknown", "s", "Time that the counters of unit and session do not stand for.",
                  (Series("unit", "e_unknown_s", "max"), Series("session", "e_session_unknown_s", "last"))),
            both_ways("Energy of all sites", "The units' counters, added up", "e_import_wh", "e_export_wh", "max",
                      total="sum"),
        ),
    ),
    "data-quality": (
        "V2G data quality",
        (
            Panel("Age of measurements", "ms", "Greatest in each interval: f, V and P of the meter, the inverter.",
                  tuple(Series(name, f"age_ms_{key}_max", "max")
                        for key, name in (("f", "f"), ("v", "V"), ("p", "P"), ("d", "inverter")))),
            Panel("Refresh of the meter", "ms", "Measured: from one new value to the next.",
                  (Series("refresh", "meter_refresh_ms"),)),
            Panel("Lateness of the steps", "µs", "After the grid point: the usual and the worst.",
                  (Series("median", "late_us_p50"), Series("worst", "late_us_max", "max"))),
            Panel("Steps", "short", "Taken and skipped.",
                  (Series("taken", "steps", "sum"), Series("skipped", "skipped", "sum"))),
            Panel("Frames", "short", "That arrived in each interval: a gap is a gap.",
                  (Series("frames", "steps", "count"),)),
            Panel("Outbox", "short", "Rows that wait, and since the outbox began those dropped; records lost before.",
                  (Series("waiting", "telemetry_waiting", "max"), Series("dropped", "telemetry_dropped", "max"),
                   Series("lost records", "telemetry_lost_records", "max"))),
            Panel("Remote commands", "short", "Since the telemetry process began; nothing where a site takes none.",
                  (Series("accepted", "remote_accepted", "max"), Series("refused", "remote_refused", "max"))),
            Panel("Refusals", "short", "Refused commands in each interval, each with its reason in the event.",
                  (Series("refused", "seq", "count", event="command_refused"),)),
        ),
    ),
}  # fmt: skip

# ---- one series in each language ----


def influxql(series: Series) -> str:
    """`how` by site, then perhaps the total of the sites."""
    by = ', "event"' if series.event == "*" else ', "site"'
    measurement = "v2g_event" if series.event else "v2g_live"
    event = "" if series.event in ("", "*") else f" AND \"event\" = '{series.event}'"
    where = f'"site" =~ /^$site$/{event} AND $timeFilter'
    inner = f'{series.how}("{series.field}")'
    if not series.total:
        return f'SELECT {inner} FROM "{measurement}" WHERE {where} GROUP BY time($__interval){by} fill(none)'
    every = f'SELECT {inner} AS "one" FROM "{measurement}" WHERE {where} GROUP BY time($__interval), "site" fill(none)'
    return f'SELECT {series.total}("one") FROM ({every}) WHERE $timeFilter GROUP BY time($__interval) fill(none)'


def metricsql(series: Series) -> str:
    """The same in MetricsQL."""
    metric = f"v2g_{'event' if series.event else 'live'}_{series.field}"
    event = "" if series.event in ("", "*") else f',event="{series.event}"'
    over, fold = {"mean": ("avg", "avg"), "count": ("count", "sum"), "last": ("last", "max")}.get(
        series.how, (series.how, series.how)
    )
    by = "event" if series.event == "*" else "site"
    one = f'{fold} by ({by}) ({over}_over_time({metric}{{site=~"$site"{event}}}[$__interval]))'
    return f"{series.total}({one})" if series.total else one


def target(language: str, series: Series, index: int) -> dict[str, Any]:
    """A query as Grafana keeps it."""
    by = "event" if series.event == "*" else "site"
    ref = {"refId": chr(ord("A") + index)}
    if language == "influxql":
        who = "" if series.total else f"$tag_{by}"
        alias = " ".join(part for part in (who, series.name) if part)
        return {**ref, "rawQuery": True, "query": influxql(series), "resultFormat": "time_series", "alias": alias}
    who = "" if series.total else f"{{{{{by}}}}}"
    legend = " ".join(part for part in (who, series.name) if part)
    return {**ref, "expr": metricsql(series), "legendFormat": legend, "range": True}


# ---- the JSON around them ----


def panel(language: str, one: Panel, index: int) -> dict[str, Any]:
    """Two in a row."""
    defaults: dict[str, Any] = {"unit": one.unit}
    if one.kind == "state-timeline":
        names = {str(int(state)): {"text": state.name} for state in State}
        defaults["mappings"] = [{"type": "value", "options": names}]
    return {
        "id": index + 1,
        "type": one.kind,
        "title": one.title,
        "description": one.text,
        "datasource": {"type": LANGUAGES[language], "uid": "${datasource}"},
        "gridPos": {"h": 8, "w": 12, "x": 12 * (index % 2), "y": 8 * (index // 2)},
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "targets": [target(language, series, i) for i, series in enumerate(one.series)],
    }


def dashboard(language: str, name: str) -> dict[str, Any]:
    """One file."""
    title, panels = DASHBOARDS[name]
    sites = {
        "influxql": 'SHOW TAG VALUES FROM "v2g_live" WITH KEY = "site"',
        "metricsql": "label_values(v2g_live_steps, site)",
    }[language]
    source = {"name": "datasource", "type": "datasource", "label": "Data source", "query": LANGUAGES[language]}
    site = {"name": "site", "type": "query", "label": "Site", "query": sites, "refresh": 2, "multi": True,
            "includeAll": True, "allValue": ".*", "current": {"text": "All", "value": "$__all"},
            "datasource": {"type": LANGUAGES[language], "uid": "${datasource}"}}  # fmt: skip
    return {
        "title": title,
        "tags": ["v2g"],
        "description": f"P and Q: {SIGN}. All times UTC.",
        "schemaVersion": SCHEMA,
        "timezone": "utc",
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": [source, site]},
        "panels": [panel(language, one, i) for i, one in enumerate(panels)],
    }


def text(language: str, name: str) -> str:
    """As the file has it."""
    return json.dumps(dashboard(language, name), indent=1, ensure_ascii=False) + "\n"


def folder() -> Path:
    """Where they lie."""
    return Path(str(resources.files("config"))) / "grafana"


def main() -> None:
    """Write all files anew."""
    for language in LANGUAGES:
        for name in DASHBOARDS:
            path = folder() / language / f"{name}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text(language, name), encoding="utf-8")


if __name__ == "__main__":
    main()
