"""Certificates of a site: asked for, checked and put in place; a wrong one takes no right one's place.

Files    beside the site's key: KEY.new and KEY.csr until the signed certificate is there; KEY.old and CERTIFICATE.old
         are those before.
Rights   who may read the key in use may read the next one. The first one: its owner, and the group of a folder that
         hands on its own (setgid), as /etc/v2g/tls does.
Interval loss that grows with the time a stolen key is in use: cost a year = C / T + rate * loss * T / 2, least at
         T = sqrt(2 C / (rate * loss)).
Errors   SecurityError: which file, what is wrong. The site owner must act.
"""

from __future__ import annotations

import math
import os
import shutil
import stat
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from controller.security import KeyFiles, SecurityError, certificates, readable, stamp
from controller.wholefile import write_whole

FOLDER = "/etc/v2g/tls"  # made at installation: its files are root's, and the services' group may read them
DAYS_A_YEAR = 365.25


@dataclass(frozen=True, slots=True)
class Places:
    """Where a site's certificate and key are, and where their successors grow."""

    ca: Path
    certificate: Path
    key: Path

    @property
    def new_key(self) -> Path:
        return self.key.with_name(f"{self.key.name}.new")

    @property
    def request(self) -> Path:
        return self.key.with_name(f"{self.key.name}.csr")

    def with_new(self, certificate: Path) -> KeyFiles:
        """The new pair, before it is in place."""
        return KeyFiles(self.ca, certificate, self.new_key)


def write_request(places: Places, name: str) -> None:
    """A new P-256 key, and what the authority is to sign."""
    if places.new_key.exists():
        raise SecurityError(
            "key", f"{places.new_key} is there already: import its certificate, or remove it to begin anew"
        )
    key = ec.generate_private_key(ec.SECP256R1())
    file = os.open(places.new_key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(file, "wb") as out:
        hand_on_rights(file, places.key)
        out.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        out.flush()
        os.fsync(file)  # its certificate may be days away
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    write_whole(places.request, request.public_bytes(Encoding.PEM).decode())


def hand_on_rights(file: int, key: Path) -> None:
    """To the file of a new key. Raises OSError: the key in use is another's, and we are not root."""
    if key.exists():
        before = key.stat()
        os.fchown(file, before.st_uid, before.st_gid)
        os.fchmod(file, before.st_mode & 0o644)  # open to everybody: V2G-KEY-OPEN says so
    elif key.parent.stat().st_mode & stat.S_ISGID:
        os.fchmod(file, 0o640)


def check_new(places: Places, file: Path, name: str, now: datetime) -> x509.Certificate:
    """The certificate in `file` fits the new key, the authority, the name and the time. Raises SecurityError."""
    own, *between = certificates("certificate", file)
    try:
        key = load_pem_private_key(readable("key", places.new_key), None)
    except (ValueError, TypeError):  # TypeError: it has a passphrase
        raise SecurityError("key", f"{places.new_key} holds no private key: remove it and request anew") from None
    if der(key.public_key()) != der(own.public_key()):
        raise SecurityError("certificate", f"{file} is not of the key in {places.new_key}: its request was another")
    check_chain(file, [own, *between], certificates("ca", places.ca))
    if not own.not_valid_before_utc <= now <= own.not_valid_after_utc:
        span = f"{stamp(own.not_valid_before_utc)} ... {stamp(own.not_valid_after_utc)}"
        raise SecurityError("certificate", f"{file} is valid {span}; it is {stamp(now)}")
    if common_name(own) != name:
        raise SecurityError("certificate", f"{file} is for {common_name(own) or 'nobody'}, not for {name}")
    return own


def common_name(one: x509.Certificate) -> str:
    """Whom it is for; empty: nobody."""
    return ", ".join(str(a.value) for a in one.subject.get_attributes_for_oid(NameOID.COMMON_NAME))


def check_chain(file: Path, chain: list[x509.Certificate], roots: list[x509.Certificate]) -> None:
    """Each is signed by the next, the last by one of the site's ca. Raises SecurityError."""
    for one, above in zip(chain, [*chain[1:], None], strict=True):
        if any(signs(root, one) for root in roots):
            return
        if above is None or not signs(above, one):
            raise SecurityError("certificate", f"{file}: {one.subject.rfc4514_string()} is not signed by the site's ca")


def signs(above: x509.Certificate, one: x509.Certificate) -> bool:
    try:
        one.verify_directly_issued_by(above)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def der(key: object) -> bytes:
    found: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined]  # any
    return found


def put_in_place(places: Places, file: Path) -> None:
    """Key, then certificate, which is no secret, each whole; the running process takes them when both are there.

    Nothing changes before all that can fail is done.
    """
    new = places.certificate.with_name(f"{places.certificate.name}.new")
    with new.open("wb") as out:
        out.write(file.read_bytes())
        out.flush()
        os.fsync(out.fileno())
    new.chmod(0o644)
    for path in (places.key, places.certificate):
        if path.exists():
            shutil.copy2(path, path.with_name(f"{path.name}.old"))
    places.new_key.replace(places.key)
    new.replace(places.certificate)
    places.request.unlink(missing_ok=True)


def best_interval_days(cost: float, loss_a_year: float, thefts_a_year: float) -> float:
    """cost of one rotation; loss of a year of use by a thief; thefts of a key a year."""
    return math.sqrt(2.0 * cost / (thefts_a_year * loss_a_year)) * DAYS_A_YEAR


def yearly_cost(interval_days: float, cost: float, loss_a_year: float, thefts_a_year: float) -> float:
    """Rotations, and what thieves cost until the next one."""
    years = interval_days / DAYS_A_YEAR
    return cost / years + thefts_a_year * loss_a_year * years / 2.0
