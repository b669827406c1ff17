"""Remote commands and real processes: a wish of the commands' code moves the real core, and ends by itself; the real
telemetry process answers what a client sends, and is announced to Home Assistant.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from controller.services.memory import load
from controller.services.pace import Limits
from controller.services.remote import Now, Remote
from controller.services.rights import door_of
from controller.services.wishes import Wishes
from controller.site import load_site
from controller.siteremote import bounds_of
from controller.telemetry.link import Received
from cython_core.realtime.host import clock_synchronized
from cython_core.records import Reason, WishSource
from tests.controller.telemetry.halint import lint
from tests.controller.telemetry.test_desk import Client
from tests.faults.rig import CHARGE_W, NAME, READY_S, Rig

REMOTE = "remote: {enable: true, unsigned: home, max_discharge_w: 3000}\nhome_assistant: {enable: true}\n"
MOVE_S = 15.0  # 4400 W at 0.2 pu/s of 7 kW take 3 s; a bound for a loaded machine


def wall_ms() -> int:
    return time.time_ns() // 1_000_000


def command(seq: int, life_s: float, **own: Any) -> bytes:
    now_ms = wall_ms()
    head = {"v": 1, "source": "home", "seq": seq, "issued_ms": now_ms, "expires_ms": now_ms + round(life_s * 1000)}
    return json.dumps({**head, **own}).encode()


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with Rig(tmp_path_factory.mktemp("rig")) as rig:
        rig.start("grid", "meter", "inverter", "broker", "bridge")
        rig.site.write_text(rig.site.read_text() + REMOTE)
        for part in ("telemetry", "controller"):
            rig.restart(part)
        rig.wait_for(rig.is_calm, READY_S, "the controller in service")
        yield rig


def test_a_command_moves_the_core_and_ends_by_itself(rig: Rig, tmp_path: Path) -> None:
    """The clock counts as synchronized here: whether this machine's is, the next test looks at."""
    site = load_site(rig.site)
    door, limits = door_of(site, bounds_of(site)), Limits(12, 12, 30.0)
    remote = Remote(door, limits, Wishes(site.runtime_dir / "wishes"), load(tmp_path / "remote.json", 0),
                    lambda: Now(wall_ms(), time.monotonic_ns(), True))  # fmt: skip

    def send(name: str, payload: bytes) -> str:
        [(event, facts)] = remote.turn([Received(f"v2g/{NAME}/cmd/{name}", payload, 1, 1, wall_ms())], 0.5)
        return str(facts.get("reason", event))

    assert send("power", command(1, 60.0, p_w=9000)) == "bounds"
    assert send("power", command(2, 60.0, p_w=2000)) == "command_accepted"
    rig.wait_for(lambda: rig.newest()["p_cmd_w"] == 2000.0, MOVE_S, "2 kW of discharge")
    assert (rig.newest()["w_source"], rig.newest()["w_p_w"]) == (int(WishSource.HOME), 2000.0)
    assert send("stop", command(3, 60.0)) == "command_accepted"
    rig.wait_for(lambda: rig.newest()["p_cmd_w"] == 0.0, MOVE_S, "stopped")
    assert send("resume", command(4, 60.0)) == "command_accepted"
    rig.wait_for(lambda: rig.newest()["p_cmd_w"] == -CHARGE_W, MOVE_S, "the default wish")
    assert send("power", command(5, 6.0, p_w=1000)) == "command_accepted"
    rig.wait_for(lambda: rig.newest()["p_cmd_w"] == 1000.0, MOVE_S, "1 kW")
    rig.wait_for(lambda: rig.newest()["p_cmd_w"] == -CHARGE_W, MOVE_S, "over after 6 s, and nobody said so")
    records = rig.records()
    assert not (records["reasons"] & int(Reason.WISH_REFUSED)).any(), "the core took each of them"
    assert records["p_cmd_w"].max() <= 3000.0


def test_the_telemetry_process_answers_and_announces(rig: Rig) -> None:
    client = Client(rig.ports["broker"])
    topic = f"homeassistant/device/v2g_{NAME}/config"
    try:
        rig.wait_for(lambda: bool(client.at(topic)), READY_S, "what the broker keeps for Home Assistant")
        [kept] = [m for m in client.messages if m.topic == topic]
        assert lint(topic, bytes(kept.payload)) == []
        rig.wait_for(lambda: bool(client.at(f"v2g/{NAME}/state/live")), READY_S, "the newest frame")
        client.send(f"v2g/{NAME}/cmd/mode", command(wall_ms(), 60.0, mode="charge"))
        client.send(f"v2g/{NAME}/cmd/mode", b"charge")

        def stored() -> list[dict[str, Any]]:
            return [row.body for row in rig.rows("event") if row.name.startswith("command_")]

        rig.wait_for(lambda: len(stored()) == 2, READY_S, "an answer each, in the store")
        first, second = stored()
        taken = ("command_accepted", None) if clock_synchronized() else ("command_refused", "clock")
        assert (first["event"], first.get("reason")) == taken
        assert second["reason"] == ("malformed" if clock_synchronized() else "clock")
        rig.wait_for(lambda: rig.rows("live")[-1].body["remote"]["refused"] >= 1, READY_S, "counted in the frame")
    finally:
        client.close()
