"""Rotation: certificates are renewed while telemetry or bridge runs, and no message is lost for it.

Order    files changed and at rest -> loaded -> tried at the broker beside the connection in use -> that one is
         closed properly and opened with the new ones. What cannot be loaded, or is not accepted, changes nothing. A
         trial that has failed is repeated each minute: the broker was away, or learns of a new authority after us.
Errors   none raised: V2G-CERTIFICATE-NOT-TAKEN says why, V2G-CERTIFICATE-RENEWED that it is done.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from pathlib import Path

from controller.telemetry.access import AccessError
from controller.telemetry.link import Access, Link
from controller.telemetry.refusal import Refusal

log = logging.getLogger(__name__)

LOOK_S = 2.0
TRIAL_S = 20.0
AGAIN_S = 60.0

Marks = tuple[tuple[int, int, int] | None, ...]


class Trial(Link):
    """One attempt beside the connection in use, which alone speaks of itself. why: it was refused."""

    def _up(self) -> None:
        """Whoever waits sees `connected`."""

    def _down(self, why: Refusal) -> None:
        self.why = self.why or why.text


class Rotation:
    """Of one link. load: the site's access as its files are now. files: which ones to look at."""

    def __init__(self, link: Link, files: Sequence[Path], load: Callable[[], Access]) -> None:
        self.link, self.files, self.load = link, files, load
        self._used, self._seen = marks(files), marks(files)
        self._looked_s = self._tried_s = 0.0
        self._again_s = math.inf
        self._said = ""
        self._trial: Trial | None = None

    def turn(self, now_s: float) -> None:
        """now_s: monotonic."""
        if self._trial is not None:
            self._watch(self._trial, now_s)
        elif now_s - self._looked_s >= LOOK_S:
            self._looked_s = now_s
            before, self._seen = self._seen, marks(self.files)
            if self._seen == before and (self._seen != self._used or now_s >= self._again_s):
                self._take(now_s)

    def stop(self) -> None:
        """Ends a trial."""
        if self._trial is not None:
            self._trial.stop()
            self._trial = None

    def _take(self, now_s: float) -> None:
        self._used, self._again_s = self._seen, math.inf
        try:
            access = self.load()
        except AccessError as error:
            self._refuse(str(error))
            return
        self._trial, self._tried_s = Trial(f"{self.link.client_id}-trial", access, []), now_s
        self._trial.start()

    def _watch(self, trial: Trial, now_s: float) -> None:
        if trial.connected:
            self.stop()
            self.link.renew(trial.access)
            self._said = ""
            log.info("V2G-CERTIFICATE-RENEWED %s", self.files[-1])
        elif trial.why or now_s - self._tried_s > TRIAL_S:
            self._again_s = now_s + AGAIN_S
            self.stop()
            self._refuse(f"tried beside the connection in use: {trial.why or f'no answer within {TRIAL_S:g} s'}")

    def _refuse(self, why: str) -> None:
        """Told once for each reason."""
        if why != self._said:
            log.warning("V2G-CERTIFICATE-NOT-TAKEN %s; the old ones stay", why)
        self._said = why


def marks(files: Sequence[Path]) -> Marks:
    """What changes when somebody writes one, or lets us read it."""
    return tuple(mark(file) for file in files)


def mark(file: Path) -> tuple[int, int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_ctime_ns, found.st_size, found.st_ino
