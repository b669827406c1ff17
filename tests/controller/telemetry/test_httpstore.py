"""The HTTP stores against a double: the answers that a healthy server does not give. Real servers: tests/system.

A double is named so in the test's name.
"""

from __future__ import annotations

import gzip
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from controller.sitedata import StoreSite
from controller.telemetry.broker import free_port
from controller.telemetry.httplink import retry_after_s
from controller.telemetry.httpstore import HttpStore
from controller.telemetry.quarantine import Quarantine
from controller.telemetry.store import StoreError, StoreRefusedError, write_until_stored
from controller.telemetry.targets import target_of
from controller.telemetry.wire import Arrival
from tests.controller.telemetry.doubles import HttpDouble, Quiet
from tests.controller.telemetry.makers import live


def store_at(url: str, folder: Path) -> HttpStore:
    target = target_of(StoreSite(kind="influx", url=url, org="o", bucket="b"), "t")
    return HttpStore(target, Quarantine(folder / "quarantine.sqlite"))


def rows(count: int, first: int = 0) -> list[Arrival]:
    """Frames of consecutive seconds."""
    drafts = [live(first + i) for i in range(count)]
    return [Arrival("home", "live", 7, d.t_ms, "live", "ab", first + i + 1, 0, d.body) for i, d in enumerate(drafts)]


class Double(HttpDouble):
    """Answers what it is told: status and headers of the next answers; a line with POISON in it is always 400."""

    def __init__(self) -> None:
        super().__init__(DoubleHandler)
        self.answers: list[tuple[int, dict[str, str]]] = []
        self.stored: list[str] = []
        self.requests = 0


class DoubleHandler(Quiet, BaseHTTPRequestHandler):
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
    assert store.write(poisoned(count, *bad)) == len(bad)
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
    (200,     {},                      StoreRefusedError, None,         "a login page: no database has stored them"),
    (202,     {},                      StoreRefusedError, None,         "somebody between who promises to"),
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
    assert write_until_stored(store, rows(20), threading.Event()) == 0
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
    assert retry_after_s({"Retry-After": "\xb2"}) is None  # a superscript: a digit, and no number
    assert retry_after_s({}) is None
