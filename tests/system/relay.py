"""A TCP relay on loopback that can fail as networks do: swallow every byte, or be down.

Half-open  swallow(): both ends still believe in their connections, and nothing comes through, as after a NAT that has
           forgotten. Connections of before never come back; pass_on() lets new ones through.
Down       cut(): connections end with a reset, new ones are refused, until mend().
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Coroutine
from typing import Any

from drivers.sim.proxy import free_port

HOST = "127.0.0.1"
BYTES = 65536


class Relay:
    """Listens on `port`, connects to `to`. One thread; the methods return when it is so."""

    def __init__(self, to: int) -> None:
        self.to, self.port = to, free_port()
        self._swallowing, self._swallows = False, 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="relay", daemon=True)
        self._thread.start()
        self._do(self._listen())

    def swallow(self) -> None:
        """Connections stay and carry nothing, the new ones neither."""
        self._swallowing, self._swallows = True, self._swallows + 1

    def pass_on(self) -> None:
        """New connections are whole again; the old ones stay dead."""
        self._swallowing = False

    def cut(self) -> None:
        """No network."""
        self._do(self._down())

    def mend(self) -> None:
        """A network again."""
        self._do(self._listen())

    def close(self) -> None:
        """End everything."""
        self._do(self._down())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _do(self, what: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(what, self._loop).result(10.0)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, HOST, self.port)

    async def _down(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in list(self._writers):
            writer.transport.abort()

    async def _accept(self, near: asyncio.StreamReader, to_near: asyncio.StreamWriter) -> None:
        self._writers.add(to_near)
        if self._swallowing:
            await self._drink(near)
            return
        try:
            far, to_far = await asyncio.open_connection(HOST, self.to)
        except OSError:  # the broker is not there: as if it had refused
            to_near.transport.abort()
            return
        self._writers.add(to_far)
        for writer in (to_near, to_far):
            writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        born = self._swallows
        await asyncio.gather(self._carry(near, to_far, born), self._carry(far, to_near, born))

    async def _carry(self, source: asyncio.StreamReader, to: asyncio.StreamWriter, born: int) -> None:
        """Bytes one way, to the end; once swallowed, for ever: the other end hears neither a byte nor a goodbye."""
        with contextlib.suppress(OSError):
            while data := await source.read(BYTES):
                if self._swallows != born:
                    await self._drink(source)
                    return
                to.write(data)
                await to.drain()
        if self._swallows == born:
            to.close()

    async def _drink(self, source: asyncio.StreamReader) -> None:
        with contextlib.suppress(OSError):
            while await source.read(BYTES):
                pass
