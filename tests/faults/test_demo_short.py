"""A short demonstration, then its journal: reported again, computed again, damaged in every way that has a name.

Every number below comes out of the journal of one real run; the damage is done to copies of it.
"""

from __future__ import annotations

import json
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from controller.journal import read_journal
from cython_core.records import layout_hash
from tests.faults.demos import Play, Played, run, v2g

SHORT = Play(("--start", "57", "--duration", "8"))  # 3 s of quiet, then 5 s of the event
FRAME = struct.Struct("<4sII")  # kind, length, checksum: the journal's docstring


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Played:
    return run(SHORT, tmp_path_factory.mktemp("short") / "demo")


@pytest.fixture
def answers(short: Played, tmp_path: Path) -> Callable[[str, bytes], tuple[int, str, str]]:
    """(command, content of a journal) -> exit code, stdout, stderr, with the folder taken out of the text."""

    def ask(command: str, content: bytes) -> tuple[int, str, str]:
        path = tmp_path / "journal.v2gj"
        path.write_bytes(content)
        done = v2g(command, path, cwd=tmp_path)
        return done.returncode, done.stdout.replace(f"{tmp_path}/", ""), done.stderr.replace(f"{tmp_path}/", "")

    return ask


# ---- it passes ----


def test_the_demonstration_passes_and_leaves_no_process_behind(short: Played) -> None:
    assert short.code == 0, short.err
    assert short.verdict["passed"]
    assert short.left == ()


def test_the_report_of_its_journal_says_the_same(short: Played, tmp_path: Path) -> None:
    done = v2g("report", short.journal, "--json", "--out", tmp_path / "again.html", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    again = json.loads(done.stdout)
    assert again.pop("report") == str(tmp_path / "again.html")
    assert again == {key: value for key, value in short.verdict.items() if key != "report"}


def test_its_journal_is_identical_over_every_step(short: Played, tmp_path: Path) -> None:
    done = v2g("replay", short.journal, "--json", cwd=tmp_path)
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["identical"], answer["notes"]) == (0, True, [])
    (only,) = answer["runs"]
    assert only["identical"] == short.verdict["steps"]
    assert (only["lost"], only["adrift"], only["difference"]) == (0, 0, "")


# ---- damage ----

Content = bytes
Frame = tuple[int, bytes, bytes]  # position, kind, payload


def frames(content: Content) -> Iterator[Frame]:
    at = content.index(b"\n") + 1
    while at < len(content):
        kind, length, _ = FRAME.unpack_from(content, at)
        yield at, kind, content[at + FRAME.size : at + FRAME.size + length]
        at += FRAME.size + length


def middle_step(content: Content) -> Frame:
    steps = [frame for frame in frames(content) if frame[1] == b"STEP"]
    return steps[len(steps) // 2]


def with_frame(content: Content, frame: Frame, payload: bytes) -> Content:
    """The frame's payload replaced, with a checksum that fits: damage that only a replay can find."""
    at, kind, old = frame
    head = FRAME.pack(kind, len(payload), zlib.crc32(payload, zlib.crc32(kind)))
    return content[:at] + head + payload + content[at + FRAME.size + len(old) :]


def one_byte_changed(content: Content) -> Content:
    at = middle_step(content)[0] + FRAME.size + 40
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


def truncated(content: Content) -> Content:
    return content[:-100]


def header_of(schema: int, layout: int) -> Callable[[Content], Content]:
    def damage(content: Content) -> Content:
        line, _, rest = content.partition(b"\n")
        return b"%s %d %016x\n" % (line.split()[0], schema, layout) + rest

    return damage


def other_machine_code(content: Content) -> Content:
    """Recorded by a build whose arithmetic differs: other checksums of the outputs, another build in the facts."""
    info = next(frame for frame in frames(content) if frame[1] == b"INFO")
    facts: dict[str, Any] = json.loads(info[2]) | {"build": "0.0.9+0123456789ab"}
    content = with_frame(content, info, json.dumps(facts).encode())
    step = middle_step(content)
    crc = struct.unpack_from("<I", step[2], 13)[0] ^ 1
    return with_frame(content, step, step[2][:13] + struct.pack("<I", crc) + step[2][17:])


NOT_OURS = layout_hash() ^ 1
CHANGED = "the checksum of this STEP frame does not fit"
COMPUTES = "(recorded by build 0.0.9+0123456789ab, this is "
LAYOUT = f"journal.v2gj: written by another build: record layout {NOT_OURS:016x}, here {layout_hash():016x}"
NEWER = "journal.v2gj: schema 3 is newer than this program reads (2); update it"
FOREIGN = "journal.v2gj: is no journal"
# fmt: off
DAMAGE = [
    # what is done                   code  where  says                 why
    (one_byte_changed,               1,    "out", CHANGED,             "one byte changed"),
    (truncated,                      1,    "out", "frame (truncated)", "truncated"),
    (other_machine_code,             1,    "out", COMPUTES,            "a build that computes otherwise"),
    (header_of(1, NOT_OURS),         2,    "err", LAYOUT,              "another record layout"),
    (header_of(3, layout_hash()),    2,    "err", NEWER,               "a newer schema"),
    (lambda _: b"t_s,f_hz\n0,50\n",  2,    "err", FOREIGN,             "another file"),
]
# fmt: on


@pytest.mark.parametrize(("damage", "code", "where", "says", "why"), DAMAGE, ids=[c[-1] for c in DAMAGE])
def test_a_damaged_journal_gets_a_clear_answer(
    short: Played, answers: Callable[[str, bytes], tuple[int, str, str]], damage: Callable[[Content], Content],
    code: int, where: str, says: str, why: str,
) -> None:  # fmt: skip
    found, out, err = answers("replay", damage(short.journal.read_bytes()))
    assert found == code, why
    assert says in (out if where == "out" else err)
    if where == "out":
        assert out.splitlines()[-1] == "NOT identical"
        assert err == ""
    else:
        assert (out, err.count("\n")) == ("", 1), "one clear line"


def test_a_damaged_journal_gives_no_passing_report(
    short: Played, answers: Callable[[str, bytes], tuple[int, str, str]], tmp_path: Path
) -> None:
    code, out, _ = answers("report", one_byte_changed(short.journal.read_bytes()))
    assert code == 1
    assert re.search("FAIL +Steps that replay did not compute to equal bits .*: NOT identical; byte ", out)
    assert "replay: NOT identical" in out
    assert "verdict: FAIL" in out
    page = (tmp_path / "report.html").read_text()
    assert '<p class="word">FAIL</p>' in page
    assert "<title>DEMO: fail: " in page


def test_steps_behind_the_damage_are_counted_never_guessed(
    short: Played, answers: Callable[[str, bytes], tuple[int, str, str]]
) -> None:
    """Until the next state of the core in the journal nothing can be computed; the steps are named all the same."""
    content = short.journal.read_bytes()
    first_n = struct.unpack_from("<q", middle_step(content)[2])[0]
    _, out, _ = answers("replay", one_byte_changed(content))
    assert f"identical over {first_n} steps" in out
    assert "steps cannot be computed: no state to start from before them" in out


def test_a_run_killed_in_the_middle_of_a_write_is_read_to_its_last_whole_frame(short: Played, tmp_path: Path) -> None:
    path = tmp_path / "journal.v2gj"
    path.write_bytes(truncated(short.journal.read_bytes()))
    read = read_journal(path)
    assert len(read.problems) == 1
    assert short.verdict["steps"] - 200 <= read.runs[0].steps < short.verdict["steps"]
