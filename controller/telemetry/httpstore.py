"""Stores that take lines over HTTP: InfluxDB 1, 2, 3 and VictoriaMetrics; one request a batch, no retries of its own.

204             stored: every database of ours says so, and nobody else (a login page, a proxy) is believed.
400, 413, 422   the data: the batch is halved until the bad rows stand alone; they go to quarantine, the rest is stored.
401, 403, 404   we: token, bucket or address; any other 2xx too. StoreRefusedError: everything waits, the site owner
                must act.
429, 5xx        later: StoreError, with the store's Retry-After when it gave one. No answer: the same.
Writing a point again replaces it by itself, so halving and repeating do no harm. Rows that cannot be written as a
point go to quarantine without asking.
"""

from __future__ import annotations

import gzip
import time
from collections.abc import Sequence

from controller.telemetry.httplink import HttpError, HttpLink
from controller.telemetry.invalidrows import InvalidRows
from controller.telemetry.points import PointError, line
from controller.telemetry.quarantine import Quarantine
from controller.telemetry.store import StoreError, StoreRefusedError
from controller.telemetry.targets import Target
from controller.telemetry.wire import Arrival

STORED = 204
THE_DATA = (400, 413, 422)
LATER = (408, 425, 429)
MAX_LINES = 5_000
GZIP_LEVEL = 1  # influxdb-client's own 9 costs four times as much for a few percent
HEADERS = {"Content-Type": "text/plain; charset=utf-8", "Content-Encoding": "gzip"}
LOOK_S = 10.0
Lines = Sequence[tuple[Arrival, str]]


class HttpStore:
    """Our own lines over influxdb-client's connection: what is not stored stays in the outbox."""

    def __init__(self, target: Target, quarantine: Quarantine) -> None:
        self.target, self.quarantine = target, quarantine
        self._link = HttpLink(target)
        self._invalid_rows = InvalidRows(self._link) if target.counts_invalid else None
        self._looked_s = -LOOK_S

    @property
    def name(self) -> str:
        """For logs; never the token."""
        return self.target.name

    def write(self, rows: Sequence[Arrival]) -> int:
        """Store all, halving what the server cannot take. -> rows put into quarantine."""
        if self._invalid_rows is not None and time.monotonic() - self._looked_s >= LOOK_S:
            self._looked_s = time.monotonic()
            self._invalid_rows.look()
        lines: list[tuple[Arrival, str]] = []
        for row in rows:
            try:
                lines.append((row, line(row, self.target.texts)))
            except PointError as error:
                self.quarantine.add(row, str(error))
        aside = len(rows) - len(lines)
        return aside + sum(self._write(lines[i : i + MAX_LINES]) for i in range(0, len(lines), MAX_LINES))

    def close(self) -> None:
        """Release sockets and the quarantine file."""
        self._link.close()
        self.quarantine.close()

    def _write(self, lines: Lines) -> int:
        reason = self._post("\n".join([text for _, text in lines]))
        if reason is None:
            return 0
        if len(lines) == 1:
            self.quarantine.add(lines[0][0], reason)
            return 1
        middle = len(lines) // 2
        return self._write(lines[:middle]) + self._write(lines[middle:])

    def _post(self, lines: str) -> str | None:
        """None: stored. Text: the data are refused, and why. Raises StoreError for everything else."""
        try:
            body = gzip.compress(lines.encode(), GZIP_LEVEL)
            status, _ = self._link.send("POST", self.target.path, self.target.query, HEADERS, body)
        except HttpError as error:
            if error.status in THE_DATA:
                return str(error)
            if 400 <= error.status < 500 and error.status not in LATER:
                raise StoreRefusedError(str(error)) from None
            raise StoreError(str(error), error.retry_after_s) from None
        if status != STORED:
            raise StoreRefusedError(f"HTTP {status} and not {STORED}: no database answers at this address")
        return None
