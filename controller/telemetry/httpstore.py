"""Stores that take lines over HTTP: InfluxDB 1, 2, 3 and VictoriaMetrics; one request a batch, no retries of its own.

400, 413, 422   the data: the batch is halved until the bad rows stand alone; they go to quarantine, the rest is stored.
401, 403, 404   we: token, bucket or address. StoreRefusedError: everything waits, the site owner must act.
429, 5xx        later: StoreError, with the store's Retry-After when it gave one. No answer: the same.
Writing a point again replaces it by itself, so halving and repeating do no harm.
VictoriaMetrics answers 204 to lines that it cannot read: there its counter of invalid rows is read after each batch.
Another writer's bad line inside that moment can bring a good row into quarantine; it is stored all the same.
"""

from __future__ import annotations

import gzip
import logging
import re
from collections.abc import Sequence

from controller.telemetry.httplink import HttpError, HttpLink
from controller.telemetry.points import line
from controller.telemetry.quarantine import Quarantine
from controller.telemetry.store import StoreError, StoreRefusedError
from controller.telemetry.targets import Target
from controller.telemetry.wire import Arrival

log = logging.getLogger(__name__)

THE_DATA = (400, 413, 422)
LATER = (408, 425, 429)
MAX_LINES = 5_000
GZIP_LEVEL = 1  # influxdb-client's own 9 costs four times as much for a few percent
HEADERS = {"Content-Type": "text/plain; charset=utf-8", "Content-Encoding": "gzip"}
INVALID_ROWS = re.compile(r'^vm_rows_invalid_total\{type="influx"\} (\d+)', re.MULTILINE)


class HttpStore:
    """Our own lines over influxdb-client's connection: what is not stored stays in the outbox."""

    def __init__(self, target: Target, quarantine: Quarantine) -> None:
        self.target, self.quarantine = target, quarantine
        self._link = HttpLink(target)
        self._invalid: int | None = None  # rows the server has counted as invalid; None: not known
        self._unchecked_said = False

    @property
    def name(self) -> str:
        """For logs; never the token."""
        return self.target.name

    def write(self, rows: Sequence[Arrival]) -> int:
        """Store all, halving what the server cannot take. -> rows put into quarantine."""
        if self.target.counts_invalid:
            self._invalid = self._invalid_rows()
        return sum(self._write(rows[i : i + MAX_LINES]) for i in range(0, len(rows), MAX_LINES))

    def close(self) -> None:
        """Release sockets and the quarantine file."""
        self._link.close()
        self.quarantine.close()

    def _write(self, rows: Sequence[Arrival]) -> int:
        reason = self._post("\n".join([line(row, self.target.texts) for row in rows])) or self._dropped()
        if reason is None:
            return 0
        if len(rows) == 1:
            self.quarantine.add(rows[0], reason)
            return 1
        middle = len(rows) // 2
        return self._write(rows[:middle]) + self._write(rows[middle:])

    def _post(self, lines: str) -> str | None:
        """None: stored. Text: the data are refused, and why. Raises StoreError for everything else."""
        try:
            body = gzip.compress(lines.encode(), GZIP_LEVEL)
            self._link.send("POST", self.target.path, self.target.query, HEADERS, body)
        except HttpError as error:
            if error.status in THE_DATA:
                return str(error)
            if 400 <= error.status < 500 and error.status not in LATER:
                raise StoreRefusedError(str(error)) from None
            raise StoreError(str(error), error.retry_after_s) from None
        return None

    def _dropped(self) -> str | None:
        """Whether the server has dropped a line since the last look, by its own counter."""
        if not self.target.counts_invalid:
            return None
        before, self._invalid = self._invalid, self._invalid_rows()
        if before is None or self._invalid is None or self._invalid <= before:
            return None
        return "HTTP 204, but the server counts it among its invalid rows"

    def _invalid_rows(self) -> int | None:
        """The counter, 0 before the first one; None when it cannot be read, which is said once."""
        try:
            found = INVALID_ROWS.search(self._link.metrics())
        except HttpError as error:
            if not self._unchecked_said:
                log.warning("V2G-STORE-UNCHECKED %s: its counters cannot be read: %s", self.name, error)
            self._unchecked_said = True
            return None
        return int(found[1]) if found else 0
