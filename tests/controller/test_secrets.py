"""No secret in anything that is said: logs, refusals, tables, the record, whatever goes wrong with a file."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from controller.cli import main
from drivers.sim.proxy import free_port
from tests.controller.test_site import GOOD
from tests.pki import Authority

SECRET = "correct-horse-battery"  # what must be found nowhere


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Certificates and a password; a broker that is not there."""
    authority = Authority(tmp_path / "ca")
    pair = authority.issue("my-house")
    (tmp_path / "word").write_text(SECRET + "\n")
    file = tmp_path / "site.yaml"
    tls = f"{{ca: {authority.file}, certificate: {pair.certificate}, key: {pair.key}}}"
    broker = f"    host: 127.0.0.1\n    port: {free_port()}\n    user: house\n    password_file: {tmp_path}/word\n"
    folders = f"runtime_dir: {tmp_path}/run\nstate_dir: {tmp_path}/state\n"
    file.write_text(f"{GOOD}{folders}telemetry:\n  mqtt:\n{broker}    tls: {tls}\n")
    for name in ("run", "state"):
        (tmp_path / name).mkdir()
    return file


def secrets(folder: Path) -> list[bytes]:
    """The password, and a line from the middle of each private key."""
    keys = [key.read_bytes().splitlines()[1] for key in folder.rglob("*.key")]
    assert keys
    return [SECRET.encode(), *keys]


def test_no_secret_in_anything_a_run_says(site: Path, tmp_path: Path) -> None:
    """The telemetry process, until it has been refused a connection; then every file that it has written."""
    own = [sys.executable, "-m", "controller.cli", "telemetry", str(site)]
    with (tmp_path / "said").open("wb") as said:
        process = subprocess.Popen(own, stdout=said, stderr=said)
    try:
        deadline = time.monotonic() + 60.0
        while b"V2G-MQTT-DOWN" not in (tmp_path / "said").read_bytes():
            assert process.poll() is None, (tmp_path / "said").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        process.terminate()
        process.wait(30.0)
    written = [f for folder in ("run", "state") for f in (tmp_path / folder).rglob("*") if f.is_file()]
    assert len(written) >= 3
    for file in [tmp_path / "said", *written]:
        for secret in secrets(tmp_path):
            assert secret not in file.read_bytes(), file


@pytest.mark.parametrize("command", [["check"], ["check", "--json"], ["certs", "status"], ["verify"]], ids=" ".join)
def test_no_secret_in_what_a_command_prints(
    site: Path, tmp_path: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    main([*command, str(site)])
    said = capsys.readouterr()
    assert said.out
    assert not [s for s in secrets(tmp_path) if s.decode() in said.out + said.err]


def test_a_password_in_the_site_file_is_refused_and_not_repeated(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site.write_text(site.read_text().replace("    user: house\n", f"    user: house\n    password: {SECRET}\n"))
    assert main(["check", str(site)]) == 2
    said = capsys.readouterr()
    assert "password does not stand in this file" in said.err
    assert SECRET not in said.out + said.err
