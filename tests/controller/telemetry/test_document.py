"""docs/telemetry.md says of frames, events and commands what the program does."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from controller.services.command import COMMANDS, MAX_BYTES, MODES
from controller.services.remote import MAX_ROWS
from controller.sitedata import RemoteSite
from controller.telemetry.wire import Row, ack_topic, encode, state_topic, status_topic, topic
from tests.controller.services.test_remote import REFUSED
from tests.controller.telemetry.test_homeassistant import frame

DOCUMENT = (Path(__file__).parents[3] / "docs/telemetry.md").read_text(encoding="utf-8")


def part(title: str) -> str:
    """The text below a title."""
    return DOCUMENT.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def first_column(text: str) -> list[str]:
    """What stands in code signs in the first column of the tables."""
    rows = re.findall(r"^\| (`.+?`) \|", text, re.MULTILINE)
    return [name for row in rows for name in re.findall(r"`([^`]+)`", row)]


def test_the_table_of_fields_has_those_of_a_frame_and_no_others() -> None:
    sometimes = (
        "telemetry",
        "bus",
        "remote",
        "clock",
        "e_meter_import_wh",
        "e_meter_export_wh",
        "e_dc_in_wh",
        "e_dc_out_wh",
    )
    body = frame() | dict.fromkeys(sometimes, 0)
    sent = json.loads(encode(Row("a", 1, "live", 0, json.dumps(body))))
    said = first_column(part("Live frame"))
    assert sorted(said) == sorted(sent)


def test_the_commands_and_their_keys() -> None:
    rows = dict(re.findall(r"^\| `([a-z]+)` \| (.*?) \|", part("Remote commands"), re.MULTILINE))
    assert set(COMMANDS) <= set(rows)
    for name, (needed, optional) in COMMANDS.items():
        assert [key for key in re.findall(r"`(\w+)`", rows[name]) if key not in MODES] == [*needed, *optional]


@pytest.mark.parametrize(
    "reason",
    sorted(
        {c[2] for c in REFUSED}
        | {"retained", "clock", "stopped", "rate", "turns", "memory", "unsigned", "signature", "rights"}
    ),
)
def test_every_reason_of_a_refusal(reason: str) -> None:
    assert f"`{reason}`" in part("Remote commands").partition("| refused because")[2]


def test_the_topics() -> None:
    topics = first_column(part("Topics"))
    assert {topic("SITE", "live"), topic("SITE", "event"), ack_topic("SITE"), status_topic("SITE")} < set(topics)
    assert state_topic("SITE") in topics


def test_the_numbers() -> None:
    remote = RemoteSite()
    for said in (f"`max_age_s` ({remote.max_age_s:g} s)", f"`per_minute` ({remote.per_minute})",
                 f"`turns_per_hour` ({remote.turns_per_hour})",
                 f"`spread_s` ({remote.spread_s:g} s)",
                 f"more than {MAX_ROWS} refusals", f"above {MAX_BYTES} bytes"):  # fmt: skip
        assert said in part("Remote commands"), said
