"""A site's keys telemetry.mqtt -> Access: certificates and password read from their files, doubts logged.

Errors   AccessError with file:line of the key in the site file. The site owner must act.
"""

from __future__ import annotations

import logging
import ssl
from datetime import UTC, datetime
from pathlib import Path

from controller.security import (
    KeyFiles,
    SecurityError,
    certificates,
    concerns,
    find_credential,
    load_context,
    read_secret,
)
from controller.site import Site
from controller.sitedata import BridgeSite, MqttSite, TlsSite
from controller.sitemqtt import WHERE
from controller.telemetry.link import Access

log = logging.getLogger(__name__)


class AccessError(Exception):
    """A certificate, key or password cannot be used: the text says where and why. The site owner must act."""


def load_access(site: Site, mqtt: MqttSite, bridge: BridgeSite | None = None) -> Access:
    """As the site, or as the bridge with what it has of its own. Raises AccessError."""
    own = bridge or BridgeSite()
    try:
        files = key_files(mqtt.tls, own) if mqtt.tls else None
        context = make_context(files) if files else None
        user, password = login(mqtt, own)
        until = until_s(files)
    except SecurityError as error:
        groups = (f"{WHERE}.bridge" if bridge else WHERE, f"{WHERE}.tls", WHERE)
        place = site.where(*(f"{group}.{error.field}" for group in groups))
        raise AccessError(f"{place}: {error}") from None
    if password and context is None:
        log.warning("V2G-MQTT-PLAIN the password for %s goes over the network as it is: use telemetry.mqtt.tls",
                    mqtt.host)  # fmt: skip
    return Access(mqtt.host, mqtt.port, mqtt.keepalive_s, mqtt.protocol, user, password, context, until)


def login(mqtt: MqttSite, own: BridgeSite) -> tuple[str | None, str | None]:
    """User and password; None: without. Raises SecurityError."""
    user, password_file = (own.user, own.password_file) if own.user else (mqtt.user, mqtt.password_file)
    path = found("password_file", password_file)
    return user, read_secret("password_file", path) if path else None


def key_files(tls: TlsSite, own: BridgeSite) -> KeyFiles:
    """Where the certificates in force are. Raises SecurityError."""
    pair = (own.certificate, own.key) if own.certificate else (tls.certificate, tls.key)
    certificate, key = (found(field, name) for field, name in zip(("certificate", "key"), pair, strict=True))
    return KeyFiles(find_credential("ca", tls.ca), certificate, key)


def until_s(files: KeyFiles | None) -> float | None:
    """When our certificate ends, Unix time; None: we show none. Raises SecurityError."""
    if files is None or files.certificate is None:
        return None
    return certificates("certificate", files.certificate)[0].not_valid_after_utc.timestamp()


def make_context(files: KeyFiles) -> ssl.SSLContext:
    """The certificates in force. Raises SecurityError."""
    context = load_context(files)
    for line in concerns(files, datetime.now(UTC)):
        log.warning("%s", line)
    return context


def found(field: str, name: str | None) -> Path | None:
    """The file of a name that may be absent. Raises SecurityError."""
    return find_credential(field, name) if name else None
