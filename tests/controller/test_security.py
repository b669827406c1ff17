"""Keys and certificates: what a right set becomes, every wrong file by its name, dates named and not refused."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from controller.security import KeyFiles, SecurityError, concerns, find_credential, load_context, read_secret
from tests.pki import DAY, Authority, name_of, pem_of


def files_of(folder: Path, first_day: float = -1, last_day: float = 1) -> KeyFiles:
    authority = Authority(folder)
    pair = authority.issue("house", first_day=first_day, last_day=last_day)
    return KeyFiles(authority.file, pair.certificate, pair.key)


def test_a_right_set_checks_the_other_side(tmp_path: Path) -> None:
    context = load_context(files_of(tmp_path))
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert len(context.get_ca_certs()) == 1  # ours alone: no other authority of this machine is believed


def test_without_a_certificate_of_our_own(tmp_path: Path) -> None:
    assert load_context(KeyFiles(files_of(tmp_path).ca)).check_hostname


def absent(name: str) -> Callable[[KeyFiles], KeyFiles]:
    return lambda files: replace(files, **{name: Path("/nowhere/x.pem")})


def rubbish(name: str) -> Callable[[KeyFiles], KeyFiles]:
    def spoil(files: KeyFiles) -> KeyFiles:
        getattr(files, name).write_bytes(b"\x00no PEM")
        return files

    return spoil


def key_of_another(files: KeyFiles) -> KeyFiles:
    return replace(files, key=Authority(files.ca.parent / "other").issue("house").key)


def key_with_passphrase(files: KeyFiles) -> KeyFiles:
    assert files.key is not None
    key = serialization.load_pem_private_key(files.key.read_bytes(), None)
    files.key.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                            serialization.BestAvailableEncryption(b"open")))  # fmt: skip
    return files


def key_of_another_kind(files: KeyFiles) -> KeyFiles:
    assert files.key is not None
    files.key.write_bytes(unlocked(ed25519.Ed25519PrivateKey.generate()))
    return files


def short_key(files: KeyFiles) -> KeyFiles:
    """RSA of 1024 bits: below security level 2, which Python asks OpenSSL for."""
    assert files.key is not None
    assert files.certificate is not None
    key, now = rsa.generate_private_key(65537, 1024), datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(name_of("house")).issuer_name(name_of("house"))
    builder = builder.public_key(key.public_key()).serial_number(1).not_valid_before(now).not_valid_after(now + DAY)
    files.certificate.write_bytes(pem_of(builder.sign(key, hashes.SHA256())))
    files.key.write_bytes(unlocked(key))
    return files


def unlocked(key: PrivateKeyTypes) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                             serialization.NoEncryption())  # fmt: skip


# fmt: off
WRONG = [
    # what is wrong           field          the complaint holds
    (absent("ca"),            "ca",          "/nowhere/x.pem cannot be read: No such file or directory"),
    (absent("certificate"),   "certificate", "/nowhere/x.pem cannot be read: No such file or directory"),
    (absent("key"),           "key",         "/nowhere/x.pem cannot be read: No such file or directory"),
    (rubbish("ca"),           "ca",          "holds no certificate in PEM"),
    (rubbish("certificate"),  "certificate", "holds no certificate in PEM"),
    (rubbish("key"),          "key",         "holds no private key in PEM"),
    (key_of_another,          "key",         "is not the key of"),
    (key_of_another_kind,     "key",         "is not the key of"),
    (short_key,               "certificate", "is too weak for OpenSSL (EE_KEY_TOO_SMALL): use a P-256 key"),
    (key_with_passphrase,     "key",         "has a passphrase, and there is nobody to ask"),
]
# fmt: on


@pytest.mark.parametrize(("spoil", "field", "text"), WRONG, ids=[f"{c[0].__name__} {c[-1]}" for c in WRONG])
def test_a_wrong_file_is_named(tmp_path: Path, spoil: Callable[[KeyFiles], KeyFiles], field: str, text: str) -> None:
    with pytest.raises(SecurityError) as refusal:
        load_context(spoil(files_of(tmp_path)))
    assert refusal.value.field == field
    assert str(refusal.value).startswith(f"{field} = ")
    assert text in str(refusal.value)
    assert "\n" not in str(refusal.value)


# fmt: off
DATES = [
    # valid from day, to day   the line ends with
    (-30.0,           -2.0,    "expired on "),
    (2.0,             30.0,    "is not valid before "),
]
# fmt: on


@pytest.mark.parametrize(("first_day", "last_day", "text"), DATES, ids=[c[-1] for c in DATES])
def test_a_date_is_named_and_refuses_nothing(tmp_path: Path, first_day: float, last_day: float, text: str) -> None:
    """A board boots in 1970 and must record all the same; the broker judges."""
    files = files_of(tmp_path, first_day, last_day)
    load_context(files)
    (line,) = concerns(files, datetime.now(UTC))
    assert line.startswith(f"V2G-CERTIFICATE-DATE certificate = {files.certificate} (CN=house) {text}20")


def test_the_last_third_of_a_certificates_life_is_named(tmp_path: Path) -> None:
    """Renew at two thirds: thirty days, eleven left and nine left."""
    assert list(concerns(files_of(tmp_path / "a", first_day=-19, last_day=11), datetime.now(UTC))) == []
    [line] = concerns(files_of(tmp_path / "b", first_day=-21, last_day=9), datetime.now(UTC))
    assert line.startswith("V2G-CERTIFICATE-SOON certificate = ")


def test_in_1970_nothing_is_valid_yet(tmp_path: Path) -> None:
    lines = list(concerns(files_of(tmp_path), datetime(1970, 1, 1, tzinfo=UTC)))
    assert [line.split()[1] for line in lines] == ["ca", "certificate"]
    assert all("the clock says 1970-01-01T00:00:00Z" in line for line in lines)


# fmt: off
MODES = [
    (0o600, 0, "its owner's alone"),
    (0o640, 0, "a service's group may read it"),
    (0o644, 1, "everybody on the machine"),
]
# fmt: on


@pytest.mark.parametrize(("mode", "lines", "why"), MODES, ids=[c[-1] for c in MODES])
def test_a_key_that_everybody_can_read_is_named(tmp_path: Path, mode: int, lines: int, why: str) -> None:
    files = files_of(tmp_path)
    assert files.key is not None
    files.key.chmod(mode)
    assert [line.split()[0] for line in concerns(files, datetime.now(UTC))] == ["V2G-KEY-OPEN"] * lines


def test_a_credential_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert find_credential("key", "house.key") == tmp_path / "house.key"
    assert find_credential("key", "/etc/v2g/house.key") == Path("/etc/v2g/house.key")
    monkeypatch.delenv("CREDENTIALS_DIRECTORY")
    with pytest.raises(SecurityError, match=r"LoadCredential=house\.key:/path"):
        find_credential("key", "house.key")


# fmt: off
SECRETS = [
    # file               password or None: refused
    (b"pass word\n",     "pass word"),
    (b"pass\r\n",        "pass"),
    ("pässwörd".encode(), "pässwörd"),
    ("\ufeffpass".encode(), "pass"),
    (b"",                None),
    (b"\n",              None),
    (b"user\npass\n",    None),
    (b"\xff\xfe\x00",    None),
]
# fmt: on


@pytest.mark.parametrize(("content", "expected"), SECRETS, ids=[repr(c[0]) for c in SECRETS])
def test_a_password_file_holds_one_line(tmp_path: Path, content: bytes, expected: str | None) -> None:
    path = tmp_path / "password"
    path.write_bytes(content)
    if expected is not None:
        assert read_secret("password_file", path) == expected
        return
    with pytest.raises(SecurityError) as refusal:
        read_secret("password_file", path)
    assert "pass\n" not in str(refusal.value)
