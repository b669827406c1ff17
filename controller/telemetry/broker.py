"""A broker on loopback for the demo and the tests: Mosquitto when it is installed, else amqtt in its own process.

Never for an installation: it asks nobody for a password. `python -m controller.telemetry.broker --port N` is the amqtt
one.
"""

from __future__ import annotations

import argparse
import asyncio
import getpass
import os
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from controller.lifetime import die_with_parent

START_S = 15.0  # amqtt takes a few seconds to import on a small board


class BrokerError(Exception):
    """No broker could be started: the text says why. Whoever starts it must act."""


@dataclass(frozen=True, slots=True)
class Broker:
    """A running broker. name is what a user is shown."""

    name: str
    port: int
    process: subprocess.Popen[bytes]

    def stop(self) -> None:
        """End it; returns when it is gone."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(3.0)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.wait()


def start_broker(folder: Path, port: int = 0, kind: str = "") -> Broker:
    """Start one on 127.0.0.1 and wait until it answers. port 0: a free one.

    kind: mosquitto | amqtt | "" (what is there). Raises BrokerError. The broker ends with the process that started it.
    """
    mosquitto = find_mosquitto() if kind != "amqtt" else None
    if kind == "mosquitto" and mosquitto is None:
        raise BrokerError("mosquitto is neither on PATH nor in /usr/sbin")
    folder.mkdir(parents=True, exist_ok=True)
    for _ in range(1 if port else 3):  # a free port may be taken before the broker gets there
        chosen = port or free_port()
        process = start_mosquitto(mosquitto, folder, chosen) if mosquitto else start_amqtt(folder, chosen)
        if answers(process, chosen):
            return Broker("demo broker (mosquitto)" if mosquitto else "demo broker (amqtt)", chosen, process)
        Broker("", chosen, process).stop()
    raise BrokerError(f"port {chosen}: the broker does not start; it says in {folder / 'broker.log'}: {tail(folder)}")


def find_mosquitto() -> str | None:
    """Debian keeps it outside a user's PATH."""
    return shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def start_mosquitto(program: str, folder: Path, port: int) -> subprocess.Popen[bytes]:
    """Queues and sessions in memory only: what a broker forgets, the outbox still has."""
    config = folder / "mosquitto.conf"
    lines = [f"listener {port} 127.0.0.1", "allow_anonymous true", "persistence false", f"user {getpass.getuser()}",
             "max_inflight_messages 200", "max_queued_messages 10000"]  # fmt: skip
    config.write_text("\n".join(lines) + "\n")
    return spawn([program, "-c", str(config)], folder)


def start_amqtt(folder: Path, port: int) -> subprocess.Popen[bytes]:
    """In its own process, so that it takes nothing from ours."""
    return spawn([sys.executable, "-m", "controller.telemetry.broker", "--port", str(port)], folder)


def spawn(command: list[str], folder: Path) -> subprocess.Popen[bytes]:
    """Output to broker.log."""
    with (folder / "broker.log").open("wb") as output:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                preexec_fn=die_with_parent)  # fmt: skip


def answers(process: subprocess.Popen[bytes], port: int) -> bool:
    """Wait until something listens there, as long as the process lives."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
        except OSError:
            time.sleep(0.05)
            continue
        return process.poll() is None
    return False


def free_port() -> int:
    """One nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def tail(folder: Path) -> str:
    """The last line the broker wrote."""
    lines = (folder / "broker.log").read_text(errors="replace").split("\n")
    return next((text for text in reversed(lines) if text.strip()), "nothing")


async def serve_amqtt(port: int) -> None:
    """Anonymous, loopback, for ever."""
    from amqtt.broker import Broker as Amqtt  # type: ignore[import-untyped,unused-ignore]  # no types; an extra

    config = {
        "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}},
        "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
    }
    await Amqtt(config).start()
    await asyncio.Event().wait()


def main() -> None:
    """The amqtt broker's own process."""
    parser = argparse.ArgumentParser(description="demo broker (amqtt) on 127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    asyncio.run(serve_amqtt(parser.parse_args().port))


if __name__ == "__main__":
    main()
