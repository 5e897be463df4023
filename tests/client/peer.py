"""A server whose part the test plays, over real websockets: what no real server can be made to say.

async with Peer() as peer, connect(peer.url) as live:
    ints = live.stream("intval")
    page = await peer.visitor()             # the next client that connects
    await page.subscribed()                 # reads its subscription, says yes
    await page.snapshot({1: {"value": 1}}, "c1")
    assert await page.receive() == …        # pings are answered and passed over
"""

import asyncio
import json

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

from databinding.client.options import Delays, Options

#: Seconds after which what should have come hasn't, on a busy machine.
PATIENCE = 60


class Visitor:
    """One client that connected."""

    def __init__(self, websocket):
        self.websocket = websocket
        self.request = websocket.request
        self.answers_pings = True
        self.pings = 0

    async def send(self, stream, payload, cursor=None):
        frame = {"stream": stream, "payload": payload}
        await self.send_text(json.dumps(frame if cursor is None else frame | {"cursor": cursor}))

    async def send_text(self, text):
        await self.websocket.send(text)

    async def receive(self):
        """The next frame but pings."""
        async with asyncio.timeout(PATIENCE):
            while (text := await self.websocket.recv()) == "ping":
                self.pings += 1
                if self.answers_pings:
                    await self.websocket.send("pong!")
        return json.loads(text)

    async def asked(self, action, stream="intval"):
        """The payload of the next frame, which is to ask this."""
        frame = await self.receive()
        assert (frame["stream"], frame["payload"]["action"]) == (stream, action)
        return frame["payload"]

    async def reply(self, asked, status=200, data=None, stream="intval", errors=(), **more):
        await self.send(
            stream,
            {
                "action": asked["action"],
                "request_id": asked["request_id"],
                "response_status": status,
                "errors": list(errors),
                "data": data,
                **more,
            },
        )

    async def subscribed(self, *, resumed=False, stream="intval"):
        """Say yes to the subscription that comes; return what it asked."""
        asked = await self.asked("subscribe", stream)
        await self.reply(asked, data={"resumed": resumed}, stream=stream)
        return asked

    async def snapshot(self, rows, cursor="", stream="intval"):
        items = [{"pk": pk, "data": data} for pk, data in rows.items()]
        payload = {"action": "snapshot", "items": items, "complete": cursor != ""}
        await self.send(stream, payload, cursor)

    async def batch(self, puts, cursor, *, deletes=(), stream="intval", **more):
        events = [{"action": "update", "pk": pk, "data": data} for pk, data in puts.items()]
        events += [{"action": "delete", "pk": pk} for pk in deletes]
        await self.send(stream, {"action": "batch", "events": events, **more}, cursor)

    async def close(self, code=1000):
        await self.websocket.close(code)

    async def abort(self):
        self.websocket.transport.abort()
        await self.websocket.wait_closed()

    async def left(self):
        """Read until the client has closed the connection; return its code, None if it broke."""
        try:
            while True:
                await self.receive()
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd else None


class Peer:
    """Accepts connections until it is left. `answer` may refuse handshakes, as websockets' own
    `process_request` does.
    """

    def __init__(self, *, answer=None, subprotocols=("databinding",), port=0):
        self.port = port
        self._answer = answer
        self._subprotocols = list(subprotocols) or None
        self._arrived = asyncio.Queue()
        self._ended = asyncio.Event()
        #: Handshakes that came.
        self.handshakes = 0

    @property
    def url(self):
        return f"ws://127.0.0.1:{self.port}/stream/"

    async def __aenter__(self):
        self._server = await serve(
            self._serve,
            "127.0.0.1",
            self.port,
            subprotocols=self._subprotocols,
            process_request=self._process,
            ping_interval=None,
            compression=None,
            close_timeout=1,
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exception):
        self._ended.set()
        self._server.close()
        await self._server.wait_closed()

    async def visitor(self):
        """The next client that connects."""
        async with asyncio.timeout(PATIENCE):
            return await self._arrived.get()

    def _process(self, connection, request):
        self.handshakes += 1
        return self._answer(connection, request) if self._answer else None

    async def _serve(self, websocket):
        self._arrived.put_nowait(Visitor(websocket))
        await self._ended.wait()


def quick(**more):
    """Options of a client that doesn't wait long before it comes again."""
    soon = Delays(floor=0.01, base=0.05, cap=0.1)
    return Options(**{"backoff": soon, "resubscribe": soon} | more)


async def eventually(condition):
    """Wait for what no frame tells of."""
    try:
        async with asyncio.timeout(PATIENCE):
            while not condition():  # noqa: ASYNC110  (there is no event to await)
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError("It did not become true.") from None
