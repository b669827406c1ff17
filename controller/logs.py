"""How a log line looks: for the logging module's formatter, and for the core process, which lives without logging.

Under systemd each line begins with journald's priority, `<4>text`; elsewhere with UTC time and level.
Source   sd-daemon(3); JOURNAL_STREAM in systemd.exec(5).
"""

from __future__ import annotations

import errno
import os
import sys
import time

PRIORITIES = {"CRITICAL": 2, "ERROR": 3, "WARNING": 4, "INFO": 6}
DEBUG_PRIORITY = 7
GONE = (errno.EIO, errno.EBADF, errno.EPIPE)  # a full disk is none of these: it may have room again


def for_journal() -> bool:
    """Whether stderr is read by journald."""
    return "JOURNAL_STREAM" in os.environ


def log_line(level: str, text: str, t_s: float, journal: bool) -> str:
    """A text of one or more lines, as it is written. level: a name of the logging module; t_s: of time.time()."""
    if journal:
        priority = PRIORITIES.get(level, DEBUG_PRIORITY)
        return "\n".join(f"<{priority}>{line}" for line in text.splitlines())
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(t_s))
    return f"{moment}.{int(t_s % 1 * 1000):03d}Z {level} {text}"


def say(level: str, text: str) -> None:
    """Log without logging. A terminal that has gone away is no reason to stop."""
    try:
        print(log_line(level, text, time.time(), for_journal()), file=sys.stderr, flush=True)
    except OSError as error:
        if error.errno in GONE:  # what is still in the buffer would make the exit code 120
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
