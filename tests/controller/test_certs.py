"""Certificates: what is asked for, what is not imported, and how often to renew.

The intervals are worked by pencil: C 25, loss 50 000 a year, 0.02 thefts a year.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509

from controller.certs import FOLDER, best_interval_days, yearly_cost
from controller.cli import main
from controller.security import KeyFiles, certificates, load_context
from tests.controller.test_site import GOOD
from tests.pki import Authority


class Office:
    """A site with certificates in place, and its authority."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.authority = folder, Authority(folder / "ca")
        pair = self.authority.issue("my-house", last_day=3.5)
        self.certificate, self.key = folder / "house.pem", folder / "house.key"
        self.certificate.write_bytes(pair.certificate.read_bytes())
        self.key.write_bytes(pair.key.read_bytes())
        self.key.chmod(0o600)
        self.site = folder / "site.yaml"
        tls = f"{{ca: {self.authority.file}, certificate: {self.certificate}, key: {self.key}}}"
        self.site.write_text(f"{GOOD}telemetry:\n  mqtt:\n    host: 127.0.0.1\n    tls: {tls}\n")
        self.name = next(line.split()[1] for line in GOOD.splitlines() if line.startswith("name:"))
        self.signed = folder / "signed.pem"

    def request(self, *more: str) -> x509.CertificateSigningRequest:
        assert main(["certs", "request", str(self.site), *more]) == 0
        return x509.load_pem_x509_csr(Path(f"{self.key}.csr").read_bytes())

    def sign(
        self, authority: Authority | None = None, name: str = "", first_day: float = -1, last_day: float = 30
    ) -> None:
        """What the authority sends back for the request."""
        request = x509.load_pem_x509_csr(Path(f"{self.key}.csr").read_bytes())
        self.signed.write_bytes((authority or self.authority).certify(request, name or self.name, first_day, last_day))

    def take(self, *more: str) -> int:
        return main(["certs", "import", str(self.site), str(self.signed), *more])


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path)


def test_a_request_is_for_the_sites_name_and_its_key_nobody_elses(office: Office) -> None:
    before = office.key.read_bytes()
    request = office.request()
    assert request.is_signature_valid
    assert request.subject.rfc4514_string() == f"CN={office.name}"
    assert Path(f"{office.key}.new").stat().st_mode & 0o777 == 0o600
    assert office.key.read_bytes() == before, "what is in use stays"
    assert main(["certs", "request", str(office.site)]) == 2, "a key that waits for its certificate is not lost"


def test_a_signed_certificate_takes_its_place_and_the_old_is_kept(office: Office) -> None:
    before = office.certificate.read_bytes()
    office.request()
    office.sign()
    assert office.take() == 0
    assert office.certificate.read_bytes() == office.signed.read_bytes()
    assert Path(f"{office.certificate}.old").read_bytes() == before
    assert not Path(f"{office.key}.new").exists()
    load_context(KeyFiles(office.authority.file, office.certificate, office.key))


ANOTHER = 54321 if os.geteuid() == 0 else os.getegid()  # only root can give a file away


def rights(path: Path) -> tuple[int, int]:
    """(mode, group)"""
    return path.stat().st_mode & 0o777, path.stat().st_gid


# fmt: off
RIGHTS = [
    # the key in use  folder  the next key  why
    (0o640,           0o700,  0o640,        "the service reads it by its group: the next one too"),
    (0o600,           0o2750, 0o600,        "its owner alone: the folder changes nothing"),
    (0o644,           0o700,  0o644,        "everybody, so perhaps the service: V2G-KEY-OPEN says what is better"),
    (None,            0o2750, 0o640,        "the first, in a folder that hands on its group"),
    (None,            0o750,  0o600,        "the first, in any other folder"),
]
# fmt: on


@pytest.mark.parametrize(("before", "folder", "after", "why"), RIGHTS, ids=[c[-1] for c in RIGHTS])
def test_who_may_read_a_new_key(office: Office, before: int | None, folder: int, after: int, why: str) -> None:
    """Whoever imports has another umask than the service; a certificate is no secret."""
    os.chown(office.folder, -1, ANOTHER)
    office.folder.chmod(folder)
    if before is None:
        office.key.unlink()
    else:
        os.chown(office.key, -1, ANOTHER)
        office.key.chmod(before)
    own = os.umask(0o077)
    office.request()
    office.sign()
    assert office.take() == 0
    os.umask(own)
    inherits = before is not None or folder & 0o2000
    assert rights(office.key) == (after, ANOTHER if inherits else os.getegid()), why
    assert rights(office.certificate)[0] == 0o644


def test_a_bridge_has_its_own(office: Office, capsys: pytest.CaptureFixture[str]) -> None:
    """The first is for the name that config/mosquitto/v2g.acl knows, each next one for whom the one in use is."""
    folder, before = office.folder, office.key.read_bytes()
    own = f"    bridge: {{certificate: {folder}/bridge.pem, key: {folder}/bridge.key}}\n"
    office.site.write_text(office.site.read_text() + own)
    office.key = folder / "bridge.key"
    for in_use in ("v2g-bridge", "another-bridge"):
        assert office.request("--bridge").subject.rfc4514_string() == f"CN={in_use}"
        office.sign(name=in_use)
        assert office.take("--bridge") == 0
        pair = office.authority.issue("another-bridge")
        (folder / "bridge.pem").write_bytes(pair.certificate.read_bytes())
    assert "a running bridge tries it at the broker" in capsys.readouterr().out
    assert (folder / "house.key").read_bytes() == before


@pytest.mark.parametrize("task", ["request", "status"])
def test_a_credential_of_systemd_cannot_be_renewed(
    office: Office, capsys: pytest.CaptureFixture[str], task: str
) -> None:
    """It is a copy of the time when the service started."""
    office.site.write_text(office.site.read_text().replace(f"key: {office.key}", "key: v2g_house.key"))
    line = 1 + next(i for i, text in enumerate(office.site.read_text().splitlines()) if "v2g_house.key" in text)
    assert main(["certs", task, str(office.site)]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"{office.site}:{line}: v2g_house.key is a credential")
    assert f"as {FOLDER}/house.pem" in said


def other_request(office: Office) -> None:
    office.sign()
    Path(f"{office.key}.new").unlink()
    Path(f"{office.key}.csr").unlink()
    office.request()


def not_pem(office: Office) -> None:
    office.signed.write_text("hello\n")


def torn_key(office: Office) -> None:
    office.sign()
    Path(f"{office.key}.new").write_bytes(b"")


# fmt: off
REFUSED: list[tuple[Callable[[Office], None], str]] = [
    # what comes back                                                           said
    (lambda o: o.sign(Authority(o.folder / "other", "another")),                "is not signed by the site's ca"),
    (lambda o: o.sign(Authority(o.folder / "other")),                           "is not signed by the site's ca"),
    (lambda o: o.sign(name="other-house"),                                      "is for other-house, not for"),
    (lambda o: o.sign(first_day=-9, last_day=-1),                               "is valid 20"),
    (lambda o: o.sign(first_day=1, last_day=9),                                 "is valid 20"),
    (other_request,                                                             "its request was another"),
    (torn_key,                                                                  "holds no private key: remove it and"),
    (not_pem,                                                                   "holds no certificate in PEM"),
]
# fmt: on


@pytest.mark.parametrize(("answer", "said"), REFUSED, ids=[f"{i} {c[1]}" for i, c in enumerate(REFUSED)])
def test_a_wrong_one_takes_nobodys_place(
    office: Office, capsys: pytest.CaptureFixture[str], answer: Callable[[Office], None], said: str
) -> None:
    before = office.certificate.read_bytes(), office.key.read_bytes()
    office.request()
    answer(office)
    capsys.readouterr()
    assert office.take() == 2
    assert said in capsys.readouterr().err
    assert (office.certificate.read_bytes(), office.key.read_bytes()) == before


def test_status_tells_the_days(office: Office, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["certs", "status", str(office.site), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["certificates"]
    assert [(row["use"], row["days_left"]) for row in rows] == [("ca", 99), ("certificate", 3)]
    assert main(["certs", "status", str(office.site)]) == 0
    assert "3 days left" in capsys.readouterr().out
    assert len(certificates("certificate", office.certificate)) == 1


def test_a_site_without_certificates_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "site.yaml").write_text(GOOD)
    assert main(["certs", "status", str(tmp_path / "site.yaml")]) == 2
    assert "no tls with certificate and key here" in capsys.readouterr().err


def test_a_certificate_with_words_in_another_encoding_is_taken_as_it_is(office: Office) -> None:
    """`openssl x509 -text` writes the subject before the PEM, in whatever encoding it has."""
    office.request()
    office.sign()
    office.signed.write_bytes("Subject: O = B\u00e4ckerei\n".encode("latin-1") + office.signed.read_bytes())
    assert office.take() == 0
    assert office.certificate.read_bytes() == office.signed.read_bytes()
    load_context(KeyFiles(office.authority.file, office.certificate, office.key))


def test_what_cannot_be_written_leaves_the_pair_in_use_as_it_is(office: Office) -> None:
    """Where the disk refuses the certificate the key stays too: they fit, and import can be done again."""
    before = office.certificate.read_bytes(), office.key.read_bytes()
    office.request()
    office.sign()
    obstacle = Path(f"{office.certificate}.new")
    obstacle.mkdir()
    assert office.take() == 2
    assert (office.certificate.read_bytes(), office.key.read_bytes()) == before
    obstacle.rmdir()
    assert office.take() == 0
    load_context(KeyFiles(office.authority.file, office.certificate, office.key))


# fmt: off
INTERVALS = [
    # thefts a year  best, days  cost a year at it, at 180 days
    (0.02,           81.67,      223.6,  297.1),
    (0.0002,         816.7,      22.36,  53.19),  # a hundredth: ten times the interval, not a hundred
]
# fmt: on


@pytest.mark.parametrize(("thefts", "best", "cost", "at_180"), INTERVALS)
def test_the_interval_of_least_cost(thefts: float, best: float, cost: float, at_180: float) -> None:
    """sqrt(2 x 25 / (0.02 x 50 000)) = 0.2236 years; sqrt(2 x 25 x 0.02 x 50 000) = 223.6."""
    assert best_interval_days(25.0, 50_000.0, thefts) == pytest.approx(best, rel=1e-3)
    assert yearly_cost(best, 25.0, 50_000.0, thefts) == pytest.approx(cost, rel=1e-3)
    assert yearly_cost(180.0, 25.0, 50_000.0, thefts) == pytest.approx(at_180, rel=1e-3)


def test_advice_names_its_trap(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["certs", "advice"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("renew every 82 days: 223.6 a year")
    assert "With one loss at once" in said


@pytest.mark.parametrize("cost", ["0", "-1", "nan", "inf", "1e-320"])
def test_advice_reckons_with_numbers_only(capsys: pytest.CaptureFixture[str], cost: str) -> None:
    assert main(["certs", "advice", "--cost", cost]) == 2
    assert capsys.readouterr().err == "v2g certs advice: cost, loss and thefts a year are numbers, 1e-09 ... 1e+15\n"
