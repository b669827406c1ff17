"""Run pytest and write down which compiled lines ran: `python -m tests.coverage.collect FILE [pytest's arguments]`.

A trace function of our own and not coverage.py's plugin: that one finds no reporter for a .pxd with inline functions.
Cython 3.3 on CPython 3.11 calls it through sys.settrace, also from functions without the interpreter.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from tests.coverage.step_files import wanted_lines

Key = tuple[str, int]


class Collector:
    """ran: (file, line) of every compiled line seen so far. Tracing ends when the last wanted one has run."""

    def __init__(self, wanted: set[Key]) -> None:
        self.left = set(wanted)
        self.ran: set[Key] = set()

    def start(self) -> None:
        sys.settrace(self.called)

    def called(self, frame: FrameType, _event: str, _arg: Any) -> Any:
        # None switches a Python frame off; in a compiled one Cython would call it
        return None if frame.f_code.co_filename.endswith((".py", ">")) else self.line

    def line(self, frame: FrameType, event: str, _arg: Any) -> Any:
        key = (frame.f_code.co_filename, frame.f_lineno)
        if event == "line" and key not in self.ran:
            self.ran.add(key)
            self.left.discard(key)
            if not self.left:
                sys.settrace(None)  # everything ran: the rest of the tests need not be slow
        return self.line


def main() -> int:
    collector = Collector(wanted_lines(Path.cwd()))
    collector.start()
    code = int(pytest.main(sys.argv[2:]))
    sys.settrace(None)
    Path(sys.argv[1]).write_text(json.dumps(sorted(collector.ran)))
    return code


if __name__ == "__main__":
    sys.exit(main())
