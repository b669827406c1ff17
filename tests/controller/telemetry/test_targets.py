"""How each kind of database is addressed: InfluxDB API references v1 (/write) and v2 (/api/v2/write), RFC 7617."""

from __future__ import annotations

from dataclasses import replace
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


def test_a_login_in_the_address_is_not_in_the_name_that_is_logged() -> None:
    for choice in (INFLUX, INFLUX1, VICTORIA):
        assert "s3cret" not in target_of(replace(choice, url="http://me:s3cret@h:8086/a@b"), "").name


def test_only_victoria_metrics_has_no_text_and_is_asked_for_its_counter() -> None:
    targets = [target_of(choice, "") for choice in (INFLUX, INFLUX1, VICTORIA)]
    assert [target.kind for target in targets if not target.texts] == ["victoriametrics"]
    assert [target.kind for target in targets if target.counts_invalid] == ["victoriametrics"]


def test_a_secret_is_read_without_its_line_break(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t0k\n")
    assert secret_of(StoreSite(kind="influx", token_file=tmp_path / "token")) == "t0k"


# fmt: off
NO_TOKENS = [
    # what is in the file        of kind            why
    ("# mine\ns3cret",           "influx",          "two lines: a header has one"),
    ("\u201cs3cret\u201d",       "influx",          "typographic quotes: a header has none"),
    ("\ufeffs3cret",             "victoriametrics", "a byte order mark, which nobody sees"),
    ("me:s3cret\x00",            "influx1",         "a control character"),
]
# fmt: on


@pytest.mark.parametrize(("content", "kind", "why"), NO_TOKENS, ids=[c[-1] for c in NO_TOKENS])
def test_a_token_that_no_request_could_carry_is_refused_and_not_quoted(
    tmp_path: Path, content: str, kind: str, why: str
) -> None:
    (tmp_path / "token").write_text(content)
    with pytest.raises(InputError, match="token: does not hold one line of ASCII") as caught:
        secret_of(StoreSite(kind=kind, token_file=tmp_path / "token"))
    assert "s3cret" not in str(caught.value), why


def test_a_login_of_influx1_may_have_any_letters(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("me:caf\u00e9\n")
    assert secret_of(StoreSite(kind="influx1", token_file=tmp_path / "token")) == "me:caf\u00e9"


def test_a_token_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    choice = StoreSite(kind="victoriametrics", url="http://h", token_file=tmp_path / "absent")
    with pytest.raises(InputError, match=r"absent: the store's token cannot be read: .*No such file"):
        make_store(choice, tmp_path)
