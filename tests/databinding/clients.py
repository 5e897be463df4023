"""Clients of a demultiplexer, in this process: real frames, real relay, no server.

async with Client(Demultiplexer) as client:
    await client.subscribe("intval")
    await client.until("intval", {1: {"name": "a", "value": 1}})
"""

import asyncio
import json
from copy import deepcopy

from asgiref.testing import ApplicationCommunicator
from channels.testing import WebsocketCommunicator

from databinding.websockets import WebSocketDemultiplexer

#: Seconds after which what should have come hasn't.
PATIENCE = 10


def apply(rows, frame, *, loading=None):
    """Apply a server's frame to a copy {pk: data}; return the cursor that it leads to, or None.

    `loading` collects the items of a snapshot that comes in chunks.
    """
    payload = frame["payload"]
    if payload["action"] == "snapshot":
        loading = [] if loading is None else loading
        loading += payload["items"]
        if not payload["complete"]:
            return None
        rows.clear()
        rows.update({item["pk"]: item["data"] for item in loading})
        loading.clear()
    elif payload["action"] == "batch":
        if "keep" in payload:
            for pk in rows.keys() - set(payload["keep"]):
                del rows[pk]
        for event in payload["events"]:
            if event["action"] == "delete":
                rows.pop(event["pk"], None)
            else:
                rows[event["pk"]] = event["data"]
    return frame.get("cursor")


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
    """Channels' own, but it leaves Django's closing of connections as it is.

    Theirs patches that away around each call; calls that overlap leave it so for all tests.
    """

    send_input = ApplicationCommunicator.send_input
    receive_output = ApplicationCommunicator.receive_output


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
        self.rows = {}
        self.cursors = {}
        self.windows = {}
        self.frames = []
        self._loading = {}
        self._request_id = 0

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
        if frame["payload"].get("action") in ("snapshot", "batch"):
            rows = self.rows.setdefault(stream, {})
            cursor = apply(rows, frame, loading=self._loading.setdefault(stream, []))
            if cursor is not None:
                self.cursors[stream] = cursor
            if self.windows.get(stream):
                await self.send(stream, "ack", frames=1)
        return frame

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
        self.windows[stream] = options.get("window")
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
        rows, loading = {}, []
        for frame in self.frames():
            if frame["stream"] == stream and frame["payload"]["action"] in ("snapshot", "batch"):
                apply(rows, frame, loading=loading)
        return rows

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
