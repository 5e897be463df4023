"""Clients of a demultiplexer, in this process: real frames, real relay, no server.

async with Client(Demultiplexer) as client:
    await client.subscribe("intval")
    await client.until("intval", {1: {"name": "a", "value": 1}})
"""

import asyncio
import json
from collections import defaultdict
from copy import deepcopy

from asgiref.testing import ApplicationCommunicator
from channels.testing import WebsocketCommunicator

from databinding.testing.copy import Copy
from databinding.websockets import WebSocketDemultiplexer
from tests.servers import PATIENCE


async def eventually(condition):
    """Wait for what no frame tells of."""
    try:
        async with asyncio.timeout(PATIENCE):
            while not condition():  # noqa: ASYNC110  (there is no event to await)
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError("It did not become true.") from None


async def stays(condition):
    """What is so goes on being so, for a moment at least."""
    for _ in range(20):
        assert condition()
        await asyncio.sleep(0.01)


class Communicator(WebsocketCommunicator):
    """Channels' own, but it leaves Django's closing of connections as it is, and tells at once of a
    fault with which the application has ended.

    Theirs patches the closing away around each call; calls that overlap leave it so for all tests.
    And who waits for what an application says when that has ended waits until the time is up.
    """

    send_input = ApplicationCommunicator.send_input

    async def receive_output(self, timeout=1):  # noqa: ASYNC109  (as asgiref has it)
        receiving = asyncio.create_task(ApplicationCommunicator.receive_output(self, timeout))
        try:
            await asyncio.wait({receiving, self.future}, return_when=asyncio.FIRST_COMPLETED)
            if not receiving.done() and self.output_queue.empty() and not self.future.cancelled():
                self.future.result()
            return await receiving
        finally:
            receiving.cancel()


class Client:
    """A websocket client with a copy of each stream that it subscribes to."""

    def __init__(self, demultiplexer, *, modern=True, headers=(), **scope):
        application = demultiplexer.as_asgi()

        async def scoped(given, receive, send):
            await application({**given, **scope}, receive, send)

        self._communicator = Communicator(
            scoped,
            "/stream/",
            headers=list(headers),
            subprotocols=["databinding"] if modern else None,
        )
        self.copies = defaultdict(Copy)
        #: Does it acknowledge what it takes, where there is a window?
        self.acknowledging = True
        self.frames = []
        self._request_id = 0

    @property
    def rows(self):
        return {stream: copy.rows for stream, copy in self.copies.items()}

    @property
    def cursors(self):
        return {stream: copy.cursor for stream, copy in self.copies.items()}

    async def __aenter__(self):
        connected, subprotocol = await self._communicator.connect(timeout=PATIENCE)
        assert connected, subprotocol
        return self

    async def __aexit__(self, *exc_info):
        await self._communicator.disconnect(timeout=PATIENCE)

    async def send(self, stream, action, /, **payload):
        await self.send_text(
            json.dumps({"stream": stream, "payload": {"action": action, **payload}})
        )

    async def send_text(self, text):
        await self.send_message({"type": "websocket.receive", "text": text})

    async def send_message(self, message):
        await self._communicator.send_input(message)

    async def receive_text(self):
        return await self._communicator.receive_from(timeout=PATIENCE)

    async def receive_output(self):
        return await self._communicator.receive_output(timeout=PATIENCE)

    async def receive(self):
        """The next frame, applied to the copy and acknowledged."""
        frame = json.loads(await self.receive_text())
        self.frames.append(frame)
        stream = frame["stream"]
        if frame["payload"].get("action") in ("subscribe", "snapshot", "batch"):
            copy = self.copies[stream]
            copy.take(frame)
            if self.acknowledging:
                await self.acknowledge(stream)
        return frame

    async def acknowledge(self, stream):
        copy = self.copies[stream]
        if copy.window and copy.unacknowledged:
            await self.send(stream, "ack", frames=copy.acknowledge())

    async def ask(self, stream, action, /, **payload):
        """Send a request; return its reply, applying whatever comes before it."""
        self._request_id += 1
        request_id = self._request_id
        await self.send(stream, action, request_id=request_id, **payload)
        while True:
            frame = await self.receive()
            if frame["payload"].get("request_id") == request_id:
                return frame["payload"]

    async def subscribe(self, stream, **options):
        """Subscribe and take the first frames; return whether it was resumed."""
        copy = self.copies[stream]
        copy.window = options.get("window")
        copy.cursor = options.get("cursor")
        reply = await self.ask(stream, "subscribe", **options)
        assert reply["response_status"] == 200, reply
        resumed = reply["data"]["resumed"]
        while True:
            frame = await self.receive()
            if frame["stream"] == stream and frame.get("cursor"):
                return resumed

    async def until(self, stream, rows):
        """Take frames until the copy of the stream is this."""
        rows = deepcopy(rows)
        try:
            async with asyncio.timeout(PATIENCE):
                while self.rows.get(stream) != rows:
                    await self.receive()
        except TimeoutError:
            raise AssertionError(f"{self.rows.get(stream)} did not become {rows}") from None

    async def nothing_comes(self):
        return await self._communicator.receive_nothing(timeout=0.2, interval=0.01)


class Socket:
    """A websocket as the server has it: its `send` waits where the client doesn't read."""

    def __init__(self, demultiplexer, *, modern=True):
        self.sent = []
        self.stalled = False
        self._inbox = asyncio.Queue()
        self._application = demultiplexer.as_asgi()
        self._scope = {
            "type": "websocket",
            "path": "/stream/",
            "headers": [],
            "subprotocols": ["databinding"] if modern else [],
        }

    async def __aenter__(self):
        self._reading = asyncio.Event()
        self._reading.set()
        self._before_stall = None
        self._inbox.put_nowait({"type": "websocket.connect"})
        self.sending = self._send

        async def send(message):
            await self.sending(message)

        self._task = asyncio.create_task(self._application(self._scope, self._inbox.get, send))
        await eventually(lambda: self.sent)
        assert self.sent.pop(0)["type"] == "websocket.accept"
        return self

    async def __aexit__(self, *exc_info):
        self._reading.set()
        self._inbox.put_nowait({"type": "websocket.disconnect", "code": 1001})
        await asyncio.wait_for(self._task, PATIENCE)

    async def _send(self, message):
        self.sent.append(message)
        if self._before_stall is not None:
            if self._before_stall == 0:
                self._reading.clear()
            self._before_stall -= 1
        if not self._reading.is_set():
            self.stalled = True
            await self._reading.wait()

    def stall(self, after=0):
        """From the frame after so many on, the client reads nothing more."""
        self._before_stall = after

    def read_on(self):
        self._before_stall = None
        self.stalled = False
        self._reading.set()

    def say(self, stream, action, **payload):
        text = json.dumps({"stream": stream, "payload": {"action": action, **payload}})
        self._inbox.put_nowait({"type": "websocket.receive", "text": text})

    def handed_over(self):
        """Has the server taken in what the client said?"""
        return self._inbox.empty()

    def frames(self):
        return [json.loads(one["text"]) for one in self.sent if one["type"] == "websocket.send"]

    def copy(self, stream):
        copy = Copy()
        for frame in self.frames():
            if frame["stream"] == stream:
                copy.take(frame)
        return copy.rows

    async def until(self, stream, rows):
        await eventually(lambda: self.copy(stream) == rows)

    async def reply(self, request_id):
        def found():
            return [
                frame["payload"]
                for frame in self.frames()
                if frame["payload"].get("request_id") == request_id
            ]

        await eventually(found)
        return found()[0]


def named(consumers, groups):
    """A demultiplexer of these streams whose connections are all in these groups."""
    return type(
        "Demultiplexer",
        (WebSocketDemultiplexer,),
        {"consumers": consumers, "connection_groups": lambda self: groups},
    )
