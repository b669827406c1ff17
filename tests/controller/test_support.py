"""v2g support-bundle: what is in it, that it can be worked with, and that no planted secret ever is."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from controller import support
from controller.build import build_id
from controller.journal import read_journal
from controller.journaltail import newest
from controller.journalwriter import JournalWriter
from controller.replay import replay
from controller.support import Member, archive, look, members
from cython_core.settings import Settings, to_mapping
from cython_core.step import Core

ROOT = Path(__file__).parents[2]
PERIOD_NS = 100_000_000
MINUTE = 600  # steps
NAMES = ["contents.txt", "versions.json", "doctor.json", "site.yaml", "problems.txt", "plant.yaml", "telemetry.json",
         "buses.json", "journal.v2gj"]  # fmt: skip
SITE = """\
schema: 1
name: house       # comment-secret
start_mode: shadow
runtime_dir: {run}
state_dir: {state}
meter: {{map: eastron-sdm630, host: 127.0.0.1, location: inverter, phases: L1}}
inverter: {{map: sunspec-7xx, host: 127.0.0.1, reversion_s: 10}}
telemetry:
  store: {{kind: influx, url: "http://me:address-secret@127.0.0.1:8086", org: o, bucket: b, token_file: {token}}}
"""
SECRETS = ("comment-secret", "address-secret", "file-secret", "status-secret", "log-secret", "MHcCAQEEI-secret")


def recorded(path: Path, minutes: list[int], max_bytes: int = 1 << 28) -> None:
    """A journal of so many minutes in each epoch, with a state each minute but before the first one."""
    writer = JournalWriter(path, max_bytes)
    for epoch, length in enumerate(minutes, 1):
        core = Core(Settings(), PERIOD_NS * 1e-9)
        facts = {"epoch": epoch, "site": "house", "build": build_id(), "period_ns": PERIOD_NS}
        writer.begin(facts | {"settings": to_mapping(Settings()), "settings_digest": core.digest})
        ones = np.ones(MINUTE)
        for minute in range(length):
            state = (core.n, core.state())
            steps = core.run({"f_hz": 60 * ones + 0.001 * minute, "v_pu": ones, "p_demand_w": 0 * ones})
            writer.append(steps.tobytes(), snapshot=state if minute else None)
    writer.close()


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A site with everything there is, and a secret wherever one could be."""
    run, state, token = tmp_path / "run", tmp_path / "state", tmp_path / "token"
    run.mkdir()
    recorded(state / "journal.v2gj", [2, 13])
    token.write_text("file-secret\n")
    status = {
        "v": 1,
        "sent": 7,
        "password": "status-secret",
        "last_error": "token file-secret refused: token=log-secret",
    }
    (run / "telemetry.json").write_text(json.dumps(status))
    pem = "-----BEGIN PRIVATE KEY-----\nMHcCAQEEI-secret\n-----END PRIVATE KEY-----"
    (run / "buses.json").write_text(json.dumps({"meter": {"attempts": 5}, "note": pem}))
    path = tmp_path / "house.yaml"
    path.write_text(SITE.format(run=run, state=state, token=token))
    return path


def contents(site: Path) -> dict[str, bytes | None]:
    return {m.name: m.content for m in members(look(site))}


def test_every_member_is_there_and_no_secret_in_any(site: Path) -> None:
    found = contents(site)
    assert list(found) == NAMES
    assert [name for name, content in found.items() if content is None] == ["plant.yaml"], "nobody has commissioned it"
    for name, content in found.items():
        for secret in SECRETS:
            assert secret.encode() not in (content or b""), name
    assert json.loads(found["telemetry.json"] or b"")["sent"] == 7
    assert json.loads(found["buses.json"] or b"")["meter"] == {"attempts": 5}
    assert json.loads(found["versions.json"] or b"")["build"] == build_id()
    assert "kernel" in {check["name"] for check in json.loads(found["doctor.json"] or b"")["checks"]}
    assert b"map: eastron-sdm630" in (found["site.yaml"] or b"")
    for name in NAMES[1:]:
        assert name.encode() in (found["contents.txt"] or b"")


def test_its_journal_replays(site: Path, tmp_path: Path) -> None:
    """13 min of the newest run, cut to 10: no state lies beyond, so that it begins where a minute does."""
    (tmp_path / "tail.v2gj").write_bytes(contents(site)["journal.v2gj"] or b"")
    result = replay(read_journal(tmp_path / "tail.v2gj"))
    assert result.identical
    assert [(run.info["epoch"], run.identical) for run in result.runs] == [(2, 10 * MINUTE)]


# fmt: off
TAILS = [
    # minutes of each run  wanted  steps kept of each run        why
    ([3],                  10,     [3 * MINUTE],                 "less than there is to keep"),
    ([13],                 10,     [10 * MINUTE],                "cut where a state lies"),
    ([13],                 9.5,    [10 * MINUTE],                "back to the state before"),
    ([4, 3, 5],            10,     [2 * MINUTE, 3 * MINUTE, 5 * MINUTE], "over two restarts"),
    ([1] * 15,             10,     [MINUTE] * 10,                "a crash loop: no state but the beginnings"),
]
# fmt: on


@pytest.mark.parametrize(("minutes", "wanted", "kept", "why"), TAILS, ids=[c[-1] for c in TAILS])
def test_the_tail_of_a_journal(tmp_path: Path, minutes: list[int], wanted: float, kept: list[int], why: str) -> None:
    recorded(tmp_path / "journal.v2gj", minutes)
    (tmp_path / "tail.v2gj").write_bytes(newest(tmp_path / "journal.v2gj", wanted))
    result = replay(read_journal(tmp_path / "tail.v2gj"))
    assert result.identical
    assert [run.identical for run in result.runs] == kept


def test_a_journal_begun_anew_is_joined_with_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "journal.v2gj"
    recorded(path, [14], max_bytes=1)  # begun anew at each state
    assert path.with_suffix(".1.v2gj").exists()
    (tmp_path / "tail.v2gj").write_bytes(newest(path, 2))
    result = replay(read_journal(tmp_path / "tail.v2gj"))
    assert result.identical
    assert sum(run.identical for run in result.runs) == 2 * MINUTE


def test_a_torn_end_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "journal.v2gj"
    recorded(path, [3])
    path.write_bytes(path.read_bytes()[:-5])
    (tmp_path / "tail.v2gj").write_bytes(newest(path, 10))
    assert read_journal(tmp_path / "tail.v2gj").problems == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("name: house\npassword: hunter2\nstate_dir: {state}\n", "house.yaml:2: unknown key 'password'"),
        (f"name: house\ntoken: {'hunter2' * 50}\nstate_dir: {{state}}\n", "house.yaml:2: unknown key 'token'"),
        ("name: house\nnope: 2026-02-30\nstate_dir: {state}\n", "house.yaml:2: unknown key 'nope'"),
        ("state_dir: {state}\nname: [hunter2", "house.yaml:"),
        ("", "house.yaml: is empty"),
        ("name: house\nn: !!int hunter2\nstate_dir: {state}\n", "house.yaml:"),
        (
            "password: hunter2\nstate_dir: {state}\na: &a [*a]\n",
            "house.yaml:3: anchors (&) and aliases (*) are not used",
        ),
    ],
    ids=[
        "mistakes",
        "a secret too long for a file's name",
        "a day that no calendar has",
        "no YAML",
        "empty",
        "no number",
        "names itself",
    ],
)
def test_a_broken_site_file_is_no_obstacle(site: Path, tmp_path: Path, text: str, problem: str) -> None:
    site.write_text(text.format(state=tmp_path / "state"))
    found = contents(site)
    assert list(found) == NAMES
    assert problem in (found["problems.txt"] or b"").decode()
    assert all(b"hunter2" not in (content or b"") for content in found.values())
    assert (found["journal.v2gj"] is not None) == text.startswith("name: house"), "its folder could be read, or not"


def test_a_member_that_cannot_be_cleaned_is_not_sent() -> None:
    dirty = Member("journal.v2gj", "", b"\x00hunter2\x00")
    assert support.without_secrets(dirty, {"hunter2"}).content is None


def test_the_same_members_make_the_same_bytes() -> None:
    found = [Member("b.txt", "", b"2"), Member("a.txt", "", None)]
    packed = archive(found, "v2g-support-house")
    assert packed == archive(found, "v2g-support-house")
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        assert [(e.name, e.size, e.mtime, e.mode) for e in tar] == [("v2g-support-house/b.txt", 1, 0, 0o600)]


# ---- as somebody types it ----


def v2g(*arguments: Any, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "controller.cli", "support-bundle", *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        command, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120
    )


def test_the_list_comes_first_and_nothing_is_written_unasked(site: Path, tmp_path: Path) -> None:
    done = v2g(site, "--out", tmp_path / "b.tar.gz", cwd=tmp_path)
    assert done.returncode == 2
    assert "--yes" in done.stderr
    assert all(name in done.stdout for name in NAMES)
    assert not (tmp_path / "b.tar.gz").exists()


def test_written_for_its_owner_alone_and_never_over_a_file(site: Path, tmp_path: Path) -> None:
    out = tmp_path / "b.tar.gz"
    done = v2g(site, "--out", out, "--yes", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert (answer["written"], answer["bytes"]) == (True, out.stat().st_size)
    assert [m["name"] for m in answer["members"]] == NAMES
    assert out.stat().st_mode & 0o777 == 0o600
    with tarfile.open(out) as tar:
        assert tar.getnames() == [f"v2g-support-house/{name}" for name in NAMES if name != "plant.yaml"]
    again = v2g(site, "--out", out, "--yes", cwd=tmp_path)
    assert (again.returncode, again.stderr) == (2, f"{out}: is there already; give another name with --out\n")


def test_a_site_file_that_is_not_there(tmp_path: Path) -> None:
    done = v2g(tmp_path / "no.yaml", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith(f"{tmp_path}/no.yaml: cannot be read")
