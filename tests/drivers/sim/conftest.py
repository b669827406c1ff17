"""Starts the simulator's real processes, and ends each one that was started."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pymodbus.client import ModbusTcpClient

from drivers.sim.bar import Bar

PATIENCE_S = 30.0  # a bound for a broken build, not a figure


def until(condition: Callable[[], object], what: str) -> None:
    """Wait for something that must come, whatever the machine is doing."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, f"waited {PATIENCE_S:g} s for {what}"
        time.sleep(0.01)


class Simulation:
    """One bar file and the processes around it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bar = Bar(folder / "bar")
        self.processes: dict[str, subprocess.Popen[str]] = {}
        self.clients: list[ModbusTcpClient] = []

    def start(self, part: str, *options: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "drivers.sim.server", part, "--bar", str(self.folder / "bar"), *options]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.processes[part] = process
        return process

    def serve(self, part: str, *options: str) -> ModbusTcpClient:
        """Start a meter or an inverter and connect to it."""
        port_file = self.folder / f"{part}.port"
        port_file.unlink(missing_ok=True)
        process = self.start(part, "--port", "0", "--port-file", str(port_file), *options)
        until(lambda: port_file.exists() or process.poll() is not None, f"{part}'s port file")
        client = ModbusTcpClient("127.0.0.1", port=int(port_file.read_text()), timeout=PATIENCE_S)
        assert client.connect()  # type: ignore[no-untyped-call]  # pymodbus has no types here
        self.clients.append(client)
        return client

    def grid(self, *options: str) -> None:
        process = self.start("grid", *options)
        until(lambda: self.bar.runs("grid_s") or process.poll() is not None, "the grid")
        assert process.poll() is None

    def close(self) -> None:
        for client in self.clients:
            client.close()  # type: ignore[no-untyped-call]  # pymodbus has no types here
        for process in self.processes.values():
            process.kill()
            process.communicate()
        self.bar.close()


@pytest.fixture
def simulation(tmp_path: Path) -> Iterator[Simulation]:
    running = Simulation(tmp_path)
    yield running
    running.close()
