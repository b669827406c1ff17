"""Points per CPU second of the bridge's writer over influxdb-client with one `Point` for each sample.

Writer   500 decoded frames -> lines -> gzip -> one request that a server in another process says yes to. The peer does
         the same as its manual shows it: Point, tag and field of each sample, write() of the list, synchronous, gzip.
         Both send the same points: compared before anything is timed. A second pair decodes the JSON as well, which is
         the same work for both: printed, not gated.
Stages   what one message costs where, as shares of the whole; SQLite is the other store. Not in the quick run.
"""

from __future__ import annotations

import gzip
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from influxdb_client import InfluxDBClient, Point, WritePrecision  # type: ignore[attr-defined]  # no list of exports
from influxdb_client.client.write_api import SYNCHRONOUS

from controller.sitedata import StoreSite
from controller.telemetry.httpstore import GZIP_LEVEL, HttpStore
from controller.telemetry.points import NOT_FIELDS, flatten, line
from controller.telemetry.quarantine import Quarantine
from controller.telemetry.sqlitestore import SqliteStore
from controller.telemetry.targets import target_of
from controller.telemetry.wire import Arrival, by_outbox, encode_ack
from tests.performance.frames import arrivals, payloads
from tests.performance.harness import Contestant, Gate, Measurement
from tests.performance.sink import last_points, sink

BATCH = 500
OURS, PEER = "ours", "Point per sample"
OURS_JSON, PEER_JSON = "ours, JSON", "Point per sample, JSON"
DECODE, LINES, GZIP, ACKS, SQLITE, BRIDGE = (
    "decode",
    "lines",
    "gzip",
    "acknowledgements",
    "SQLite store",
    "whole bridge",
)


class Writers:
    """Everything there is to measure, for as long as it is measured."""

    def __init__(self) -> None:
        self.batch = payloads(BATCH)
        self.rows = arrivals(self.batch)
        self.text = "\n".join(line(row) for row in self.rows).encode()

    @contextmanager
    def there(self) -> Iterator[None]:
        with ExitStack() as stack:
            self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            self.url = stack.enter_context(sink())
            target = target_of(StoreSite(kind="influx", url=self.url, org="o", bucket="b"), "t")
            self.store = HttpStore(target, Quarantine(self.folder / "quarantine.sqlite"))
            stack.callback(self.store.close)
            self.sqlite = SqliteStore(self.folder / "store.sqlite")
            stack.callback(self.sqlite.close)
            client = stack.enter_context(InfluxDBClient(url=self.url, token="t", org="o", enable_gzip=True))
            self.peer = client.write_api(write_options=SYNCHRONOUS)
            yield

    def ours(self) -> None:
        self.store.write(self.rows)

    def ours_json(self) -> None:
        self.store.write(arrivals(self.batch))

    def theirs(self) -> None:
        self.peer.write("b", "o", [as_point(row) for row in self.rows])

    def theirs_json(self) -> None:
        self.peer.write("b", "o", [as_point(row) for row in arrivals(self.batch)])

    def sent(self, _: Any) -> Any:
        return last_points(self.url)

    def acks(self) -> None:
        for (_, outbox), seqs in by_outbox(self.rows).items():
            encode_ack(outbox, seqs)

    def forget(self) -> Callable[[], None]:
        """SQLite: an empty table, so that each row is new."""
        self.sqlite.close()
        (self.folder / "store.sqlite").unlink()
        self.sqlite = SqliteStore(self.folder / "store.sqlite")
        return partial(self.write_sqlite)

    def write_sqlite(self) -> None:
        self.sqlite.write(self.rows)


def as_point(row: Arrival) -> Any:
    """As influxdb-client's manual has it."""
    made: Any = Point(f"v2g_{row.kind}")  # type: ignore[no-untyped-call]  # the client carries no types
    made.tag("site", row.site).tag("epoch", str(row.epoch)).tag("start_mode", row.body["start_mode"]).time(
        row.t_ms, WritePrecision.MS
    )
    for name, field in flatten({key: entry for key, entry in row.body.items() if key not in NOT_FIELDS}):
        made.field(name, field)
    return made


def measurements(quick: bool) -> tuple[Measurement, ...]:
    writers = Writers()

    def always(work: Callable[[], Any]) -> Callable[[], Callable[[], Any]]:
        return lambda: work

    def stage(name: str, work: Callable[[], Any]) -> Contestant:
        return Contestant(name, BATCH, always(work), None)

    def writer(name: str, work: Callable[[], Any]) -> Contestant:
        return Contestant(name, BATCH, always(work), writers.sent)

    pair = (writer(OURS, writers.ours), writer(PEER, writers.theirs))
    gate = Gate(PEER, OURS, 2.0, 4.0)
    if quick:
        return (Measurement("bridge_writer", "ns/message", pair, (gate,), writers.there),)
    contestants = (
        *pair,
        writer(OURS_JSON, writers.ours_json),
        writer(PEER_JSON, writers.theirs_json),
        stage(DECODE, lambda: arrivals(writers.batch)),
        stage(LINES, lambda: [line(row) for row in writers.rows]),
        stage(GZIP, lambda: gzip.compress(writers.text, GZIP_LEVEL)),
        stage(ACKS, writers.acks),
        Contestant(SQLITE, BATCH, writers.forget, None),
    )
    gates = (
        gate,
        Gate(PEER_JSON, OURS_JSON),
        *(Gate(name, OURS_JSON, differ=lambda *_: "") for name in (DECODE, LINES, GZIP, ACKS, SQLITE)),
    )
    return (Measurement("bridge_writer", "ns/message", contestants, gates, writers.there),)
