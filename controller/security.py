"""Keys and certificates: files -> a TLS context that checks the other side and shows who we are; and one signature.

Files    PEM. A name without a folder is looked for in $CREDENTIALS_DIRECTORY, where systemd's LoadCredential= puts it.
Errors   SecurityError, one line: which file, what is wrong, what is wanted. The site owner must act.
Dates    never an error here: a board without a battery-backed clock boots in 1970, and the other side judges anyway.
         concerns() names them, and a key that everybody on the machine can read.
"""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from controller.errors import InputError

CREDENTIALS = "CREDENTIALS_DIRECTORY"  # systemd.exec(5)
# OpenSSL's words for it: another key; one of another kind, of which the context has no certificate
MISMATCH = ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED")
WEAK = re.compile(r"_TOO_(SMALL|WEAK)$")  # what security level 2 does not let through


class SecurityError(InputError):
    """A key, certificate or password file is absent or wrong. field: ca | certificate | key | password_file."""

    def __init__(self, field: str, text: str) -> None:
        super().__init__(text)
        self.field = field


@dataclass(frozen=True, slots=True)
class KeyFiles:
    """Whose signature we accept, and who we are: certificate and key both, or neither."""

    ca: Path
    certificate: Path | None = None
    key: Path | None = None


def verify(public: bytes, signature: bytes, message: bytes) -> bool:
    """Ed25519, RFC 8032: whether this is the key's signature of the message. 32 and 64 bytes."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except InvalidSignature:
        return False
    return True


def find_credential(field: str, name: str) -> Path:
    """The file of a path or of a credential's name. Raises SecurityError."""
    if name.startswith("/"):
        return Path(name)
    folder = os.environ.get(CREDENTIALS)
    if not folder:
        raise SecurityError(
            field,
            f"{field} = {name} is a name in ${CREDENTIALS}, which is not set: write LoadCredential={name}:/path in the "
            "systemd unit, or a path from the root (/...) here",
        )
    return Path(folder) / name


def read_secret(field: str, path: Path) -> str:
    """One line of text, without the line's end and a byte order mark. Raises SecurityError, which never quotes it."""
    try:
        text = readable(field, path).decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError:
        raise SecurityError(field, f"{field} = {path} is not UTF-8 text") from None
    if not text or "\n" in text:
        raise SecurityError(field, f"{field} = {path} does not hold one line, the password alone")
    return text


def load_context(files: KeyFiles) -> ssl.SSLContext:
    """TLS 1.2 or newer, host name and chain checked against `ca` alone. Raises SecurityError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # checks host name and chain
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    readable("ca", files.ca)
    try:
        context.load_verify_locations(files.ca)
    except ssl.SSLError:
        raise SecurityError("ca", f"ca = {files.ca} holds no certificate in PEM") from None
    if files.certificate and files.key:
        load_pair(context, files.certificate, files.key)
    return context


def load_pair(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    """Our certificate (with what signs it, if more than one is in the file) and its key. Raises SecurityError."""
    certificates("certificate", certificate)
    readable("key", key)

    def no_passphrase() -> str:
        raise SecurityError("key", f"key = {key} has a passphrase, and there is nobody to ask: store it without one")

    try:
        context.load_cert_chain(certificate, key, no_passphrase)
    except ssl.SSLError as error:
        reason = error.reason or ""
        if WEAK.search(reason):
            told = f"is too weak for OpenSSL ({reason}): use a P-256 key, as of `v2g certs request`"
            raise SecurityError("certificate", f"certificate = {certificate} {told}") from None
        wrong = f"is not the key of {certificate}" if reason in MISMATCH else "holds no private key in PEM"
        raise SecurityError("key", f"key = {key} {wrong}") from None


def concerns(files: KeyFiles, now: datetime) -> Iterator[str]:
    """What does not keep us from trying, a log line each. now: aware."""
    for field, path in (("ca", files.ca), ("certificate", files.certificate)):
        for one in certificates(field, path) if path else ():
            told = f"{field} = {path} ({one.subject.rfc4514_string()})"
            if now > one.not_valid_after_utc:
                yield f"V2G-CERTIFICATE-DATE {told} expired on {stamp(one.not_valid_after_utc)}"
            elif (
                field == "certificate"
                and now > one.not_valid_after_utc - (one.not_valid_after_utc - one.not_valid_before_utc) / 3
            ):
                yield f"V2G-CERTIFICATE-SOON {told} ends on {stamp(one.not_valid_after_utc)}: `v2g certs request`"
            elif now < one.not_valid_before_utc:
                yield f"V2G-CERTIFICATE-DATE {told} is not valid before {stamp(one.not_valid_before_utc)}; the clock " \
                    f"says {stamp(now)}"  # fmt: skip
    if files.key and files.key.stat().st_mode & 0o004:
        yield f"V2G-KEY-OPEN key = {files.key} can be read by everybody on this machine: chmod o-r {files.key}"


def certificates(field: str, path: Path) -> list[x509.Certificate]:
    """All of a PEM file. Raises SecurityError."""
    try:
        return x509.load_pem_x509_certificates(readable(field, path))
    except ValueError:
        raise SecurityError(field, f"{field} = {path} holds no certificate in PEM") from None


def readable(field: str, path: Path) -> bytes:
    """What is in the file. Raises SecurityError."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise SecurityError(field, f"{field} = {path} cannot be read: {error.strerror}") from None


def stamp(when: datetime) -> str:
    """UTC, to the second."""
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")
