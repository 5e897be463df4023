"""The streams of one websocket."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from ssl import SSLContext
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from databinding import protocol
from databinding.client.errors import ClosedError, ProtocolError, RequestError
from databinding.client.frames import is_refusal, parse
from databinding.client.options import Options
from databinding.client.requests import Reply, Requests
from databinding.client.socket import Socket, State, Status
from databinding.client.store import Data, Store
from databinding.client.stream import Stream
from databinding.difference import Key

logger = logging.getLogger("databinding.client")

#: Keys of `subscribe` that aren't a binding's parameters.
RESERVED = {"action", "request_id", "window", "cursor"}


class Connection:
    """The streams of one websocket, which is kept open for as long as the `async with` lasts.

    Entering doesn't wait for the server: it may come later, go, and come back. What can't be
    helped by waiting (`ClosedError`) is raised where a stream is read.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
        options: Options | None = None,
        ssl: SSLContext | None = None,
        proxy: str | Literal[True] | None = True,
    ) -> None:
        headers = dict(headers or {})
        if token is not None:
            headers["Authorization"] = f"Token {token}"
        self.options = options or Options()
        self.requests = Requests(self.options, self.send)
        self._streams: dict[str, Stream] = {}
        self._socket = Socket(_websocket_url(url), headers, self.options, self, ssl, proxy)
        self._task: asyncio.Task[None] | None = None
        # Why the server won't have us any more.
        self._error: ClosedError | None = None

    async def __aenter__(self) -> Self:
        if self._task is not None:
            raise RuntimeError("A connection is entered once.")
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    @property
    def state(self) -> State:
        return self._socket.status.state

    @property
    def status(self) -> Status:
        """The state, since when, and what became of the last connection."""
        return self._socket.status

    @property
    def latency(self) -> float | None:
        """Last round trip in seconds; None if it isn't known."""
        return self._socket.latency

    def stream(
        self,
        name: str,
        params: Mapping[str, Any] | None = None,
        *,
        since: str | None = None,
        rows: Mapping[Key, Data] | None = None,
        window: int | None = None,
    ) -> Stream:
        """The stream of that name; subscribed at the first call, the same object at later ones.

        `params` are the binding's parameters. `since` is a cursor to resume from, `rows` what was
        held there; without rows changes tell what happened since, and `Stream.rows` isn't whole.
        Raises `ValueError` where the stream is subscribed with other parameters already.
        """
        params = dict(params or {})
        if reserved := RESERVED & params.keys():
            raise ValueError(f"No parameter of a stream: {', '.join(sorted(reserved))}.")
        stream = self._streams.get(name)
        if stream is not None:
            if params and params != stream.params:
                raise ValueError(f"The stream {name} is subscribed with other parameters.")
            return stream
        if window is None:
            window = self.options.window
        stream = Stream(self, name, params, Store(rows, since), window)
        if self.state is State.CLOSED:
            stream.close(self._error)
            return stream
        self._streams[name] = stream
        if self.state is State.LIVE:
            stream.connected()
        return stream

    async def request(
        self, stream: str, action: str, payload: Mapping[str, Any] | None = None
    ) -> Reply:
        """Ask something of a stream without subscribing to it; see `Stream.request`."""
        return await self.requests.ask(stream, {**(payload or {}), "action": action})

    async def whoami(self) -> Mapping[str, Any]:
        """Whom the server takes us for: `authenticated`, and the name of the `user`, or None."""
        reply = await self.requests.ask(None, {"action": protocol.WHOAMI})
        described: Mapping[str, Any] = reply.data
        return described

    async def close(self) -> None:
        """End it: iterations end, requests fail, nothing comes any more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        self._ended(None)

    async def _run(self) -> None:
        try:
            await self._socket.run()
        except ClosedError as error:
            self._ended(error)
        except Exception as error:
            # A fault of ours; consumers must not wait for what will never come.
            logger.exception("%s: the client failed.", self._socket.url)
            closed = ClosedError("The client failed.")
            closed.__cause__ = error
            self._ended(closed)

    def _ended(self, error: ClosedError | None) -> None:
        if self.state is State.CLOSED:
            return
        self._error = error
        self._socket.close(None if error is None else str(error))
        self.requests.close("The connection is closed." if error is None else str(error))
        for stream in self._streams.values():
            stream.close(error)
        self._streams.clear()

    # From the socket

    def opened(self) -> None:
        for stream in list(self._streams.values()):
            stream.connected()
        self.requests.flush()

    def lost(self) -> None:
        for stream in self._streams.values():
            stream.disconnected()
        self.requests.lost()

    def received(self, text: str) -> None:
        try:
            frame = parse(text)
        except ProtocolError as error:
            logger.error("%s: %s", self._socket.url, error)
            return
        if self.requests.settle(frame.payload):
            return
        stream = None if frame.stream is None else self._streams.get(frame.stream)
        if stream is not None:
            stream.received(frame)
        elif is_refusal(frame.payload):
            logger.warning("%s: %s", self._socket.url, RequestError(frame.payload))

    # From streams and requests

    def send(self, text: str) -> bool:
        return self._socket.send(text)

    def forget(self, stream: Stream) -> None:
        if self._streams.get(stream.name) is stream:
            del self._streams[stream.name]


def _websocket_url(url: str) -> str:
    """http becomes ws, as for pages. Raises `ValueError`."""
    parts = urlsplit(url)
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
    if scheme not in ("ws", "wss") or not parts.hostname:
        raise ValueError(f"Not the URL of a websocket: {url}")
    return parts._replace(scheme=scheme, fragment="").geturl()
