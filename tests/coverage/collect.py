"""Run pytest and write down which compiled lines ran: `python -m tests.coverage.collect FILE [pytest's arguments]`.

A collector of our own and not coverage.py's plugin: that one finds no reporter for a .pxd with inline functions.
Cython reports through sys.settrace up to CPython 3.12 and through sys.monitoring from 3.13 on; both reach functions
without the interpreter.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import pytest

from tests.coverage.build import generated_c
from tests.coverage.step_files import traced_lines, wanted_lines

Key = tuple[str, int]


class Collector:
    """ran: (file, line) of every compiled line seen so far. Collecting ends when the last wanted one has run."""

    def __init__(self, wanted: set[Key]) -> None:
        self.left = set(wanted)
        self.ran: set[Key] = set()

    def start(self) -> None:
        listen(self)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self) -> bool | None:
        """As a plugin of pytest: once every line has run, the tests that are left could only take time."""
        return None if self.left else True

    def add(self, key: Key) -> None:
        self.ran.add(key)
        self.left.discard(key)
        if not self.left:
            stop_listening()


def is_python(code: CodeType) -> bool:
    return code.co_filename.endswith((".py", ">"))


if sys.version_info >= (3, 13):
    from sys import monitoring

    TOOL, LINE = monitoring.COVERAGE_ID, monitoring.events.LINE

    def listen(collector: Collector) -> None:
        ran = collector.ran

        def line(code: CodeType, number: int) -> Any:
            if is_python(code):
                return monitoring.DISABLE
            if (key := (code.co_filename, number)) not in ran:
                collector.add(key)
            return None  # and not DISABLE: Cython would switch the whole function off

        monitoring.use_tool_id(TOOL, "tests.coverage")
        monitoring.register_callback(TOOL, LINE, line)
        monitoring.set_events(TOOL, LINE)

    def stop_listening() -> None:
        monitoring.set_events(TOOL, 0)

else:

    def listen(collector: Collector) -> None:
        ran = collector.ran

        def called(frame: FrameType, _event: str, _arg: Any) -> Any:
            # None switches a Python frame off; in a compiled one Cython would call it
            return None if is_python(frame.f_code) else line

        def line(frame: FrameType, event: str, _arg: Any) -> Any:
            if event == "line" and (key := (frame.f_code.co_filename, frame.f_lineno)) not in ran:
                collector.add(key)
            return line

        sys.settrace(called)

    def stop_listening() -> None:
        sys.settrace(None)


def main() -> int:
    tree = Path.cwd()
    collector = Collector(wanted_lines(tree, traced_lines(generated_c(tree))))
    collector.start()
    code = int(pytest.main(sys.argv[2:], plugins=[collector]))
    stop_listening()
    Path(sys.argv[1]).write_text(json.dumps(sorted(collector.ran)))
    return code


if __name__ == "__main__":
    sys.exit(main())
