"""What leaves the house holds no secret: each kind of key and of place, and that the rest is still there."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from controller.redact import HIDDEN, KNOWN, hide_json, hide_site, in_text, is_secret, scrub

PRIVATE = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIHunter2\n-----END EC PRIVATE KEY-----"
EXAMPLE = Path(__file__).parents[2] / "config/site.example.yaml"

# fmt: off
SITES = [
    # text of a site file                                            the secret  why
    ("telemetry: {mqtt: {host: 'mqtt://me:hunter2@broker'}}",        "hunter2",  "a password in an address"),
    ("telemetry: {mqtt: {password: hunter2}}",                       "hunter2",  "a key that is not known"),
    ("telemetry: {mqtt: {account: hunter2}}",                        "hunter2",  "an unknown key, a harmless name"),
    ("telemetry: {store: {kind: influx, token: hunter2}}",           "hunter2",  "a token where token_file belongs"),
    ("telemetry: {store: {token_file: hunter2}}",                    "hunter2",  "the token in place of its file"),
    ("telemetry: {store: {token: /hunter2}}",                        "hunter2",  "a token that looks like a path"),
    ("name: house # the password is hunter2",                        "hunter2",  "a comment"),
    ("password: [hunter2, {also: hunter2}]",                         "hunter2",  "nested below a secret's name"),
    ("? [hunter2]\n: 1",                                             "hunter2",  "a key that is a list"),
    ("api_key: 123456",                                              "123456",   "a number"),
    ("tls_key: |\n  " + PRIVATE.replace("\n", "\n  "),               "Hunter2",  "a private key"),
    ("name: |\n  " + PRIVATE.replace("\n", "\n  "),                  "Hunter2",  "a private key under a harmless name"),
    ("name: [hunter2\n",                                             "hunter2",  "no YAML at all"),
    ("password: hunter2\nname: [",                                   "hunter2",  "no YAML after the secret"),
    ("--- {password: hunter2}\n--- {password: hunter2}",             "hunter2",  "two documents in one file"),
    ("a: &x {password: hunter2, y: *x}",                             "hunter2",  "an alias that holds itself"),
]
TEXTS = [
    # any text                                                       the secret  why
    (PRIVATE,                                                        "Hunter2",  "a private key"),
    (PRIVATE[:50],                                                   "Hunter2",  "one that is cut off"),
    ("cannot reach http://me:hunter2@db:8086/api",                   "hunter2",  "a password in an address"),
    ("http://db:8086/write?u=me&token=hunter2&db=x",                 "hunter2",  "a token in a query"),
    ("Authorization: Token hunter2==",                               "hunter2",  "a header of InfluxDB"),
    ("Authorization: Bearer hunter2.x",                              "hunter2",  "a header"),
    ("V2G-BROKER refused, password=hunter2, again in 5 s",           "hunter2",  "a log line"),
    ("mqtt_password: hunter2",                                       "hunter2",  "YAML in a log line"),
    ("eyJhbGciOi.eyJzdWIi.hunter2",                                  "hunter2",  "a JSON web token"),
]
# fmt: on


@pytest.mark.parametrize(("text", "secret", "why"), SITES, ids=[c[-1] for c in SITES])
def test_a_site_file_without_its_secrets(text: str, secret: str, why: str) -> None:
    assert secret in text
    assert secret not in hide_site(text).text


@pytest.mark.parametrize(("text", "secret", "why"), TEXTS, ids=[c[-1] for c in TEXTS])
def test_text_without_its_secrets(text: str, secret: str, why: str) -> None:
    assert secret in text
    assert secret not in in_text(text)


def test_a_site_file_keeps_all_that_is_no_secret() -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    assert yaml.safe_load(hide_site(text).text) == yaml.safe_load(text)
    assert hide_site(text).secrets == set()


def test_no_known_key_is_hidden_but_those_of_secrets() -> None:
    paths = {"token_file", "password_file", "key", "password", "public_key"}  # the last one could be shown
    assert {key for key in KNOWN if is_secret(key)} <= paths, "a new key: is it a secret's, or a path to one?"
    assert "token_file: /etc/v2g/token" in hide_site("token_file: /etc/v2g/token").text, "where it lies is no secret"


def test_what_was_hidden_is_found_elsewhere() -> None:
    hidden = hide_site("mqtt:\n  password: hunter2\n  host: mqtt://me:swordfish@broker\n  port: 10\n")
    assert {"hunter2", "swordfish", "me:swordfish"} <= hidden.secrets
    assert scrub("10 refused hunter2; swordfish.", hidden.secrets) == f"10 refused {HIDDEN}; {HIDDEN}."


def test_json() -> None:
    counters = {
        "v": 1,
        "sent": 12,
        "to": [{"password": "hunter2"}],
        "auth": {"a": 5},
        "last": "http://u:p@x",
        "n": None,
    }
    assert hide_json(counters) == {
        "v": 1, "sent": 12, "to": [{"password": HIDDEN}], "auth": {"a": HIDDEN}, "n": None,
        "last": f"http://{HIDDEN}@x",
    }  # fmt: skip
