"""telemetry.mqtt of a site -> Access: whose files are read, and what is wrong with them, by line of the site file."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from controller.sitedata import BridgeSite
from controller.telemetry.access import AccessError, load_access
from controller.telemetry.link import Access
from tests.controller.test_site import site_of
from tests.controller.test_sitemqtt import MQTT
from tests.pki import Authority


@pytest.fixture
def pki(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "pki")


def access_of(folder: Path, added: str, for_bridge: bool = False) -> Access:
    site = site_of(folder, MQTT + added)
    mqtt = site.telemetry.mqtt
    assert mqtt is not None
    return load_access(site, mqtt, (mqtt.bridge or BridgeSite()) if for_bridge else None)


def tls_keys(pki: Authority, last_day: float = 1) -> str:
    """Lines 27 ... 30 of the site file."""
    pair = pki.issue("house", last_day=last_day, first_day=-9 if last_day < 0 else -1)
    return f"    tls:\n      ca: {pki.file}\n      certificate: {pair.certificate}\n      key: {pair.key}\n"


def test_no_more_than_an_address(tmp_path: Path) -> None:
    assert access_of(tmp_path, "") == Access("broker.example", 1883, 10)


def test_with_tls(tmp_path: Path, pki: Authority, caplog: pytest.LogCaptureFixture) -> None:
    access = access_of(tmp_path, tls_keys(pki) + '    protocol: "5"\n')
    assert (access.port, access.protocol) == (8883, "5")
    assert access.context is not None
    assert caplog.text == ""


def test_files_by_the_names_of_credentials(tmp_path: Path, pki: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(pki.folder))
    (pki.folder / "word").write_text("secret\n")
    access = access_of(tmp_path, f"    tls: {{ca: {pki.file.name}}}\n    user: ann\n    password_file: word\n")
    assert (access.user, access.password) == ("ann", "secret")
    assert access.context is not None
    assert "secret" not in repr(access)


def test_the_bridge_has_its_own_word_and_the_site_not(tmp_path: Path) -> None:
    for name in ("house", "bridge"):
        (tmp_path / name).write_text(f"word of {name}\n")
    keys = f"    user: house\n    password_file: {tmp_path}/house\n" \
           f"    bridge:\n      user: bridge\n      password_file: {tmp_path}/bridge\n"  # fmt: skip
    house, bridge = access_of(tmp_path, keys), access_of(tmp_path, keys, for_bridge=True)
    assert (house.user, house.password) == ("house", "word of house")
    assert (bridge.user, bridge.password) == ("bridge", "word of bridge")


def test_a_wrong_file_is_named_at_its_line(tmp_path: Path, pki: Authority) -> None:
    keys = tls_keys(pki)
    other = Authority(tmp_path / "other").issue("house").key
    right = keys.split("key: ")[1].strip()
    with pytest.raises(AccessError) as refusal:
        access_of(tmp_path, keys.replace(right, str(other)))
    assert str(refusal.value).startswith(f"{tmp_path}/site.yaml:30: key = {other} is not the key of ")


def test_a_wrong_file_of_the_bridge_is_named_at_the_bridges_line(tmp_path: Path, pki: Authority) -> None:
    keys = tls_keys(pki) + "    bridge:\n      certificate: /nowhere/b.pem\n      key: /nowhere/b.key\n"
    with pytest.raises(AccessError, match=r"site\.yaml:32: certificate = /nowhere/b\.pem cannot be read"):
        access_of(tmp_path, keys, for_bridge=True)
    assert access_of(tmp_path, keys).context is not None  # the site does not look at it


def test_an_expired_certificate_is_said_and_tried(
    tmp_path: Path, pki: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    assert access_of(tmp_path, tls_keys(pki, last_day=-2)).context is not None
    assert [record.getMessage().split()[0] for record in caplog.records] == ["V2G-CERTIFICATE-DATE"]


def test_a_password_without_tls_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "word").write_text("secret")
    access_of(tmp_path, f"    user: ann\n    password_file: {tmp_path}/word\n")
    assert [(record.levelno, record.getMessage().split()[0]) for record in caplog.records] == [
        (logging.WARNING, "V2G-MQTT-PLAIN")
    ]
    assert "secret" not in caplog.text
