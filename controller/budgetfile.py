"""The spent part of a day's write budget, kept in a file by the core: a restart must not begin the day anew.

File     state_dir/write-budget.json {"v": 1, "spent": set-points, "day_began_s": Unix time}; at most once a minute and
         at the end (SD cards), by a thread of its own: a slow disk holds up neither loop nor watchdog.
Read     by the launcher: controller.writebudget.
"""

from __future__ import annotations

import _thread
import os

from controller.wholefile import write_whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

NAME = "write-budget.json"
VERSION = 1
KEEP_S = 60.0
CLOSE_S = 2.0


class Keeper:
    """keep() whenever somebody looks, close() at the end. say(level, text) tells of a disk that takes nothing."""

    def __init__(self, path: str, say: Callable[[str, str], None]) -> None:
        self.path, self.say = path, say
        self.kept = (0, 0)
        self.next_s = float("-inf")
        self.writing = _thread.allocate_lock()
        self.failed = False

    def keep(self, spent: int, day_began_s: int, now_s: float) -> None:
        """What has changed, if it is time and the disk has taken the last one. now_s: any monotonic clock."""
        if now_s >= self.next_s and self._is_new(spent, day_began_s) and self.writing.acquire(False):
            self.kept, self.next_s = (spent, day_began_s), now_s + KEEP_S
            try:
                _thread.start_new_thread(self._write, self.kept)
            except RuntimeError as error:  # the host has no thread for us: tried again in a minute
                self.kept = (0, 0)
                self._unsaved(error)
                self.writing.release()

    def close(self, spent: int, day_began_s: int) -> None:
        """The last word. A disk that does not answer is waited for, but not for ever."""
        if self._is_new(spent, day_began_s) and self.writing.acquire(timeout=CLOSE_S):
            self.kept = (spent, day_began_s)
            self._write(*self.kept)

    def _is_new(self, spent: int, day_began_s: int) -> bool:
        """The day's begin is computed from two clocks: a second of difference is none."""
        return spent > 0 and (spent != self.kept[0] or abs(day_began_s - self.kept[1]) > 1)

    def _write(self, spent: int, day_began_s: int) -> None:
        try:
            os.makedirs(self.path.rpartition("/")[0], exist_ok=True)  # noqa: PTH103  # without pathlib: part of the core
            write_whole(self.path, f'{{"v": {VERSION}, "spent": {spent}, "day_began_s": {day_began_s}}}\n', True)
        except OSError as error:
            self._unsaved(error)
        finally:
            self.writing.release()

    def _unsaved(self, error: Exception) -> None:
        """Said once."""
        if not self.failed:
            self.say("WARNING", f"V2G-WRITE-BUDGET-UNSAVED {self.path}: {error}")
        self.failed = True
