"""Pauses between attempts, and why there is no connection, in plain words. Sockets and TLS: tests/system."""

from __future__ import annotations

import socket
import ssl
import threading
import time

import pytest

from controller.telemetry.link import FIRST_S, LAST_S, MAX_UNANSWERED, Access, Backoff, Link
from controller.telemetry.refusal import HUNG_UP, Refusal, of_code, of_error


def test_pauses_grow_to_a_minute_and_no_two_clients_return_together() -> None:
    fleet = [Backoff() for _ in range(200)]
    rounds = [[one.next_s() for one in fleet] for _ in range(40)]
    for n, pauses in enumerate(rounds):
        longest = min(2.0 * 2.0**n, LAST_S)
        assert all(FIRST_S <= pause_s <= longest for pause_s in pauses)
        assert max(pauses) - min(pauses) > 0.8 * (longest - FIRST_S)  # spread over all of it


def test_pauses_begin_anew_after_a_connection_that_lasted() -> None:
    backoff = Backoff()
    for _ in range(20):
        backoff.next_s()
    backoff.reset()
    assert backoff.next_s() <= 2.0


def test_what_waits_in_memory_is_bounded_and_the_rest_is_not_taken() -> None:
    link = Link("nobody", Access("127.0.0.1", 1), [])  # never started
    taken = [link.publish("v2g/home/tele/live", b"{}") for _ in range(MAX_UNANSWERED + 2)]
    assert taken[-2:] == [None, None]
    assert len(set(taken)) == MAX_UNANSWERED + 1
    assert link.unanswered == MAX_UNANSWERED


def alert(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, f"[SSL: {reason}]")
    error.reason = reason
    return error


FIREWALL = "not permitted by a firewall of this machine, or of the service: `sudo v2g doctor --system`"
# fmt: off
ERRORS = [
    # error                                        said                                            refused  vague
    (alert("TLSV13_ALERT_CERTIFICATE_REQUIRED"),   "the broker wants a certificate, and we show none", True, False),
    (alert("SSLV3_ALERT_CERTIFICATE_EXPIRED"),     "the broker refuses our certificate: expired",   True,    False),
    (alert("SOMETHING_NEW"),                       "TLS: SOMETHING_NEW",                            True,    False),
    (socket.gaierror(-2, "Name not known"),        "the name broker.example is not known",          False,   False),
    (ConnectionRefusedError(111, "refused"),       "nobody listens there",                          False,   False),
    (TimeoutError("timed out"),                    "no answer",                                     False,   False),
    (PermissionError(1, "Operation not permitted"), FIREWALL,                                      False,   False),
    (OSError(101, "Network is unreachable"),       "Network is unreachable",                        False,   False),
    (ConnectionResetError(104, "reset"),           HUNG_UP, False, True),
    (None,                                         HUNG_UP, False, True),
]
# fmt: on


@pytest.mark.parametrize(("error", "said", "refused", "vague"), ERRORS, ids=[c[1] + str(c[0])[:4] for c in ERRORS])
def test_an_error_in_plain_words(error: OSError | None, said: str, refused: bool, vague: bool) -> None:
    assert of_error(error, "broker.example") == Refusal(said, refused, vague)


def test_a_connection_that_stood_and_ended() -> None:
    assert of_error(None, "broker.example", was_connected=True).text == "the connection was closed"


# fmt: off
CODES = [
    # MQTT 5.0 section 3.2.2.2   begins with
    (0x84,                       "the broker does not speak this version of MQTT: change telemetry.mqtt.protocol"),
    (0x86,                       "wrong user or password"),
    (0x87,                       "not authorized: user, password or certificate gives no right to connect"),
    (0x9F,                       "the broker says: Connection rate exceeded"),
]
# fmt: on


@pytest.mark.parametrize(("code", "said"), CODES, ids=[c[-1][:40] for c in CODES])
def test_a_code_in_plain_words(code: int, said: str) -> None:
    assert of_code(code, "Connection rate exceeded") == Refusal(said, refused=True)


class Double:
    """A broker that answers a subscription with this code and then sends these bytes: MQTT 3.1.1, 3.2, 3.3 and 3.9."""

    def __init__(self, code: int, then: bytes = b"") -> None:
        self.code, self.then, self.server = code, then, socket.create_server(("127.0.0.1", 0))
        self.port = int(self.server.getsockname()[1])
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self) -> None:
        connection, _ = self.server.accept()
        with connection, connection.makefile("rb") as packets:
            while head := packets.read(2):
                body = packets.read(head[1])  # ours are short: one byte of length
                if head[0] >> 4 == 1:
                    connection.sendall(b"\x20\x02\x00\x00")
                elif head[0] >> 4 == 8:
                    connection.sendall(b"\x90\x03" + body[:2] + bytes([self.code]) + self.then)

    def close(self) -> None:
        self.thread.join(10.0)
        self.server.close()


@pytest.mark.parametrize(("code", "deaf"), [(0x80, True), (0x01, False)], ids=["refused", "granted"])
def test_a_subscription_that_a_double_refuses_is_said(code: int, deaf: bool, caplog: pytest.LogCaptureFixture) -> None:
    broker = Double(code)
    link = Link("home", Access("127.0.0.1", broker.port), ["v2g/home/ack"])
    link.start()
    deadline = time.monotonic() + 10.0
    while link._asked or not link.connected:
        assert time.monotonic() < deadline, "no answer to the subscription"
        time.sleep(0.01)
    link.stop()
    broker.close()
    said = f"V2G-MQTT-DEAF 127.0.0.1:{broker.port}: the broker does not let us hear v2g/home/ack: Unspecified error"
    assert [line for line in caplog.messages if "DEAF" in line] == ([said] if deaf else [])


def test_a_topic_that_is_no_text_ends_no_connection() -> None:
    """nats-server hands one on as it came; whoever may publish would else silence whoever listens, without a word."""
    bad, good = (
        b"\x30" + bytes([len(topic) + 4, 0, len(topic)]) + topic + b"{}" for topic in (b"v2g/\xff/cmd", b"good")
    )
    broker = Double(1, bad + good)
    link = Link("home", Access("127.0.0.1", broker.port), ["v2g/+/cmd"])
    link.start()
    messages = [link.received.get(timeout=10.0) for _ in range(2)]
    link.stop()
    broker.close()
    assert [message.topic for message in messages] == ["v2g/\\xff/cmd", "good"]
