"""Certificates for tests: an authority of its own, and what it signs, as PEM files."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key, as files."""

    certificate: Path
    key: Path


@dataclass
class Authority:
    """Signs. `file` is its own certificate."""

    folder: Path
    name: str = "test authority"
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.file = self.folder / f"{self.name.replace(' ', '-')}.pem"
        self.file.write_bytes(pem_of(self._signed(self.name, self.key.public_key(), -1, 100, ca=True)))

    def issue(self, name: str, host: str = "", first_day: float = -1, last_day: float = 1) -> Pair:
        """Valid from now + first_day to now + last_day. host: whom it names as a server."""
        key = ec.generate_private_key(ec.SECP256R1())
        stem = f"{name}-{len(list(self.folder.iterdir()))}"  # a name may have several, each in files of its own
        pair = Pair(self.folder / f"{stem}.pem", self.folder / f"{stem}.key")
        pair.certificate.write_bytes(pem_of(self._signed(name, key.public_key(), first_day, last_day, host=host)))
        pair.key.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                               serialization.NoEncryption()))  # fmt: skip
        pair.key.chmod(0o600)
        return pair

    def certify(self, request: x509.CertificateSigningRequest, name: str, first_day: float, last_day: float) -> bytes:
        """A certificate for a request, in PEM."""
        key = request.public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        return pem_of(self._signed(name, key, first_day, last_day))

    def _signed(self, name: str, key: ec.EllipticCurvePublicKey, first_day: float, last_day: float,
                host: str = "", ca: bool = False) -> x509.Certificate:  # fmt: skip
        now = datetime.now(UTC).replace(microsecond=0)
        builder = (
            x509.CertificateBuilder()
            .subject_name(name_of(name))
            .issuer_name(name_of(self.name))
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + first_day * DAY)
            .not_valid_after(now + last_day * DAY)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if host:
            builder = builder.add_extension(x509.SubjectAlternativeName([alternative(host)]), critical=False)
        return builder.sign(self.key, hashes.SHA256())


def name_of(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def pem_of(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
