"""Other settings for a core that is running: handed over in a file, in force between two of its steps.

Written  by controller.handover: settings.next, marshal of (stamp, compiled settings, departures), whole at once;
         before that settings-<digest>.json, their names and values, for the readers of the ring.
Read     by the core's main thread a few times a second. A file of another build is refused: its bytes would be misread.
Imports  as controller.runtime: part of the core process.
"""

from __future__ import annotations

import marshal
import os

from controller.handed import stamp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from cython_core.realtime.loop import Loop

NAME = "settings.next"
ALL = "settings-*.json"
REFUSED = "V2G-RELOAD-REFUSED"


def named(digest: int) -> str:
    """The file of these settings in the runtime directory: JSON, for the readers of the ring."""
    return f"settings-{digest:016x}.json"


def is_moment(found: object) -> bool:
    """Unix seconds that the loop's clock can hold."""
    return type(found) is int and 0 < found < 1 << 33


class NextSettings:
    """take(loop) whenever somebody looks. program: stamp() when this process began. say(level, text): the log."""

    def __init__(self, path: str, program: int, say: Callable[[str, str], None]) -> None:
        self.path, self.program, self.say = path, program, say
        self.departures: list[int] = []  # of the last ones taken
        self._seen = self._of_file()
        self._waiting = b""

    def take(self, loop: Loop) -> bool:
        """True when other settings are in force from the next step on."""
        seen = self._of_file()
        if seen != self._seen:
            self._seen, self._waiting = seen, b""
            self._read()
        if not self._waiting:
            return False
        try:
            if not loop.change(self._waiting):
                return False  # the ones before them are not in force yet: next time
        except ValueError as error:
            self._waiting = b""
            self.say("WARNING", f"{REFUSED} {error}")
            return False
        self._waiting = b""
        self.say("INFO", f"V2G-RELOAD other settings are in force: {loop.digest:016x}")
        return True

    def _of_file(self) -> tuple[int, int]:
        """Tells one file from the next; (0, 0): none."""
        try:
            found = os.stat(self.path)  # noqa: PTH116  # without pathlib: part of the core
        except OSError:
            return 0, 0
        return found.st_ino, found.st_mtime_ns

    def _read(self) -> None:
        try:
            with open(self.path, "rb") as file:  # noqa: PTH123  # as above
                program, settings, departures = marshal.load(file)
        except (OSError, EOFError, ValueError, TypeError) as error:
            if not isinstance(error, FileNotFoundError):
                self.say("WARNING", f"{REFUSED} {self.path}: {error}")
            return
        if program != self.program or stamp() != self.program:
            self.say("WARNING", f"{REFUSED} the program was changed since this process began; restart it")
            return
        if type(settings) is not bytes or type(departures) is not list or not all(map(is_moment, departures)):
            self.say("WARNING", f"{REFUSED} {self.path}: is not what `v2g reload` writes")
            return
        self._waiting, self.departures = settings, departures
