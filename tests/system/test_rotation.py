"""Certificates renewed under load at a real Mosquitto: no message is lost and none stored twice, from the ring to the
database; what is wrong, expired or foreign is refused while the old connection goes on.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
from cryptography import x509

from controller.certs import FOLDER
from controller.cli import main
from controller.security import KeyFiles, SecurityError, load_context
from controller.telemetry import rotation
from controller.telemetry.access import AccessError, until_s
from controller.telemetry.link import Access
from controller.telemetry.rotation import Rotation
from controller.telemetry.wire import topic
from cython_core.realtime.ring import RingReader
from tests.controller.telemetry.makers import live
from tests.controller.telemetry.subscriber import Subscriber
from tests.controller.test_site import GOOD
from tests.need import tool
from tests.pki import Authority, Pair
from tests.system.brokers import HOST, Mosquitto
from tests.system.losses import NAMES, SETTLE_S, Rig
from tests.system.site import Site, now_ms

pytestmark = pytest.mark.system
HERE = Path(__file__).parents[2]
NAME = next(line.split()[1] for line in GOOD.splitlines() if line.startswith("name:"))
PATIENCE_S = 120.0
BURST = 20  # frames a turn while certificates change
STREAM = 50_000  # steps, 200 a second: far longer than a refusal and two renewals take
FRAME = 4  # steps: 50 frames a second
BOTH = {"telemetry": "site", "bridge": "bridge"}  # process -> its certificate


@dataclass
class House:
    """One site over files that are replaced while it runs, and a witness of what the broker hands on."""

    folder: Path
    broker: Mosquitto = field(init=False)

    def __post_init__(self) -> None:
        self.broker = Mosquitto(self.folder / "broker")
        self.ca, self.certificate, self.key = (self.folder / name for name in ("ca.pem", "house.pem", "house.key"))
        self.ca.write_bytes(self.broker.authority.file.read_bytes())
        self.install(self.broker.authority.issue("site-a", last_day=10))
        self.witness = Subscriber(self.broker.port, "v2g/site-a/#", self.broker.access("v2g-viewer").context)
        self.site = Site(self.folder, "site-a", self.load(), ack="broker", frames=0)
        files = [self.ca, self.key, self.certificate]
        self.rotation = Rotation(self.site.delivery.link, files, self.load)
        self.made = 0
        self.site.until(lambda: self.site.delivery.connected, "the first connection")

    def load(self) -> Access:
        files = KeyFiles(self.ca, self.certificate, self.key)
        try:
            return Access(HOST, self.broker.port, 5, context=load_context(files), until_s=until_s(files))
        except SecurityError as error:
            raise AccessError(str(error)) from None

    def install(self, pair: Pair) -> None:
        """As `v2g certs import` does: the key, then the certificate, each whole."""
        for new, place in ((pair.key, self.key), (pair.certificate, self.certificate)):
            (self.folder / "new").write_bytes(new.read_bytes())
            (self.folder / "new").replace(place)

    def work(self) -> None:
        """A burst of frames, and a turn of everything."""
        self.site.outbox.add([live(self.made + i, site="site-a") for i in range(BURST)], now_ms())
        self.made += BURST
        self.site.turn()
        self.rotation.turn(time.monotonic())

    def until(self, claim: Callable[[], bool], what: str, seconds: float = PATIENCE_S) -> None:
        deadline = time.monotonic() + seconds
        while not claim():
            assert time.monotonic() < deadline, what
            self.work()
            time.sleep(0.05)

    def close(self) -> None:
        self.rotation.stop()
        self.site.close()
        self.witness.close()
        self.broker.close()


def arrived(house: House) -> set[int]:
    return {json.loads(m.payload)["seq"] for m in list(house.witness.messages) if m.topic == topic("site-a", "live")}


def test_three_renewals_under_load_lose_no_message(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    house = House(tmp_path)
    for renewal in range(1, 4):
        house.install(house.broker.authority.issue("site-a", last_day=20 * renewal + 0.5))
        house.until(lambda: house.site.delivery.connection == renewal + 1, f"renewal {renewal}")  # noqa: B023  # at once
        assert house.site.delivery.counters()["certificate_days"] == 20 * renewal
        house.until(lambda: house.site.delivery.connected, "connected")
    for _ in range(10):
        house.work()
    house.site.until(lambda: house.site.waiting == 0, "everything taken")
    house.site.until(lambda: len(arrived(house)) >= house.made, "everything at the witness")
    assert len(arrived(house)) == house.made
    assert house.made > 500
    assert caplog.text.count("V2G-CERTIFICATE-RENEWED") == 3
    assert "V2G-MQTT-DOWN" not in caplog.text
    status = [bytes(m.payload) for m in house.witness.messages if m.topic == "v2g/site-a/status"]
    assert b"offline" not in status, "nobody who watches saw us gone"
    house.close()


def renewed_on_both_sides(rig: Rig) -> None:
    """A foreign certificate is refused, then two right ones are taken; the stream flows meanwhile."""
    steps = (("NOT-TAKEN", 1, Authority(rig.folder / "other", "another authority")),
             ("RENEWED", 1, rig.broker.authority), ("RENEWED", 2, rig.broker.authority))  # fmt: skip
    for word, times, authority in steps:
        for name in BOTH.values():
            rig.install(name, authority.issue(NAMES[name]))
        for part in BOTH:
            told = partial(said_so_often, rig, part, f"V2G-CERTIFICATE-{word}", times)
            rig.until(told, f"{part} says {word} {times} times", PATIENCE_S)
        ups = 1 + times * (word == "RENEWED")
        for part in BOTH:
            rig.until(partial(said_so_often, rig, part, "V2G-MQTT-UP", ups), f"{part} is connected", PATIENCE_S)
    assert rig.family.members["feed"].poll() is None, "the stream was over before the last renewal"


def said_so_often(rig: Rig, part: str, word: str, times: int) -> bool:
    return rig.said(part).count(word) >= times


def test_renewed_on_both_sides_nothing_is_lost_or_stored_twice(tmp_path: Path) -> None:
    """`v2g telemetry` and `v2g bridge` as processes; the database at the end has every step in exactly one point."""
    with closing(Rig(tmp_path / "rig", STREAM, frame=FRAME)) as rig:
        rig.start("bridge", "telemetry", "feed")
        rig.until(lambda: bool(rig.steps()), "the first is stored", PATIENCE_S)
        renewed_on_both_sides(rig)
        rig.kill("feed")
        rig.count = RingReader(rig.folder / "run" / "ring").head
        rig.until(lambda: rig.ours().lost == 0, "every step is stored", SETTLE_S, strict=False)
        ours = rig.ours()
    assert ours.made > 1000, "5 s of stream"
    assert (ours.lost, ours.double) == (0, 0)


def test_a_rehearsal_beside_a_running_telemetry(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Right: the broker accepts it. Signed by one whom only our own file knows: the broker's refusal is told."""
    house = House(tmp_path)
    ca = tmp_path / "ca.pem"
    tls = f"{{ca: {ca}, certificate: {house.certificate}, key: {house.key}}}"
    mqtt = f"telemetry:\n  mqtt:\n    host: {HOST}\n    port: {house.broker.port}\n    tls: {tls}\n"
    (tmp_path / "site.yaml").write_text(GOOD + mqtt)
    stranger = Authority(tmp_path / "other", "another authority")
    ca.write_bytes(house.broker.authority.file.read_bytes() + stranger.file.read_bytes())
    assert main(["certs", "request", str(tmp_path / "site.yaml")]) == 0
    request = x509.load_pem_x509_csr(Path(f"{house.key}.csr").read_bytes())
    for authority, code, said in (
        (house.broker.authority, 0, "accepts it"),
        (stranger, 3, "does not know who signed it"),
    ):
        (tmp_path / "signed.pem").write_bytes(authority.certify(request, NAME, -1, 9))
        capsys.readouterr()
        assert main(["certs", "rehearse", str(tmp_path / "site.yaml"), str(tmp_path / "signed.pem")]) == code
        assert said in capsys.readouterr().out
    assert (house.site.delivery.connected, house.site.delivery.connection) == (True, 1), "the one in use goes on"
    house.close()


def test_a_rehearsal_where_the_broker_wants_a_password_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As the connection in use: certificate, user and password."""
    passwords, broker = tmp_path / "passwords", Mosquitto(tmp_path / "broker")
    subprocess.run([tool("mosquitto_passwd"), "-b", "-c", str(passwords), "house", "right"], check=True)
    passwords.chmod(0o600)
    conf = broker.folder / "mosquitto.conf"
    conf.write_text(conf.read_text().replace("use_identity_as_username true\n", f"password_file {passwords}\n"))
    broker.close()
    broker.start()
    site, secret, tls = tmp_path / "site.yaml", tmp_path / "secret", f"ca: {broker.authority.file}"
    tls = f"{{{tls}, certificate: {tmp_path}/house.pem, key: {tmp_path}/house.key}}"
    own = f"{{host: {HOST}, port: {broker.port}, user: house, password_file: {secret}, tls: {tls}}}"
    site.write_text(f"{GOOD}telemetry:\n  mqtt: {own}\n")
    assert main(["certs", "request", str(site)]) == 0
    request = x509.load_pem_x509_csr((tmp_path / "house.key.csr").read_bytes())
    (tmp_path / "signed.pem").write_bytes(broker.authority.certify(request, NAME, -1, 9))
    for password, code, said in (("right", 0, "accepts it"), ("wrong", 3, "not authorized")):
        secret.write_text(password)
        capsys.readouterr()
        assert main(["certs", "rehearse", str(site), str(tmp_path / "signed.pem")]) == code
        assert said in capsys.readouterr().out
    broker.close()


def test_what_root_renews_the_service_can_read(capsys: pytest.CaptureFixture[str]) -> None:
    """The folder as systemd-tmpfiles makes it at installation, root with a strict umask, the service as its user."""
    if os.geteuid() != 0:
        pytest.skip("needs root: it acts as root, as the service and as a stranger")
    service, stranger = 61234, 61235
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:  # the test's own folder lets no other user in
        root = Path(name)
        root.chmod(0o755)
        (root / "etc").mkdir()
        (root / "etc/passwd").write_text(f"root:x:0:0::/root:/bin/sh\nv2g:x:{service}:{service}::/:/bin/false\n")
        (root / "etc/group").write_text(f"root:x:0:\nv2g:x:{service}:\n")
        made = [tool("systemd-tmpfiles"), "--create", f"--root={root}", str(HERE / "systemd/tmpfiles.conf")]
        subprocess.run(made, check=True, capture_output=True)
        folder, authority = root / FOLDER.lstrip("/"), Authority(root / "ca")
        tls = f"{{ca: {authority.file}, certificate: {folder}/house.pem, key: {folder}/house.key}}"
        site, signed = str(root / "site.yaml"), root / "signed.pem"
        Path(site).write_text(f"{GOOD}telemetry:\n  mqtt:\n    host: {HOST}\n    tls: {tls}\n")
        own = os.umask(0o077)
        for _renewal in range(2):
            assert main(["certs", "request", site]) == 0
            request = x509.load_pem_x509_csr((folder / "house.key.csr").read_bytes())
            signed.write_bytes(authority.certify(request, NAME, -1, 9))
            assert main(["certs", "import", site, str(signed)]) == 0
            for file in ("house.key", "house.pem"):
                assert [reads(folder / file, who) for who in (service, stranger)] == [True, False]
        os.umask(own)


def reads(file: Path, user: int) -> bool:
    """Whether that user can."""
    return not subprocess.run(["cat", file], user=user, group=user, extra_groups=[], capture_output=True).returncode


def expired(house: House) -> None:
    house.install(house.broker.authority.issue("site-a", first_day=-3, last_day=-1))


def foreign(house: House) -> None:
    house.install(Authority(house.folder / "other", "another authority").issue("site-a"))


def key_of_another(house: House) -> None:
    pair = house.broker.authority.issue("site-a")
    house.install(Pair(pair.certificate, house.broker.authority.issue("site-a").key))


def half_written(house: House) -> None:
    house.certificate.write_bytes(house.certificate.read_bytes()[:200])


# fmt: off
REFUSED = [
    # what comes into the folder  said
    (expired,                     "the broker refuses our certificate: expired"),
    (foreign,                     "the broker refuses our certificate: it does not know who signed it"),
    (key_of_another,              "is not the key of"),
    (half_written,                "holds no certificate in PEM"),
]
# fmt: on


@pytest.mark.parametrize(("spoil", "said"), REFUSED, ids=[c[0].__name__ for c in REFUSED])
def test_what_is_wrong_is_not_taken_and_the_connection_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, spoil: Callable[[House], None], said: str
) -> None:
    caplog.set_level("INFO")
    house = House(tmp_path)
    spoil(house)
    house.until(lambda: "V2G-CERTIFICATE-NOT-TAKEN" in caplog.text, "told")
    [line] = re.findall(r"V2G-CERTIFICATE-NOT-TAKEN (.+)", caplog.text)
    assert said in line
    assert line.endswith("the old ones stay")
    house.site.until(lambda: house.site.waiting == 0, "everything taken")
    assert house.site.delivery.connection == 1
    house.install(house.broker.authority.issue("site-a", last_day=5.5))
    house.until(lambda: house.site.delivery.connection == 2, "a right one afterwards")
    house.close()


def test_what_the_broker_learns_later_is_taken_then(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """We believe both authorities and show a certificate of the new one, of which the broker does not know yet."""
    monkeypatch.setattr(rotation, "AGAIN_S", 1.0)
    caplog.set_level("INFO")
    house = House(tmp_path)
    new = Authority(house.folder / "other", "another authority")
    both = house.ca.read_bytes() + new.file.read_bytes()
    house.ca.write_bytes(both)
    house.install(new.issue("site-a"))
    house.until(lambda: "it does not know who signed it; the old ones stay" in caplog.text, "told")
    house.broker.authority.file.write_bytes(both)
    house.broker.close()
    house.broker.start()
    house.until(lambda: "V2G-CERTIFICATE-RENEWED" in caplog.text, "taken without new files of ours")
    house.until(lambda: house.site.delivery.connected, "connected")
    house.close()


def test_while_the_broker_is_away_nothing_untried_takes_the_place_of_the_old(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A foreign one comes while nobody can judge it: the old one connects afterwards, and then a right one is taken."""
    caplog.set_level("INFO")
    house = House(tmp_path)
    house.broker.close()
    house.until(lambda: not house.site.delivery.connected, "the broker is gone")
    foreign(house)
    house.until(lambda: "nobody listens there; the old ones stay" in caplog.text, "told")
    house.broker.start()
    house.until(lambda: house.site.delivery.connection == 2, "with the old one")
    house.install(house.broker.authority.issue("site-a", last_day=5.5))
    house.until(lambda: house.site.delivery.connection == 3, "with the right one")
    house.close()
