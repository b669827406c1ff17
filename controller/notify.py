"""systemd's sd_notify over a datagram socket.

notify("READY=1", "STATUS=...") does nothing without NOTIFY_SOCKET. WATCHDOG=1 must come from the control loop's own
progress, never from a timer. Source: sd_notify(3).
"""

from __future__ import annotations

import os
from _socket import AF_UNIX, SOCK_CLOEXEC, SOCK_DGRAM, socket  # `socket` itself brings enum and selectors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


def notify(*states: str, environ: Mapping[str, str] = os.environ) -> bool:
    """Send states such as READY=1, STATUS=text, WATCHDOG=1, STOPPING=1. True when systemd's socket took them."""
    address = environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    if address.startswith("@"):  # an abstract socket
        address = "\0" + address[1:]
    try:
        channel = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC)
    except OSError:  # no descriptor is left on this host: the next one tells
        return False
    try:
        channel.setblocking(False)  # a stuck service manager must not hold us up
        channel.sendto("\n".join(states).encode(), address)
    except OSError:
        return False
    finally:
        channel.close()
    return True
