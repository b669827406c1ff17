"""The record: every changed byte is found, of chain and journal; a cut holds up to the cut; what is torn goes on.

The journals are real ones of made-up steps.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
from hashlib import sha256
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.chain import FIRST, NAME, ChainWriter, line_bytes, older, read_chain
from controller.cli import main
from controller.journalwriter import JournalWriter
from controller.seal import JOURNAL, Seal
from controller.verify import Verdict, verify_record
from tests.controller.telemetry.makers import info, records
from tests.controller.test_site import GOOD

HOUR_MS = 3_600_000
T0_MS = 1_700_000_000_000


def run_once(folder: Path, hours: int = 3, first_n: int = 0, max_bytes: int = 1 << 30) -> None:
    """A telemetry process lives for so many hours, each with a hundred steps and an event, and ends well."""
    began_ms = T0_MS + first_n // 100 * HOUR_MS
    journal = JournalWriter(folder / JOURNAL, max_bytes)
    journal.begin(info())
    seal = Seal(folder / NAME, folder / JOURNAL, began_ms)
    seal.settings(info(), began_ms)
    for hour in range(1, hours + 1):
        n, now_ms = first_n + 100 * (hour - 1), began_ms + hour * HOUR_MS
        journal.append(records(n, 100).tobytes(), (n, b"\x01" * 8))
        seal.event({"event": "state", "hour": hour}, now_ms - 1)
        assert seal.turn(now_ms)
    journal.close()
    seal.close(now_ms)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    run_once(folder)
    return folder


@pytest.fixture
def site(whole: Path, tmp_path: Path) -> Path:
    return shutil.copytree(whole, tmp_path / "site")


def test_a_line_by_pencil() -> None:
    """The hash is what sha256sum says of the text before `,"hash"`."""
    text = '{"v":1,"n":0,"t_ms":5,"kind":"event","body":{"a":1},"prev":"' + FIRST + '"'
    told = "382f55e951b96d1cbe09591de051e8eeced0e27c58095e96d1c3f3add6110d66"
    assert line_bytes(0, 5, "event", {"a": 1}, FIRST).decode() == f'{text},"hash":"{told}"}}\n'


def test_an_untouched_record_holds(site: Path) -> None:
    verdict = verify_record(site)
    assert verdict.breaks == []
    assert [line.kind for line in read_chain(site / NAME)] == ["settings"] + ["event", "journal"] * 3
    assert (verdict.lines, verdict.unsealed_bytes) == (7, 0)
    assert verdict.sealed_bytes == (site / JOURNAL).stat().st_size


@given(at=st.integers(0, 10**7), by=st.integers(1, 255))
def test_every_changed_byte_of_the_chain_is_found(whole: Path, at: int, by: int) -> None:
    assert changed(whole, NAME, at, by).breaks


@given(at=st.integers(0, 10**7), by=st.integers(1, 255))
def test_every_changed_byte_of_the_journal_is_found(whole: Path, at: int, by: int) -> None:
    verdict = changed(whole, JOURNAL, at, by)
    assert len(verdict.breaks) == 1
    assert "are not as they were sealed at 2023-11-1" in verdict.breaks[0]


def changed(whole: Path, name: str, at: int, by: int) -> Verdict:
    """One byte is another, then verified; afterwards as before."""
    file = whole / name
    right = file.read_bytes()
    wrong = bytearray(right)
    wrong[at % len(right)] ^= by
    try:
        file.write_bytes(wrong)
        return verify_record(whole)
    finally:
        file.write_bytes(right)


@given(cut=st.integers(0, 10**7))
def test_cut_anywhere_it_holds_up_to_the_cut_and_goes_on(
    whole: Path, tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    folder = tmp_path_factory.mktemp("cut")
    text = (whole / NAME).read_bytes()
    (folder / NAME).write_bytes(text[: cut % len(text)])
    whole_lines = text[: cut % len(text)].count(b"\n")
    torn = cut % len(text) > 0 and not text[: cut % len(text)].endswith(b"\n")
    verdict = verify_record(folder)
    assert verdict.lines == whole_lines
    assert any("ends in the middle" in one for one in verdict.breaks) == torn
    writer = ChainWriter(folder / NAME, T0_MS)
    writer.add("event", {}, T0_MS)
    writer.close()
    after = verify_record(folder)
    assert not any(NAME in one for one in after.breaks), after.breaks
    assert after.lines == whole_lines + torn + 1


def test_a_torn_line_is_off_the_disk_before_another_is_added(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a second power cut could leave the old page with it and the new ones after it: damage, not a torn end."""
    text = (whole / NAME).read_bytes()
    (tmp_path / NAME).write_bytes(text[:-10])
    forced_out: list[int] = []
    monkeypatch.setattr("controller.wholefile.os.fsync", lambda fd: forced_out.append(os.fstat(fd).st_size))
    ChainWriter(tmp_path / NAME, T0_MS)
    assert forced_out == [text[:-10].rfind(b"\n") + 1]


# fmt: off
TAMPERED = [
    # what is done to the lines         said                                          why
    (lambda lines: lines[:2] + lines[3:], ":3: n = 3 does not follow n = 1",          "a line taken out"),
    (lambda lines: [*lines[:2], lines[3], lines[2], *lines[4:]], ":3: n = 3 does not follow n = 1", "two exchanged"),
    (lambda lines: lines[:3] + lines[2:], ":4: n = 2 does not follow n = 2",          "one doubled"),
    (lambda lines: [*lines[:2], forged(lines[2]), *lines[3:]], ":4: n = 3 does not follow n = 2",
     "changed, with a hash that fits: the next line tells"),
]
# fmt: on


def forged(raw: bytes) -> bytes:
    tree = json.loads(raw)
    return line_bytes(tree["n"], tree["t_ms"], "event", {"event": "nothing"}, tree["prev"])


@pytest.mark.parametrize(("tamper", "said", "why"), TAMPERED, ids=[c[-1] for c in TAMPERED])
def test_the_first_broken_link_is_named(site: Path, tamper: object, said: str, why: str) -> None:
    assert callable(tamper)
    lines = (site / NAME).read_bytes().splitlines(keepends=True)
    (site / NAME).write_bytes(b"".join(tamper(lines)))
    verdict = verify_record(site)
    assert f"{NAME}{said}" in verdict.breaks[0], why


# fmt: off
FORGED = [
    # the line behind the last one, with its right hash                                          why
    ("garbage",                                                                                  "no JSON"),
    ('{"v":1,"n":7',                                                                             "keys missing"),
    ('{"v":"1","n":7,"t_ms":5,"kind":"event","body":{},"prev":"PREV"',                           "a version of text"),
    ('{"v":1,"n":7,"t_ms":"x","kind":"event","body":{},"prev":"PREV"',                           "a time of text"),
    ('{"v":1,"n":7,"t_ms":1e300,"kind":"event","body":{},"prev":"PREV"',                         "no calendar has it"),
    ('{"v":1,"n":7,"t_ms":9999999999999999,"kind":"event","body":{},"prev":"PREV"',              "the year 318857"),
    ('{"v":1,"n":7,"t_ms":5,"kind":"event","body":[],"prev":"PREV"',                             "a list for a body"),
    ('{"v":1,"n":7,"t_ms":5,"kind":"settings","body":{},"prev":"PREV"',                          "of no run"),
    ('{"v":1,"n":7,"t_ms":5,"kind":"damaged","body":{},"prev":"PREV"',                           "without a word"),
    ('{"v":1,"n":7,"t_ms":5,"kind":"journal","body":{},"prev":"PREV"',                           "seals nothing"),
    ('{"v":1,"n":7,"t_ms":5,"kind":"journal","body":{"file":0,"from":-5,"to":9,"sha256":"x"},"prev":"PREV"', "from -5"),
    ('{"v":1,"n":7,"t_ms":5,"kind":"event","body":' + "[" * 100_000 + ',"prev":"PREV"',          "without end"),
]
# fmt: on


@pytest.mark.parametrize(("text", "why"), FORGED, ids=[row[-1] for row in FORGED])
def test_a_forged_line_is_a_break_for_the_reader_and_set_aside_by_the_writer(site: Path, text: str, why: str) -> None:
    """Whoever can write the file can make a hash; the program says so and goes on."""
    *_, last = read_chain(site / NAME)
    forged = text.replace("PREV", last.hash).encode()
    with (site / NAME).open("ab") as file:
        file.write(forged + f',"hash":"{sha256(forged).hexdigest()}"}}\n'.encode())
    verdict = verify_record(site)
    assert verdict.breaks == [f"{site / NAME}:8: has its hash, and is not what this program writes"]
    assert verdict.newest == last
    Seal(site / NAME, site / JOURNAL, T0_MS).close(T0_MS)
    assert [line.kind for line in read_chain(site / NAME)] == ["damaged", "journal"]


def test_a_whole_new_chain_is_told_by_a_hash_that_has_left_the_machine(site: Path) -> None:
    anchor = [line.hash for line in read_chain(site / NAME) if line.kind == "journal"][1]
    assert verify_record(site, anchor).anchored
    shutil.rmtree(site)
    site.mkdir()
    run_once(site, hours=4, first_n=500)
    assert verify_record(site).breaks == [], "by itself it holds"
    verdict = verify_record(site, anchor)
    assert f"no line has the hash {anchor}" in verdict.breaks[0]


def test_lines_taken_from_the_end_are_told_by_that_hash(site: Path) -> None:
    anchor = list(read_chain(site / NAME))[-1].hash
    lines = (site / NAME).read_bytes().splitlines(keepends=True)
    (site / NAME).write_bytes(b"".join(lines[:-1]))
    assert verify_record(site, anchor).breaks


def test_a_restart_goes_on_in_the_same_chain_and_journal(site: Path) -> None:
    run_once(site, hours=1, first_n=300)
    verdict = verify_record(site)
    assert (verdict.breaks, verdict.unsealed_bytes) == ([], 0)
    assert [line.kind for line in read_chain(site / NAME)][7:] == ["event", "journal"], "the same settings: once"
    assert {line.body["file"] for line in read_chain(site / NAME) if line.kind == "journal"} == {0}


def test_a_journal_that_was_begun_anew_at_its_size_limit_stays_under_seal(tmp_path: Path) -> None:
    run_once(tmp_path, hours=6, max_bytes=300)
    verdict = verify_record(tmp_path)
    files = {line.body["file"] for line in read_chain(tmp_path / NAME) if line.kind == "journal"}
    assert verdict.breaks == []
    assert len(files) >= 3
    assert verdict.removed == sorted(files)[:-2][::-1]
    spoilt = older(tmp_path / JOURNAL)
    spoilt.write_bytes(spoilt.read_bytes()[:-1] + b"\x00")
    [broken] = verify_record(tmp_path).breaks
    assert broken.startswith(f"{spoilt}: bytes ")


def test_a_journal_that_was_renamed_while_nobody_ran_is_sealed_to_its_end(tmp_path: Path) -> None:
    journal = JournalWriter(tmp_path / JOURNAL)
    journal.begin(info())
    seal = Seal(tmp_path / NAME, tmp_path / JOURNAL, T0_MS)
    journal.append(records(0, 100).tobytes())
    assert seal.turn(T0_MS + HOUR_MS)
    journal.append(records(100, 100).tobytes())  # not sealed any more: killed here
    journal.close()
    (tmp_path / JOURNAL).rename(older(tmp_path / JOURNAL))
    run_once(tmp_path, hours=1, first_n=200)
    verdict = verify_record(tmp_path)
    assert verdict.breaks == []
    assert verdict.sealed_bytes == sum(f.stat().st_size for f in (tmp_path / JOURNAL, older(tmp_path / JOURNAL)))


def test_a_journal_begun_anew_since_the_last_seal_is_no_break(tmp_path: Path) -> None:
    run_once(tmp_path)
    (tmp_path / JOURNAL).rename(older(tmp_path / JOURNAL))
    JournalWriter(tmp_path / JOURNAL).close()
    verdict = verify_record(tmp_path)
    assert verdict.breaks == []
    assert verdict.unsealed_bytes == (tmp_path / JOURNAL).stat().st_size


def test_a_journal_that_was_set_aside_is_found_there(site: Path) -> None:
    """After an update with another layout of records."""
    (site / JOURNAL).rename(site / f"{JOURNAL}.bad-20260101T000000Z")
    run_once(site, hours=1)
    assert verify_record(site).breaks == []


def test_a_missing_journal_is_named(site: Path) -> None:
    (site / JOURNAL).unlink()
    [broken] = verify_record(site).breaks
    assert f"{JOURNAL}: is not there, and n = 2 of the record has sealed it" in broken


def test_the_chain_goes_on_in_a_new_file_at_its_size_limit(tmp_path: Path) -> None:
    writer = ChainWriter(tmp_path / NAME, T0_MS, max_bytes=2000)
    for i in range(40):
        writer.add("event", {"i": i}, T0_MS)
    writer.close()
    verdict = verify_record(tmp_path)
    assert verdict.breaks == []
    assert verdict.oldest is not None
    assert verdict.newest is not None
    assert (verdict.oldest.n > 0, verdict.newest.n) == (True, 39)
    (tmp_path / NAME).unlink()  # killed between two files
    writer = ChainWriter(tmp_path / NAME, T0_MS)
    assert writer.add("event", {}, T0_MS).n == len(list(read_chain(older(tmp_path / NAME)))) + verdict.oldest.n


def test_a_file_that_could_not_be_begun_is_begun_by_the_next_line(tmp_path: Path) -> None:
    """Nothing may be opened for a while: that line is refused, the process lives, and the chain goes on."""
    writer = ChainWriter(tmp_path / NAME, T0_MS, max_bytes=100)
    writer.add("event", {"a": 1}, T0_MS)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, before[1]))
    try:
        for _ in range(2):
            with pytest.raises(OSError, match="Too many open files"):
                writer.add("event", {"a": 2}, T0_MS)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    writer.add("event", {"a": 3}, T0_MS)
    writer.close()
    verdict = verify_record(tmp_path)
    assert (verdict.breaks, verdict.lines) == ([], 2)


def test_after_a_hundred_power_cuts_chain_and_journal_hold_up_to_each_cut(tmp_path: Path) -> None:
    """What was synced stays (digest and the bytes under it); what came later is torn off anywhere, in both files."""
    random, n, now_ms = Random(11), 0, T0_MS
    for number in range(100):
        journal = JournalWriter(tmp_path / JOURNAL, max_bytes=4000)
        journal.begin(info())
        seal = Seal(tmp_path / NAME, tmp_path / JOURNAL, now_ms)
        seal.settings(info(), now_ms)
        n = journal.resume_n(7) or 0  # the ring has the steps again that the journal has lost
        for _ in range(random.randint(1, 4)):
            journal.append(records(n, 100).tobytes(), (n, b"\x01" * 8))
            n, now_ms = n + 100, now_ms + HOUR_MS // 2
            seal.event({"event": "state", "n": n}, now_ms)
            if seal.turn(now_ms):
                synced = {file: (tmp_path / file).stat().st_size for file in (NAME, JOURNAL)}
                synced_line = seal.chain.newest
        if number == 0:
            assert synced_line is not None
        for file in (NAME, JOURNAL):
            size = (tmp_path / file).stat().st_size
            os.truncate(tmp_path / file, random.randint(min(synced[file], size), size))
        held = ChainWriter(tmp_path / NAME, now_ms)
        held.close()
        verdict = verify_record(tmp_path)
        assert verdict.breaks == [], number
        assert verdict.newest is not None
        assert synced_line is not None
        assert verdict.newest.n >= synced_line.n
    assert verdict.lines > 300


def test_an_hour_is_counted_over_restarts(tmp_path: Path) -> None:
    run_once(tmp_path, hours=1)
    seal = Seal(tmp_path / NAME, tmp_path / JOURNAL, T0_MS + HOUR_MS + 1)
    assert not seal.turn(T0_MS + 2 * HOUR_MS - 1)
    assert seal.turn(T0_MS + 2 * HOUR_MS)


def test_damage_is_set_aside_and_never_forgotten(site: Path) -> None:
    text = (site / NAME).read_bytes().replace(b'"hour":1', b'"hour":7')
    (site / NAME).write_bytes(text)
    run_once(site, hours=1, first_n=300)
    verdict = verify_record(site)
    assert "found damaged when the program began" in "".join(verdict.breaks)
    [kept] = site.glob(f"{NAME}.bad-*")
    assert kept.read_bytes() == text


def test_a_refusing_disk_is_said_once_and_nothing_stops(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    seal = Seal(tmp_path / NAME, tmp_path / JOURNAL, T0_MS)
    seal.event({"i": 0}, T0_MS)
    seal.chain._file = open("/dev/full", "wb", buffering=0)  # noqa: PTH123, SIM115  # the kernel's own full disk
    seal.event({"i": 1}, T0_MS)
    seal.event({"i": 2}, T0_MS)
    assert seal.failures == 2
    assert caplog.text.count("V2G-RECORD-DISK") == 1


def test_what_v2g_verify_says(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = site.parent / "site.yaml"
    file.write_text(f"{GOOD}state_dir: {site}\n")
    assert main(["verify", str(file)]) == 0
    said = capsys.readouterr().out
    assert said.startswith("the record holds up to n = 6, 2023-11-15T01:13:20Z, hash ")
    assert main(["verify", str(file), "--json", "--anchor", "0" * 64]) == 1
    tree = json.loads(capsys.readouterr().out)
    assert (tree["holds"], tree["anchored"], tree["n"]) == (False, False, 6)
    (site / NAME).write_bytes((site / NAME).read_bytes().replace(b'"hour":2', b'"hour":9'))
    assert main(["verify", str(file)]) == 1
    said = capsys.readouterr().out
    assert f"BROKEN {site / NAME}:4: its text does not have its hash" in said
    assert "the record holds up to n = 2, 2023-11-14T23:13:20Z" in said
