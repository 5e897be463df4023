"""Notices a connection that died without a word, and measures the round trip."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from databinding.protocol import PING

#: Turns of the event loop after which what had arrived is read.
TURNS = 10


class Silent(Exception):
    """Nothing came for too long."""


class Heartbeat:
    """Asks `ping` again and again; anything that comes then shows that the connection lives."""

    def __init__(self, interval: float, timeout: float, send: Callable[[str], object]) -> None:
        self._interval = interval
        self._timeout = timeout
        self._send = send
        self._heard = asyncio.Event()
        # Times of the pings that weren't answered yet, oldest first.
        self._asked: deque[float] = deque()

    def heard(self) -> None:
        """Something came."""
        self._heard.set()

    def pong(self) -> float | None:
        """The answer to a ping came. Returns the round trip in seconds."""
        self.heard()
        if not self._asked:
            return None
        return asyncio.get_running_loop().time() - self._asked.popleft()

    async def run(self) -> None:
        """Raises `Silent`."""
        loop = asyncio.get_running_loop()
        while True:
            self._heard.clear()
            # A server that can't write leaves pings unanswered: the next pong is the next one's.
            self._asked.clear()
            self._asked.append(loop.time())
            self._send(PING)
            try:
                async with asyncio.timeout(self._timeout):
                    await self._heard.wait()
            except TimeoutError:
                await self._read_on()
                if not self._heard.is_set():
                    raise Silent(f"nothing came for {self._timeout} seconds") from None
            await asyncio.sleep(self._interval)

    async def _read_on(self) -> None:
        """If it was the program that stood still, the answer waits to be read."""
        for _ in range(TURNS):
            await asyncio.sleep(0)
