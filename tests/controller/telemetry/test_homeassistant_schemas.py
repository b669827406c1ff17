"""Our announcement before Home Assistant's own code: schemas, tables and templates, in an environment of its own."""

from __future__ import annotations

import json
import subprocess
import time
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from controller.services.command import check, parse
from controller.siteremote import bounds_of
from tests.controller.telemetry.halint import MEASURED
from tests.controller.telemetry.test_homeassistant import MUTATIONS, announced, frame, linted, site_of

pytestmark = pytest.mark.nightly

CHECK = Path(__file__).with_name("hacheck.py")
VALUES = {"power_wish": 1500, "reserve": 29, "mode": "hold", "hold": "ON", "stop": "PRESS", "resume": "PRESS"}


@pytest.fixture(scope="module")
def answer(ha_python: Path) -> dict[str, Any]:
    """What Home Assistant says of our announcement, and of each fault that the linter finds."""
    announcements = {"ours": announced(site_of()), "without controls": announced(site_of(remote=False))}
    for mutate, said, _ in MUTATIONS:
        tree = deepcopy(announcements["ours"])
        mutate(tree)
        announcements[said] = tree
    asked_ms = time.time_ns() // 1_000_000
    asked = {"announcements": announcements, "frame": frame(), "values": VALUES, "device_classes": MEASURED}
    done = subprocess.run([str(ha_python), str(CHECK)], input=json.dumps(asked), capture_output=True, text=True,
                          timeout=300, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found | {"between_ms": (asked_ms, time.time_ns() // 1_000_000)}


def test_its_schemas_take_our_announcement(answer: dict[str, Any]) -> None:
    assert answer["refused"]["ours"] is None
    assert answer["refused"]["without controls"] is None


def test_its_schemas_refuse_what_the_linters_table_says_they_do(answer: dict[str, Any]) -> None:
    by_schema = {said for _, said, who in MUTATIONS if who == "the schema"}
    assert {said for said in by_schema if answer["refused"][said] is None} == set()


def test_what_its_schemas_let_through_the_linter_finds(answer: dict[str, Any]) -> None:
    let_through = {said for _, said, _ in MUTATIONS if answer["refused"][said] is None}
    assert let_through, "then the linter would not be needed"
    for mutate, said, _ in MUTATIONS:
        tree = announced(site_of())
        mutate(tree)
        assert linted(tree), said


def test_its_tables_hold_all_that_ours_say(answer: dict[str, Any]) -> None:
    assert answer["unknown"] == []


def test_its_own_templates_show_what_ours_do(answer: dict[str, Any]) -> None:
    shown = answer["shown"]
    assert {key: shown[key] for key in ("power", "frequency", "soc", "voltage", "state", "fault", "energy_import")} == {
        "power": "1000.0", "frequency": "59.987", "soc": "50.0", "voltage": "238.8", "state": "IN_SERVICE",
        "fault": "OFF", "energy_import": "",
    }  # fmt: skip


def test_we_take_the_commands_that_its_own_templates_make(answer: dict[str, Any]) -> None:
    site, (first_ms, last_ms) = site_of(), answer["between_ms"]
    components = announced(site)["components"]
    for key, payload in answer["commands"].items():
        command = parse(components[key]["command_topic"].rpartition("/")[2], payload.encode())
        assert first_ms <= command.issued_ms <= last_ms
        check(command, bounds_of(site), command.issued_ms + 1000)
    assert set(answer["commands"]) == set(VALUES)
