"""A running program that answers each line on its stdin with a line: those of this folder, and others like them.

Errors   CommandError: the program did not understand or could not do it.
"""

from __future__ import annotations

import subprocess
from types import TracebackType
from typing import Self


class CommandError(Exception):
    """A command that a program refuses; its caller must act."""


class Program:
    """Its stdin is ours, so it ends with us, whatever happens."""

    def __init__(self, name: str, *command: object) -> None:
        """Returns when it has said its first line: `ready`."""
        self.name = name
        self.process = subprocess.Popen(
            [str(part) for part in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.ready = self.line()

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def ask(self, command: str) -> str:
        """The one line that answers."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{command}\n")
        self.process.stdin.flush()
        answer = self.line()
        if not answer or answer.startswith(("unknown", "error")):
            raise CommandError(f"{self.name}: '{command}': {answer or 'it has ended'}")
        return answer

    def numbers(self, command: str) -> list[int]:
        """An answer that is nothing but numbers."""
        return [int(number) for number in self.ask(command).split()]

    def close(self) -> None:
        self.process.communicate()  # the end of its stdin

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
