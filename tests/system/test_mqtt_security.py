"""Who may do what at a real Mosquitto under TLS, judged by what arrives at a subscriber with the rights to see it.

A SUBACK or PUBACK proves nothing: Mosquitto grants a subscription that it then never serves, and over MQTT 3.1.1
acknowledges a message that it throws away.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from controller.security import KeyFiles, load_context
from controller.telemetry.broker import start_broker
from controller.telemetry.link import Access, Link
from controller.telemetry.wire import ack_topic, encode_ack
from tests.controller.telemetry.subscriber import Subscriber
from tests.controller.telemetry.test_mqtt import wait_for
from tests.need import tool
from tests.pki import Authority, Pair
from tests.system.brokers import HOST, Mosquitto
from tests.system.site import Site


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    broker = Mosquitto(tmp_path_factory.mktemp("broker") / "right")
    yield broker
    broker.close()


@pytest.fixture
def witness(broker: Mosquitto) -> Iterator[Subscriber]:
    """Has the right to see everything."""
    witness = Subscriber(broker.port, "v2g/#", broker.access("v2g-viewer").context)
    yield witness
    witness.close()


# ---- the connection is refused, counted and named ----


def with_pair(broker: Mosquitto, pair: Pair | None, ca: Path | None = None) -> Access:
    files = KeyFiles(ca or broker.authority.file, *((pair.certificate, pair.key) if pair else ()))
    return replace(broker.access("site-a"), context=load_context(files))


def we_believe_another(broker: Mosquitto, folder: Path) -> Access:
    return with_pair(broker, broker.authority.issue("site-a"), Authority(folder / "other", "another authority").file)


def no_certificate(broker: Mosquitto, folder: Path) -> Access:
    return with_pair(broker, None)


def signed_by_another(broker: Mosquitto, folder: Path) -> Access:
    return with_pair(broker, Authority(folder / "other", "another authority").issue("site-a"))


def expired(broker: Mosquitto, folder: Path) -> Access:
    return with_pair(broker, broker.authority.issue("site-a", first_day=-3, last_day=-1))


def not_yet_valid(broker: Mosquitto, folder: Path) -> Access:
    return with_pair(broker, broker.authority.issue("site-a", first_day=1, last_day=3))


def another_name_for_the_broker(broker: Mosquitto, folder: Path) -> Access:
    return replace(broker.access("site-a"), host="localhost")


# fmt: off
REFUSED = [
    # who we are                   said
    (we_believe_another,           "the broker's certificate is not acceptable: not signed by our ca"),
    (another_name_for_the_broker,  "the broker's certificate is not acceptable: it is for another host name"),
    (no_certificate,               "the broker wants a certificate, and we show none"),
    (signed_by_another,            "the broker refuses our certificate: it does not know who signed it"),
    (expired,                      "the broker refuses our certificate: expired"),
    (not_yet_valid,                "the broker refuses our certificate: not acceptable, or not yet valid"),
]
# fmt: on


@pytest.mark.parametrize(("who", "said"), REFUSED, ids=[c[0].__name__ for c in REFUSED])
def test_refused_counted_and_named(
    broker: Mosquitto, witness: Subscriber, tmp_path: Path, caplog: pytest.LogCaptureFixture,
    who: Callable[[Mosquitto, Path], Access], said: str,
) -> None:  # fmt: skip
    site = Site(tmp_path, "site-a", who(broker, tmp_path))
    site.until(lambda: site.delivery.counters()["refused"] >= 2, "two attempts")
    site.close()
    reasons = re.findall(r"V2G-MQTT-DOWN \S+: (.+); trying again", caplog.text)
    assert [reason for reason in reasons if not reason.startswith("hung up before")] == [said]  # once, not each time
    assert (site.delivery.counters()["connects"], site.waiting) == (0, 3)
    assert witness.topics() == []


# fmt: off
BROKERS = [
    # first, last day, host          said
    (-3,    -1,        HOST,         "the broker's certificate is not acceptable: expired (is our clock right?)"),
    (1,     3,         HOST,         "the broker's certificate is not acceptable: not yet valid (is our clock right?)"),
    (-1,    1,         "127.0.0.2",  "the broker's certificate is not acceptable: it is for another address"),
]
# fmt: on


@pytest.mark.parametrize(("first_day", "last_day", "host", "said"), BROKERS, ids=[c[-1][-40:] for c in BROKERS])
def test_a_broker_with_a_wrong_certificate(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, first_day: float, last_day: float, host: str, said: str
) -> None:
    authority = Authority(tmp_path / "ca")
    broker = Mosquitto(tmp_path / "broker", authority.issue("broker", host, first_day, last_day))
    site = Site(tmp_path, "site-a", replace(broker.access("site-a"), context=load_context(KeyFiles(authority.file))))
    site.until(lambda: site.delivery.counters()["refused"] >= 1, "an attempt")
    site.close()
    broker.close()
    assert f"{said}; trying again" in caplog.text
    assert (site.delivery.counters()["connects"], site.waiting) == (0, 3)


def test_tls_to_a_port_without_it_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    plain = start_broker(tmp_path / "broker", kind="mosquitto")
    context = load_context(KeyFiles(Authority(tmp_path / "ca").file))
    site = Site(tmp_path, "site-a", Access(HOST, plain.port, context=context))
    wait_for(lambda: "hung up before an answer: TLS on one side only?" in caplog.text, "the line")
    site.close()
    plain.stop()
    assert (site.delivery.counters()["connects"], site.waiting) == (0, 3)


def test_no_tls_to_a_port_with_it_is_named(broker: Mosquitto, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    site = Site(tmp_path, "site-a", Access(HOST, broker.port))
    wait_for(lambda: "hung up before an answer: TLS on one side only?" in caplog.text, "the line")
    site.close()
    assert (site.delivery.counters()["connects"], site.waiting) == (0, 3)


def test_user_and_password(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A house's broker without certificates for its clients."""
    passwords = tmp_path / "passwords"
    subprocess.run([tool("mosquitto_passwd"), "-b", "-c", str(passwords), "site-a", "right"], check=True)
    passwords.chmod(0o600)
    broker = Mosquitto(tmp_path / "broker")
    conf = broker.folder / "mosquitto.conf"
    text = conf.read_text().replace("require_certificate true\nuse_identity_as_username true\n",
                                    f"password_file {passwords}\n")  # fmt: skip
    conf.write_text(text)
    broker.close()
    broker.start()
    access = Access(HOST, broker.port, user="site-a", context=load_context(KeyFiles(broker.authority.file)))
    wrong = Site(tmp_path, "site-a", replace(access, password="guessed"))
    wrong.until(lambda: wrong.delivery.counters()["refused"] >= 1, "an attempt")
    wrong.close()
    assert "not authorized: user, password or certificate gives no right to connect; trying again" in caplog.text
    assert "guessed" not in caplog.text
    right = Site(tmp_path, "site-a", replace(access, password="right"), ack="broker")
    right.until(lambda: right.waiting == 0, "the broker's receipts")
    right.close()
    broker.close()


# ---- rights of who is let in ----


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
def test_frames_on_another_sites_topic_do_not_arrive(
    broker: Mosquitto, witness: Subscriber, tmp_path: Path, caplog: pytest.LogCaptureFixture, protocol: str
) -> None:
    foreign = Site(tmp_path, "site-b", broker.access("site-a", protocol=protocol))
    foreign.until(lambda: foreign.pump.sent == 3, "three frames sent as site-b")
    own = Site(tmp_path, "site-c", broker.access("site-c", protocol=protocol))  # afterwards: the witness is awake
    own.until(lambda: witness.topics().count("v2g/site-c/tele/live") >= 3, "those of site-c, which may")
    if protocol == "5":
        foreign.until(lambda: foreign.delivery.counters()["undelivered"] == 3, "three refusals")
        assert "V2G-MQTT-UNDELIVERED v2g/site-b/tele/live: Not authorized; rows stay in the outbox" in caplog.text
    foreign.close()
    own.close()
    assert {topic.split("/")[1] for topic in witness.topics()} == {"site-c"}
    assert (foreign.waiting, own.waiting) == (3, 3)  # nobody has stored any


def test_a_message_that_could_fill_a_bridges_memory_does_not_arrive(broker: Mosquitto, witness: Subscriber) -> None:
    """One site could end the bridge of all: a client takes 256 MB, and the broker would send it again."""
    hostile, own = Link("hostile", broker.access("site-a"), []), Link("own", broker.access("site-b"), [])
    for link in (hostile, own):
        link.start()
    wait_for(lambda: hostile.connected and own.connected, "both connected")
    hostile.publish("v2g/site-a/event", b"x" * 1_000_000)
    wait_for(lambda: bool(hostile.why), "the broker hangs up")
    own.publish("v2g/site-b/event", b"x" * 65_536)  # the longest that a bridge looks at
    wait_for(lambda: "v2g/site-b/event" in witness.topics(), "what is long and allowed")
    hostile.stop()
    own.stop()
    assert "v2g/site-a/event" not in witness.topics()


def test_acknowledgements_of_another_than_the_bridge_do_not_arrive(broker: Mosquitto, tmp_path: Path) -> None:
    site = Site(tmp_path, "site-a", broker.access("site-a"))
    forger, bridge = Link("forger", broker.access("site-b"), []), Link("a bridge", broker.access("v2g-bridge"), [])
    for link in (forger, bridge):
        link.start()
    site.until(lambda: site.pump.sent == 3 and forger.connected and bridge.connected, "all connected")
    forger.publish(ack_topic("site-a"), encode_ack(site.outbox.id, [1, 2, 3]))
    wait_for(lambda: not forger.unanswered, "the broker has read it")
    bridge.publish(ack_topic("site-a"), encode_ack(site.outbox.id, [2]))
    site.until(lambda: site.waiting == 2, "the bridge's word for one")
    assert [row.seq for row in site.outbox.next_batch(5)] == [3, 1]
    for closing in (site, forger, bridge):
        closing.close() if isinstance(closing, Site) else closing.stop()


def test_what_another_site_is_told_is_not_heard(broker: Mosquitto, tmp_path: Path) -> None:
    spy = Subscriber(broker.port, "v2g/#", broker.access("site-b").context)
    bridge = Link("a bridge", broker.access("v2g-bridge"), [])
    bridge.start()
    wait_for(lambda: bridge.connected, "the bridge")
    for name in ("site-a", "site-b"):
        bridge.publish(ack_topic(name), encode_ack("ab", [1]))
    wait_for(lambda: bool(spy.messages), "its own")
    bridge.stop()
    spy.close()
    assert spy.topics() == ["v2g/site-b/ack"]


# ---- delivered to the broker ----


def test_taken_for_nobody_is_not_delivered(broker: Mosquitto, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """MQTT 5 reason 0x10; paho counts it as success."""
    site = Site(tmp_path, "site-d", broker.access("site-d", protocol="5"), ack="broker")
    site.until(lambda: site.delivery.counters()["undelivered"] == 3, "three receipts that say nobody")
    assert site.waiting == 3
    assert site.delivery.counters()["degraded"] == 1
    assert caplog.text.count("V2G-MQTT-UNDELIVERED v2g/site-d/tele/live: No matching subscribers; rows stay") == 1
    witness = Subscriber(broker.port, "v2g/+/tele/#", broker.access("v2g-viewer").context)
    site.until(lambda: site.waiting == 0, "sent again, now that somebody listens")
    site.close()
    witness.close()
    assert sorted(witness.topics()) == ["v2g/site-d/tele/live"] * 3
    assert "V2G-MQTT-UNDELIVERED v2g/site-d/tele/live: delivered again" in caplog.text
    assert site.delivery.counters()["degraded"] == 0


def test_over_3_1_1_it_is_said_what_cannot_be_seen(
    broker: Mosquitto, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    site = Site(tmp_path, "site-e", broker.access("site-e"), ack="broker")
    site.until(lambda: site.waiting == 0, "receipts, though nobody listens")
    site.close()
    assert caplog.text.count("V2G-MQTT-BLIND") == 1
