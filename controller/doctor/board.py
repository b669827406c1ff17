"""What the board and its wires are like: serial ports, network, clock, throttling, watchdog."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address
from pathlib import Path

from controller.doctor.answers import Answers
from controller.doctor.finding import COMMAND, SHORT, UDEV, UNKNOWN, Finding, Host, Mend

LATENCY_MS = 1
LATENCY_RULE = 'ACTION=="add", SUBSYSTEM=="usb-serial", DRIVER=="ftdi_sio", ATTR{latency_timer}="1"'
TIME_DAEMONS = {
    "chrony": ("/run/chrony/chronyd.pid",),
    "systemd-timesyncd": ("/run/systemd/timesync/synchronized", "/run/systemd/timesync"),
    "ntpd": ("/run/ntpd.pid", "/run/ntpsec/ntpd.pid"),
}
# bits of get_throttled; the same + 16: since boot
POWER_BITS = {0: "under-voltage", 1: "clock capped", 2: "throttled", 3: "too warm"}


def serial_ports(host: Host, answers: Answers, wanted: tuple[str, ...] | None) -> list[Finding]:
    """The wanted ports; None: each port that has a UART behind it."""
    there = [p for p in answers.ports if host.text(f"/sys/class/tty/{name_of(p)}/type") != "0"]
    if wanted is not None:
        found = {port: str(Path(port).resolve()) for port in wanted}  # /dev/serial/by-id/... is a link
        return [serial_port(host, answers, p) if p in there else no_port(port, there) for port, p in found.items()]
    return [serial_port(host, answers, p) for p in there] or [Finding("serial-port", "none here")]


def name_of(port: str) -> str:
    return port.rpartition("/")[2]


def no_port(port: str, there: list[str]) -> Finding:
    others = f"there are {', '.join(there)}" if there else "there is none"
    mend = Mend("as a command, to see what the kernel found", "sudo dmesg | grep tty")
    return Finding("serial-port", f"is not there; {others}", SHORT, "The device cannot be reached.", (mend,), port)


def serial_port(host: Host, answers: Answers, port: str) -> Finding:
    """May it be opened, and how long does its adapter hold bytes back?"""
    name = name_of(port)
    usb = f"/sys/bus/usb-serial/devices/{name}"
    if name in host.text("/sys/class/tty/console/active").split():
        return Finding("serial-port", "the kernel's console, not free for a device", of=port)
    if not answers.opens(port):
        mend = Mend("as a command, then log in again", f"sudo usermod -aG dialout {answers.user}")
        return Finding("serial-port", "may not be opened", SHORT, "This user cannot use it.", (mend,), port)
    latency_ms = host.number(f"{usb}/latency_timer")
    if latency_ms is None:
        driver = host.path(f"{usb}/driver").resolve().name
        chip = f"driver {driver}, which has no latency timer" if host.has(usb) else "no USB adapter: no latency timer"
        return Finding("serial-port", chip, of=port)
    found = f"latency timer {latency_ms} ms"
    if latency_ms <= LATENCY_MS:
        return Finding("serial-port", found, of=port)
    why = f"The adapter holds the end of each answer back for up to {latency_ms} ms."
    now = Mend("as a command, until it is plugged in again", f"echo {LATENCY_MS} | sudo tee {usb}/latency_timer")
    return Finding("serial-port", found, SHORT, why, (now, Mend(UDEV, LATENCY_RULE)), port)


def network(host: Host, answers: Answers, role: str, device: str, place: str) -> Finding:
    """The way to a device; nothing is sent to it. place: where the site file names it."""
    of = f"{role} {device}"
    address = answers.address(device)
    if not address:
        mend = Mend(f"{place}, its address instead of its name", "host: ADDRESS")
        return Finding("network", "nobody knows this name", SHORT, "The device cannot be found.", (mend,), of)
    if IPv4Address(address).is_loopback:
        return Finding("network", "this machine", of=of)
    interface = route(host.text("/proc/net/route"), address)
    if not interface:
        mend = Mend("as a command, to see what is connected", "ip address; ip route")
        return Finding("network", f"no way to {address}", SHORT, "The device cannot be reached.", (mend,), of)
    if not host.has(f"/sys/class/net/{interface}/wireless"):
        return Finding("network", f"by {interface}", of=of)
    why = "Wireless sleeps between packets and repeats lost ones: single answers come late. A cable is better."
    mend = Mend("as a command, until the next boot", f"sudo iw dev {interface} set power_save off")
    return Finding("network", f"by {interface}, wireless", SHORT, why, (mend,), of)


def route(table: str, address: str) -> str:
    """The interface with the longest match in /proc/net/route; nothing when there is none.

    The table holds destination and mask as the machine's own words in hex, of addresses in network order.
    """
    best = (-1, "")
    target = int(IPv4Address(address))
    for line in table.splitlines()[1:]:
        columns = line.split()
        destination, mask = (struct.unpack("!I", struct.pack("=I", int(columns[i], 16)))[0] for i in (1, 7))
        if target & mask == destination:
            best = max(best, (mask, columns[0]))
    return best[1]


def clock(host: Host, answers: Answers) -> Finding:
    """Whether somebody keeps the wall clock right."""
    if answers.clock is None:
        return Finding("clock", "the kernel does not say", UNKNOWN)
    daemon = next((name for name, paths in TIME_DAEMONS.items() if any(map(host.has, paths))), "")
    if answers.clock.synchronized:
        by = f" by {daemon}" if daemon else ""
        return Finding("clock", f"synchronized{by}, error at most {answers.clock.max_error_s * 1e3:.0f} ms")
    found = "not synchronized" + (f", though {daemon} is there" if daemon else "; nobody keeps it")
    mend = {
        "chrony": Mend("as a command, to see which servers answer", "chronyc sources"),
        "systemd-timesyncd": Mend(COMMAND, "sudo timedatectl set-ntp true"),
    }.get(daemon, Mend("as a command" + " on the container's host" * host.is_container, "sudo apt install chrony"))
    return Finding("clock", found, SHORT, "Control goes on, but records carry wrong times.", (mend,))


def throttling(host: Host, answers: Answers) -> list[Finding]:
    """A Raspberry Pi that slows itself down; other boards have no such word."""
    if not host.is_pi:
        return []
    said = next(iter(host.texts("/sys/devices/platform/soc*/*firmware*/get_throttled")), "") or answers.throttled
    try:
        bits = int(said.removeprefix("throttled="), 16)
    except ValueError:
        return [Finding("throttling", "vcgencmd does not say", UNKNOWN)]
    now = [word for bit, word in POWER_BITS.items() if bits >> bit & 1]
    ever = [f"{word} since boot" for bit, word in POWER_BITS.items() if bits >> bit + 16 & 1 and word not in now]
    if not bits:
        return [Finding("throttling", "never since boot")]
    mend = []
    if bits & 0x10001:
        mend.append(Mend("on the board", "a power supply and cable that hold 5.1 V under load"))
    if bits & 0xE000E:
        mend.append(Mend("on the board", "a heat sink or a fan"))
    return [Finding("throttling", ", ".join(now + ever), SHORT, "The board slows down by itself.", tuple(mend))]


def watchdog(host: Host) -> Finding:
    """The board's own watchdog, the last net when everything else hangs."""
    why = "A board that hangs stays so until somebody comes; the inverter's own timer still acts."
    if not host.has("/dev/watchdog"):
        if host.is_pi:
            return Finding("watchdog", "none", SHORT, why, (host.boot_config("dtparam=watchdog=on"),))
        return Finding("watchdog", "none to be seen here", UNKNOWN)
    if host.text("/sys/class/watchdog/watchdog0/state") != "inactive":
        return Finding("watchdog", "/dev/watchdog is there")
    mend = Mend("in /etc/systemd/system.conf.d/v2g.conf, below [Manager], then reboot", "RuntimeWatchdogSec=10")
    return Finding("watchdog", "/dev/watchdog is there, nobody feeds it", SHORT, why, (mend,))
