"""A serial port as pyserial opens it; then the bus thread owns the descriptor.

The settings stay in the descriptor: a thread without the interpreter takes them from there and can open the port again
after an adapter was unplugged. An adapter by FTDI collects its bytes for up to 16 ms;
where the kernel lets us, it is told 1 ms.
Errors   BusError: the port cannot be opened; the text says what to look at. LineError: it can, but not at this rate and
         parity.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import termios
from pathlib import Path

import serial
from serial.rs485 import RS485Settings
from serial.tools import list_ports

from drivers.base import BusError
from drivers.modbus.link import SerialLink

LATENCY_MS = 1
REMEDIES = {
    errno.EACCES: "add the user to the group dialout",
    errno.ENOENT: "is the adapter plugged in?",
    errno.EBUSY: "another program has it open",
}


class LineError(BusError):
    """This port has no such rate or parity."""


def open_port(link: SerialLink) -> int:
    """The descriptor of the port: raw, not blocking, for us alone."""
    try:
        port = serial.Serial(
            link.path,
            link.baud,
            parity=link.parity,
            stopbits=link.stop_bits,
            timeout=0,
            exclusive=True,
        )
    except termios.error as error:
        raise LineError(
            f"{link}: the port does not have this setting ({error.args[-1]}); allowed: one that it has"
        ) from None
    except (serial.SerialException, OSError) as error:
        raise BusError(f"{link.path}: cannot be opened: {_reason(error)}; {_remedy(error)}") from None
    try:
        if link.rs485:
            port.rs485_mode = RS485Settings()
        fd = fcntl.fcntl(port.fileno(), fcntl.F_DUPFD_CLOEXEC, 3)
    except (ValueError, OSError) as error:
        raise BusError(
            f"{link.path}: the driver cannot switch the transmitter ({_reason(error)}); leave rs485 out when the "
            "adapter does it by itself"
        ) from None
    finally:
        port.close()
    line = termios.tcgetattr(fd)
    line[6][termios.VMIN] = 1  # nothing to read is EAGAIN then, and 0 bytes an adapter that is gone
    termios.tcsetattr(fd, termios.TCSANOW, line)
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)  # pyserial lets its lock go as it closes
    os.set_blocking(fd, False)
    return fd


def ask_low_latency(path: str) -> str:
    """What became of the adapter's latency timer, in words; nothing for a port without one."""
    timer = Path("/sys/bus/usb-serial/devices") / Path(path).resolve().name / "latency_timer"
    if not timer.exists():
        return ""
    with contextlib.suppress(OSError):
        if int(timer.read_text()) > LATENCY_MS:
            timer.write_text(f"{LATENCY_MS}\n")
    now_ms = int(timer.read_text())
    if now_ms > LATENCY_MS:
        return f"latency timer {now_ms} ms: refused; the udev rule for usb-serial sets it to {LATENCY_MS}"
    return f"latency timer {now_ms} ms"


def port_names() -> list[str]:
    """The serial ports of this machine, by their lasting names where they have one."""
    by_target = {str(p.resolve()): str(p) for p in Path("/dev/serial/by-id").glob("*")}
    return sorted(by_target.get(p.device, p.device) for p in list_ports.comports())


def _reason(error: Exception) -> str:
    number = getattr(error, "errno", None)
    return os.strerror(number) if number else str(error)


def _remedy(error: Exception) -> str:
    names = ", ".join(port_names()) or "none"
    return f"{REMEDIES.get(getattr(error, 'errno', 0) or 0, 'look at the cable')}; ports of this machine: {names}"
