"""SunSpec devices as words, laid out by hand for tests; and a small server that answers reads with them."""

from __future__ import annotations

import socketserver
import struct
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import drivers.mapfile
from drivers.sunspec.chain import RefusedError

Body = tuple[int, int, Mapping[int, int]]  # model id, length, {offset from the ID: word}; all else reads 0xffff
NOT_GIVEN = 0x8000


def lay_out(bodies: Sequence[Body], base: int = 40000, end: bool = True) -> dict[int, int]:
    """{address: word} of "SunS", the models one behind the other, and the end mark."""
    words = {base: 0x5375, base + 1: 0x6E53}
    at = base + 2
    for model, length, points in bodies:
        words |= {at: model, at + 1: length}
        words |= {at + 2 + i: points.get(2 + i, 0xFFFF) for i in range(length)}
        at += 2 + length
    return words | {at: 0xFFFF, at + 1: 0} if end else words


def inverter(**changes: Mapping[int, int]) -> list[Body]:
    """A 10 kVA charger: models at 40002 (1), 40070 (701), 40225 (702), 40277 (704), 40344 (713), 40353 (715).

    changes: m701={offset: word} and so on, over the words below.
    """
    # fmt: off
    m701 = {3: 1, 4: 3, 5: 1, 6: 0, 7: 0,            # on, running, connected, no alarm
            10: 0x10000 - 350, 12: 120,              # -350 and 120, both in tens (factor 1)
            116: 1, 119: 1}
    m702 = {2: 1000, 7: 1100, 10: 900, 11: 950,      # nameplate, in tens of W and VA
            26: 800, 31: 1000, 34: 700, 35: 750,     # settings: WMax, VAMax, charge, discharge
            45: 1, 47: 1}
    m704 = {2: 0, 8: 0, 22: 0, 23: 0, 24: 0, 25: 200, 26: 0, 27: 0, 28: NOT_GIVEN, 29: NOT_GIVEN, 30: 0, 31: 0, 32: 0,
            35: 0, 36: 0, 37: 0, 38: 0, 39: 0, 40: 0, 41: 0, 42: 55, 43: NOT_GIVEN, 44: 0, 45: 0, 46: 0,
            55: 1, 57: 0}
    m713 = {4: 635, 6: 0, 8: 0x10000 - 1}            # 63.5 %
    m715 = {2: 0}                                    # remote control
    # fmt: on
    plain = {"m1": {}, "m701": m701, "m702": m702, "m704": m704, "m713": m713, "m715": m715}
    points = {name: {**words, **changes.get(name, {})} for name, words in plain.items()}
    lengths = {"m1": 66, "m701": 153, "m702": 50, "m704": 65, "m713": 7, "m715": 7}
    return [(int(name[1:]), length, points[name]) for name, length in lengths.items()]


class WordReader:
    """read(address, count) over {address: word}; refuses what is not there, and remembers what was asked."""

    def __init__(self, words: Mapping[int, int]):
        self.words = words
        self.asked: list[tuple[int, int]] = []

    def __call__(self, address: int, count: int) -> tuple[int, ...]:
        self.asked.append((address, count))
        try:
            return tuple(self.words[a] for a in range(address, address + count))
        except KeyError as error:
            raise RefusedError(f"illegal address {error}") from error


@contextmanager
def serve(words: Mapping[int, int], silent: bool = False, answer: bytes = b"") -> Iterator[int]:
    """A Modbus TCP server on a loopback port that the system chooses: holding registers, reads only.

    answer: these bytes to the first request of a connection, as if its transaction were 1, then the end of it.
    """

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            while request := self.request.recv(12):
                if answer:
                    number = int.from_bytes(request[:2]) - 1 + int.from_bytes(answer[:2])
                    self.request.sendall(number.to_bytes(2) + answer[2:])
                    return
                if not silent:
                    self.request.sendall(_answer(request, words))

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        block_on_close = False

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield int(server.server_address[1])
        finally:
            server.shutdown()
            thread.join()


def _answer(request: bytes, words: Mapping[int, int]) -> bytes:
    transaction, _, _, unit, function, address, count = struct.unpack(">HHHBBHH", request)
    span = range(address, address + count)
    if all(a in words for a in span):
        pdu = struct.pack(f">BB{count}H", function, 2 * count, *(words[a] for a in span))
    else:
        pdu = bytes([function | 0x80, 2])
    return struct.pack(">HHHB", transaction, 0, len(pdu) + 1, unit) + pdu


def own_map(folder: Path, name: str, **values: str) -> str:
    """A copy of a shipped map with other values under `writes`; "" takes a key out."""
    shipped = Path(drivers.mapfile.__file__).with_name("maps") / "inverters" / f"{name}.yaml"
    lines = shipped.read_text().splitlines()
    for key, value in values.items():
        lines = [line for line in lines if not line.startswith(f"  {key}:")]
        lines += [f"  {key}: {value}"] if value else []  # `writes` stands last
    file = folder / "own.yaml"
    file.write_text("\n".join(lines) + "\n")
    return str(file)
