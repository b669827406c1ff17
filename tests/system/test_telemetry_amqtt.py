"""The demo's other broker carries telemetry too: amqtt, where Mosquitto is not installed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.controller.telemetry.test_mqtt import PATIENCE_S, TOTAL, Rig


def test_amqtt_carries_every_row(tmp_path: Path) -> None:
    pytest.importorskip("amqtt")
    rig = Rig(tmp_path, kind="amqtt")
    try:
        rig.start_bridge()
        assert rig.start_publisher().wait(PATIENCE_S) == 0
        assert rig.stored() == list(range(1, TOTAL + 1))
        assert rig.broker.name == "demo broker (amqtt)"
    finally:
        rig.close()
