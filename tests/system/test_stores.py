"""Publisher -> broker -> bridge -> database, all real: every row is there, and there once.

V2G_TEST_INFLUX_URL, _TOKEN, _ORG and _BUCKET (an empty bucket) play the same against an InfluxDB 2 or 3 of yours.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from controller.sitedata import StoreSite
from controller.telemetry.httplink import HttpLink
from controller.telemetry.invalidrows import InvalidRows
from controller.telemetry.quarantine import Quarantine
from controller.telemetry.sqlitestore import SqliteStore
from controller.telemetry.stores import make_store
from controller.telemetry.targets import target_of
from controller.telemetry.wire import Arrival
from tests.controller.telemetry.makers import event, live
from tests.system.chain import Chain
from tests.system.servers import Database, Influx1, Mosquitto, Nats, RealInflux, VictoriaMetrics, choice_of, wait_for

TOTAL = 200
EVENTS = [seq for seq in range(1, TOTAL + 1) if seq % 10 == 0]
FRAMES = [seq for seq in range(1, TOTAL + 1) if seq % 10]
OF_YOURS = "V2G_TEST_INFLUX_URL"


@pytest.fixture(params=["victoriametrics", "influx1", "influx"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """Started, and made ready as a user would: v2g bridge --setup comes in each test that needs it."""
    folder = tmp_path / "database"
    if request.param == "influx" and OF_YOURS not in os.environ:
        pytest.skip(f"NO INFLUXDB 2 OR 3: none is in apt; {OF_YOURS}, _TOKEN, _ORG, _BUCKET name one of yours")
    database: Database = (
        VictoriaMetrics(folder) if request.param == "victoriametrics"
        else Influx1(folder) if request.param == "influx1"
        else RealInflux(folder, os.environ[OF_YOURS])
    )  # fmt: skip
    database.start()
    yield database
    database.stop()


@pytest.fixture(params=["mosquitto", "nats"])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Mosquitto | Nats]:
    broker = Mosquitto(tmp_path / "broker") if request.param == "mosquitto" else Nats(tmp_path / "broker")
    yield broker
    broker.stop()


def seqs(database: Database, measurement: str) -> list[int]:
    """The numbers of all rows, a row that is there twice twice."""
    return sorted(int(value) for _, value in database.points(measurement, "seq"))


def frames(count: int, first: int = 1, **body: Any) -> list[Arrival]:
    drafts = [live(first + i, seq=first + i, **body) for i in range(count)]
    return [Arrival("home", "live", 7, d.t_ms, "live", "ab", first + i, 0, d.body) for i, d in enumerate(drafts)]


def test_every_row_arrives_once(broker: Mosquitto | Nats, database: Database, tmp_path: Path) -> None:
    with closing(Chain(tmp_path, broker.port, database.keys)) as chain:
        made = chain.v2g("bridge", str(chain.site), "--setup")
        assert made.returncode == 0, made.stderr
        bridge = chain.start_bridge()
        publisher = chain.start_publisher(TOTAL)
        assert publisher.wait(60.0) == 0  # it ends when every row is acknowledged
        counters = chain.end_bridge(bridge)
        wait_for(lambda: len(seqs(database, "v2g_live")) >= len(FRAMES), "all frames visible")
        wait_for(lambda: len(seqs(database, "v2g_event")) >= len(EVENTS), "all events visible")
        assert (seqs(database, "v2g_live"), seqs(database, "v2g_event")) == (FRAMES, EVENTS)
        assert counters["stored"] == counters["received"] >= TOTAL
        assert (counters["refused"], counters["quarantined"], counters["store_up"]) == (0, 0, True)
        assert "V2G-BRIDGE-STOP one: received" in chain.said("bridge-one")


def test_set_up_twice_the_second_time_changes_nothing(database: Database, tmp_path: Path) -> None:
    broker = Mosquitto(tmp_path / "broker")
    with closing(Chain(tmp_path, broker.port, {**database.keys, "keep_days": 3650})) as chain:
        first, second = (chain.v2g("bridge", str(chain.site), "--setup") for _ in range(2))
    broker.stop()
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert "made" not in second.stdout
    assert "changed" not in second.stdout
    if isinstance(database, VictoriaMetrics):
        assert "-dedup.minScrapeInterval=1ms: ok" in first.stdout
    elif not isinstance(database, RealInflux):
        assert (
            first.stdout
            == "database v2g: made\nretention policy autogen: was there already; retention changed, now it "
            "keeps rows 3650 days\n"
        )
        assert isinstance(database, Influx1)
        assert [row[:2] for row in database.query("SHOW RETENTION POLICIES")[0]["values"]] == [
            ["autogen", "87600h0m0s"]
        ]


def test_bad_rows_to_quarantine_good_rows_stored(database: Database, tmp_path: Path) -> None:
    """A number beyond 64 bits: none of them can read the line. Written three times over, as repeats come."""
    choice = choice_of(database)
    prepare(choice, tmp_path)
    batch = frames(50)
    for i in (0, 17, 18, 49):
        batch[i].body["n_last"] = 2**70
    with closing(make_store(choice, tmp_path)) as store:
        assert [store.write(batch) for _ in range(3)] == [4, 4, 4]
    with closing(Quarantine(tmp_path / "quarantine.sqlite")) as kept:
        assert kept.count() == 4
    good = [row.seq for row in batch if "n_last" not in row.body]
    wait_for(lambda: len(seqs(database, "v2g_live")) >= len(good), "good rows visible")
    assert seqs(database, "v2g_live") == good


def test_a_field_that_changes_its_type_is_the_rows_fault(tmp_path: Path) -> None:
    """InfluxDB refuses it (partial write); the rest of the batch is stored."""
    with closing(Influx1Running(tmp_path / "database")) as database:
        choice = choice_of(database)
        prepare(choice, tmp_path)
        with closing(make_store(choice, tmp_path)) as store:
            assert store.write(frames(5)) == 0
            assert store.write([*frames(3, first=6), *frames(1, first=9, f_hz={"newest": "fifty"})]) == 1
        assert seqs(database, "v2g_live") == list(range(1, 9))


class Influx1Running(Influx1):
    """Started at once; ends with close()."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.start()
        self.close = self.stop


def prepare(choice: StoreSite, folder: Path) -> None:
    """As v2g bridge --setup."""
    from controller.telemetry.setup import set_up

    set_up(choice, folder)


def test_export_into_a_server_doubles_nothing(database: Database, tmp_path: Path) -> None:
    """The first half is there already, by a bridge; then the whole history comes, twice."""
    prepare(choice_of(database), tmp_path)
    history = frames(100)
    events = [Arrival("home", "event", 7, d.t_ms, d.name, "ab", 0, 0, {**d.body, "seq": 200 + i})
              for i, d in enumerate([event(1), event(2)])]  # fmt: skip
    with closing(make_store(choice_of(database), tmp_path)) as server:
        server.write(history[:50])
    with closing(SqliteStore(tmp_path / "state" / "telemetry.sqlite")) as store:
        store.write([*history, *events])
    broker = Mosquitto(tmp_path / "broker")
    with closing(Chain(tmp_path, broker.port, {"kind": "sqlite"})) as chain:
        options = [f"--{database.keys['kind']}", database.keys["url"]]
        for key, value in database.keys.items():
            options += [f"--{key.replace('_', '-')}", value] if key not in ("kind", "url") else []
        done = [chain.v2g("export", str(chain.site), *options) for _ in range(2)]
    broker.stop()
    assert [one.returncode for one in done] == [0, 0], done[0].stderr
    assert done[0].stdout.endswith("live and event of home: rows: 102, quarantined: 0\n")
    wait_for(lambda: len(seqs(database, "v2g_live")) >= 100, "the history is visible")
    assert seqs(database, "v2g_live") == list(range(1, 101))
    wait_for(lambda: seqs(database, "v2g_event") == [200, 201], "the events are visible")


def test_lines_that_victoria_metrics_drops_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It says 204 to everything. A foreign writer sends two lines nobody can read, after our first look."""
    database = VictoriaMetrics(tmp_path / "database")
    database.start()
    link = HttpLink(target_of(choice_of(database), ""))
    rows = InvalidRows(link)
    try:
        rows.look()
        link.send("POST", "/api/v2/write", (), {"Content-Type": "text/plain"}, b"v2g_live seq=1i 1x\nno line at all\n")

        def looked() -> bool:
            rows.look()
            return rows.dropped > 0

        wait_for(looked, "its counter has been renewed")
    finally:
        link.close()
        database.stop()
    assert rows.dropped == 2
    assert caplog.text.count("V2G-STORE-DROPPED") == 1
