"""A stream that carries another consumer, run as if it had a websocket of its own."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NoReturn

from channels.consumer import AsyncConsumer
from django.core.exceptions import ImproperlyConfigured

from databinding import protocol
from databinding.conf import settings
from databinding.connection import Connection
from databinding.protocol import FrameError

logger = logging.getLogger("databinding")

Application = Callable[[Any, Any, Any], Awaitable[None]]


class Foreign:
    """A stream that carries another consumer, which thinks that it has a websocket of its own."""

    def __init__(self, scope: Any, connection: Connection, stream: str, carried: Any) -> None:
        self.scope = scope
        self.connection = connection
        self.stream = stream
        self._application: Application = application_of(stream, carried)
        self._inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    def start(self) -> None:
        self._inbox.put_nowait({"type": "websocket.connect"})
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        try:
            await self._application(dict(self.scope), self._inbox.get, self._send)
        except Exception:
            logger.exception("The consumer of stream %s failed.", self.stream)
            error = FrameError(500, "Something went wrong on the server.", stream=self.stream)
            await self.connection.reply(protocol.error_reply(error))
        await self._refuse_waiting()

    async def _send(self, message: Mapping[str, Any]) -> None:
        text = message.get("text")
        if message["type"] == "websocket.close":
            # It closed its websocket, which is this stream alone.
            self._closed = True
            await self._refuse_waiting()
            self.end()
        elif message["type"] == "websocket.send" and text is not None:
            try:
                json.loads(text)
            except ValueError:
                text = protocol.encode(text)
            await self.connection.reply(protocol.envelope(self.stream, text))

    def received(self, payload: Any) -> None:
        if self._closed or self._task is None or self._task.done():
            raise self._ended()
        if self._inbox.qsize() >= settings.MAX_REQUESTS:
            raise FrameError(429, "Too many frames wait already.", stream=self.stream)
        self._inbox.put_nowait({"type": "websocket.receive", "text": json.dumps(payload)})

    def _ended(self) -> FrameError:
        return FrameError(404, "This stream has ended.", stream=self.stream)

    async def _refuse_waiting(self) -> None:
        """Frames that came before it was over are answered as those that come after it."""
        while not self._inbox.empty():
            if self._inbox.get_nowait()["type"] == "websocket.receive":
                await self.connection.reply(protocol.error_reply(self._ended()))

    def end(self) -> asyncio.Task[None] | None:
        """The connection is over; the consumer's task, which is told so, is returned."""
        self._inbox.put_nowait({"type": "websocket.disconnect", "code": 1000})
        return self._task


def application_of(stream: str, carried: Any) -> Application:
    """The ASGI application of a consumer. Raises `ImproperlyConfigured` for what is none."""
    application: Any = carried
    if isinstance(carried, type):
        if not issubclass(carried, AsyncConsumer):
            _refuse(stream, carried)
        application = carried.as_asgi()
    if not callable(application):
        _refuse(stream, carried)
    return application  # type: ignore[no-any-return]


def _refuse(stream: str, carried: Any) -> NoReturn:
    raise ImproperlyConfigured(
        f"consumers[{stream!r}] must be a binding or a consumer class, not {carried!r}."
    )
