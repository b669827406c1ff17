"""A site's choices for its outbox and its store, and which certificates are watched for whom."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.site import load_site
from controller.telemetry.link import Access, Link
from controller.telemetry.sqlitestore import SqliteStore
from controller.telemetry.tier import Amount
from controller.telemetry.wiring import make_rotation, open_outbox, store_of
from tests.controller.telemetry.makers import event, killed, live
from tests.controller.telemetry.test_command import SITE

# fmt: off
CHOICES = [
    # of the site file                         files in           live rows on disk              why
    ("",                                       ["run", "state"],  Amount(300_000, 800_000_000),  "default"),
    (", outbox: {max_rows: 5000, max_mb: 3}",  ["run", "state"],  Amount(5000, 3_000_000),       "bounds"),
    (", outbox: {durability: always}",         ["state"],         Amount(300_000, 800_000_000),  "always"),
]
# fmt: on


def written(folder: Path, more: str) -> Path:
    path = folder / "site.yaml"
    path.write_text(SITE.format(folder=folder, more=more))
    return path


@pytest.mark.parametrize(("more", "folders", "most", "why"), CHOICES, ids=[c[-1] for c in CHOICES])
def test_bounds_and_files(tmp_path: Path, more: str, folders: list[str], most: Amount, why: str) -> None:
    box = open_outbox(load_site(written(tmp_path, more)))
    box.add([live(1)], now_ms=0)
    assert box.most == most, why
    assert sorted({path.parent.name for path in tmp_path.glob("*/outbox*.sqlite")}) == folders
    box.close()


@pytest.mark.parametrize(("more", "spare_s"), [("", 5.0), (", outbox: {durability: always}", 0.0)])
def test_the_store_on_this_machine_lasts_as_its_outbox_does(tmp_path: Path, more: str, spare_s: float) -> None:
    store = store_of(load_site(written(tmp_path, more)))
    assert isinstance(store, SqliteStore)
    assert store.spare_s == spare_s
    store.close()


def test_from_spill_to_always_what_memory_held_goes_to_disk_and_no_number_comes_twice(tmp_path: Path) -> None:
    box = open_outbox(load_site(written(tmp_path, "")))
    box.add([live(1), event(1), live(2)], now_ms=0)
    killed(box)
    box = open_outbox(load_site(written(tmp_path, ", outbox: {durability: always}")))
    box.add([live(3)], now_ms=0)
    assert sorted(row.seq for row in box.next_batch(10)) == [1, 2, 3, 4]
    assert not list((tmp_path / "run").glob("outbox*"))
    box.close()
    box = open_outbox(load_site(written(tmp_path, "")))
    box.add([live(4)], now_ms=0)
    assert len({row.seq for row in box.next_batch(10)}) == 5
    box.close()


# fmt: off
MISTAKES = [
    ("durability: never",   "durability = never is not one of"),
    ("max_rows: 0",         "max_rows = 0 is outside 1000 ... 10000000"),
    ("max_gb: 1",           "unknown key 'max_gb'; known: durability, max_mb, max_rows"),
]
# fmt: on


@pytest.mark.parametrize(("key", "message"), MISTAKES, ids=[c[0] for c in MISTAKES])
def test_mistakes_are_told_at_their_line(tmp_path: Path, key: str, message: str) -> None:
    path = written(tmp_path, f", outbox: {{{key}}}")
    line = 1 + next(i for i, text in enumerate(path.read_text().splitlines()) if "outbox:" in text)
    with pytest.raises(Exception, match=message) as error:
        load_site(path)
    assert f"{path}:{line}: " in str(error.value)


# fmt: off
BRIDGE = ", bridge: {certificate: /t/b.pem, key: /t/b.key}"
WATCHED = [
    # beside tls              bridge?  files                                why
    ("",                      False,   ["ca.pem", "home.key", "home.pem"],  "telemetry"),
    (BRIDGE,                  False,   ["ca.pem", "home.key", "home.pem"],  "telemetry, and not the bridge's"),
    (BRIDGE,                  True,    ["ca.pem", "b.key", "b.pem"],        "the bridge's own"),
    (", bridge: {name: b}",   True,    ["ca.pem", "home.key", "home.pem"],  "a bridge without its own has the site's"),
]
# fmt: on


@pytest.mark.parametrize(("more", "bridge", "files", "why"), WATCHED, ids=[c[-1] for c in WATCHED])
def test_the_certificates_that_are_watched(tmp_path: Path, more: str, bridge: bool, files: list[str], why: str) -> None:
    tls = "tls: {ca: /t/ca.pem, certificate: /t/home.pem, key: /t/home.key}"
    site = load_site(written(tmp_path, f", mqtt: {{host: broker.example, {tls}{more}}}"))
    assert site.telemetry.mqtt is not None
    own = site.telemetry.mqtt.bridge if bridge else None
    rotation = make_rotation(site, Link("nobody", Access("127.0.0.1", 1), []), own)
    assert rotation is not None
    assert [str(path) for path in rotation.files] == [f"/t/{name}" for name in files], why


def test_without_tls_there_is_nothing_to_renew(tmp_path: Path) -> None:
    site = load_site(written(tmp_path, ", mqtt: {host: broker.example}"))
    assert make_rotation(site, Link("nobody", Access("127.0.0.1", 1), [])) is None
