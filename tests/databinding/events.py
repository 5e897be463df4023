"""Clients of event streams, over HTTP and in this process.

async with Source(server.url, "/stream/intval/events") as source:
    await source.until({1: {"name": "a", "value": 1}})
"""

import asyncio
import json
import socket
from copy import deepcopy
from urllib.parse import urlsplit

from asgiref.sync import sync_to_async
from django.contrib.auth.models import AnonymousUser
from django.test import AsyncRequestFactory

from databinding.sse import sse_view
from databinding.testing.copy import Copy
from tests.servers import PATIENCE

#: Bytes that one who reads keeps before he has asked for them, as asyncio has it.
DEFAULT_LIMIT = 2**16


class EventStream:
    """What an EventSource makes of the text, and the copy that its frames lead to."""

    def __init__(self):
        self.copy = Copy()
        self.frames = []
        self.last_event_id = ""
        self.retry = None
        self.comments = 0
        self.ended = False
        self._text = ""

    @property
    def rows(self):
        return self.copy.rows

    @property
    def resumed(self):
        """What the first frame said."""
        return self.frames[0]["payload"]["data"]["resumed"]

    async def read(self):
        """The next piece of text; empty: there is no more."""
        raise NotImplementedError

    async def receive(self):
        """Take what comes next: an event, a comment or the end."""
        while "\n\n" not in self._text:
            piece = await asyncio.wait_for(self.read(), PATIENCE)
            self._text += piece
            if not piece:
                self.ended = True
                return
        block, self._text = self._text.split("\n\n", 1)
        data = []
        for line in block.split("\n"):
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            match name:
                case "":
                    self.comments += 1
                case "id":
                    self.last_event_id = value
                case "data":
                    data.append(value)
                case "retry":
                    self.retry = int(value)
                case _:
                    raise AssertionError(f"No such field: {line}")
        if data:
            frame = json.loads("\n".join(data))
            self.frames.append(frame)
            self.copy.take(frame)
            if frame.get("cursor"):
                assert self.last_event_id == self.copy.cursor == frame["cursor"]

    async def until(self, rows):
        """Take events until the copy is this."""
        rows = deepcopy(rows)
        while self.rows != rows or self.copy.cursor is None:
            await self.receive()
            assert not self.ended, f"It ended with {self.rows}, not {rows}."

    def resume(self, copy):
        """Go on with what another one held."""
        self.copy = copy


class Source(EventStream):
    """A program that asks a server, over HTTP/1.1 and nothing else."""

    def __init__(self, url, path, headers=None, limit=DEFAULT_LIMIT):
        super().__init__()
        self._url = urlsplit(url)
        self._path = path
        self._limit = limit
        self._headers = {"Host": self._url.netloc, **(headers or {})}

    async def __aenter__(self):
        connection = socket.create_connection((self._url.hostname, self._url.port), PATIENCE)
        if self._limit < DEFAULT_LIMIT:
            # The system keeps little for it, too, on every machine.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * self._limit)
        self.reader, self.writer = await asyncio.open_connection(sock=connection, limit=self._limit)
        lines = [f"GET {self._path} HTTP/1.1", *(f"{k}: {v}" for k, v in self._headers.items())]
        self.writer.write("".join(f"{line}\r\n" for line in [*lines, ""]).encode())
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), PATIENCE)
        first, *rest = head.decode().strip().split("\r\n")
        self.status = int(first.split()[1])
        self.headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in rest)}
        return self

    async def __aexit__(self, *exc_info):
        self.writer.transport.abort()

    async def read(self):
        assert self.headers["transfer-encoding"] == "chunked"
        try:
            size = int(await self.reader.readuntil(b"\r\n"), 16)
            chunk = await self.reader.readexactly(size + 2)
        except (asyncio.IncompleteReadError, ConnectionError):
            return ""
        return chunk[:-2].decode()


class Response(EventStream):
    """The view's answer in this process, read as its reader pleases."""

    def __init__(
        self, demultiplexer, stream, query="", *, user=None, headers=None, session=None, **kwargs
    ):
        super().__init__()
        self._view = sse_view(demultiplexer)
        self._request = AsyncRequestFactory().get(f"/?{query}", headers=headers)
        self._request.user = user or AnonymousUser()
        if session is not None:
            self._request.session = session
        self._asked = {"stream": stream, **kwargs}

    async def __aenter__(self):
        self.response = await self._view(self._request, **self._asked)
        self.status = self.response.status_code
        if self.response.streaming:
            self._pieces = aiter(self.response.streaming_content)
        return self

    async def __aexit__(self, *exc_info):
        await sync_to_async(self.response.close)()  # As Django does.

    async def read(self):
        return (await anext(self._pieces, b"")).decode()

    def refusal(self):
        """The error frame's stream, status and errors."""
        frame = json.loads(self.response.content)
        payload = frame["payload"]
        assert payload["response_status"] == self.status
        return frame["stream"], self.status, payload["errors"]
