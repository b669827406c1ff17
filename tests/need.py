"""What a test needs from the machine: present, or a loud skip; on CI a missing tool is a failure."""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest

ON_CI = os.environ.get("CI") == "true"
SYSTEM_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"])


def missing(what: str, remedy: str) -> NoReturn:
    """End the test: failed on CI, skipped elsewhere; the summary names it either way."""
    text = f"MISSING {what}: {remedy}"
    if ON_CI:
        pytest.fail(text, pytrace=False)
    pytest.skip(text)


def tool(name: str, remedy: str = "make deps-system") -> str:
    """The path of a command, servers in sbin included."""
    path = shutil.which(name, path=SYSTEM_PATH)
    return path if path is not None else missing(name, remedy)
