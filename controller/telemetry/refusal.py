"""Why a broker cannot be reached or will not have us, in plain words. Pure.

Sources  MQTT 3.1.1 table 3.1 and MQTT 5.0 section 3.2.2.2 (paho gives both as the codes of 5.0); TLS alerts: RFC 8446
         section 6, by OpenSSL's names. With TLS 1.3 a server refuses our certificate only after the handshake: the
         alert comes with the first read, unless our first write has failed before.
"""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Refusal:
    """refused: somebody said no to us, or we to him. vague: the connection ended, and nobody said why."""

    text: str
    refused: bool = False
    vague: bool = False


HUNG_UP = "hung up before an answer: TLS on one side only? The broker's log says why"

CODES = {
    0x84: "the broker does not speak this version of MQTT: change telemetry.mqtt.protocol",
    0x85: "the broker does not accept our client identifier",
    0x86: "wrong user or password",
    0x87: "not authorized: user, password or certificate gives no right to connect",
    0x88: "the broker says that it is not available",
    0x89: "the broker says that it is busy",
    0x8A: "the broker has banned us",
    0x8E: "another client has come with our identifier: is the same site running twice?",
    0x97: "the broker says that a quota is exceeded",
}

THEIRS = "the broker refuses our certificate: "
ALERTS = {  # OpenSSL's `reason`
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "the broker wants a certificate, and we show none",
    "TLSV1_ALERT_UNKNOWN_CA": THEIRS + "it does not know who signed it",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": THEIRS + "expired",
    "SSLV3_ALERT_CERTIFICATE_REVOKED": THEIRS + "revoked",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": THEIRS + "not acceptable",
    "SSLV3_ALERT_BAD_CERTIFICATE": THEIRS + "not acceptable, or not yet valid",
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": THEIRS + "not for this use",
    "TLSV1_ALERT_ACCESS_DENIED": THEIRS + "no access with it",
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "the broker ends the TLS handshake: no common cipher, or it wants a certificate",
    "TLSV1_ALERT_PROTOCOL_VERSION": "the broker speaks no TLS version of ours (1.2 or newer)",
    "UNSUPPORTED_PROTOCOL": "the broker speaks no TLS version of ours (1.2 or newer)",
    "WRONG_VERSION_NUMBER": "the broker does not speak TLS on this port",
}

OURS = "the broker's certificate is not acceptable: "
VERIFICATIONS = {  # X509_V_ERR_* of OpenSSL's x509_vfy.h
    9: OURS + "not yet valid (is our clock right?)",
    10: OURS + "expired (is our clock right?)",
    18: OURS + "signed by itself, and not in our ca",
    19: OURS + "not signed by our ca",
    20: OURS + "not signed by our ca",
    21: OURS + "not signed by our ca",
    62: OURS + "it is for another host name",
    64: OURS + "it is for another address",
}


def of_code(code: int, name: str) -> Refusal:
    """A reason code of CONNACK or DISCONNECT; name: what the library calls it."""
    return Refusal(CODES.get(code, f"the broker says: {name}"), True)


def of_error(error: BaseException | None, host: str, was_connected: bool = False) -> Refusal:
    """What went wrong below MQTT; None: the connection ended without a word."""
    match error:
        case ssl.SSLEOFError() | ConnectionResetError() | BrokenPipeError() | None:
            return Refusal("the connection was closed" if was_connected else HUNG_UP, vague=True)
        case ssl.SSLCertVerificationError():
            return Refusal(VERIFICATIONS.get(error.verify_code, f"{OURS}{error.verify_message}"), True)
        case ssl.SSLError():
            return Refusal(ALERTS.get(error.reason or "", f"TLS: {error.reason or error}"), True)
        case socket.gaierror():
            return Refusal(f"the name {host} is not known")
        case ConnectionRefusedError():
            return Refusal("nobody listens there")
        case TimeoutError():
            return Refusal("no answer")
        case PermissionError():
            return Refusal("not permitted by a firewall of this machine, or of the service: `sudo v2g doctor --system`")
    return Refusal(str(getattr(error, "strerror", None) or error))
