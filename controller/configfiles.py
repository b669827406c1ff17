"""Where configuration files are: those that came with the package, and a user's own, which win.

Errors  SiteError: no such file, and which ones there are.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from controller.sitedata import SiteError

USER_FILES = Path("/etc/v2g")
UNVERIFIED = "profiles/unverified"


def find(path: Path, folder: str) -> Path:
    """A file as given; a bare name is looked up in /etc/v2g, then among the files that came with the package."""
    if len(path.parts) != 1 or path.suffix in (".yaml", ".yml") or (path.exists() and not path.is_dir()):
        return path
    known = available(folder)
    if folder == "profiles" and path.name not in known and path.name in available(UNVERIFIED):
        raise SiteError(
            f"{path} is an unverified profile: name its file, {available(UNVERIFIED)[path.name]}, to use it"
        )
    if path.name not in known:
        raise SiteError(f"{path}: no such file, and no name in {USER_FILES / folder}; known: {', '.join(known)}")
    return known[path.name]


def find_profile(name: str) -> tuple[Path | None, bool]:
    """(file, whether it is unverified) of a profile; a verified one hides an unverified one of the same name."""
    verified = available("profiles").get(name)
    return (verified, False) if verified else (available(UNVERIFIED).get(name), True)


def available(folder: str) -> dict[str, Path]:
    """{name: file} of one folder of config; a user's file hides the package's of the same name."""
    packaged = Path(str(resources.files("config"))) / folder
    found = {f.stem: f for place in (packaged, USER_FILES / folder) for f in sorted(place.glob("*.yaml"))}
    return dict(sorted(found.items()))
