"""The loop: one step a grid point of the monotonic clock, skip and count, never catch up. Real time, nothing timed."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cython_core.bulk import from_bytes
from cython_core.compiled import compiled
from cython_core.realtime.loop import Loop
from cython_core.realtime.mailbox import Mailbox
from cython_core.realtime.ring import RingReader, RingWriter
from cython_core.records import Command, DeviceState, Measurement, Mode, Order, Reason, State, Stop, Wish
from cython_core.step import Core
from tests.cython_core.race import load, race_folder
from tests.cython_core.unit import settings

PERIOD_NS = 2_000_000
RUNNING = DeviceState(valid=512 | 256 | 128 | 1, p_w=0.0, soc_pu=0.5, session=3, status=3)
METER = Measurement(valid=3, f_hz=60.0, v1_v=230.0)


@dataclass
class Rig:
    """A loop with its mailboxes and the ring it writes."""

    loop: Loop
    core: Core
    reader: RingReader
    meter: Mailbox
    device: Mailbox
    order: Mailbox
    command: Mailbox
    wishes: dict[int, Mailbox]
    rows: NDArray[Any]

    def fresh_inputs(self) -> None:
        now = time.monotonic_ns()
        self.meter.put(replace(METER, t_f_ns=now, t_v_ns=now))
        self.device.put(replace(RUNNING, t_ns=now, t_echo_ns=now))

    def read(self) -> None:
        raw, lost = self.reader.read()
        assert lost == 0
        self.rows = np.concatenate([self.rows, from_bytes(raw)])

    def until(self, what: Callable[[], bool], feed: bool = False) -> None:
        """Wait until it is so; ten seconds are a failure and not a measure."""
        end = time.monotonic() + 10.0
        while not what():
            assert time.monotonic() < end, "it did not come to that in 10 s"
            if feed:
                self.fresh_inputs()
            time.sleep(0.001)
            self.read()

    def steps(self, count: int, feed: bool = False) -> None:
        target = self.loop.steps + count
        self.until(lambda: self.loop.steps >= target and len(self.rows) >= target, feed)


def wish(source: int, p_w: float, seq: int = 1) -> Wish:
    now = time.monotonic_ns()
    return Wish(source, -8000.0, 10000.0, p_w, 0.0, now, now + 10**9 * 60, seq)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    core = Core(settings(), PERIOD_NS / 1e9)
    ring = RingWriter(tmp_path / "ring", {"epoch": 1}, PERIOD_NS, depth_s=60.0)
    meter, device, order, command = (Mailbox(r) for r in (Measurement, DeviceState, Order, Command))
    wishes = {source: Mailbox(Wish) for source in (1, 3, 6)}
    loop = Loop(core, ring, meter, device, order, command, wishes, snapshot_s=0.1)
    reader = RingReader(tmp_path / "ring")
    rig = Rig(loop, core, reader, meter, device, order, command, wishes, from_bytes(b""))
    yield rig
    assert loop.stop()


# --- the grid ---


def test_every_step_lies_on_the_grid(rig: Rig) -> None:
    rig.loop.start()
    rig.steps(300)
    assert rig.loop.stop()
    rig.read()
    rows = rig.rows
    assert list(rows["n"]) == list(range(len(rows)))
    assert set(rows["t_ns"] % PERIOD_NS) == {0}
    assert list(np.diff(rows["t_ns"])) == [k * PERIOD_NS for k in rows["k"][1:]]
    assert rows["skipped"][-1] == sum(rows["k"]) - len(rows) == rig.loop.skipped
    assert all((rows["lateness_ns"] >= 0) & (rows["lateness_ns"] < PERIOD_NS))
    assert rig.loop.lateness_max_ns == max(rows["lateness_ns"])
    assert rig.loop.steps == len(rows)


def test_stopped_it_steps_no_more(rig: Rig) -> None:
    rig.loop.start()
    rig.steps(5)
    assert rig.loop.stop()
    steps = rig.loop.steps
    time.sleep(5 * PERIOD_NS / 1e9)
    assert rig.loop.steps == steps
    assert rig.loop.stop()  # and again


def test_a_second_thread_on_the_same_state_is_refused(rig: Rig) -> None:
    rig.loop.start()
    with pytest.raises(RuntimeError, match="the loop has been started already; make another"):
        rig.loop.start()
    rig.steps(5)
    assert rig.loop.stop()
    with pytest.raises(RuntimeError, match="the loop has been started already; make another"):
        rig.loop.start()


def test_a_loop_that_never_started_stops(rig: Rig) -> None:
    assert rig.loop.stop()
    assert (rig.loop.steps, rig.loop.skipped, rig.loop.lateness_max_ns) == (0, 0, 0)


# --- what goes in and out ---


def test_without_inputs_it_is_silent_and_permitted(rig: Rig) -> None:
    rig.loop.start()
    rig.steps(3)
    assert set(rig.rows["mode"]) == {int(Mode.SILENT)}
    assert set(rig.rows["o_permit"]) == {1}
    assert set(rig.rows["i_source"]) == {-1}


def test_what_nobody_has_said_is_absent_and_not_0(rig: Rig) -> None:
    """Measurement() and DeviceState() are what the loop begins with, and an order that limits nothing."""
    rig.loop.start()
    rig.steps(3)
    for prefix, blank in (("m_", Measurement()), ("d_", DeviceState()), ("o_", Order())):
        for name in blank.__dataclass_fields__:
            np.testing.assert_equal(rig.rows[prefix + name], getattr(blank, name), err_msg=prefix + name)


def test_inputs_become_a_command(rig: Rig) -> None:
    rig.wishes[6].put(wish(6, 3000.0))
    rig.loop.start()
    rig.until(lambda: len(rig.rows) > 0 and rig.rows["state"][-1] == State.IN_SERVICE, feed=True)
    rig.steps(20, feed=True)
    assert rig.loop.stop()
    rig.read()
    command, last = rig.command.get(), rig.rows[-1]
    assert command == Command(*(last[n] for n in ("n", "t_ns", "p_cmd_w", "q_cmd_var", "mode", "valid_ms")))
    assert (command.mode, command.valid_ms) == (Mode.ACTIVE, 1000)
    assert command.p_w > 0.0


def test_an_order_reaches_the_step(rig: Rig) -> None:
    rig.loop.start()
    rig.until(lambda: len(rig.rows) > 0 and rig.rows["state"][-1] == State.IN_SERVICE, feed=True)
    rig.order.put(Order(permit=1, stop=Stop.EMERGENCY))
    rig.until(lambda: bool(rig.rows["reasons"][-1] & Reason.EMERGENCY_STOP), feed=True)
    assert rig.rows["mode"][-1] == Mode.STOP


def test_one_wish_a_step_the_strongest_first_and_none_is_lost(rig: Rig) -> None:
    for source in (1, 3, 6):
        rig.wishes[source].put(wish(source, 100.0 * source))
    rig.loop.start()
    rig.steps(5)
    arrived = [(int(r["i_source"]), float(r["i_p_w"])) for r in rig.rows]
    assert arrived[:3] == [(6, 600.0), (3, 300.0), (1, 100.0)]
    assert {a[0] for a in arrived[3:]} == {-1}


def test_the_mailbox_decides_who_speaks(rig: Rig) -> None:
    rig.wishes[1].put(wish(7, 500.0))  # the schedule says it is the bench
    rig.loop.start()
    rig.steps(3)
    assert set(rig.rows["i_source"]) == {1, -1}


def test_a_source_that_wishes_without_pause_does_not_keep_a_stronger_one_waiting(rig: Rig) -> None:
    done = threading.Event()

    def flood() -> None:
        seq = 0
        while not done.is_set():
            seq += 1
            rig.wishes[1].put(wish(1, 0.0, seq))

    thread = threading.Thread(target=flood)
    thread.start()
    try:
        rig.loop.start()
        rig.until(lambda: bool(np.count_nonzero(rig.rows["i_source"] == 1) >= 5))
        rig.wishes[6].put(wish(6, 600.0))
        rig.until(lambda: bool(np.any(rig.rows["i_source"] == 6)))
    finally:
        done.set()
        thread.join()


@pytest.mark.parametrize("source", [-1, 0, 8, 100])
def test_a_wish_source_that_is_none_is_refused(tmp_path: Path, source: int) -> None:
    ring = RingWriter(tmp_path / "ring", {"epoch": 1}, PERIOD_NS, depth_s=0.1)
    meter, device, order, command = (Mailbox(r) for r in (Measurement, DeviceState, Order, Command))
    with pytest.raises(ValueError, match=f"wish source {source} is outside 1 ... 7"):
        Loop(Core(settings(), 0.002), ring, meter, device, order, command, {source: Mailbox(Wish)})


# --- inputs that others have broken: each is a mailbox in memory that somebody else may write ---

SEQUENCE_AT, WORDS_AT = 0, 24


@pytest.fixture
def shared() -> dict[str, bytearray]:
    """Box -> its memory."""
    return {name: bytearray(512) for name in ("meter", "device", "order", "wish")}


@pytest.fixture
def exposed(tmp_path: Path, shared: dict[str, bytearray]) -> Iterator[Rig]:
    """A rig whose inputs lie in `shared`."""
    core = Core(settings(), PERIOD_NS / 1e9)
    ring = RingWriter(tmp_path / "ring", {"epoch": 1}, PERIOD_NS, depth_s=60.0)
    records = {"meter": Measurement, "device": DeviceState, "order": Order, "wish": Wish}
    meter, device, order, a_wish = (Mailbox(record, shared[name]) for name, record in records.items())
    command = Mailbox(Command)
    loop = Loop(core, ring, meter, device, order, command, {3: a_wish})
    rig = Rig(loop, core, RingReader(tmp_path / "ring"), meter, device, order, command, {3: a_wish}, from_bytes(b""))
    yield rig
    assert loop.stop()


def test_a_dead_writer_does_not_stop_the_loop(exposed: Rig, shared: dict[str, bytearray]) -> None:
    """It died in the middle of a value: the loop keeps its last copy, and that copy's age grows."""
    exposed.fresh_inputs()
    exposed.loop.start()
    exposed.steps(5)
    (seq,) = struct.unpack_from("<q", shared["meter"], SEQUENCE_AT)
    struct.pack_into("<q", shared["meter"], SEQUENCE_AT, seq + 1)
    struct.pack_into("<q", shared["meter"], WORDS_AT, 12345)
    dead = len(exposed.rows)
    exposed.steps(50)
    rows = exposed.rows[dead:]
    assert len(set(exposed.rows["m_t_f_ns"])) == 1
    assert list(np.diff(rows["age_f_ns"])) == list(np.diff(rows["t_ns"]))
    exposed.fresh_inputs()  # its successor
    exposed.steps(5)
    assert exposed.rows["m_t_f_ns"][-1] > rows["m_t_f_ns"][-1]


@pytest.mark.parametrize("name", ["meter", "device", "order", "wish"])
@pytest.mark.parametrize("n_words", [61, 1 << 40, -1, 3])
def test_a_value_of_another_build_is_not_taken(
    exposed: Rig, shared: dict[str, bytearray], name: str, n_words: int
) -> None:
    """Longer than the loop's own struct, it would go over what lies behind that."""
    exposed.loop.start()
    exposed.steps(3)
    struct.pack_into("<61q", shared[name], WORDS_AT, *[0x4141414141414141] * 61)
    struct.pack_into("<qq", shared[name], SEQUENCE_AT, 2, n_words)
    exposed.steps(20)
    rows = exposed.rows
    inputs = [n for n in rows.dtype.names or () if n[:2] in ("m_", "d_", "o_", "i_")]
    assert b"AAAAAAAA" not in b"".join(rows[n].tobytes() for n in inputs)
    assert set(rows["i_source"]) == {-1}
    assert set(rows["o_permit"]) == {1}


@pytest.mark.parametrize(("name", "record", "prefix"), [("meter", Measurement, "m_"), ("device", DeviceState, "d_")])
def test_every_input_is_whole_however_fast_its_writer_is(
    exposed: Rig, shared: dict[str, bytearray], name: str, record: type[Any], prefix: str
) -> None:
    """The writer never rests. Every word of a value is the same number, so half of another would show."""
    columns = [n for n in exposed.rows.dtype.names or () if n.startswith(prefix)]
    box = load(race_folder(), "mailbox_race").RaceBox(shared[name], len(columns))
    exposed.loop.start()
    writer = threading.Thread(target=box.write, args=(1, 3_000_000, 255))
    writer.start()
    exposed.steps(100)
    writer.join()
    exposed.steps(2)
    words = np.stack([exposed.rows[c].view(np.int64) for c in columns], axis=1)
    arrived = words[words[:, 0] > 0]
    assert (arrived == arrived[:, :1]).all(), "torn"
    assert list(np.sort(arrived[:, 0])) == list(arrived[:, 0])
    assert arrived[-1, 0] == 3_000_000
    assert len(set(arrived[:, 0])) > 1


# --- the record of it ---


def test_what_the_loop_did_replays_to_the_same_bits(rig: Rig) -> None:
    rig.wishes[6].put(wish(6, 3000.0))
    rig.loop.start()
    rig.steps(100, feed=True)
    assert rig.loop.stop()
    rig.read()
    again = Core(settings(), PERIOD_NS / 1e9)
    assert bytes(again.replay(rig.rows.tobytes())) == rig.rows.tobytes()
    assert again.state() == rig.core.state()


def test_the_newest_snapshot_is_a_place_to_replay_from(rig: Rig) -> None:
    rig.loop.start()
    rig.steps(120, feed=True)  # one snapshot each 0.1 s = 50 steps
    assert rig.loop.stop()
    rig.read()
    snapshot = rig.reader.snapshot()
    assert snapshot is not None
    n, state = snapshot
    assert n == (len(rig.rows) - 1) // 50 * 50
    again = Core(settings(), PERIOD_NS / 1e9)
    again.load(state)
    assert bytes(again.replay(rig.rows[n:].tobytes())) == rig.rows[n:].tobytes()


# --- other settings ---


def changed(k_uf: float) -> bytes:
    return compiled(settings(freq_droop={"k_uf": k_uf}), PERIOD_NS / 1e9)


def test_settings_change_between_two_steps_and_each_side_is_computed_again_to_equal_bits(rig: Rig) -> None:
    rig.loop.start()
    rig.steps(20, feed=True)
    before = rig.loop.digest
    assert rig.loop.change(changed(0.02))
    rig.steps(20, feed=True)
    assert rig.loop.stop()
    rig.read()
    digests = list(rig.rows["settings_digest"])
    n = digests.index(rig.loop.digest)
    assert set(digests[:n]) == {before}
    assert set(digests[n:]) == {rig.loop.digest}
    snapshot = rig.reader.snapshot()
    assert snapshot is not None
    assert snapshot[0] == n  # the state before the first step under them: a replay can start there
    again = Core.of(changed(0.02))
    again.load(snapshot[1])
    assert bytes(again.replay(rig.rows[n:].tobytes())) == rig.rows[n:].tobytes()


def test_however_often_they_change_no_step_has_some_of_both(rig: Rig) -> None:
    """A hundred times two settings in turn; a step under half-written ones would not come out equal again."""
    both = [changed(0.02), changed(0.05)]
    rig.loop.start()
    rig.steps(5, feed=True)
    for i in range(200):
        rig.until(lambda i=i: rig.loop.change(both[i % 2]), feed=True)  # type: ignore[misc]  # a lambda's default
    rig.steps(5, feed=True)
    assert rig.loop.stop()
    rig.read()
    known = {Core.of(raw).digest: raw for raw in (*both, compiled(settings(), PERIOD_NS / 1e9))}
    assert sum(np.diff(rig.rows["settings_digest"]) != 0) >= 199
    core = Core(settings(), PERIOD_NS / 1e9)
    for row in rig.rows:
        core = with_settings(core, known[int(row["settings_digest"])])
        assert bytes(core.replay(row.tobytes())) == row.tobytes()


def with_settings(core: Core, raw: bytes) -> Core:
    """The same state under these settings."""
    after = Core.of(raw)
    after.load(core.state())
    return after


def test_the_next_change_waits_until_the_last_one_is_in_force(rig: Rig) -> None:
    assert rig.loop.change(changed(0.02))  # nothing runs yet: at once
    rig.loop.start()
    rig.steps(3)
    assert rig.loop.change(changed(0.03))
    rig.until(lambda: rig.loop.change(changed(0.04)))
    assert rig.loop.digest == Core.of(changed(0.04)).digest


def test_settings_of_another_build_or_period_are_refused_and_nothing_changes(rig: Rig) -> None:
    before = rig.loop.digest
    with pytest.raises(ValueError, match=r"settings of 7 bytes; this build has \d+"):
        rig.loop.change(b"7 bytes")
    with pytest.raises(ValueError, match="settings for a period of 10000000 ns; this loop has 2000000"):
        rig.loop.change(compiled(settings(), 0.01))
    assert rig.loop.digest == before


# --- late ---

STARVED = """
import os, sys, time
from pathlib import Path
from cython_core.realtime.loop import Loop
from cython_core.realtime.mailbox import Mailbox
from cython_core.realtime.ring import RingWriter
from cython_core.records import Command, DeviceState, Measurement, Order
from cython_core.settings import Settings
from cython_core.step import Core

ring = RingWriter(Path(sys.argv[1]), {"epoch": 1}, 1_000_000)
loop = Loop(Core(Settings(), 0.001), ring, *(Mailbox(r) for r in (Measurement, DeviceState, Order, Command)))
loop.start()
(thread,) = (int(t.name) for t in Path("/proc/self/task").iterdir() if (t / "comm").read_text() == "core\\n")
cpu = min(os.sched_getaffinity(0))
os.sched_setaffinity(thread, {cpu})
os.sched_setscheduler(thread, os.SCHED_IDLE, os.sched_param(0))  # gets what the other thread leaves over
os.sched_setaffinity(0, {cpu})
end = time.monotonic() + 10.0
while loop.skipped < 20 and time.monotonic() < end:
    sum(range(10_000))
os.sched_setscheduler(thread, os.SCHED_OTHER, os.sched_param(0))
print(loop.stop(), loop.steps, loop.skipped)
"""


def test_a_loop_that_gets_no_processor_skips_and_counts_and_never_catches_up(tmp_path: Path) -> None:
    path = tmp_path / "ring"
    command = [sys.executable, "-c", STARVED, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    stopped, steps, skipped = done.stdout.split()
    assert stopped == "True"
    assert int(skipped) >= 20, "the thread was not starved"
    raw, lost = RingReader(path).read(1 << 20)
    rows = from_bytes(raw)
    assert (len(rows), lost) == (int(steps), 0)
    assert list(np.diff(rows["t_ns"])) == [k * 1_000_000 for k in rows["k"][1:]]  # still on the same grid
    assert sum(rows["k"] - 1) == rows["skipped"][-1] == int(skipped)
    assert all((rows["reasons"] & int(Reason.SKIPPED) != 0) == (rows["k"] > 1))
    assert all(rows["lateness_ns"] < 1_000_000)


def test_a_processor_that_is_not_there_is_named(rig: Rig) -> None:
    assert "processor 4096 refused" in rig.loop.start(cpu=4096)
    rig.steps(3)  # and it runs all the same


def test_a_processor_that_is_there(rig: Rig) -> None:
    assert "refused" not in rig.loop.start(cpu=min(os.sched_getaffinity(0))).partition(";")[2]
    rig.steps(3)
