"""How each kind of database is addressed: InfluxDB API references v1 (/write) and v2 (/api/v2/write), RFC 7617."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.errors import InputError
from controller.sitedata import StoreSite
from controller.telemetry.stores import make_store, secret_of
from controller.telemetry.targets import target_of

MS = ("precision", "ms")
INFLUX = StoreSite(kind="influx", url="http://h:8086/", org="o", bucket="b")
INFLUX1 = StoreSite(kind="influx1", url="http://h:8086", database="d", retention_policy="year")
VICTORIA = StoreSite(kind="victoriametrics", url="http://h:8428")
# fmt: off
TARGETS = [
    # choice   secret  path              query                                  authorization  why
    (INFLUX,   "t0k",  "/api/v2/write",  (("org", "o"), ("bucket", "b"), MS),   "Token t0k",   "v2"),
    (INFLUX1,  "u:p",  "/write",         (("db", "d"), ("rp", "year"), MS),     "Basic dTpw",  "v1"),
    (INFLUX1,  "",     "/write",         (("db", "d"), ("rp", "year"), MS),     "",            "v1, open"),
    (VICTORIA, "",     "/api/v2/write",  (MS,),                                 "",            "VictoriaMetrics"),
]
# fmt: on


@pytest.mark.parametrize(
    ("choice", "secret", "path", "query", "authorization", "why"), TARGETS, ids=[c[-1] for c in TARGETS]
)
def test_where_lines_go(choice: StoreSite, secret: str, path: str, query: object, authorization: str, why: str) -> None:
    target = target_of(choice, secret)
    assert (target.path, target.query, target.authorization) == (path, query, authorization), why
    assert not target.url.endswith("/")
    assert not secret or secret not in target.name


def test_only_victoria_metrics_has_no_text_and_is_asked_for_its_counter() -> None:
    targets = [target_of(choice, "") for choice in (INFLUX, INFLUX1, VICTORIA)]
    assert [target.kind for target in targets if not target.texts] == ["victoriametrics"]
    assert [target.kind for target in targets if target.counts_invalid] == ["victoriametrics"]


def test_a_secret_is_read_without_its_line_break(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t0k\n")
    assert secret_of(StoreSite(kind="influx", token_file=tmp_path / "token")) == "t0k"


def test_a_token_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    choice = StoreSite(kind="victoriametrics", url="http://h", token_file=tmp_path / "absent")
    with pytest.raises(InputError, match=r"absent: the store's token cannot be read: .*No such file"):
        make_store(choice, tmp_path)
