"""What the keys of telemetry.mqtt must be together.

Errors   none raised: mqtt_faults returns what contradicts, the caller puts it at its line.
"""

from __future__ import annotations

from collections.abc import Iterator

from controller.sitedata import BridgeSite, MqttSite, TlsSite

TLS_PORT = 8883  # registered with IANA for MQTT over TLS
WHERE = "telemetry.mqtt"
PAIRS = (("certificate", "key"), ("user", "password_file"))


def mqtt_faults(mqtt: MqttSite) -> Iterator[tuple[str, ...]]:
    """(message, keys): what one key asks of another."""
    groups: tuple[tuple[str, MqttSite | TlsSite | BridgeSite | None], ...] = (
        (WHERE, mqtt),
        (f"{WHERE}.tls", mqtt.tls),
        (f"{WHERE}.bridge", mqtt.bridge),
    )
    for where, group in groups:
        yield from halves(where, group)
    if mqtt.bridge is not None and mqtt.bridge.certificate is not None and mqtt.tls is None:
        yield "certificate of the bridge needs telemetry.mqtt.tls", f"{WHERE}.bridge.certificate"


def halves(where: str, group: MqttSite | TlsSite | BridgeSite | None) -> Iterator[tuple[str, ...]]:
    """Of a pair both are given, or neither."""
    for pair in PAIRS:
        given = [name for name in pair if getattr(group, name, None) is not None]
        if len(given) == 1:
            (other,) = set(pair) - set(given)
            yield f"{where}: {given[0]} is given without {other}", f"{where}.{given[0]}"
