"""Publisher -> broker -> bridges -> store: each a process of its own, the bridges as the product starts them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import yaml

from tests.controller.telemetry.subscriber import Subscriber
from tests.controller.telemetry.test_command import SITE
from tests.system.servers import wait_for

HERE = Path(__file__).parents[2]


class Chain:
    """store: the keys of telemetry.store; bridge: those of telemetry.mqtt.bridge."""

    def __init__(self, folder: Path, port: int, store: dict[str, Any], **bridge: str) -> None:
        self.folder, self.port = folder, port
        telemetry = {"mqtt": {"host": "127.0.0.1", "port": port, "keepalive_s": 5, "bridge": bridge}, "store": store}
        self.site = folder / "site.yaml"
        more = yaml.safe_dump(telemetry, default_flow_style=True, width=1000).strip()[1:-1]
        self.site.write_text(SITE.format(folder=folder, more=f", {more}"))
        self.children: list[subprocess.Popen[bytes]] = []
        self.counters: dict[str, dict[str, Any]] = {}
        self._subscriber = Subscriber(port, "v2g/bridge/+/counters")

    def v2g(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A command, to its end."""
        command = [sys.executable, "-m", "controller.cli", *arguments]
        return subprocess.run(command, cwd=HERE, capture_output=True, text=True, timeout=60.0, check=False)

    def start_bridge(self, name: str = "one") -> subprocess.Popen[bytes]:
        """Returns when it is connected."""
        command = [sys.executable, "-m", "controller.cli", "bridge", str(self.site), "--name", name, "--parent-death"]
        child = self._start(command, f"bridge-{name}")
        wait_for(lambda: "V2G-MQTT-UP" in self.said(f"bridge-{name}"), f"bridge {name} is connected")
        return child

    def start_publisher(self, total: int) -> subprocess.Popen[bytes]:
        """So many rows, 20 ms apart, each tenth an event; ends when every row is acknowledged."""
        outbox = str(self.folder / "outbox.sqlite")
        command = [sys.executable, "-m", "tests.controller.telemetry.child", "publisher", outbox, str(self.port)]
        return self._start([*command, str(total)], "publisher")

    def _start(self, command: list[str], name: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("ab") as log:
            child = subprocess.Popen(command, cwd=HERE, stdout=log, stderr=log)
        self.children.append(child)
        return child

    def said(self, name: str) -> str:
        """What a process has written."""
        return (self.folder / f"{name}.log").read_text()

    def acknowledged(self) -> int:
        """How many of the publisher's rows have been confirmed to it, as it says itself."""
        found = re.findall(r"^acknowledged (\d+)$", self.said("publisher"), re.MULTILINE)
        return int(found[-1]) if found else 0

    def counted(self, name: str) -> dict[str, Any]:
        """A bridge's counters as it last published them; {} before it has."""
        bodies = [json.loads(message.payload) for message in list(self._subscriber.messages)]
        return next((body for body in reversed(bodies) if body["name"] == name), {})

    def end_bridge(self, child: subprocess.Popen[bytes], name: str = "one") -> dict[str, Any]:
        """SIGTERM -> its last counters."""
        child.terminate()
        assert child.wait(15.0) == 0, self.said(f"bridge-{name}")
        wait_for(lambda: bool(self.counted(name)), f"counters of bridge {name}")
        threading.Event().wait(0.2)  # the last message is under way
        return self.counted(name)

    def close(self) -> None:
        for child in self.children:
            child.kill()
            child.wait()
        self._subscriber.close()
