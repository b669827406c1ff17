"""Stores: where rows end. write() returns only when every row is stored or in quarantine.

Idempotent   a row is the same when site, kind, epoch, source time and name are; the first one wins.
Errors       StoreError: nothing may be acknowledged, try again (retry_after_s when the store said when).
             StoreRefusedError (a StoreError): it will not get better by itself; the site owner must act.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from controller.telemetry.wire import Arrival

log = logging.getLogger(__name__)

FIRST_RETRY_S, LAST_RETRY_S = 0.5, 30.0
MOST_PAUSE_S = 300.0


class StoreError(Exception):
    """The store did not say yes; everything is sent again later."""

    code = "V2G-STORE-DOWN"

    def __init__(self, text: str, retry_after_s: float | None = None) -> None:
        super().__init__(text)
        self.retry_after_s = retry_after_s


class StoreRefusedError(StoreError):
    """The store says no to us, not to the data: token, bucket or address. The site owner must act."""

    code = "V2G-STORE-REFUSED"


class Store(Protocol):
    """What the bridge and the direct delivery need."""

    @property
    def name(self) -> str:
        """For logs and the status file."""
        ...

    def write(self, rows: Sequence[Arrival]) -> int:
        """All stored when it returns, but so many that are in quarantine. Raises StoreError."""
        ...

    def close(self) -> None:
        """Release files and sockets."""


def write_until_stored(store: Store, rows: Sequence[Arrival], stopping: threading.Event,
                       change: Callable[[bool], None] = lambda _: None) -> int | None:  # fmt: skip
    """Write, again and again with growing pauses. -> rows in quarantine; None: told to stop before they were stored.

    change: told False after each failure, True when all is stored. Logs one line per change.
    """
    delay_s, said = FIRST_RETRY_S, ""
    while True:
        try:
            aside = store.write(rows)
        except StoreError as error:
            change(False)
            if error.code != said:
                log.warning("%s %s: %s", error.code, store.name, error)
            said = error.code
            if stopping.wait(pause_s(delay_s, error.retry_after_s)):
                return None
            delay_s = min(2.0 * delay_s, LAST_RETRY_S)
            continue
        change(True)
        if said:
            log.warning("V2G-STORE-UP %s: stored again", store.name)
        return aside


def pause_s(delay_s: float, retry_after_s: float | None) -> float:
    """What the store asks for, 5 min at most, else our own; up to a fifth more, so that bridges come one by one."""
    pause = delay_s if retry_after_s is None else min(retry_after_s, MOST_PAUSE_S)
    return pause + random.uniform(0.0, 0.2 * max(pause, FIRST_RETRY_S))
