"""The journal and its replay: equal bits, damage named, nothing lost at a restart."""

from __future__ import annotations

import json
import os
import resource
import signal
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import controller.journalwriter as writer_module
from controller.build import build_id
from controller.commands.replay import summary
from controller.journal import INPUTS, NAMES, JournalError, frame, frames, header, read_journal
from controller.journalwriter import JournalWriter
from controller.replay import period_s, replay
from controller.telemetry.wiring import open_journal
from cython_core.bulk import STEP
from cython_core.compiled import compiled
from cython_core.settings import Settings, to_mapping
from cython_core.step import Core

PERIOD_NS = 10_000_000
RECORD = STEP.itemsize


def info(epoch: int = 7) -> dict[str, Any]:
    facts = {"epoch": epoch, "site": "test", "build": build_id(), "period_ns": PERIOD_NS}
    return facts | {"settings": to_mapping(Settings())}


Steps = tuple[bytes, dict[int, bytes]]


def steps(n: int, f_hz: float = 60.0) -> Steps:
    """n steps of a running core as raw records, and its states before steps 0, 250, 500 ..."""
    core = Core(Settings(), 0.01, in_service=True)
    core.assume_power(2000.0)
    wave = f_hz + 0.2 * np.sin(np.arange(n) / 40.0)
    states, parts = {}, []
    for at in range(0, n, 250):
        states[at] = core.state()
        cut = slice(at, min(at + 250, n))
        part = core.run({"f_hz": wave[cut], "v_pu": np.ones(n)[cut], "p_demand_w": np.full(n, 2000.0)[cut]})
        parts.append(part.tobytes())
    return b"".join(parts), states


def write(path: Path, raw: bytes, **kwargs: Any) -> None:
    writer = JournalWriter(path)
    writer.begin(info())
    writer.append(raw, **kwargs)
    writer.close()


def test_other_settings_in_the_middle_begin_a_run_that_goes_on_with_the_steps(tmp_path: Path) -> None:
    first = Settings()
    second = replace(first, freq_droop=replace(first.freq_droop, k_uf=0.03))
    core = Core(first, 0.01, in_service=True)
    path, waves = tmp_path / "j.v2gj", {"f_hz": np.full(150, 59.8), "v_pu": np.ones(150), "p_demand_w": np.zeros(150)}
    writer = JournalWriter(path)
    for settings in (first, second):
        core.change(settings)
        writer.begin(info() | {"settings": to_mapping(settings), "settings_digest": core.digest})
        state = (core.n, core.state())
        writer.append(core.run(waves).tobytes(), snapshot=state)
        writer.close()
        writer = JournalWriter(path)  # and a restart of ours changes nothing
        assert writer.resume_n(7) == core.n
    result = replay(read_journal(path), keep=True)
    assert result.identical, summary(result)
    assert [(run.identical, int(run.records["n"][0])) for run in result.runs] == [(150, 0), (150, 150)]
    assert [run.info["settings"]["freq_droop"]["k_uf"] for run in result.runs] == [0.05, 0.03]


def test_a_step_has_the_same_length_in_the_run_and_in_its_replay() -> None:
    """To the last bit: 61 ms came out otherwise, and with it each filter coefficient."""
    settings = Settings()
    for period_ms in range(1, 101):
        live = compiled(settings, period_ms * 1e-3)  # as controller.launch has it
        assert compiled(settings, period_s({"period_ns": period_ms * 1_000_000})) == live, period_ms


@pytest.fixture(scope="module")
def thousand() -> Steps:
    return steps(1000)


def answer_to(path: Path) -> tuple[bool, str]:
    """(identical, what a person is told) of a journal, readable or not."""
    try:
        result = replay(read_journal(path))
    except JournalError as error:
        return False, str(error)
    return result.identical, "\n".join(summary(result))


def test_every_step_is_computed_again_to_the_same_bits(tmp_path: Path, thousand: Steps) -> None:
    raw, states = thousand
    write(tmp_path / "j.v2gj", raw, snapshot=(0, states[0]))
    result = replay(read_journal(tmp_path / "j.v2gj"), keep=True)
    assert result.identical
    assert result.runs[0].identical == 1000
    assert result.runs[0].records.tobytes() == raw


def test_a_journal_is_much_smaller_than_its_records(tmp_path: Path, thousand: Steps) -> None:
    raw, states = thousand
    write(tmp_path / "j.v2gj", raw, snapshot=(0, states[0]))
    assert (tmp_path / "j.v2gj").stat().st_size < len(raw) / 4


def test_appending_in_any_pieces_gives_the_same_steps(tmp_path: Path, thousand: Steps) -> None:
    raw, states = thousand
    writer = JournalWriter(tmp_path / "j.v2gj")
    writer.begin(info())
    at = 0
    for size in (1, 99, 1, 250, 3, 646):
        writer.append(raw[at * RECORD : (at + size) * RECORD], (0, states[0]) if at == 0 else None)
        at += size
    writer.close()
    result = replay(read_journal(tmp_path / "j.v2gj"))
    assert (result.identical, result.runs[0].identical) == (True, 1000)


def test_one_changed_byte_anywhere_is_noticed(tmp_path: Path, thousand: Steps) -> None:
    raw, states = thousand
    good = tmp_path / "j.v2gj"
    write(good, raw[: 300 * RECORD], snapshot=(0, states[0]))
    content = good.read_bytes()
    bad = tmp_path / "bad.v2gj"
    for at in range(0, len(content), len(content) // 60):
        bad.write_bytes(content[:at] + bytes([content[at] ^ 0x10]) + content[at + 1 :])
        assert not answer_to(bad)[0], f"byte {at} changed and nobody noticed"


def test_a_changed_input_with_a_mended_checksum_is_named_by_step_and_field(tmp_path: Path) -> None:
    raw, states = steps(200)
    records = np.frombuffer(raw, dtype=STEP).copy()
    records["p_cmd_w"][150] += 1.0
    write(tmp_path / "j.v2gj", records.tobytes(), snapshot=(0, states[0]))
    result = replay(read_journal(tmp_path / "j.v2gj"))
    assert not result.identical
    assert "step 150, field p_cmd_w: recorded" in result.runs[0].difference


# fmt: off
DAMAGE = [
    # what happens to the file                         part of the answer                  why
    (lambda b: b[:-5],                                 "in the middle of a STEP frame",    "the plug was pulled"),
    (lambda b: b[:500] + b"\0" * 40 + b[540:],         "checksum",                         "a bad sector"),
    (lambda b: b.replace(b"journal 2", b"journal 3"),  "schema 3 is newer",                "a later program"),
    (lambda b: b[:14] + b"0" * 16 + b[30:],            "another build: record layout 00",  "other fields"),
    (lambda b: b"PK\3\4" + b,                          "is no journal",                    "some other file"),
]
# fmt: on


@pytest.mark.parametrize(("damage", "answer", "why"), DAMAGE, ids=[d[-1] for d in DAMAGE])
def test_a_damaged_journal_gets_a_clear_answer(tmp_path: Path, damage: Any, answer: str, why: str) -> None:
    raw, states = steps(300)
    path = tmp_path / "j.v2gj"
    write(path, raw, snapshot=(0, states[0]))
    path.write_bytes(damage(path.read_bytes()))
    identical, told = answer_to(path)
    assert not identical
    assert answer in told, why


def test_another_build_is_named_when_the_bits_differ(tmp_path: Path) -> None:
    raw, states = steps(200)
    records = np.frombuffer(raw, dtype=STEP).copy()
    records["q_cmd_var"][20] = 5.0
    writer = JournalWriter(tmp_path / "j.v2gj")
    writer.begin(info() | {"build": "0.0.9+abcdef"})
    writer.append(records.tobytes(), (0, states[0]))
    writer.close()
    assert "recorded by build 0.0.9+abcdef" in replay(read_journal(tmp_path / "j.v2gj")).runs[0].difference


def test_a_killed_writer_goes_on_where_it_stopped(tmp_path: Path, thousand: Steps) -> None:
    raw, states = thousand
    path = tmp_path / "j.v2gj"
    first = JournalWriter(path)
    first.begin(info())
    first.append(raw[: 437 * RECORD], (0, states[0]))
    with path.open("ab") as file:  # killed: no close, and half a frame at the end
        file.write(struct.pack("<4sII", b"STEP", 5000, 1) + b"half")
    second = JournalWriter(path)
    assert second.resume_n(7) == 400  # whole chunks only; the ring still has the rest
    second.begin(info())
    second.append(raw[300 * RECORD :])  # the ring gives more than is missing: known steps are passed over
    second.close()
    result = replay(read_journal(path))
    assert (result.identical, result.runs[0].identical) == (True, 1000)


def test_a_torn_frame_is_off_the_disk_before_another_is_written(
    tmp_path: Path, thousand: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "j", thousand[0])
    whole = (tmp_path / "j").stat().st_size
    with (tmp_path / "j").open("ab") as file:
        file.write(b"STEP torn")
    forced_out: list[int] = []
    monkeypatch.setattr("controller.wholefile.os.fsync", lambda fd: forced_out.append(os.fstat(fd).st_size))
    JournalWriter(tmp_path / "j")
    assert forced_out == [whole]


def test_a_gap_is_counted_and_the_next_state_is_the_place_to_go_on(tmp_path: Path, thousand: Steps) -> None:
    raw, states = thousand
    writer = JournalWriter(tmp_path / "j.v2gj")
    writer.begin(info())
    writer.append(raw[: 100 * RECORD], (0, states[0]))
    writer.append(raw[400 * RECORD : 700 * RECORD], (500, states[500]))
    writer.append(raw[700 * RECORD :])
    writer.close()
    run = replay(read_journal(tmp_path / "j.v2gj")).runs[0]
    assert (run.identical, run.lost, run.adrift, run.difference) == (600, 300, 100, "")


def test_a_new_epoch_is_a_new_run(tmp_path: Path) -> None:
    raw, states = steps(200)
    writer = JournalWriter(tmp_path / "j.v2gj")
    for epoch in (7, 8):
        writer.begin(info(epoch))
        writer.append(raw, (0, states[0]))
    writer.close()
    result = replay(read_journal(tmp_path / "j.v2gj"))
    assert [(r.info["epoch"], r.identical) for r in result.runs] == [(7, 200), (8, 200)]


def test_the_file_is_bounded_and_each_part_can_be_replayed(tmp_path: Path, thousand: Steps) -> None:
    raw, states = thousand
    path = tmp_path / "j.v2gj"
    writer = JournalWriter(path, max_bytes=20_000)
    writer.begin(info())
    for at in range(0, 1000, 250):
        writer.append(raw[at * RECORD : (at + 250) * RECORD], (at, states[at]))
    writer.close()
    parts = [replay(read_journal(p)) for p in (tmp_path / "j.1.v2gj", path)]
    assert all(p.identical for p in parts)
    assert parts[1].runs[0].identical < 1000


# ---- schema 1: read, never gone on with ----


def schema_1(raw: bytes, state: bytes, full: bool) -> bytes:
    """A journal as the first schema had it: differences of every column, all of their eight byte planes in turn."""
    names = [n for n in NAMES if full or (n in INPUTS and n != "n")]
    records = np.frombuffer(raw, dtype=STEP)

    def frame(kind: bytes, payload: bytes) -> bytes:
        return struct.pack("<4sII", kind, len(payload), zlib.crc32(payload, zlib.crc32(kind))) + payload

    parts = [header().replace(b"journal 2", b"journal 1"), frame(b"INFO", json.dumps(info()).encode())]
    parts.append(frame(b"STAT", struct.pack("<q", 0) + state))
    for at in range(0, len(records), 100):
        chunk = records[at : at + 100]
        table = np.stack([chunk[n].view(np.int64) for n in names])
        table[:, 1:] = np.diff(table, axis=1)
        planes = table.reshape(-1).view(np.uint8).reshape(-1, 8).T
        head = struct.pack("<qiBI", int(chunk["n"][0]), len(chunk), full, zlib.crc32(chunk.tobytes()))
        parts.append(frame(b"STEP", head + zlib.compress(planes.tobytes())))
    return b"".join(parts)


@pytest.mark.parametrize("full", [False, True], ids=["inputs", "all fields"])
def test_a_journal_of_the_first_schema_is_read(tmp_path: Path, full: bool) -> None:
    raw, states = steps(250)
    (tmp_path / "j.v2gj").write_bytes(schema_1(raw, states[0], full))
    result = replay(read_journal(tmp_path / "j.v2gj"), keep=True)
    assert (result.identical, result.runs[0].records.tobytes() == raw) == (True, True)


def test_the_writer_does_not_go_on_with_an_older_journal(tmp_path: Path) -> None:
    """Frames of two schemas in one file would be read as one of them. Who asked for it moves the file away."""
    raw, states = steps(250)
    old = schema_1(raw, states[0], full=False)
    (tmp_path / "j.v2gj").write_bytes(old)
    with pytest.raises(JournalError, match="schema 1 is read, but gone on with only in schema 2"):
        JournalWriter(tmp_path / "j.v2gj")
    assert (tmp_path / "j.v2gj").read_bytes() == old


def test_an_empty_file_and_a_missing_one(tmp_path: Path) -> None:
    (tmp_path / "empty.v2gj").write_bytes(b"")
    with pytest.raises(JournalError, match="is no journal"):
        read_journal(tmp_path / "empty.v2gj")
    with pytest.raises(FileNotFoundError):
        read_journal(tmp_path / "none.v2gj")


def test_a_full_disk_leaves_whole_frames_and_a_counted_gap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """/dev/full cannot be truncated, so the disk is a file whose size limit the kernel enforces."""
    raw, states = steps(1000)
    path = tmp_path / "j.v2gj"
    writer = JournalWriter(path)
    writer.begin(info())
    writer.append(raw[: 200 * RECORD], (0, states[0]))
    room = path.stat().st_size + 100
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    monkeypatch.setattr(writer_module, "MOST_WAITING", 300)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
        for at in range(200, 700, 100):
            with pytest.raises(OSError, match=r"full|large"):
                writer.append(raw[at * RECORD : (at + 100) * RECORD])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    writer.append(raw[700 * RECORD :], (750, states[750]))
    writer.close()
    run = replay(read_journal(path)).runs[0]
    assert read_journal(path).problems == []
    assert (run.identical, run.lost, run.difference) == (200 + 250, 500, "")


def test_a_quiet_day_costs_less_than_150_mb(tmp_path: Path) -> None:
    """10 min of noisy readings, a meter poll each 5 steps, every lateness: 8.64 million steps a day at 10 ms."""
    n, rng = 60_000, np.random.default_rng(1)
    core = Core(Settings(), 0.01, in_service=True)
    noise = np.repeat(60.0 + rng.normal(0.0, 0.003, n // 5), 5)
    v_pu = np.repeat(1.0 + rng.normal(0.0, 0.001, n // 5), 5)
    records = core.run({"f_hz": noise, "v_pu": v_pu, "p_demand_w": np.full(n, 2000.0)}).copy()
    taken_ns = np.repeat(records["t_ns"][::5] - rng.integers(0, 2_000_000, n // 5), 5)
    for name in ("m_t_f_ns", "m_t_v_ns", "m_t_p_ns"):
        records[name] = taken_ns
    records["d_t_ns"] = np.repeat(records["t_ns"][::10] - rng.integers(0, 2_000_000, n // 10), 10)
    records["lateness_ns"] = rng.integers(20_000, 60_000, n)
    write(tmp_path / "j.v2gj", records.tobytes())
    assert (tmp_path / "j.v2gj").stat().st_size / n * 8.64e6 < 150e6


def damaged(path: Path, raw: bytes, states: dict[int, bytes], offset: int, by: int) -> bytes:
    """A journal with one changed byte in the head of its fourth chunk; what stood in the file then."""
    write(path, raw, snapshot=(0, states[0]))
    with path.open("rb") as file:
        file.readline(200)
        at = [at for at, kind, _ in frames(file, []) if kind == b"STEP"][3]
    found = bytearray(path.read_bytes())
    found[at + offset] ^= by
    path.write_bytes(found)
    return bytes(found)


# fmt: off
HEADS = [
    # byte, bits   why
    (0, 0x20,      "the kind: what follows is no frame"),
    (5, 0x40,      "the length: 16 KiB more, inside the file"),
    (7, 0x80,      "the length: 2 GiB more, which nobody has"),
]
# fmt: on


@pytest.mark.parametrize(("offset", "by", "why"), HEADS, ids=[row[-1] for row in HEADS])
def test_damage_further_up_costs_nothing_of_what_stands_behind_it(
    tmp_path: Path, thousand: Steps, offset: int, by: int, why: str
) -> None:
    """A torn end is cut off; here hours of steps may follow, and the chain has sealed them."""
    path = tmp_path / "journal.v2gj"
    before = damaged(path, *thousand, offset, by)
    with pytest.raises(JournalError, match="damaged at byte"):
        JournalWriter(path)
    assert path.read_bytes() == before
    writer = open_journal(path)
    writer.close()
    (aside,) = tmp_path.glob("journal.v2gj.bad-*")
    assert aside.read_bytes() == before
    assert read_journal(path).runs == []


@contextmanager
def disk_of(room: int) -> Iterator[None]:
    """No file grows beyond so many bytes."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_facts_that_a_full_disk_refused_are_written_before_the_steps_they_belong_to(tmp_path: Path) -> None:
    """Else these steps would be taken for steps of the run before, under its settings."""
    path, other = tmp_path / "j.v2gj", replace(Settings(), freq_droop=replace(Settings().freq_droop, k_uf=0.03))
    raw, states = steps(100)
    writer = JournalWriter(path)
    writer.begin(info(7))
    writer.append(raw, (0, states[0]))
    facts = info(8) | {"settings": to_mapping(other)}
    with disk_of(path.stat().st_size + 20), pytest.raises(OSError, match=r"full|large"):
        writer.begin(facts)
    core = Core(other, 0.01, in_service=True)
    first = (0, core.state())
    waves = {"f_hz": np.full(100, 59.8), "v_pu": np.ones(100), "p_demand_w": np.zeros(100)}
    writer.begin(facts)
    writer.append(core.run(waves).tobytes(), first)
    writer.close()
    result = replay(read_journal(path))
    assert result.identical, summary(result)
    assert [run.info["epoch"] for run in result.runs] == [7, 8]


@pytest.mark.parametrize("room", [10, 100], ids=["not even a first line", "a first line without facts"])
def test_a_file_that_a_full_disk_cannot_begin_is_begun_later(tmp_path: Path, thousand: Steps, room: int) -> None:
    raw, states = thousand
    path = tmp_path / "j.v2gj"
    writer = JournalWriter(path, max_bytes=11_000)
    writer.begin(info())
    writer.append(raw[: 250 * RECORD], (0, states[0]))
    writer.flush()
    assert path.stat().st_size > 11_000
    with disk_of(room), pytest.raises(OSError, match=r"full|large"):
        writer.append(raw[250 * RECORD : 500 * RECORD], (250, states[250]))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["j.v2gj"]
    writer.append(raw[500 * RECORD : 750 * RECORD], (500, states[500]))
    writer.flush()
    writer.append(raw[750 * RECORD :], (750, states[750]))
    writer.close()
    for file in (path, tmp_path / "j.1.v2gj"):
        assert answer_to(file)[0], answer_to(file)


GONE = json.dumps(info() | {"settings": to_mapping(Settings()) | {"moon_phase": {}}}).encode()
NOT_PACKED = struct.pack("<qiBI", 0, 9, 0, 1) + b"x"
# fmt: off
FOREIGN = [
    # frames with their right checksums               what is said                 why
    ([(b"INFO", b"garbage")],                         "facts at byte 31",          "no JSON"),
    ([(b"INFO", b"[1]")],                             "facts at byte 31",          "a list"),
    ([(b"INFO", b'{"epoch": 1}')],                    "facts at byte 31",          "of no settings"),
    ([(b"INFO", GONE)],                               "unknown group 'moon_phase'", "a group of another build"),
    ([(b"INFO", b""), (b"STAT", bytes(108))],         "a state of 100 bytes",      "a core of another build"),
    ([(b"INFO", b""), (b"STAT", b"12345")],           "what follows is no frame",  "a state without its step"),
    ([(b"INFO", b""), (b"STEP", NOT_PACKED)],         "decompressing",             "no compressed steps"),
    ([(b"INFO", b""), (b"GAP ", b"1")],               "what follows is no frame",  "half a gap"),
]
# fmt: on


@pytest.mark.parametrize(("frames", "said", "why"), FOREIGN, ids=[row[-1] for row in FOREIGN])
def test_what_this_build_does_not_write_gets_a_clear_answer(
    tmp_path: Path, frames: list[tuple[bytes, bytes]], said: str, why: str
) -> None:
    path, facts = tmp_path / "j.v2gj", json.dumps(info()).encode()
    whole = (frame(kind, payload or facts) for kind, payload in frames)
    path.write_bytes(header() + b"".join(whole))
    identical, text = answer_to(path)
    assert not identical
    assert said in text
