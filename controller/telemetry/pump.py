"""Pump: which rows of the outbox to send now. Decides only; time is an argument.

Order    fresh rows at once (events first), whatever else waits; then the backlog: events, then live newest first.
Backlog  rows never sent, and rows the consumer stayed silent about for 4 s, 8 s ... 64 s; at most `rate_per_s`, and
         while nobody answers at all one row every PROBE_MS, so that an absent consumer costs nothing.
A broker's receipt (PUBACK) changes nothing here: it is no delivery.
"""

from __future__ import annotations

from controller.telemetry.outbox import Outbox
from controller.telemetry.wire import Ranges, Row

FRESH_MS = 10_000  # younger rows are live; older ones are backlog
MAX_DOUBLINGS = 4
NOBODY_MS = 10_000  # no acknowledgement for this long, with rows out: nobody is listening
PROBE_MS = 5_000
MAX_REMEMBERED = 2_000


class Pump:
    """One outbox's sending order; the state is what has been sent since this process began."""

    def __init__(self, outbox: Outbox, rate_per_s: float = 50.0, window: int = 200, silent_ms: int = 4_000) -> None:
        self.outbox, self.rate_per_s, self.window, self.silent_ms = outbox, rate_per_s, window, silent_ms
        self.sent = 0
        self._sent: dict[int, tuple[int, int]] = {}  # seq -> (when, how often)
        self._high = 0
        self._tokens, self._tokens_ms = rate_per_s, 0
        self._heard_ms = self._backlog_ms = 0

    def connected(self, now_ms: int) -> None:
        """A new connection. What was under way gets its full time again: the MQTT client repeats it by itself."""
        self._heard_ms = self._tokens_ms = now_ms
        self._sent = {seq: (now_ms, times) for seq, (_, times) in self._sent.items()}

    def acknowledged(self, outbox_id: str, ranges: Ranges, now_ms: int) -> int:
        """The consumer has stored these. -> rows deleted."""
        if outbox_id != self.outbox.id:
            return 0
        self._heard_ms = now_ms
        for first, last in ranges:
            for seq in [s for s in self._sent if first <= s <= last]:
                del self._sent[seq]
        return self.outbox.acknowledge(outbox_id, ranges)

    def due(self, now_ms: int) -> list[Row]:
        """Rows to send now; they count as sent."""
        rows = self.outbox.fresh(self._high, now_ms - FRESH_MS)
        self._high = max(self._high, self.outbox.newest_seq())
        self._remember(rows, now_ms)
        rows += self._backlog(now_ms)
        self.sent += len(rows)
        return rows

    def _backlog(self, now_ms: int) -> list[Row]:
        budget = self._budget(now_ms)
        waiting = self._waiting(now_ms)
        if budget <= 0 or self.outbox.counters().waiting <= len(waiting):
            return []
        rows = self.outbox.next_batch(budget, waiting)
        self._tokens -= len(rows)
        if rows:
            self._backlog_ms = now_ms
            self._remember(rows, now_ms)
        return rows

    def _budget(self, now_ms: int) -> int:
        elapsed_s = max(0, now_ms - self._tokens_ms) / 1000.0
        self._tokens = min(self.rate_per_s, self._tokens + elapsed_s * self.rate_per_s)
        self._tokens_ms = now_ms
        if now_ms - self._heard_ms > NOBODY_MS and self._sent:
            return int(now_ms - self._backlog_ms >= PROBE_MS)
        return min(int(self._tokens), self.window - len(self._waiting(now_ms)))

    def _waiting(self, now_ms: int) -> set[int]:
        """Sent, and not yet silent for too long."""
        return {seq for seq, (at_ms, times) in self._sent.items() if now_ms - at_ms < silence_ms(self.silent_ms, times)}

    def _remember(self, rows: list[Row], now_ms: int) -> None:
        for row in rows:
            self._sent[row.seq] = (now_ms, self._sent.get(row.seq, (0, 0))[1] + 1)
        if len(self._sent) > MAX_REMEMBERED:  # long silence: forget the oldest; they count as never sent
            for seq in sorted(self._sent, key=lambda s: self._sent[s])[: MAX_REMEMBERED // 2]:
                del self._sent[seq]


def silence_ms(first_ms: int, times: int) -> int:
    """How long a row sent `times` times may stay unanswered."""
    return first_ms << min(times - 1, MAX_DOUBLINGS)
