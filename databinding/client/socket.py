"""One websocket that keeps being one: it reconnects by itself, notices when it is dead, and says
what state it is in. Knows nothing of streams.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from ssl import SSLContext
from typing import Literal, Protocol

import websockets.asyncio.client
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.typing import Subprotocol

from databinding.client.backoff import Backoff
from databinding.client.errors import ClosedError
from databinding.client.heartbeat import Heartbeat, Silent
from databinding.client.options import Options
from databinding.protocol import PONG, SUBPROTOCOL, CloseCode

logger = logging.getLogger("databinding.client")

#: Close codes after which the server would only say the same again.
FINAL = {
    CloseCode.SESSION_OVER: "The session is over, or the token isn't good.",
    CloseCode.FORBIDDEN: "The server doesn't allow this connection.",
}
#: A connection that ended without a close frame.
ABNORMAL = 1006
#: Statuses of a refused handshake that pass; so do all of 500 and above.
PASSING = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}


class State(StrEnum):
    """Of a connection."""

    CONNECTING = "connecting"
    LIVE = "live"
    #: Lost; goes on trying.
    RECONNECTING = "reconnecting"
    #: By us, or by the server for good.
    CLOSED = "closed"


@dataclass(frozen=True)
class Status:
    """How a connection stands. Times are `time.time()`'s."""

    state: State
    #: Live since, or not connected since.
    since: float
    #: When the next try is due.
    retry_at: float | None = None
    #: What became of the last connection or try.
    reason: str | None = None


class Listener(Protocol):
    """Who is told; `databinding.client.connection` is the one there is."""

    def opened(self) -> None: ...

    def received(self, text: str) -> None: ...

    def lost(self) -> None: ...


class Socket:
    """`run` it; `send` while it is live."""

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        options: Options,
        listener: Listener,
        ssl: SSLContext | None,
        proxy: str | Literal[True] | None,
    ) -> None:
        self.url = url
        self.status = Status(State.CONNECTING, time.time())
        #: Last round trip in seconds; None if it isn't known.
        self.latency: float | None = None
        self._headers = dict(headers)
        self._options = options
        self._listener = listener
        self._ssl = (ssl or True) if url.startswith("wss:") else None
        self._proxy = proxy
        self._backoff = Backoff(options.backoff)
        self._penalty = Backoff(options.penalty)
        self._outbox: asyncio.Queue[str] | None = None

    async def run(self) -> None:
        """Connect, and stay so, until this is cancelled. Raises `ClosedError`."""
        while True:
            opened = code = None
            try:
                websocket = await self._open()
                opened = time.monotonic()
                await self._visit(websocket)
            except ConnectionClosed as closed:
                code = closed.rcvd.code if closed.rcvd else ABNORMAL
                if code in FINAL:
                    raise ClosedError(FINAL[CloseCode(code)], code) from None
                reason = f"closed with {code}"
            except InvalidStatus as refused:
                status = refused.response.status_code
                if status < 500 and status not in PASSING:
                    said = f"The server refused the handshake with HTTP {status}."
                    raise ClosedError(said, status) from None
                reason = f"HTTP {status}"
            except OSError as error:
                reason = error.strerror or str(error) or type(error).__name__
            except (WebSocketException, Silent) as error:
                reason = str(error)
            if opened is not None and time.monotonic() - opened >= self._options.stable_after:
                self._backoff.reset()
                self._penalty.reset()
            wait = (self._penalty if code == CloseCode.TOO_FAST else self._backoff).next()
            was = self.status
            since = time.time() if was.state is State.LIVE else was.since
            state = State.CONNECTING if was.state is State.CONNECTING else State.RECONNECTING
            self.status = Status(state, since, time.time() + wait, reason)
            logger.warning("%s: %s; trying again in %.1f s.", self.url, reason, wait)
            await asyncio.sleep(wait)

    def close(self, reason: str | None = None) -> None:
        """Nothing will come any more."""
        self.status = Status(State.CLOSED, time.time(), reason=reason)

    def send(self, text: str) -> bool:
        """Whether it could be handed to a connection."""
        if self._outbox is None:
            return False
        self._outbox.put_nowait(text)
        return True

    async def _open(self) -> ClientConnection:
        websocket = await Handshake(
            self.url,
            subprotocols=[Subprotocol(SUBPROTOCOL)],
            additional_headers=self._headers,
            # It costs the server more than the bytes are worth.
            compression=None,
            open_timeout=self._options.open_timeout,
            close_timeout=self._options.close_timeout,
            # The heartbeat asks the application, not only its websocket server.
            ping_interval=None,
            # A batch is as large as what it is about; the server is the one we chose.
            max_size=None,
            ssl=self._ssl,
            proxy=self._proxy,
        )
        if websocket.subprotocol != SUBPROTOCOL:
            await websocket.close()
            raise ClosedError(f"What answers at {self.url} is no stream of databinding.")
        return websocket

    async def _visit(self, websocket: ClientConnection) -> None:
        """One connection's life. Raises what ended it."""
        outbox: asyncio.Queue[str] = asyncio.Queue()
        self._outbox = outbox
        heartbeat = Heartbeat(
            self._options.heartbeat_interval, self._options.heartbeat_timeout, self.send
        )
        self.status = Status(State.LIVE, time.time())
        logger.info("%s: connected.", self.url)
        self._listener.opened()
        parts = [
            asyncio.create_task(part)
            for part in (
                self._read(websocket, heartbeat),
                self._write(websocket, outbox),
                heartbeat.run(),
            )
        ]
        try:
            done, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            await websocket.close()
            raise
        finally:
            for part in parts:
                part.cancel()
            await asyncio.gather(*parts, return_exceptions=True)
            # A dead connection isn't waited for.
            websocket.transport.abort()
            self._outbox = None
            self.latency = None
            self._listener.lost()
        for part in done:
            part.result()

    async def _read(self, websocket: ClientConnection, heartbeat: Heartbeat) -> None:
        while True:
            text = await websocket.recv(decode=True)
            if text == PONG:
                self.latency = heartbeat.pong()
            else:
                heartbeat.heard()
                self._listener.received(text)

    async def _write(self, websocket: ClientConnection, outbox: asyncio.Queue[str]) -> None:
        while True:
            await websocket.send(await outbox.get())


class Handshake(websockets.asyncio.client.connect):
    """Redirects aren't followed: token and cookies are for the place that was named."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc
