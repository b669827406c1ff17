"""An HTTP server that says 204 to everything and remembers the last body: in a process of its own, it costs us nothing.

`python -m tests.performance.sink` prints its port. A double: what a database does with the lines is not measured.
"""

from __future__ import annotations

import gzip
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

FIELD = re.compile(r'((?:[^=,\\]|\\.)+)=("(?:[^"\\]|\\.)*"|[^,]+)')
HEAD = re.compile(r"((?:[^ \\]|\\.)+) (.*) (-?\d+)")


class Handler(BaseHTTPRequestHandler):
    """POST: keep. GET: give it back."""

    protocol_version = "HTTP/1.1"
    last = b""

    def do_POST(self) -> None:
        Handler.last = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(204)
        self.end_headers()

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(Handler.last)))
        self.end_headers()
        self.wfile.write(Handler.last)

    def log_message(self, *_: object) -> None:
        return None


@contextmanager
def sink() -> Iterator[str]:
    """Its address."""
    command = [sys.executable, "-m", "tests.performance.sink"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


def last_points(url: str) -> list[Any]:
    """The points of its last body: (series, {field: value}, time), whatever the order and the digits."""
    with urllib.request.urlopen(url, timeout=5.0) as answer:
        text = gzip.decompress(answer.read()).decode()
    return [point(line) for line in text.split("\n")]


def point(line: str) -> tuple[list[str], dict[str, str | int | float], int]:
    """One line of the protocol; 3i is a whole number, 3 and 3.0 are the same other one."""
    found = HEAD.fullmatch(line)
    assert found is not None, line
    return sorted(found[1].split(",")), {name: value(text) for name, text in FIELD.findall(found[2])}, int(found[3])


def value(text: str) -> str | int | float:
    """A field's value."""
    if text[0] == '"' or text in ("true", "false"):
        return text
    return int(text[:-1]) if text[-1] == "i" else float(text)


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()
