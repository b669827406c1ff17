"""A file of an older program says the same in today's words; everything else in it stays as it was written."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from config import __file__ as config_file
from controller.settings.migrate import migrated
from controller.site import load_settings

OLD = """\
# mine
settings:
  freq_droop:
    k_of: 0.04      # the utility's
  volt_var:         # before reactive.mode
{volt_var}
  limits: {{soc_min_pu: 0.3}}
# end
"""
ALONE = "    enable: true    # on"
MORE = "    v1_pu: 0.9\n    enable: true\n    q1_pu: 0.3"
NOW = "  limits: {soc_min_pu: 0.3}\n  reactive:\n    mode: volt_var\n# end\n"
THEN = "  limits: {soc_min_pu: 0.3}\n# end\n"
HEAD = "# mine\nsettings:\n  freq_droop:\n    k_of: 0.04      # the utility's\n"
GROUP = "  volt_var:         # before reactive.mode\n"
MODE = "  reactive:\n    mode: volt_var\n"
# fmt: off
CASES = [
    # old text, new text, why
    (OLD.format(volt_var=ALONE), HEAD + NOW, "alone in its group: the group goes"),
    (OLD.format(volt_var=ALONE.replace("true", "false")), HEAD + THEN, "off is the default"),
    (OLD.format(volt_var=MORE), HEAD + GROUP + "    v1_pu: 0.9\n    q1_pu: 0.3\n" + NOW, "among others"),
    ("settings:\n  volt_var: {enable: true, v1_pu: 0.9}\n", "settings:\n  volt_var: {v1_pu: 0.9}\n" + MODE,
     "first in braces"),
    ("settings:\n  volt_var: {v1_pu: 0.9, enable: true}\n", "settings:\n  volt_var: {v1_pu: 0.9}\n" + MODE,
     "last in braces"),
    ("settings:\n  volt_var: {enable: true}\n  reactive: {mode: watt_var}\n",
     "settings:\n  reactive: {mode: watt_var}\n", "a mode that is there already wins"),
    ("volt_var:\n  enable: true\n  v1_pu: 0.9\n", "volt_var:\n  v1_pu: 0.9\nreactive:\n  mode: volt_var\n",
     "a file of groups alone"),
    ("settings:\r\n  volt_var:\r\n    enable: true\r\n    v1_pu: 0.9\r\n",
     "settings:\r\n  volt_var:\r\n    v1_pu: 0.9\r\n" + MODE.replace("\n", "\r\n"), "line ends of Windows stay"),
    (HEAD + THEN, HEAD + THEN, "nothing old in it"),
]
# fmt: on


@pytest.mark.parametrize(("old", "new", "why"), CASES, ids=[c[-1] for c in CASES])
def test_the_same_in_todays_words(old: str, new: str, why: str, tmp_path: Path) -> None:
    text, notes = migrated(old)
    assert text == new
    assert bool(notes) == (old != new)
    assert migrated(text) == (text, []), "once is enough"
    (tmp_path / "new.yaml").write_text(text, newline="")
    load_settings(tmp_path / "new.yaml")


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """The example, with a line of the first program that had volt-var."""
    text = (Path(config_file).parent / "site.example.yaml").read_text()
    path = tmp_path / "site.yaml"
    path.write_text(text.replace("  limits:\n", "  volt_var:\n    enable: true\n  limits:\n", 1))
    path.chmod(0o640)
    return path


def v2g(*words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "controller.cli", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_it_shows_the_difference_and_writes_nothing(site: Path) -> None:
    before = site.read_bytes()
    done = v2g("site", "migrate", site)
    assert done.returncode == 0, done.stderr
    assert "-    enable: true\n" in done.stdout
    assert "+    mode: volt_var\n" in done.stdout
    assert f"nothing is written; to do so: v2g site migrate {site} --write" in done.stdout
    assert site.read_bytes() == before


def test_told_to_it_writes_and_the_file_is_read_again(site: Path) -> None:
    assert v2g("check", site).returncode == 2
    done = v2g("site", "migrate", site, "--write", "--json")
    assert json.loads(done.stdout)["written"] is True
    assert site.stat().st_mode & 0o777 == 0o640
    assert v2g("check", site).returncode == 0
    assert v2g("site", "migrate", site).stdout == f"{site}: up to date\n"


def test_what_would_still_be_refused_is_not_written(site: Path) -> None:
    site.write_text(site.read_text().replace("soc_min_pu: 0.3", "soc_min_pu: 3"))
    before = site.read_bytes()
    done = v2g("site", "migrate", site, "--write")
    assert (done.returncode, site.read_bytes()) == (2, before)
    assert f"{site}:" in done.stderr
    assert "soc_min_pu = 3 is outside 0 ... 1 pu" in done.stderr


def test_a_file_of_the_package_is_not_written() -> None:
    assert v2g("site", "migrate", "demo-60hz").stdout.endswith("demo-60hz.yaml: up to date\n")
