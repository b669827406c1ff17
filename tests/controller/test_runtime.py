"""The two halves of `v2g run`: what the launcher hands over, and the core process that lives on it, without devices."""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from controller import handed, launch, runtime
from controller.handed import ROOT, Handed, stamp
from controller.lifetime import lock_folder
from controller.services.wishes import Wishes
from controller.site import load_site
from controller.telemetry.broker import free_port
from cython_core.bulk import from_bytes
from cython_core.compiled import compiled
from cython_core.realtime.loop import RAMP, RUN, SILENT, Loop
from cython_core.realtime.mailbox import Box, Mailbox
from cython_core.realtime.ring import RingReader, RingWriter
from cython_core.records import (
    Command,
    DeviceState,
    Measurement,
    Mode,
    Order,
    State,
    StepRecord,
    Stop,
    Trip,
    Wish,
    WishSource,
    kinds,
)
from cython_core.settings import Settings
from cython_core.step import Core
from drivers.base import BusError, OwnControlError
from drivers.mapfile import load_map
from drivers.modbus import compiled as devices
from drivers.modbus.bus import Bus
from drivers.modbus.link import TcpLink
from drivers.modbus.statistics import BusStats
from drivers.modbus.wire import opened
from drivers.tables import Decode, Plan, Read, Write
from tests.test_layers import NEVER_IN_CORE

BOUND_S = 20.0  # for a broken build, not a figure
SITE = """\
schema: 1
name: house-7
start_mode: {mode}
runtime_dir: {folder}
state_dir: {folder}
meter: {{map: eastron-sdm630, host: 127.0.0.1, port: {port}, location: inverter, phases: L1, timeout_ms: 50}}
inverter: {{map: sunspec-7xx, host: 127.0.0.1, port: {port}, unit: 2, reversion_s: 8}}
settings: {{rating: {{v_nom_v: 230, p_rated_w: 7000}}}}
"""
INVERTER = Plan(
    unit=2,
    reads=(Read(3, 0, 1),),
    decodes=(Decode(0, 0, "s16", 1.0, -7e3, 7e3, 3, 1),),
    setpoint=(Write(6, 1, (0,)),),
)


def hand(folder: Path, mode: str = "demo", **changes: object) -> Handed:
    """What the launcher hands over for a site whose devices are not there."""
    path = folder / "site.yaml"
    path.write_text(SITE.format(mode=mode, folder=folder, port=free_port()))
    made = launch.hand_over(load_site(path), mode != "shadow", INVERTER, load_map("eastron-sdm630"), stamp())
    made.__dict__.update(changes)
    return made


@dataclass
class Process:
    """A core process, what it tells systemd, and the end of it."""

    child: subprocess.Popen[str]
    systemd: socket.socket

    def told(self, state: str) -> list[str]:
        """All that systemd hears until it hears this."""
        heard: list[str] = []
        while state not in heard:
            heard += self.systemd.recv(1000).decode().split("\n")
        return heard

    def end(self) -> tuple[int, list[str], set[str]]:
        """(exit code, lines on stderr, modules it had loaded)"""
        out, err = self.child.communicate(timeout=BOUND_S)
        return self.child.returncode, err.splitlines(), set(out.split())


@contextmanager
def started(folder: Path, command: list[str], *fds: int) -> Iterator[Process]:
    """A process under a systemd of the test's own."""
    environment = os.environ | {"NOTIFY_SOCKET": str(folder / "notify"), "JOURNAL_STREAM": "1:1"}
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(folder / "notify"))
        systemd.settimeout(BOUND_S)
        pipe = subprocess.PIPE
        child = subprocess.Popen(command, cwd=ROOT, env=environment, pass_fds=fds, text=True, stdout=pipe, stderr=pipe)
        try:
            yield Process(child, systemd)
        finally:
            child.kill()
            child.communicate()


@contextmanager
def core(folder: Path, made: Handed, *signals: signal.Signals) -> Iterator[Process]:
    """The core as the launcher leaves it: signals blocked, and these sent before its first line."""
    flags, code = launch.CORE
    code = "import atexit, sys; atexit.register(lambda: print(*sys.modules)); " + code
    fd = made.write()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT, signal.SIGHUP))
    try:
        with started(folder, [sys.executable, flags, code, ROOT, str(fd)], fd) as process:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            for number in signals:
                process.child.send_signal(number)
            yield process
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        os.close(fd)


# ---- the core process ----


@pytest.mark.parametrize("mode", ["demo", "shadow"])
def test_it_starts_feeds_systemd_and_stops_in_order_and_has_loaded_little(tmp_path: Path, mode: str) -> None:
    with core(tmp_path, hand(tmp_path, mode)) as process:
        assert process.told("WATCHDOG=1") == ["READY=1", f"STATUS={mode}: running", "WATCHDOG=1"]
        reader = RingReader(tmp_path / "ring")
        process.child.send_signal(signal.SIGTERM)
        process.told("STOPPING=1")
        code, lines, modules = process.end()
    assert code == 0
    what = "watching only, nothing is written" if mode == "shadow" else "writing set-points"
    said = [line for line in lines if "V2G-NO-REALTIME" not in line]
    assert said[0] == f"<6>V2G-START house-7: start mode {mode}, {what}, step 10 ms, plant card none"
    assert said[-1] == "<6>V2G-STOP ramping to 0, then handing control back to the inverter"
    assert from_bytes(reader.read()[0])["o_stop"][-1] == Stop.RAMP
    assert "controller.runtime" in modules
    assert modules & set().union(*NEVER_IN_CORE.values()) == set()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_from_before_its_first_line_is_not_lost(tmp_path: Path, number: signal.Signals) -> None:
    with core(tmp_path, hand(tmp_path), number) as process:
        assert process.told("STOPPING=1")[0] == "READY=1"
        assert process.end()[0] == 0


def test_the_ring_says_what_was_granted_and_all_the_launcher_knew(tmp_path: Path) -> None:
    made = hand(tmp_path)
    with core(tmp_path, made) as process:
        process.told("READY=1")
        info = RingReader(tmp_path / "ring").info
    granted = info.pop("realtime")
    assert list(granted) == ["kernel", "memory", "idle_states", "bus", "core"]
    assert granted["core"].startswith(("fifo 80", "other: "))
    assert info == json.loads(made.facts)
    assert info["settings_digest"] == Core.of(made.settings).digest


def test_a_right_that_is_required_and_refused_ends_it(tmp_path: Path) -> None:
    required = "site.yaml: require_realtime is set, but "
    made = hand(tmp_path, granted={"kernel": "none: for this test"}, realtime_required=required)
    with core(tmp_path, made) as process:
        code, lines, _ = process.end()
    assert code == 2
    assert lines[-1].startswith(f"{required}kernel: none: for this test")
    assert not (tmp_path / "ring").exists(), "it never ran: its ring is not published"


def test_a_program_that_was_changed_meanwhile_is_refused(tmp_path: Path) -> None:
    made = hand(tmp_path)
    with core(tmp_path, hand(tmp_path, stamp=made.stamp + 1)) as process:
        code, lines, _ = process.end()
    line = f"{ROOT}: the program was changed while this process waited; start it again"
    assert (code, lines) == (2, [line])


# fmt: off
CRASHES = [
    # change              last line                  why
    ({"ring": "nowhere"}, "FileNotFoundError",       "before any thread runs"),
    ({"facts": None},     "AttributeError",          "buses and loop run already"),
]
# fmt: on


@pytest.mark.parametrize(("change", "last", "why"), CRASHES, ids=[c[-1] for c in CRASHES])
def test_a_fault_of_ours_ends_the_process(tmp_path: Path, change: dict[str, object], last: str, why: str) -> None:
    """With its traceback; systemd starts it anew."""
    with core(tmp_path, hand(tmp_path, "demo", **change)) as process:
        code, lines, _ = process.end()
    assert code == 1, why
    assert lines[-1].startswith(last)


def test_a_fault_of_its_watch_brings_it_to_rest_first(tmp_path: Path) -> None:
    """Steps go on until the command is 0; the traceback comes last, and systemd starts it anew."""
    with core(tmp_path, hand(tmp_path, departures=["at dawn"])) as process:
        code, lines, _ = process.end()
    assert code == 1
    assert "<6>V2G-STOP ramping to 0, then handing control back to the inverter" in lines
    assert lines[-1].startswith("TypeError")
    assert from_bytes(RingReader(tmp_path / "ring").read()[0])["o_stop"][-1] == Stop.RAMP


def test_the_stamp_changes_with_every_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handed, "ROOT", str(tmp_path))
    for folder in handed.FOLDERS:
        (tmp_path / folder).mkdir()
    stamps = [stamp()]
    for name in ("controller/a.py", "cython_core/realtime/b.so", "drivers/modbus/c.so"):
        (tmp_path / name).write_bytes(b"old")
        stamps.append(stamp())
        os.utime(tmp_path / name, ns=(0, 1_000_000_000))  # as long, but not the same
        stamps.append(stamp())
    assert len(set(stamps)) == len(stamps)
    (tmp_path / "controller" / "page.css").write_bytes(b"any")
    assert stamp() == stamps[-1]


def test_every_file_that_it_loads_is_in_the_stamp(tmp_path: Path) -> None:
    with core(tmp_path, hand(tmp_path), signal.SIGTERM) as process:
        _, _, modules = process.end()
    ours = {m for m in modules if m.partition(".")[0] in ("controller", "cython_core", "drivers")}
    packages = {m for m in ours if (Path(ROOT) / m.replace(".", "/")).is_dir()}
    folders = packages | {m.rpartition(".")[0] for m in ours - packages}
    assert folders == {folder.replace("/", ".") for folder in handed.FOLDERS} - {"drivers.can"}  # see test_site_can.py


# ---- the launcher ----


def test_stopped_while_it_waits_for_the_inverter_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    path.write_text(SITE.format(mode="demo", folder=tmp_path, port=free_port()))
    command = [sys.executable, "-m", "controller.cli", "run", str(path)]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as child:
        assert child.stderr is not None
        lines = [child.stderr.readline(), child.stderr.readline()]
        child.send_signal(signal.SIGTERM)
        rest = child.stderr.read()
        assert (child.wait(BOUND_S), rest) == (0, "")
    assert lines[0] == "DEMO: house-7 works against simulated devices on this machine\n"
    assert "WARNING V2G-INVERTER-NOT-FOUND" in lines[1]


@dataclass
class Waits:
    """A stop that never comes, and how long somebody waited for it."""

    seconds: list[float] = field(default_factory=list)

    def is_set(self) -> bool:
        return False

    def wait(self, seconds: float) -> None:
        self.seconds.append(seconds)


def test_an_inverter_with_a_control_against_ours_is_one_alarm_and_asked_again_slowly(
    caplog: pytest.LogCaptureFixture,
) -> None:
    own = OwnControlError("10.0.0.1:502 unit 1: model 704: PFWInjEna = 1: switch it off")
    answers: list[object] = [BusError("no connection"), own, own, own, INVERTER]

    def find() -> object:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    stopping = Waits()
    assert launch.searched(find, launch.NO_INVERTER, "inverter", cast(threading.Event, stopping)) is INVERTER
    assert stopping.seconds == [2.0, 30.0, 30.0, 30.0]
    assert caplog.messages == [
        "V2G-INVERTER-NOT-FOUND no connection; trying again every 2 s",
        f"V2G-INVERTER-OWN-CONTROL {own}; trying again every 30 s",
    ]


def test_a_stop_that_came_just_before_the_core_is_a_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "site.yaml"
    path.write_text(SITE.format(mode="demo", folder=tmp_path, port=free_port()))

    def find(*_: object) -> Plan:
        os.kill(os.getpid(), signal.SIGTERM)
        return INVERTER

    def never(*_: object) -> None:
        pytest.fail("the core was begun")

    monkeypatch.setattr(launch, "discover_in_child", find)
    monkeypatch.setattr(launch, "become_core", never)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        assert launch.launch(load_site(path), watch_only=False) == 0
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number, handler in handlers.items():
            signal.signal(number, handler)


LAUNCHED = """
import sys
from pathlib import Path
from controller import launch
from controller.lifetime import lock_folder
from controller.site import load_site
from drivers.tables import Decode, Plan, Read, Write
launch.discover_in_child = lambda *_: {plan!r}
launch.launch(load_site(Path(sys.argv[1])), watch_only=False)
"""


def test_the_core_has_process_lock_and_serial_port_of_its_launcher(tmp_path: Path) -> None:
    line, port = os.openpty()
    wire = f"serial: {os.ttyname(port)}"
    site = tmp_path / "site.yaml"
    text = SITE.format(mode="demo", folder=tmp_path, port=0)
    site.write_text(text.replace("host: 127.0.0.1, port: 0", wire))
    command = [sys.executable, "-c", LAUNCHED.format(plan=INVERTER), str(site)]
    with started(tmp_path, command) as process:
        process.told("READY=1")
        program = Path(f"/proc/{process.child.pid}/cmdline").read_text().split("\0")
        assert program[-4:] == ["v2g", "run", str(site), ""], "for ps"
        assert lock_folder(tmp_path, "core") is None
        with pytest.raises(BlockingIOError):
            fcntl.flock(port, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.read(line, 1000)  # what the launcher had asked
        assert os.read(line, 1000)[0] in (1, 2), "a request to one of its two units"
        process.child.send_signal(signal.SIGTERM)
        assert process.end()[0] == 0
    lock = lock_folder(tmp_path, "core")
    assert lock is not None
    lock.close()
    os.close(line)
    os.close(port)


# ---- what is handed over ----


def test_it_arrives_as_it_was_sent(tmp_path: Path) -> None:
    made = hand(tmp_path)
    assert handed.read(made.write()).__dict__ == made.__dict__


@pytest.mark.parametrize("name", ["writes", "another"])
def test_nothing_is_left_out_and_nothing_is_added(tmp_path: Path, name: str) -> None:
    values = dict(hand(tmp_path).__dict__)
    values.pop(name, None)
    with pytest.raises(TypeError, match=name):
        Handed(**values, **({} if name == "writes" else {name: 1}))


# fmt: off
TEXTS = [
    # text                                       why
    ("fifo 80",                                  "plain"),
    ('KERNEL=="cpu_dma_latency", MODE="0660"',   "the line of a udev rule"),
    ("a\\b",                                     "its own escape"),
    ("two\nlines\x00\x7f",                       "control characters"),
    ("/dev/serial/by-id/Zähler \N{OLD ITALIC LETTER A}", "a name that somebody chose"),
    ("",                                         "nothing"),
]
# fmt: on


@pytest.mark.parametrize(("text", "why"), TEXTS, ids=[c[-1] for c in TEXTS])
def test_json_without_the_json_module(text: str, why: str) -> None:
    assert json.loads(runtime.quoted(text)) == text, why
    facts: dict[str, Any] = {"v": 1, "site": text}
    whole = runtime.with_grants(json.dumps(facts), {text: text, "core": "fifo 80"})
    assert json.loads(whole) == facts | {"realtime": {text: text, "core": "fifo 80"}}


# ---- compiled bytes of another build ----


def a_loop(folder: Path, sizes: dict[str, int], wishes: int) -> Loop:
    ring = RingWriter(folder / "ring", {"epoch": 1}, 10_000_000, depth_s=0.1)
    meter, device, order, command = map(Box, sizes.values())
    return Loop(Core(Settings(), 0.01), ring, meter, device, order, command, {1: Box(wishes)})


WORDS = {"meter": 16, "device": 13, "order": 5, "command": 6}


@pytest.mark.parametrize("name", [*WORDS, "wish"])
def test_a_mailbox_of_another_size_is_no_mailbox_of_a_step(tmp_path: Path, name: str) -> None:
    sizes = {key: words + (key == name) for key, words in WORDS.items()}
    with pytest.raises(ValueError, match=rf"^{name}: a mailbox of \d+ words; a step has \d+"):
        a_loop(tmp_path, sizes, 8 + (name == "wish"))


# fmt: off
BOXES = [
    # words  offset  what is said
    (0,      0,      "a mailbox holds 1 ... 61 words, not 0"),
    (62,     0,      "a mailbox holds 1 ... 61 words, not 62"),
    (4,      -8,     "a mailbox at -8; it needs a multiple of 8, 0 or above"),
    (4,      12,     "a mailbox at 12; it needs a multiple of 8, 0 or above"),
    (4,      520,    "a mailbox needs 512 bytes at 520, the buffer has 1024"),
]
# fmt: on


@pytest.mark.parametrize(("words", "offset", "said"), BOXES, ids=[c[-1] for c in BOXES])
def test_a_mailbox_that_does_not_fit_is_refused(words: int, offset: int, said: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(said)}$"):
        Box(words, bytearray(1024), offset)


def test_compiled_bytes_of_another_size_are_refused() -> None:
    settings = compiled(Settings(), 0.01)
    with pytest.raises(ValueError, match=f"settings of {len(settings) - 1} bytes; this build has {len(settings)}"):
        Core.of(settings[:-1])
    name, link, fd = opened(TcpLink("127.0.0.1"))
    with pytest.raises(ValueError, match=f"a link of {len(link) + 1} bytes; this build has {len(link)}"):
        Bus((name, link + b"\0", fd))
    device = devices.inverter(INVERTER, 100)
    bus = Bus((name, link, fd))
    with pytest.raises(ValueError, match=f"a device of 0 bytes; this build has {len(device)}"):
        bus.add(b"", Mailbox(DeviceState), Mailbox(Command))
    with pytest.raises(ValueError, match=r"words of out = 16 is outside 13 \.\.\. 13"):
        bus.add(device, Mailbox(Measurement), Mailbox(Command))
    with pytest.raises(ValueError, match=r"words of command = 8 is outside 6 \.\.\. 6"):
        bus.add(device, Mailbox(DeviceState), Mailbox(Wish))


def test_compiled_settings_are_the_settings() -> None:
    direct, handed_over = Core(Settings(), 0.02), Core.of(compiled(Settings(), 0.02))
    assert (handed_over.digest, handed_over.period_s, handed_over.n) == (direct.digest, 0.02, 0)
    for t_ns in range(0, 200_000_000, 20_000_000):
        both = [c.step(t_ns, Measurement(), DeviceState(), Order()) for c in (direct, handed_over)]
        assert repr(both[0]) == repr(both[1])  # NaN is not equal to itself
    assert direct.state() == handed_over.state()


def test_the_loops_own_numbers_are_those_of_the_records() -> None:
    assert (RUN, RAMP, SILENT) == (Stop.RUN, Stop.RAMP, Mode.SILENT)


def test_what_the_core_looks_at_is_what_the_step_recorded(tmp_path: Path) -> None:
    ring = RingWriter(tmp_path / "ring", {"epoch": 1}, 10_000_000, depth_s=0.1)
    meter, device, order, command = (Mailbox(record) for record in (Measurement, DeviceState, Order, Command))
    loop = Loop(Core(Settings(), 0.01), ring, meter, device, order, command)
    assert ring.newest() is None
    loop.order(RAMP)
    device.put(DeviceState(t_ns=time.monotonic_ns(), valid=1, p_w=123.0))
    loop.start()
    end = time.monotonic() + BOUND_S
    while loop.steps < 3 and time.monotonic() < end:
        time.sleep(0.01)
    assert loop.stop()
    raw, _ = RingReader(tmp_path / "ring").read()
    row, newest = from_bytes(raw)[-1], ring.newest()
    assert newest is not None
    for name in ("reasons", "o_stop", "mode", "fresh_d", "p_cmd_w", "d_p_w"):
        assert getattr(newest, name) == row[name], name
    assert (newest.o_stop, newest.d_p_w) == (RAMP, 123.0)


# ---- a start a moment after another run ----


def ring_of_a_run(folder: Path, ago_s: float, **changes: object) -> bytes:
    """The ring that another run has left, and its last record: tripped, so long ago."""
    last = StepRecord(n=5, t_ns=time.monotonic_ns() - round(ago_s * 1e9), state=State.TRIPPED, trip=Trip.UV2)
    raw = struct.pack("<" + kinds(StepRecord), *astuple(last))
    ring = RingWriter(folder / "ring", {"epoch": 1, "boot_id": launch.boot_id(), **changes}, 10_000_000)
    ring.push(raw)
    return raw


# fmt: off
LEFT = [
    # seconds ago  facts                    taken over  why
    (1.0,          {},                      True,       "a moment ago: within the inverter's timer of 8 s"),
    (9.0,          {},                      False,      "the inverter is at 0 W by now: the whole delay"),
    (1.0,          {"boot_id": "another"},  False,      "times of another boot mean nothing"),
    (-1.0,         {},                      False,      "from the future"),
]
# fmt: on


@pytest.mark.parametrize(("ago_s", "facts", "taken", "why"), LEFT, ids=[row[-1] for row in LEFT])
def test_what_the_run_before_has_left(
    tmp_path: Path, ago_s: float, facts: dict[str, object], taken: bool, why: str
) -> None:
    raw = ring_of_a_run(tmp_path, ago_s, **facts)
    assert hand(tmp_path).resume == (raw if taken else b""), why


# fmt: off
WISHES = [
    # facts of the ring         kept   why
    ({},                        True,  "a controller that was started anew goes on"),
    ({"boot_id": "another"},    False, "yesterday's wish must not begin at the same hour after the boot"),
]
# fmt: on


@pytest.mark.parametrize(("facts", "kept", "why"), WISHES, ids=[row[-1] for row in WISHES])
def test_wishes_of_another_boot_are_nobodys(tmp_path: Path, facts: dict[str, object], kept: bool, why: str) -> None:
    """In a runtime directory on a disk."""
    hand(tmp_path)
    now_ns, nan = time.monotonic_ns(), float("nan")
    Wishes(tmp_path / "wishes").put(Wish(WishSource.EMS, 0.0, 7e3, 7e3, nan, now_ns + 1, now_ns + 600_000_000_000))
    ring_of_a_run(tmp_path, 1.0, **facts)
    hand(tmp_path)
    assert (Wishes(tmp_path / "wishes").newest(WishSource.EMS) is not None) == kept, why
    assert (tmp_path / "wishes").stat().st_blocks > 0, "there is room for them, whoever fills the disk"


def test_nothing_was_left_behind(tmp_path: Path) -> None:
    assert hand(tmp_path).resume == b""
    (tmp_path / "ring").write_bytes(b"not a ring")
    assert hand(tmp_path).resume == b""


def test_a_core_takes_over_what_was_left(tmp_path: Path) -> None:
    ring_of_a_run(tmp_path, 1.0)
    ours = {"owner": "controller"}
    settings = compiled(Settings.from_mapping({"enter_service": ours, "voltage_trip": ours}), 0.01)
    with core(tmp_path, hand(tmp_path, settings=settings)) as process:
        process.told("READY=1")
        reader = RingReader(tmp_path / "ring")
        while (newest := reader.newest()) is None:
            time.sleep(0.01)
    assert from_bytes(newest)["trip"][0] == Trip.UV2


# ---- the morning ----

HOUR_NS = 3_600_000_000_000
# fmt: off
MORNINGS = [
    # wall clock, h   synchronized   the loop's clock says   why
    (6.0,             True,          1.0,                    "in an hour"),
    (6.0,             False,         0.0,                    "a clock that nobody keeps right keeps no time"),
    (7.0,             True,          24.0,                   "now is over: tomorrow's"),
    (32.0,            True,          0.0,                    "no more are known"),
]
# fmt: on


@pytest.mark.parametrize(("wall_h", "synchronized", "in_h", "why"), MORNINGS, ids=[row[-1] for row in MORNINGS])
def test_when_the_car_must_be_ready(tmp_path: Path, wall_h: float, synchronized: bool, in_h: float, why: str) -> None:
    told: list[tuple[int, int]] = []
    run = runtime.Runtime(hand(tmp_path, departures=[7 * 3600, 31 * 3600]))
    run.loop = SimpleNamespace(order=lambda *order: told.append(order))  # type: ignore[assignment]  # all it needs
    now_ns = 500 * HOUR_NS
    for drift_ns in (0, 10_000_000):  # the wall clock is corrected a little
        run.tell_departure(round(wall_h * HOUR_NS) + drift_ns, now_ns, synchronized)
    assert told == ([(RUN, now_ns + round(in_h * HOUR_NS))] if in_h else []), why


def test_a_clock_that_ran_ahead_before_it_was_set_takes_no_morning_away(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    run = runtime.Runtime(hand(tmp_path, departures=[7 * 3600, 31 * 3600]))
    run.loop = SimpleNamespace(order=lambda *order: told.append(order))  # type: ignore[assignment]  # all it needs
    now_ns = 500 * HOUR_NS
    run.tell_departure(1000 * HOUR_NS, now_ns, False)
    run.tell_departure(6 * HOUR_NS, now_ns, True)
    assert told == [(RUN, now_ns + HOUR_NS)]


# ---- the way to rest ----

# fmt: off
STOPS = [
    # pu/s   from, pu   follows    handed back at, pu   after, s   why
    (0.2,    1.0,       True,      0.0,                 5.0,       "the product's own ramp"),
    (0.01,   1.0,       True,      0.0,                 100.0,     "the slowest there is: nothing is let go half way"),
    (0.2,    1.0,       False,     0.0,                 20.0,      "an inverter that does not follow: 15 s more"),
    (0.0,    0.5,       True,      0.5,                 15.0,      "a core that does not move at all"),
]
# fmt: on


@pytest.mark.parametrize(
    ("ramp_pu_s", "p_pu", "follows", "left_pu", "after_s", "why"), STOPS, ids=[row[-1] for row in STOPS]
)
def test_control_is_handed_back_when_the_ramp_is_over_however_slow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ramp_pu_s: float, p_pu: float, follows: bool, left_pu: float,
    after_s: float, why: str,
) -> None:  # fmt: skip
    """On a clock of its own, with the newest step as the ring shows it."""
    clock = SimpleNamespace(s=1000.0)
    monkeypatch.setattr(runtime, "time", SimpleNamespace(monotonic=lambda: clock.s, sleep=lambda s: later(clock, s)))
    extended: list[float] = []
    monkeypatch.setattr(runtime, "notify", lambda *_: extended.append(clock.s))

    def newest() -> Any:
        p_cmd_w = 7000.0 * max(0.0, round(p_pu - ramp_pu_s * (clock.s - 1000.0), 9))
        d_p_w = p_cmd_w if follows else 7000.0 * p_pu
        return SimpleNamespace(o_stop=Stop.RAMP, p_cmd_w=p_cmd_w, d_p_w=d_p_w, fresh_d=0)

    run = runtime.Runtime(hand(tmp_path))
    run.ring = SimpleNamespace(newest=newest)  # type: ignore[assignment]  # all it needs
    run.wait_for_rest()
    assert newest().p_cmd_w == pytest.approx(7000.0 * left_pu), why
    assert clock.s - 1000.0 == pytest.approx(after_s, abs=1.2)
    waits = np.diff([1000.0, *extended, clock.s])
    assert max(waits) < 60.0, "systemd is told in time that it is worth waiting"


def later(clock: SimpleNamespace, seconds: float) -> None:
    clock.s += seconds


def test_a_clock_that_was_ahead_for_a_while_costs_no_morning(tmp_path: Path) -> None:
    """A board's clock at boot is anything; what it passed over is still to come once it is right."""
    told: list[tuple[int, int]] = []
    run = runtime.Runtime(hand(tmp_path, departures=[7 * 3600, 31 * 3600]))
    run.loop = SimpleNamespace(order=lambda *order: told.append(order))  # type: ignore[assignment]  # all it needs
    for wall_h, synchronized in ((40, False), (40, True), (6, True)):
        run.tell_departure(wall_h * HOUR_NS, HOUR_NS, synchronized)
    assert told == [(RUN, 2 * HOUR_NS)]


# ---- what the buses count ----


def told_by(process: Process, path: Path, wanted: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    """buses.json of a core that runs, once it is as wanted."""
    end = time.monotonic() + BOUND_S
    while time.monotonic() < end and process.child.poll() is None:
        found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        if found and wanted(found):
            return found
        time.sleep(0.02)
    pytest.fail(f"{path} is not there, or not as wanted")


def test_it_tells_what_its_buses_count(tmp_path: Path) -> None:
    made = hand(tmp_path)
    about = json.loads(made.facts)
    with core(tmp_path, made) as process:
        process.told("READY=1")
        found = told_by(process, tmp_path / "buses.json", lambda found: found["meter"]["attempts"] > 1)
    assert (found["v"], found["epoch"], found["boot_id"]) == (1, about["epoch"], about["boot_id"])
    assert list(found["meter"]) == list(BusStats.__dataclass_fields__)
    assert list(found["inverter"]) == [*BusStats.__dataclass_fields__, "budget"]
    assert (found["meter"]["answers"], found["meter"]["connected"]) == (0, 0), "nobody is there"
    assert not (tmp_path / "write-budget.json").exists(), "no budget: nothing to keep"


def test_a_spent_budget_is_still_spent_after_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "INVERTER", replace(INVERTER, write_budget_per_day=100))
    day_began_s = round(time.time()) - 3600
    (tmp_path / "write-budget.json").write_text(json.dumps({"v": 1, "spent": 93, "day_began_s": day_began_s}))
    with core(tmp_path, hand(tmp_path)) as process:
        process.told("READY=1")
        found = told_by(process, tmp_path / "buses.json", lambda _: True)["inverter"]
        process.child.send_signal(signal.SIGTERM)
        _, lines, _ = process.end()
    assert (found["spent"], found["budget"]) == (93, 100)
    assert (time.monotonic_ns() - found["t_day_ns"]) / 1e9 == pytest.approx(3600.0, abs=BOUND_S)
    codes = [line.split()[0].removeprefix("<4>") for line in lines]
    assert {"V2G-WRITE-BUDGET-HALF", "V2G-WRITE-BUDGET-LOW"} <= set(codes)
    assert "V2G-WRITE-BUDGET-SPENT" not in codes
    kept = json.loads((tmp_path / "write-budget.json").read_text())
    assert (kept["v"], kept["spent"]) == (1, 93)
    assert abs(kept["day_began_s"] - day_began_s) <= 1
    again = launch.already_spent(load_site(tmp_path / "site.yaml"), 100)
    assert (again.count, again.t_day_ns) == (93, found["t_day_ns"]), "exact, from the run that has just ended"
