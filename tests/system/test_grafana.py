"""Every query of every dashboard, taken from its file, asks a real database; one that finds nothing fails.

The rows: two houses through the real core, frame builder and telemetry process, with a frequency event, a voltage event
and remote commands over a real broker. InfluxQL asks InfluxDB 1 (apt: influxdb), MetricsQL asks VictoriaMetrics.
"""

from __future__ import annotations

import json
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from controller.site import load_site
from controller.telemetry.broker import free_port
from controller.telemetry.frames import FrameBuilder
from controller.telemetry.grafana import DASHBOARDS, LANGUAGES, folder
from controller.telemetry.points import line
from controller.telemetry.sqlitestore import read_points
from controller.telemetry.wire import Arrival, Row, decode, encode, topic
from cython_core.bulk import START_NS, stack
from tests.controller.telemetry import makers
from tests.controller.telemetry.test_desk import Rig
from tests.controller.telemetry.test_grafana import COUNTERS
from tests.cython_core.unit import Unit
from tests.faults.demos import Play, Played
from tests.need import tool

PATIENCE_S = 60.0
STEP_S = 10
STEPS = 1200  # a tenth of a second each
FILES = [(language, name) for language in LANGUAGES for name in DASHBOARDS]
INFLUX_CONFIG = """
reporting-disabled = true
bind-address = "127.0.0.1:{rpc}"
[meta]
  dir = "{folder}/meta"
[data]
  dir = "{folder}/data"
  wal-dir = "{folder}/wal"
[http]
  bind-address = "127.0.0.1:{http}"
[monitor]
  store-enabled = false
"""
Values = list[float]


def get(url: str, **query: str) -> Any:
    """JSON of an answer."""
    with urllib.request.urlopen(f"{url}?{urllib.parse.urlencode(query)}", timeout=10.0) as answer:
        return json.load(answer)


def post(url: str, lines: list[str]) -> None:
    with urllib.request.urlopen(url, "\n".join(lines).encode(), timeout=10.0) as answer:
        assert answer.status == 204


class Influx:
    """InfluxDB 1; it reports to nobody."""

    def __init__(self, folder: Path) -> None:
        self.url, config = f"http://127.0.0.1:{free_port()}", folder / "influx.conf"
        config.write_text(
            INFLUX_CONFIG.format(folder=folder / "influx", http=self.url.rpartition(":")[2], rpc=free_port())
        )
        self.command = [tool("influxd"), "-config", str(config)]
        self.health = f"{self.url}/ping"

    def fill(self, lines: list[str]) -> None:
        urllib.request.urlopen(f"{self.url}/query", b"q=CREATE+DATABASE+v2g", timeout=10.0).close()
        post(f"{self.url}/write?db=v2g&precision=ms", lines)

    def ask(self, query: dict[str, Any], begin_ms: int, end_ms: int) -> dict[str, Values]:
        """{label: values} of a query as Grafana fills it in."""
        text = filled(query["query"]).replace("$timeFilter", f"time >= {begin_ms}ms AND time <= {end_ms}ms")
        [result] = get(f"{self.url}/query", db="v2g", q=text, epoch="ms")["results"]
        assert "error" not in result, (text, result)
        found = result.get("series", [])
        return {",".join(s.get("tags", {}).values()): [v for _, v in s["values"] if v is not None] for s in found}

    def sites(self, query: str) -> list[str]:
        [result] = get(f"{self.url}/query", db="v2g", q=query)["results"]
        return sorted(value for _, value in result["series"][0]["values"])


class VictoriaMetrics:
    """As docs/telemetry.md says that it must be started."""

    def __init__(self, folder: Path) -> None:
        self.url = f"http://127.0.0.1:{free_port()}"
        self.command = [tool("victoria-metrics"), f"-storageDataPath={folder}/vm", f"-httpListenAddr={self.url[7:]}",
                        "-retentionPeriod=100y", "-search.latencyOffset=1ms", "-dedup.minScrapeInterval=1ms",
                        "-memory.allowedPercent=10", "-loggerLevel=ERROR"]  # fmt: skip
        self.health = f"{self.url}/health"

    def fill(self, lines: list[str]) -> None:
        post(f"{self.url}/api/v2/write?precision=ms", lines)

    def ask(self, query: dict[str, Any], begin_ms: int, end_ms: int) -> dict[str, Values]:
        asked = {
            "query": filled(query["expr"]),
            "start": str(begin_ms / 1e3),
            "end": str(end_ms / 1e3),
            "step": f"{STEP_S}s",
        }
        found = get(f"{self.url}/api/v1/query_range", **asked, nocache="1")["data"]["result"]
        return {",".join(s["metric"].values()): [float(value) for _, value in s["values"]] for s in found}

    def sites(self, query: str) -> list[str]:
        metric, label = query.removeprefix("label_values(").removesuffix(")").split(", ")
        return sorted(get(f"{self.url}/api/v1/label/{label}/values", **{"match[]": metric, "start": "0"})["data"])


Database = Influx | VictoriaMetrics


def filled(query: str) -> str:
    """The variables as Grafana fills them in, with all sites chosen."""
    text = query.replace("$site", ".*").replace("$__interval", f"{STEP_S}s")
    assert "$" not in text.replace("/^.*$/", "").replace("$timeFilter", ""), text
    return text


def queries(language: str, name: str) -> list[tuple[str, dict[str, Any]]]:
    """(panel: curve, query) of a file."""
    tree = json.loads((folder() / language / f"{name}.json").read_text(encoding="utf-8"))
    return [(f"{p['title']}: {q['refId']}", q) for p in tree["panels"] for q in p["targets"]]


def wait_for(claim: Callable[[], bool], what: Callable[[], str]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not claim():
        assert time.monotonic() < deadline, f"not within {PATIENCE_S} s: {what()}"
        time.sleep(0.2)


# ---- the rows ----


def steps_of_a_day_out(low_hz: float) -> NDArray[Any]:
    """Two minutes of the real core: quiet, frequency down and back, voltage up and back; a new reading each step."""
    unit = Unit(period_s=0.1, wish_w=1000.0, volt_var={}, limits={"ramp_pu_s": 1.0})
    for k in range(STEPS):
        depth = float(np.clip(min(k - 300, 600 - k) / 100.0, 0.0, 1.0))  # a trapezium from 30 s to 60 s
        v_v = (250.0,) if 700 <= k < 900 else (230.0,)
        f_hz = 60.0 - depth * (60.0 - low_hz) + 1e-4 * (k % 3)
        unit.step(f_hz=f_hz, v_v=v_v, meter_p_w=unit.device_p_w, meter_q_var=1.0)
    rows = stack(unit.records)
    rows["n"] = np.arange(len(rows))
    return rows


def steps_in(bodies: list[dict[str, Any]]) -> int:
    """A frame that is sent twice counts once."""
    return sum({body["seq"]: int(body["steps"]) for body in bodies}.values())


@pytest.fixture(scope="module")
def arrivals(tmp_path_factory: pytest.TempPathFactory) -> list[Arrival]:
    """What a bridge would have received of both houses."""
    now_ms = time.time_ns() // 1_000_000
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(makers, "WALL_MS", now_ms - START_NS // 1_000_000 - 120_000)  # so that it ends now
        rig = Rig(tmp_path_factory.mktemp("home"))
        rig.client.command("power", p_w=1000)
        rig.client.command("power", p_w=99_000)
        rig.wait_for(lambda: len(rig.answers()) == 2, "both answers")
        rig.reader.push(steps_of_a_day_out(59.5))
        rig.wait_for(lambda: steps_in(rig.client.at("v2g/home/tele/live")) == STEPS, "two minutes of frames")
        messages = [m for m in rig.client.messages if m.topic in ("v2g/home/tele/live", "v2g/home/event")]
        rig.close()
        builder = FrameBuilder(makers.info(epoch=8, site="house-8"), 1000, p_at_meter=True)
        drafts = builder.add(steps_of_a_day_out(59.6)) + builder.flush()
        for draft in [d for d in drafts if d.kind == "live"]:
            builder.of_devices(draft, COUNTERS)
    first = {a.seq: a for a in (decode(m.topic, bytes(m.payload), now_ms) for m in messages)}
    rows = [Row("b", i, d.kind, now_ms, json.dumps(d.body)) for i, d in enumerate(drafts)]
    second = [decode(topic("house-8", row.kind), encode(row), now_ms) for row in rows]
    return [*first.values(), *second]


@contextmanager
def one_for_each_language(path: Path) -> Iterator[dict[str, Database]]:
    found: dict[str, Database] = {"influxql": Influx(path), "metricsql": VictoriaMetrics(path)}
    children = []
    for name, one in found.items():
        with (path / f"{name}.log").open("wb") as log:
            children.append(subprocess.Popen(one.command, stdout=log, stderr=log))
    try:
        for one in found.values():
            wait_for(lambda url=one.health: answers(url), lambda: "it answers")  # type: ignore[misc]  # mypy: a lambda's default
        yield found
    finally:
        for child in children:
            child.terminate()
        for child in children:
            child.wait(20.0)


def answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=5.0).close()
    except OSError:
        return False
    return True


@pytest.fixture(scope="module")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Database]]:
    """For the demonstration's rows."""
    with one_for_each_language(tmp_path_factory.mktemp("databases")) as found:
        yield found


@pytest.fixture(scope="module")
def filled_databases(
    tmp_path_factory: pytest.TempPathFactory, arrivals: list[Arrival]
) -> Iterator[dict[str, Database]]:
    """Of two houses alone."""
    with one_for_each_language(tmp_path_factory.mktemp("filled")) as found:
        for one in found.values():
            one.fill([line(row) for row in arrivals])
        wait_for(
            lambda: len(found["metricsql"].sites("label_values(v2g_live_steps, site)")) == 2,
            lambda: "both houses visible",
        )
        yield found


def span(arrivals: list[Arrival]) -> tuple[int, int]:
    times = [row.t_ms for row in arrivals]
    return min(times) - 1000, max(times) + 1000 * STEP_S


# ---- every query ----


@pytest.mark.parametrize(("language", "name"), FILES)
def test_every_query_finds_something(
    filled_databases: dict[str, Database], arrivals: list[Arrival], language: str, name: str
) -> None:
    database, missing = filled_databases[language], [""]

    def all_found() -> bool:
        """VictoriaMetrics shows a new series some seconds late."""
        asked = {title: database.ask(query, *span(arrivals)) for title, query in queries(language, name)}
        missing[:] = [title for title, found in asked.items() if not any(found.values())]
        return not missing

    wait_for(all_found, lambda: f"{name}: something for {missing}")


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_variable_site_offers_both_houses(filled_databases: dict[str, Database], language: str) -> None:
    tree = json.loads((folder() / language / "live.json").read_text(encoding="utf-8"))
    assert filled_databases[language].sites(tree["templating"]["list"][1]["query"]) == ["home", "house-8"]


# fmt: off
SAID: list[tuple[str, str, str, Callable[[Values], float], float, str]] = [
    # file           curve                                   of whom     which    value     why
    ("live",         "Frequency: B",                         "home",  min,     59.5,     "the bottom of the trapezium"),
    ("live",         "Frequency: B",                         "house-8",  min,     59.6,     "the other house"),
    ("live",         "Voltage: C",                           "home",  max,     1.087,    "250 V of 230 V"),
    ("live",         "Operating state: A",                   "home",  max,     2.0,      "in service"),
    ("live",         "State of charge: A",                   "home",  max,     0.5,      "half full"),
    ("fleet",        "Sites that report: A",                 "",         max,     2.0,      "both houses"),
    ("grid-events",  "Extremes of frequency events: A",      "home",  min,     59.5,     "of the event itself"),
    ("grid-events",  "Events: A",                            "command_refused", sum, 1.0,   "99 kW"),
    ("grid-events",  "Events: A",                            "frequency_end", sum, 2.0,     "one a house"),
    ("energy",       "Energy of the unit: A",                "house-8",  max,     0.0,      "nothing was imported"),
    ("energy",       "Registers of the meter: A",            "house-8",  max,     5000.0,   "import"),
    ("energy",       "Registers of the meter: B",            "house-8",  max,     6000.0,   "export"),
    ("energy",       "Registers of the inverter, DC: A",     "house-8",  max,     7000.0,   "into the battery"),
    ("energy",       "Registers of the inverter, DC: B",     "house-8",  max,     8000.0,   "out of it"),
    ("energy",       "Power unknown: A",                     "home",  max,     0.0,      "each step has its power"),
    ("data-quality", "Remote commands: A",                   "home",  max,     1.0,      "accepted"),
    ("data-quality", "Refusals: A",                          "home",  sum,     1.0,      "refused"),
    ("data-quality", "Steps: A",                             "home",  sum,     1200.0,   "every step of two minutes"),
    ("data-quality", "Refresh of the meter: A",              "home",  max,     100.0,    "a new value each step"),
]
# fmt: on


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(("name", "curve", "who", "which", "value", "why"), SAID, ids=[f"{c[1]} {c[2]}" for c in SAID])
def test_both_languages_say_what_was_played(
    filled_databases: dict[str, Database],
    arrivals: list[Arrival],
    language: str,
    name: str,
    curve: str,
    who: str,
    which: Callable[[Values], float],
    value: float,
    why: str,
) -> None:
    query = dict(queries(language, name))[curve]
    values = filled_databases[language].ask(query, *span(arrivals))[who]
    assert which(values) == pytest.approx(value, rel=1e-3), why


# ---- the demonstration ----

# its grid's voltage stays where it is, and its frequency is not back when it ends
NOT_IN_A_DEMO = {
    "Length of voltage events: A",
    "Length of frequency events: A",
    "Extremes of frequency events: A",
    "Extremes of frequency events: B",
}


@pytest.mark.parametrize("played", [Play(())], indirect=True, ids=["60 s"])
@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", ["live", "grid-events"])
def test_a_demonstration_fills_its_dashboards(
    databases: dict[str, Database], played: Played, language: str, name: str
) -> None:
    site = load_site(played.folder / "site.yaml").name
    store = played.folder / "state" / "telemetry.sqlite"
    rows = [row for kind in ("live", "event") for row in read_points(store, site, kind)]
    assert rows, "the demonstration stored nothing"
    database = databases[language]
    database.fill([line(row) for row in rows])
    missing = {""}

    def all_found() -> bool:
        asked = {title: database.ask(query, *span(rows)) for title, query in queries(language, name)}
        missing.clear()
        missing.update(
            t for t, found in asked.items() if not any(v for who, v in found.items() if site in who or "_" in who)
        )
        return missing <= NOT_IN_A_DEMO

    wait_for(all_found, lambda: f"{name}: something for {missing}")
