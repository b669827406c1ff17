"""`make release`: what is given out for a tag, in dist/: sdist, wheel, SBOM, lock files, changelog section, checksums.

Refused from a tree with changes, or without the tag vVERSION at this commit; --dry-run makes the same for a rehearsal
and says what is missing. Nothing is sent anywhere. Exit 0, or 2 with one line for each thing that is missing.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
DIST = ROOT / "dist"
LOCKED = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)(?: *; *([^\\]+?))? *\\?$", re.MULTILINE)
HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--dry-run", action="store_true", help="a rehearsal: without tag, and with changes in the tree")
    args = parser.parse_args()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    version = project["version"]
    missing = [*not_tagged(version), *no_section(version)]
    for line in missing:
        print(f"release: {line}", file=sys.stderr)
    if missing and not args.dry_run:
        return 2
    shutil.rmtree(DIST, ignore_errors=True)
    DIST.mkdir()
    build()
    locks = [ROOT / "locks" / name for name in ("py311.txt", "py313.txt")]
    for lock in locks:
        shutil.copy(lock, DIST / f"requirements-{lock.name}")
        bill = DIST / f"sbom-{lock.stem}.cdx.json"
        bill.write_text(json.dumps(sbom(project, lock.read_text()), indent=1) + "\n")
    (DIST / "CHANGES.md").write_text(section((ROOT / "CHANGELOG.md").read_text(), version) or "")
    checksums()
    print("\n".join(f"release: dist/{path.name}" for path in sorted(DIST.iterdir())))
    return 0


def git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()


def not_tagged(version: str) -> Iterator[str]:
    """The tag says which commit a version is; what is not committed belongs to none."""
    if git("status", "--porcelain"):
        yield "there are changes that are not committed: git status"
    if f"v{version}" not in git("tag", "--points-at", "HEAD").split():
        yield f"this commit has no tag v{version}: git tag -s v{version}"


def no_section(version: str) -> Iterator[str]:
    if section((ROOT / "CHANGELOG.md").read_text(), version) is None:
        yield f"CHANGELOG.md has no section `## {version} - DATE`: name the unreleased one so"


def section(changelog: str, version: str) -> str | None:
    """The part of one version, without its heading; None: there is none."""
    heading = rf"^## \[?{re.escape(version)}\]?(?: [^\n]*)?\n"
    found = re.search(heading + r"(.*?)(?=^## |\Z)", changelog, re.MULTILINE | re.DOTALL)
    return found[1].strip() + "\n" if found else None


def build() -> None:
    """Source distribution, and the wheel from it: what is given out can be made of what is given out."""
    subprocess.run([sys.executable, "setup.py", "--quiet", "sdist", "--dist-dir", DIST], cwd=ROOT, check=True)
    (source,) = DIST.glob("*.tar.gz")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet", "--no-index", "--no-deps"]
    subprocess.run([*pip, "--no-build-isolation", "--wheel-dir", DIST, source], cwd=DIST, check=True)


def sbom(project: dict[str, Any], lock: str) -> dict[str, Any]:
    """CycloneDX 1.5: this program and every package of a lock file, with the hashes that pip demands."""
    name, version = project["name"], project["version"]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": f"pkg:pypi/{name}@{version}",
                "name": name,
                "version": version,
                "purl": f"pkg:pypi/{name}@{version}",
                "licenses": [{"license": {"id": project["license"]}}],
            }
        },
        "components": list(components(lock)),
    }


def components(lock: str) -> Iterator[dict[str, Any]]:
    """Each package, with one entry for the hash of each of its files."""
    found = list(LOCKED.finditer(lock))
    for this, following in zip(found, [*found[1:], None], strict=True):
        name, version, marker = this.groups()
        text = lock[this.end() : following.start() if following else len(lock)]
        component: dict[str, Any] = {
            "type": "library",
            "bom-ref": f"pkg:pypi/{name.lower()}@{version}",
            "name": name,
            "version": version,
            "purl": f"pkg:pypi/{name.lower()}@{version}",
            "hashes": [{"alg": "SHA-256", "content": digest} for digest in HASH.findall(text)],
        }
        if marker:
            component["properties"] = [{"name": "python:marker", "value": marker}]
        yield component


def checksums() -> None:
    """As `sha256sum --check SHA256SUMS` reads it."""
    lines = [f"{sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in sorted(DIST.iterdir())]
    (DIST / "SHA256SUMS").write_text("".join(lines))


if __name__ == "__main__":
    sys.exit(main())
