"""InfluxDB store (v2 write protocol: InfluxDB 2 and 3, VictoriaMetrics), one request per batch.

400, 413, 422   the data: the batch is halved until the bad rows stand alone; they go to quarantine, the rest is stored.
401, 403, 404   we: token, bucket or address. StoreRefusedError: everything waits, the site owner must act.
429, 5xx        later: StoreError, with the store's Retry-After when it gave one. No answer: the same.
Writing a point again replaces it by itself, so halving and repeating do no harm.
"""

from __future__ import annotations

import email.utils
import time
from collections.abc import Mapping, Sequence

import urllib3.exceptions
from influxdb_client import InfluxDBClient, WritePrecision  # type: ignore[attr-defined]
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.rest import ApiException

from controller.telemetry.points import line
from controller.telemetry.quarantine import Quarantine
from controller.telemetry.store import StoreError, StoreRefusedError
from controller.telemetry.wire import Arrival

THE_DATA = (400, 413, 422)
LATER = (408, 425, 429)
TIMEOUT_MS = 5_000


class InfluxStore:
    """Synchronous and without the client's own retries: what is not stored stays in the outbox."""

    def __init__(self, url: str, org: str, bucket: str, token: str, quarantine: Quarantine) -> None:
        self.url, self.org, self.bucket = url, org, bucket
        self.quarantine = quarantine
        self._client = InfluxDBClient(url=url, token=token, org=org, timeout=TIMEOUT_MS, enable_gzip=True)
        self._api = self._client.write_api(write_options=SYNCHRONOUS)

    @property
    def name(self) -> str:
        """For logs; never the token."""
        return f"influx {self.url} bucket {self.bucket}"

    def write(self, rows: Sequence[Arrival]) -> None:
        """Store all, halving what the server cannot take."""
        if not rows:
            return
        reason = self._post("\n".join(line(row) for row in rows))
        if reason is None:
            return
        if len(rows) == 1:
            self.quarantine.add(rows[0], reason)
            return
        middle = len(rows) // 2
        self.write(rows[:middle])
        self.write(rows[middle:])

    def close(self) -> None:
        """Release sockets and the quarantine file."""
        self._api.close()  # type: ignore[no-untyped-call]
        self._client.close()  # type: ignore[no-untyped-call]
        self.quarantine.close()

    def _post(self, lines: str) -> str | None:
        """None: stored. Text: the data are refused, and why. Raises StoreError for everything else."""
        try:
            self._api.write(self.bucket, self.org, lines, WritePrecision.MS)  # type: ignore[arg-type]
        except ApiException as error:
            status = int(error.status or 0)
            text = f"HTTP {status} {first_line(error.body)}"
            if status in THE_DATA:
                return text
            if 400 <= status < 500 and status not in LATER:
                raise StoreRefusedError(text) from None
            raise StoreError(text, retry_after_s(error.headers or {})) from None
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise StoreError(f"no answer: {type(error).__name__}") from None
        return None


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Retry-After in seconds or as a date (RFC 9110, 10.2.3) -> seconds; None when absent or unreadable."""
    text = headers.get("Retry-After")
    if text is None:
        return None
    if text.strip().isdigit():
        return float(text)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except ValueError:
        return None


def first_line(body: object) -> str:
    """What the server says, short enough for a log line."""
    text = body.decode(errors="replace") if isinstance(body, bytes) else str(body or "")
    return " ".join(text.split())[:200]
