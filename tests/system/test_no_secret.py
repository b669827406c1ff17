"""No password, key or token in anything that a whole unit says: logs, files, messages, processes, commands, a bundle.

Real     controller, telemetry, bridge; Mosquitto with TLS on both sides; InfluxDB 1, told user and password. Each is
         broken once: what goes wrong says most.
"""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.controller.telemetry.subscriber import Subscriber
from tests.faults.rig import NAME, READY_S, Rig
from tests.pki import Pair
from tests.system import leaks
from tests.system.brokers import HOST, Mosquitto
from tests.system.servers import Influx1

pytestmark = pytest.mark.system
HERE = Path(__file__).parents[2]
PASSWORD, WORD = "correct horse/battery+staple", 'tr0ub4dor&3"=\\zebra'
TELEMETRY = """\
telemetry:
  live_s: 1
  mqtt:
    host: {host}
    port: {port}
    keepalive_s: 5
    user: house
    password_file: {own}/password
    tls: {{ca: {ca}, certificate: {own}/house.pem, key: {own}/house.key}}
    bridge: {{certificate: {own}/bridge.pem, key: {own}/bridge.key}}
  store: {{kind: influx1, url: "{url}", database: v2g, token_file: {own}/token}}
remote: {{enable: true, unsigned: home}}
home_assistant: {{enable: true}}
"""
LOOKS_ON = "\nuser v2g-viewer\ntopic read #\n"
COMMANDS = [
    "check SITE", "check SITE --json", "doctor SITE --json --no-self-test", "certs status SITE", "verify SITE",
    "reload SITE", "bridge SITE --setup", "support-bundle SITE --yes --out bundle.tar.gz",
]  # fmt: skip


class Unit:
    """A rig whose broker and database want to know who it is. own: its secrets, a folder apart."""

    def __init__(self, folder: Path) -> None:
        self.rig, self.own = Rig(folder / "rig"), folder / "own"
        self.own.mkdir()
        self.broker, self.database = Mosquitto(folder / "broker", rules=LOOKS_ON), Influx1(folder / "influx")
        self.database.start()
        self.install(self.broker.authority.issue(NAME, last_day=10), "house")
        self.install(self.broker.authority.issue("v2g-bridge", last_day=10), "bridge")
        (self.own / "password").write_text(PASSWORD + "\n")
        (self.own / "token").write_text(f"v2g:{WORD}\n")
        self.witness = Subscriber(self.broker.port, "#", self.broker.access("v2g-viewer").context)
        self.secrets = {"the password": leaks.forms(PASSWORD), "the token": leaks.forms(WORD)}
        self.secrets |= {key.name: leaks.forms_of_key(key) for key in self.own.glob("*.key")}

    def install(self, pair: Pair, name: str) -> None:
        shutil.copy(pair.certificate, self.own / f"{name}.pem")
        shutil.copy(pair.key, self.own / f"{name}.key")

    def start(self) -> None:
        self.rig.start("grid", "meter", "inverter")
        words = {"host": HOST, "port": self.broker.port, "own": self.own, "ca": self.broker.authority.file}
        before, _, _ = self.rig.site.read_text().partition("telemetry:\n")
        self.rig.site.write_text(before + TELEMETRY.format(url=self.database.url, **words))
        done = self.v2g("bridge", str(self.rig.site), "--setup")
        assert done.returncode == 0, done.stderr
        for part in ("bridge", "telemetry", "controller"):
            self.rig.restart(part)
        self.rig.wait_for(self.rig.is_calm, READY_S, "the controller in service")
        self.wait_for_acknowledgements()

    def wait_for_acknowledgements(self) -> None:
        """What is sent is stored."""
        before = self.rig.telemetry().get("acknowledged", 0)
        self.rig.wait_for(lambda: self.rig.telemetry().get("acknowledged", 0) > before + 2, READY_S, "rows stored")

    def wait_for_word(self, part: str, code: str) -> None:
        before = self.rig.log(part).count(code)
        self.rig.wait_for(lambda: self.rig.log(part).count(code) > before, READY_S, f"{code} of {part}")

    def v2g(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "controller.cli", *arguments]
        environment = {"PYTHONPATH": str(HERE), "PATH": "/usr/bin:/bin"}
        return subprocess.run(command, cwd=self.rig.folder, env=environment, capture_output=True, text=True,
                              timeout=120, check=False)  # fmt: skip

    def break_each(self) -> None:
        """Broker away, database away, a certificate that fits no key, a broker that trusts us no more."""
        self.broker.end(signal.SIGKILL)
        self.wait_for_word("telemetry", "V2G-MQTT-DOWN")
        self.broker.start()
        self.wait_for_acknowledgements()
        self.database.stop()
        self.wait_for_word("bridge", "V2G-STORE-DOWN")
        self.database.start()
        self.wait_for_acknowledgements()
        pair = self.broker.authority.issue(NAME, last_day=20)
        shutil.copy(pair.certificate, self.own / "house.pem")
        self.wait_for_word("telemetry", "V2G-CERTIFICATE-NOT-TAKEN")
        self.install(pair, "house")
        self.secrets["the new key"] = leaks.forms_of_key(pair.key)
        self.wait_for_word("telemetry", "V2G-CERTIFICATE-RENEWED")

    def places(self) -> dict[str, bytes]:
        """Everything outside `own` and what only the servers have."""
        rig = self.rig
        found = dict(leaks.processes(member.pid for member in rig.family.members.values()))
        for command in COMMANDS:
            done = self.v2g(*command.replace("SITE", str(rig.site)).split(" "))
            assert done.returncode == 0, (command, done.stdout, done.stderr)
            found[f"v2g {command}"] = (done.stdout + done.stderr).encode()
        for part in ("controller", "telemetry", "bridge"):
            rig.stop(part)
        for number, message in enumerate(self.witness.messages):
            found[f"message {number} on {message.topic}"] = message.topic.encode() + bytes(message.payload)
        found |= leaks.files(rig.folder)
        found["the broker's log"] = (self.broker.folder / "broker.log").read_bytes()
        return found

    def close(self) -> None:
        self.witness.close()
        self.rig.close()
        self.broker.close()
        self.database.stop()


@pytest.fixture(scope="module")
def unit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Unit]:
    unit = Unit(tmp_path_factory.mktemp("unit"))
    try:
        yield unit
    finally:
        unit.close()


def test_no_secret_in_anything_that_a_unit_says(unit: Unit) -> None:
    unit.start()
    unit.break_each()
    places = unit.places()
    assert leaks.found(places, unit.secrets) == []
    named = "\n".join(places)
    for kind in (f"v2g/{NAME}/tele/live", f"v2g/{NAME}/event", f"v2g/{NAME}/status", f"v2g/{NAME}/ack", "homeassistant",
                 "journal.v2gj", "record.jsonl", "outbox.sqlite", "outbox-quick.sqlite", "run/ring", "telemetry.json",
                 "logs/controller.log", "logs/bridge.log", "bundle.tar.gz: ", "cmdline of "):  # fmt: skip
        assert kind in named, f"{kind}: never looked at"


# fmt: off
FORMS = [
    # how it is written                                          why
    (lambda s: f"password {s} refused".encode(),                 "as it is"),
    (lambda s: b64encode(f"v2g:{s}".encode()),                   "the header of HTTP's basic authorization"),
    (lambda s: b64encode(f"x:{s}".encode()),                     "the same behind a shorter name"),
    (lambda s: b64encode(s.encode()),                            "alone in base64"),
    (lambda s: s.encode().hex().encode(),                        "as somebody prints bytes"),
    (lambda s: quote(s, safe="").encode(),                       "in an address"),
    (lambda s: json.dumps({"a": s}).encode(),                    "in JSON"),
]
# fmt: on


@pytest.mark.parametrize("secret", [PASSWORD, WORD])
@pytest.mark.parametrize(("write", "why"), FORMS, ids=[c[-1] for c in FORMS])
def test_each_form_would_be_found(tmp_path: Path, write: Callable[[str], bytes], why: str, secret: str) -> None:
    (tmp_path / "said").write_bytes(b"before " + write(secret) + b" after")
    with sqlite3.connect(tmp_path / "rows.sqlite") as database:
        database.execute("CREATE TABLE rows (body)")
        database.execute("INSERT INTO rows VALUES (?)", (write(secret).decode(),))
    places = dict(leaks.files(tmp_path))
    assert len(leaks.found(places, {"it": leaks.forms(secret)})) == 2, why


def test_a_key_would_be_found(tmp_path: Path, unit: Unit) -> None:
    key = unit.own / "house.key"
    (tmp_path / "a-file").write_bytes(key.read_bytes())
    assert leaks.found(dict(leaks.files(tmp_path)), {"it": leaks.forms_of_key(key)}) == [f"it in {tmp_path}/a-file"]
