"""Targets: how each kind of database is written to: address, path, query, and how we say who we are. Pure.

influx            v2 write protocol: POST /api/v2/write?org=&bucket= (InfluxDB 2 and 3), Authorization: Token.
influx1           InfluxDB 1: POST /write?db=&rp=, which influxdb-client has no call for: its connection is used with
                  this path. Authorization: Basic, when the secret is "user:password"; none without a secret.
victoriametrics   the v2 write protocol again. It knows no organisation, no bucket and no text: no text fields.
"""

from __future__ import annotations

import re
from base64 import b64encode
from dataclasses import dataclass

from controller.sitedata import StoreSite


@dataclass(frozen=True, slots=True)
class Target:
    """One database. texts: text fields are written; counts_invalid: it drops bad lines silently, and counts them."""

    kind: str
    url: str
    path: str
    query: tuple[tuple[str, str], ...]
    name: str
    authorization: str = ""
    texts: bool = True
    counts_invalid: bool = False


def target_of(choice: StoreSite, secret: str) -> Target:
    """The site's choice, which has been checked, and the contents of its token file."""
    url = (choice.url or "").rstrip("/")
    shown = re.sub(r"//[^/@]*@", "//", url)  # a name is logged; a login before the host is not
    in_ms = ("precision", "ms")
    if choice.kind == "influx1":
        policy = (("rp", choice.retention_policy),) if choice.retention_policy else ()
        query = (("db", choice.database or ""), *policy, in_ms)
        name = f"influx1 {shown} database {choice.database}"
        return Target(choice.kind, url, "/write", query, name, basic(secret))
    token = f"Token {secret}" if secret else ""
    if choice.kind == "victoriametrics":
        name = f"victoriametrics {shown}"
        return Target(choice.kind, url, "/api/v2/write", (in_ms,), name, token, texts=False, counts_invalid=True)
    query = (("org", choice.org or ""), ("bucket", choice.bucket or ""), in_ms)
    return Target(choice.kind, url, "/api/v2/write", query, f"influx {shown} bucket {choice.bucket}", token)


def basic(login: str) -> str:
    """ "user:password" -> the header's value; nothing without a login (RFC 7617)."""
    return f"Basic {b64encode(login.encode()).decode()}" if login else ""
