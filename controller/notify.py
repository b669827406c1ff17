"""systemd's two small protocols: sd_notify over a datagram socket, and priorities on stderr lines.

notify("READY=1", "STATUS=...") does nothing without NOTIFY_SOCKET. WATCHDOG=1 must come from the control loop's own
progress, never from a timer. Source: sd_notify(3), sd_watchdog_enabled(3), sd-daemon(3).
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Mapping

SYSLOG = {logging.CRITICAL: 2, logging.ERROR: 3, logging.WARNING: 4, logging.INFO: 6, logging.DEBUG: 7}


def notify(*states: str, environ: Mapping[str, str] = os.environ) -> bool:
    """Send states such as READY=1, STATUS=text, WATCHDOG=1, STOPPING=1. True when systemd's socket took them."""
    address = environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    if address.startswith("@"):  # an abstract socket
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.setblocking(False)  # a stuck service manager must not hold us up
            channel.sendto("\n".join(states).encode(), address)
    except OSError:
        return False
    return True


def watchdog_s(environ: Mapping[str, str] = os.environ) -> float | None:
    """The time in which systemd wants WATCHDOG=1, or None: feed it at half of that."""
    usec, pid = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    if not (usec.isascii() and usec.isdigit() and int(usec) > 0):
        return None
    if pid and pid != str(os.getpid()):  # meant for another process of the unit
        return None
    return int(usec) / 1e6


class PriorityFormatter(logging.Formatter):
    """`<4>text`: journald reads the number as the line's priority."""

    def format(self, record: logging.LogRecord) -> str:
        level = next((n for at, n in SYSLOG.items() if record.levelno >= at), 7)
        return "\n".join(f"<{level}>{line}" for line in super().format(record).splitlines())
