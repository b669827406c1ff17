"""`v2g scan` against the simulator's processes, over TCP and over a line that garbles what is sent at a wrong rate.

What it prints is put into a site file as it stands, and `v2g check` must take it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import termios
import threading
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from select import select

from controller.processes import Family
from drivers.modbus.frame import crc_of
from drivers.sim.bar import Bar
from tests.system.test_house import READY_S

LIMIT_S = 180  # a bound for a broken build, not a figure
BAUD = 19200
SITE = """\
schema: 1
name: found
start_mode: shadow
i_accept: slow-response
"""


def v2g(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "controller.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)


@contextmanager
def pair(folder: Path, *served: str) -> Iterator[str]:
    """A grid, and a meter (unit 1) with an inverter (unit 2); yields its TCP port or the path of its line."""
    family, bar = Family(folder / "logs"), Bar(folder / "bar")
    (folder / "grid.csv").write_text("t_s,f_hz\n0,60\n600,60\n")
    common, server, where = ("--bar", str(folder / "bar")), "drivers.sim.server", folder / "pair.port"
    family.start("grid", server, "grid", *common, "--trace", str(folder / "grid.csv"), "--phases", "3")
    more = ("--phases", "3", "--inverter-unit", "2", "--port-file", str(where))
    family.start("pair", server, "pair", *common, *more, *served)
    try:
        family.wait_until(where.exists, "the pair", READY_S)
        for beat in ("grid_s", "meter_s", "unit_s"):
            family.wait_until(lambda beat=beat: bar.get(beat) > 0.0, beat, READY_S)  # type: ignore[misc]  # a default
        yield where.read_text().strip()
    finally:
        family.stop()


class Line:
    """A cable between two terminals: bytes arrive as they were sent where both ends have the same rate, else as others.

    What the left end sends is kept, with the rate it was sent at. A pseudo-terminal carries no parity.
    """

    def __init__(self) -> None:
        self.pairs = [os.openpty(), os.openpty()]
        for _, far in self.pairs:
            tty.setraw(far)
        self.left, self.right = (os.ttyname(far) for _, far in self.pairs)
        self.sent: list[tuple[int, bytes]] = []
        self.ended, self.end = os.pipe()
        self.thread = threading.Thread(target=self.carry)
        self.thread.start()

    def carry(self) -> None:
        (one, _), (other, _) = self.pairs
        while True:
            ready = select([one, other, self.ended], [], [])[0]
            if self.ended in ready:
                return
            for fd in ready:
                data = os.read(fd, 1024)
                ours, theirs = (termios.tcgetattr(end)[5] for end in (one, other))
                if fd == one:
                    self.sent.append((ours, data))
                garbled = data if ours == theirs else bytes(b ^ 0x55 for b in data)
                os.write(other if fd == one else one, garbled)

    def frames(self) -> list[bytes]:
        """The requests of the left end. All have eight bytes, or it has sent something other than a read."""
        raw = b"".join(data for _, data in self.sent)
        return [raw[i : i + 8] for i in range(0, len(raw), 8)]

    def close(self) -> None:
        os.close(self.end)
        self.thread.join()
        for fd in (self.ended, *self.pairs[0], *self.pairs[1]):
            os.close(fd)


@contextmanager
def line() -> Iterator[Line]:
    made = Line()
    try:
        yield made
    finally:
        made.close()


def check(folder: Path, found: str) -> str:
    """What `v2g check` says of a site with these lines."""
    (folder / "site.yaml").write_text(SITE + found)
    done = v2g("check", str(folder / "site.yaml"))
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_the_simulated_pair_is_found_over_tcp_and_its_lines_load(tmp_path: Path) -> None:
    with pair(tmp_path, "--port", "0") as port:
        done = v2g("scan", "--host", f"127.0.0.1:{port}", "--units", "1-3")
    assert done.returncode == 0
    meter, inverter = (text for text in done.stdout.splitlines() if " unit " in text)
    assert f"127.0.0.1:{port} unit 1: looks like eastron-sdm630 (60.00 Hz, 230." in meter
    assert "unit 2: inverter V2G simulator Bidirectional charger, serial number SIM-0001, map sunspec-7xx" in inverter
    page = check(tmp_path, done.stdout)
    assert page.count(port) == 2


def test_the_pair_is_found_on_a_line_at_its_own_rate_by_reads_alone(tmp_path: Path) -> None:
    with line() as wire:
        with pair(tmp_path, "--serial", wire.right, "--baud", str(BAUD)):
            done = v2g("scan", "--serial", wire.left, "--units", "1-3")
        frames, rates = wire.frames(), [rate for rate, _ in wire.sent]
    assert done.returncode == 0, done.stderr
    assert rates[0] == termios.B9600  # the wrong one comes first
    assert rates[-1] == termios.B19200
    assert {frame[1] for frame in frames} == {3, 4}
    assert all(crc_of(frame[:6]).to_bytes(2, "little") == frame[6:] for frame in frames)
    page = check(tmp_path, done.stdout)
    assert page.count(wire.left) == 2
    assert page.count(str(BAUD)) >= 2


def test_an_empty_line_is_3_and_was_asked_at_every_setting_it_has() -> None:
    """A pseudo-terminal has no parity: a setting that differs from the one before in nothing else is refused by it."""
    with line() as wire:
        done = v2g("scan", "--serial", wire.left, "--units", "1")
        asked = [rate for rate, _ in wire.sent]
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.splitlines()[0].startswith(f"{wire.left}: settings: 18, units: 1; ")
    assert "no known device answered" in done.stderr.splitlines()[-1]
    assert len(asked) in (17 * 4, 18 * 4)  # two questions, two tries
    rates = (1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200)
    assert set(asked) == {getattr(termios, f"B{rate}") for rate in rates}
