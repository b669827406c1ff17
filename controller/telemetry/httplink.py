"""HTTP link: a database's interface. The only module that talks to influxdb-client; it repeats nothing by itself.

Errors   HttpError: what the server said, or status 0 when nobody did; the caller decides.
"""

from __future__ import annotations

import email.utils
import time
from collections.abc import Mapping, Sequence
from typing import Any

import urllib3.exceptions
from influxdb_client import InfluxDBClient  # type: ignore[attr-defined]  # the package does not list its exports
from influxdb_client.rest import ApiException

from controller.telemetry.targets import Target

TIMEOUT_MS = 5_000


class HttpError(Exception):
    """An answer that is not 2xx, or none (status 0). text: short enough for a log line, never a secret."""

    def __init__(self, status: int, text: str, retry_after_s: float | None = None) -> None:
        super().__init__(text)
        self.status, self.retry_after_s = status, retry_after_s


class HttpLink:
    """One database; the connection is kept open between calls."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self._client = InfluxDBClient(url=target.url, token="", org="", timeout=TIMEOUT_MS)
        headers = self._client.api_client.default_headers
        headers.pop("Authorization", None)
        if target.authorization:
            headers["Authorization"] = target.authorization

    def send(
        self, method: str, path: str, query: Sequence[tuple[str, str]], headers: Mapping[str, str], body: Any = None
    ) -> tuple[int, Any]:
        """One request -> status, and what it says, decoded if it is JSON. body: bytes as they are; else JSON.

        Raises HttpError.
        """
        try:
            answer, status, _ = self._client.api_client.call_api(  # type: ignore[no-untyped-call]  # the client carries no types
                path,
                method,
                query_params=list(query),
                header_params=dict(headers),
                body=body,
                response_type="object",
                _return_http_data_only=False,
            )
            return int(status), answer
        except ApiException as error:
            status = int(error.status or 0)
            text = f"HTTP {status} {first_line(error.body or error.reason)}"
            raise HttpError(status, text, retry_after_s(error.headers or {})) from None
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise HttpError(0, f"no answer: {type(error).__name__}") from None

    def metrics(self) -> str:
        """The text of /metrics. Raises HttpError."""
        pool = self._client.api_client.rest_client.pool_manager
        try:
            answer = pool.request("GET", f"{self.target.url}/metrics", timeout=TIMEOUT_MS / 1000, retries=False)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise HttpError(0, f"no answer: {type(error).__name__}") from None
        if answer.status != 200:
            raise HttpError(answer.status, f"HTTP {answer.status}")
        return str(answer.data.decode(errors="replace"))

    def close(self) -> None:
        """Release sockets."""
        self._client.close()  # type: ignore[no-untyped-call]  # the client carries no types


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Retry-After in seconds or as a date (RFC 9110, 10.2.3) -> seconds; None when absent or unreadable."""
    text = headers.get("Retry-After")
    if text is None:
        return None
    try:
        if text.strip().isdigit():
            return float(text)
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except ValueError:
        return None


def first_line(body: object) -> str:
    """What the server says, short enough for a log line."""
    text = body.decode(errors="replace") if isinstance(body, bytes) else str(body or "")
    return " ".join(text.split())[:200]
