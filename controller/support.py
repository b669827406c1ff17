"""The support bundle: what somebody far away needs to see of a site, and nothing that must stay there.

Members  contents.txt versions.json doctor.json site.yaml problems.txt plant.yaml telemetry.json buses.json journal.v2gj
         Each stands or is missing with its reason; names never change.
Secrets  taken out by controller.redact. Then every member is searched for each value that was taken out and for what
         the files named in the site file hold; a member that still has one is left out, never sent.
Errors   none for what is missing or broken: a bundle is asked for when things are broken.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import platform
import sys
import tarfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml

from controller.build import build_id
from controller.buswatch import NAME as BUSES
from controller.configfiles import find
from controller.doctor import Subject, examine
from controller.doctor.answers import ask
from controller.doctor.finding import Host
from controller.errors import InputError
from controller.journaltail import newest
from controller.plantcard import NAME as PLANT_CARD
from controller.redact import Redacted, hide_json, hide_site, is_secret, refuse_aliases, scrub, telling
from controller.site import Site, SiteError, load_site
from cython_core.realtime.host import IdleStates
from cython_core.records import layout_hash

MINUTES = 10.0
MOST_SECRET_BYTES = 65536  # of a file that is named as holding a secret
PACKAGES = ("cython", "cryptography", "influxdb-client", "numpy", "paho-mqtt", "pymodbus", "pyserial", "pyyaml")


@dataclass(frozen=True, slots=True)
class Member:
    """One file of the bundle; content None: missing, and `what` says why."""

    name: str
    what: str
    content: bytes | None

    @property
    def size(self) -> int:
        return len(self.content or b"")


@dataclass(frozen=True, slots=True)
class Look:
    """Where to look: the site if it can be read, else what its file says of its folders."""

    path: Path
    hidden: Redacted
    site: Site | None
    problems: str
    runtime_dir: Path
    state_dir: Path


def look(path: Path) -> Look:
    """InputError: there is no such file. A file with mistakes is no error here."""
    path = find(path, "sites")
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    site: Site | None
    try:
        site, problems = load_site(path), ""
    except SiteError as error:
        site, problems = error.site, str(error)
    hidden = hide_site(text)
    hidden.secrets |= set(held_elsewhere(text))
    run, state = (site.runtime_dir, site.state_dir) if site else folders(hidden.text)
    return Look(path, hidden, site, problems, run, state)


def held_elsewhere(text: str) -> Iterator[str]:
    """The secrets in the files that a site file names (`token_file: /etc/v2g/token`)."""
    pending = [("", tree_of(text))]
    while pending:
        key, value = pending.pop()
        if isinstance(value, dict):
            pending += [(str(k), v) for k, v in value.items()]
        elif isinstance(value, list):
            pending += [(key, v) for v in value]
        elif is_secret(key) and isinstance(value, str):
            yield from lines_of(Path(value))


def tree_of(text: str) -> Any:
    """A site file as lists and mappings of text: a value with a mistake is no reason to stop. None: no YAML."""
    try:
        refuse_aliases(text)
        return yaml.load(text, Loader=yaml.BaseLoader)
    except (yaml.YAMLError, RecursionError):
        return None


def lines_of(path: Path) -> list[str]:
    """Each line of a file that holds a secret; one that this user may not read is not in the bundle either. No file at
    all: the secret itself stands there.
    """
    try:
        if not path.is_file():
            return []
        with path.open("rb") as file:
            return [s.strip() for s in file.read(MOST_SECRET_BYTES).decode(errors="replace").splitlines() if s.strip()]
    except (OSError, ValueError):  # too long for a name, a folder that is closed to us, a byte that no name has
        return []


def folders(text: str) -> tuple[Path, Path]:
    """runtime_dir and state_dir of a site file with mistakes, as far as it tells."""
    tree = tree_of(text)
    said = tree if isinstance(tree, dict) else {}
    name = str(said.get("name", ""))
    default = Path("/run/v2g") / name, Path("/var/lib/v2g") / name
    return Path(str(said.get("runtime_dir", default[0]))), Path(str(said.get("state_dir", default[1])))


def members(at: Look) -> list[Member]:
    """Everything, clean, contents.txt first."""
    found = [
        made("versions.json", "versions of program, packages, Python, kernel and board", lambda: as_json(versions())),
        made("doctor.json", "v2g doctor: what this host is short of; no self-test", lambda: as_json(doctor(at))),
        made("site.yaml", "the site file without comments and secrets", lambda: at.hidden.text.encode()),
        made("problems.txt", "mistakes in the site file", lambda: (at.problems or "none").encode() + b"\n"),
        made("plant.yaml", "the plant card of v2g commission", lambda: (at.state_dir / PLANT_CARD).read_bytes()),
        made("telemetry.json", "counters of v2g telemetry", lambda: clean_json(at.runtime_dir / "telemetry.json")),
        made("buses.json", "counters of the buses", lambda: clean_json(at.runtime_dir / BUSES)),
        made("journal.v2gj", f"the last {MINUTES:g} min of the journal: inputs of every step, settings, site name",
             lambda: newest(at.state_dir / "journal.v2gj", MINUTES)),
    ]  # fmt: skip
    kept = [without_secrets(member, at.hidden.secrets) for member in found]
    listing = Member("contents.txt", "this list", "".join(f"{line}\n" for line in lines(kept)).encode())
    return [listing, *kept]


def made(name: str, what: str, make: Callable[[], bytes]) -> Member:
    """One member, or why it is missing."""
    try:
        return Member(name, what, make())
    except FileNotFoundError as error:
        return Member(name, f"missing: there is no {error.filename}", None)
    except OSError as error:
        return Member(name, f"missing: {error.filename}: {error.strerror}", None)
    except (InputError, ValueError) as error:
        return Member(name, f"missing: {error}", None)


def without_secrets(member: Member, secrets: Iterable[str]) -> Member:
    """Text is cleaned; bytes that hold a secret are not sent at all."""
    if member.content is None:
        return Member(member.name, scrub(member.what, secrets), None)
    content = member.content
    if not member.name.endswith(".v2gj"):
        content = scrub(content.decode("utf-8", errors="replace"), secrets).encode()
    if any(secret.encode() in content for secret in telling(secrets)):
        return Member(member.name, "missing: it holds a value that is a secret in the site file", None)
    return Member(member.name, member.what, content)


def versions() -> dict[str, Any]:
    """Names of what runs here; the host's own name is not among them."""
    system = os.uname()
    host = Host()
    packages = {}
    for name in PACKAGES:
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            packages[name] = "not installed"
    release = dict(row.split("=", 1) for row in host.text("/etc/os-release").splitlines() if "=" in row)
    return {
        "v": 1,
        "build": build_id(),
        "record_layout": f"{layout_hash():016x}",
        "python": sys.version.split()[0],
        "libc": " ".join(platform.libc_ver()),
        "system": release.get("PRETTY_NAME", "").strip('"'),
        "kernel": f"{system.release} {system.version} {system.machine}",
        "board": host.board,
        "packages": packages,
    }


def doctor(at: Look) -> dict[str, Any]:
    """As `v2g doctor --json --no-self-test`: a controller that runs here is not disturbed."""
    subject = Subject.of_site(at.site) if at.site else Subject(runtime_dir=at.runtime_dir, state_dir=at.state_dir)
    idle = IdleStates()
    try:
        findings = examine(Host(), ask(idle), subject)
    finally:
        idle.close()
    return {"v": 1, "period_ms": subject.period_ms, "checks": [asdict(finding) for finding in findings]}


def clean_json(path: Path) -> bytes:
    return as_json(hide_json(json.loads(path.read_text(encoding="utf-8"))))


def as_json(value: Any) -> bytes:
    return (json.dumps(value, indent=1) + "\n").encode()


def lines(found: Iterable[Member]) -> Iterator[str]:
    """`   1234 bytes  site.yaml   what it is`"""
    for m in found:
        size = "-" if m.content is None else f"{m.size}"
        yield f"{size:>9} bytes  {m.name:<15} {m.what}"


def archive(found: Iterable[Member], folder: str) -> bytes:
    """A tar.gz with one folder; the same members make the same bytes."""
    packed = io.BytesIO()
    with (
        gzip.GzipFile(filename="", mode="wb", fileobj=packed, mtime=0) as squeezed,
        tarfile.open(fileobj=squeezed, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for member in found:
            if member.content is not None:
                entry = tarfile.TarInfo(f"{folder}/{member.name}")
                entry.size, entry.mode = member.size, 0o600
                tar.addfile(entry, io.BytesIO(member.content))
    return packed.getvalue()
