"""`v2g bridge --setup` against a double of InfluxDB 2's API (orgs, buckets, dbrps); real servers in tests/system.

The double knows what the API reference says of these calls and no more: it is named a double in each test.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from controller.errors import InputError
from controller.sitedata import StoreSite
from controller.telemetry.broker import free_port
from controller.telemetry.setup import set_up
from tests.controller.telemetry.doubles import HttpDouble, Quiet

TOKEN = "t0k"


class Double(HttpDouble):
    """One organisation. without: paths it does not have."""

    def __init__(self) -> None:
        super().__init__(Handler)
        self.without: tuple[str, ...] = ()
        self.buckets: list[dict[str, Any]] = []
        self.mappings: list[dict[str, Any]] = []

    def answer(self, method: str, path: str, query: dict[str, str], body: dict[str, Any]) -> tuple[int, Any]:
        if path in self.without:
            return 404, {"code": "not found"}
        match method, path:
            case "GET", "/api/v2/orgs":
                return 200, {"orgs": [{"id": "01", "name": "o"}] if query["org"] == "o" else []}
            case "GET", "/api/v2/buckets":
                found = [bucket for bucket in self.buckets if bucket["name"] == query["name"]]
                return (200, {"buckets": found}) if found else (404, {"code": "not found"})
            case "POST", "/api/v2/buckets":
                self.buckets.append({"id": f"b{len(self.buckets)}", **body})
                return 201, self.buckets[-1]
            case "GET", "/api/v2/dbrps":
                return 200, {"content": [one for one in self.mappings if one["database"] == query["db"]]}
            case "POST", "/api/v2/dbrps":
                self.mappings.append(body)
                return 201, body
            case "PATCH", _:
                self.buckets[0].update(body)
                return 200, self.buckets[0]
        return 405, {}


class Handler(Quiet, BaseHTTPRequestHandler):
    """JSON in, JSON out; a wrong token is 401."""

    server: Double

    def answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else {}
        parts = urlsplit(self.path)
        status, answer = 401, {"code": "unauthorized", "message": "unauthorized access"}
        if self.headers["Authorization"] == f"Token {TOKEN}":
            status, answer = self.server.answer(self.command, parts.path, dict(parse_qsl(parts.query)), body)
        text = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def do_GET(self) -> None:
        self.answer()

    def do_POST(self) -> None:
        self.answer()

    def do_PATCH(self) -> None:
        self.answer()


@pytest.fixture
def double() -> Iterator[Double]:
    double = Double()
    yield double
    double.close()


def choice(double: Double, folder: Path, keep_days: int | None = 30, token: str = TOKEN, org: str = "o") -> StoreSite:
    (folder / "token").write_text(token)
    return StoreSite(kind="influx", url=double.url, org=org, bucket="v2g", token_file=folder / "token",
                     keep_days=keep_days)  # fmt: skip


def test_double_bucket_retention_and_mapping_are_made_once(double: Double, tmp_path: Path) -> None:
    first = set_up(choice(double, tmp_path), tmp_path)
    assert first == [
        "bucket v2g: made; keeps rows 30 days",
        "mapping for InfluxQL: database v2g, retention policy autogen: made",
    ]
    assert double.buckets == [
        {"id": "b0", "orgID": "01", "name": "v2g", "retentionRules": [{"type": "expire", "everySeconds": 2_592_000}]}
    ]
    assert [(one["bucketID"], one["default"]) for one in double.mappings] == [("b0", True)]
    assert set_up(choice(double, tmp_path), tmp_path) == [
        "bucket v2g: was there already; keeps rows 30 days",
        "mapping for InfluxQL: database v2g was there already",
    ]
    assert (len(double.buckets), len(double.mappings)) == (1, 1)


def test_double_another_retention_is_set(double: Double, tmp_path: Path) -> None:
    set_up(choice(double, tmp_path), tmp_path)
    said = set_up(choice(double, tmp_path, keep_days=None), tmp_path)
    assert said[0] == "bucket v2g: was there already; retention changed, now it keeps rows for ever"
    assert double.buckets[0]["retentionRules"] == []


def test_double_without_a_mapping_is_no_fault(double: Double, tmp_path: Path) -> None:
    double.without = ("/api/v2/dbrps",)
    assert set_up(choice(double, tmp_path), tmp_path)[1] == "mapping for InfluxQL: this server offers none"


class Page(Quiet, BaseHTTPRequestHandler):
    """A web server that is no database: a page for whatever is asked."""

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<html>please log in</html>")

    def do_POST(self) -> None:
        self.do_GET()


@pytest.mark.parametrize("named", [{"kind": "influx", "org": "o", "bucket": "b"}, {"kind": "influx1", "database": "d"}])
def test_an_address_where_no_database_answers_is_said(tmp_path: Path, named: dict[str, Any]) -> None:
    page = HttpDouble(Page)
    with pytest.raises(InputError, match="no database answers at this address"):
        set_up(StoreSite(url=page.url, **named), tmp_path)
    page.close()


# fmt: off
REFUSED: list[tuple[dict[str, Any], tuple[str, ...], str]] = [
    # change             without                 says
    ({"token": "wrong"}, (),                     "HTTP 401 .*; its token may not do this: use one with more rights"),
    ({"org": "p"},       (),                     "no organisation p at /api/v2/orgs"),
    ({},                 ("/api/v2/orgs",),      "InfluxDB 3 has no such interface: make the database with its"),
    ({},                 ("/api/v2/buckets",),   "POST /api/v2/buckets: HTTP 404: this server makes no buckets"),
]
# fmt: on


@pytest.mark.parametrize(("change", "without", "text"), REFUSED, ids=[c[-1][:30] for c in REFUSED])
def test_double_refusals_say_what_to_do(
    double: Double, tmp_path: Path, change: dict[str, Any], without: tuple[str, ...], text: str
) -> None:
    double.without = without
    with pytest.raises(InputError, match=text) as caught:
        set_up(choice(double, tmp_path, **change), tmp_path)
    assert "\n" not in str(caught.value)
    assert change.get("token", TOKEN) not in str(caught.value)


def test_nobody_there(tmp_path: Path) -> None:
    gone = StoreSite(kind="influx1", url=f"http://127.0.0.1:{free_port()}", database="d")
    with pytest.raises(InputError, match=r"no answer: .*; is the server running"):
        set_up(gone, tmp_path)


def test_sqlite_is_made_and_found_again(tmp_path: Path) -> None:
    store = StoreSite(kind="sqlite", sqlite_path=tmp_path / "s.sqlite", keep_days=365, max_mb=2000)
    first, second = set_up(store, tmp_path), set_up(store, tmp_path)
    assert first == [
        f"store {tmp_path}/s.sqlite: made",
        "retention: 365 days, 2000 MB; tidied up once an hour",
    ]
    assert second[0].endswith(": was there already")
