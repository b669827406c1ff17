"""Invalid rows: VictoriaMetrics answers 204 to lines that it cannot read, drops them and counts them. Is it doing so?

We write no such line (see points), so a count that rises is another writer's, or a server that reads otherwise than we
write: told at once, with the number. Its /metrics are renewed about once a second and do not say which line it was.
"""

from __future__ import annotations

import logging
import re

from controller.telemetry.httplink import HttpError, HttpLink

log = logging.getLogger(__name__)

COUNTER = re.compile(r'^vm_rows_invalid_total\{type="influx"\} (\d+)', re.MULTILINE)


class InvalidRows:
    """The counter of one server."""

    def __init__(self, link: HttpLink) -> None:
        self.link = link
        self.dropped = 0  # since the first look
        self._last: int | None = None
        self._unchecked_said = False

    def look(self) -> None:
        """Read it; say what has been dropped since the last look. After a restart it counts from 0."""
        name = self.link.target.name
        try:
            found = COUNTER.search(self.link.metrics())
        except HttpError as error:
            if error.status and not self._unchecked_said:  # without a status it is away: whoever writes says that
                log.warning("V2G-STORE-UNCHECKED %s: its counters cannot be read: %s", name, error)
                self._unchecked_said = True
            return
        count = int(found[1]) if found else 0
        if self._last is not None and count > self._last:
            self.dropped += count - self._last
            log.error("V2G-STORE-DROPPED %s: it could not read %d lines and dropped them", name, count - self._last)
        self._last = count
