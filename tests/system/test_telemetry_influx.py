"""The InfluxDB path: against VictoriaMetrics, which speaks the v2 write protocol, and against an HTTP double for the
answers a healthy server does not give. A double is named so in the test's name.
"""

from __future__ import annotations

import gzip
import json
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from controller.telemetry.bridge import Bridge
from controller.telemetry.broker import free_port, start_broker
from controller.telemetry.influx import InfluxStore, retry_after_s
from controller.telemetry.link import Access
from controller.telemetry.outbox import Outbox
from controller.telemetry.publisher import MqttDelivery
from controller.telemetry.pump import Pump
from controller.telemetry.quarantine import Quarantine
from controller.telemetry.store import StoreError, StoreRefusedError, write_until_stored
from controller.telemetry.wire import Arrival
from tests.controller.telemetry.makers import event, live
from tests.need import tool

PATIENCE_S = 40.0


def store_at(url: str, folder: Path) -> InfluxStore:
    return InfluxStore(url, "o", "b", "t", Quarantine(folder / "quarantine.sqlite"))


def rows(count: int, first: int = 0) -> list[Arrival]:
    """Frames of consecutive seconds."""
    drafts = [live(first + i) for i in range(count)]
    return [Arrival("home", "live", 7, d.t_ms, "live", "ab", first + i + 1, 0, d.body) for i, d in enumerate(drafts)]


def wait_for(claim: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not claim():
        assert time.monotonic() < deadline, f"not within {PATIENCE_S} s: {what}"
        time.sleep(0.1)


# ---- a real server ----


class VictoriaMetrics:
    """A server of its own on loopback."""

    def __init__(self, folder: Path, port: int = 0) -> None:
        self.url = f"http://127.0.0.1:{port or free_port()}"
        command = [tool("victoria-metrics"), f"-storageDataPath={folder}/vm", f"-httpListenAddr={self.url[7:]}",
                   "-retentionPeriod=100y", "-search.latencyOffset=1ms", "-dedup.minScrapeInterval=1ms",
                   "-memory.allowedPercent=10", "-loggerLevel=ERROR"]  # fmt: skip
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(self.answers, "victoria-metrics answers")

    def get(self, path: str) -> str:
        with urllib.request.urlopen(self.url + path, timeout=5.0) as answer:
            return str(answer.read().decode())

    def answers(self) -> bool:
        try:
            return bool(self.get("/health"))
        except OSError:
            return False

    def rows_read(self) -> int:
        """Rows it took, by its own counter: it answers 204 to what it cannot read as well."""
        counter = 'vm_protoparser_rows_read_total{type="influx"}'
        lines = [text for text in self.get("/metrics").split("\n") if text.startswith(counter)]
        return int(float(lines[0].split()[-1])) if lines else 0

    def samples(self, series: str) -> list[tuple[int, float]]:
        """(ms, value) of one series, over everything stored."""
        text = self.get(f"/api/v1/export?match[]={series}")
        found = [json.loads(line) for line in text.split("\n") if line]
        return sorted(pair for series in found for pair in zip(series["timestamps"], series["values"], strict=True))

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(10.0)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[VictoriaMetrics]:
    server = VictoriaMetrics(tmp_path)
    yield server
    server.close()


def test_victoria_metrics_holds_each_point_once_however_often_it_is_written(
    server: VictoriaMetrics, tmp_path: Path
) -> None:
    store, batch = store_at(server.url, tmp_path), rows(50)
    store.write(batch)
    store.write(batch)
    store.write(batch[10:20])
    wait_for(lambda: len(server.samples("v2g_live_f_hz")) == 50, "50 points visible")
    assert server.samples("v2g_live_f_hz") == [(row.t_ms, 50.0) for row in batch]
    assert server.rows_read() == 110  # it counts fields; these lines have one each
    assert store.quarantine.count() == 0
    store.close()


def test_mqtt_bridge_victoria_metrics_every_row_arrives(server: VictoriaMetrics, tmp_path: Path) -> None:
    """Outbox -> broker -> bridge -> server -> acknowledgement, with the server away at first."""
    broker = start_broker(tmp_path / "broker")
    outbox = Outbox(tmp_path / "outbox.sqlite", "home")
    delivery, pump, stopping = (
        MqttDelivery("home", Access("127.0.0.1", broker.port, 5)),
        Pump(outbox),
        threading.Event(),
    )
    bridge = Bridge(store_at(server.url, tmp_path), Access("127.0.0.1", broker.port, 5))
    thread = threading.Thread(target=bridge.run, args=(stopping,))
    server.close()
    thread.start()
    delivery.start()
    wait_for(lambda: delivery.connected and bridge.link.connected, "connections")
    now_ms = time.time_ns() // 1_000_000
    outbox.add([live(i) for i in range(40)] + [event(i) for i in range(5)], now_ms)
    pump.connected(now_ms)

    def all_acknowledged() -> bool:
        now_ms = time.time_ns() // 1_000_000
        for outbox_id, ranges in delivery.acks():
            pump.acknowledged(outbox_id, ranges, now_ms)
        delivery.send(pump.due(now_ms))
        return outbox.counters().waiting == 0

    try:
        for _ in range(10):
            all_acknowledged()
            time.sleep(0.1)
        assert outbox.counters().waiting == 45  # nobody said yes, so nothing left
        again = VictoriaMetrics(tmp_path, port=int(server.url.rpartition(":")[2]))
        try:
            wait_for(all_acknowledged, "every row acknowledged")
            wait_for(lambda: len(again.samples("v2g_live_f_hz")) == 40, "40 frames visible")
            wait_for(lambda: len(again.samples("v2g_event_n")) == 5, "5 events visible")
        finally:
            again.close()
    finally:
        stopping.set()
        thread.join(10.0)
        delivery.stop()
        broker.stop()


# ---- a double ----


class Double(ThreadingHTTPServer):
    """Answers what it is told: status and headers of the next answers; a line with POISON in it is always 400."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), DoubleHandler)
        self.answers: list[tuple[int, dict[str, str]]] = []
        self.stored: list[str] = []
        self.requests = 0
        self.thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05})
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def close(self) -> None:
        self.shutdown()
        self.thread.join()
        self.server_close()


class DoubleHandler(BaseHTTPRequestHandler):
    """POST /api/v2/write."""

    server: Double

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        text = (gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body).decode()
        self.server.requests += 1
        status, headers = self.server.answers.pop(0) if self.server.answers else (204, {})
        if status == 204 and "POISON" in text:
            status = 400
        if status == 204:
            self.server.stored += text.split("\n")
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.end_headers()
        if status != 204:
            self.wfile.write(b'{"code":"invalid","message":"partial write: field type conflict"}')

    def log_message(self, *_: object) -> None:
        return None


@pytest.fixture
def double() -> Iterator[Double]:
    double = Double()
    yield double
    double.close()


def poisoned(count: int, *bad: int) -> list[Arrival]:
    batch = rows(count)
    for i in bad:
        batch[i].body["why"] = "POISON"
    return batch


# fmt: off
POISON: list[tuple[int, tuple[int, ...], str]] = [
    # rows   bad ones       why
    (1,      (0,),          "alone"),
    (8,      (3,),          "one among good ones"),
    (9,      (0, 8),        "first and last"),
    (5,      (0, 1, 2, 3, 4), "all of them"),
]
# fmt: on


@pytest.mark.parametrize(("count", "bad", "why"), POISON, ids=[c[-1] for c in POISON])
def test_double_400_bad_rows_to_quarantine_good_rows_stored(
    double: Double, tmp_path: Path, count: int, bad: tuple[int, ...], why: str
) -> None:
    store = store_at(double.url, tmp_path)
    store.write(poisoned(count, *bad))
    assert (store.quarantine.count(), len(double.stored)) == (len(bad), count - len(bad)), why
    store.close()


# fmt: off
REFUSALS: list[tuple[int, dict[str, str], type[StoreError], float | None, str]] = [
    # status  headers                  error              retry after   why
    (429,     {"Retry-After": "7"},    StoreError,        7.0,          "too fast: when it says"),
    (503,     {"Retry-After": "0"},    StoreError,        0.0,          "overloaded"),
    (500,     {},                      StoreError,        None,         "broken: our own pauses"),
    (408,     {},                      StoreError,        None,         "it lost patience"),
    (401,     {},                      StoreRefusedError, None,         "token: never quarantine good rows for it"),
    (403,     {},                      StoreRefusedError, None,         "no right to the bucket"),
    (404,     {},                      StoreRefusedError, None,         "no such bucket"),
]
# fmt: on


@pytest.mark.parametrize(("status", "headers", "error", "after_s", "why"), REFUSALS, ids=[str(c[0]) for c in REFUSALS])
def test_double_refusals_lose_nothing(
    double: Double,
    tmp_path: Path,
    status: int,
    headers: dict[str, str],
    error: type[StoreError],
    after_s: float,
    why: str,
) -> None:
    double.answers = [(status, headers)]
    store = store_at(double.url, tmp_path)
    with pytest.raises(StoreError) as caught:
        store.write(rows(3))
    assert (type(caught.value), caught.value.retry_after_s) == (error, after_s), why
    assert (store.quarantine.count(), double.requests) == (0, 1)  # one request: the client repeats nothing by itself
    store.close()


def test_double_503_then_well_everything_is_stored_once_in_order(double: Double, tmp_path: Path) -> None:
    double.answers = [(503, {"Retry-After": "0"}), (429, {"Retry-After": "0"}), (500, {"Retry-After": "0"})]
    store = store_at(double.url, tmp_path)
    assert write_until_stored(store, rows(20), threading.Event())
    assert [int(line.split()[-1]) for line in double.stored] == [row.t_ms for row in rows(20)]
    store.close()


def test_double_that_hangs_up_is_no_answer(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        store = store_at(f"http://127.0.0.1:{listener.getsockname()[1]}", tmp_path)
        thread = threading.Thread(target=lambda: listener.accept()[0].close())
        thread.start()
        with pytest.raises(StoreError, match="no answer"):
            store.write(rows(1))
        thread.join()
        store.close()


def test_nobody_listening_is_no_answer(tmp_path: Path) -> None:
    store = store_at(f"http://127.0.0.1:{free_port()}", tmp_path)
    with pytest.raises(StoreError, match="no answer"):
        store.write(rows(1))
    store.close()


def test_retry_after_as_a_date_in_the_past_means_now() -> None:
    assert retry_after_s({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0.0
    assert retry_after_s({"Retry-After": "soon"}) is None
    assert retry_after_s({}) is None
