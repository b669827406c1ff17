"""Direct delivery: no broker, rows go to the store from a thread of its own, so that it never holds up the ring."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from queue import SimpleQueue

from controller.telemetry.batches import drain
from controller.telemetry.store import Store, write_until_stored
from controller.telemetry.wire import Arrival, MessageError, Ranges, Row, by_outbox, decode, encode, to_ranges, topic

log = logging.getLogger(__name__)


class StoreDelivery:
    """connected: the last write succeeded, or none has been tried."""

    def __init__(self, site: str, store: Store) -> None:
        self.site, self.store = site, store
        self.connected, self.connection = True, 1
        self._rows: SimpleQueue[Row] = SimpleQueue()
        self._acks: SimpleQueue[tuple[str, Ranges]] = SimpleQueue()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="store", daemon=True)

    @property
    def name(self) -> str:
        """For the status file."""
        return self.store.name

    def counters(self) -> dict[str, int]:
        """The store's own file tells the rest."""
        return {}

    def start(self) -> None:
        """Start the writer."""
        self._thread.start()

    def send(self, rows: Sequence[Row]) -> None:
        """Hand over rows."""
        for row in rows:
            self._rows.put(row)

    def acks(self) -> list[tuple[str, Ranges]]:
        """What the store has said yes to."""
        return drain(self._acks, 1000)

    def stop(self) -> None:
        """Let the writer finish its batch, a second at most."""
        self._stopping.set()
        self._thread.join(1.0)

    def _run(self) -> None:
        while not self._stopping.is_set():
            rows = drain(self._rows, 500, wait_s=0.1)
            arrivals = self._arrivals(rows)
            if arrivals and write_until_stored(self.store, arrivals, self._stopping, self._change):
                for (_, outbox), seqs in by_outbox(arrivals).items():
                    self._acks.put((outbox, to_ranges(seqs)))

    def _arrivals(self, rows: Sequence[Row]) -> list[Arrival]:
        """The same door as the bridge's. What is refused stays in the outbox."""
        arrivals, now_ms = [], time.time_ns() // 1_000_000
        for row in rows:
            try:
                arrivals.append(decode(topic(self.site, row.kind), encode(row), now_ms))
            except MessageError as error:
                log.error("V2G-MESSAGE-REFUSED seq %d: %s", row.seq, error)
        return arrivals

    def _change(self, connected: bool) -> None:
        self.connection += connected and not self.connected
        self.connected = connected
