"""Real servers for tests, each on free ports of loopback and in a folder of its own; the tests start and stop them.

Databases share one face: `keys` is what `telemetry.store` of a site says of them; `points(series field)` reads back.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import urllib.parse
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from controller.sitedata import StoreSite
from controller.telemetry.broker import free_port, start_broker
from tests.need import tool

PATIENCE_S = 40.0


def wait_for(claim: Callable[[], bool], what: str, patience_s: float = PATIENCE_S) -> None:
    """Poll until it is so."""
    deadline = time.monotonic() + patience_s
    while not claim():
        assert time.monotonic() < deadline, f"not within {patience_s:.0f} s: {what}"
        time.sleep(0.1)


class Process:
    """One server; what it says goes to a file beside its data."""

    def __init__(self, folder: Path, command: list[str], name: str) -> None:
        self.folder, self.command, self.name = folder, command, name
        folder.mkdir(parents=True, exist_ok=True)
        self.child: subprocess.Popen[bytes] | None = None

    def start(self, answers: Callable[[], bool]) -> None:
        with (self.folder / f"{self.name}.log").open("ab") as log:
            self.child = subprocess.Popen(self.command, stdout=log, stderr=log)
        wait_for(answers, f"{self.name} answers")

    def send(self, number: signal.Signals) -> None:
        assert self.child is not None
        self.child.send_signal(number)

    def stop(self) -> None:
        if self.child is not None:
            self.child.send_signal(signal.SIGCONT)
            self.child.terminate()
            try:
                self.child.wait(10.0)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()
        self.child = None


def get(url: str, query: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None) -> str:
    """The body of an answer."""
    full = f"{url}?{urllib.parse.urlencode(query)}" if query else url
    with urllib.request.urlopen(urllib.request.Request(full, headers=dict(headers or {})), timeout=5.0) as answer:
        return str(answer.read().decode())


def answering(url: str) -> bool:
    """Any 2xx."""
    try:
        get(url)
    except OSError:
        return False
    return True


class Database(ABC):
    """What the tests need of each. keys: what `telemetry.store` of a site says of it; alive: a path that answers."""

    url: str
    alive: str
    keys: dict[str, Any]
    process: Process

    def start(self) -> None:
        self.process.start(lambda: answering(f"{self.url}{self.alive}"))

    def stop(self) -> None:
        self.process.stop()

    def pause(self) -> None:
        self.process.send(signal.SIGSTOP)

    def resume(self) -> None:
        self.process.send(signal.SIGCONT)

    @abstractmethod
    def points(self, measurement: str, field: str) -> list[tuple[int, Any]]:
        """(ms, value) of every point of every series, sorted; a point that is there twice comes twice."""


class VictoriaMetrics(Database):
    """It shows a new series some seconds after its first row."""

    alive = "/health"

    def __init__(self, folder: Path) -> None:
        self.url = f"http://127.0.0.1:{free_port()}"
        self.keys = {"kind": "victoriametrics", "url": self.url}
        command = [tool("victoria-metrics"), f"-storageDataPath={folder}/data", f"-httpListenAddr={self.url[7:]}",
                   "-retentionPeriod=100y", "-search.latencyOffset=1ms", "-dedup.minScrapeInterval=1ms",
                   "-memory.allowedPercent=10", "-loggerLevel=ERROR"]  # fmt: skip
        self.process = Process(folder, command, "victoria-metrics")

    def points(self, measurement: str, field: str) -> list[tuple[int, Any]]:
        text = get(f"{self.url}/api/v1/export", {"match[]": f"{measurement}_{field}"})
        found = [json.loads(line) for line in text.split("\n") if line]
        return sorted(pair for series in found for pair in zip(series["timestamps"], series["values"], strict=True))


INFLUX1_CONFIG = """
reporting-disabled = true
bind-address = "127.0.0.1:{rpc}"
[meta]
  dir = "{folder}/meta"
[data]
  dir = "{folder}/data"
  wal-dir = "{folder}/wal"
  query-log-enabled = false
[http]
  bind-address = "127.0.0.1:{http}"
  log-enabled = false
[monitor]
  store-enabled = false
"""


class Influx1(Database):
    """InfluxDB 1 from apt; it reports to nobody."""

    alive = "/ping"
    headers: Mapping[str, str] = {}

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.database = "v2g"
        self.keys = {"kind": "influx1", "url": self.url, "database": self.database}
        config = folder / "influxdb.conf"
        config.write_text(INFLUX1_CONFIG.format(folder=folder, http=port, rpc=free_port()))
        self.process = Process(folder, [tool("influxd"), "-config", str(config)], "influxd")

    def query(self, text: str) -> list[dict[str, Any]]:
        """InfluxQL -> series."""
        body = get(f"{self.url}/query", {"db": self.database, "q": text, "epoch": "ms"}, self.headers)
        return list(json.loads(body)["results"][0].get("series", []))

    def points(self, measurement: str, field: str) -> list[tuple[int, Any]]:
        series = self.query(f'SELECT "{field}" FROM "{measurement}" GROUP BY *')
        return sorted((row[0], row[1]) for one in series for row in one["values"])


class RealInflux(Influx1):
    """A server that somebody runs: read through InfluxQL, by the mapping that --setup has made. Never stopped."""

    def __init__(self, folder: Path, url: str) -> None:
        folder.mkdir(parents=True)
        token = folder / "token"
        token.write_text(os.environ["V2G_TEST_INFLUX_TOKEN"])
        self.url, self.database = url.rstrip("/"), os.environ["V2G_TEST_INFLUX_BUCKET"]
        self.headers = {"Authorization": f"Token {token.read_text()}"}
        self.keys = {"kind": "influx", "url": self.url, "org": os.environ["V2G_TEST_INFLUX_ORG"],
                     "bucket": self.database, "token_file": str(token)}  # fmt: skip

    def start(self) -> None:
        assert answering(f"{self.url}/ping"), f"{self.url} of V2G_TEST_INFLUX_URL does not answer"

    def stop(self) -> None:
        return None


NATS_CONFIG = """
server_name: test
listen: "127.0.0.1:{client}"
jetstream {{ store_dir: "{folder}/jetstream" }}
mqtt {{ listen: "127.0.0.1:{port}" }}
"""


class Nats:
    """nats-server as an MQTT 3.1.1 broker."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.port = free_port()
        config = folder / "nats.conf"
        config.write_text(NATS_CONFIG.format(folder=folder, port=self.port, client=free_port()))
        self.process = Process(folder, [tool("nats-server"), "-c", str(config)], "nats-server")
        self.process.start(self.answers)

    def answers(self) -> bool:
        return "Server is ready" in (self.process.folder / "nats-server.log").read_text()

    def stop(self) -> None:
        self.process.stop()


class Mosquitto:
    """The broker of the demonstration."""

    def __init__(self, folder: Path) -> None:
        tool("mosquitto")
        self.broker = start_broker(folder, kind="mosquitto")
        self.port = self.broker.port

    def stop(self) -> None:
        self.broker.stop()


def choice_of(database: Database) -> StoreSite:
    """What a site file with its keys would say."""
    keys = dict(database.keys)
    if "token_file" in keys:
        keys["token_file"] = Path(keys["token_file"])
    return StoreSite(**keys)
