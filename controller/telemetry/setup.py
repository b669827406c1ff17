"""Setup: make in a store what the bridge needs: database or bucket, how long it keeps rows, the mapping for InfluxQL.

Each function returns lines of what was made and what was there already; doing it twice changes nothing.
Errors   InputError: no answer, no right, or a server without this interface: what to do stands in the line.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from controller.errors import InputError
from controller.sitedata import StoreSite
from controller.telemetry.database import DatabaseRefusedError
from controller.telemetry.httplink import HttpError, HttpLink
from controller.telemetry.sqlitestore import SqliteStore
from controller.telemetry.stores import secret_of
from controller.telemetry.targets import Target, target_of

DEFAULT_POLICY = "autogen"  # what InfluxDB 1 makes with each database
FLAG = r'^flag\{{name="{}", value="([^"]*)"'
DEDUP = "dedup.minScrapeInterval"
RETENTION = "retentionPeriod"
TOKEN = "; its token may not do this: use one with more rights"


def set_up(choice: StoreSite, state_dir: Path) -> list[str]:
    """The lines to print."""
    if choice.kind == "sqlite":
        return of_sqlite(choice, state_dir)
    target = target_of(choice, secret_of(choice))
    server = Server(target)
    try:
        return {"influx": of_influx, "influx1": of_influx1, "victoriametrics": of_victoria}[choice.kind](server, choice)
    finally:
        server.link.close()


class Server:
    """The database's own interface; what it refuses is told to the user."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.link = HttpLink(target)

    def ask(self, method: str, path: str, body: Any = None, **query: str) -> Any:
        """The decoded answer; None for 404. Raises InputError."""
        try:
            _, answer = self.link.send(method, path, list(query.items()), {"Content-Type": "application/json"}, body)
        except HttpError as error:
            if error.status == 404:
                return None
            raise self.refused(error, f"{method} {path}") from None
        if not isinstance(answer, dict):
            raise InputError(f"{self.target.name}: {method} {path}: no database answers at this address")
        return answer

    def metrics(self) -> str:
        """The text of /metrics. Raises InputError."""
        try:
            return self.link.metrics()
        except HttpError as error:
            raise self.refused(error, "GET /metrics") from None

    def refused(self, error: HttpError, what: str) -> InputError:
        """What to tell."""
        hints = {0: "; is the server running?", 401: TOKEN, 403: TOKEN}
        return InputError(f"{self.target.name}: {what}: {error}{hints.get(error.status, '')}")


def of_sqlite(choice: StoreSite, state_dir: Path) -> list[str]:
    """The file; the bridge would make it as well."""
    path = choice.sqlite_path or state_dir / "telemetry.sqlite"
    there = path.exists()
    try:
        store = SqliteStore(path)
        store.open()
    except DatabaseRefusedError as error:
        raise InputError(str(error)) from None
    store.close()
    return [
        f"store {path}: {'was there already' if there else 'made'}",
        f"retention: {choice.keep_days or 'unlimited'} days, {choice.max_mb or 'unlimited'} MB; tidied up once an hour",
    ]


def of_influx(server: Server, choice: StoreSite) -> list[str]:
    """InfluxDB 2: bucket, its retention, and the mapping that lets InfluxQL (and Grafana's InfluxQL) read it."""
    orgs = server.ask("GET", "/api/v2/orgs", org=str(choice.org))
    if orgs is None or not orgs.get("orgs"):
        raise InputError(
            f"{server.target.name}: no organisation {choice.org} at /api/v2/orgs. InfluxDB 3 has no such interface: "
            f"make the database with its own tool (influxdb3 create database {choice.bucket})"
        )
    org_id = orgs["orgs"][0]["id"]
    rules = [{"type": "expire", "everySeconds": choice.keep_days * 86_400}] if choice.keep_days else []
    bucket, line = influx_bucket(server, choice, org_id, rules)
    return [line, influx_mapping(server, str(choice.bucket), bucket, org_id)]


def influx_bucket(server: Server, choice: StoreSite, org_id: str, rules: list[dict[str, Any]]) -> tuple[str, str]:
    """-> the bucket's id, and what was done."""
    kept = f"keeps rows {days(choice.keep_days)}"
    answer = server.ask("GET", "/api/v2/buckets", name=str(choice.bucket), orgID=org_id) or {}
    found = next(iter(answer.get("buckets", [])), None)
    if found is None:
        body = {"orgID": org_id, "name": choice.bucket, "retentionRules": rules}
        made = server.ask("POST", "/api/v2/buckets", body)
        if made is None:
            raise InputError(f"{server.target.name}: POST /api/v2/buckets: HTTP 404: this server makes no buckets")
        return made["id"], f"bucket {choice.bucket}: made; {kept}"
    if seconds(found.get("retentionRules", [])) == seconds(rules):
        return found["id"], f"bucket {choice.bucket}: was there already; {kept}"
    server.ask("PATCH", f"/api/v2/buckets/{found['id']}", {"retentionRules": rules})
    return found["id"], f"bucket {choice.bucket}: was there already; retention changed, now it {kept}"


def influx_mapping(server: Server, bucket: str, bucket_id: str, org_id: str) -> str:
    """The mapping of database and retention policy (DBRP), where the server offers it."""
    answer = server.ask("GET", "/api/v2/dbrps", orgID=org_id, db=bucket)
    if answer is None:
        return "mapping for InfluxQL: this server offers none"
    if any(one.get("bucketID") == bucket_id and not one.get("virtual") for one in answer.get("content", [])):
        return f"mapping for InfluxQL: database {bucket} was there already"
    body = {"bucketID": bucket_id, "orgID": org_id, "database": bucket, "retention_policy": DEFAULT_POLICY,
            "default": True}  # fmt: skip
    server.ask("POST", "/api/v2/dbrps", body)
    return f"mapping for InfluxQL: database {bucket}, retention policy {DEFAULT_POLICY}: made"


def seconds(rules: Sequence[dict[str, Any]]) -> int:
    """How long a bucket keeps rows; 0: for ever."""
    return next((int(rule.get("everySeconds", 0)) for rule in rules), 0)


def of_influx1(server: Server, choice: StoreSite) -> list[str]:
    """InfluxDB 1: database and retention policy."""
    database, policy = str(choice.database), choice.retention_policy or DEFAULT_POLICY
    lines = [f"database {database}: was there already"]
    if database not in [row[0] for row in query(server, "SHOW DATABASES")]:
        query(server, f'CREATE DATABASE "{database}"')
        lines = [f"database {database}: made"]
    found = {row[0]: row[1] for row in query(server, f'SHOW RETENTION POLICIES ON "{database}"')}
    wanted = f"{choice.keep_days * 24}h0m0s" if choice.keep_days else "0s"  # as the server writes it
    duration = f"{choice.keep_days}d" if choice.keep_days else "INF"
    kept = f"keeps rows {days(choice.keep_days)}"
    if policy not in found:
        default = "" if choice.retention_policy else " DEFAULT"
        query(server, f'CREATE RETENTION POLICY "{policy}" ON "{database}" DURATION {duration} REPLICATION 1{default}')
        return [*lines, f"retention policy {policy}: made; {kept}"]
    if found[policy] == wanted:
        return [*lines, f"retention policy {policy}: was there already; {kept}"]
    query(server, f'ALTER RETENTION POLICY "{policy}" ON "{database}" DURATION {duration}')
    return [*lines, f"retention policy {policy}: was there already; retention changed, now it {kept}"]


def query(server: Server, text: str) -> list[list[Any]]:
    """InfluxQL -> the rows of its first series. Raises InputError."""
    answer = server.ask("POST", "/query", q=text)
    result = (answer or {}).get("results", [{}])[0]
    if answer is None or "error" in result:
        raise InputError(f"{server.target.name}: {text}: {result.get('error', 'HTTP 404: no InfluxDB 1 answers here')}")
    return [row for series in result.get("series", []) for row in series.get("values", [])]


def of_victoria(server: Server, choice: StoreSite) -> list[str]:
    """VictoriaMetrics makes everything by itself; what it needs are flags at its start, which it shows."""
    shown = server.metrics()
    period = f"{choice.keep_days}d" if choice.keep_days else "as you like, such as 100y"
    return [
        "nothing to make: series come with their first row",
        flag_line(shown, DEDUP, "1ms", "without it a row that is sent twice counts twice"),
        f"-{RETENTION}={period}: it has {shown_flag(shown, RETENTION) or 'not shown'}; older rows are dropped silently",
        "text fields are not written: it has no text; state and mode are there as their codes",
    ]


def flag_line(shown: str, name: str, wanted: str, why: str) -> str:
    """Whether a flag is as it must be."""
    has = shown_flag(shown, name)
    if has is None:
        return f"-{name}={wanted} is needed: {why}; this server does not show its flags, look at its start line"
    return f"-{name}={wanted}: ok" if has == wanted else f"-{name}={wanted} IS MISSING (it has {has}): {why}"


def shown_flag(shown: str, name: str) -> str | None:
    """A flag's value among the server's metrics."""
    found = re.search(FLAG.format(re.escape(name)), shown, re.MULTILINE)
    return found[1] if found else None


def days(count: int | None) -> str:
    """For people."""
    return f"{count} days" if count else "for ever"
