"""v2g doctor: hosts laid out as files below a folder, one check a row; then this machine, really asked and measured."""

from __future__ import annotations

import ctypes
import json
import os
import re
import resource
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from controller.commands.doctor import FASTEST_MS, as_json, page
from controller.doctor import Subject, board, examine, networks, processor, refused, room
from controller.doctor.answers import Answers, Clock, Room, address, kernel_clock
from controller.doctor.answers import room as room_of
from controller.doctor.finding import OK, SHORT, UNKNOWN, Finding, Host, Mend
from controller.doctor.selftest import SelfTest, judge, measure, summary
from controller.site import load_site
from cython_core import bulk
from cython_core.realtime import host as rights
from cython_core.realtime.ring import RingWriter
from cython_core.settings import Settings
from tests.cython_core.test_host import TRAP

ROOT = Path(__file__).parents[2]
GIB = 2**30
OF_SERVICES = (  # test_doctor_service.py looks at these
    "unit", "program", "user", "udev-rules", "site-file", "credentials", "certificates", "unit-lines",
    "can-sockets", "unit-network",
)  # fmt: skip
UNIT = "in the service's unit, below [Service]"
SITE = "at site.yaml:3"


def lay(root: Path, files: dict[str, str]) -> Host:
    """A host whose files are these."""
    for name, text in files.items():
        path = root / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Host(root)


def answers(**changes: Any) -> Answers:
    """A kernel that grants everything."""
    granted = Answers(
        machine="aarch64", user="pi", fifo="fifo 80", memory="all, on fault", idle="held at 0",
        clock=Clock(True, 0.012), ports=(), throttled="", room=lambda path: Room(path, 8 * GIB, True),
        opens=lambda _port: True, address=lambda name: name,
    )  # fmt: skip
    return replace(granted, **changes)


# ---- a Raspberry Pi 4, as it comes and as it should be ----

PI = {
    "/proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.5\0",
    "/proc/sys/kernel/version": "#1 SMP PREEMPT Debian 1:6.12.25-1+rpt1 (2025-04-30)",
    "/proc/sys/kernel/sched_rt_runtime_us": "950000\n",
    "/proc/sys/kernel/sched_rt_period_us": "1000000\n",
    "/proc/self/mounts": "/dev/mmcblk0p2 / ext4 rw 0 0\ntmpfs /run tmpfs rw 0 0\n",
    "/proc/meminfo": "MemTotal:  3884376 kB\nMemAvailable:  3145728 kB\nSwapTotal:  524288 kB\nHugePages_Total: 0\n",
    "/proc/net/route": "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n"
    "eth0 00000000 0101A8C0 0003 0 0 100 00000000 0 0 0\nwlan0 0001A8C0 00000000 0001 0 0 600 00FFFFFF 0 0 0\n",
    "/sys/class/net/wlan0/wireless/status": "0",
    "/sys/devices/system/cpu/online": "0-3\n",
    "/sys/devices/system/cpu/isolated": "\n",
    **{f"/sys/devices/system/cpu/cpu{n}/cpufreq/scaling_governor": "ondemand\n" for n in range(4)},
    "/sys/devices/platform/soc/soc:firmware/get_throttled": "50005\n",
    "/sys/bus/usb-serial/devices/ttyUSB0/latency_timer": "16\n",
    "/sys/class/tty/ttyS0/type": "0\n",
    "/sys/class/watchdog/watchdog0/state": "inactive\n",
    "/dev/watchdog": "",
    "/boot/firmware/cmdline.txt": "console=tty1",
    "/boot/firmware/config.txt": "[all]",
    "/etc/dphys-swapfile": "",
    "/run/systemd/timesync/placeholder": "",
}
PI_ANSWERS = answers(
    fifo="other: refused; LimitRTPRIO=90 in the unit grants it",
    memory="none: refused; LimitMEMLOCK=infinity in the unit grants it",
    idle=f"not held: refused; the udev rule {rights.GRANT_IDLE} grants it",
    clock=Clock(False, 16.0),
    ports=("/dev/ttyUSB0", "/dev/ttyS0"),
    room=lambda path: Room(path, 8 * GIB, path != Path("/run/v2g")),
)
CMDLINE = "in /boot/firmware/cmdline.txt, at the end of its one line, then reboot"

# fmt: off
AS_IT_COMES = [
    # check                      found                                                     verdict
    ("kernel",                   "preempt=full, built so",                                 OK),
    ("real-time",                "refused",                                                SHORT),
    ("memory-lock",              "refused",                                                SHORT),
    ("real-time-share",          "950000 of 1000000 µs",                                   OK),
    ("governor",                 "ondemand",                                               SHORT),
    ("idle-states",              "not held: refused",                                      SHORT),
    ("isolated-cpu",             "none of 4",                                              SHORT),
    ("serial-port /dev/ttyUSB0", "latency timer 16 ms",                                    SHORT),
    ("clock",                    "not synchronized, though systemd-timesyncd is there",    SHORT),
    ("runtime-dir",              "/run/v2g: tmpfs, 8.0 GiB free",                          SHORT),
    ("state-dir",                "/var/lib/v2g: ext4, 8.0 GiB free",                       OK),
    ("memory",                   "3.0 GiB available",                                      OK),
    ("swap",                     "512 MiB",                                                SHORT),
    ("throttling",               "under-voltage, throttled",                               SHORT),
    ("watchdog",                 "/dev/watchdog is there, nobody feeds it",                SHORT),
]
MENDING = {
    "real-time": ["LimitRTPRIO=90", "pi - rtprio 90"],
    "memory-lock": ["LimitMEMLOCK=infinity", "pi - memlock unlimited"],
    "governor": ["echo performance | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor",
                 "cpufreq.default_governor=performance"],
    "idle-states": ["sudo groupadd -f v2g && sudo usermod -aG v2g pi",
                    'KERNEL=="cpu_dma_latency", GROUP="v2g", MODE="0660"'],
    "isolated-cpu": ["isolcpus=domain,managed_irq,3 irqaffinity=0-2 rcu_nocbs=3", "CPUAffinity=3"],
    "serial-port": ["echo 1 | sudo tee /sys/bus/usb-serial/devices/ttyUSB0/latency_timer",
                    'ACTION=="add", SUBSYSTEM=="usb-serial", DRIVER=="ftdi_sio", ATTR{latency_timer}="1"'],
    "clock": ["sudo timedatectl set-ntp true"],
    "runtime-dir": ["RuntimeDirectory=v2g", "sudo install -d -o pi /run/v2g"],
    "swap": ["LimitMEMLOCK=infinity", "sudo systemctl disable --now dphys-swapfile"],
    "throttling": ["a power supply and cable that hold 5.1 V under load", "a heat sink or a fan"],
    "watchdog": ["RuntimeWatchdogSec=10"],
}
AS_IT_SHOULD_BE = [
    ("kernel",                   "rt (PREEMPT_RT)"),
    ("real-time",                "fifo 80"),
    ("memory-lock",              "all, on fault"),
    ("real-time-share",          "950000 of 1000000 µs"),
    ("governor",                 "performance"),
    ("idle-states",              "held at 0"),
    ("isolated-cpu",             "3; CPUAffinity=3 in the unit puts the controller there"),
    ("serial-port /dev/ttyUSB0", "latency timer 1 ms"),
    ("clock",                    "synchronized by systemd-timesyncd, error at most 12 ms"),
    ("runtime-dir",              "/run/v2g: tmpfs, 8.0 GiB free"),
    ("state-dir",                "/var/lib/v2g: ext4, 8.0 GiB free"),
    ("memory",                   "3.0 GiB available"),
    ("swap",                     "none"),
    ("throttling",               "never since boot"),
    ("watchdog",                 "/dev/watchdog is there"),
]
# fmt: on
MENDED_PI = PI | {
    "/proc/sys/kernel/version": "#1 SMP PREEMPT_RT Debian 6.12.25-1",
    "/proc/meminfo": "MemAvailable:  3145728 kB\nSwapTotal:  0 kB\n",
    "/sys/devices/system/cpu/isolated": "3\n",
    **{f"/sys/devices/system/cpu/cpu{n}/cpufreq/scaling_governor": "performance\n" for n in range(4)},
    "/sys/devices/platform/soc/soc:firmware/get_throttled": "0\n",
    "/sys/bus/usb-serial/devices/ttyUSB0/latency_timer": "1\n",
    "/sys/class/watchdog/watchdog0/state": "active\n",
}


def test_a_raspberry_pi_as_it_comes(tmp_path: Path) -> None:
    findings = examine(lay(tmp_path, PI), PI_ANSWERS, Subject())
    assert [(f.title, f.found, f.verdict) for f in findings] == AS_IT_COMES
    short = [f for f in findings if f.verdict == SHORT]
    assert {f.name: [m.line for m in f.mend] for f in short} == MENDING
    assert all(f.why.endswith(".") and all(m.where for m in f.mend) for f in short)
    assert not any(f.mend for f in findings if f.verdict != SHORT)
    assert [f.name for f in refused(findings)] == ["real-time", "memory-lock"]


def test_the_same_with_every_line_put_in(tmp_path: Path) -> None:
    granted = answers(ports=("/dev/ttyUSB0", "/dev/ttyS0"))
    findings = examine(lay(tmp_path, MENDED_PI), granted, Subject())
    assert [(f.title, f.found) for f in findings] == AS_IT_SHOULD_BE
    assert {f.verdict for f in findings} == {OK}
    assert refused(findings) == []


def test_a_bare_container_is_mostly_unknown(tmp_path: Path) -> None:
    """Nothing of /sys and /proc: no guess, no traceback, and what is short is mended where it is started."""
    host = lay(tmp_path, {"/.dockerenv": ""})
    findings = examine(host, replace(PI_ANSWERS, clock=None, ports=(), idle=NO_DEVICE), Subject())
    verdicts = {f.name: f.verdict for f in findings}
    unknown = ("kernel", "real-time-share", "governor", "isolated-cpu", "clock", "memory", "swap", "watchdog")
    assert [name for name, verdict in verdicts.items() if verdict == UNKNOWN] == list(unknown)
    options = [m.line for f in findings for m in f.mend if m.where.startswith("for a container")]
    assert options == [
        "--cap-add=SYS_NICE --ulimit rtprio=90", "--ulimit memlock=-1", "--device=/dev/cpu_dma_latency"
    ]  # fmt: skip


NO_DEVICE = "not held: there is no /dev/cpu_dma_latency"

# ---- one check at a time ----

# fmt: off
VERSION = "/proc/sys/kernel/version"
ONE = [
    # check, the files it reads, the kernel's answers, found, verdict, the line that mends it or None, why
    (processor.kernel, {VERSION: "#1 SMP PREEMPT_DYNAMIC", "/proc/cmdline": "quiet preempt=none"}, {},
     "preempt=none; it can be chosen at boot", SHORT, "preempt=full", "booted without"),
    (processor.kernel, {VERSION: "#1 SMP PREEMPT_DYNAMIC", "/proc/cmdline": "preempt=lazy"}, {},
     "preempt=lazy; it can be chosen at boot", OK, None, "lazy gives way to a real-time thread at once"),
    (processor.kernel, {VERSION: "#1 SMP Debian"}, {},
     "preempt=none, built so", SHORT, "sudo apt install linux-image-rt-arm64", "only another kernel helps"),
    (processor.kernel, {VERSION: "#1 SMP Debian"}, {"machine": "x86_64"},
     "preempt=none, built so", SHORT, "sudo apt install linux-image-rt-amd64", "the same on a PC"),
    (processor.priority, {}, {"fifo": TRAP},
     "refused, the control group has no real-time budget", SHORT, "kernel.sched_rt_runtime_us=-1", "root too"),
    (processor.priority, {}, {"fifo": "other: refused: Invalid argument"},
     "refused: Invalid argument", SHORT, "LimitRTPRIO=90", "whatever the reason"),
    (processor.rt_runtime, {"/proc/sys/kernel/sched_rt_runtime_us": "-1"}, {},
     "no limit; nothing stops a runaway real-time thread", OK, None, "what some kernels need for FIFO at all"),
    (processor.rt_runtime, {"/proc/sys/kernel/sched_rt_runtime_us": "0"}, {},
     "0 of 1000000 µs", SHORT, "kernel.sched_rt_runtime_us=950000", "no real time at all"),
    (processor.rt_runtime, {"/proc/sys/kernel/sched_rt_runtime_us": "49000",
                            "/proc/sys/kernel/sched_rt_period_us": "100000"}, {},
     "49000 of 100000 µs", SHORT, "kernel.sched_rt_runtime_us=950000", "less than half"),
    (processor.governor, {"/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "performance",
                          "/sys/devices/system/cpu/cpu1/cpufreq/scaling_governor": "powersave"}, {},
     "performance, powersave", SHORT,
     "echo performance | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor", "one is enough to be late"),
    (processor.idle_states, {}, {"idle": NO_DEVICE}, NO_DEVICE, UNKNOWN, None, "a kernel without it"),
    (processor.idle_states, {"/run/.containerenv": ""}, {"idle": NO_DEVICE},
     NO_DEVICE, SHORT, "--device=/dev/cpu_dma_latency", "a container that was not given it"),
    (processor.isolated, {"/sys/devices/system/cpu/online": "0-2"}, {},
     "none; 3 are too few to spare one", OK, None, "advised from four on"),
    (processor.isolated, {"/sys/devices/system/cpu/online": "0,2-4"}, {},
     "none of 4", SHORT, "isolcpus=domain,managed_irq,4 irqaffinity=0-3 rcu_nocbs=4", "one of them is off"),
    (board.clock, {}, {"clock": Clock(True, 0.5)}, "synchronized, error at most 500 ms", OK, None, "whoever does it"),
    (board.clock, {}, {"clock": Clock(False, 16.0)},
     "not synchronized; nobody keeps it", SHORT, "sudo apt install chrony", "nobody there"),
    (board.clock, {"/run/chrony/chronyd.pid": "1"}, {"clock": Clock(False, 16.0)},
     "not synchronized, though chrony is there", SHORT, "chronyc sources", "its servers do not answer"),
    (board.watchdog, {"/proc/device-tree/model": "Raspberry Pi 5"}, {},
     "none", SHORT, "dtparam=watchdog=on", "every Pi has one"),
    (board.watchdog, {}, {}, "none to be seen here", UNKNOWN, None, "a virtual machine"),
    (board.watchdog, {"/dev/watchdog": ""}, {}, "/dev/watchdog is there", OK, None, "who feeds it is not told"),
    (room.swap, {"/proc/meminfo": "SwapTotal: 1048576 kB"}, {},
     "1.0 GiB; the controller's memory is locked", OK, None, "locked memory is not swapped"),
    (room.swap, {"/proc/meminfo": "SwapTotal: 1048576 kB"}, {"memory": "none: refused"},
     "1.0 GiB", SHORT, "LimitMEMLOCK=infinity", "and without the lock it is"),
]
# fmt: on


@pytest.mark.parametrize(("check", "files", "said", "found", "verdict", "line", "why"), ONE, ids=[c[-1] for c in ONE])
def test_one_check(
    check: Callable[..., Finding], files: dict[str, str], said: dict[str, Any],
    found: str, verdict: str, line: str | None, why: str, tmp_path: Path,
) -> None:  # fmt: skip
    host = lay(tmp_path, files)
    finding = check(host, answers(**said)) if "answers" in check.__annotations__ else check(host)
    assert (finding.found, finding.verdict) == (found, verdict), why
    assert (finding.mend[0].line if finding.mend else None) == line


# fmt: off
PARAMETER = [
    # file of the host              where a kernel parameter is put
    ("/boot/firmware/cmdline.txt",  "in /boot/firmware/cmdline.txt, at the end of its one line, then reboot"),
    ("/boot/cmdline.txt",           "in /boot/cmdline.txt, at the end of its one line, then reboot"),
    ("/etc/default/grub",          "in /etc/default/grub, inside GRUB_CMDLINE_LINUX, then sudo update-grub and reboot"),
    ("/etc/hostname",               "on the kernel's command line, then reboot"),
]
THROTTLED = [
    # word       found                                                              lines  why
    ("0x1",      "under-voltage",                                                   1,     "the supply"),
    ("0x8",      "too warm",                                                        1,     "the heat sink"),
    ("0x50000",  "under-voltage since boot, throttled since boot",                  2,     "over by now"),
    ("0xf0002",  "clock capped, under-voltage since boot, throttled since boot, too warm since boot",
                                                                                    2,     "now and then"),
]
# fmt: on


@pytest.mark.parametrize(("file", "where"), PARAMETER)
def test_where_a_kernel_parameter_is_put(file: str, where: str, tmp_path: Path) -> None:
    assert lay(tmp_path, {file: ""}).kernel_parameter("x=1") == Mend(where, "x=1")


@pytest.mark.parametrize(("word", "found", "lines", "why"), THROTTLED, ids=[c[-1] for c in THROTTLED])
def test_throttling(word: str, found: str, lines: int, why: str, tmp_path: Path) -> None:
    """By vcgencmd: this kernel shows no file."""
    host = lay(tmp_path, {"/proc/device-tree/model": "Raspberry Pi 5"})
    (finding,) = board.throttling(host, answers(throttled=f"throttled={word}\n"))
    assert (finding.found, finding.verdict, len(finding.mend)) == (found, SHORT, lines), why


def test_throttling_without_vcgencmd_is_unknown_and_elsewhere_no_question(tmp_path: Path) -> None:
    pi = lay(tmp_path / "pi", {"/proc/device-tree/model": "Raspberry Pi 5"})
    assert [f.verdict for f in board.throttling(pi, answers())] == [UNKNOWN]
    assert board.throttling(Host(tmp_path), answers(throttled="throttled=0x1")) == []


# fmt: off
USB = "/sys/bus/usb-serial/devices/ttyUSB1"
PORTS = [
    # port      files                                            found                                          verdict
    ("ttyUSB1", {f"{USB}/x": ""},                                "driver cp210x, which has no latency timer",   OK),
    ("ttyUSB1", {f"{USB}/latency_timer": "2"},                   "latency timer 2 ms",                           SHORT),
    ("ttyAMA0", {},                                              "no USB adapter: no latency timer",             OK),
    ("ttyS0",   {"/sys/class/tty/console/active": "tty0 ttyS0"}, "the kernel's console, not free for a device",  OK),
    ("ttyLOCK", {},                                              "may not be opened",                            SHORT),
]
# fmt: on


@pytest.mark.parametrize(("name", "files", "found", "verdict"), PORTS)
def test_a_serial_port(name: str, files: dict[str, str], found: str, verdict: str, tmp_path: Path) -> None:
    host, port = lay(tmp_path, files), f"/dev/{name}"
    adapter = tmp_path / "sys/bus/usb-serial/devices/ttyUSB1"
    if adapter.exists():
        (adapter / "driver").symlink_to("/sys/bus/usb-serial/drivers/cp210x")
    said = answers(ports=(port,), opens=lambda asked: asked != "/dev/ttyLOCK")
    assert [(f.title, f.found, f.verdict) for f in board.serial_ports(host, said, None)] == [
        (f"serial-port {port}", found, verdict)
    ]


def test_serial_ports_wanted_and_not_wanted(tmp_path: Path) -> None:
    """A port that is not there is short only when it is wanted; what nobody wants is not looked at."""
    said = answers(ports=("/dev/ttyAMA0",))
    host = Host(tmp_path)
    assert [f.found for f in board.serial_ports(host, answers(), None)] == ["none here"]
    assert board.serial_ports(host, said, ()) == []
    (gone,) = board.serial_ports(host, said, ("/dev/ttyUSB0",))
    assert (gone.found, gone.verdict) == ("is not there; there are /dev/ttyAMA0", SHORT)
    link = tmp_path / "by-id"
    link.symlink_to("/dev/ttyAMA0")
    (linked,) = board.serial_ports(host, said, (str(link),))
    assert (linked.of, linked.verdict) == ("/dev/ttyAMA0", OK)


# fmt: off
WAYS = [
    # address            interface  why
    ("192.168.1.50",     "wlan0",   "the network itself is nearer than the gateway"),
    ("192.168.2.50",     "eth0",    "all others by the gateway"),
    ("10.0.0.1",         "eth0",    "the same"),
]
# fmt: on


@pytest.mark.parametrize(("ip", "interface", "why"), WAYS, ids=[c[-1] for c in WAYS])
@pytest.mark.skipif(sys.byteorder != "little", reason="the table is in the machine's own words")
def test_the_longest_match_shows_the_way(ip: str, interface: str, why: str) -> None:
    assert board.route(PI["/proc/net/route"], ip) == interface, why
    assert board.route("Iface Destination\n", ip) == ""


# fmt: off
DEVICES = [
    # host           its address    found                     verdict  line that mends it
    ("127.0.0.1",    "127.0.0.1",   "this machine",           OK,      None),
    ("192.168.2.7",  "192.168.2.7", "by eth0",                OK,      None),
    ("meter.local",  "192.168.1.7", "by wlan0, wireless",     SHORT,   "sudo iw dev wlan0 set power_save off"),
    ("meter.local",  "",            "nobody knows this name", SHORT,   "host: ADDRESS"),
]
# fmt: on


@pytest.mark.parametrize(("name", "ip", "found", "verdict", "line"), DEVICES)
def test_the_way_to_a_device(name: str, ip: str, found: str, verdict: str, line: str | None, tmp_path: Path) -> None:
    finding = board.network(lay(tmp_path, PI), answers(address={name: ip}.__getitem__), "meter", name, SITE)
    assert (finding.title, finding.found, finding.verdict) == (f"network meter {name}", found, verdict)
    assert (finding.mend[0].line if finding.mend else None) == line
    unplugged = board.network(Host(tmp_path / "none"), answers(), "meter", "192.168.2.7", SITE)
    assert (unplugged.found, unplugged.verdict) == ("no way to 192.168.2.7", SHORT)


# fmt: off
FOLDERS = [
    # folder       mounts              MiB   ours   verdict first line that mends it                     why
    ("/run/v2g",   "tmpfs /run tmpfs", 12,   True,  OK,    None,                                         "as it is"),
    ("/srv/v2g",   "/dev/sda / ext4",  1024, True,  SHORT, "runtime_dir: /run/v2g/NAME",                 "a disk"),
    ("/run/v2g",   "/dev/sda / ext4",  1024, True,  SHORT, "tmpfs /run tmpfs mode=755,nosuid,nodev 0 0", "no systemd"),
    ("/run/v2g",   "tmpfs /run tmpfs", 11,   True,  SHORT, "sudo mount -o remount,size=50% /run",        "too small"),
    ("/run/v2g/a", "tmpfs /run tmpfs", 1024, False, SHORT, "RuntimeDirectory=v2g/a",                     "not ours"),
    ("/srv/v2g",   "tmpfs /srv tmpfs", 1024, False, SHORT, "sudo install -d -o pi /srv/v2g",             "nobody's"),
    ("/run/v2g",   "",                 1024, True,  OK,    None,                                         "no mounts"),
]
# fmt: on


@pytest.mark.parametrize(
    ("path", "mounts", "mib", "ours", "verdict", "line", "why"), FOLDERS, ids=[c[-1] for c in FOLDERS]
)
def test_the_folder_of_the_ring(
    path: str, mounts: str, mib: int, ours: bool, verdict: str, line: str | None, why: str, tmp_path: Path
) -> None:
    host = lay(tmp_path, {"/proc/self/mounts": "\n".join(f"{m} rw 0 0" for m in mounts.splitlines())})
    said = answers(room=lambda p: Room(p, mib * 2**20, ours))
    finding = room.runtime_dir(host, said, Path(path), 10, SITE)
    assert (finding.verdict, finding.mend[0].line if finding.mend else None) == (verdict, line), why


def test_the_folder_of_the_journal(tmp_path: Path) -> None:
    little = room.state_dir(Host(tmp_path), answers(room=lambda p: Room(p, GIB - 1, True)), Path("/srv/v2g"), SITE)
    assert (little.verdict, little.mend) == (SHORT, (Mend(f"{SITE}, on a larger disk", "state_dir: /FOLDER/ON/IT"),))
    assert room.state_dir(Host(tmp_path), answers(room=lambda p: Room(p, GIB, True)), Path("/srv"), SITE).verdict == OK


# fmt: off
MOUNTS = "/dev/sda / ext4 rw 0 0\ntmpfs /run tmpfs rw 0 0\nnone /run/user ramfs rw 0 0\n/dev/b /run xfs rw 0 0\n"
MOUNTED = [
    # path          place        kind     why
    ("/var/lib",    "/",         "ext4",  "the root"),
    ("/run/v2g",    "/run",      "xfs",   "mounted over the first /run"),
    ("/run/user/1", "/run/user", "ramfs", "the deepest"),
    ("/running",    "/",         "ext4",  "a name that only begins so"),
]
# fmt: on


@pytest.mark.parametrize(("path", "place", "kind", "why"), MOUNTED, ids=[c[-1] for c in MOUNTED])
def test_the_file_system_of_a_path(path: str, place: str, kind: str, why: str) -> None:
    assert room.mount(MOUNTS, Path(path)) == (place, kind), why
    assert room.mount("", Path(path)) == ("", "")


@pytest.mark.parametrize("period_ms", [1, 7, 10, 100])
def test_a_ring_takes_the_room_that_is_asked_for(period_ms: int, tmp_path: Path) -> None:
    ring = tmp_path / "ring"
    RingWriter(ring, {"epoch": 1}, period_ms * 1_000_000)
    header = 65536
    assert ring.stat().st_size == header + room.ring_bytes(period_ms)


def test_memory_must_hold_the_programs_and_two_rings(tmp_path: Path) -> None:
    need_kib = 128 * 1024 + 2 * room.ring_bytes(1) // 1024
    just = lay(tmp_path / "a", {"/proc/meminfo": f"MemAvailable: {need_kib} kB"})
    short = lay(tmp_path / "b", {"/proc/meminfo": f"MemAvailable: {need_kib - 1} kB"})
    assert [room.memory(h, 1).verdict for h in (just, short)] == [OK, SHORT]
    assert room.memory(short, 10).verdict == OK  # smaller rings


# ---- the self-test ----


def test_lateness_counts_the_grid_points_that_were_skipped() -> None:
    """Four steps of 10 ms: 20, 40 and 60 µs late, then one that is 2 periods and 80 µs late."""
    rows = np.zeros(4, bulk.STEP)
    rows["lateness_ns"] = [20_000, 40_000, 60_000, 80_000]
    rows["k"] = [1, 1, 1, 3]
    test = summary(10, "fifo 80", rows, skipped=2)
    assert (test.steps, test.skipped, test.late_p50_us, test.late_max_us) == (4, 2, 50.0, 20_080.0)
    assert test.late_p99_us == pytest.approx(60.0 + 0.97 * 20_020.0)  # 0.99 x 3 intervals: 0.97 of the last one


# fmt: off
JUDGED = [
    # skipped  p99 µs  worst µs  verdict  mended by         why
    (0,        5000,   9000,     OK,      None,             "half the period is still good"),
    (0,        5001,   9000,     SHORT,   "period_ms: 20",  "twice p99 must fit"),
    (1,        50,     10_050,   SHORT,   "period_ms: 20",  "a step was skipped"),
    (1,        50,     31_000,   SHORT,   "period_ms: 50",  "the worst must fit too"),
    (9,        400_000, 900_000, SHORT,   "period_ms: 100", "no longer step is allowed"),
]
# fmt: on


@pytest.mark.parametrize(("skipped", "p99", "worst", "verdict", "line", "why"), JUDGED, ids=[c[-1] for c in JUDGED])
def test_the_verdict_is_against_the_sites_own_period(
    skipped: int, p99: float, worst: float, verdict: str, line: str | None, why: str
) -> None:
    finding = judge(SelfTest(10, "fifo 80", 200, skipped, 40.0, p99, worst), SITE)
    assert (finding.verdict, finding.mend[0].line if finding.mend else None) == (verdict, line), why


def test_at_the_longest_period_no_longer_one_is_advised() -> None:
    assert judge(SelfTest(100, "fifo 80", 20, 1, 40.0, 50.0, 150_000.0), SITE).mend == ()


def test_the_loop_is_really_run() -> None:
    seen: list[float] = []
    test = measure(Settings(), 5, 0.3, seen.append)
    assert test.steps >= 1
    assert 0 <= test.late_p50_us <= test.late_p99_us <= test.late_max_us
    assert seen == sorted(seen)
    assert seen[-1] >= 0.3
    assert test.granted.startswith(("fifo 80", "other: refused"))


# ---- what is printed ----

TESTS = [SelfTest(1, "fifo 80", 2000, 0, 31.2, 55.5, 1400.0), SelfTest(10, "fifo 80", 200, 0, 40.0, 70.0, 90.0)]


@pytest.mark.parametrize("width", [60, 80, 110])
def test_only_lines_to_copy_are_wider_than_the_screen(width: int, tmp_path: Path) -> None:
    findings = examine(lay(tmp_path, PI), PI_ANSWERS, Subject())
    lines = list(page(Subject(), findings, [], width))[1:]  # the first holds this machine's names
    whole = {f"       {m.line}" for f in findings for m in f.mend}
    assert whole <= set(lines)
    assert [line for line in lines if len(line) > width and line not in whole] == []


def test_the_page(tmp_path: Path) -> None:
    findings = examine(lay(tmp_path, MENDED_PI | {"/proc/meminfo": "SwapTotal: 0 kB"}), answers(), Subject())
    lines = list(page(Subject(), [*findings, judge(TESTS[1], SITE)], TESTS, 80))
    assert lines[0].endswith(": one step each 10 ms")
    assert " ok      governor         performance" in lines
    assert " unknown memory           cannot be read" in lines
    assert " ok      self-test 10 ms  200 steps, 0 skipped, p99 70 µs late" in lines
    assert "    step     steps   skipped       p50       p99     worst   thread" in lines
    assert "    1 ms      2000         0        31        56      1400   fifo 80" in lines
    assert lines[-1] == "This host is fit. 1 could not be found out."


def test_a_shortfall_stands_at_the_end_with_its_lines(tmp_path: Path) -> None:
    findings = examine(lay(tmp_path, MENDED_PI), replace(answers(), fifo=PI_ANSWERS.fifo), Subject())
    assert (
        list(page(Subject(), findings, [], 80))[-8:]
        == [
            "1. real-time: refused",
            "   Every other program on this host can delay a step. This is what this user is",
            "   granted here; a service is granted what its unit says.",
            f"   {UNIT}:",
            "       LimitRTPRIO=90",
            "   for a login shell, in /etc/security/limits.d/v2g.conf, then log in again:",
            "       pi - rtprio 90",
            "",
            "1 shortfall; what each costs stands with it.",
        ][-8:]
    )


def test_the_same_for_a_program(tmp_path: Path) -> None:
    answer = as_json(Subject(), examine(lay(tmp_path, PI), PI_ANSWERS, Subject()), TESTS)
    again = json.loads(json.dumps(answer))
    assert (again["v"], again["site"], again["period_ms"], again["fit"]) == (1, None, 10, False)
    assert again["refused"] == ["real-time", "memory-lock"]
    assert again["checks"][4]["mend"][1] == {"where": CMDLINE, "line": "cpufreq.default_governor=performance"}
    assert again["self_test"][0] == {
        "period_ms": 1, "granted": "fifo 80", "steps": 2000, "skipped": 0,
        "late_p50_us": 31.2, "late_p99_us": 55.5, "late_max_us": 1400.0,
    }  # fmt: skip


# ---- this machine ----


def v2g_doctor(
    *arguments: str, before: Callable[[], None] | None = None, columns: str = "80"
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "controller.cli", "doctor", *arguments]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False, preexec_fn=before,
        env={**os.environ, "COLUMNS": columns},
    )  # fmt: skip


def give_up_rights() -> None:
    """No real-time priority and little locked memory; root loses the capabilities that would pass over that."""
    prctl = ctypes.CDLL(None).prctl
    for capability in (rights.CAP_IPC_LOCK, rights.CAP_SYS_NICE):
        prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP: gone after exec; an ordinary user has them not anyway
    resource.setrlimit(resource.RLIMIT_RTPRIO, (0, 0))
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (65536, 65536))


def site_file(folder: Path, more: str) -> Path:
    """demo-60hz with its folders in a test's own, and a step of 5 ms."""
    text = (ROOT / "config/sites/demo-60hz.yaml").read_text()
    text = re.sub(r"(?m)^(period_ms|require_realtime|runtime_dir|state_dir):.*\n", "", text)
    path = folder / "site.yaml"
    path.write_text(f"{text}\nperiod_ms: 5\nruntime_dir: {folder}/run\nstate_dir: {folder}/state\n{more}")
    return path


def test_a_screen_of_one_column_gets_forty() -> None:
    done = v2g_doctor("--no-self-test", columns="1")
    assert (done.returncode, done.stderr) == (0, "")


def test_this_machine_without_a_site() -> None:
    done = v2g_doctor("--json", "--seconds", "0.2")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert [t["period_ms"] for t in answer["self_test"]] == [FASTEST_MS, 10]
    assert all(t["steps"] > 0 and t["late_max_us"] >= t["late_p50_us"] >= 0 for t in answer["self_test"])
    found = {c["name"]: c for c in answer["checks"]}
    assert {c["verdict"] for c in answer["checks"]} <= {OK, SHORT, UNKNOWN}
    assert all(c["why"] and (c["mend"] or c["name"] == "self-test") for c in answer["checks"] if c["verdict"] == SHORT)
    assert found["self-test"]["of"] == "10 ms"
    here = answers(room=room_of)
    assert (
        found["state-dir"]["found"].partition(",")[0]
        == (room.state_dir(Host(), here, Path("/var/lib/v2g"), SITE).found.partition(",")[0])
    )


def test_this_machine_for_a_site(tmp_path: Path) -> None:
    done = v2g_doctor(str(site_file(tmp_path, "")), "--seconds", "0.1")
    assert done.returncode == 0, done.stderr
    assert f"{tmp_path}/site.yaml, one step each 5 ms" in done.stdout.splitlines()[0]
    assert re.search(r"(?m)^ ok +network meter 127\.0\.0\.1 +this machine$", done.stdout)
    assert re.search(rf"{tmp_path}/run", done.stdout)
    assert re.search(r"(?m)^    1 ms +\d+ +\d+ +\d+ +\d+ +\d+   ", done.stdout)
    assert re.search(r"(?m)^    5 ms +\d+ +\d+ +\d+ +\d+ +\d+   ", done.stdout)
    assert "serial-port" not in done.stdout  # this site has none


@pytest.mark.parametrize(("more", "code"), [("", 0), ("require_realtime: true\n", 3)])
def test_rights_that_are_refused(more: str, code: int, tmp_path: Path) -> None:
    """Really refused: with the limits of an ordinary user, and for root without its capabilities."""
    path = site_file(tmp_path, more)
    done = v2g_doctor(str(path), "--no-self-test", before=give_up_rights)
    assert done.returncode == code, done.stderr
    refusal = f"{load_site(path).where('require_realtime')}: require_realtime is set, but this host refuses "
    what = "real-time and memory-lock\n"
    assert done.stderr == (refusal + what if code else "")
    assert re.search(r"(?m)^ SHORT +real-time +refused$", done.stdout)
    for line in (f"   {UNIT}:", "       LimitRTPRIO=90", "       LimitMEMLOCK=infinity"):
        assert line in done.stdout.splitlines()
    assert "self-test" not in done.stdout


# fmt: off
WRONG = [
    # arguments                     on stderr
    (["--seconds", "0"],            "0 is outside 0.1 ... 600 s"),
    (["--seconds", "nan"],          "nan is outside 0.1 ... 600 s"),
    (["--seconds", "soon"],         "soon is outside 0.1 ... 600 s"),
    (["nowhere"],                   "nowhere: no such file, and no name in /etc/v2g/sites; known: "),
    (["wrong.yaml"],                "wrong.yaml: cannot be read: No such file or directory"),
]
# fmt: on


@pytest.mark.parametrize(("arguments", "text"), WRONG, ids=[" ".join(c[0]) for c in WRONG])
def test_wrong_input_exits_with_2(arguments: list[str], text: str) -> None:
    done = v2g_doctor(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert text in done.stderr
    assert "Traceback" not in done.stderr


def test_a_wrong_site_file_has_its_usual_lines(tmp_path: Path) -> None:
    path = site_file(tmp_path, "period: 10\n")
    done = v2g_doctor(str(path))
    assert (done.returncode, done.stdout) == (2, "")
    assert re.search(rf"{path}:\d+: unknown key 'period'", done.stderr)


def test_the_kernel_is_really_asked(tmp_path: Path) -> None:
    """In a process of its own: asking locks its memory for good."""
    idle = rights.IdleStates()
    code = "from controller.doctor.answers import ask; from cython_core.realtime.host import IdleStates; "
    code += "a = ask(IdleStates()); print(a.fifo, a.memory, a.idle, a.machine, a.user, sep='|')"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    fifo, _, held, machine, user = done.stdout.strip().split("|")
    assert (fifo, held, machine) == (rights.try_fifo(80), idle.text, os.uname().machine)
    assert user
    idle.close()
    clock = kernel_clock()
    assert clock is None or clock.max_error_s >= 0.0
    there = room_of(tmp_path / "not" / "yet")
    assert (there.path, there.writable) == (tmp_path.resolve(), True)
    assert there.free_bytes > 0
    assert (address("localhost"), address("no.such.host.invalid")) == ("127.0.0.1", "")


def test_every_check_is_explained(tmp_path: Path) -> None:
    """docs/operations.md has one row a check, in the order of the page."""
    text = (ROOT / "docs/operations.md").read_text().partition("\n## Is this host fit?\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `([a-z-]+)` \| .+ \|$", text, re.MULTILINE)
    host, said = lay(tmp_path, PI), replace(PI_ANSWERS, address=lambda _name: "")
    site = Subject.of_site(load_site(Path("demo-60hz")))
    checks = [*examine(host, said, Subject()), judge(TESTS[0], SITE)]
    names = list(dict.fromkeys(f.name for f in checks))
    names.insert(names.index("clock"), networks(host, said, site)[0].name)
    assert [row for row in rows if row not in OF_SERVICES] == names
    assert rows[len(names) :] == list(OF_SERVICES)
