"""The loss table: one stream of steps through our telemetry, and beside it the same number through plain paho, with the
same broker, network and faults. What the databases hold at the end is counted.

Ours     ring -> `v2g telemetry` -> relay -> Mosquitto (TLS, certificates on both sides) -> `v2g bridge` -> SQLite
Plain    paho, QoS 1, unlimited queue -> relay -> the same Mosquitto -> paho, persistent session -> SQLite
Faults   real ones: signals to real processes, a relay that swallows or resets.

python -m tests.system.losses [COUNT [ACK]]    plays all of them and prints the table; ACK: consumer | broker
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from controller.processes import Family
from controller.telemetry.sqlitestore import read_points
from tests.controller.telemetry.test_command import SITE
from tests.system.brokers import Mosquitto
from tests.system.loss_child import PLAIN_TOPIC
from tests.system.relay import Relay

CHILD = "tests.system.loss_child"
SETTLE_S = 240.0  # for ours: until every row is in the store
PLAIN_S = 8.0  # for the plain one, which tries again each 2 s: nothing new for so long, and it will not come
NIGHTLY = 4000


@dataclass(frozen=True, slots=True)
class Count:
    """Of one stream: how many were made, never arrived, arrived in more than one point."""

    made: int
    lost: int
    double: int


class Rig:
    """All processes of one row. ack: what the site calls delivered; plain_s: how long the plain one is waited for."""

    def __init__(self, folder: Path, count: int, ack: str = "consumer", plain_s: float = PLAIN_S) -> None:
        self.folder, self.count, self.plain_s = folder, count, plain_s
        for name in ("run", "creds"):
            (folder / name).mkdir(parents=True)
        self.broker = Mosquitto(folder / "broker", rules=f"user plain\ntopic readwrite {PLAIN_TOPIC}\n")
        self.relay = Relay(self.broker.port)
        creds = {"CREDENTIALS_DIRECTORY": str(folder / "creds")}  # by name, as systemd hands them over
        self.family = Family(folder / "logs", creds)
        self._write_credentials()
        for name, port in (("site", self.relay.port), ("bridge", self.broker.port)):
            tls = f"tls: {{ca: ca.pem, certificate: {name}.pem, key: {name}.key}}"
            more = f", mqtt: {{host: 127.0.0.1, port: {port}, keepalive_s: 5, ack: {ack}, {tls}}}"
            (folder / f"{name}.yaml").write_text(SITE.format(folder=folder, more=more))

    def _write_credentials(self) -> None:
        authority, creds = self.broker.authority, self.folder / "creds"
        shutil.copy(authority.file, creds / "ca.pem")
        for name, common_name in (("site", "home"), ("bridge", "v2g-bridge"), ("plain", "plain")):
            pair = authority.issue(common_name)
            shutil.copy(pair.certificate, creds / f"{name}.pem")
            shutil.copy(pair.key, creds / f"{name}.key")
        for name in ("ca.pem", "plain.pem", "plain.key"):
            shutil.copy(creds / name, self.folder / name)

    def start(self, *parts: str) -> None:
        """These, on their old files."""
        commands = {
            "telemetry": (CHILD, "telemetry", str(self.folder / "site.yaml")),
            "bridge": ("controller.cli", "bridge", str(self.folder / "bridge.yaml"), "--parent-death"),
            "publish": (CHILD, "publish", str(self.folder), str(self.relay.port), str(self.count)),
            "consume": (CHILD, "consume", str(self.folder), str(self.broker.port)),
            "feed": (CHILD, "feed", str(self.folder), str(self.count)),
        }
        for part in parts:
            self.family.start(part, *commands[part])

    def kill(self, *parts: str) -> None:
        """SIGKILL, all at once."""
        for part in parts:
            self.family.members[part].kill()
        for part in parts:
            self.family.kill(part)

    def play(self, fault: Callable[[Rig], None]) -> tuple[Count, Count]:
        """-> what became of ours, and of the plain one's."""
        self.start("bridge", "consume", "telemetry")
        for name in ("bridge", "telemetry"):  # or the plain stream is over before ours has begun
            self.until(lambda name=name: self._connected(name), f"{name} is connected", 60.0)  # type: ignore[misc]  # default
        self.start("publish", "feed")
        self.until(lambda: min(self.arrived()) >= self.count // 4, "a quarter is stored", 120.0)
        assert max(self.arrived()) < self.count, "the stream was over before the fault"
        fault(self)
        self.until(lambda: self.ours().lost == 0, "every row of ours is stored", SETTLE_S, strict=False)
        self._wait_for_plain()
        return self.ours(), self.plain()

    def _connected(self, name: str) -> bool:
        return "V2G-MQTT-UP" in (self.family.logs / f"{name}.log").read_text()

    def until(self, claim: Callable[[], bool], what: str, limit_s: float, strict: bool = True) -> None:
        """Wait; strict: it has to come."""
        deadline = time.monotonic() + limit_s
        while not claim():
            self.check()
            if time.monotonic() > deadline:
                assert not strict, f"not within {limit_s:g} s: {what}; logs in {self.family.logs}"
                return
            time.sleep(0.5)

    def check(self) -> None:
        """Nobody has died but by our hand: a loss would be the test's own."""
        dead = [name for name, process in self.family.members.items() if process.poll() not in (None, 0)]
        assert not dead, f"{dead[0]} ended by itself: {self.family.last_line(dead[0])}"

    def _wait_for_plain(self) -> None:
        since_s, seen = time.monotonic(), -1
        while self.plain().lost and time.monotonic() - since_s < self.plain_s:
            if self.plain_numbers().total() != seen:
                since_s, seen = time.monotonic(), self.plain_numbers().total()
            self.check()
            time.sleep(0.5)

    def arrived(self) -> tuple[int, int]:
        """Different steps in the two databases so far."""
        return len(self.steps()), len(self.plain_numbers())

    def steps(self) -> Counter[int]:
        """Step -> points that hold it, in the bridge's store."""
        found: Counter[int] = Counter()
        with contextlib.suppress(sqlite3.Error):  # not yet created
            for row in read_points(self.folder / "state" / "telemetry.sqlite", "home", "live"):
                found.update(range(row.body["n_first"], row.body["n_last"] + 1))
        return found

    def plain_numbers(self) -> Counter[int]:
        """Number -> rows that hold it, in the plain one's."""
        return Counter(n for (n,) in select(self.folder / "plain.sqlite", "SELECT n FROM came"))

    def ours(self) -> Count:
        """A step that is in no point is lost, and so is an event that got a number and did not arrive."""
        steps = self.steps()
        store = self.folder / "state" / "telemetry.sqlite"
        numbers = {seq for (seq,) in select(store, "SELECT seq FROM points")}
        (last,) = (select(self.folder / "state" / "outbox.sqlite", "SELECT max(seq) FROM sqlite_sequence") or [(0,)])[0]
        lost_rows = len(set(range(1, (last or 0) + 1)) - numbers)
        return Count(
            self.count, max(self.count - len(steps), lost_rows), sum(1 for times in steps.values() if times > 1)
        )

    def plain(self) -> Count:
        """Of the numbers 0 ... count - 1."""
        numbers = self.plain_numbers()
        return Count(self.count, self.count - len(numbers), sum(1 for times in numbers.values() if times > 1))

    def close(self) -> None:
        """Nothing is left behind."""
        self.family.stop()
        self.relay.close()
        self.broker.close()


def select(path: Path, query: str) -> list[tuple[int]]:
    """Read what another process writes; [] when it is not there yet."""
    with (
        contextlib.suppress(sqlite3.Error),
        contextlib.closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database,
    ):
        return database.execute(query).fetchall()
    return []


# ---- the faults ----


def none(rig: Rig) -> None:
    """Nothing is wrong."""


def broker_ended(rig: Rig) -> None:
    """Broker SIGTERM, 3 s down: it has saved its sessions."""
    rig.broker.end(signal.SIGTERM)
    time.sleep(3.0)
    rig.broker.start()


def broker_killed(rig: Rig) -> None:
    """Broker SIGKILL, 3 s down: its sessions and queues are gone."""
    rig.broker.end(signal.SIGKILL)
    time.sleep(3.0)
    rig.broker.start()


def half_open(rig: Rig) -> None:
    """Publishers' connections half-open for 8 s: the network swallows every byte."""
    rig.relay.swallow()
    time.sleep(8.0)
    rig.relay.pass_on()


def publisher_killed_online(rig: Rig) -> None:
    """Publisher SIGKILL while online, three times."""
    for _ in range(3):
        rig.kill("telemetry", "publish")
        rig.start("telemetry", "publish")
        time.sleep(2.0)


def publisher_killed_offline(rig: Rig) -> None:
    """Network down, publisher SIGKILL 3 s later, network back 1 s after that."""
    rig.relay.cut()
    time.sleep(3.0)
    rig.kill("telemetry", "publish")
    rig.start("telemetry", "publish")
    time.sleep(1.0)
    rig.relay.mend()


def consumer_killed(rig: Rig) -> None:
    """Consumer SIGKILL, 4 s away."""
    rig.kill("bridge", "consume")
    time.sleep(4.0)
    rig.start("bridge", "consume")


def consumer_away_broker_killed(rig: Rig) -> None:
    """Consumer away, broker SIGKILL 3 s later, 3 s down; then the consumer returns."""
    rig.kill("bridge", "consume")
    time.sleep(3.0)
    broker_killed(rig)
    time.sleep(1.0)
    rig.start("bridge", "consume")


FAULTS: tuple[Callable[[Rig], None], ...] = (
    none,
    broker_ended,
    broker_killed,
    half_open,
    publisher_killed_online,
    publisher_killed_offline,
    consumer_killed,
    consumer_away_broker_killed,
)


# ---- the table ----


HEAD = "| fault | ours: lost | ours: double points | plain paho: lost | plain paho: double | messages each |\n" \
       "| --- | ---: | ---: | ---: | ---: | ---: |"  # fmt: skip


def line(fault: Callable[[Rig], None], ours: Count, plain: Count) -> str:
    """One row, Markdown."""
    what = (fault.__doc__ or "").rstrip(".")
    return f"| {what} | {ours.lost} | {ours.double} | {plain.lost} | {plain.double} | {ours.made} |"


def played(folder: Path, fault: Callable[[Rig], None], count: int, **choices: Any) -> tuple[Count, Count]:
    """One row in a folder of its own. choices: of Rig."""
    rig = Rig(folder, count, **choices)
    try:
        return rig.play(fault)
    finally:
        rig.close()


def main() -> None:
    """Every fault, as soon as it is known."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else NIGHTLY
    ack = sys.argv[2] if len(sys.argv) > 2 else "consumer"
    print(HEAD, flush=True)
    for fault in FAULTS:
        with tempfile.TemporaryDirectory() as folder:
            print(line(fault, *played(Path(folder) / fault.__name__, fault, count, ack=ack)), flush=True)


if __name__ == "__main__":
    main()
