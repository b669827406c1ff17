"""Brokers for the system tests: Mosquitto as config/mosquitto has it, with TLS on both sides, and nats-server."""

from __future__ import annotations

import getpass
import signal
import socket
import subprocess
import time
from importlib import resources
from pathlib import Path

from controller.lifetime import die_with_parent
from controller.security import KeyFiles, load_context
from controller.telemetry.link import Access
from drivers.sim.proxy import free_port
from tests.need import tool
from tests.pki import Authority, Pair

HOST = "127.0.0.1"
START_S = 20.0
PACKAGED = "/etc/mosquitto/v2g/"  # where config/mosquitto/v2g.conf looks for its files


class Server:
    """A program that listens on a port of loopback; started anew it listens on the same one."""

    def __init__(self, folder: Path, command: list[str], port: int) -> None:
        self.folder, self.command, self.port = folder, command, port
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Returns when it listens."""
        with (self.folder / "broker.log").open("ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log, preexec_fn=die_with_parent)
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                socket.create_connection((HOST, self.port), timeout=1.0).close()
            except OSError:
                time.sleep(0.05)
            else:
                return
        raise AssertionError((self.folder / "broker.log").read_text(errors="replace")[-2000:])

    def end(self, how: signal.Signals) -> None:
        """SIGTERM or SIGKILL; returns when it is gone."""
        assert self.process is not None
        self.process.send_signal(how)
        self.process.wait(START_S)

    def close(self) -> None:
        """Also when it has ended already."""
        if self.process is not None and self.process.poll() is None:
            self.end(signal.SIGKILL)


class Mosquitto(Server):
    """The package's configuration and access rules, and more `rules`. broker: its certificate, if not a right one."""

    def __init__(self, folder: Path, broker: Pair | None = None, rules: str = "") -> None:
        folder.mkdir(parents=True)
        self.authority = Authority(folder / "ca")
        pair = broker or self.authority.issue("broker", HOST)
        port = free_port()
        packaged = resources.files("config") / "mosquitto"
        text = packaged.joinpath("v2g.conf").read_text()
        files = {"ca.pem": self.authority.file, "broker.pem": pair.certificate, "broker.key": pair.key}
        files["v2g.acl"] = folder / "v2g.acl"
        files["v2g.acl"].write_text(packaged.joinpath("v2g.acl").read_text() + rules)
        files["v2g.acl"].chmod(0o600)
        for name, file in files.items():
            assert PACKAGED + name in text
            text = text.replace(PACKAGED + name, str(file))
        assert "listener 8883\n" in text
        text = text.replace("listener 8883\n", f"listener {port} {HOST}\n")
        own = f"user {getpass.getuser()}\npersistence true\npersistence_location {folder}/\n"
        (folder / "mosquitto.conf").write_text(own + text)
        super().__init__(folder, [tool("mosquitto"), "-c", str(folder / "mosquitto.conf")], port)

    def access(self, name: str, keepalive_s: int = 5, protocol: str = "3.1.1") -> Access:
        """With a certificate of that name."""
        pair = self.authority.issue(name)
        context = load_context(KeyFiles(self.authority.file, pair.certificate, pair.key))
        return Access(HOST, self.port, keepalive_s, protocol, context=context)


class Nats(Server):
    """nats-server with its MQTT listener; JetStream keeps sessions and retained messages."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        port = free_port()
        text = f"""
            server_name: v2g
            listen: "{HOST}:{free_port()}"
            jetstream {{ store_dir: "{folder}/jetstream" }}
            mqtt {{ listen: "{HOST}:{port}" }}
        """
        (folder / "nats.conf").write_text(text)
        super().__init__(folder, [tool("nats-server"), "-c", str(folder / "nats.conf")], port)
