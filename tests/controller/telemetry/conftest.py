"""An interpreter with Home Assistant, for the nightly tests that need one."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.need import missing

RELEASE = "homeassistant==2025.4.4"  # needs Python 3.13; a later one wants a later Python
INSTALL_S = 1800.0


def candidates() -> list[str]:
    """Where a Python 3.13 may be: on the path, or kept by pyenv, whose own python3.13 only points there."""
    kept = sorted(Path.home().glob(".pyenv/versions/3.13.*/bin/python3.13"))
    return [found for found in (shutil.which("python3.13"), *map(str, kept)) if found]


def runs(python: str) -> bool:
    return subprocess.run([python, "-V"], capture_output=True, check=False).returncode == 0


@pytest.fixture(scope="session")
def ha_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """V2G_TEST_HA_PYTHON=/path/to/python has it already; without it 600 MB are installed for this run."""
    given = os.environ.get("V2G_TEST_HA_PYTHON")
    if given:
        return Path(given)
    base = next((found for found in candidates() if runs(found)), None)
    if base is None:
        missing("python3.13", "Home Assistant needs it; or name an interpreter that has it: V2G_TEST_HA_PYTHON")
    folder = tmp_path_factory.mktemp("homeassistant")
    subprocess.run([base, "-m", "venv", str(folder)], check=True, timeout=120)
    pip = [str(folder / "bin/pip"), "install", "--quiet", "--disable-pip-version-check", RELEASE]
    done = subprocess.run(pip, capture_output=True, text=True, timeout=INSTALL_S, check=False)
    if done.returncode:
        missing(RELEASE, f"pip says: {done.stderr.strip().splitlines()[-1][:200]}")
    return folder / "bin/python"
