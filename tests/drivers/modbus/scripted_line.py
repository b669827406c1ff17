"""RTU devices that follow a script on a pseudo-terminal: the serial twin of scripted.py. Bytes arrive at once: no pace.

Units answer by the specification from `words` (address -> word) unless a rule says otherwise: it takes the request and
returns the bytes to send instead (b"": silence), or None for the ordinary answer. Every request is kept.
"""

from __future__ import annotations

import contextlib
import os
import select
import struct
import threading
import time
import tty
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from drivers.modbus.frame import crc_of
from drivers.modbus.link import SerialLink
from tests.drivers.modbus.scripted import Question

REQUEST_BYTES = {3: 8, 4: 8, 6: 8}


def rtu(unit: int, pdu: bytes) -> bytes:
    """A whole frame around a PDU."""
    body = bytes([unit]) + pdu
    return body + struct.pack("<H", crc_of(body))


Rule = Callable[[Question], bytes | None]


def answer(q: Question, *words: int) -> bytes:
    """A right reply to a read, with these words in it."""
    return rtu(q.unit, struct.pack(f">BB{len(words)}H", q.function, 2 * len(words), *words))


@dataclass
class Line:
    """The devices; use `line()`."""

    units: dict[int, dict[int, int]]
    rule: Rule = lambda _question: None
    questions: list[Question] = field(default_factory=list)
    broken: list[bytes] = field(default_factory=list)  # what came and is no request

    def __post_init__(self) -> None:
        self.master, self.slave = os.openpty()
        tty.setraw(self.slave)
        self.link = SerialLink(os.ttyname(self.slave), 115200)
        self.stopping = False
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def say(self, raw: bytes) -> None:
        """Put bytes on the line that nobody asked for."""
        os.write(self.master, raw)

    def ordinary(self, q: Question) -> bytes:
        """The answer of the specification; nothing from a unit that is not there."""
        if q.unit not in self.units:
            return b""
        words = self.units[q.unit]
        at = int(struct.unpack(">H", q.pdu[5:7])[0]) if q.function == 23 else q.address
        words.update({at + i: w for i, w in enumerate(q.words)})
        if q.function in (6, 16):
            return rtu(q.unit, q.pdu[:5])
        return answer(q, *(words.get(q.address + i, 0) for i in range(q.count)))

    def _serve(self) -> None:
        held = b""
        with contextlib.suppress(OSError):
            while not self.stopping:
                if not select.select([self.master], [], [], 0.02)[0]:
                    continue
                held += os.read(self.master, 512)
                while (size := self._size(held)) and len(held) >= size:
                    self._take(held[:size])
                    held = held[size:]

    def _size(self, held: bytes) -> int:
        """Of the request that begins here; 0 while too little of it is there."""
        if len(held) < 2:
            return 0
        if held[1] == 16:
            return 9 + held[6] if len(held) > 6 else 0
        if held[1] == 23:
            return 13 + held[10] if len(held) > 10 else 0
        return REQUEST_BYTES.get(held[1], 1)

    def _take(self, raw: bytes) -> None:
        if len(raw) < 4 or rtu(raw[0], raw[1:-2]) != raw:
            self.broken.append(raw)
            return
        question = Question(unit=raw[0], pdu=raw[1:-2], t_ns=time.monotonic_ns())
        self.questions.append(question)
        reply = self.rule(question)
        if reply is None:
            reply = self.ordinary(question)
        if reply:
            os.write(self.master, reply)

    def close(self) -> None:
        """Unplug the adapter."""
        if not self.stopping:
            self.stopping = True
            self.thread.join()
            os.close(self.slave)
            os.close(self.master)


@contextlib.contextmanager
def line(units: dict[int, dict[int, int]], rule: Rule | None = None) -> Iterator[Line]:
    """A scripted line for the time of a test."""
    scripted = Line({unit: dict(words) for unit, words in units.items()})
    if rule is not None:
        scripted.rule = rule
    try:
        yield scripted
    finally:
        scripted.close()
