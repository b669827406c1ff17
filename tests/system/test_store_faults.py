"""What may happen to a database while rows come: nothing is lost, nothing is there twice, the counters say what was.

The same outage lasts 8 s in `make system` and 10 min at night.
"""

from __future__ import annotations

import os
import re
import resource
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from controller.telemetry.sqlitestore import read_points
from tests.controller.telemetry.test_httpstore import Double
from tests.system.chain import Chain
from tests.system.servers import Database, Influx1, Mosquitto, VictoriaMetrics, wait_for
from tests.system.test_stores import TOTAL, seqs

AWAY_S, AWAY_AT_NIGHT_S = 8.0, 600.0  # the bridge tries after 0.5, 1.5, 3.5, 7.5 and 15.5 s
AT_NIGHT = 30_000  # rows, 20 ms apart: as long as the outage
SLOW_S = 7.0  # longer than a request may take (5 s), so that answers come to nobody


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    broker = Mosquitto(tmp_path / "broker")
    yield broker
    broker.stop()


def away(database: Database, lasting_s: float) -> None:
    """Ended in order, and started again on the same port."""
    database.stop()
    time.sleep(lasting_s)
    database.start()


def hung(database: Database, lasting_s: float) -> None:
    """It takes connections and requests, and answers when it goes on: too late."""
    database.pause()
    time.sleep(lasting_s)
    database.resume()


# fmt: off
Fault = Callable[[Database, float], None]
NIGHT = pytest.mark.nightly
FAULTS: list[tuple[type[Influx1 | VictoriaMetrics], Fault, float, int, int, Any, str]] = [
    # database        fault  lasts            rows        failed writes  marks  why
    (Influx1,         away,  AWAY_S,          TOTAL,      3,             (),    "away"),
    (VictoriaMetrics, hung,  SLOW_S,          TOTAL,      1,             (),    "slow: answers come too late"),
    (VictoriaMetrics, away,  AWAY_S,          TOTAL,      3,             NIGHT, "the other one away"),
    (Influx1,         hung,  SLOW_S,          TOTAL,      1,             NIGHT, "the other one slow"),
    (Influx1,         away,  AWAY_AT_NIGHT_S, AT_NIGHT,   15,            NIGHT, "away for ten minutes"),
]
# fmt: on


@pytest.mark.parametrize(
    ("kind", "fault", "lasting_s", "total", "failures"),
    [pytest.param(*case[:5], marks=case[5], id=case[6]) for case in FAULTS],
)
def test_nothing_is_lost_and_nothing_is_there_twice(
    broker: Mosquitto, tmp_path: Path,
    kind: type[Influx1 | VictoriaMetrics], fault: Fault, lasting_s: float, total: int, failures: int
) -> None:  # fmt: skip
    database = kind(tmp_path / "database")
    database.start()
    with closing(Chain(tmp_path, broker.port, database.keys)) as chain, stopping(database):
        chain.v2g("bridge", str(chain.site), "--setup")
        bridge, publisher = chain.start_bridge(), chain.start_publisher(total)
        wait_for(lambda: chain.acknowledged() >= TOTAL // 10, "the first rows stored")
        fault(database, lasting_s)
        assert publisher.wait(120.0 + lasting_s) == 0
        counters = chain.end_bridge(bridge)
        wait_for(lambda: len(seqs(database, "v2g_live")) >= total * 9 // 10, "all frames visible")
        wait_for(lambda: len(seqs(database, "v2g_event")) >= total // 10, "all events visible")
        assert seqs(database, "v2g_live") == [seq for seq in range(1, total + 1) if seq % 10]
        assert seqs(database, "v2g_event") == [seq for seq in range(1, total + 1) if seq % 10 == 0]
        assert counters["failed_writes"] >= failures
        assert counters["stored"] == counters["received"] >= total
        assert (counters["quarantined"], counters["refused"], counters["store_up"]) == (0, 0, True)
        said = chain.said("bridge-one")
        assert said.count("V2G-STORE-DOWN") == said.count("V2G-STORE-UP") >= 1  # one line a change, not an attempt


@contextmanager
def stopping(database: Database) -> Iterator[None]:
    try:
        yield
    finally:
        database.stop()


def test_told_to_stop_while_the_database_is_away_the_bridge_stops_and_nothing_is_lost(
    broker: Mosquitto, tmp_path: Path
) -> None:
    with closing(Chain(tmp_path, broker.port, {"kind": "victoriametrics", "url": "http://127.0.0.1:9"})) as chain:
        bridge, publisher = chain.start_bridge(), chain.start_publisher(20)
        wait_for(lambda: "V2G-STORE-DOWN" in chain.said("bridge-one"), "the bridge has tried")
        began = time.monotonic()
        counters = chain.end_bridge(bridge)
        assert time.monotonic() - began < 10.0
        assert (counters["stored"], counters["store_up"]) == (0, False)
        assert publisher.poll() is None  # it keeps what nobody has confirmed
        chain.site.write_text(re.sub(r"store: \{.*?\}", "store: {kind: sqlite}", chain.site.read_text()))
        chain.start_bridge("one")
        assert publisher.wait(60.0) == 0
        assert stored(chain) == list(range(1, 21))


def test_double_that_is_overloaded_gets_its_retry_after(broker: Mosquitto, tmp_path: Path) -> None:
    """A double: 429 and 503 with Retry-After, then it is well."""
    double = Double()
    double.answers = [(429, {"Retry-After": "1"}), (503, {"Retry-After": "1"})]
    with (
        closing(double),
        closing(Chain(tmp_path, broker.port, {"kind": "influx1", "url": double.url, "database": "d"})) as chain,
    ):
        bridge, publisher = chain.start_bridge(), chain.start_publisher(50)
        assert publisher.wait(60.0) == 0
        assert chain.end_bridge(bridge)["failed_writes"] == 2
        lines = [line for line in double.stored if line]
        assert sorted({int(found[1]) for line in lines if (found := re.search(r"seq=(\d+)i", line))}) == list(
            range(1, 51)
        )


# ---- the disk of a SQLite store ----


def stored(chain: Chain) -> list[int]:
    """The numbers of all rows in the SQLite store, each as often as it is there."""
    path = chain.folder / "disk" / "telemetry.sqlite"
    path = path if path.exists() else chain.folder / "state" / "telemetry.sqlite"
    return sorted(row.seq for kind in ("live", "event") for row in read_points(path, "home", kind))


class SmallDisk:
    """A file system of its own that is soon full; grow() makes room."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.mount("size=160k")

    def mount(self, options: str) -> None:
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "v2g-test", str(self.folder)], check=True)

    def grow(self, _bridge: subprocess.Popen[bytes]) -> None:
        self.mount("remount,size=20m")

    def close(self) -> None:
        subprocess.run(["umount", str(self.folder)], check=True)


class SmallFiles:
    """No file of the bridge may grow beyond a size; grow() lifts that."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()

    def limit(self, bridge: subprocess.Popen[bytes], size: int) -> None:
        hard = resource.prlimit(bridge.pid, resource.RLIMIT_FSIZE)[1]
        resource.prlimit(bridge.pid, resource.RLIMIT_FSIZE, (size, hard))

    def grow(self, bridge: subprocess.Popen[bytes]) -> None:
        self.limit(bridge, resource.prlimit(bridge.pid, resource.RLIMIT_FSIZE)[1])

    def close(self) -> None:
        return None


@pytest.fixture(params=[SmallDisk, SmallFiles], ids=["no space left", "file too large"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SmallDisk | SmallFiles]:
    if request.param is SmallDisk and os.geteuid() != 0:
        pytest.skip("NOT ROOT: a small file system cannot be mounted; the size limit of a process stands for it")
    disk = request.param(tmp_path / "disk")
    yield disk
    disk.close()


def test_a_full_disk_costs_nothing_but_time(broker: Mosquitto, disk: SmallDisk | SmallFiles, tmp_path: Path) -> None:
    keys = {"kind": "sqlite", "sqlite_path": str(tmp_path / "disk" / "telemetry.sqlite")}
    with closing(Chain(tmp_path, broker.port, keys)) as chain:
        bridge = chain.start_bridge()
        if isinstance(disk, SmallFiles):
            disk.limit(bridge, 60_000)
        publisher = chain.start_publisher(TOTAL)
        wait_for(lambda: "V2G-STORE-DOWN" in chain.said("bridge-one"), "the disk is full")
        assert publisher.poll() is None
        disk.grow(bridge)
        assert publisher.wait(60.0) == 0
        counters = chain.end_bridge(bridge)
        assert stored(chain) == list(range(1, TOTAL + 1))
        assert counters["failed_writes"] >= 1
        assert "V2G-STORE-UP" in chain.said("bridge-one")
